"""Whose something is that was sent: its EHR may have given the record, and what is said of it, to another since."""

from __future__ import annotations

from typing import Final

from app import fhir
from app.domain import identity, patients
from app.domain.case import Case
from app.domain.loaded import Want
from app.domain.plan import Exchange, Purge, Stored
from app.fhir import Resource

_AT_ONCE: Final = 16  # past versions that are looked at together
_STATE: Final = frozenset({"clinicalStatus", "meta", "status", "text", "verificationStatus"})


def is_anothers(case: Case, exchange: Exchange, resource: Resource) -> bool:
    """
    Whether a version of what was sent tells of somebody else than it was sent of.

    What is an error now says nothing of anybody new, nor does what says the same as when it was sent, and
    has another status. What names nobody is of whose record it was when it was written; where that was
    expunged since, nobody can tell, and it is another's.
    """
    if resource["resourceType"] == "Patient":
        return _is_rewritten(case, exchange, fhir.name(resource), resource)
    if _is_as_sent(case, exchange, resource):
        return False
    said = fhir.about(resource)
    name = fhir.target(said)
    numbers = fhir.numbers(said.get("identifier"))
    if not name and numbers:
        before = identity.sent(case, exchange, exchange.person) or {}
        return not numbers & fhir.numbers(before.get("identifier"))
    name = name or exchange.person
    if _at(resource) <= case.loaded.expunged(exchange.source, name):
        return True
    record = _then(case, exchange, name, resource)
    if name in exchange.copies or name == exchange.person:
        gone = case.loaded.standing(exchange.source, name) is None
        if gone and is_lost(case, exchange, name):
            return True
        return record is not None and _is_rewritten(case, exchange, name, record)
    return not _is_record_of(case, exchange, name, record)


def is_lost(case: Case, exchange: Exchange, name: str) -> str:
    """
    When another's record of this name (Type/id) was expunged since this was sent, as FHIR instant; "" for never.

    What was written until then may be the other's, and nobody can tell.
    """
    at = case.loaded.expunged(exchange.source, name)
    return at if at > identity.sent_at(exchange) else ""


def is_given_away(case: Case, exchange: Exchange) -> bool:
    """Whether the record of the one whom it was sent of tells of another now."""
    name = exchange.person
    now = case.loaded.standing(exchange.source, name) if name else None
    if case.shelf.key == exchange.source:
        now = case.arriving(name) or now
    return now is not None and _is_rewritten(case, exchange, name, now)


def was_anothers(case: Case, exchange: Exchange, resource: Resource) -> bool:
    """
    Whether it was written while the record that it names told of somebody else, whose it tells of now.

    An EHR that gives each message the same ids gives the record back with the next one.
    """
    name = fhir.target(fhir.about(resource))
    known = name in exchange.copies or name in _records(case, exchange)
    return known and is_anothers(case, exchange, resource)


def purges(case: Case, exchange: Exchange, name: str, stored: Stored) -> tuple[Purge, ...]:
    """
    Of what tells of another now (Type/id): every version goes but the one that stands.

    What was theirs up to a moment is expunged up to that moment, so that it is so too where a backup from
    before brings it back; a backup from after has the other's, which stays.
    """
    last = _last(case, exchange, name, stored)
    if not last:
        return ()
    expunged = Purge(exchange.source, name, exchange.id, at=last)
    return expunged, Purge(exchange.source, name, exchange.id, "amended")


def is_shared(case: Case, exchange: Exchange, name: str) -> bool:
    """Whether another exchange has sent it while it told of the same person, or nobody knows of whom."""
    sharing = case.loaded.sharing(exchange.source, exchange.id, name)
    sent = [identity.sent(case, one, name) for one in sharing]
    return any(one is None or not is_anothers(case, exchange, one) for one in sent)


def _last(case: Case, exchange: Exchange, name: str, stored: Stored) -> str:
    """When the last of its versions was written that was not another's; "" where none is kept that was not."""
    for number in range(stored.version - 1, 0, -1):
        resource = _version(case, exchange.source, name, number)
        if resource and not is_anothers(case, exchange, resource):
            return _at(resource)
    return ""


def _version(case: Case, shelf: str, name: str, number: int) -> Resource | None:
    first = (number - 1) // _AT_ONCE * _AT_ONCE
    case.loaded.announce({
        Want("version", shelf, f"{name}/_history/{one}") for one in range(number, first, -1)
    })  # fmt: skip
    return case.loaded.version(shelf, name, number)


def _records(case: Case, exchange: Exchange) -> list[str]:
    """Those that links make one person with whom it was sent of, that one first."""
    source = case.settings.shelves.get(exchange.source)
    return patients.records(case.on(source), exchange.person) if source else [exchange.person]


def _is_as_sent(case: Case, exchange: Exchange, resource: Resource) -> bool:
    """Whether it says of nobody anything new since it was sent."""
    if fhir.in_error(resource):
        return True
    sent = identity.sent(case, exchange, fhir.name(resource))
    return sent is not None and _said(sent) == _said(resource)


def _said(resource: Resource) -> Resource:
    return {name: value for name, value in resource.items() if name not in _STATE}


def _at(resource: Resource) -> str:
    return str(resource["meta"]["lastUpdated"])


def _then(case: Case, exchange: Exchange, name: str, resource: Resource) -> Resource | None:
    """A record (Type/id) as it stood when this was written."""
    if not fhir.is_relative(name):
        return None
    return case.loaded.past(exchange.source, name, _at(resource))


def _is_rewritten(case: Case, exchange: Exchange, name: str, record: Resource) -> bool:
    before = identity.sent(case, exchange, name)
    return before is not None and identity.is_another(before, record)


def _is_record_of(case: Case, exchange: Exchange, name: str, record: Resource | None) -> bool:
    """Whether another record than was sent is of the same person: a link says so, or what it says itself."""
    before = identity.sent(case, exchange, exchange.person)
    if record is None or before is None:
        return False
    linked = name in patients.further(before, [exchange.person])
    return identity.is_one(before, record) or (linked and not identity.is_another(before, record))
