"""An organization, or a person's inbox, that is taken out of the settings holds up nobody who stays."""

import contextlib
from datetime import timedelta

import pytest
from exchange import refused, resources
from shelves import CHART, held, put
from test_expunge import started
from test_index import undo
from test_outcome import NPI, SAYS, sent

from app.sandbox import family

MESSAGE = {"resourceType": "Communication", "status": "completed", "sender": {"display": "Kim"},
           "payload": [{"contentString": "Which ward?"}]}  # fmt: skip


@pytest.fixture
def tenants(tenants):
    """The clinic has a reporter's inbox and a treating clinician's; the agency's state tells them more."""
    people = {"dr-lin": ("reporter", NPI), "dr-pcp": ("treating", "urn:npi|77")}
    tenants[0]["shelves"] += [
        {"id": name, "kind": "cps-report", "role": "source", "audience": audience, "person": number}
        for name, (audience, number) in people.items()
    ]
    tenants[1]["jurisdiction"] = "fairview"
    return tenants


@contextlib.contextmanager
def without(exchange, gone):
    """The service, started again with settings in which this tenant or shelf is no more."""
    exchange.tenants[:] = [
        {**one, "shelves": [each for each in one["shelves"] if f"{one['id']}/{each['id']}" != gone]}
        for one in exchange.tenants
        if one["id"] != gone
    ]
    with started(exchange):
        yield


@pytest.mark.parametrize("gone", ["clinic/dr-lin", "clinic/dr-pcp"])
def test_an_inbox_that_was_closed_does_not_keep_the_outcome_from_others(exchange, gone):
    """Dr. Lin has left the clinic; the clinic still learns that the case was closed."""
    told = sent(exchange)
    told.record("received", **SAYS["received"])

    with without(exchange, gone):
        for event in ("screened-in", "investigating", "disposition", "closed"):
            told.record(event, **SAYS[event])
        assert told.seen("reports")[:2] == ("completed", "closed")
        told.record("expunged")
        assert [one["status"] for one in held(exchange, gone, "Task")] == ["entered-in-error"]


def test_a_clinic_goes_on_when_an_agency_has_left(exchange, referred):
    """The pantry closed: the child's record can still be written, and the referral taken back."""
    task, _ = referred
    rosa = exchange.get(f"{CHART}/Patient/rosa").json()

    with without(exchange, "agency"):
        assert put(exchange, CHART, {**rosa, "address": [{"text": "moved"}]}).status_code == 200
        said = {**MESSAGE, "basedOn": [task["focus"]]}
        refused(exchange.call("POST", f"{CHART}/Communication", said), 409)
        assert put(exchange, CHART, {**task, "status": "cancelled"}).status_code == 200

    assert [one["status"] for one in held(exchange, "agency/support", "Task")] == ["cancelled"]


@pytest.mark.parametrize("answered", [False, True])
def test_a_consent_is_withdrawn_though_the_agency_has_left(exchange, referred, answered):
    """The agency may come back one day; what the family has taken back is not there for it then."""
    _, theirs = referred
    if answered:
        put(exchange, "agency/support/fhir", {**theirs, "status": "accepted"})
    given = exchange.get(f"{CHART}/Consent/rosa-food").json()

    with without(exchange, "agency"):
        assert put(exchange, CHART, {**given, "status": "inactive"}).status_code == 200

    left = {one["resourceType"]: one for one in held(exchange, "agency/support")}
    assert left["Task"]["status"] == "cancelled"
    assert ("Patient" in left) is answered
    assert not answered or left["Consent"]["status"] == "inactive"


def test_an_agency_goes_on_when_a_clinic_has_left(exchange, referred, reported):
    """Its cases are its own: it answers and closes them, though nobody hears."""
    _, theirs = referred
    _, case = reported
    base = "agency/intake/fhir"

    with without(exchange, "clinic"):
        accepted = {**theirs, "status": "accepted"}
        answer = exchange.call("PUT", f"agency/support/fhir/Task/{theirs['id']}", accepted)
        assert answer.status_code == 200, answer.text
        said = {**MESSAGE, "basedOn": [case["focus"]]}
        refused(exchange.call("POST", f"{base}/Communication", said), 409)
        for event in ("received", "expunged"):
            path = f"{base}/Task/{case['id']}/$record-event"
            answer = exchange.call("POST", path, {"event": event})
            assert answer.status_code == 200, answer.text

    assert held(exchange, "clinic/reports", "Patient") == []


def test_what_waits_for_who_has_left_hides_nobodys_report(exchange):
    """Sixty reports of a clinic that is gone wait for an answer; another clinic's doctor still hears of hers."""
    from test_overdue import raised

    for number in range(60):
        made = family.another_report(f"r-{number}", "agency")
        assert resources(exchange.call("POST", "clinic/reports/fhir/$report", made), "Task")
    gone = "UPDATE exchange SET source = 'gone/reports' WHERE source = 'clinic/reports'"
    undo(exchange.database_url, gone)
    made = family.another_report("mine", "agency")
    assert resources(exchange.call("POST", "clinic/reports/fhir/$report", made), "Task")

    exchange.now += timedelta(minutes=20)

    assert len(raised(exchange, "Not confirmed")) == 1
