"""A Task to a named person on the sender's shelf: what is overdue, or what the law still asks of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from app import fhir
from app.domain import copied
from app.domain.case import Case
from app.domain.change import Entry
from app.domain.jurisdiction import Jurisdiction
from app.domain.plan import Answer, Plan, Put, Stored, derive, put, touched
from app.domain.report import LABELS
from app.errors import Conflict, Stale
from app.fhir import Resource, concept, listed
from app.settings import CANONICAL

OVERDUE: Final = f"{CANONICAL}/sid/overdue"
DUTY: Final = f"{CANONICAL}/sid/duty"
STAYS: Final = f"{CANONICAL}/sid/not-followed"
_CODE: Final = f"{CANONICAL}/CodeSystem/task-code"
_KINDS: Final = {OVERDUE: "overdue", DUTY: "written-follow-up", STAYS: "not-followed"}
_ORAL: Final = f"{CANONICAL}/StructureDefinition/cps-oral-report"
# whose it is may do it, hand it on, or say why not; what is to be done is ours to say
_MAY: Final = frozenset({
    "businessStatus", "executionPeriod", "note", "output", "owner", "status", "statusReason",
})  # fmt: skip
_ENDED: Final = frozenset({"completed", "rejected", "cancelled", "failed", "entered-in-error"})


def task(  # noqa: PLR0913 — what a Task to a person consists of
    case: Case, exchange: str, parent: Resource, what: str, *, to: Resource, text: str,
    system: str = OVERDUE,
) -> Resource:  # fmt: skip
    """
    What a person is to do about a referral's Task.

    what        tells it from other reminders of the exchange; said again, it is the same Task
    """
    own = listed((parent.get("meta") or {}).get("security"))
    labels = own or (LABELS if case.shelf.kind == "cps-report" else [])
    return {
        "resourceType": "Task",
        "id": derive(case.key, "overdue", exchange, what),
        **({"meta": {"security": labels}} if labels else {}),
        "identifier": [{"system": system, "value": f"{exchange}-{what}"}],
        "partOf": [fhir.reference(parent)],
        "status": "requested",
        "intent": "order",
        "priority": "stat",
        "code": concept(_CODE, _KINDS[system], text),
        **{name: parent[name] for name in ("focus", "for") if name in parent},
        "authoredOn": fhir.instant(case.now),
        "lastModified": fhir.instant(case.now),
        "owner": _named(case, to),
    }


def _named(case: Case, reference: Resource) -> Resource:
    """The person by name, so that whoever reads the list knows whose it is."""
    found = case.find(fhir.literal(reference)) or {}
    role = (found.get("practitioner") or {}).get("display")
    return {**reference, "display": role} if role and "display" not in reference else reference


def duties(
    case: Case, exchange: str, request: Resource, parent: Resource, place: Jurisdiction | None
) -> tuple[Put, ...]:
    """
    The written report that a law asks for beside this one, due so many hours after the call.

    place       None: no jurisdiction is on file, and nothing is known of its duties
    source      such as California Penal Code 11166(a): in writing within 36 hours
    """
    if place is None or place.written is None or place.written.electronic:
        return ()
    end = _called(case, request) + timedelta(hours=place.written.within_hours)
    text = (
        f"{place.written.says} Due {place.written.within_hours} hours after the call;"
        f" sending the report here does not take its place in {place.name}."
    )
    asked = task(
        case, exchange, parent, "written", to=parent["requester"], text=text, system=DUTY
    )  # fmt: skip
    made = {**asked, "priority": "urgent", "restriction": {"period": {"end": fhir.instant(end)}}}
    stored = case.loaded.resource(case.shelf.key, fhir.name(made))
    if stored is not None:
        return ()
    return put(made, None, shelf=case.shelf.key, now=case.now, exchange=exchange)


def _called(case: Case, request: Resource) -> datetime:
    """When the hotline was called, as the report says; else now."""
    for call in fhir.extensions(request, _ORAL):
        for part in fhir.extensions(call, "when"):
            said = str(part.get("valueDateTime", ""))
            if "T" in said:
                try:
                    return min(fhir.moment(said), case.now)
                except (TypeError, ValueError):  # no zone: not a moment
                    return case.now
    return case.now


def is_one(case: Case, stored: Stored) -> bool:
    """Whether a Task that stands on the caller's shelf, and is part of an exchange, is a reminder."""
    systems = {one.get("system") for one in listed(stored.resource.get("identifier"))}
    return case.shelf.role == "source" and not systems.isdisjoint(_KINDS)


def changed(case: Case, entry: Entry, stored: Stored) -> Plan:
    """
    Whose it is says that it is done, or hands it on.

    raises      Conflict: it was ended before
    """
    if not entry.meets(stored.version):
        raise Stale("The Task has changed since; read it again.")
    before = stored.resource
    made, ignored = copied.taken(
        entry.resource, before, copied.read(case, entry.resource, stored), _MAY
    )
    status = before.get("status")
    made.setdefault("status", status or "requested")  # whoever leaves it out has not said it
    if status in _ENDED and made["status"] != status:
        raise Conflict("This was ended; nothing more is to be done.", expression="Task.status")
    if made != before:
        made = touched(made, case.now)
    answer = Answer((entry.name,), issues=ignored)
    return Plan(answer, put(made, stored, shelf=case.shelf.key, now=case.now))
