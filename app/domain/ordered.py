"""A request that was sent: whether it is under way, comes again, or is changed by its sender."""

from __future__ import annotations

from typing import Final

from app import fhir
from app.domain import withdrawal
from app.domain.case import Case, said_of
from app.domain.change import Entry
from app.domain.plan import Answer, Exchange, Plan, same, together
from app.errors import Conflict, Issue
from app.fhir import Resource

_ENDED: Final = frozenset({"rejected", "cancelled", "expunged", "failed", "transferred"})


def under_way(case: Case, request: str) -> Exchange | None:
    """The exchange in which a request (Type/id) was sent; after a refusal it may be sent again."""
    sent = case.loaded.sent(case.shelf.key, request)
    return next((one for one in sent if one.state not in _ENDED), None)


def before(
    case: Case, entry: Entry | None, sent: Entry | None, request: Resource | None
) -> str | None:
    """
    The Task (Type/id) of this message, or of its request, where it was sent before.

    raises      Conflict: what was sent says something else, and this would be seen by nobody
    """
    if sent and (known := case.repeated(sent)):
        return known
    found = under_way(case, fhir.name(request)) if request else None
    if found is None or request is None:
        return None
    if entry is None:
        _unchanged(case, request)
    return found.source_task


def _unchanged(case: Case, request: Resource) -> None:
    """Raises Conflict: this is another request under the id of one that was sent."""
    stored = case.loaded.resource(case.shelf.key, fhir.name(request))
    if stored and said_of(stored.resource) != said_of(request):
        text = (
            "Another request was sent under this id, and it says something else. Send this one under"
            " an id and an identifier of its own, or the content as it was."
        )
        raise Conflict(text, expression="ServiceRequest.id")


def followed(case: Case, request: Resource) -> Plan:
    """
    What a change of a request that is under way means: taken back, or a word that it stays as sent.

    raises      NotSupported, Conflict: as withdrawal.plan
    """
    nothing = Plan(Answer(()))
    stored = case.loaded.resource(case.shelf.key, fhir.name(request))
    if stored is None or same(stored.resource, request):
        return nothing
    stands = under_way(case, fhir.name(request))
    if request.get("status") == "entered-in-error":
        sent = case.loaded.sent(case.shelf.key, fhir.name(request))
        back = [one for one in sent if one == stands or withdrawal.is_undone(one)]
        kept = [one for one in sent if one not in back and one.copies]
        text = "An agency that has ended its work on this keeps its record; call it."
        issues = (Issue("warning", "business-rule", text, "ServiceRequest"),) if kept else ()
        plans = [withdrawal.plan(case, one, wholly=True) for one in back]
        return together(plans, Answer((), issues=issues))
    if stands is None:
        return nothing
    if request.get("status") in withdrawal.WITHDRAWN:
        return withdrawal.plan(case, stands, wholly=False)
    text = "This was sent; the agency's copy stays as it was."
    return Plan(Answer((), issues=(Issue("warning", "business-rule", text, "ServiceRequest"),)))
