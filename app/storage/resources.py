"""Reading what stands on a shelf."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    bindparam,
    or_,
    select,
)

from app import fhir
from app.domain.loaded import MOST_COPIES, Want
from app.domain.plan import Exchange, Receipt, Stored, Terms
from app.storage import copies, exchanges, search, worklist
from app.storage.database import Reading, Row, statement
from app.storage.query import Reader
from app.storage.tables import EXCHANGE, RECEIPT, RESOURCE, VERSION


def _key(table: Any, *columns: str) -> list[Any]:
    """Column = :column for each."""
    return [table.c[column] == bindparam(column) for column in columns]


_COLUMNS: Final = ("body", "version", "updated", "method", "exchange")
_READ: Final = statement(
    select(*(RESOURCE.c[name] for name in _COLUMNS)).where(*_key(RESOURCE, "shelf", "type", "id"))
)
_LOAD: Final = statement(
    select(*(RESOURCE.c[name] for name in (*_COLUMNS, "facts"))).where(
        *_key(RESOURCE, "shelf", "type", "id")
    )
)
_READ_VERSION: Final = statement(
    select(*(VERSION.c[name] for name in ("body", "version", "updated", "method"))).where(
        *_key(VERSION, "shelf", "type", "id", "version")
    )
)
_OF_THEM: Final = (*_key(VERSION, "shelf", "type", "id"), VERSION.c.method != "DELETE")
_PAST: Final = statement(
    select(VERSION.c.body)
    .where(*_OF_THEM, VERSION.c.updated <= bindparam("at"))
    .order_by(VERSION.c.version.desc())
    .limit(1)
)
_OLDEST: Final = statement(
    select(VERSION.c.body).where(*_OF_THEM).order_by(VERSION.c.version).limit(1)
)
_RECEIPT: Final = statement(
    select(RECEIPT.c.digest, RECEIPT.c.result).where(*_key(RECEIPT, "shelf", "key"))
)
_EXCHANGE: Final = statement(
    select(EXCHANGE).where(
        (EXCHANGE.c.source == bindparam("shelf")) & (EXCHANGE.c.source_task == bindparam("task"))
    )
)
_EXCHANGE_RECEIVED: Final = statement(
    select(EXCHANGE).where(
        (EXCHANGE.c.recipient == bindparam("shelf"))
        & (EXCHANGE.c.recipient_task == bindparam("task"))
    )
)
_OPENED: Final = statement(
    select(EXCHANGE).where(
        EXCHANGE.c.id == bindparam("exchange"),
        or_(EXCHANGE.c.source == bindparam("shelf"), EXCHANGE.c.recipient == bindparam("shelf")),
    )
)
_SENT: Final = statement(
    select(EXCHANGE)
    .where(
        EXCHANGE.c.source == bindparam("shelf"), EXCHANGE.c.source_request == bindparam("request")
    )
    .order_by(EXCHANGE.c.opened)
)


class Version(NamedTuple):
    """
    One version of a resource.

    body        as it was stored; empty where this version is the deletion
    updated     FHIR instant
    """

    body: bytes
    version: int
    updated: str
    method: str
    exchange: str = ""

    @property
    def stands(self) -> bool:
        return self.method != "DELETE"


Stand = dict[tuple[str, str], Version]  # {(shelf, Type/id): what stands there now}


async def read(tx: Reading, shelf: str, name: str) -> Version | None:
    """The last version; None where there never was one."""
    kind, _, identity = name.partition("/")
    (rows,) = await tx.each(_READ, [{"shelf": shelf, "type": kind, "id": identity}])
    return Version(*rows[0]) if rows else None


async def read_version(tx: Reading, shelf: str, name: str, version: int) -> Version | None:
    """One version, the last or a past one."""
    current = await read(tx, shelf, name)
    if current and current.version == version:
        return current
    kind, _, identity = name.partition("/")
    rows = await tx.rows(_READ_VERSION, shelf=shelf, type=kind, id=identity, version=version)
    return Version(*rows[0]) if rows else None


async def _copied(tx: Reading, want: Want) -> Any:
    if want.kind == "shared":
        exchange, name = want.key.split("|", 1)
        return await copies.shared(tx, want.shelf, exchange, name)
    most = None if want.key.startswith("Consent/") else MOST_COPIES + 1
    return [_exchange(row) for row in await copies.holding(tx, want.shelf, want.key, most=most)]


async def _earlier(tx: Reading, want: Want) -> Any:
    if want.kind == "past":
        name, at = want.key.split("@")
        return await _past(tx, want.shelf, name, at)
    name, number = want.key.split("/_history/")
    past = await read_version(tx, want.shelf, name, int(number))
    return fhir.read(past.body) if past and past.stands else None


async def _past(tx: Reading, shelf: str, name: str, at: str) -> Any:
    """What stood at this FHIR instant, else the oldest that is kept; None where nothing ever did."""
    current = await read(tx, shelf, name)
    if current and current.stands and current.updated <= at:
        return fhir.read(current.body)
    kind, _, identity = name.partition("/")
    key = {"shelf": shelf, "type": kind, "id": identity}
    rows = await tx.rows(_PAST, **key, at=at) or await tx.rows(_OLDEST, **key)
    if not rows and current and current.stands:
        return fhir.read(current.body)
    return fhir.read(rows[0][0]) if rows else None


async def load(tx: Reading, wants: Iterable[Want], reader: Reader) -> dict[Want, Any]:
    """What the planner asked to see; None, or no names, where there is nothing."""
    wants = list(wants)
    named = [want for want in wants if want.kind == "resource"]
    found = await tx.each(_LOAD, [_named(want) for want in named]) if named else ()
    seen: dict[Want, Any] = {
        want: _stored(rows[0]) if rows else None for want, rows in zip(named, found, strict=True)
    }
    for want in wants:
        if want.kind != "resource":
            seen[want] = await _look(tx, want, reader)
    return seen


def _named(want: Want) -> dict[str, str]:
    kind, _, identity = want.key.partition("/")
    return {"shelf": want.shelf, "type": kind, "id": identity}


def _stored(row: Row) -> Stored:
    body, version, updated, method, exchange, facts = row
    resource = fhir.read(body) if method != "DELETE" else {}
    return Stored(resource, version, exchange, updated, facts)


async def _look(tx: Reading, want: Want, reader: Reader) -> Any:
    if want.kind in {"version", "past"}:
        return await _earlier(tx, want)
    if want.kind == "receipt":
        rows = await tx.rows(_RECEIPT, shelf=want.shelf, key=want.key)
        return Receipt(want.shelf, want.key, rows[0][0], rows[0][1]) if rows else None
    if want.kind == "exchange":
        rows = await tx.rows(_EXCHANGE, shelf=want.shelf, task=want.key)
        rows = rows or await tx.rows(_EXCHANGE_RECEIVED, shelf=want.shelf, task=want.key)
        return _exchange(rows[0]) if rows else None
    if want.kind == "opened":
        rows = await tx.rows(_OPENED, shelf=want.shelf, exchange=want.key)
        return _exchange(rows[0]) if rows else None
    if want.kind == "recorded":
        exchange, key = want.key.split("|", 1)
        return await exchanges.recorded(tx, want.shelf, exchange, key)
    if want.kind == "held":
        return await exchanges.held(tx, want.shelf, want.key)
    if want.kind in {"copied", "shared"}:
        return await _copied(tx, want)
    if want.kind in worklist.KINDS:
        return await worklist.look(tx, want)
    if want.kind == "sent":
        rows = await tx.rows(_SENT, shelf=want.shelf, request=want.key)
        return [_exchange(row) for row in rows]
    return await search.names(tx, want.shelf, reader.condition(want.key), most=2)


def _exchange(row: Row) -> Exchange:
    values = dict(zip((column.name for column in EXCHANGE.columns), row, strict=True))
    read = {name: json.loads(values[name]) for name in ("copies", "terms")}
    return Exchange(**{**values, **read, "terms": Terms(**read["terms"])})
