"""From a change to its plan: what each thing that came in means, and one planner for each meaning."""

from __future__ import annotations

from app import fhir
from app.domain import outcome, referral, screening
from app.domain.case import Case, arrived
from app.domain.plan import Answer, Entry, Plan, put
from app.errors import Forbidden, Invalid, Stale


def plan(case: Case) -> Plan:
    """
    Everything that the change does.

    raises      NotLoaded: more must be read first
                Refusal: it is not done, and why
    """
    case = arrived(case)
    _permitted(case)
    if case.change.act in {"refer", "report"}:
        return referral.plan(case, None)
    plans = [_meaning(case, entry) for entry in case.entries]
    sent = [one for one in plans if one.exchanges]
    if len(sent) > 1:
        raise Invalid("Send one referral in one transaction.", expression="Bundle.entry")
    return _together(case, plans)


def _permitted(case: Case) -> None:
    for entry in case.entries:
        case.change.caller.must("c" if entry.method == "POST" else "u", entry.type)


def _meaning(case: Case, entry: Entry) -> Plan:
    """One planner for each meaning; what means nothing more to us is stored."""
    name = fhir.name(entry.resource)
    if entry.type == "QuestionnaireResponse" and case.shelf.kind == "family-support":
        return _received(case, entry)
    if entry.type == "Task":
        exchange = case.loaded.exchange(case.shelf.key, name)
        if exchange is not None:
            return outcome.plan(case, entry, exchange)
        if referral.is_referral(case, entry.resource):
            return referral.plan(case, entry)
    return _stored(case, entry)


def _received(case: Case, entry: Entry) -> Plan:
    """A screening, once: the same message again is answered with what it became."""
    if entry.method == "POST":
        before = case.repeated(entry)
        if before:
            return Plan(Answer((before, *screening.shown(case, before))))
    received = screening.plan(case, entry)
    if entry.method == "PUT":
        return received
    mark = case.receipt(entry, fhir.name(entry.resource))
    return Plan(received.answer, received.puts, receipts=(mark,))


def _stored(case: Case, entry: Entry) -> Plan:
    """https://hl7.org/fhir/R4/http.html#create and #update."""
    name = fhir.name(entry.resource)
    stored = case.loaded.resource(case.shelf.key, name)
    if entry.if_match is not None and entry.if_match != (stored.version if stored else 0):
        raise Stale("The resource has changed since; read it again.")
    if stored and stored.exchange and entry.type != "Task":
        raise Forbidden("This is a copy of what was sent; only its sender can correct it.")
    puts = put(entry.resource, stored, shelf=case.shelf.key, now=case.now)
    return Plan(Answer((name,), frozenset() if stored else frozenset({name})), puts)


def _together(case: Case, plans: list[Plan]) -> Plan:
    """One plan of several; a resource that two of them put is put once."""
    puts = {(put.shelf, fhir.name(put.resource)): put for one in plans for put in one.puts}
    names = dict.fromkeys([name for one in plans for name in one.answer.names] + list(case.met))
    return Plan(
        Answer(
            tuple(names),
            frozenset().union(*(one.answer.created for one in plans)),
            tuple(issue for one in plans for issue in one.answer.issues),
        ),
        puts=tuple(puts.values()),
        receipts=tuple(mark for one in plans for mark in one.receipts),
        exchanges=tuple(step for one in plans for step in one.exchanges),
        owed=tuple(due for one in plans for due in one.owed),
        accounted=tuple(row for one in plans for row in one.accounted),
    )
