"""What a referral for help must not tell, and what its writer believes that it tells."""

import json

import pytest
from exchange import resources
from shelves import CHART, CHILD, REFER, attached, coded, held, of, put, seen

from app.sandbox import family

ICD = "http://hl7.org/fhir/sid/icd-10-cm"
SNOMED = "http://snomed.info/sct"
OURS = f"{family.KINBRIDGE}/CodeSystem"
SDOH = f"{family.SDOHCC}/CodeSystem/SDOHCC-CodeSystemTemporaryCodes"


def fact(code, value=None):
    said = {"valueCodeableConcept": value} if value else {}
    return seen("fact", code=code, valueString=None, **said)


def diagnosis(code):
    """As a social need on the problem list, which may go."""
    categories = "http://terminology.hl7.org/CodeSystem/condition-category"
    return {
        "resourceType": "Condition", "id": "fact", "subject": CHILD, "code": code,
        "clinicalStatus": coded("http://terminology.hl7.org/CodeSystem/condition-clinical", "active"),
        "verificationStatus": coded("http://terminology.hl7.org/CodeSystem/condition-ver-status", "confirmed"),
        "category": [coded(categories, "problem-list-item"), coded(SDOH, "food-insecurity"),
                     coded("http://hl7.org/fhir/us/core/CodeSystem/us-core-category", "sdoh")],
    }  # fmt: skip


SUSPICIONS = {
    "a fact of a report": fact(
        coded(f"{OURS}/cps-observation", "injury-finding"), {"text": "seen"}
    ),
    "a finding of a report": fact({"text": "skin"}, coded(f"{OURS}/cps-injury-finding", "bruises")),
    "suspected abuse": diagnosis(coded(ICD, "T76.12XA")),
    "confirmed neglect": diagnosis(coded(ICD, "T74.02XA")),
    "an examination": diagnosis(coded(ICD, "Z04.72")),
    "a history": diagnosis(coded(ICD, "Z62.810")),
    "a child at risk": fact({"text": "assessment"}, coded(SNOMED, "160877008")),
    "beside something else": fact(
        {"text": "assessment"},
        {"coding": [*coded(ICD, "T76.12XA")["coding"], *coded(SNOMED, "733423003")["coding"]]},
    ),
}


@pytest.mark.parametrize("one", SUSPICIONS.values(), ids=SUSPICIONS.keys())
def test_a_suspicion_does_not_go_with_a_referral_for_help(exchange, patient, one):
    """The family asked for food; who brings it does not learn that somebody suspects it."""
    made = attached(family.referral("ServiceRequest/none", consented=True), one)

    answer = exchange.call("POST", REFER, made)

    assert resources(answer, "Task")
    assert "stays behind" in answer.text
    assert held(exchange, "agency/support", one["resourceType"]) == []


def test_a_suspicion_that_came_later_does_not_follow(exchange, patient):
    """A need that was sent is rewritten as a suspicion: the agency's copy stays a need."""
    need = diagnosis(coded(ICD, "Z59.41"))
    made = attached(family.referral("ServiceRequest/none", consented=True), need)
    assert resources(exchange.call("POST", REFER, made), "Task")

    put(exchange, CHART, diagnosis(coded(ICD, "T76.02XA")))

    assert "T76" not in json.dumps(held(exchange, "agency/support"))
    (copy,) = held(exchange, "agency/support", "Condition")
    assert copy["code"] == need["code"]


SAID = {
    "note": [{"text": "Please call the grandmother."}],
    "description": "Please call the grandmother.",
    "input": [{"type": {"text": "wish"}, "valueString": "Please call the grandmother."}],
    "restriction": {"period": {"end": "2026-12-01"}},
}


@pytest.mark.parametrize("element", SAID)
def test_what_is_said_where_nobody_reads_it_is_told(exchange, patient, element):
    """The nurse writes a word to the agency onto the Task: she learns where it has to stand."""
    made = family.referral("ServiceRequest/none", consented=True)
    request = of(made, "ServiceRequest")
    task = {
        "resourceType": "Task", "id": "own", "status": "requested", "intent": "order", "for": CHILD,
        "focus": {"reference": f"ServiceRequest/{request['id']}"}, "owner": request["performer"][0],
        element: SAID[element],
    }  # fmt: skip
    made["entry"].append({"fullUrl": "https://ehr.example.org/fhir/Task/own", "resource": task})

    answer = exchange.call("POST", REFER, made)

    told = [one for outcome in resources(answer, "OperationOutcome") for one in outcome["issue"]]
    assert [one["expression"] for one in told] == [[f"Task.{element}"]]
    assert "grandmother" not in json.dumps(held(exchange, "agency/support"))
    assert "grandmother" not in json.dumps(told)
