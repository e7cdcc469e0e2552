"""
The index: what is kept of each resource, so that searches find it. docs/decisions/0010.

Beside its body each resource has its facts, all that a search may look at, as one text.
The index itself leads from a term to the resources that carry it, newest last, and only for
what tells few resources apart from many. What leads to few has no time, docs/decisions/0040:
they are sorted when they are found, and an update leaves them where they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, select

from app.storage.database import Batch, Reading, delete_rows, insert_once, statement
from app.storage.entries import ENTRY, FIELD, LONGEST, leads_to_few
from app.storage.tables import POSTING, RESOURCE

if TYPE_CHECKING:
    from app.fhir import Resource
    from app.storage.parameters import Parameters

Posting = tuple[str, str, str, str, str]  # as _COLUMNS
_Term = tuple[str, str, bool]  # term, qualifier, and whether it has a time

_MANY: Final = 2000  # rows, some ms to compare
_COLUMNS: Final = ("shelf", "term", "updated", "id", "qualifier")
_POST: Final = insert_once(POSTING)
_UNPOST: Final = delete_rows(POSTING, _COLUMNS)
_STOOD: Final = statement(
    select(RESOURCE.c.updated, RESOURCE.c.facts).where(
        *(RESOURCE.c[name] == bindparam(name) for name in ("shelf", "type", "id"))
    )
)


def facts(parameters: Parameters, resource: Resource) -> str:
    """Every entry of a resource, each once."""
    out: list[str] = []
    takes = parameters.taken(resource["resourceType"])
    by_key = takes.by_key
    for key in resource:
        for take in by_key.get(key, ()):
            take(resource, out)
    for take in takes.always:
        take(resource, out)
    return f"{ENTRY}{ENTRY.join(dict.fromkeys(out))}{ENTRY}"


async def stood(tx: Reading, shelf: str, kind: str, identity: str) -> tuple[str, str]:
    """When what stands there was stored, and its facts; "" for nothing."""
    rows = await tx.rows(_STOOD, shelf=shelf, type=kind, id=identity)
    return (rows[0][0], rows[0][1]) if rows else ("", "")


def moved(
    shelf: str, kind: str, identity: str, stood: tuple[str, str], stands: tuple[str, str]
) -> tuple[list[Posting], list[Posting]]:
    """
    The rows that lead there no longer, and those that do from now on.

    stood, stands   when it was stored, and its facts: the version before, and the one after
    """
    (before, was), (updated, facts) = stood, stands
    old, new = _terms(kind, was), _terms(kind, facts)
    stays = {*old}.intersection(new) if len(old) < _MANY else _both(old, new)
    if before != updated:
        stays = {one for one in stays if not one[2]}
    return (
        _rows(shelf, identity, before, old, stays),
        _rows(shelf, identity, updated, new, stays),
    )


def _both(old: list[_Term], new: list[_Term]) -> set[_Term]:
    """The terms that are in both, some at a time: to compare sets is one step, and others wait."""
    were: set[_Term] = set()
    for start in range(0, len(old), _MANY):
        were.update(old[start : start + _MANY])
    return {one for one in new if one in were}


def _terms(kind: str, facts: str) -> list[_Term]:
    """The terms by which the index leads there."""
    return [
        _known_term(kind, entry) if len(entry) <= LONGEST else _term(kind, entry)
        for rest in facts.split(f"{ENTRY}+")[1:]
        for entry in [rest.partition(ENTRY)[0]]
    ]


def _term(kind: str, entry: str) -> _Term:
    name, value, *rest = entry.split(FIELD)
    qualifier = rest[0] if rest else ""
    timed = not leads_to_few(name, value, qualifier)
    if "~s" in name:
        value, qualifier = value[:LONGEST], ""
    return f"{kind}.{name}{FIELD}{value}", qualifier, timed


_known_term: Final = lru_cache(maxsize=4096)(_term)  # what is written over was written before


def _rows(
    shelf: str, identity: str, updated: str, terms: list[_Term], stays: set[_Term]
) -> list[Posting]:
    """Of all but those that stay."""
    return [
        (shelf, one[0], updated if one[2] else "", identity, one[1])
        for one in terms
        if one not in stays
    ]


def stamped(batches: list[Batch], times: Mapping[str, str]) -> list[Batch]:
    """The same, where what leads from now on has the time of its shelf."""
    return [
        one._replace(
            rows=[(row[0], row[1], times[row[0]] if row[2] else "", *row[3:]) for row in one.rows]
        )
        if one.statement is _POST
        else one
        for one in batches
    ]


def changes(gone: list[Posting], led: list[Posting]) -> list[Batch]:
    """Lead no longer to what was written over, and to what stands from now on."""
    batches = (Batch(_UNPOST, _COLUMNS, gone), Batch(_POST, _COLUMNS, led))
    return [one for one in batches if one.rows]
