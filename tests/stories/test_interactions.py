"""Create, update and delete: what stands, what is answered, what a shelf takes."""

import pytest
from asking import CHART, PATIENT
from exchange import refused

from app.sandbox import family

INCOMPLETE = {"resourceType": "Observation", "status": "final"}


def test_what_is_deleted_is_gone_and_its_history_stays(exchange, patient):
    """A deleted resource answers 410, its versions stand, and it can come back."""
    assert exchange.call("DELETE", PATIENT).status_code == 204

    refused(exchange.get(PATIENT), 410, "deleted")
    assert exchange.get(f"{PATIENT}/_history/1").json() == patient
    refused(exchange.get(f"{PATIENT}/_history/2"), 410)
    assert exchange.call("DELETE", PATIENT).status_code == 204
    back = exchange.call("PUT", PATIENT, family.PATIENT)
    assert (back.status_code, back.json()["meta"]["versionId"]) == (201, "3")
    assert exchange.call("DELETE", f"{CHART}/Patient/never").status_code == 204


def test_a_sent_referral_cannot_be_deleted(exchange, referred):
    """Neither the clinic nor the agency can make a referral vanish."""
    task, theirs = referred

    refused(exchange.call("DELETE", f"{CHART}/Task/{task['id']}"), 409)
    refused(exchange.call("DELETE", f"agency/support/fhir/Task/{theirs['id']}"), 409)
    refused(exchange.call("DELETE", f"agency/support/fhir/{theirs['focus']['reference']}"), 403)


@pytest.mark.parametrize(
    ("prefer", "kind"),
    [
        ("return=minimal", None),
        ("return=representation", "Patient"),
        ("return=OperationOutcome", "OperationOutcome"),
        ("", "Patient"),
    ],
)
def test_prefer_says_what_comes_back(exchange, prefer, kind):
    """Nothing, the resource, or what there is to say about it; the resource by default."""
    answer = exchange.call("POST", f"{CHART}/Patient", {"resourceType": "Patient"}, Prefer=prefer)

    assert answer.status_code == 201
    assert (answer.json()["resourceType"] if answer.content else None) == kind


def test_what_is_missing_is_stored_and_said_when_asked(exchange):
    """A resource without a required element is not lost; who asks is told what is missing."""
    answer = exchange.call(
        "POST", f"{CHART}/Observation", INCOMPLETE, Prefer="return=OperationOutcome"
    )

    assert answer.status_code == 201
    errors = [one for one in answer.json()["issue"] if one["severity"] == "error"]
    assert [one["expression"] for one in errors] == [["Observation"]]


@pytest.mark.parametrize("strict", [{"clinic/chart"}])
def test_a_strict_shelf_refuses_what_others_report(exchange, strict):
    """A shelf that is set to strict takes only what keeps R4's rules."""
    refused(exchange.call("POST", f"{CHART}/Observation", INCOMPLETE), 422)

    assert exchange.call("POST", "clinic/reports/fhir/Observation", INCOMPLETE).status_code == 201
