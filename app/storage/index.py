"""
The index: what is kept of each resource, so that searches find it. docs/decisions/0010.

Beside its body each resource has its facts, all that a search may look at, as one text.
The index itself leads from a term to the resources that carry it, newest last, and only for
what tells few resources apart from many. What leads to few has no time, docs/decisions/0040:
they are sorted when they are found, and an update leaves them where they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, select

from app.known import Known
from app.storage.database import Batch, Reading, delete_rows, insert_once, statement
from app.storage.entries import ENTRY, FIELD, LONGEST, leads_to_few
from app.storage.extraction import take
from app.storage.tables import POSTING, RESOURCE

if TYPE_CHECKING:
    from app.fhir import Resource
    from app.storage.parameters import Parameters

Posting = tuple[str, str, str, str, str]  # as _COLUMNS
_Term = tuple[str, str, bool]  # term without the type, qualifier, and whether it has a time

_led: Final = re.compile(f"{ENTRY}\\+([^{ENTRY}]*)").findall
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
    take(takes.by_key, resource, out)
    for keys, those in takes.whole.items():
        if not keys or not keys.isdisjoint(resource):
            for one in those:
                one(resource, out)
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
    leads, led = _terms(was), _terms(facts)
    later = before != updated  # what has a time moves with it
    gone = [one for one in leads if (later and one[2]) or one not in led]
    new = [one for one in led if (later and one[2]) or one not in leads]
    named = (shelf, kind, identity)
    return _postings(*named, before, gone), _postings(*named, updated, new)


def _terms(facts: str) -> dict[_Term, None]:
    """The terms by which the index leads there, in order, each once."""
    return dict.fromkeys(map(_known_term.__getitem__, _led(facts)))


def _postings(
    shelf: str, kind: str, identity: str, updated: str, terms: list[_Term]
) -> list[Posting]:
    return [
        (shelf, kind + term, updated if timed else "", identity, qualifier)
        for term, qualifier, timed in terms
    ]


def _term(entry: str) -> _Term:
    name, value, *rest = entry.split(FIELD)
    qualifier = rest[0] if rest else ""
    timed = not leads_to_few(name, value, qualifier)
    if "~s" in name:
        value, qualifier = value[:LONGEST], ""
    return f".{name}{FIELD}{value}", qualifier, timed


_known_term: Final = Known(_term)  # what is written over was written before


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
