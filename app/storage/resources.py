"""Reading what stands on a shelf, and the commit of a plan."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_plus

from sqlalchemy import (
    Text,
    bindparam,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    update,
)

from app import fhir
from app.domain.plan import Exchange, Plan, Put, Receipt, Stored, Terms, Want
from app.storage import exchanges, index, ledger, outbox, purges, search, worklist
from app.storage.database import Overtaken, Reading, Row, Statement, Tx, insert_once, statement
from app.storage.parameters import Parameters
from app.storage.query import Reader
from app.storage.tables import EXCHANGE, RECEIPT, RESOURCE, VERSION


def _key(table: Any, *columns: str) -> list[Any]:
    """Column = :column for each."""
    return [table.c[column] == bindparam(column) for column in columns]


_PAST: Final = ("shelf", "type", "id", "version", "updated", "method", "body")
_READ: Final = statement(
    select(
        *(RESOURCE.c[name] for name in ("body", "version", "updated", "method", "exchange"))
    ).where(*_key(RESOURCE, "shelf", "type", "id"))
)
_READ_VERSION: Final = statement(
    select(*(VERSION.c[name] for name in ("body", "version", "updated", "method"))).where(
        *_key(VERSION, "shelf", "type", "id", "version")
    )
)
# Of those who look whether nothing meets a condition, one goes on at a time: SQLite has one
# writer anyway, PostgreSQL a lock that ends with the transaction.
_ALONE: Final = Statement(
    select(literal(1)),
    select(
        func.pg_advisory_xact_lock(
            func.hashtextextended(bindparam("key", type_=Text), literal_column("0"))
        )
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
_CREATE: Final = insert_once(RESOURCE)
_KEEP: Final = statement(
    insert(VERSION).from_select(
        list(_PAST),
        select(*(RESOURCE.c[name] for name in _PAST)).where(*_key(RESOURCE, "shelf", "type", "id")),
    )
)
_REPLACE: Final = statement(
    update(RESOURCE)
    .where(*_key(RESOURCE, "shelf", "type", "id"), RESOURCE.c.version == bindparam("expected"))
    .values(
        version=bindparam("next"),
        updated=bindparam("updated"),
        method=bindparam("how"),
        exchange=bindparam("mark"),
        facts=bindparam("facts"),
        body=bindparam("body"),
    )
)
_RECEIVE: Final = insert_once(RECEIPT)
_OPEN: Final = insert_once(EXCHANGE)
_STEP: Final = statement(
    update(EXCHANGE)
    .where(*_key(EXCHANGE, "id"), EXCHANGE.c.version == bindparam("expected"))
    .values(
        state=bindparam("state"),
        sequence=bindparam("sequence"),
        copies=bindparam("copies"),
        terms=bindparam("terms"),
        due=bindparam("due"),
        version=bindparam("next"),
    )
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


async def load(tx: Reading, wants: Iterable[Want], reader: Reader) -> dict[Want, Any]:
    """What the planner asked to see; None, or no names, where there is nothing."""
    return {want: await _look(tx, want, reader) for want in wants}


async def _look(tx: Reading, want: Want, reader: Reader) -> Any:  # noqa: C901 — one branch for each kind of want
    if want.kind == "resource":
        found = await read(tx, want.shelf, want.key)
        if found is None:
            return None
        resource = fhir.decode(found.body) if found.stands else {}
        return Stored(resource, found.version, found.exchange)
    if want.kind == "version":
        name, number = want.key.split("/_history/")
        past = await read_version(tx, want.shelf, name, int(number))
        return fhir.decode(past.body) if past and past.stands else None
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
    if want.kind == "shared":
        exchange, name = want.key.split("|", 1)
        return await exchanges.shared(tx, want.shelf, exchange, name)
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


async def commit(tx: Tx, plan: Plan, reader: Reader, *, at: str, now: float) -> Stand:
    """
    Everything that a plan does, or nothing of it.

    reader      of its conditions; its parameters say what the index keeps
    at, now     the same moment, as FHIR instant and as UNIX seconds
    returns     what it has put, as it stands
    raises      Overtaken: something that the plan was made from has changed since
    """
    for shelf, condition in sorted(plan.absent):
        await tx.rows(_ALONE, key=f"{shelf}|{unquote_plus(condition)}")
        if await search.names(tx, shelf, reader.condition(condition), most=1):
            raise Overtaken
    # all lock in one order, so that no two wait for each other
    puts = sorted(plan.puts, key=lambda put: (put.shelf, fhir.name(put.resource)))
    stand = await _put(tx, puts, reader.parameters)
    for mark in plan.receipts:
        if not await tx.run(_RECEIVE, **asdict(mark)):
            raise Overtaken
    for one in plan.worklist:
        await worklist.replace(tx, one)
    for step in plan.exchanges:
        await _step(tx, step)
    for said in plan.recorded:
        await exchanges.record(tx, said, at=at)
    await purges.purge(tx, plan.purges, at=at)
    for due in plan.owed:
        await outbox.owe(tx, due, now=now)
    for row in plan.accounted:
        await ledger.account(tx, row, at=at)
    return stand


async def _put(tx: Tx, puts: Iterable[Put], parameters: Parameters) -> Stand:
    """What is new goes in together; what replaces something, each with its guard."""
    stand: Stand = {}
    new: list[dict[str, Any]] = []
    postings: list[dict[str, Any]] = []
    for put in puts:
        resource = put.resource
        key = {"shelf": put.shelf, "type": resource["resourceType"], "id": resource["id"]}
        stands = put.method != "DELETE"
        row = {
            "updated": resource["meta"]["lastUpdated"],
            "method": put.method,
            "exchange": put.exchange,
            "facts": index.facts(parameters, resource) if stands else "",
            "body": fhir.encode(resource) if stands else b"",
        }
        if put.expected == 0:
            new.append({**key, "version": 1, **row})
        else:
            await _replace(tx, key, row, put.expected)
        postings += index.postings(key, row["updated"], row["facts"])
        made = Version(row["body"], put.expected + 1, row["updated"], put.method, put.exchange)
        stand[put.shelf, fhir.name(resource)] = made
    if new and await tx.run_all(_CREATE, new) != len(new):
        raise Overtaken
    await index.post(tx, postings)
    return stand


async def _replace(tx: Tx, key: dict[str, str], row: dict[str, Any], expected: int) -> None:
    await index.forget(tx, key)
    await tx.run(_KEEP, **key)
    guard = {"expected": expected, "next": expected + 1}
    values = {"updated": row["updated"], "how": row["method"], "mark": row["exchange"]}
    values |= {"facts": row["facts"], "body": row["body"]}
    if not await tx.run(_REPLACE, **key, **guard, **values):
        raise Overtaken


async def _step(tx: Tx, step: Exchange) -> None:
    if step.version == 0:
        written = {"copies": json.dumps(step.copies), "terms": json.dumps(asdict(step.terms))}
        row = {**asdict(step), **written, "version": 1}
        if not await tx.run(_OPEN, **row):
            raise Overtaken
        return
    guard = {"id": step.id, "expected": step.version, "next": step.version + 1}
    said: dict[str, Any] = {"state": step.state, "sequence": step.sequence, "due": step.due}
    written = {"copies": json.dumps(step.copies), "terms": json.dumps(asdict(step.terms))}
    if not await tx.run(_STEP, **written, **said, **guard):
        raise Overtaken
