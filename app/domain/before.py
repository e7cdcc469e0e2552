"""Whether a message was sent before, by its receipt or by its number, and what became of it."""

from __future__ import annotations

from app.domain import again, another, derived, ordered, report
from app.domain.case import Case
from app.domain.change import Entry
from app.domain.loaded import Want
from app.domain.parties import Parties
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


def number(
    case: Case, sent: Entry | None, request: Resource | None, party: Parties
) -> tuple[str, str]:
    """
    The id of the exchange that this opens; and the Task (Type/id) of it, where it was opened before.

    raises      Conflict: it was expunged, and a backup from before brought back neither it nor its receipt
    """
    if sent is None or request is None or party.shelf is None:
        return "", ""
    recipient = party.shelf.key
    opened = derived.exchange(case, sent, request, recipient)
    copied = derived.copied_task(case, opened, recipient)
    case.loaded.announce({
        Want("expunged", recipient, copied), Want("opened", case.shelf.key, opened),
    })  # fmt: skip
    if case.loaded.expunged(recipient, copied):
        raise Conflict(again.GONE, expression="Bundle")
    exchange = case.loaded.opened(case.shelf.key, opened)
    return opened, exchange.source_task if exchange else ""
