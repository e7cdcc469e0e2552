"""From a change to its plan: what each thing that came in means, and one planner for each meaning."""

from __future__ import annotations

from typing import Final

from app import fhir
from app.domain import outcome, referral, screening
from app.domain.case import Case, arrived
from app.domain.plan import Answer, Entry, Plan, Put, Stored, put, stamped
from app.errors import Conflict, Forbidden, Invalid, Stale


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


_PERMISSION: Final = {"POST": "c", "PUT": "u", "PATCH": "u", "DELETE": "d"}


def _permitted(case: Case) -> None:
    for entry in case.change.entries:
        case.change.caller.must(_PERMISSION[entry.method], entry.type)


def _meaning(case: Case, entry: Entry) -> Plan:
    """One planner for each meaning; what means nothing more to us is stored."""
    if entry.method == "DELETE":
        return _deleted(case, entry)
    if entry.type == "QuestionnaireResponse" and case.shelf.kind == "family-support":
        return _received(case, entry)
    if entry.type == "Task":
        exchange = case.loaded.exchange(case.shelf.key, entry.name)
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
    stored = case.loaded.resource(case.shelf.key, entry.name)
    _guarded(entry, stored)
    puts = put(entry.resource, stored, shelf=case.shelf.key, now=case.now, method=entry.method)
    new = stored is None or not stored.stands
    return Plan(Answer((entry.name,), frozenset({entry.name}) if new else frozenset()), puts)


def _deleted(case: Case, entry: Entry) -> Plan:
    """https://hl7.org/fhir/R4/http.html#delete; what is not there is deleted already."""
    stored = case.loaded.resource(case.shelf.key, entry.name)
    _guarded(entry, stored)
    if stored is None or not stored.stands:
        return Plan(Answer((entry.name,)))
    if stored.exchange:
        raise Conflict("A sent referral cannot be deleted.", expression=entry.type)
    gone = stamped(
        {"resourceType": entry.type, "id": entry.id}, version=stored.version + 1, now=case.now
    )
    return Plan(
        Answer((entry.name,)),
        (Put(case.shelf.key, gone, stored.version, method="DELETE"),),
    )


def _guarded(entry: Entry, stored: Stored | None) -> None:
    """
    Whether this may be written over.

    raises      Stale: another version stands than the caller has seen
                Forbidden: it is a copy of what somebody else said
    """
    stands = stored.version if stored and stored.stands else 0
    if entry.if_match is not None and entry.if_match != stands:
        raise Stale("The resource has changed since; read it again.")
    if stored and stored.exchange and entry.type != "Task":
        raise Forbidden("This is a copy of what was sent; only its sender can correct it.")


def _together(case: Case, plans: list[Plan]) -> Plan:
    """One plan of several; a resource that two of them put is put once."""
    puts = {(put.shelf, fhir.name(put.resource)): put for one in plans for put in one.puts}
    came = {entry.name: one.answer.names[0] for entry, one in zip(case.entries, plans, strict=True)}
    order = [came.get(name, name) for name in case.order]  # one for each entry, met ones too
    made = [name for one in plans for name in one.answer.names]
    transaction = case.change.act == "transaction"
    return Plan(
        Answer(
            tuple(order if transaction else dict.fromkeys([*order, *made])),
            frozenset().union(*(one.answer.created for one in plans)),
            tuple(issue for one in plans for issue in one.answer.issues),
        ),
        puts=tuple(puts.values()),
        receipts=tuple(mark for one in plans for mark in one.receipts),
        exchanges=tuple(step for one in plans for step in one.exchanges),
        owed=tuple(due for one in plans for due in one.owed),
        accounted=tuple(row for one in plans for row in one.accounted),
    )
