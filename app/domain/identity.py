"""Whether two versions of a record tell of one person: an EHR may give the record of one child to another."""

from __future__ import annotations

import re
from typing import Final

from app.domain import letters
from app.domain.case import Case
from app.domain.plan import Exchange
from app.fhir import Resource, listed

# v2-0203: of an account, a member, a subscriber; a family may share it
_SHARED: Final = frozenset({"AN", "MB", "SN"})
_YEAR: Final = 4  # letters; a birth date of no more is an estimate, as the profile cps-child has it
_NEAR: Final = 2  # years by which an estimate is off
_WORDS: Final = re.compile(r"\w+")


def are_two(one: Resource, other: Resource) -> bool:
    """
    Whether two records under one id, each of a message of its own, tell of two people.

    Their numbers of one system differ, or it is another as is_another has it.
    """
    shared, differs = _numbers(one, other)
    return (differs and not shared) or is_another(one, other)


def is_another(before: Resource, after: Resource) -> bool:
    """
    Whether a record that was rewritten tells of somebody else, and is no correction of one person's.

    A number that stays tells that it is one, but of a family's: then first name and birth date tell them
    apart. One that was changed tells so where name or birth date differ too; without any, the name has to
    and the birth date, unless that was known and is said no more, or a girl is a boy. Who is known by a name
    alone, and has another now, is one who was unknown.
    """
    shared, differs = _numbers(before, after)
    named, born = _named(before, after), _born(before, after)
    if differs:
        return named is False or born is False
    if shared:
        return named is False and born is False and _is_kin(before, after)
    forgotten = bool(_birth(before)) and not _birth(after)
    return named is False and (born is False or forgotten or _are_girl_and_boy(before, after))


def is_one(one: Resource, other: Resource) -> bool:
    """Whether two records under ids of their own are of one person: a number says so, or name and birth date."""
    return bool(_named(one, other) and _born(one, other)) or has_a_number_of(one, other)


def has_a_number_of(one: Resource, other: Resource) -> bool:
    """Whether two records under ids of their own have a number in common, and it is no family's."""
    shared, _ = _numbers(one, other)
    return shared and not is_another(one, other)


def is_doubtful(before: Resource, after: Resource) -> bool:
    """
    The same of a message that comes again: who has no number is another by the name alone.

    Twins have one birth date.
    """
    shared, _ = _numbers(before, after)
    return is_another(before, after) or (not shared and _named(before, after) is False)


def is_another_clinician(before: Resource, after: Resource) -> bool:
    """
    The same of who works at the clinic: a number that stays is one person; names alone differ in every word.

    Mappings give whoever writes one id, such as Practitioner/author.
    """
    shared, differs = _numbers(before, after)
    if shared or _named(before, after) is not False:
        return False
    words, theirs = (
        {word for each in listed(who.get("name")) for word in _words(each)}
        for who in (before, after)
    )
    return differs or not words & theirs


def is_another_name(before: str, after: str) -> bool:
    """Whether two names as one writes them are of two people, where each is said."""
    return bool(before and after) and not _alike({"text": before}, {"text": after})


def was_another(case: Case, name: str, at: str) -> bool:
    """
    Whether a record (Type/id) of the caller's shelf told of somebody else at a FHIR instant than it tells of now.

    What was expunged since told of nobody knows whom, and so of somebody else. What a human said of it then, such as a consent, was of that one.
    """
    shelf, now = case.shelf.key, case.find(name)
    if now is None:
        return False
    stored = case.loaded.resource(shelf, name)
    if stored and stored.stands and stored.resource["meta"]["lastUpdated"] <= at:
        return now is not stored.resource and is_another(stored.resource, now)
    if case.loaded.expunged(shelf, name) > at:
        return True  # nobody knows any more who that was
    before = case.loaded.past(shelf, name, at)
    return before is not None and is_another(before, now)


def sent_at(exchange: Exchange) -> str:
    """FHIR instant at which what was sent was as it was sent first."""
    return exchange.terms.known or exchange.opened


def sent(case: Case, exchange: Exchange, name: str) -> Resource | None:
    """A record (Type/id) of what was sent in an exchange, as it was when the first of it was sent."""
    shelf, at = exchange.source, sent_at(exchange)
    stored = case.loaded.resource(shelf, name)
    if stored and stored.stands and stored.resource["meta"]["lastUpdated"] <= at:
        return stored.resource
    return case.loaded.past(shelf, name, at)


def _numbers(one: Resource, other: Resource) -> tuple[bool, bool]:
    """Whether they have a number in common, and whether those of some system differ."""
    own, others = _by_system(one), _by_system(other)
    both = [(own[system], others[system]) for system in own.keys() & others.keys()]
    return any(a & b for a, b in both), any(not a & b for a, b in both)


def _by_system(patient: Resource) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in listed(patient.get("identifier")):
        codes = {each.get("code") for each in listed((one.get("type") or {}).get("coding"))}
        if one.get("system") and one.get("value") and not codes & _SHARED:
            found.setdefault(str(one["system"]), set()).add(str(one["value"]))
    return found


def _named(one: Resource, other: Resource) -> bool | None:
    """Whether any name of the one may be a name of the other; None where one of them has none."""
    names, theirs = (
        [each for each in listed(who.get("name")) if _words(each)] for who in (one, other)
    )
    if not names or not theirs:
        return None
    return any(_alike(a, b) for a in names for b in theirs)


def _alike(one: Resource, other: Resource) -> bool:
    """Brothers share family names, and middle names; a name in one piece has no first."""
    (first, family), (others, theirs) = (
        (_parts(each.get("given")), set(_parts(each.get("family")))) for each in (one, other)
    )
    if not (first and others and family and theirs):
        own, said = _words(one), _words(other)
        return own <= said or said <= own
    return bool(family & theirs) and (first[0] in others or others[0] in first)


def _words(name: Resource) -> set[str]:
    parts = _parts([*listed(name.get("given")), name.get("family")])
    return set(parts or _parts(name.get("text")))


def _parts(said: object) -> list[str]:
    """Words as they compare: the next system may know no accents."""
    text = " ".join(str(one) for one in listed(said) if one)
    return _WORDS.findall(letters.plain(text))


def _born(one: Resource, other: Resource) -> bool | None:
    """Whether their birth dates may be one; None where one has none, or they are estimates near each other."""
    born, theirs = _birth(one), _birth(other)
    if not born or not theirs:
        return None
    if born.startswith(theirs) or theirs.startswith(born):
        return True
    estimated = _YEAR in {len(born), len(theirs)}
    near = abs(int(born[:_YEAR]) - int(theirs[:_YEAR])) <= _NEAR
    return None if estimated and near else False


def _birth(who: Resource) -> str:
    """The birth date that a record says; "" where it lay ahead when that was written, as of who is unborn."""
    born, written = (
        str(who.get("birthDate") or ""),
        str((who.get("meta") or {}).get("lastUpdated", "")),
    )
    return "" if written and born > written else born


def _are_girl_and_boy(one: Resource, other: Resource) -> bool:
    return {one.get("gender"), other.get("gender")} == {"female", "male"}


def _is_kin(one: Resource, other: Resource) -> bool:
    families, theirs = (
        {word for each in listed(who.get("name")) for word in _parts(each.get("family"))}
        for who in (one, other)
    )
    return bool(families & theirs)
