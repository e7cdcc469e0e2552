"""A voluntary referral is taken back by the clinic that sent it: both sides know, and nobody goes on."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from app.domain import disclosed
from app.domain.case import Case
from app.domain.expunge import buried, told
from app.domain.feedback import owed
from app.domain.plan import Answer, Exchange, Plan, Purge, Put, put, together, touched
from app.domain.steps import refused
from app.errors import Invalid, NotSupported
from app.fhir import Resource

WITHDRAWN: Final = frozenset({"revoked", "entered-in-error"})
_OPEN: Final = frozenset({"requested", "received", "accepted", "in-progress"})
CANCELLED: Final = frozenset({"cancelled", "entered-in-error"})
_UNDONE: Final = frozenset({"cancelled", "rejected"})  # it has ended, and nobody was helped


def plan(case: Case, exchange: Exchange, *, wholly: bool) -> Plan:
    """
    Both Tasks are cancelled and the agency's copy of the order is revoked.

    One that was cancelled or rejected before is taken back wholly all the same; both Tasks say so.

    wholly      what the agency was sent is taken back as well, and nothing but its Task is left there: it was
                sent in error, or nobody there has answered when the family withdrew its consent
    raises      NotSupported: a report; one that was made stands
                Conflict: the agency has done its part; it says what may follow
    """
    if exchange.kind == "cps-report":
        text = "A report that was made stands. Write or call the authority; only it can expunge."
        raise NotSupported(text, expression="Task.status")
    if wholly and exchange.state in _UNDONE:
        return emptied(case, exchange, status="entered-in-error")
    event = case.mappings.outcomes.event(exchange.kind, "cancelled")
    own = case.loaded.resource(exchange.source, exchange.source_task)
    theirs = case.loaded.resource(exchange.recipient, exchange.recipient_task)
    if event is None or own is None or theirs is None:
        raise Invalid("This referral is not there any more.", expression="Task")
    before = str(theirs.resource["status"])
    if not event.follows(exchange.state, before):
        raise refused(case, exchange, before)
    tasks = put(
        touched(event.sets(own.resource), case.now), own, shelf=exchange.source, now=case.now
    )
    there = put(
        touched(event.sets(theirs.resource), case.now),
        theirs,
        shelf=exchange.recipient,
        now=case.now,
    )
    copy = exchange.copies.get(exchange.source_request, "")
    request = case.loaded.resource(exchange.recipient, copy) if copy else None
    if request and request.stands and not wholly:
        status: Resource = {**request.resource, "status": "revoked"}
        there += put(status, request, shelf=exchange.recipient, now=case.now)
    answer = Answer((exchange.source_task,))
    after = replace(exchange, state=event.id, sequence=exchange.sequence + 1, due=0.0)
    if wholly:
        after = replace(after, copies={}, terms=replace(exchange.terms, talk={}))
    due = (
        *owed(case, exchange.recipient, exchange, there),
        *owed(case, exchange.source, exchange, tasks),
    )
    made = Plan(
        answer, (*tasks, *there), exchanges=(after,), owed=due, ended=(exchange.id,),
        accounted=disclosed.taken_back(case, exchange, there),
    )  # fmt: skip
    more = _taken_back(case, exchange) if wholly else []
    return together([made, *more, *_unasked(case, exchange, wholly=wholly)], answer)


def is_undone(exchange: Exchange) -> bool:
    """Whether it has ended without help, and the agency still has what it was sent."""
    return exchange.state in _UNDONE and bool(exchange.copies)


def emptied(case: Case, exchange: Exchange, *, status: str = "") -> Plan:
    """
    Of a referral that has ended nothing but its Task is left at the agency; said again, it is so already.

    status      what both Tasks say now; "" leaves them
    """
    answer = Answer((exchange.source_task,))
    if not exchange.copies:
        return Plan(answer)
    plans = []
    tasks = {exchange.source: exchange.source_task, exchange.recipient: exchange.recipient_task}
    for shelf, name in tasks.items() if status else ():
        stored = case.loaded.resource(shelf, name)
        if stored and stored.stands:
            task = touched({**stored.resource, "status": status}, case.now)
            puts = put(task, stored, shelf=shelf, now=case.now)
            plans.append(_told(case, exchange, shelf, puts))
    terms = replace(exchange.terms, talk={})
    after = replace(exchange, sequence=exchange.sequence + 1, copies={}, terms=terms, due=0.0)
    plans += [Plan(answer, exchanges=(after,)), *_taken_back(case, exchange)]
    return together([*plans, *_unasked(case, exchange, wholly=True)], answer)


def _told(case: Case, exchange: Exchange, shelf: str, puts: tuple[Put, ...]) -> Plan:
    """What stands on one of the two shelves now; what the agency is told is accounted."""
    told = disclosed.taken_back(case, exchange, puts) if shelf == exchange.recipient else ()
    return Plan(Answer(()), puts, owed=owed(case, shelf, exchange, puts), accounted=told)


def _taken_back(case: Case, exchange: Exchange) -> list[Plan]:
    plans, names = [], case.loaded.held(exchange.recipient, exchange.id)
    case.loaded.expect(exchange.recipient, names)
    for name in names:
        stored = case.loaded.resource(exchange.recipient, name)
        if stored is None or name == exchange.recipient_task:
            continue
        purge = Purge(exchange.recipient, name, exchange.id, "withdrawn")
        puts = buried(stored, purge, case.now) if stored.stands else ()
        due = told(case, exchange, exchange.recipient, list(puts))
        plans.append(Plan(Answer(()), puts, owed=due, purges=(purge,)))
    return plans


def _unasked(case: Case, exchange: Exchange, *, wholly: bool) -> list[Plan]:
    """What either side still asked is asked no more; taken back wholly, the agency's half of it is gone."""
    plans = []
    for ours, theirs in exchange.terms.talk.items():
        halves = [(exchange.source, ours)] + ([] if wholly else [(exchange.recipient, theirs)])
        for shelf, name in halves if ours.startswith("Task/") else ():
            stored = case.loaded.resource(shelf, name)
            if stored and stored.resource.get("status") in _OPEN:
                task = touched({**stored.resource, "status": "cancelled"}, case.now)
                puts = put(task, stored, shelf=shelf, now=case.now)
                plans.append(_told(case, exchange, shelf, puts))
    return plans
