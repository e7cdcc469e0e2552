"""Resources onto shelves: their rows, the versions that they replace, and what leads to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import Any, Final, NamedTuple

from sqlalchemy import bindparam, insert, select, update

from app import fhir
from app.domain.loaded import Want
from app.domain.plan import Put
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

_MILLISECOND: Final = timedelta(milliseconds=1)
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
    "since",
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
    guard = {"expected": "version", "stood": "facts", "since": "updated"}
    column = {to: name for name, to in _SET.items()} | guard
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
        " AND resource.facts = made.stood AND resource.updated = made.since",
        rows.json,
        f"kept AS (INSERT INTO version ({', '.join(_PAST)})"  # noqa: S608 — our own names
        f" SELECT {', '.join(f'found.{name}' for name in _PAST)} FROM {found.format(past)})",
    )


# The facts are in the guard because a reindex makes them anew and leaves the version as it is; the
# time because what was expunged may have come again, with the same version.
_REPLACE: Final = Statement(
    update(RESOURCE)
    .where(
        *_KEY,
        _AS_SEEN,
        RESOURCE.c.facts == bindparam("stood"),
        RESOURCE.c.updated == bindparam("since"),
    )
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


class Rows(NamedTuple):
    """
    What is written for some puts.

    stand       what stands then
    batches     with a guard, one row for each put
    leading     what leads to it, and what does no longer
    """

    stand: Stand
    batches: list[Batch]
    leading: list[Batch]


async def put(
    tx: Tx,
    puts: Sequence[Put],
    parameters: Parameters,
    seen: Mapping[Want, Any],
    times: Mapping[str, str],
) -> Stand:
    """
    What is new goes in together, and what replaces something, each with its guard.

    puts        in the order of shelf and name: all who write lock in one order, so that no two
                wait for each other
    seen        what was read for them; what is not in it is read again
    times       when it comes to each shelf, FHIR instants
    raises      Overtaken: something else stands there than was expected
    """
    stood = [_seen(one, seen) or await _stood(tx, one) for one in puts]
    return await write(tx, rows(puts, parameters, stood, times))


async def write(tx: Tx, made: Rows) -> Stand:
    """Raises Overtaken: as put."""
    touched = await tx.run_all([*made.batches, *made.leading])
    if any(count != len(one.rows) for count, one in zip(touched, made.batches, strict=False)):
        raise Overtaken
    return made.stand


def known(puts: Sequence[Put], parameters: Parameters, seen: Mapping[Want, Any]) -> Rows | None:
    """As rows; None where not all that they replace was read."""
    stood = [_seen(one, seen) for one in puts]
    return rows(puts, parameters, [one for one in stood if one], {}) if all(stood) else None


def stamp(made: Rows, times: Mapping[str, str]) -> None:
    """Give rows that are made already the time at which they come to their shelves."""
    if all(one.updated == times[shelf] for (shelf, _), one in made.stand.items()):
        return
    for key, one in made.stand.items():
        made.stand[key] = _stamped(one, times[key[0]])
    for place, batch in enumerate(made.batches):
        rows = [_stamped_row(row, made.stand) for row in batch.rows]
        made.batches[place] = batch._replace(rows=rows)
    made.leading[:] = index.stamped(made.leading, times)


def _stamped(one: Version, at: str) -> Version:
    """With its time in the body too: meta leads there, so it is the first that is written so."""
    start = one.body.find(b'"lastUpdated":"%b"' % one.updated.encode())
    if start < 0:  # a deletion
        return one._replace(updated=at)
    start += len('"lastUpdated":"')
    whole = memoryview(one.body)  # a slice of a scan is no copy of it
    body = b"".join((whole[:start], at.encode(), whole[start + len(one.updated) :]))
    return one._replace(body=body, updated=at)


def _stamped_row(row: Row, stand: Stand) -> Row:
    """A row that begins as one of RESOURCE does."""
    shelf, kind, identity, version, _, method, exchange, facts, _, *guard = row
    now = stand[shelf, f"{kind}/{identity}"]
    return shelf, kind, identity, version, now.updated, method, exchange, facts, now.body, *guard


def rows(
    puts: Sequence[Put],
    parameters: Parameters,
    stood: Sequence[tuple[str, str]],
    times: Mapping[str, str],
) -> Rows:
    """
    The rows of these, in their order.

    stood       for each, when what it replaces was stored, and its facts; "" for nothing
    times       as put; where a shelf has none, they keep the time with which they were planned
    """
    stand: Stand = {}
    new: list[Row] = []
    kept: list[Row] = []
    gone: list[index.Posting] = []
    led: list[index.Posting] = []
    for one, before in zip(puts, stood, strict=True):
        resource, shelf = one.resource, one.shelf
        kind, identity = resource["resourceType"], resource["id"]
        planned, version = resource["meta"]["lastUpdated"], one.expected + 1
        updated = times.get(shelf, planned)
        if updated <= before[0]:  # a clock that was set back; the commit will say when
            updated = fhir.instant(fhir.moment(before[0]) + _MILLISECOND)
        if updated != planned:
            resource = {**resource, "meta": {**resource["meta"], "lastUpdated": updated}}
        if one.method == "DELETE":
            facts, body = "", b""
        else:
            facts, body = index.facts(parameters, resource), fhir.encode(resource)
        name = f"{kind}/{identity}"
        stand[shelf, name] = Version(body, version, updated, one.method, one.exchange, facts)
        row = (shelf, kind, identity, version, updated, one.method, one.exchange, facts, body)
        if one.expected == 0:
            new.append(row)
        else:
            kept.append((*row, one.expected, before[1], before[0]))
        less, more = index.moved(shelf, kind, identity, before, (updated, facts))
        gone += less
        led += more
    batches = [Batch(_REPLACE, _REPLACED, kept), Batch(_CREATE, _CREATED, new)]
    return Rows(stand, [one for one in batches if one.rows], index.changes(gone, led))


_NOTHING: Final = ("", "")


def _seen(one: Put, seen: Mapping[Want, Any]) -> tuple[str, str] | None:
    """When what is replaced was stored, and its facts; None where that was not read."""
    if one.expected == 0:
        return _NOTHING
    stored = seen.get(Want("resource", one.shelf, fhir.name(one.resource)))
    if stored is not None and stored.updated and stored.version == one.expected:
        return stored.updated, stored.facts
    return None


async def _stood(tx: Tx, one: Put) -> tuple[str, str]:
    return await index.stood(tx, one.shelf, one.resource["resourceType"], one.resource["id"])
