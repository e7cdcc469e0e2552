"""Words that the other side does not read: who writes them is told where they have to stand."""

import json

import pytest
from exchange import agency_task, refused, resources
from shelves import REPORT, held
from test_conversation import coded

from app.sandbox import family

SECRET = "call the aunt first"
QUESTION = {
    "resourceType": "Task", "status": "requested", "intent": "order", "requester": {"display": "Sam"},
    "code": coded("task-code", "info-needed"),
    "input": [{"type": coded("task-input", "question"), "valueCodeableConcept": coded("cps-question", "call-back")}],
}  # fmt: skip
MORE = {
    "description": {"description": SECRET},
    "note": {"note": [{"text": SECRET}]},
    "input": {"input": [*QUESTION["input"], {"type": {"text": "question"}, "valueString": SECRET}]},
}


def told(answer):
    assert answer.status_code == 201, answer.text
    return [one["expression"] for one in answer.json()["issue"] if one["code"] == "suppressed"]


@pytest.mark.parametrize("element", MORE)
def test_a_question_that_says_more_than_is_read(exchange, reported, element):
    """The case system writes the question out where the clinic does not read it: it is told the place."""
    _, theirs = reported
    asks = {**QUESTION, "partOf": [{"reference": f"Task/{theirs['id']}"}], **MORE[element]}

    answer = exchange.call(
        "POST", "agency/intake/fhir/Task", asks, Prefer="return=OperationOutcome"
    )

    assert told(answer) == [[f"Task.{element}"]]
    assert SECRET not in answer.text
    assert SECRET not in json.dumps(held(exchange, "clinic/reports"))


def test_a_question_that_is_read_whole_is_no_matter(exchange, reported):
    """What is typed as a detail goes."""
    _, theirs = reported
    detail = {"type": coded("task-input", "detail"), "valueString": SECRET}
    asks = {**QUESTION, "partOf": [{"reference": f"Task/{theirs['id']}"}],
            "input": [*QUESTION["input"], detail]}  # fmt: skip

    answer = exchange.call(
        "POST", "agency/intake/fhir/Task", asks, Prefer="return=OperationOutcome"
    )

    assert told(answer) == []
    assert SECRET in json.dumps(held(exchange, "clinic/reports"))


@pytest.mark.parametrize("more", [{"note": [{"text": SECRET}]}, {"topic": {"text": SECRET}}])
def test_a_message_that_says_more_than_its_payload(exchange, reported, more):
    """Text in the payload alone goes."""
    task, _ = reported
    message = {"resourceType": "Communication", "status": "completed", "basedOn": [task["focus"]],
               "sender": {"display": "Dr. Lin"}, "payload": [{"contentString": "hello"}], **more}  # fmt: skip

    answer = exchange.call(
        "POST", "clinic/reports/fhir/Communication", message, Prefer="return=OperationOutcome"
    )

    assert told(answer) == [[f"Communication.{next(iter(more))}"]]
    assert SECRET not in json.dumps(held(exchange, "agency/intake"))


def test_a_message_of_two_referrals_is_two(exchange, reported):
    """A word on brother and sister names both reports: it would stand in one case alone."""
    task, theirs = reported
    text = json.dumps(family.another_report("second", "agency")).replace(
        "Patient/rosa", "Patient/leo"
    )
    second = json.loads(text)
    for one in second["entry"]:
        kind, identity = one["resource"]["resourceType"], one["resource"]["id"]
        if kind == "Patient":
            one["resource"] |= {"id": "leo", "name": [{"family": "Example", "given": ["Leo"]}]}
            del one["resource"]["identifier"]
        if kind == "Observation":
            text = json.dumps(second).replace(
                f'Observation/{identity}"', f'Observation/leos-{identity}"'
            )
            second = json.loads(text.replace(f'"id": "{identity}"', f'"id": "leos-{identity}"'))
    (other,) = resources(exchange.call("POST", REPORT, second), "Task")
    both = {"resourceType": "Communication", "status": "completed", "sender": {"display": "Kim"},
            "payload": [{"contentString": "Both are with the aunt."}]}  # fmt: skip
    requests = [one["focus"] for one in (task, other)]
    copies = [one["focus"] for one in (theirs, agency_task(exchange, "intake", other))]

    for shelf, named in (("clinic/reports", requests), ("agency/intake", copies)):
        said = exchange.call("POST", f"{shelf}/fhir/Communication", {**both, "basedOn": named})
        assert "for each" in refused(said, 422)[0]["details"]["text"]
        for one in named:
            alone = exchange.call("POST", f"{shelf}/fhir/Communication", {**both, "basedOn": [one]})
            assert alone.status_code == 201, alone.text
