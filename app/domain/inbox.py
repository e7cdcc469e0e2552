"""The inbox of one named person: a shelf of its own, on which a report's Task says what that person may learn."""

from __future__ import annotations

from app import fhir
from app.domain import parties
from app.domain.case import Case
from app.domain.plan import Put, derive, put, touched, tracking
from app.domain.report import LABELS
from app.fhir import Resource, concept, listed
from app.settings import BY_COPY


def tasks(case: Case, *, exchange: str, request: Resource, task: Resource) -> tuple[Put, ...]:
    """
    The report's Task on the inbox of the reporter, and of whoever treats the child, where they have one.

    It names the child and the report by the sender's own numbers: no resource stands beside it.
    """
    tenant = case.settings.tenant(case.shelf.tenant)
    reporter = parties.human(case, request.get("requester"))
    child = case.find(str(request["subject"]["reference"])) or {}
    treating = [parties.human(case, one) for one in listed(child.get("generalPractitioner"))]
    people = {"reporter": [reporter], "treating": treating}
    return tuple(
        made
        for shelf in tenant.shelves
        if (shelf.kind, shelf.role) == ("cps-report", "source") and shelf.key != case.shelf.key
        if any(_is(one, shelf.person) for one in people.get(shelf.audience, []))
        for made in put(
            _task(case, shelf.key, exchange, request, child, task),
            None,
            shelf=shelf.key,
            now=case.now,
            exchange=exchange,
        )
    )


def _is(person: Resource | None, known: str) -> bool:
    return known in fhir.numbers((person or {}).get("identifier"))


def _task(  # noqa: PLR0913 — what it names
    case: Case, shelf: str, exchange: str, request: Resource, child: Resource, task: Resource
) -> Resource:
    identity = derive(case.key, "inbox", shelf, exchange)
    made: Resource = {
        "resourceType": "Task",
        "id": identity,
        "meta": {"security": LABELS},
        "identifier": [
            {"system": BY_COPY, "value": identity},  # a push finds it by this
            tracking(exchange),
        ],
        "status": "requested",
        "businessStatus": task["businessStatus"],
        "intent": "order",
        "code": concept("http://hl7.org/fhir/CodeSystem/task-code", "fulfill"),
        "authoredOn": task["authoredOn"],
        "owner": {name: task["owner"][name] for name in ("display",) if name in task["owner"]},
    }
    for element, resource in (("focus", request), ("for", child)):
        own = listed(resource.get("identifier"))
        if own and resource:
            said = {name: own[0][name] for name in ("system", "value") if name in own[0]}
            made[element] = {"type": resource["resourceType"], "identifier": said}
    return touched(made, case.now)
