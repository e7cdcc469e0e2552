"""A report that goes on to another authority is what was sent, and nothing that was written since."""

import json

import pytest
from exchange import COUNTY, agency_task, refused, resources
from shelves import REPORT, REPORTS, attached, held, put, seen

from app.sandbox import family


@pytest.fixture
def tenants(tenants):
    """Besides a second authority."""
    return [*tenants, COUNTY]


def transferred(exchange, task):
    """The agency hands the report on."""
    theirs = agency_task(exchange, "intake", task)
    path = f"agency/intake/fhir/Task/{theirs['id']}/$record-event"
    for said in ({"event": "received"}, {"event": "transferred", "to": "county"}):
        answer = exchange.call("POST", path, said)
        assert answer.status_code == 200, answer.text


def test_a_transfer_takes_no_new_fact_along(exchange):
    """What the clinic wrote into its own order later was sent to nobody, and no agency's click sends it."""
    (task,) = resources(
        exchange.call("POST", REPORT, attached(family.report(by_device=False), seen("bruise"))),
        "Task",
    )
    put(exchange, REPORTS, seen("later"))
    request = exchange.get(f"{REPORTS}/{task['focus']['reference']}").json()
    for note in ("once rewritten", "rewritten again"):
        later = {"supportingInfo": [*request["supportingInfo"], {"reference": "Observation/later"}]}
        put(exchange, REPORTS, {**request, **later, "note": [{"text": note}]})
    standing = exchange.get(f"{REPORTS}/{task['focus']['reference']}").json()

    transferred(exchange, task)

    there = held(exchange, "county/intake")
    facts = {one["code"].get("text") for one in there if one["resourceType"] == "Observation"}
    assert "bruise" in facts
    assert "later" not in facts
    assert "rewritten" not in json.dumps(there)
    (copy,) = (one for one in there if one["resourceType"] == "ServiceRequest")
    assert copy["note"] == request["note"]
    assert exchange.get(f"{REPORTS}/{task['focus']['reference']}").json() == standing


def test_who_clicks_twice_sends_once(exchange, reported):
    """The second click is answered as the first; the county has one report, and the clinic one Task of it."""
    task, theirs = reported
    transferred(exchange, task)
    tasks = len(held(exchange, "clinic/reports", "Task"))

    again = {"event": "transferred", "to": "county"}
    answer = exchange.call("POST", f"agency/intake/fhir/Task/{theirs['id']}/$record-event", again)

    assert answer.status_code == 200, answer.text
    assert len(held(exchange, "county/intake", "Task")) == 1
    assert len(held(exchange, "clinic/reports", "Task")) == tasks


def test_a_transfer_takes_what_was_corrected_along(exchange, reported):
    """The new authority goes to the new address."""
    task, _ = reported
    rosa = exchange.get(f"{REPORTS}/Patient/rosa").json()
    put(exchange, REPORTS, {**rosa, "address": [{"text": "moved"}]})

    transferred(exchange, task)

    (copy,) = held(exchange, "county/intake", "Patient")
    assert copy["address"] == [{"text": "moved"}]


def test_a_request_that_names_another_child_since_is_transferred_as_it_was(exchange, reported):
    """The other authority gets the report of the child that was reported."""
    task, _ = reported
    put(exchange, REPORTS, {"resourceType": "Patient", "id": "leo", "name": [{"family": "Other"}]})
    request = exchange.get(f"{REPORTS}/{task['focus']['reference']}").json()
    put(exchange, REPORTS, {**request, "subject": {"reference": "Patient/leo"}})

    transferred(exchange, task)

    (copy,) = held(exchange, "county/intake", "Patient")
    assert copy["name"] == family.PATIENT["name"]


OUTPUT = f"{family.KINBRIDGE}/CodeSystem/task-output"


def test_a_report_that_went_on_to_nobody_is_refused(exchange, reported):
    """An agency that says only that it has passed the report on leaves a child with nobody."""
    _, theirs = reported
    path = f"agency/intake/fhir/Task/{theirs['id']}"
    exchange.call("POST", f"{path}/$record-event", {"event": "received"})

    issues = refused(exchange.call("POST", f"{path}/$record-event", {"event": "transferred"}), 422)

    assert "who has this report now" in issues[0]["details"]["text"]
    task = exchange.get(path).json()
    code = {"system": f"{family.KINBRIDGE}/CodeSystem/cps-task-status", "code": "transferred"}
    gone = {**task, "status": "cancelled", "businessStatus": {"coding": [code]}}
    refused(exchange.call("PUT", path, gone), 422)
    assert exchange.get(path).json() == task
    named = {
        "name": "Tribal social services",
        "telecom": [{"system": "phone", "value": "555-0166"}],
    }
    output = {
        "type": {"coding": [{"system": OUTPUT, "code": "named-contact"}]},
        "valueContactDetail": named,
    }
    assert exchange.call("PUT", path, {**gone, "output": [output]}).status_code == 200


def test_a_report_that_went_on_outside_says_whom_to_call(exchange, reported):
    """The other authority takes no part here; the clinician has its number."""
    task, theirs = reported
    record = f"agency/intake/fhir/Task/{theirs['id']}/$record-event"
    contact = {"name": "Tribal social services", "phone": "555-0166"}
    exchange.call("POST", record, {"event": "received"})

    assert (
        exchange.call("POST", record, {"event": "transferred", "contact": contact}).status_code
        == 200
    )

    ours = exchange.get(f"{REPORTS}/Task/{task['id']}").json()
    (told,) = ours["output"][-1:]
    assert told["valueContactDetail"]["name"] == "Tribal social services"
    assert told["valueContactDetail"]["telecom"][0]["value"] == "555-0166"


def test_where_a_report_went_is_said_with_its_transfer(exchange, reported):
    """With another event it would be kept and read by nobody."""
    _, theirs = reported
    record = f"agency/intake/fhir/Task/{theirs['id']}/$record-event"

    issues = refused(exchange.call("POST", record, {"event": "received", "to": "county"}), 422)

    assert issues[0]["expression"] == ["to"]


def test_a_report_goes_on_however_often_its_order_was_saved(exchange, reported):
    """An EHR saves the order again each night; the agency can still hand the report on, as it was sent."""
    task, _ = reported
    request = exchange.get(f"{REPORTS}/{task['focus']['reference']}").json()
    for number in range(210):
        put(exchange, REPORTS, {**request, "note": [{"text": f"night {number}"}]})

    transferred(exchange, task)

    (copy,) = held(exchange, "county/intake", "ServiceRequest")
    assert copy["note"] == request["note"]
