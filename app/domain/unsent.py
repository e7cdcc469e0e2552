"""What is written on its sender's shelf to be sent, and that nobody has yet: a draft Task says so until it is."""

from __future__ import annotations

from typing import Final

from app import fhir
from app.domain import parties
from app.domain.case import Case
from app.domain.plan import Answer, Owed, Plan, Put, Stored, derive, put, touched
from app.domain.report import LABELS, hotline, lines
from app.errors import Invalid, Issue
from app.fhir import Resource, concept, listed
from app.settings import CANONICAL

ORDERS: Final = frozenset({
    "filler-order", "instance-order", "order", "original-order", "reflex-order",
})  # fmt: skip
_OPEN: Final = frozenset({"active", "draft", "on-hold"})
_PURPOSE: Final = f"{CANONICAL}/CodeSystem/cps-purpose"
_TEXT: Final = "Nobody has this report yet: send it by a Task whose owner is the agency, or call"
_ORDER: Final = "Nobody has this referral yet: send it by a Task whose focus it is and whose owner is the agency, or by $refer"


def is_report(request: Resource) -> bool:
    """Whether it is written as a report that is to go: active, an order, of the category of reports."""
    return (
        fhir.has_code(request.get("category"), _PURPOSE, "cps-report")
        and request.get("status") == "active"
        and request.get("intent") in ORDERS
    )


def is_for_partner(case: Case, request: Resource) -> bool:
    """Whether it is written as a referral for help that is to go: an active order to a partner, or one who was."""
    if request.get("status") != "active" or request.get("intent") not in ORDERS:
        return False
    return _names_partner(case, request)


def is_meant(case: Case, request: Resource) -> bool:
    """Whether it is, or may become, something that goes to a partner from this shelf; one that has ended does not."""
    if request["resourceType"] != "ServiceRequest" or case.shelf.role != "source":
        return False
    if request.get("status") not in _OPEN:
        return False
    if _of_reports(case):
        return fhir.has_code(request.get("category"), _PURPOSE, "cps-report")
    return _names_partner(case, request)


def _names_partner(case: Case, request: Resource) -> bool:
    return any(
        (found.shelf and found.shelf.tenant != case.shelf.tenant) or parties.is_gone(case, one)
        for one in listed(request.get("performer"))
        for found in [parties.recipient(case, one)]
    )


def _waits(case: Case, request: Resource) -> bool:
    """Whether it is to go; on a shelf for reports what goes to an authority is one, whatever category it has."""
    return (_of_reports(case) and is_report(request)) or is_for_partner(case, request)


def _of_reports(case: Case) -> bool:
    return case.shelf.kind == "cps-report"


def followed(case: Case, request: Resource, before: Stored | None = None) -> Plan:
    """
    What a request that is stored, and is not sent by this change, leaves on its sender's shelf.

    EHRs that write one resource after the other may never come to the last; then the draft is what is left.

    before      what stood there
    """
    nothing = Plan(Answer(()))
    if not _waits(case, request):
        waited = (
            before and before.stands and (_of_reports(case) or before.resource.get("performer"))
        )
        stored = _draft(case, request) if waited else None
        ended = _ended(case, stored, "cancelled") if stored else ()
        return Plan(Answer(()), ended, owed=owed(case, ended)) if ended else nothing
    if case.loaded.sent(case.shelf.key, fhir.name(request)):
        return nothing
    calls, text = hotline(case, None), _TEXT if _of_reports(case) else _ORDER
    issue = Issue("warning", "business-rule", f"{text}.", "ServiceRequest")
    answer = Answer((), issues=(issue, *calls))
    child = fhir.pointer(request.get("subject") or {})
    whom: Resource = {"for": child} if fhir.literal(child).startswith("Patient/") else {}
    if case.loaded.resource(case.shelf.key, f"Task/{_id(case, request)}") is not None:
        stored = _draft(case, request)
        if stored is None or not whom or stored.resource.get("for") == child:
            return Plan(answer)  # said once; whoever has ended it has seen to it
        moved = touched({**stored.resource, **whom}, case.now)
        puts = put(moved, stored, shelf=case.shelf.key, now=case.now)
        return Plan(answer, puts, owed=owed(case, puts))
    task: Resource = {
        "resourceType": "Task",
        "id": _id(case, request),
        **({"meta": {"security": LABELS}} if _of_reports(case) else {}),
        "status": "draft",
        "intent": "order",
        "code": concept(f"{CANONICAL}/CodeSystem/task-code", "not-sent", text),
        "focus": fhir.reference(request),
        **whom,
        "authoredOn": fhir.instant(case.now),
        "lastModified": fhir.instant(case.now),
        **({"note": [{"text": line.text} for line in calls]} if calls else {}),
    }
    puts = put(task, None, shelf=case.shelf.key, now=case.now)
    return Plan(answer, puts, owed=owed(case, puts))


def misplaced(case: Case, at: str) -> Invalid:
    """The refusal of a report on a shelf for help, where nobody would send it and others may read it."""
    text = (
        "A report of suspected maltreatment is not kept on this shelf, and nobody would get it: send it on"
        " the shelf for reports, or call."
    )
    issue = Issue("error", "business-rule", text, at)
    return Invalid(issues=(issue, *lines(case, None)))


def sent(case: Case, request: Resource, task: Resource, exchange: str) -> tuple[Put, ...]:
    """The draft of what is sent now, done; its exchange takes it along when it is expunged."""
    stored = _draft(case, request)
    if stored is None or fhir.name(stored.resource) == fhir.name(task):
        return ()
    output = [{"type": {"text": "Sent as"}, "valueReference": fhir.reference(task)}]
    return _ended(case, stored, "completed", exchange, output=output)


def owed(case: Case, puts: tuple[Put, ...]) -> tuple[Owed, ...]:
    """The draft of a report to the EHR's own server, where it has one, as it stands and in its own order."""
    if not puts or not case.shelf.endpoint or not _of_reports(case):
        return ()
    name = fhir.name(puts[0].resource)
    return (Owed(case.shelf.key, name, {name: puts[0].expected + 1}),)


def _id(case: Case, request: Resource) -> str:
    return derive(case.key, "unsent", case.shelf.key, fhir.name(request))


def _draft(case: Case, request: Resource) -> Stored | None:
    stored = case.loaded.resource(case.shelf.key, f"Task/{_id(case, request)}")
    is_draft = stored and stored.stands and stored.resource.get("status") == "draft"
    return stored if is_draft else None


def _ended(
    case: Case, stored: Stored, status: str, exchange: str = "", **more: object
) -> tuple[Put, ...]:
    done = touched({**stored.resource, "status": status, **more}, case.now)
    return put(done, stored, shelf=case.shelf.key, now=case.now, exchange=exchange)
