"""A record of hundreds of facts is sent, corrected, taken back and expunged like a short one."""

from datetime import timedelta

import pytest
from exchange import agency_task, resources
from shelves import CHART, REFER, REPORT, attached, coded, held, put, seen
from test_expunge import record
from test_overdue import raised

from app.sandbox import family

MANY = 230
QUESTION = f"{family.KINBRIDGE}/CodeSystem/cps-question"


def facts(**more):
    return [seen(f"fact-{number}", **more) for number in range(MANY)]


@pytest.fixture
def reported(exchange):
    """A report with so many facts that no chain of reads could walk over them one by one."""
    made = attached(family.report(by_device=False), *facts())
    (task,) = resources(exchange.call("POST", REPORT, made), "Task")
    return task, agency_task(exchange, "intake", task)


def test_a_long_report_is_expunged(exchange, reported):
    """However much was written about the child, the authority can expunge all of it."""
    _, theirs = reported
    assert record(exchange, theirs["id"], "received").status_code == 200

    answer = record(exchange, theirs["id"], "expunged")

    assert answer.status_code == 200, answer.text
    for shelf in ("agency/intake", "clinic/reports"):
        assert held(exchange, shelf, "Observation") == []


def test_a_long_referral_is_taken_back_with_its_consent(exchange, patient):
    """However much the family let out, its no is heard."""
    made = attached(family.referral("ServiceRequest/none", consented=True), *facts())
    assert resources(exchange.call("POST", REFER, made), "Task")
    assert len(held(exchange, "agency/support", "Observation")) == MANY
    given = exchange.get(f"{CHART}/Consent/rosa-food").json()

    answer = put(exchange, CHART, {**given, "status": "inactive"})

    assert answer.status_code == 200, answer.text
    assert [one["resourceType"] for one in held(exchange, "agency/support")] == ["Task"]


def test_a_report_names_hundreds_that_stand_already(exchange):
    """The facts were charted before; the report names them, and all of them go."""
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [
        {"resource": one, "request": {"method": "PUT", "url": f"Observation/{one['id']}"}}
        for one in facts()
    ]}  # fmt: skip
    assert exchange.call("POST", "clinic/reports/fhir", bundle).status_code == 200
    names = [f"Observation/{one['id']}" for one in facts()]

    answer = exchange.call("POST", REPORT, attached(family.report(by_device=False), named=names))

    assert resources(answer, "Task")
    texts = {one["code"].get("text") for one in held(exchange, "agency/intake", "Observation")}
    assert {one["code"]["text"] for one in facts()} <= texts


def asked(theirs, number):
    return {
        "resourceType": "Task", "id": f"q{number}", "status": "requested", "intent": "order",
        "code": coded(f"{family.KINBRIDGE}/CodeSystem/task-code", "info-needed"),
        "partOf": [{"reference": f"Task/{theirs['id']}"}], "requester": {"display": "Sam"},
        "input": [{"type": {"text": "q"}, "valueCodeableConcept": coded(QUESTION, "call-back")}],
    }  # fmt: skip


def test_questions_do_not_hide_that_nobody_took_a_report_in(exchange, reported):
    """An agency that only asks and asks has not said that it has the report: the reporter hears of it."""
    _, theirs = reported
    for number in range(MANY):
        answer = exchange.call("PUT", f"agency/intake/fhir/Task/q{number}", asked(theirs, number))
        assert answer.status_code == 201, answer.text

    exchange.now += timedelta(minutes=20)

    assert len(raised(exchange, "Not confirmed")) == 1
