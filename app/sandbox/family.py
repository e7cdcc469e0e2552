"""Made-up people and what is said about them; nobody here is real."""

from __future__ import annotations

import copy
from typing import Any, Final

Resource = dict[str, Any]

KINBRIDGE: Final = "https://kinbridge.example.org/fhir"
SDOHCC: Final = "http://hl7.org/fhir/us/sdoh-clinicalcare"
DOMAIN: Final = f"{SDOHCC}/CodeSystem/SDOHCC-CodeSystemTemporaryCodes"
EHR: Final = "https://ehr.example.org"
AGENCY: Final = {
    "identifier": {"system": f"{KINBRIDGE}/sid/tenant", "value": "agency"},
    "display": "Riverside Children and Families",
}
PATIENT: Final[Resource] = {
    "resourceType": "Patient",
    "id": "rosa",
    "identifier": [{"system": f"{EHR}/mrn", "value": "100-42"}],
    "name": [{"family": "Example", "given": ["Rosa"]}],
    "gender": "female",
    "birthDate": "2021-05-04",
    "address": [{"line": ["12 Sample Street"], "city": "Riverside"}],
}
_DOCTOR: Final[Resource] = {
    "resourceType": "Practitioner",
    "id": "dr-lin",
    "name": [{"family": "Lin", "given": ["Ada"]}],
}
_ROLE: Final[Resource] = {
    "resourceType": "PractitionerRole",
    "id": "dr-lin-pediatrics",
    "practitioner": {"reference": "Practitioner/dr-lin", "display": "Dr. Ada Lin"},
    "organization": {"display": "Riverside Pediatrics"},
    "telecom": [{"system": "phone", "value": "555-0111"}],
}
PEOPLE: Final = (PATIENT, _DOCTOR, _ROLE)

_ANSWERS: Final = {
    "hunger-vital-sign": {"/88122-7": "LA28397-0", "/88123-5": "LA28398-8"},
    "prapare": {
        "/93042-0/71802-3": "LA30189-7",
        "/93042-0/93033-9": "LA33-6",
        "/93041-2/67875-5": "LA17956-6",
        "/93041-2/93030-5": "LA30134-3",
        "/93040-4/93029-7": "LA30131-9",
        "/93040-4/93038-8": "LA30122-8",
    },
}
_CANONICALS: Final = {
    "hunger-vital-sign": f"{SDOHCC}/Questionnaire/SDOHCC-QuestionnaireHungerVitalSign",
    "prapare": f"{SDOHCC}/Questionnaire/SDOHCC-QuestionnairePRAPARE",
}


def screening(instrument: str, wishes: list[str]) -> Resource:
    """What a caregiver answered, and what the family wants help with."""
    answers = {
        link_id: [{"valueCoding": {"system": "http://loinc.org", "code": code}}]
        for link_id, code in _ANSWERS[instrument].items()
    }
    if wishes:
        codings = [{"system": DOMAIN, "code": code} for code in wishes]
        answers["help-wish"] = [{"valueCoding": coding} for coding in codings]
    return {
        "resourceType": "QuestionnaireResponse",
        "identifier": {"system": f"{EHR}/forms", "value": instrument},
        "questionnaire": _CANONICALS[instrument],
        "status": "completed",
        "subject": {"reference": "Patient/rosa"},
        "authored": "2026-11-23T09:15:00Z",
        "item": [{"linkId": link_id, "answer": answer} for link_id, answer in answers.items()],
    }


def referral(proposal: str, *, consented: bool) -> Resource:
    """A clinician's order for what the family asked for, with the family's consent."""
    request: Resource = {
        "resourceType": "ServiceRequest",
        "id": "food-help" if consented else "food-help-unasked",
        "meta": {"profile": [f"{SDOHCC}/StructureDefinition/SDOHCC-ServiceRequest"]},
        "identifier": [{"system": f"{EHR}/orders", "value": f"food-{consented}"}],
        "basedOn": [{"reference": proposal}],
        "status": "active",
        "intent": "order",
        "category": [{"coding": [{"system": DOMAIN, "code": "food-insecurity"}]}],
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "467771000124109",
                             "display": "Assistance with application for food pantry program"}]},
        "subject": {"reference": "Patient/rosa"},
        "authoredOn": "2026-11-23T09:30:00Z",
        "requester": {"reference": "PractitionerRole/dr-lin-pediatrics"},
        "performer": [AGENCY],
    }  # fmt: skip
    if not consented:
        return _bundle([request])
    request["supportingInfo"] = [{"reference": "Consent/rosa-food"}]
    code = "http://terminology.hl7.org/CodeSystem"
    consent = {
        "resourceType": "Consent",
        "id": "rosa-food",
        "status": "active",
        "scope": {"coding": [{"system": f"{code}/consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": f"{code}/v3-ActCode", "code": "IDSCL"}]}],
        "patient": {"reference": "Patient/rosa"},
        "dateTime": "2026-11-23T09:25:00Z",
        "organization": [{"display": "Riverside Pediatrics"}],
        "sourceAttachment": {"title": "Signed form, kept at the clinic"},
        "policyRule": {"coding": [{"system": f"{code}/consentpolicycodes", "code": "hipaa-auth"}]},
        "provision": {
            "actor": [
                {
                    "role": {
                        "coding": [{"system": f"{code}/v3-ParticipationType", "code": "IRCP"}]
                    },
                    "reference": AGENCY,
                }
            ]
        },
    }
    return _bundle([consent, request])


def report(*, by_device: bool) -> Resource:
    """A report of suspected maltreatment by a named clinician, attested; or by a machine."""
    name = "report-by-device" if by_device else "report"
    request: Resource = {
        "resourceType": "ServiceRequest",
        "id": name,
        "identifier": [{"system": f"{EHR}/reports", "value": name}],
        "status": "active",
        "intent": "order",
        "priority": "urgent",
        "category": [{"coding": [{"system": f"{KINBRIDGE}/CodeSystem/cps-purpose",
                                  "code": "cps-report"}]}],
        "code": {"text": "Report of suspected child maltreatment"},
        "subject": {"reference": "Patient/rosa"},
        "authoredOn": "2026-11-23T14:05:00Z",
        "requester": {"reference": "PractitionerRole/dr-lin-pediatrics"},
        "performer": [AGENCY],
        "reasonCode": [{"coding": [{"system": f"{KINBRIDGE}/CodeSystem/cps-allegation",
                                    "code": "physical-abuse"}]}],
        "note": [{"text": "Seen today by Dr. Lin at 2 pm: a patterned bruise on the left upper arm"
                          " that the account given does not explain."}],
    }  # fmt: skip
    if by_device:
        device = {"resourceType": "Device", "id": "rules", "type": {"text": "Rule engine"}}
        return _bundle([device, {**request, "requester": {"reference": "Device/rules"}}])
    attestation = {
        "resourceType": "Provenance",
        "id": "report-attested",
        "target": [{"reference": "ServiceRequest/report"}],
        "recorded": "2026-11-23T14:05:00Z",
        "agent": [
            {
                "type": {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type",
                            "code": "attester",
                        }
                    ]
                },
                "who": {"reference": "PractitionerRole/dr-lin-pediatrics"},
            }
        ],
    }
    return _bundle([request, attestation])


def _bundle(resources: list[Resource]) -> Resource:
    entries = [{"resource": copy.deepcopy(one)} for one in (*PEOPLE, *resources)]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}
