"""Several things said of one referral in one transaction: each is heard, as if they had come one by one."""

import json
from itertools import permutations

import pytest
from exchange import resources
from shelves import CHART, held, put
from test_conversation import LIN, coded, message
from test_corrections import MOVED
from test_screening_rows import ours, row

SAM = {"display": "Sam Porter"}
SUPPORT = "agency/support/fhir"


def transaction(exchange, shelf, *resources_):
    entries = [
        {
            "resource": one,
            "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}
            if "id" in one
            else {"method": "POST", "url": one["resourceType"]},
        }
        for one in resources_
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    return exchange.call("POST", shelf, bundle)


def test_an_agency_accepts_and_writes_in_one_act(exchange, referred):
    """Its case system sends the step and the worker's words together: the clinic has both, each accounted for."""
    task, theirs = referred
    rows = len(exchange.rows("SELECT id FROM ledger"))
    note = message(theirs["focus"]["reference"], SAM, "We call on Monday.")

    answer = transaction(exchange, SUPPORT, {**theirs, "status": "accepted"}, note)

    assert [one["response"]["status"][:3] for one in answer.json()["entry"]] == ["200", "201"]
    mine = exchange.get(f"{CHART}/Task/{task['id']}").json()
    assert mine["status"] == "accepted"
    (arrived,) = held(exchange, "clinic/chart", "Communication")
    assert arrived["payload"] == [{"contentString": "We call on Monday."}]
    assert len(exchange.rows("SELECT id FROM ledger")) == rows + 2
    theirs = exchange.get(f"{SUPPORT}/Task/{theirs['id']}").json()
    assert put(exchange, SUPPORT, {**theirs, "status": "in-progress"}).status_code == 200


def test_a_question_and_a_step_go_together(exchange, reported):
    """Intake takes the report and asks: one version of its Task, one of the clinic's, and the question."""
    task, theirs = reported
    received = coded("cps-task-status", "received")
    asked = {
        "resourceType": "Task", "status": "requested", "intent": "order", "requester": SAM,
        "code": coded("task-code", "info-needed"), "partOf": [{"reference": f"Task/{theirs['id']}"}],
        "input": [{"type": coded("task-input", "question"),
                   "valueCodeableConcept": coded("cps-question", "child-location")}],
    }  # fmt: skip
    step = {**theirs, "status": "received", "businessStatus": received}

    answer = transaction(exchange, "agency/intake/fhir", step, asked)

    assert answer.status_code == 200, answer.text
    mine = exchange.get(f"clinic/reports/fhir/Task/{task['id']}").json()
    assert mine["businessStatus"]["coding"][0]["code"] == "awaiting-information"
    assert mine["meta"]["versionId"] == "2"
    events = exchange.rows("SELECT event FROM event ORDER BY sequence, event")
    assert {one[0] for one in events} == {"received", "awaiting-information"}


def test_two_messages_are_two(exchange, referred):
    """And the same one twice in one transaction is one."""
    _, theirs = referred
    said = [message(theirs["focus"]["reference"], SAM, text) for text in ("One.", "Two.", "One.")]

    answer = transaction(exchange, SUPPORT, *said)

    assert answer.status_code == 200, answer.text
    texts = [one["payload"][0]["contentString"] for one in held(exchange, "clinic/chart", "Communication")]  # fmt: skip
    assert sorted(texts) == ["One.", "Two."]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_clinic_takes_everything_back_in_one_act(exchange, referred, order):
    """Order, Task and consent are ended together, in any order: nothing of the family is left with the agency."""
    task, theirs = referred
    request = exchange.get(f"{CHART}/{task['focus']['reference']}").json()
    consent = exchange.get(f"{CHART}/Consent/rosa-food").json()
    changed = [
        {**request, "status": "revoked"}, {**task, "status": "cancelled"},
        {**consent, "status": "inactive"},
    ]  # fmt: skip

    answer = transaction(exchange, CHART, *(changed[place] for place in order))

    assert answer.status_code == 200, answer.text
    assert exchange.get(f"{CHART}/Task/{task['id']}").json()["status"] == "cancelled"
    assert exchange.get(f"{SUPPORT}/Task/{theirs['id']}").json()["status"] == "cancelled"
    assert "Rosa" not in json.dumps(held(exchange, "agency/support", "Patient"))
    assert held(exchange, "agency/support", "ServiceRequest") == []


def test_an_order_that_is_revoked_has_a_task_that_is_cancelled(exchange, referred):
    """The EHR writes the one and then the other, by a copy from before: that is no fault."""
    task, _ = referred
    request = exchange.get(f"{CHART}/{task['focus']['reference']}").json()
    assert put(exchange, CHART, {**request, "status": "revoked"}).status_code == 200

    answer = put(exchange, CHART, {**task, "status": "cancelled"})

    assert answer.status_code == 200, answer.text


def test_who_writes_that_the_family_moved_moves_it_too(exchange, referred, patient):
    """The new address and a message about it come in one transaction: the agency has both; the address was lost."""
    task, _ = referred
    note = message(task["focus"]["reference"], LIN, "They have moved.")

    answer = transaction(exchange, CHART, {**patient, "address": MOVED}, note)

    assert resources(answer) or answer.status_code == 200
    (copy,) = held(exchange, "agency/support", "Patient")
    assert copy["address"] == MOVED
    assert len(held(exchange, "agency/support", "Communication")) == 1


def test_a_screening_comes_with_what_is_said_of_a_referral(exchange, referred):
    """One visit, one transaction: a row is read, and of the referral both things that are said are heard."""
    task, theirs = referred
    request = exchange.get(f"{CHART}/{task['focus']['reference']}").json()
    note = message(task["focus"]["reference"], LIN, "They need nothing any more.")

    answer = transaction(
        exchange, CHART, row("88122-7", "LA28398-8"), note, {**request, "status": "revoked"},
        {**task, "status": "cancelled"},
    )  # fmt: skip

    assert answer.status_code == 200, answer.text
    assert exchange.get(f"{SUPPORT}/Task/{theirs['id']}").json()["status"] == "cancelled"
    assert exchange.get(f"{CHART}/Task/{task['id']}").json()["status"] == "cancelled"
    assert len(ours(exchange)) == 2
