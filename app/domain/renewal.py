"""A consent that is written anew: what was said while it had run out, and nothing sent unseen meanwhile."""

from __future__ import annotations

from msgspec.structs import replace

from app import fhir
from app.domain import consents, progress
from app.domain.case import Case, at_once
from app.domain.plan import Answer, Exchange, Plan, Put, Stored
from app.fhir import Resource


def caught_up(case: Case, stood: list[tuple[Put, Stored]], passed: set[str]) -> list[Plan]:
    """
    What agencies have said while a consent had run out, now that the family has renewed it.

    passed      ids of exchanges on which the same change does something else
    """
    given = {
        fhir.name(one.resource): one.resource
        for one, _ in stood
        if one.resource["resourceType"] == "Consent" and one.method != "DELETE"
    }
    each = at_once(lambda name: case.loaded.copied(case.shelf.key, name), given)
    under = [
        one
        for found in each
        for one in found
        if one.id not in passed and one.consent in given and one.recipient in case.settings.shelves
    ]
    return at_once(lambda one: _as_theirs(case, one, given[one.consent]), under)


def _as_theirs(case: Case, exchange: Exchange, consent: Resource) -> Plan:
    """The clinic's Task as the agency's has it, where this consent covers it; nothing where it says so already."""
    nothing = Plan(Answer(()))
    event = case.mappings.outcomes.event(exchange.kind, exchange.state)
    theirs = case.loaded.resource(exchange.recipient, exchange.recipient_task)
    if event is None or theirs is None:
        return nothing
    if not progress.consent(case, exchange, consent) >= consents.WHOLE:
        return nothing
    there = case.on(case.settings.shelves[exchange.recipient])
    made = progress.told(there, exchange, event, theirs.resource, given=consent)
    return replace(made, answer=nothing.answer)


def in_turn(case: Case, stood: list[tuple[Put, Stored]], made: Plan) -> Plan:
    """Nothing was sent under a consent, at this moment, that its change has not seen."""
    shelf = case.shelf.key
    names = [
        fhir.name(one.resource) for one, _ in stood if one.resource["resourceType"] == "Consent"
    ]
    turns = tuple(consents.turn(shelf, name) for name in names)
    stands = tuple(("copied", shelf, name) for name in names)
    if not names:
        return made
    return replace(made, absent=(*made.absent, *turns), stands=(*made.stands, *stands))
