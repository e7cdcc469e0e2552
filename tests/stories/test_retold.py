"""What an agency corrects of what it told the clinic of a voluntary referral: the clinic has it right, too."""

import json

import pytest
from shelves import CHART, held, put

from app.sandbox import family

AGENCY = "agency/support/fhir"


@pytest.fixture
def told(exchange, referred):
    """The agency has told what it did; its record of that, and the clinic's Task."""
    task, theirs = referred
    done = {"resourceType": "Procedure", "id": "done", "status": "completed", "subject": theirs["for"],
            "code": {"text": "Pantry application"}, "note": [{"text": "for us alone"}]}  # fmt: skip
    assert put(exchange, AGENCY, done).status_code == 201
    kind = {"coding": [{"system": family.DOMAIN, "code": "resulting-activity"}]}
    output = [{"type": kind, "valueReference": {"reference": "Procedure/done"}}]
    said = {**theirs, "status": "accepted"}
    assert put(exchange, AGENCY, said).status_code == 200
    assert (
        put(exchange, AGENCY, {**said, "status": "in-progress", "output": output}).status_code
        == 200
    )
    assert len(held(exchange, "clinic/chart", "Procedure")) == 1
    return done, task


def ledger(exchange):
    return exchange.rows("SELECT source, recipient, rule, disclosed FROM ledger ORDER BY id")


def test_the_clinic_reads_what_was_corrected(exchange, told):
    """It was another help than was written down first; the agency's own note stays with it."""
    done, _ = told
    before = len(ledger(exchange))

    put(
        exchange,
        AGENCY,
        {**done, "code": {"text": "School meals"}, "note": [{"text": "still ours"}]},
    )

    (copy,) = held(exchange, "clinic/chart", "Procedure")
    assert copy["code"] == {"text": "School meals"}
    assert copy["subject"] == {"reference": "Patient/rosa"}
    assert "ours" not in json.dumps(held(exchange, "clinic/chart"))
    (row,) = ledger(exchange)[before:]
    assert row[:3] == ("agency/support", "clinic/chart", "progress-with-consent")
    assert json.loads(row[3]) == [f"Procedure/{copy['id']}"]


@pytest.mark.parametrize(
    "change", [{"status": "entered-in-error"}, {"subject": {"reference": "Patient/other"}}]
)
def test_help_that_was_another_familys_is_an_error(exchange, told, change):
    """It was entered in the wrong case: the clinic reads that it never was, and nothing of the other family."""
    done, _ = told
    other = {"resourceType": "Patient", "id": "other", "name": [{"family": "Other"}]}
    put(exchange, AGENCY, other)

    put(exchange, AGENCY, {**done, **change, "code": {"text": "Shelter"}})

    (copy,) = held(exchange, "clinic/chart", "Procedure")
    assert (copy["status"], copy["code"]) == ("entered-in-error", {"text": "Pantry application"})


def test_of_a_referral_that_was_taken_back_nothing_more_is_told(exchange, told):
    """The order was an error: what the agency writes into its own record later is its own, and says nothing here."""
    done, task = told
    assert put(exchange, CHART, {**task, "status": "entered-in-error"}).status_code == 200
    before = held(exchange, "clinic/chart", "Procedure"), len(ledger(exchange))

    assert put(exchange, AGENCY, {**done, "code": {"text": "School meals"}}).status_code == 200

    assert (held(exchange, "clinic/chart", "Procedure"), len(ledger(exchange))) == before


def test_what_the_clinic_cannot_see_makes_no_new_version(exchange, told):
    """A note of the agency's own is no news to the clinic, not even by a time or a number."""
    done, _ = told
    before = held(exchange, "clinic/chart", "Procedure"), len(ledger(exchange))

    put(exchange, AGENCY, {**done, "note": [{"text": "another"}]})

    assert (held(exchange, "clinic/chart", "Procedure"), len(ledger(exchange))) == before


def test_after_the_consent_nothing_follows_back(exchange, told):
    """The family has withdrawn it: the clinic's copy stays, and the agency is told."""
    done, _ = told
    given = exchange.get(f"{CHART}/Consent/rosa-food").json()
    put(exchange, CHART, {**given, "status": "inactive"})

    answer = put(
        exchange, AGENCY, {**done, "code": {"text": "Later"}}, Prefer="return=OperationOutcome"
    )

    assert "stays as it was" in answer.text
    assert "Later" not in json.dumps(held(exchange, "clinic/chart"))


def test_a_record_that_was_never_told_is_not_told_by_a_change(exchange, referred):
    """The agency's own work is its own until it says so on its Task."""
    _, theirs = referred
    own = {"resourceType": "Procedure", "id": "own", "status": "in-progress", "subject": theirs["for"],
           "code": {"text": "Visit"}}  # fmt: skip
    put(exchange, AGENCY, own)

    assert put(exchange, AGENCY, {**own, "status": "completed"}).status_code == 200

    assert held(exchange, "clinic/chart", "Procedure") == []
