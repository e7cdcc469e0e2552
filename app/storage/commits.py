"""The commits of plans: those that are made at the same moment and do not touch each other are one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import unquote_plus

from sqlalchemy import Text, bindparam, func, literal, literal_column, select, update

from app import fhir
from app.domain.loaded import Want
from app.domain.plan import Exchange, Plan
from app.errors import Unavailable
from app.storage import exchanges, ledger, outbox, purges, puts, search, worklist
from app.storage.database import Database, Overtaken, Statement, Tx, insert_once, statement
from app.storage.query import Reader
from app.storage.resources import Stand
from app.storage.tables import EXCHANGE, RECEIPT

_TOGETHER: Final = 64  # plans in one transaction
_ON_THEIR_WAY: Final = 1  # transactions of a set of shelves at once; who comes meanwhile goes next
_QUIET_TURNS: Final = 2  # a request is read in one turn of the loop, and planned in the next

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
_RECEIVE: Final = insert_once(RECEIPT)
_OPEN: Final = insert_once(EXCHANGE)
_STEP: Final = statement(
    update(EXCHANGE)
    .where(EXCHANGE.c.id == bindparam("id"), EXCHANGE.c.version == bindparam("expected"))
    .values(
        state=bindparam("state"),
        sequence=bindparam("sequence"),
        copies=bindparam("copies"),
        terms=bindparam("terms"),
        due=bindparam("due"),
        version=bindparam("next"),
    )
)


@dataclass(frozen=True, slots=True)
class Made:
    """
    A plan, with what its commit needs to know.

    reader      of its conditions; its parameters say what the index keeps
    seen        what it was made from
    at, now     the same moment, as FHIR instant and as UNIX seconds
    """

    plan: Plan
    reader: Reader
    seen: Mapping[Want, Any]
    at: str
    now: float

    @property
    def plain(self) -> bool:
        """Whether it puts resources and does nothing else, so that it can be one with others."""
        plan = self.plan
        return not (
            plan.receipts
            or plan.exchanges
            or plan.owed
            or plan.accounted
            or plan.absent
            or plan.recorded
            or plan.purges
            or plan.worklist
        )


class Commits:
    """The one way from a plan to the database, for as many as write at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rooms: dict[frozenset[str], _Room] = {}

    async def commit(self, made: Made) -> Stand:
        """
        Everything that the plan does, or nothing of it; what it has put, as it stands.

        raises      Overtaken: something that it was made from has changed since
                    Unavailable: the database cannot be written now
        """
        shelves = made.plan.shelves
        if not made.plain:
            return await self._database.write(partial(commit, made=[made]), shelves=shelves)
        room = self._rooms.get(shelves)
        if room is None:
            room = self._rooms[shelves] = _Room(self._database, shelves)
        return await room.commit(made)


class _Room:
    """Plain plans of the same shelves, so that the second wall stands as for each alone."""

    def __init__(self, database: Database, shelves: frozenset[str]) -> None:
        self._database = database
        self._shelves = shelves
        self._waiting: list[tuple[Made, asyncio.Future[Stand]]] = []
        self._going: set[asyncio.Task[None]] = set()

    def commit(self, made: Made) -> asyncio.Future[Stand]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Stand] = loop.create_future()
        self._waiting.append((made, done))
        if len(self._waiting) == 1 and len(self._going) < _ON_THEIR_WAY:
            self._gather(0, 0)
        return done

    def _gather(self, came: int, quiet: int) -> None:
        """
        Wait for those who are about to write: as long as turns of the loop bring somebody.

        A commit costs about what a plan costs, however many are in it.
        came        how many wait since the turn before
        quiet       turns that brought nobody
        """
        waiting = len(self._waiting)
        quiet = quiet + 1 if waiting == came else 0
        if quiet < _QUIET_TURNS and waiting < _TOGETHER:
            asyncio.get_running_loop().call_soon(self._gather, waiting, quiet)
        else:
            self._go()

    def _go(self) -> None:
        task = asyncio.get_running_loop().create_task(self._write(self._group()))
        self._going.add(task)
        task.add_done_callback(self._gone)

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._going.discard(task)
        if self._waiting:
            self._gather(0, 0)

    def _group(self) -> list[tuple[Made, asyncio.Future[Stand]]]:
        """The first who wait, as far as no two of them write the same resource."""
        group: list[tuple[Made, asyncio.Future[Stand]]] = []
        later: list[tuple[Made, asyncio.Future[Stand]]] = []
        touched: set[tuple[str, str, str]] = set()
        for one in self._waiting:
            keys = {
                (put.shelf, put.resource["resourceType"], put.resource["id"])
                for put in one[0].plan.puts
            }
            if len(group) < _TOGETHER and touched.isdisjoint(keys):
                group.append(one)
            else:
                later.append(one)
            touched |= keys  # nobody overtakes one who waits for the same
        self._waiting = later
        return group

    async def _write(self, group: list[tuple[Made, asyncio.Future[Stand]]]) -> None:
        work = partial(commit, made=[made for made, _ in group])
        try:
            stand = await self._database.write(work, shelves=self._shelves)
        except Exception as error:  # noqa: BLE001 — it is theirs who wrote, and goes there
            if len(group) == 1 or isinstance(error, Unavailable):
                for _, done in group:
                    _settle(done, error)
                return
            for one in group:  # one of them may be at fault: each alone
                await self._write([one])
            return
        for _, done in group:
            _settle(done, stand)


def _settle(done: asyncio.Future[Stand], found: Stand | Exception) -> None:
    if done.done():
        return
    if isinstance(found, Exception):
        done.set_exception(found)
    else:
        done.set_result(found)


async def commit(tx: Tx, made: Sequence[Made]) -> Stand:
    """
    Everything that plans do, or nothing of it; what they have put, as it stands.

    made        plans of which no two put the same resource
    raises      Overtaken: something that one was made from has changed since
    """
    for one in made:
        await _absent(tx, one)
    ordered = sorted(
        (put for one in made for put in one.plan.puts),
        key=lambda put: (put.shelf, fhir.name(put.resource)),
    )
    seen = (
        made[0].seen if len(made) == 1 else {key: v for one in made for key, v in one.seen.items()}
    )
    stand = await puts.put(tx, ordered, made[0].reader.parameters, seen)
    for one in made:
        if not one.plain:
            await _besides(tx, one)
    return stand


async def _absent(tx: Tx, made: Made) -> None:
    for shelf, condition in sorted(made.plan.absent):
        await tx.rows(_ALONE, key=f"{shelf}|{unquote_plus(condition)}")
        if await search.names(tx, shelf, made.reader.condition(condition), most=1):
            raise Overtaken


async def _besides(tx: Tx, made: Made) -> None:
    """What a plan does beside what it puts."""
    plan, at = made.plan, made.at
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
        await outbox.owe(tx, due, now=made.now)
    for row in plan.accounted:
        await ledger.account(tx, row, at=at)


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
