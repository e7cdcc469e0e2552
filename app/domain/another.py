"""What comes under a number that an EHR has given before: to another person, or for another agency."""

from __future__ import annotations

from typing import Final

from app.domain import numbered, parties, patients
from app.domain.case import Case
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
_TAKEN: Final = (
    "Another person stands under this id, who was referred or reported before: send this one under an id of"
    " their own."
)


def asked(case: Case, task: Entry | None, before: str) -> Conflict | None:
    """
    What is wrong with a Task of an order that was sent before, where it asks another, or for another.

    before      the Task (Type/id) by which it was sent
    """
    if task is None or case.repeated(task):
        return None  # word for word, of the same people
    exchange = case.loaded.exchange(case.shelf.key, before)
    if exchange is None:
        return None
    whom = numbered.one(case, task.resource.get("for"), "Patient")
    if whom.startswith("Patient/") and whom not in patients.records(case, exchange.person):
        return Conflict(_SENT_FOR, expression="Task.for")
    to = parties.recipient(case, task.resource.get("owner")).tenant
    shelf = case.settings.shelves.get(exchange.recipient)
    if to and shelf and to.id != shelf.tenant:
        return Conflict(_SENT_TO, expression="Task.owner")
    own = case.find(before)
    return (
        None
        if own is None or own.get("status") in OPEN
        else Conflict(_OVER, expression="Task.focus")
    )


def person(case: Case, request: Resource | None) -> Conflict | None:
    """What is wrong with a child who comes under the id of another, who was sent to somebody before."""
    name = str(((request or {}).get("subject") or {}).get("reference", ""))
    came = case.arriving(name) if name.startswith("Patient/") else None
    stored = case.loaded.resource(case.shelf.key, name) if came else None
    if came is None or stored is None or not stored.stands:
        return None
    if not patients.are_two(stored.resource, came) or not case.loaded.copied(case.shelf.key, name):
        return None
    return Conflict(_TAKEN, expression="Patient.id")
