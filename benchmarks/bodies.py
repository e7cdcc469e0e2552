"""What the load sends: resources of a referral exchange, of the sizes that EHRs send."""

from __future__ import annotations

import json
from typing import Any

Resource = dict[str, Any]

NUMBER = "@n@"  # another number in each request
ID = "@id@"  # one of the ids that are there already

_LOINC = "http://loinc.org"
_DOMAINS = "http://hl7.org/fhir/us/sdoh-clinicalcare/CodeSystem/SDOHCC-CodeSystemTemporaryCodes"
_CATEGORIES = "http://terminology.hl7.org/CodeSystem/observation-category"
_PROFILES = "http://hl7.org/fhir/us/sdoh-clinicalcare/StructureDefinition"
_LOCAL = "https://bench.example.org"
_AT = "2026-01-05T10:00:00Z"


def _concept(system: str, code: str, display: str) -> Resource:
    return {"coding": [{"system": system, "code": code, "display": display}]}


def task(status: str = "requested", word: str = "sent to the agency") -> Resource:
    """A referral's Task of 1.8 KB."""
    return {
        "resourceType": "Task",
        "meta": {"profile": [f"{_PROFILES}/SDOHCC-TaskForReferralManagement"]},
        "identifier": [{"use": "official", "system": f"{_LOCAL}/referral", "value": f"r-{NUMBER}"}],
        "status": status,
        "statusReason": {"text": "waiting for the caregiver to call back"},
        "businessStatus": {"text": word},
        "intent": "order",
        "priority": "routine",
        "code": _concept("http://hl7.org/fhir/CodeSystem/task-code", "fulfill", "Fulfill it"),
        "description": "The family asks for help with food and rent; call after five, in Spanish.",
        "focus": {"reference": "ServiceRequest/order-17"},
        "for": {"reference": "Patient/child-4", "display": "Luz Maria Rivera"},
        "executionPeriod": {"start": "2026-01-05", "end": "2026-03-05"},
        "authoredOn": _AT,
        "lastModified": _AT,
        "requester": {
            "reference": "PractitionerRole/doctor-1",
            "display": "Dr. Ngozi Okafor, Springfield Pediatrics",
        },
        "owner": {"reference": "Organization/agency-3", "display": "County Family Services"},
        "note": [
            {
                "authorString": "Dr. Ngozi Okafor",
                "time": _AT,
                "text": "Asked today with PRAPARE. There are two children at home. The caregiver has "
                "signed the consent that the order names and may be called on the mobile number.",
            },
            {
                "authorString": "Springfield Pediatrics, front desk",
                "time": "2026-01-05T10:05:00Z",
                "text": "Weekdays after five in the afternoon are best, in Spanish. There is no car, "
                "and the bus is twenty minutes away on foot; somewhere near the school would do. "
                "Every other week the caregiver works nights. If nobody answers, please call the "
                "clinic and not the school, and tell us whom to ask at the agency, so that we can "
                "follow up without calling the family again about what they have said already.",
            },
        ],
        "restriction": {"period": {"end": "2026-03-05"}},
    }


def update() -> Resource:
    return {**task("in-progress", f"word {NUMBER}"), "id": ID}


def _patient() -> Resource:
    return {
        "resourceType": "Patient",
        "identifier": [
            {
                "type": _concept("http://terminology.hl7.org/CodeSystem/v2-0203", "MR", "Record"),
                "system": f"{_LOCAL}/mrn",
                "value": f"m-{NUMBER}",
            }
        ],
        "active": True,
        "name": [{"use": "official", "family": "Rivera", "given": ["Luz", "Maria"]}],
        "telecom": [{"system": "phone", "value": "+1-555-0102", "use": "mobile"}],
        "gender": "female",
        "birthDate": "2019-03-14",
        "address": [
            {"line": ["22 Oak Avenue"], "city": "Springfield", "state": "CA", "postalCode": "90001"}
        ],
        "communication": [{"language": _concept("urn:ietf:bcp:47", "es", "Spanish")}],
    }


def _response(child: str) -> Resource:
    """A response of 21 answers, 5 KB, to no instrument that the service knows: stored, no more."""
    return {
        "resourceType": "QuestionnaireResponse",
        "identifier": {"system": f"{_LOCAL}/screening", "value": f"s-{NUMBER}"},
        "questionnaire": f"{_LOCAL}/Questionnaire/twenty-one",
        "status": "completed",
        "subject": {"reference": child},
        "authored": _AT,
        "item": [
            {
                "linkId": f"/{number:05}-0",
                "text": "A question that is asked in full and in plain words, as instruments ask "
                f"them, on subject {number}",
                "answer": [{"valueCoding": {"system": _LOINC, "code": f"LA{3000 + number}-1"}}],
            }
            for number in range(21)
        ],
    }


def _observation(number: int, child: str, response: str) -> Resource:
    return {
        "resourceType": "Observation",
        "meta": {"profile": [f"{_PROFILES}/SDOHCC-ObservationScreeningResponse"]},
        "identifier": [{"system": f"{_LOCAL}/answer", "value": f"o-{NUMBER}-{number}"}],
        "status": "final",
        "category": [
            _concept(_CATEGORIES, "survey", "Survey"),
            _concept("http://hl7.org/fhir/us/core/CodeSystem/us-core-category", "sdoh", "SDOH"),
            _concept(_DOMAINS, "sdoh-category-unspecified", "SDOH Category Unspecified"),
        ],
        "code": {
            "coding": [{"system": _LOINC, "code": f"{93000 + number}-7"}],
            "text": "A question that is asked in full and in plain words",
        },
        "subject": {"reference": child},
        "effectiveDateTime": _AT,
        "issued": _AT,
        "performer": [{"reference": child}],
        "derivedFrom": [{"reference": response}],
        "valueCodeableConcept": {"coding": [{"system": _LOINC, "code": f"LA{3000 + number}-1"}]},
    }


def transaction() -> Resource:
    """A child, a response and 28 Observations, which name each other by urn:uuid."""
    names = [f"urn:uuid:00000000-0000-4000-8000-{number:012}" for number in range(30)]
    observations = [_observation(number, names[0], names[1]) for number in range(28)]
    resources = [_patient(), _response(names[0]), *observations]
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": name,
                "resource": one,
                "request": {"method": "POST", "url": one["resourceType"]},
            }
            for name, one in zip(names, resources, strict=True)
        ],
    }


def text(resource: Resource) -> str:
    return json.dumps(resource, separators=(",", ":"))
