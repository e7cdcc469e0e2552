"""Whether an event may come next, comes late, or is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from app.domain.case import Case
from app.domain.event import Event
from app.domain.plan import Exchange
from app.errors import Conflict

# Task.status of a referral on which the agency still works
OPEN: Final = frozenset({"accepted", "in-progress", "on-hold", "received", "requested"})


@dataclass(frozen=True, slots=True)
class Step:
    """event None: nothing moved, or nothing may."""

    event: Event | None
    standing: Literal["applied", "late", "none"]


def judged(case: Case, exchange: Exchange, told: list[Event], before: str) -> Step:
    """
    Whether the first of these events that may follow does; else whether one of them comes late.

    raises      Conflict: none may; it says which may
    """
    for one in told:
        if one.id == exchange.state or one.follows(exchange.state, before):
            return Step(one, "applied")
    if exchange.kind == "cps-report":
        for one in told:
            if case.mappings.outcomes.beyond(exchange.kind, one.id, exchange.state):
                return Step(one, "late")
    raise refused(case, exchange, before)


def refused(case: Case, exchange: Exchange, before: str) -> Conflict:
    """The step that was tried may not follow; what may."""
    return Conflict(ways(case, exchange, before), expression="Task.status")


def ways(case: Case, exchange: Exchange, before: str) -> str:
    """What may follow, for a person who has to choose."""
    allowed = [
        f"{one.id} (status {one.brings(before)})"
        for one in case.mappings.outcomes.of(exchange.kind)
        if one.follows(exchange.state, before)
    ]
    if not allowed:
        return f"From {exchange.state} may follow: nothing. It has ended; a message can still be written."
    named = ". Its name is the code of businessStatus" if exchange.kind == "cps-report" else ""
    return f"From {exchange.state} may follow: {', '.join(allowed)}{named}."
