"""Resources onto shelves: their rows, the versions that they replace, and what leads to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

from sqlalchemy import bindparam, insert, select, update

from app import fhir
from app.domain.loaded import Want
from app.domain.plan import Put, Stored
from app.storage import index
from app.storage.database import (
    Batch,
    Many,
    Overtaken,
    Row,
    Statement,
    Tx,
    insert_once,
    rows_of,
    statement,
)
from app.storage.parameters import Parameters
from app.storage.resources import Stand, Version
from app.storage.tables import RESOURCE, VERSION

_PAST: Final = ("shelf", "type", "id", "version", "updated", "method", "body")
_KEY: Final = tuple(RESOURCE.c[name] == bindparam(name) for name in ("shelf", "type", "id"))
_AS_SEEN: Final = RESOURCE.c.version == bindparam("expected")
_CREATE: Final = insert_once(RESOURCE)
_KEEP: Final = statement(
    insert(VERSION).from_select(
        list(_PAST), select(*(RESOURCE.c[name] for name in _PAST)).where(*_KEY, _AS_SEEN)
    )
)
_CREATED: Final = tuple(column.name for column in RESOURCE.columns)
_REPLACED: Final = (
    "shelf", "type", "id", "next", "updated", "how", "mark", "facts", "body", "expected", "stood",
)  # fmt: skip
_SET: Final = {"version": "next", "method": "how", "exchange": "mark"} | {
    name: name for name in ("updated", "facts", "body")
}


@cache
def _replace_many(columns: tuple[str, ...]) -> Many:
    """
    What is replaced goes to its past, and what is new in its place, in one statement.

    Both see it as it stood before. The guard stands twice: once where the row is found, so that
    one look in the index is made for each, and once where it is locked, for who came in between.
    """
    column = {**{to: name for name, to in _SET.items()}, "expected": "version", "stood": "facts"}
    rows = rows_of({name: RESOURCE.c[column.get(name, name)].type for name in columns})
    past = ", ".join(f"one.{name}" for name in _PAST)
    looked = (
        "SELECT one.ctid AS place, {} FROM resource AS one WHERE (one.shelf, one.type, one.id) ="
        " (keys.shelf, keys.type, keys.id) AND one.version = keys.expected OFFSET 0"
    )
    found = f"{rows.sql} CROSS JOIN LATERAL ({looked}) AS found"
    return Many(
        f"UPDATE resource SET {', '.join(f'{name} = made.{to}' for name, to in _SET.items())}"  # noqa: S608 — our own names
        f" FROM (SELECT found.place, keys.* FROM {found.format('1')} OFFSET 0) AS made"
        " WHERE resource.ctid = made.place AND resource.version = made.expected"
        " AND resource.facts = made.stood",
        rows.json,
        f"kept AS (INSERT INTO version ({', '.join(_PAST)})"  # noqa: S608 — our own names
        f" SELECT {', '.join(f'found.{name}' for name in _PAST)} FROM {found.format(past)})",
    )


# The facts are in the guard because a reindex makes them anew and leaves the version as it is.
_REPLACE: Final = Statement(
    update(RESOURCE)
    .where(*_KEY, _AS_SEEN, RESOURCE.c.facts == bindparam("stood"))
    .values(
        version=bindparam("next"),
        updated=bindparam("updated"),
        method=bindparam("how"),
        exchange=bindparam("mark"),
        facts=bindparam("facts"),
        body=bindparam("body"),
    ),
    before=_KEEP,
    many=_replace_many,
)


async def put(
    tx: Tx, puts: Iterable[Put], parameters: Parameters, seen: Mapping[Want, Any]
) -> Stand:
    """
    What is new goes in together, and what replaces something, each with its guard.

    puts        in the order of shelf and name: all who write lock in one order, so that no two
                wait for each other
    seen        what was read for them; what is not in it is read again
    raises      Overtaken: something else stands there than was expected
    """
    stand: Stand = {}
    new: list[Row] = []
    kept: list[Row] = []
    gone: list[index.Posting] = []
    led: list[index.Posting] = []
    for one in puts:
        resource, shelf = one.resource, one.shelf
        kind, identity = resource["resourceType"], resource["id"]
        updated, version = resource["meta"]["lastUpdated"], one.expected + 1
        if one.method == "DELETE":
            facts, body = "", b""
        else:
            facts, body = index.facts(parameters, resource), fhir.encode(resource)
        name = f"{kind}/{identity}"
        stand[shelf, name] = Version(body, version, updated, one.method, one.exchange)
        row = (shelf, kind, identity, version, updated, one.method, one.exchange, facts, body)
        stood = ("", "")
        if one.expected == 0:
            new.append(row)
        else:
            stood = await _stood(tx, one, seen.get(Want("resource", shelf, name)))
            kept.append((*row, one.expected, stood[1]))
        less, more = index.moved(shelf, kind, identity, stood, (updated, facts))
        gone += less
        led += more
    batches = [Batch(_REPLACE, _REPLACED, kept), Batch(_CREATE, _CREATED, new)]
    batches = [one for one in batches if one.rows]
    touched = await tx.run_all([*batches, *index.changes(gone, led)])
    if any(count != len(one.rows) for count, one in zip(touched, batches, strict=False)):
        raise Overtaken
    return stand


async def _stood(tx: Tx, one: Put, seen: Stored | None) -> tuple[str, str]:
    """When what is replaced was stored, and its facts."""
    if seen is not None and seen.updated and seen.version == one.expected:
        return seen.updated, seen.facts
    return await index.stood(tx, one.shelf, one.resource["resourceType"], one.resource["id"])
