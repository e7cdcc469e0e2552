"""Whether a message was sent before, by its receipt or by its number, and what became of it."""

from __future__ import annotations

from app.domain import again, another, derived, ordered, report
from app.domain.case import Case
from app.domain.change import Entry
from app.domain.loaded import Want
from app.errors import Conflict
from app.fhir import Resource


def task(
    case: Case, entry: Entry | None, sent: Entry | None, request: Resource | None
) -> str | None:
    """
    The Task (Type/id) of what was sent before.

    raises      Conflict, Kept: another was sent under this identifier or id
    """
    kept = case.shelf.kind == "cps-report"
    try:
        found = ordered.before(case, entry, sent, request)
    except Conflict as refusal:
        if kept:
            raise report.unfit(case, refusal, another=True) from None
        raise
    other = another.asked(case, entry, found) if found else another.person(case, request)
    if other is not None:
        raise report.unfit(case, other, another=True) if kept else other
    return found


def numbered(case: Case, number: str, recipient: str) -> str:
    """
    The Task (Type/id) of the exchange of this number, though no receipt tells; "" for none.

    number      id of the exchange
    recipient   key of the shelf
    raises      Conflict: it was expunged, and a backup from before brought back neither it nor its receipt
    """
    copied = derived.copied_task(case, number, recipient)
    case.loaded.announce({
        Want("expunged", recipient, copied), Want("opened", case.shelf.key, number),
    })  # fmt: skip
    if case.loaded.expunged(recipient, copied):
        raise Conflict(again.GONE, expression="Bundle")
    exchange = case.loaded.opened(case.shelf.key, number)
    return exchange.source_task if exchange else ""
