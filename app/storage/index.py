"""
The index: what is kept of each resource, so that searches find it. docs/decisions/0010.

Beside its body each resource has its facts, all that a search may look at, as one text.
The index itself leads from a term to the resources that carry it, newest last, and only for
what tells few resources apart from many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, select

from app.storage.database import Reading, Tx, delete_rows, insert_once, statement
from app.storage.entries import ENTRY, FIELD, LONGEST
from app.storage.tables import POSTING, RESOURCE

if TYPE_CHECKING:
    from app.fhir import Resource
    from app.storage.parameters import Parameters

Postings = list[dict[str, Any]]

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


def _terms(kind: str, facts: str) -> set[tuple[str, str]]:
    """Term and qualifier of each entry to which the index leads."""
    found = set()
    for entry in facts.split(ENTRY):
        if entry[:1] == "+":
            name, value, *rest = entry.split(FIELD)
            text = "~s" in name
            qualifier = "" if text or not rest else rest[0]
            found.add((f"{kind}.{name[1:]}{FIELD}{value[:LONGEST] if text else value}", qualifier))
    return found


def postings(shelf: str, kind: str, identity: str, updated: str, facts: str) -> Postings:
    """The rows that lead to a resource."""
    return [
        {"shelf": shelf, "term": term, "updated": updated, "id": identity, "qualifier": qualifier}
        for term, qualifier in _terms(kind, facts)
    ]


async def stood(tx: Reading, shelf: str, kind: str, identity: str) -> tuple[str, str]:
    """When what stands there was stored, and its facts; "" for nothing."""
    rows = await tx.rows(_STOOD, shelf=shelf, type=kind, id=identity)
    return (rows[0][0], rows[0][1]) if rows else ("", "")


async def change(tx: Tx, gone: Postings, led: Postings) -> None:
    """Lead no longer to what was written over, and to what stands from now on."""
    if gone:
        await tx.run_all(_UNPOST, gone)
    if led:
        await tx.run_all(_POST, led)
