"""
The index: what is kept of each resource, so that searches find it. docs/decisions/0010.

Beside its body each resource has its facts, all that a search may look at, as one text.
The index itself leads from a term to the resources that carry it, newest last, and only for
what tells few resources apart from many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, select

from app.storage.database import Tx, insert_once, statement
from app.storage.entries import ENTRY, FIELD, LONGEST
from app.storage.tables import POSTING, RESOURCE

if TYPE_CHECKING:
    from app.fhir import Resource
    from app.storage.parameters import Parameters

_COLUMNS: Final = ("shelf", "term", "updated", "id", "qualifier")
_POST: Final = insert_once(POSTING)
_UNPOST: Final = statement(
    delete(POSTING).where(*(POSTING.c[name] == bindparam(name) for name in _COLUMNS))
)
_STOOD: Final = statement(
    select(RESOURCE.c.updated, RESOURCE.c.facts).where(
        *(RESOURCE.c[name] == bindparam(name) for name in ("shelf", "type", "id"))
    )
)


def facts(parameters: Parameters, resource: Resource) -> str:
    """Every entry of a resource, each once."""
    out: list[str] = []
    for take in parameters.taken(resource["resourceType"]):
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


def postings(key: dict[str, str], updated: str, facts: str) -> list[dict[str, Any]]:
    """The rows that lead to a resource."""
    shelf, identity = key["shelf"], key["id"]
    return [
        {"shelf": shelf, "term": term, "updated": updated, "id": identity, "qualifier": qualifier}
        for term, qualifier in _terms(key["type"], facts)
    ]


async def post(tx: Tx, rows: list[dict[str, Any]]) -> None:
    """Lead to what stands from now on."""
    if rows:
        await tx.run_all(_POST, rows)


async def forget(tx: Tx, key: dict[str, str]) -> None:
    """Lead no longer to what stands there; before it is written over."""
    for updated, stood in await tx.rows(_STOOD, **key):
        if rows := postings(key, updated, stood):
            await tx.run_all(_UNPOST, rows)
