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
        if one.shelf == shelf and one.resource["resourceType"] == "Consent" and _is_refusal(one)
    ]
    plans = at_once(lambda one: _told(case, one), said)
    return [one for found in plans for one in found]


def _is_refusal(one: Put) -> bool:
    status = one.resource.get("status")
    denied = status == "active" and consents.withdrawn(one.resource)
    code = "http://terminology.hl7.org/CodeSystem/consentscope"
    about = fhir.has_code(one.resource.get("scope"), code, "patient-privacy")
    return one.method != "DELETE" and about and (denied or status in {"inactive", "rejected"})


def _told(case: Case, consent: Resource) -> list[Plan]:
    name, person = fhir.name(consent), fhir.target(consent.get("patient"))
    if not fhir.is_relative(person):
        return []
    open_ones = [
        one
        for one in case.loaded.copied(case.shelf.key, person)
        if one.consent not in {"", name} and one.recipient in case.settings.shelves
        if _names(case, consent, one) and _is_later(consent, one)
    ]
    return at_once(
        lambda one: unfollowed.told(case, one, name, _REFUSED), holders.working(case, open_ones)
    )


_REFUSED: Final = (
    "The family does not agree, as this says, and a referral to this agency was made under another consent, which"
    " stands. If that is taken back too, set its status to inactive, or the order's to revoked."
)


def _names(case: Case, consent: Resource, exchange: Exchange) -> bool:
    """Whether it is about who has the referral: it names them, or nobody."""
    actors = fhir.listed((consent.get("provision") or {}).get("actor"))
    agency = case.settings.shelves[exchange.recipient].tenant
    named = (parties.recipient(case, one.get("reference")).tenant for one in actors)
    return not actors or any(one and one.id == agency for one in named)


def _is_later(consent: Resource, exchange: Exchange) -> bool:
    """Whether it was said since that was sent; of one that has ended only where it says when."""
    said = str(consent.get("dateTime", ""))
    if not said:
        return consent.get("status") != "inactive"
    return fhir.not_after(exchange.opened, said)


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
