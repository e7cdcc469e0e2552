"""Made-up people and what is said about them, from the examples of our guide; nobody here is real."""

from __future__ import annotations

from typing import Any, Final

from app.sandbox import examples

Resource = dict[str, Any]

KINBRIDGE: Final = "https://kinbridge.example.org/fhir"
SDOHCC: Final = "http://hl7.org/fhir/us/sdoh-clinicalcare"
DOMAIN: Final = f"{SDOHCC}/CodeSystem/SDOHCC-CodeSystemTemporaryCodes"


PATIENT: Final = examples.good("patient")
AGENCY: Final[Resource] = examples.good("referral-request")["performer"][0]


def screening(instrument: str, wishes: list[str]) -> Resource:
    """What a caregiver answered, and what the family wants help with."""
    response = examples.good(f"screening-{instrument}")
    answered = [one for one in response["item"] if one["linkId"] != "help-wish"]
    if wishes:
        codings = [{"system": DOMAIN, "code": code} for code in wishes]
        wished = {"linkId": "help-wish", "answer": [{"valueCoding": one} for one in codings]}
        answered.append(wished)
    return {**response, "item": answered}


def referral(proposal: str, *, consented: bool) -> Resource:
    """A clinician's order for what the family asked for, with the family's consent."""
    bundle = examples.good("referral")
    request = _one(bundle, "ServiceRequest")
    request["basedOn"] = [{"reference": proposal}]
    if not consented:
        _without(bundle, "Consent")
        del request["supportingInfo"]
        _renamed(bundle, "food-help-unasked")
    return bundle


def report(*, by_device: bool) -> Resource:
    """A report of suspected maltreatment by a named clinician, attested; or by a machine."""
    bundle = examples.good("report")
    if by_device:
        _without(bundle, "Provenance")
        device = {"resourceType": "Device", "id": "rules", "type": {"text": "Rule engine"}}
        bundle["entry"].append({"resource": device})
        _one(bundle, "ServiceRequest")["requester"] = {"reference": "Device/rules"}
        _renamed(bundle, "report-by-device")
    return bundle


def another_report(name: str, agency: str) -> Resource:
    """The same report under another name, to another agency."""
    bundle = examples.good("report")
    attested = _one(bundle, "Provenance")
    for entry in bundle["entry"]:
        if entry["resource"] is attested:
            entry["fullUrl"] += f"-{name}"
    attested["id"] += f"-{name}"
    attested["target"] = [{"reference": f"ServiceRequest/{name}"}]
    _one(bundle, "ServiceRequest")["performer"][0]["identifier"]["value"] = agency
    _renamed(bundle, name)
    return bundle


def thin_report() -> Resource:
    """What a report says that somebody writes in a hurry: a name, a birth date, a worry."""
    bundle = examples.good("report")
    _without(bundle, "Observation")
    request = _one(bundle, "ServiceRequest")
    for element in ("extension", "priority", "supportingInfo"):
        request.pop(element, None)
    request["note"] = [{"text": "Concern for abuse."}]
    child = _one(bundle, "Patient")
    for element in ("address", "communication", "generalPractitioner", "telecom"):
        child.pop(element, None)
    return bundle


def _one(bundle: Resource, kind: str) -> Resource:
    found: Resource = next(
        one["resource"] for one in bundle["entry"] if one["resource"]["resourceType"] == kind
    )
    return found


def _without(bundle: Resource, kind: str) -> None:
    bundle["entry"] = [one for one in bundle["entry"] if one["resource"]["resourceType"] != kind]


def _renamed(bundle: Resource, name: str) -> None:
    """The request under another id and number, so that it is another request."""
    request = _one(bundle, "ServiceRequest")
    for entry in bundle["entry"]:
        if entry["resource"] is request:
            entry["fullUrl"] = f"{entry['fullUrl'].rsplit('/', 1)[0]}/{name}"
    request["id"] = request["identifier"][0]["value"] = name
