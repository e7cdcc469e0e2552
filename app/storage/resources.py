"""Reading what stands on a shelf."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    bindparam,
    or_,
    select,
)

from app import fhir
from app.domain.loaded import MOST_COPIES, MOST_FOUND, Want
from app.domain.plan import Exchange, Receipt, Stored, Terms
from app.errors import TooLarge
from app.storage import bodies, copies, exchanges, purges, search, worklist
from app.storage.database import Reading, Row, statement
from app.storage.query import Reader
from app.storage.tables import EXCHANGE, RECEIPT, RESOURCE, VERSION, of_key


def _key(table: Any, *columns: str) -> list[Any]:
    """Column = :column for each."""
    return [table.c[column] == bindparam(column) for column in columns]


def _short(table: Any, most: int, *columns: str) -> list[Any]:
    """The columns after the body, of which there is nothing where it is longer."""
    return [bodies.short(table.c.body, most), *(table.c[name] for name in columns)]


_COLUMNS: Final = ("version", "updated", "method")
_READ: Final = statement(
    select(*_short(RESOURCE, bodies.ALONE, *_COLUMNS, "exchange")).where(
        *_key(RESOURCE, "shelf", "type", "id")
    )
)
_LOAD: Final = statement(
    select(*_short(RESOURCE, bodies.WITH, *_COLUMNS, "exchange", "facts")).where(
        *_key(RESOURCE, "shelf", "type", "id")
    )
)
_READ_VERSION: Final = statement(
    select(*_short(VERSION, bodies.ALONE, *_COLUMNS)).where(
        *_key(VERSION, "shelf", "type", "id", "version")
    )
)
_TOGETHER: Final = 200  # looked up at once
_TOO_MUCH: Final = "What stands there is too large to be changed all at once; send it in several."
_OF_THEM: Final = (*_key(VERSION, "shelf", "type", "id"), VERSION.c.method != "DELETE")
_UP_TO: Final = of_key(VERSION.c.updated) <= bindparam("at")
_PAST: Final = statement(
    select(VERSION.c.body).where(*_OF_THEM, _UP_TO).order_by(VERSION.c.version.desc()).limit(1)
)
_OLDEST: Final = statement(
    select(VERSION.c.body).where(*_OF_THEM).order_by(VERSION.c.version).limit(1)
)
_STOOD: Final = (
    statement(
        select(RESOURCE.c.version).where(
            *_key(RESOURCE, "shelf", "type", "id"),
            RESOURCE.c.method != "DELETE",
            RESOURCE.c.updated <= bindparam("at"),
        )
    ),
    statement(
        select(VERSION.c.version)
        .where(*_OF_THEM, _UP_TO)
        .order_by(VERSION.c.version.desc())
        .limit(1)
    ),
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
    facts       of what was written just now
    """

    body: bytes
    version: int
    updated: str
    method: str
    exchange: str = ""
    facts: str = ""

    @property
    def stands(self) -> bool:
        return self.method != "DELETE"


Stand = dict[tuple[str, str], Version]  # {(shelf, Type/id): what stands there now}


async def seen(tx: Reading, shelf: str, name: str) -> Version | None:
    """The last version, without its body where that is long; None where there never was one."""
    kind, _, identity = name.partition("/")
    (rows,) = await tx.each(_READ, [{"shelf": shelf, "type": kind, "id": identity}])
    return Version(*rows[0]) if rows else None


async def seen_version(tx: Reading, shelf: str, name: str, version: int) -> Version | None:
    """One version, the last or a past one, without its body where that is long."""
    current = await seen(tx, shelf, name)
    if current and current.version == version:
        return current
    kind, _, identity = name.partition("/")
    rows = await tx.rows(_READ_VERSION, shelf=shelf, type=kind, id=identity, version=version)
    return Version(*rows[0]) if rows else None


async def _copied(tx: Reading, want: Want) -> Any:
    if want.kind == "shared":
        exchange, name = want.key.split("|", 1)
        others = await copies.shared(tx, want.shelf, exchange, name, most=MOST_COPIES)
        return [_exchange(row) for row in others]
    most = None if want.key.startswith("Consent/") else MOST_COPIES + 1
    return [_exchange(row) for row in await copies.holding(tx, want.shelf, want.key, most=most)]


async def read(tx: Reading, shelf: str, name: str) -> Version | None:
    """The last version; None where there never was one."""
    return await _whole(tx, shelf, name, await seen(tx, shelf, name))


async def read_version(tx: Reading, shelf: str, name: str, version: int) -> Version | None:
    """One version, the last or a past one."""
    return await _whole(tx, shelf, name, await seen_version(tx, shelf, name, version))


async def _whole(tx: Reading, shelf: str, name: str, found: Version | None) -> Version | None:
    """The version with its body, however long; None where it was expunged in between."""
    if found is None or found.body or not found.stands:
        return found
    kind, _, identity = name.partition("/")
    key = (kind, identity, found.version)
    body = (await bodies.read(tx, shelf, [key])).get(key)
    return None if body is None else found._replace(body=body)


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


async def stood(tx: Reading, shelf: str, name: str, at: str) -> int:
    """The number of the version that stood, or stood last, at a FHIR instant; 0 for none that is kept."""
    kind, _, identity = name.partition("/")
    for looked in _STOOD:
        if rows := await tx.rows(looked, shelf=shelf, type=kind, id=identity, at=at):
            return int(rows[0][0])
    return 0


async def opened(tx: Reading, shelf: str, exchange: str) -> Exchange | None:
    """An exchange by its id, if this shelf takes part in it."""
    rows = await tx.rows(_OPENED, shelf=shelf, exchange=exchange)
    return _exchange(rows[0]) if rows else None


async def load(
    tx: Reading, wants: Iterable[Want], reader: Reader, *, most: int | None = None
) -> dict[Want, Any]:
    """
    What the planner asked to see; None, or no names, where there is nothing.

    most        bytes of what stands, as JSON, when it is several; content of a Binary counts a quarter
    raises      TooLarge
    """
    wants = list(wants)
    named = [want for want in wants if want.kind == "resource"]
    seen: dict[Want, Any] = {}
    left = None if most is None or len(named) == 1 else most
    for start in range(0, len(named), _TOGETHER):
        some = named[start : start + _TOGETHER]
        rows = await tx.each(_LOAD, [_named(want) for want in some])
        left = await _stored(tx, dict(zip(some, rows, strict=True)), seen, left)
    if len(named) < len(wants):
        await _others(tx, wants, reader, seen)
    return seen


async def _others(tx: Reading, wants: list[Want], reader: Reader, seen: dict[Want, Any]) -> None:
    """What is no resource, into what is seen; of what comes by the dozen all together."""
    receipts = [want for want in wants if want.kind == "receipt"]
    seen |= zip(receipts, await _receipts(tx, receipts), strict=True)
    mapped = [want for want in wants if want.kind == "crosswalk"]
    seen |= zip(mapped, await worklist.targets(tx, mapped), strict=True)
    awaited = [want for want in wants if want.kind == "awaiting"]  # for each number of a patient
    for start in range(0, len(awaited), _TOGETHER):
        some = awaited[start : start + _TOGETHER]
        seen |= zip(some, await worklist.sources(tx, some), strict=True)
    for want in wants:
        if want not in seen:
            seen[want] = await _look(tx, want, reader)


async def _receipts(tx: Reading, wants: Sequence[Want]) -> list[Receipt | None]:
    found = await tx.each(_RECEIPT, [{"shelf": one.shelf, "key": one.key} for one in wants])
    return [
        Receipt(one.shelf, one.key, *rows[0]) if rows else None
        for one, rows in zip(wants, found, strict=True)
    ]


def _named(want: Want) -> dict[str, str]:
    kind, _, identity = want.key.partition("/")
    return {"shelf": want.shelf, "type": kind, "id": identity}


async def _stored(
    tx: Reading, found: dict[Want, Sequence[Row]], seen: dict[Want, Any], left: int | None
) -> int | None:
    """What stands, into what is seen; and how many bytes more there may be."""
    for want, rows in found.items():
        if not rows:
            seen[want] = None
            continue
        body, version, updated, method, exchange, facts = rows[0]
        long = not body and method != "DELETE"
        if long:
            body = await _long(tx, want, version, left)
        if left is not None:
            left -= _weight(want, len(body))
            if left < 0:
                raise TooLarge(_TOO_MUCH)
        resource = fhir.read(body) if body else {}
        seen[want] = Stored(resource, version, exchange, updated, facts, long)
    return left


async def _long(tx: Reading, want: Want, version: int, left: int | None) -> bytes:
    kind, _, identity = want.key.partition("/")
    key = (kind, identity, version)
    size = (await bodies.sizes(tx, want.shelf, [key])).get(key, 0)
    if left is not None and _weight(want, size) > left:
        raise TooLarge(_TOO_MUCH)
    return (await bodies.read(tx, want.shelf, [key])).get(key, b"")


def _weight(want: Want, size: int) -> int:
    """Bytes, in proportion to what it takes when it is decoded."""
    return size // 4 if want.key.startswith("Binary/") else size


_PLAIN: Final[dict[str, Callable[[Reading, str, str], Awaitable[Any]]]] = {
    "expunged": purges.expunged,
    "held": exchanges.held,
    "waiting": worklist.of_source,
}


async def _look(tx: Reading, want: Want, reader: Reader) -> Any:
    if want.kind in {"version", "past"}:
        return await _earlier(tx, want)
    if want.kind == "exchange":
        rows = await tx.rows(_EXCHANGE, shelf=want.shelf, task=want.key)
        rows = rows or await tx.rows(_EXCHANGE_RECEIVED, shelf=want.shelf, task=want.key)
        return _exchange(rows[0]) if rows else None
    if want.kind == "opened":
        return await opened(tx, want.shelf, want.key)
    if want.kind == "recorded":
        exchange, key = want.key.split("|", 1)
        return await exchanges.recorded(tx, want.shelf, exchange, key)
    if plain := _PLAIN.get(want.kind):
        return await plain(tx, want.shelf, want.key)
    if want.kind in {"copied", "shared"}:
        return await _copied(tx, want)
    if want.kind == "sent":
        rows = await tx.rows(_SENT, shelf=want.shelf, request=want.key)
        return [_exchange(row) for row in rows]
    most = MOST_FOUND if want.kind == "found" else 2
    return await search.names(tx, want.shelf, reader.condition(want.key), most=most)


def _exchange(row: Row) -> Exchange:
    values = dict(zip((column.name for column in EXCHANGE.columns), row, strict=True))
    read = {name: json.loads(values[name]) for name in ("copies", "terms")}
    return Exchange(**{**values, **read, "terms": Terms(**read["terms"])})
