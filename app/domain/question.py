"""A question to the other side of a referral: a Task of its own with a code, a due time and an answer."""

from __future__ import annotations

from calendar import monthrange
from typing import Final

from app import fhir
from app.domain import numbered, outcome, parties, talk
from app.domain.case import Case
from app.domain.change import Entry
from app.domain.event import OUTPUT, QUESTION
from app.domain.plan import Answer, Exchange, Plan, Stored, together, touched, tracking
from app.domain.report import LABELS
from app.domain.steps import Step
from app.errors import Conflict, Forbidden, Invalid, Stale
from app.fhir import Resource, concept, listed
from app.settings import BY_COPY, CANONICAL

CODE: Final = f"{CANONICAL}/CodeSystem/task-code"
INPUT: Final = f"{CANONICAL}/CodeSystem/task-input"
AWAITING: Final = "awaiting-information"
_ENDED: Final = frozenset({"completed", "rejected", "cancelled", "failed"})
_RANK: Final = {"requested": 0, "received": 1, "accepted": 2, "in-progress": 3}


def is_question(task: Resource) -> bool:
    return fhir.has_code(task.get("code"), CODE, "info-needed")


def is_asked(task: Resource) -> bool:
    """Whether it goes to the other side: one that is being written, or has ended, is its shelf's own."""
    return task.get("status") not in _ENDED | {"draft", "entered-in-error"}


def parent(case: Case, task: Resource) -> Exchange | None:
    """The referral whose Task a question is part of."""
    for reference in listed(task.get("partOf")):
        name = numbered.one(case, reference, "Task")
        stored = case.loaded.resource(case.shelf.key, name)
        if stored and stored.exchange:
            return case.loaded.opened(case.shelf.key, stored.exchange)
    return None


def asked(case: Case, entry: Entry, exchange: Exchange) -> Plan:
    """
    A question of the caller's; the other side gets it, and the report's Task waits for it.

    raises      Invalid: no code that is known, nobody who asks
    """
    both = talk.sides(case, exchange)
    if before := talk.known(case, entry):
        return talk.again(before)
    talk.sayable(case, exchange, entry.resource)
    task, spoken = (
        entry.resource,
        talk.person(case, entry.resource.get("requester"), "Task.requester"),
    )
    codes = [
        code
        for one in listed(task.get("input"))
        for coding in listed((one.get("valueCodeableConcept") or {}).get("coding"))
        if coding.get("system") == QUESTION
        for code in [coding.get("code")]
        if code in case.mappings.outcomes.questions
    ]
    if not codes:
        known = ", ".join(sorted(case.mappings.outcomes.questions))
        raise Invalid(f"Ask with a code of {QUESTION}: {known}.", expression="Task.input")
    details = [
        one["valueString"]
        for one in listed(task.get("input"))
        if fhir.has_code(one.get("type"), INPUT, "detail") and one.get("valueString")
    ]
    made = made_task(
        case,
        both,
        task["id"],
        codes=codes,
        detail=details[0] if details else "",
        end=_end(task),
        requester=spoken,
    )
    plan = talk.said(case, both, made, due=0.0 if both.outward else due(_end(made)))
    if not both.outward:
        plan = _waiting(case, exchange, plan)
    told = ("description", "note", "reasonCode")
    unread = [one for one in listed(task.get("input")) if not _is_read(one)]
    more = ("input",) if unread or len(details) > 1 else ()
    return talk.unsaid(talk.once(case, entry, plan), task, (*told, *more))


def _is_read(asks: Resource) -> bool:
    """Whether an input goes: a code, or what is to be known besides."""
    detail = fhir.has_code(asks.get("type"), INPUT, "detail") and bool(asks.get("valueString"))
    return detail or "valueCodeableConcept" in asks


def due(end: str) -> float:
    """UNIX seconds of a FHIR dateTime; a day, month or year is due when it ends, 0 where it cannot be read."""
    try:
        if "T" in end:
            return fhir.moment(end).timestamp()
        year, month = (*map(int, end.split("-")[:2]), 12)[:2]
        last = end[8:] or monthrange(year, month)[1]
        return fhir.moment(f"{year:04}-{month:02}-{last}T23:59:59Z").timestamp()
    except (ValueError, TypeError):
        return 0.0


def _end(task: Resource) -> str:
    return str(((task.get("restriction") or {}).get("period") or {}).get("end", ""))


def _waiting(case: Case, exchange: Exchange, asked: Plan) -> Plan:
    """The agency's Task waits for information, where its state lets it."""
    step = asked.exchanges[0] if asked.exchanges else exchange
    stored = case.loaded.resource(exchange.recipient, exchange.recipient_task)
    event = case.mappings.outcomes.event(exchange.kind, AWAITING)
    if stored is None or event is None:
        return asked
    if not event.follows(exchange.state, str(stored.resource["status"])):
        return asked
    moved = outcome.answered(
        case, step, stored, stored.resource, Step(event, "applied"), outcome.Mark()
    )
    own = [one for one in (asked, moved) if one is not asked]
    bare = Plan(
        asked.answer, asked.puts, owed=asked.owed, accounted=asked.accounted,
        recorded=asked.recorded, exchanges=() if moved.exchanges else asked.exchanges,
    )  # fmt: skip
    return together([bare, *own], asked.answer)


def made_task(  # noqa: PLR0913 — what a question consists of
    case: Case,
    both: talk.Sides,
    identity: str,
    *,
    codes: list[str],
    detail: str,
    end: str,
    requester: Resource,
) -> Resource:
    """The question as a Task, in our words for its codes."""
    stored = case.loaded.resource(both.here, both.task)
    whole = stored.resource if stored else {}
    asks = case.mappings.outcomes.questions
    inputs: list[Resource] = [
        {
            "type": concept(INPUT, "question"),
            "valueCodeableConcept": concept(QUESTION, code, asks[code]),
        }
        for code in codes
    ]
    if detail:
        inputs.append({"type": concept(INPUT, "detail"), "valueString": detail})
    own = listed((whole.get("meta") or {}).get("security"))
    labels = own or (LABELS if both.exchange.kind == "cps-report" else [])
    other = whole.get("owner") if both.outward else _by_name(case, whole.get("requester"))
    return {
        "resourceType": "Task",
        "id": identity,
        **({"meta": {"security": labels}} if labels else {}),
        "identifier": [tracking(identity)],
        "partOf": [{"reference": both.task}],
        "status": "requested",
        "intent": "order",
        "code": concept(CODE, "info-needed", "Information needed"),
        **{name: whole[name] for name in ("focus", "for") if name in whole},
        "authoredOn": fhir.instant(case.now),
        "lastModified": fhir.instant(case.now),
        "requester": requester,
        **({"owner": other} if other else {}),
        **({"restriction": {"period": {"end": end}}} if end else {}),
        "input": inputs,
    }


def _by_name(case: Case, reference: Resource | None) -> Resource | None:
    """A person by name too: one whom the report contains is not known by reference elsewhere."""
    name = parties.written(parties.human(case, reference))
    return {"display": name, **reference} if reference and name else reference


def answered(case: Case, entry: Entry, exchange: Exchange, stored: Stored) -> Plan:
    """
    A step on a question: the one who was asked answers or declines, the one who asked may cancel.

    raises      Conflict: it has ended, or steps back
                Forbidden: not this side's to say
                Invalid: answered without an answer
    """
    if not entry.meets(stored.version):
        raise Stale("The Task has changed since; read it again.")
    both = talk.sides(case, exchange)
    before, task = stored.resource, entry.resource
    status, was = str(task.get("status")), str(before["status"])
    if status == was and task.get("output") == before.get("output"):
        return Plan(Answer((entry.name,)))
    if was in _ENDED:
        raise Conflict("This question has ended; ask anew.", expression="Task.status")
    mine = not any(one.get("system") == BY_COPY for one in listed(before.get("identifier")))
    if status == "cancelled" and not mine:
        raise Forbidden("Who was asked may answer or reject; who asked may cancel.")
    if status in {"completed", "rejected", *_RANK} and mine and status != was:
        raise Forbidden("The other side answers this question; you can cancel it.")
    if status not in {"completed", "rejected", "cancelled", *_RANK}:
        raise Invalid("A question has no such status.", expression="Task.status")
    if _RANK.get(status, 9) < _RANK.get(was, 0):
        raise Conflict("A question does not step back.", expression="Task.status")
    talk.sayable(case, exchange, task, before)
    outputs = _said(case, task, both)
    if status == "completed" and not outputs:
        raise Invalid(_HOW, expression="Task.output")
    made = touched({**before, "status": status}, case.now)
    if outputs:
        made["output"] = outputs
    return talk.said(case, both, made)


_ANSWERS: Final = ("valueString", "valueReference")
_HOW: Final = "Answer in output: valueString, or valueReference to a message of this referral."


def _said(case: Case, task: Resource, both: talk.Sides) -> list[Resource]:
    """
    The answers of a question's Task.

    raises      Invalid: one that would say nothing on the other side
    """
    outputs = listed(task.get("output"))
    said = [
        one
        for one in outputs
        if "valueString" in one or _is_known(case, one.get("valueReference"), both)
    ]
    if len(said) < len(outputs):
        raise Invalid(_HOW, expression="Task.output")
    kind = concept(OUTPUT, "answer")
    return [{"type": kind, **{name: one[name] for name in one if name in _ANSWERS}} for one in said]


def _is_known(case: Case, reference: Resource | None, both: talk.Sides) -> bool:
    """Whether the other side has the message that an answer points at; else it would say nothing there."""
    name = fhir.target(reference)
    return name.startswith("Communication/") and bool(talk.other(case, both, name))
