"""What nobody has answered in time: a Task to a named person, once."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from msgspec.structs import replace

from app import fhir
from app.domain import feedback, question, reminder
from app.domain.case import Case
from app.domain.plan import Answer, Exchange, Plan, put
from app.errors import NotFound
from app.fhir import Resource, listed

AHEAD: Final = timedelta(minutes=1)
_CALL: Final = "Call them, or the hotline of your state."
_ENDED = frozenset({"completed", "rejected", "cancelled", "failed", "entered-in-error"})


def plan(case: Case) -> Plan:
    """
    The Tasks on the sender's shelf that say what is overdue, and when the next thing will be.

    A report that intake has not acknowledged: the one who reported is to call the hotline.
    A question that nobody has answered: it goes to the back-up contact, else to who was asked.
    """
    name = case.entries[0].name
    exchange = case.loaded.exchange(case.shelf.key, name)
    stored = case.loaded.resource(case.shelf.key, name)
    if exchange is None or stored is None:
        raise NotFound("There is no such referral.")
    now = case.now.timestamp()
    if not exchange.due:
        return Plan(Answer((name,)))
    unconfirmed = _unconfirmed(case, exchange, stored.resource)
    if exchange.due > now:
        return _sooner(case, exchange, unconfirmed)
    raised = [unconfirmed] if unconfirmed else []
    later: list[float] = []
    for asked in _open_questions(case, exchange):
        due = _due(asked)
        if due > now:
            later.append(due)
        elif due:
            raised.append(_unanswered(case, exchange, stored.resource, asked))
    puts = tuple(
        made
        for one in raised
        for made in put(
            one,
            case.loaded.resource(case.shelf.key, fhir.name(one)),
            shelf=case.shelf.key,
            now=case.now,
            exchange=exchange.id,
        )
    )
    after = replace(exchange, due=min(later, default=0.0))
    owed = feedback.owed(case, case.shelf.key, exchange, puts)
    return Plan(Answer((name,)), puts, exchanges=(after,), owed=owed)


def _unconfirmed(case: Case, exchange: Exchange, task: Resource) -> Resource | None:
    """The Task that tells to call; None where intake has answered, or where it was told: that may be done."""
    if exchange.kind != "cps-report" or exchange.state != "submitted":
        return None
    line = case.mappings.hotline(exchange.terms.jurisdiction)
    text = f"Not confirmed: intake has not acknowledged this report. {line or _CALL}"
    made = reminder.task(case, exchange.id, task, "unconfirmed", to=task["requester"], text=text)
    stands = case.loaded.resource(case.shelf.key, fhir.name(made))
    return None if stands else made


def _sooner(case: Case, exchange: Exchange, unconfirmed: Resource | None) -> Plan:
    """
    An acknowledgement is not awaited for longer than from now on.

    The clock was ahead when this was sent, and would come to that time in an hour or in a year; how long it
    has waited nobody knows. Where clocks of two processes differ by a little, that is no such thing.
    """
    answer = Answer((exchange.source_task,))
    soon = case.now + case.mappings.acknowledged(exchange.terms.jurisdiction)
    if unconfirmed is None or exchange.due <= (soon + AHEAD).timestamp():
        return Plan(answer)
    return Plan(answer, exchanges=(replace(exchange, due=soon.timestamp()),))


def _unanswered(case: Case, exchange: Exchange, task: Resource, asked: Resource) -> Resource:
    text = "A question of the agency is not answered in time; see the Task that this is part of."
    to = _backup(case, exchange, task) or asked.get("owner") or task["requester"]
    what = f"unanswered-{asked['id']}"
    made = reminder.task(case, exchange.id, task, what, to=to, text=text)
    return {**made, "partOf": [fhir.reference(asked)]}


def _open_questions(case: Case, exchange: Exchange) -> list[Resource]:
    """Those that the agency asks and nobody has answered."""
    names = [name for name in sorted(exchange.terms.talk) if name.startswith("Task/")]
    case.loaded.expect(case.shelf.key, names)
    found = [case.find(name) for name in names]
    return [
        one for one in found if one and question.is_question(one) and one["status"] not in _ENDED
    ]


def _due(task: Resource) -> float:
    end = str(((task.get("restriction") or {}).get("period") or {}).get("end", ""))
    return question.due(end)


def _backup(case: Case, exchange: Exchange, task: Resource) -> Resource | None:
    """The second clinician, reachable day and night, whom the report names."""
    requester = fhir.literal(task.get("requester"))
    for name in sorted(exchange.copies):
        if name.startswith("PractitionerRole/") and name != requester:
            found = case.find(name)
            if any(one.get("allDay") is True for one in listed((found or {}).get("availableTime"))):
                return {"reference": name}
    return None
