"""The commits of plans: those that are made at the same moment and do not touch each other are one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import asdict, astuple, replace
from sqlalchemy import bindparam, update

from app import fhir
from app.domain.loaded import Want
from app.domain.plan import Exchange, Plan, Put, Receipt
from app.storage import (
    clock,
    copies,
    exchanges,
    ledger,
    outbox,
    purges,
    puts,
    resources,
    search,
    worklist,
)
from app.storage.database import (
    Batch,
    Database,
    Overtaken,
    Tx,
    insert_once,
    statement,
)
from app.storage.gathering import Gathering
from app.storage.query import Reader
from app.storage.remembered import Remembered
from app.storage.resources import Stand
from app.storage.tables import EXCHANGE, RECEIPT

_TOGETHER: Final = 64  # plans in one transaction

_RECEIVE: Final = insert_once(RECEIPT)
_MARK: Final = Receipt.__struct_fields__
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


class Made(Struct, frozen=True):
    """
    A plan, with what its commit needs to know.

    reader      of its conditions; its parameters say what the index keeps
    seen        what it was made from
    at, now     the same moment, as FHIR instant and as UNIX seconds
    long        whether it takes so long that nobody else shall wait for it where that can be helped
    rows        of what it puts, where they were made before
    """

    plan: Plan
    reader: Reader
    seen: Mapping[Want, Any]
    at: str
    now: float
    long: bool = False
    rows: puts.Rows | None = None

    @property
    def plain(self) -> bool:
        """Whether it puts resources and does nothing else, so that it can be one with others."""
        return self.plan == Plan(self.plan.answer, self.plan.puts)


class Commits:
    """The one way from a plan to the database, for as many as write at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._coming: dict[frozenset[str], int] = {}
        self._rooms: dict[frozenset[str], Gathering[Made, Stand]] = {}
        self.last = Remembered()

    async def commit(self, made: Made) -> Stand:
        """
        Everything that the plan does, or nothing of it; what it has put, as it stands.

        raises      Overtaken: something that it was made from has changed since
                    Unavailable: the database cannot be written now
        """
        shelves = made.plan.shelves
        if made.long or not made.plain:
            work = partial(commit, made=[made])
            stand = await self._database.write(work, shelves=shelves, long=made.long)
            if made.plan.purges:
                self.last.forget()
            else:
                self.last.keep(stand)
            return stand
        room = self._rooms.get(shelves)
        if room is None:
            room = self._rooms[shelves] = self._room(shelves)
        return await room.ask(made)

    def _room(self, shelves: frozenset[str]) -> Gathering[Made, Stand]:
        """Plain plans of the same shelves, so that the second wall stands as for each alone."""

        async def write(made: list[Made]) -> list[Stand]:
            stand = await self._database.write(partial(commit, made=made), shelves=shelves)
            self.last.keep(stand)
            return [stand] * len(made)

        def expected() -> int:
            return self._coming.get(shelves, 0)

        return Gathering(write, most=_TOGETHER, at_once=1, together=_apart, expected=expected)

    def coming(self, shelf: str) -> _Coming:
        """Somebody who will perhaps commit to this shelf alone; whoever is ready waits for it."""
        return _Coming(self._coming, self._rooms, frozenset({shelf}))


class _Coming:
    """For as long as somebody is coming."""

    __slots__ = ("_coming", "_rooms", "_shelves")

    def __init__(
        self,
        coming: dict[frozenset[str], int],
        rooms: Mapping[frozenset[str], Gathering[Made, Stand]],
        shelves: frozenset[str],
    ) -> None:
        self._coming, self._rooms, self._shelves = coming, rooms, shelves

    def __enter__(self) -> None:
        self._coming[self._shelves] = self._coming.get(self._shelves, 0) + 1

    def __exit__(self, *_: object) -> None:
        self._coming[self._shelves] -= 1
        if not self._coming[self._shelves]:
            del self._coming[self._shelves]
        if room := self._rooms.get(self._shelves):
            room.fewer()


def _apart(waiting: Sequence[Made]) -> list[int]:
    """The first who wait, as far as no two of them write the same resource."""
    going: list[int] = []
    touched: set[tuple[str, str, str]] = set()
    for place, one in enumerate(waiting):
        keys = {
            (put.shelf, put.resource["resourceType"], put.resource["id"]) for put in one.plan.puts
        }
        if touched.isdisjoint(keys):
            going.append(place)
        touched |= keys  # nobody overtakes one who waits for the same
    return going


async def commit(tx: Tx, made: Sequence[Made]) -> Stand:
    """
    Everything that plans do, or nothing of it; what they have put, as it stands.

    made        plans of which no two put the same resource
    raises      Overtaken: something that one was made from has changed since
    """
    more = [one for one in made if not one.plain]
    times = await clock.tell(tx, _shelves(made, more), max(one.at for one in made))
    for one in more:
        await _absent(tx, one)
        await _stands(tx, one)
    if (rows := made[0].rows) is not None:
        puts.stamp(rows, times)
        stand = await puts.write(tx, rows)
    else:
        seen = (
            made[0].seen
            if len(made) == 1
            else {key: v for one in made for key, v in one.seen.items()}
        )
        stand = await puts.put(tx, _ordered(made), made[0].reader.parameters, seen, times)
    for one in more:
        await _besides(tx, one, times)
    return stand


def _shelves(made: Sequence[Made], more: Sequence[Made]) -> set[str]:
    """
    Where they put something, and where nothing else shall be put meanwhile: what is sent has a time on
    the shelf of its sender, and of those who look whether nothing meets a condition, or something stands
    still, one goes on at a time.
    """
    shelves = {put.shelf for one in made for put in one.plan.puts}
    for one in more:
        shelves.update(shelf for shelf, _ in one.plan.absent)
        shelves.update(shelf for _, shelf, _ in one.plan.stands)
        shelves.update(step.source for step in one.plan.exchanges if step.version == 0)
        shelves.update(purge.shelf for purge in one.plan.purges)
    return shelves


def _ordered(made: Sequence[Made]) -> list[Put]:
    """All that they put, as puts.put takes it."""
    return sorted(
        (put for one in made for put in one.plan.puts),
        key=lambda put: (put.shelf, fhir.name(put.resource)),
    )


def readied(made: Made) -> Made:
    """
    The same with its rows made, which is most of its work.

    The facts of a large resource are taken before its transaction begins.
    """
    rows = puts.known(_ordered([made]), made.reader.parameters, made.seen)
    return replace(made, rows=rows)


async def _absent(tx: Tx, made: Made) -> None:
    """Nothing meets its conditions but what it deletes."""
    gone = {
        (put.shelf, fhir.name(put.resource)) for put in made.plan.puts if put.method == "DELETE"
    }
    for shelf, condition in sorted(made.plan.absent):
        query = made.reader.condition(condition)
        found = await search.names(tx, shelf, query, most=1 + len(gone))
        if any((shelf, name) not in gone for name in found):
            raise Overtaken


async def _stands(tx: Tx, made: Made) -> None:
    wants = [Want(*one) for one in made.plan.stands]  # type: ignore[arg-type]
    found = await resources.load(tx, wants, made.reader) if wants else {}
    if any(made.seen[want] != one for want, one in found.items()):
        raise Overtaken


async def _besides(tx: Tx, made: Made, times: Mapping[str, str]) -> None:
    """What a plan does beside what it puts; what is compared with that has the time of its shelf."""
    plan, at = made.plan, made.at
    if plan.receipts:
        marks = [astuple(mark) for mark in plan.receipts]
        if await tx.run_all([Batch(_RECEIVE, _MARK, marks)]) != [len(marks)]:
            raise Overtaken
    for one in plan.worklist:
        await worklist.replace(tx, one)
    for step in plan.exchanges:
        await (_step(tx, step) if step.version else _open(tx, step, times, now=made.now))
    for ended in plan.ended:
        await copies.end(tx, ended)
    for more in plan.following:
        await copies.owe(tx, more, now=made.now)
    for said in plan.recorded:
        await exchanges.record(tx, said, at=at)
    await purges.purge(tx, plan.purges, times)
    for due in plan.owed:
        await outbox.owe(tx, due, now=made.now)
    for row in plan.accounted:
        await ledger.account(tx, row, at=at)


async def _open(tx: Tx, step: Exchange, times: Mapping[str, str], *, now: float) -> None:
    written = {"copies": json.dumps(step.copies), "terms": json.dumps(asdict(step.terms))}
    row = {**asdict(step), **written, "opened": times[step.source], "version": 1}
    if not await tx.run(_OPEN, **row):
        raise Overtaken
    await copies.opened(tx, step, now=now)


async def _step(tx: Tx, step: Exchange) -> None:
    guard = {"id": step.id, "expected": step.version, "next": step.version + 1}
    said: dict[str, Any] = {"state": step.state, "sequence": step.sequence, "due": step.due}
    written = {"copies": json.dumps(step.copies), "terms": json.dumps(asdict(step.terms))}
    if not await tx.run(_STEP, **written, **said, **guard):
        raise Overtaken
    if not step.copies:
        await copies.forget(tx, step.id)
