"""The accounting over HTTP: what a shelf has disclosed about a person, for its privacy officer."""

import json

import pytest
from asking import asked, bundle
from exchange import refused
from fhir.resources.R4B import get_fhir_model_class
from test_accounting import account

from app.sandbox import family

REPORTS = "clinic/reports/fhir"
PROFILE = "https://kinbridge.example.org/fhir/StructureDefinition/disclosure-audit"


def events(answer):
    assert answer.status_code == 200, answer.text
    assert answer.json()["type"] == "collection"
    return [one["resource"] for one in answer.json().get("entry", [])]


def told(event):
    """A row as `kinbridge policy account` prints it."""
    decision = event["extension"][0]["extension"]
    of = {
        name: [one["valueString"] for one in decision if one["url"] == name]
        for name in ("rule", "basis")
    }
    types = sorted(one["what"]["type"] for one in event["entity"] if "type" in one["what"])
    return [
        event["recorded"], event["agent"][1]["who"]["display"],
        event["purposeOfEvent"][0]["coding"][0]["code"], of["rule"][0], "; ".join(of["basis"]),
        ", ".join(types),
    ]  # fmt: skip


@pytest.fixture
def talked(exchange, reported):
    """A report, and a message to intake about it."""
    task, theirs = reported
    message = {
        "resourceType": "Communication", "status": "completed", "basedOn": [task["focus"]],
        "sender": {"display": "Dr. Lin"}, "payload": [{"contentString": "She is on ward 3."}],
    }  # fmt: skip
    assert exchange.call("POST", f"{REPORTS}/Communication", message).status_code == 201
    return task, theirs


def test_the_privacy_officer_reads_who_received_what(exchange, talked):
    """Over HTTP it is what the command prints: when, to whom, why, by which rule and law, what."""
    found = events(exchange.get(f"{REPORTS}/Patient/rosa/$account"))

    *rows, _ = account(exchange, "clinic/reports", "Patient/rosa")
    assert [told(one) for one in found] == rows
    assert len(rows) == 2
    assert all(one["entity"][0]["what"]["reference"] == "Patient/rosa" for one in found)
    assert len({one["id"] for one in found}) == len(found)


def test_each_row_keeps_the_guides_profile(exchange, talked):
    """What is handed out is FHIR, in the shape that the guide says, and labelled as the report is."""
    for event in events(exchange.get(f"{REPORTS}/Patient/rosa/$account")):
        get_fhir_model_class("AuditEvent").model_validate(event)
        said = exchange.call("POST", f"{REPORTS}/$validate?profile={PROFILE}", event).json()
        assert not [one for one in said["issue"] if one["severity"] in {"error", "fatal"}], said
        assert {"V", "NOPAT"} <= {one["code"] for one in event["meta"]["security"]}


def test_it_says_who_asked_for_it(exchange, talked):
    """The clinician who reported, by the clinic's own record; a message's writer who is only a name is nobody here."""
    found = events(exchange.get(f"{REPORTS}/Patient/rosa/$account"))

    asked = [[one["who"] for one in event["agent"] if one["requestor"]] for event in found]
    task, _ = talked
    request = exchange.get(f"{REPORTS}/{task['focus']['reference']}").json()
    assert asked[0] == [{"reference": request["requester"]["reference"]}]
    assert asked[1] == [{"display": "anonymous"}]


def test_nothing_of_the_agencys_shelf_or_of_what_was_said_is_in_it(exchange, talked):
    """Types in brief: no id of a copy, no shelf, no name, no word of the report."""
    _, theirs = talked
    text = exchange.get(f"{REPORTS}/Patient/rosa/$account").text

    for hidden in (theirs["id"], "agency/intake", "ward 3", family.PATIENT["name"][0]["family"]):
        assert hidden not in text


def test_it_is_asked_where_it_was_disclosed(exchange, talked):
    """The agency, which received, has no such operation; the chart has disclosed nothing."""
    _, theirs = talked
    child = theirs["for"]["reference"]

    refused(exchange.get(f"agency/intake/fhir/{child}/$account"), 422, "not-supported")
    refused(exchange.get("clinic/chart/fhir/Patient/rosa/$account"), 404)
    exchange.call("PUT", "clinic/chart/fhir/Patient/rosa", family.PATIENT)
    assert events(exchange.get("clinic/chart/fhir/Patient/rosa/$account")) == []
    for shelf in ("clinic/reports", "agency/intake"):
        assert exchange.get(f"{shelf}/fhir/AuditEvent?_summary=count").json()["total"] == 0


def test_nobody_is_not_nothing(exchange, talked):
    """An id that nobody has is refused: an empty account would say that nothing was disclosed."""
    refused(exchange.get(f"{REPORTS}/Patient/rose/$account"), 404, "not-found")
    refused(exchange.get(f"{REPORTS}/Task/rosa/$account"), 404)


def test_to_read_the_accounting_is_a_scope_of_its_own(exchange, talked, register):
    """Who may read every resource may not; who may only this, may nothing else."""
    reader = register("reader", "clinic/reports", "system/*.cruds", "kinbridge/report")
    officer = register("officer", "clinic/reports", "kinbridge/account")
    path = f"{REPORTS}/Patient/rosa/$account"

    said = refused(exchange.get(path, Authorization=reader), 403, "forbidden")
    assert "kinbridge/account" in said[0]["details"]["text"]
    inside = exchange.call(
        "POST",
        REPORTS,
        bundle("batch", asked("GET", "Patient/rosa/$account")),
        Authorization=reader,
    )
    assert inside.json()["entry"][0]["response"]["status"].startswith("403")
    assert len(events(exchange.get(path, Authorization=officer))) == 2
    refused(exchange.get(f"{REPORTS}/Patient/rosa", Authorization=officer), 403)
    refused(exchange.get("clinic/chart/fhir/Patient/rosa/$account", Authorization=officer), 404)


def test_it_stays_when_the_case_is_expunged(exchange, talked):
    """That something was disclosed stays on record; what it said is gone."""
    _, theirs = talked
    before = exchange.get(f"{REPORTS}/Patient/rosa/$account").json()
    event = f"agency/intake/fhir/Task/{theirs['id']}/$record-event"

    assert exchange.call("POST", event, {"event": "expunged"}).status_code == 200

    assert exchange.get(f"{REPORTS}/Patient/rosa/$account").json() == before
    assert json.dumps(before).count("AuditEvent") == 2


def test_where_it_can_be_asked_is_declared(exchange):
    """Of Patient on the shelves that refer and report, and nowhere else."""
    for shelf, has in {
        "clinic/chart": True,
        "clinic/reports": True,
        "agency/intake": False,
    }.items():
        said = exchange.get(f"{shelf}/fhir/metadata").json()["rest"][0]["resource"]
        names = {(one["type"], act["name"]) for one in said for act in one["operation"]}
        assert (("Patient", "account") in names) is has


def test_records_that_are_one_person_have_one_account(exchange, patient):
    """What went under the number that was merged away is asked for under either; apart again, not."""
    chart = "clinic/chart/fhir"
    sent = family.referral("ServiceRequest/none", consented=True)
    assert exchange.call("POST", f"{chart}/$refer", sent).status_code == 200
    exchange.call("PUT", f"{chart}/Patient/rosa-2", {"resourceType": "Patient", "id": "rosa-2"})
    two = {"resourceType": "Parameters", "parameter": [
        {"name": "source", "valueReference": {"reference": "Patient/rosa"}},
        {"name": "target", "valueReference": {"reference": "Patient/rosa-2"}},
    ]}  # fmt: skip
    (before,) = events(exchange.get(f"{chart}/Patient/rosa/$account"))

    assert exchange.call("POST", f"{chart}/$link", two).status_code == 200
    for one in ("rosa", "rosa-2"):
        assert events(exchange.get(f"{chart}/Patient/{one}/$account")) == [before]
        assert account(exchange, "clinic/chart", f"Patient/{one}")[-1] == ["1 disclosure"]

    assert exchange.call("POST", f"{chart}/$unlink", two).status_code == 200
    assert events(exchange.get(f"{chart}/Patient/rosa-2/$account")) == []
    assert events(exchange.get(f"{chart}/Patient/rosa/$account")) == [before]
