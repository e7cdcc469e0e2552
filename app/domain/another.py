"""What comes under a number that an EHR has given before: to another person, or for another agency."""

from __future__ import annotations

from typing import Final

from app import fhir
from app.domain import again, following, identity, numbered, parties, patients
from app.domain.case import Case, at_once
from app.domain.change import Entry
from app.domain.steps import OPEN
from app.errors import Conflict
from app.fhir import Resource

_SENT_FOR: Final = (
    "This order was sent for another person, so nothing is sent of this one: send an order of its own, under a"
    " number of its own."
)
_SENT_TO: Final = "This order was sent to another agency, so this one gets nothing: send an order of its own to each."
_OVER: Final = (
    "This order was sent before and has ended: send an order of its own, under a new number."
)
_FACT: Final = (
    "What stands under this id was sent of another person: send this one under an id of its own."
)
_TAKEN: Final = (
    "Another person stands under this id, who was referred or reported before: send this one under an id of"
    " their own."
)


def asked(case: Case, task: Entry | None, before: str) -> Conflict | None:
    """
    What is wrong with an order that was sent before, where it comes with another child, asks another, or for another.

    task        by which it comes again; None: by the operation
    before      the Task (Type/id) by which it was sent
    """
    exchange = case.loaded.exchange(case.shelf.key, before)
    if exchange is None:
        return None
    came = case.find(exchange.person) if exchange.person else None
    known = identity.sent(case, exchange, exchange.person) if came else None
    if came and known and identity.is_doubtful(known, came):
        return Conflict(_TAKEN, expression="Patient.id")
    own = case.find(before)
    over = own is not None and own.get("status") not in OPEN
    if task is None:
        is_new = over and exchange.kind == "cps-report" and not again.is_repeated(case, before)
        return Conflict(_OVER, expression="ServiceRequest.identifier") if is_new else None
    if case.repeated(task):
        return None  # word for word, of the same people
    whom = numbered.one(case, task.resource.get("for"), "Patient")
    if whom.startswith("Patient/") and whom not in patients.records(case, exchange.person):
        return Conflict(_SENT_FOR, expression="Task.for")
    to = parties.recipient(case, task.resource.get("owner")).tenant
    shelf = case.settings.shelves.get(exchange.recipient)
    if to and shelf and to.id != shelf.tenant:
        return Conflict(_SENT_TO, expression="Task.owner")
    return Conflict(_OVER, expression="Task.focus") if over else None


def person(case: Case, request: Resource | None) -> Conflict | None:
    """
    What is wrong with a child who comes under the id of another, who was sent to somebody before.

    Or with what is said of the child, under the id of what was sent of another.
    """
    name = fhir.literal((request or {}).get("subject"))
    if not name.startswith("Patient/"):
        return None
    came = case.arriving(name)
    stored = case.loaded.resource(case.shelf.key, name) if came else None
    two = came and stored and stored.stands and identity.are_two(stored.resource, came)
    if two and case.loaded.copied(case.shelf.key, name):
        return Conflict(_TAKEN, expression="Patient.id")
    told = [one for one in case.entries if one.method == "PUT" and following.person(one.resource)]
    case.loaded.expect(case.shelf.key, [one.name for one in told])
    taken = at_once(lambda one: _is_taken(case, one), told)
    return next(
        (
            Conflict(_FACT, expression=f"{one.type}.id")
            for one, is_taken in zip(told, taken, strict=True)
            if is_taken
        ),
        None,
    )


def _is_taken(case: Case, entry: Entry) -> bool:
    """Whether what stands there is said of another, to whom somebody has a copy of it."""
    stored = case.loaded.resource(case.shelf.key, entry.name)
    if stored is None or not stored.stands:
        return False
    was, now = (following.person(one) for one in (stored.resource, entry.resource))
    if not was or was == now or was in patients.records(case, now):
        return False
    return bool(case.loaded.copied(case.shelf.key, entry.name))
