"""A consent that had run out is renewed: each side learns what the other has said meanwhile."""

from datetime import timedelta

import pytest
from exchange import agency_task, resources
from shelves import held, of, one
from test_corrections import CHART, put
from test_what_leaves import REFER

from app.sandbox import family

AGENCY = "agency/support/fhir"


@pytest.fixture
def lapsed(exchange, patient):
    """The family agreed until yesterday, and since then the agency has helped: the clinic's Task."""
    made = family.referral("ServiceRequest/none", consented=True)
    of(made, "Consent")["provision"]["period"] = {"end": "2026-11-24"}
    (task,) = resources(exchange.call("POST", REFER, made), "Task")
    exchange.now += timedelta(days=2)
    for status in ("accepted", "completed"):
        theirs = agency_task(exchange, "support", task)
        assert put(exchange, AGENCY, {**theirs, "status": status}).status_code == 200
    assert own(exchange, task)["status"] == "requested"
    return task


def own(exchange, task):
    return exchange.get(f"{CHART}/Task/{task['id']}").json()


def renewed(exchange, **provision):
    consent = exchange.get(f"{CHART}/Consent/rosa-food").json()
    said = {**consent["provision"], **provision}
    answer = put(exchange, CHART, {**consent, "provision": said})
    assert answer.status_code == 200, answer.text


def test_what_was_done_meanwhile_reaches_the_clinic(exchange, lapsed):
    """The family was helped, and the clinic would have waited for ever; it is accounted like any answer."""
    renewed(exchange, period={"end": "2027-11-24"})

    assert own(exchange, lapsed)["status"] == "completed"
    recipient, rule, disclosed = exchange.rows(
        "SELECT recipient, rule, disclosed FROM ledger WHERE rule = 'progress-with-consent'"
    )[-1]
    assert (recipient, rule) == ("clinic/chart", "progress-with-consent")
    assert lapsed["id"] in disclosed


def test_nothing_reaches_it_where_the_family_agrees_to_less(exchange, lapsed):
    """A day later that has run out as well, or another agency: the clinic learns nothing."""
    renewed(exchange, period={"end": "2026-11-24T20:00:00Z"})
    assert own(exchange, lapsed)["status"] == "requested"

    renewed(exchange, period={"end": "2027-11-24"}, type="deny")

    assert own(exchange, lapsed)["status"] == "requested"


def test_a_consent_that_changes_otherwise_tells_nothing_anew(exchange, referred):
    """What the clinic knows it is not told again."""
    task, theirs = referred
    put(exchange, AGENCY, {**theirs, "status": "accepted"})
    before = own(exchange, task), len(held(exchange, "clinic/chart", "Task"))

    renewed(exchange, period={"end": "2027-11-24"})

    assert (own(exchange, task), len(held(exchange, "clinic/chart", "Task"))) == before
    rows = exchange.rows("SELECT id FROM ledger WHERE rule = 'progress-with-consent'")
    assert len(rows) == 1


@pytest.fixture
def moved(exchange, patient):
    """The family agreed until yesterday, and has moved since; the agency has begun: its Task."""
    made = family.referral("ServiceRequest/none", consented=True)
    of(made, "Consent")["provision"]["period"] = {"end": "2026-11-24"}
    (task,) = resources(exchange.call("POST", REFER, made), "Task")
    theirs = agency_task(exchange, "support", task)
    put(exchange, AGENCY, {**theirs, "status": "accepted"})
    exchange.now += timedelta(days=2)
    assert corrected(exchange, "9 New Street").status_code == 200
    assert "9 New Street" not in str(one(exchange, "agency/support", "Patient"))
    return task


def corrected(exchange, line):
    child = exchange.get(f"{CHART}/Patient/rosa").json()
    return put(exchange, CHART, {**child, "address": [{"line": [line]}]})


def test_what_the_clinic_corrected_meanwhile_reaches_the_agency(exchange, moved):
    """The caseworker goes to the right door as soon as the family agrees again; it is accounted."""
    renewed(exchange, period={"end": "2027-11-24"})

    told = one(exchange, "agency/support", "Patient")
    assert told["address"] == [{"line": ["9 New Street"]}]
    rows = exchange.rows("SELECT recipient, disclosed FROM ledger ORDER BY id")
    assert [to for to, said in rows if f"Patient/{told['id']}" in said] == ["agency/support"] * 2


def test_a_correction_beside_the_renewal_follows_once(exchange, moved):
    """One Bundle brings both: the last word is the agency's, as its second version."""
    consent = exchange.get(f"{CHART}/Consent/rosa-food").json()
    child = exchange.get(f"{CHART}/Patient/rosa").json()
    consent["provision"]["period"] = {"end": "2027-11-24"}
    child["address"] = [{"line": ["10 New Street"]}]
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in (consent, child)
    ]

    answer = exchange.call(
        "POST", CHART, {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    )

    assert answer.status_code == 200, answer.text
    told = one(exchange, "agency/support", "Patient")
    assert told["address"] == [{"line": ["10 New Street"]}]
    assert told["meta"]["versionId"] == "2"


def test_nothing_is_corrected_where_the_family_agrees_to_less(exchange, moved):
    """Another day that has passed, or a refusal: the agency keeps what it was sent."""
    renewed(exchange, period={"end": "2026-11-24T20:00:00Z"})
    renewed(exchange, period={"end": "2027-11-24"}, type="deny")

    assert "9 New Street" not in str(held(exchange, "agency/support", "Patient"))
