"""A request that was sent: whether it is under way, comes again, or is changed by its sender."""

from __future__ import annotations

from typing import Final

from app import fhir
from app.domain import patients, reminder, withdrawal
from app.domain.case import Case, said_of
from app.domain.change import Entry
from app.domain.feedback import owed
from app.domain.plan import Answer, Exchange, Owed, Plan, Put, put, same, together
from app.domain.steps import OPEN
from app.errors import Conflict, Issue
from app.fhir import Resource

# what of an order is its sender's own book-keeping
_UNSAID: Final[dict[str, None]] = dict.fromkeys(("authoredOn", "identifier", "language", "status"))
_CHANGED: Final = (
    "This order was changed after it was sent, and the agency has it as it was. Tell them what is new: in a"
    " message, in a new report, or by telephone."
)
_OVER: Final = (
    "This order came again after it had ended, and nobody has got it. To refer again, send an order of another"
    " number."
)
_ANOTHER: Final = (
    "This order names another person now than when it was sent, and the agency has it of the one before. Call"
    " them, and send an order of its own for this one."
)
# as the agency's events have it; after these it may be sent again
_ENDED: Final = frozenset({
    "cancelled", "expunged", "failed", "rejected", "screened-out", "transferred", "unable-to-complete",
})  # fmt: skip


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
    issue = Issue("warning", "business-rule", text, "ServiceRequest")
    puts, due = _stays(case, stands, stored.resource, request)
    return Plan(Answer((), issues=(issue,)), puts, owed=due)


def unsent(case: Case, task: str, *, over: bool) -> Plan:
    """
    The same of what came again with something new, which is kept and not sent.

    task        Type/id, by which it was sent
    over        it has ended, and nobody reads it any more
    """
    exchange = case.loaded.exchange(case.shelf.key, task)
    what, text = ("again", _OVER) if over else ("order", _CHANGED)
    puts, due = _raised(case, exchange, what, text) if exchange else ((), ())
    return Plan(Answer(()), puts, owed=due)


def _stays(
    case: Case, exchange: Exchange, before: Resource, request: Resource
) -> tuple[tuple[Put, ...], tuple[Owed, ...]]:
    """A Task to whoever asked, where the change says something else."""
    was, now = ({**said_of(one), **_UNSAID, "subject": None} for one in (before, request))
    about = patients.about(case, exchange.person, consent="")
    another = before.get("subject") != request.get("subject") and not about.means(
        request.get("subject")
    )
    if was == now and not another:
        return (), ()
    return _raised(case, exchange, *(("child", _ANOTHER) if another else ("order", _CHANGED)))


def _raised(
    case: Case, exchange: Exchange, what: str, text: str
) -> tuple[tuple[Put, ...], tuple[Owed, ...]]:
    """
    The Task: few clients read what an answer says besides, and somebody counts on the change.

    It stands once for as long as it waits; a change after it was done raises it anew.
    """
    parent = case.loaded.resource(exchange.source, exchange.source_task)
    if parent is None or not parent.stands:
        return (), ()
    task = reminder.task(
        case, exchange.id, parent.resource, f"stays-{what}",
        to=parent.resource.get("requester") or {}, text=text, system=reminder.STAYS,
    )  # fmt: skip
    stored = case.loaded.resource(exchange.source, fhir.name(task))
    if stored and stored.stands and stored.resource.get("status") in OPEN:
        return (), ()
    puts = put(task, stored, shelf=exchange.source, now=case.now, exchange=exchange.id)
    return puts, owed(case, exchange.source, exchange, puts)
