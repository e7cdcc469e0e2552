"""The child welfare agency's case system: its own FHIR server, and what its people do there."""

from __future__ import annotations

from typing import Final

from app.sandbox.call import send
from app.sandbox.family import DOMAIN, KINBRIDGE
from app.sandbox.server import Act, Resource, Store

_COPY: Final = f"{KINBRIDGE}/sid/copy"
_WORKER: Final[Resource] = {
    "resourceType": "PractitionerRole",
    "id": "intake-desk",
    "practitioner": {"display": "Sam Porter, intake"},
    "telecom": [{"system": "phone", "value": "555-0142"}],
}


def acts(store: Store, exchange: str) -> dict[str, Act]:
    """
    What a caseworker does; the agency's own Task is changed first, then the exchange is told.

    exchange    base URL of the service
    """

    def step(wanted: Resource) -> Resource:
        """
        One step on a Task; {"task", "shelf", "status", "business_status", "helped", "note"}.

        task        id on the agency's own server
        helped      what was done, for a completed referral
        """
        base = f"{exchange}/agency/{wanted['shelf']}/fhir"
        task = store.read("Task", wanted["task"]) or {}
        theirs = _theirs(task)
        task["status"] = wanted["status"]
        if wanted.get("business_status"):
            code = {"system": f"{KINBRIDGE}/CodeSystem/cps-task-status"}
            task["businessStatus"] = {"coding": [{**code, "code": wanted["business_status"]}]}
            send("PUT", f"{base}/PractitionerRole/intake-desk", _WORKER)
            task["owner"] = {"reference": "PractitionerRole/intake-desk"}
        if wanted.get("intake_number"):
            code = {"system": f"{KINBRIDGE}/CodeSystem/task-output", "code": "intake-number"}
            number = {"type": {"coding": [code]}, "valueString": wanted["intake_number"]}
            task["output"] = [*task.get("output", []), number]
        if wanted.get("finding"):
            code = {"system": f"{KINBRIDGE}/CodeSystem/task-output", "code": "disposition"}
            found = {"system": f"{KINBRIDGE}/CodeSystem/cps-disposition", "code": wanted["finding"]}
            finding = {"type": {"coding": [code]}, "valueCodeableConcept": {"coding": [found]}}
            task["output"] = [*task.get("output", []), finding]
        if wanted.get("helped"):
            person = store.read(*task["for"]["reference"].split("/")) or {}
            done = _procedure(task, wanted["helped"], f"Patient/{_theirs(person)}")
            send("PUT", f"{base}/Procedure/{done['id']}", done)
            kind = {"coding": [{"system": DOMAIN, "code": "resulting-activity"}]}
            reference = {"reference": f"Procedure/{done['id']}"}
            task["output"] = [{"type": kind, "valueReference": reference}]
        store.put(task)
        return send("PUT", f"{base}/Task/{theirs}", {**task, "id": theirs})

    def record(wanted: Resource) -> Resource:
        """An event in a few words; {"tenant", "task" (id on the agency's own server), "said"}."""
        task = store.read("Task", wanted["task"]) or {}
        base = f"{exchange}/{wanted['tenant']}/intake/fhir"
        return send("POST", f"{base}/Task/{_theirs(task)}/$record-event", wanted["said"])

    return {"step": step, "record": record}


def _theirs(resource: Resource) -> str:
    """The id that the exchange knows it by."""
    copies = [one["value"] for one in resource["identifier"] if one.get("system") == _COPY]
    return str(copies[0])


def _procedure(task: Resource, what: str, patient: str) -> Resource:
    return {
        "resourceType": "Procedure",
        "id": f"done-{task['id']}",
        "status": "completed",
        "code": {
            "coding": [{"system": "http://snomed.info/sct", "code": "467771000124109"}],
            "text": what,
        },
        "subject": {"reference": patient},
        "performedDateTime": "2026-11-24",
    }
