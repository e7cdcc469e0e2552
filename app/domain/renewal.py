"""A consent that is written: what was said while it had run out, what it refuses, and nothing sent unseen meanwhile."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from app import fhir
from app.domain import consents, holders, parties, progress, unfollowed
from app.domain.case import Case, at_once
from app.domain.plan import Answer, Exchange, Plan, Put, Stored
from app.fhir import Resource


def caught_up(case: Case, stood: list[tuple[Put, Stored]], passed: set[str]) -> list[Plan]:
    """
    What agencies have said while a consent had run out, now that the family has renewed it.

    passed      ids of exchanges on which the same change does something else
    """
    under = _under(case, stood, passed)
    return at_once(lambda pair: _as_theirs(case, pair[0], pair[1].resource), under)


def renewed(case: Case, stood: list[tuple[Put, Stored]], passed: set[str]) -> list[Exchange]:
    """The referrals that a consent covers from now on, and had not until now; passed as caught_up."""
    before = {fhir.name(one.resource): one for _, one in stood if one.stands}
    whole = consents.WHOLE
    return [
        one
        for one, given in _under(case, stood, passed)
        if one.consent in before
        and progress.consent(case, one, given.resource) >= whole
        and not progress.consent(case, one, before[one.consent].resource) >= whole
    ]


def _under(
    case: Case, stood: list[tuple[Put, Stored]], passed: set[str]
) -> list[tuple[Exchange, Put]]:
    """What was sent under the consents that are written, each with its own."""
    given = {
        fhir.name(one.resource): one
        for one, _ in stood
        if one.resource["resourceType"] == "Consent" and one.method != "DELETE"
    }
    each = at_once(lambda name: case.loaded.copied(case.shelf.key, name), given)
    return [
        (one, given[one.consent])
        for found in each
        for one in found
        if one.id not in passed and one.consent in given and one.recipient in case.settings.shelves
    ]


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


def refused(case: Case, made: Plan) -> list[Plan]:
    """
    A consent of its own in which the family refuses: whoever referred under another, which stands, is told.

    That one is not taken back by it: which of them the family means, a human knows.
    """
    shelf = case.shelf.key
    said = [
        one.resource
        for one in made.puts
        if one.shelf == shelf and one.resource["resourceType"] == "Consent"
        if one.method != "DELETE" and consents.refuses(one.resource)
    ]
    plans = at_once(lambda one: _told(case, one), said)
    return [one for found in plans for one in found]


def _told(case: Case, consent: Resource) -> list[Plan]:
    name, person = fhir.name(consent), fhir.target(consent.get("patient"))
    if not fhir.is_relative(person):
        return []
    open_ones = [
        one
        for one in case.loaded.copied(case.shelf.key, person)
        if one.consent not in {"", name} and one.recipient in case.settings.shelves
        if parties.means(case, consent, case.settings.shelves[one.recipient].tenant)
        for given in [case.find(one.consent)]
        if given and consents.refused_since(consent, given, fhir.instant(case.now))
    ]
    plans = at_once(
        lambda one: unfollowed.told(case, one, name, _REFUSED), holders.working(case, open_ones)
    )
    sent = ("copied", case.shelf.key, person)  # who refers at this moment has seen this, or is seen
    return [*plans, Plan(Answer(()), stands=(sent,))]


_REFUSED: Final = (
    "The family does not agree, as this says, and a referral to this agency was made under another consent, which"
    " stands. If that is taken back too, set its status to inactive, or the order's to revoked."
)


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
