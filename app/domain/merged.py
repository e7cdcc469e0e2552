"""Records of a person that are made one, or two again, or deleted: what it means to those who were sent one of them."""

from __future__ import annotations

from typing import Final

from app import fhir
from app.domain import holders, identity, patients, unfollowed
from app.domain.case import Case, at_once
from app.domain.following import Correction, person
from app.domain.plan import Plan, Put, Stored
from app.fhir import Resource, listed


def joined(case: Case, changed: list[Put], stood: list[tuple[Put, Stored]]) -> list[Correction]:
    """
    The records that were sent, and in whose place one stands, or stood, that is changed: it follows as theirs.

    One that is deleted is as it was sent.
    """
    shelf = case.shelf.key
    names = list({one: None for found in in_place_of(case, changed, stood) for one in found})
    case.loaded.expect(shelf, names)
    stands = [(name, one) for name in names if (one := case.loaded.resource(shelf, name))]
    sent = at_once(lambda pair: holders.sent(case, pair[0]), stands)
    theirs = [
        (name, one, exchange)
        for (name, one), exchanges in zip(stands, sent, strict=True)
        for exchange in exchanges
        if exchange.person == name
    ]
    said = at_once(lambda each: case.find(each[0]) or identity.sent(case, each[2], each[0]), theirs)
    return [
        Correction(case, exchange, Put(shelf, record, one.version), one)
        for (_, one, exchange), record in zip(theirs, said, strict=True)
        if record
    ]


def in_place_of(case: Case, changed: list[Put], stood: list[tuple[Put, Stored]]) -> list[list[str]]:
    """The records in whose place each of these stands, or has stood until now by its own word."""
    people = [one for one in changed if one.resource["resourceType"] == "Patient"]
    return [
        *at_once(lambda one: patients.replaced(case, fhir.name(one.resource)), people),
        *(patients.replacing(stored.resource) for stored in unlinked(stood)),
    ]


def parted(case: Case, stood: list[tuple[Put, Stored]]) -> list[Correction]:
    """
    The facts that were sent as this person's, and stand on a record that is theirs no more.

    Two records were taken for one child; they are two, and what was told of the one was the other's. That one
    is gone does not say so.
    """
    changed = {fhir.name(one.resource) for one, _ in stood}
    two = unlinked([one for one in stood if one[0].method != "DELETE"])
    each = at_once(lambda stored: _lost(case, fhir.name(stored.resource), changed), two)
    return [one for found in each for one in found]


def _lost(case: Case, record: str, changed: set[str]) -> list[Correction]:
    """The same of one record (Type/id) whose links have changed, but for what is changed beside it."""
    # as it stands itself, and as one that only another's link leads to
    behind = case.loaded.found(case.shelf.key, f"Patient?link={record}")
    each = at_once(lambda name: linked(case, name), [record, *behind])
    before = list(dict.fromkeys(name for one in each for name in one))
    sent = at_once(lambda name: holders.sent(case, name), before)
    found = []
    for exchange in {one.id: one for each in sent for one in each}.values():
        lost = set(before) - set(patients.records(case, exchange.person))
        shelf, names = case.shelf.key, [one for one in exchange.copies if one not in changed]
        case.loaded.expect(shelf, names)
        facts = [case.loaded.resource(shelf, one) for one in names]
        found += [
            Correction(case, exchange, Put(shelf, fact.resource, fact.version), fact)
            for fact in facts
            if fact and fact.stands and person(fact.resource) in lost
        ]
    return found


def told(case: Case, stood: list[tuple[Put, Stored]]) -> list[Plan]:
    """Whoever sent a record that one replaces which is not here is told: what is corrected there does not follow."""
    people = [one for one in stood if one[0].resource["resourceType"] == "Patient"]
    names = [
        fhir.name(one.resource)
        for one, stored in people
        if _replacing(one.resource) - _replacing(stored.resource)
    ]
    gone = [fhir.name(one.resource) for one, _ in people if one.method == "DELETE"]
    for one in at_once(lambda name: patients.replaced(case, name), gone):
        names += [each for each in one if case.find(each)]
    each = zip(names, at_once(lambda name: holders.sent(case, name), names), strict=True)
    return at_once(
        lambda pair: unfollowed.told(case, pair[1], pair[0], _REPLACED),
        [
            (name, one)
            for name, found in each
            for one in found
            if one.person == name and patients.survivor(case, name) is None
        ],
    )


_REPLACED: Final = "This record was replaced by another that is not here; what is corrected there does not follow to the agency."


def _replacing(patient: Resource) -> set[str]:
    links = listed(patient.get("link"))
    return {fhir.target(one.get("other")) for one in links if one.get("type") == "replaced-by"}


def unlinked(stood: list[tuple[Put, Stored]]) -> list[Stored]:
    """The records of persons whose links have changed, as they stood before."""
    return [
        stored
        for one, stored in stood
        if one.resource["resourceType"] == "Patient"
        and stored.stands
        and one.resource.get("link") != stored.resource.get("link")
    ]


def linked(case: Case, name: str) -> list[str]:
    """The records that were one person with this one before the change, itself first."""
    found = [name]
    for one in found:
        stored = case.loaded.resource(case.shelf.key, one)
        found += patients.further(stored.resource if stored else {}, found)
    return found
