"""PostgreSQL: a pool of connections, shelves named for each transaction, few round trips."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeVar

import asyncpg
import msgspec

from app.errors import Malformed, Unavailable
from app.storage.database import (
    QUEUE,
    Batch,
    Many,
    Overtaken,
    Reading,
    Row,
    Statement,
    Tx,
)
from app.storage.gathering import Gathering

_T = TypeVar("_T")
_Connection = Any  # what the pool lends: a connection behind a proxy, for which there is no type

_WAIT_SECONDS: Final = 20.0  # for a free connection, when many call at once
_CONNECT_SECONDS: Final = 5.0
_STATEMENT_SECONDS: Final = 30.0  # what takes longer has met a lock that nobody gives back
_ASKING: Final = 2  # looks by key on their way at once; who comes meanwhile goes with the next
_TOGETHER: Final = 200
_LONG: Final = 5000  # rows; to write so many as JSON takes some ms

_SETTINGS: Final = {
    "application_name": "kinbridge",
    # Every statement is led by a key, and what stands in facts has no statistics: PostgreSQL would
    # take a search for rarer than it is, and read and sort a whole shelf in place of its first page.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_incremental_sort": "off",
    "enable_sort": "off",  # where there is an index in the order that is asked for
    "jit": "off",  # every statement is short; compiling it would cost more than running it
    "idle_in_transaction_session_timeout": "60s",  # a process that hangs does not hold its locks
}
_OVERTAKEN: Final = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.UniqueViolationError,
)
_UNAVAILABLE: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # it stops, it starts
    asyncpg.InsufficientResourcesError,  # its disk is full, it has no connection left
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,  # we have reached a standby
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InternalClientError,
)


def _values(order: tuple[str, ...], constants: dict[str, Any], values: dict[str, Any]) -> list[Any]:
    return [values[name] if name in values else constants[name] for name in order]


def _many(batch: Batch) -> Many:
    many = batch.statement.many
    if many is None:
        message = "a statement without a form for many rows"
        raise TypeError(message)
    return many(batch.columns)


@cache
def _together(several: tuple[Many, ...]) -> str:
    """One statement for what each does, in the order in which they stand; it finds the counts."""
    parts: list[str] = []
    after = 0
    for place, one in enumerate(several):
        parts += one.parts(f"done{place}", after)
        after += one.values
    counts = (f"(SELECT count(*) FROM done{place})" for place in range(len(several)))  # noqa: S608 — our own names
    return f"WITH {', '.join(parts)} SELECT {', '.join(counts)}"


def _given(many: Many, batch: Batch) -> Sequence[Any]:
    if not many.json:
        return [*zip(*batch.rows, strict=True)]
    rows = [dict(zip(batch.columns, row, strict=True)) for row in batch.rows]
    return [msgspec.json.encode(rows).decode()]


def _values_of(taken: Sequence[Many], batches: Sequence[Batch]) -> list[Any]:
    return [each for one, many in zip(batches, taken, strict=True) for each in _given(many, one)]


@dataclass(slots=True)
class _Writing:
    """Statements of a transaction that has been begun, its shelves named."""

    connection: _Connection

    async def rows(self, statement: Statement, **values: Any) -> Sequence[Row]:
        made = statement.postgres
        found: list[Row] = await self.connection.fetch(
            made.sql, *_values(made.order, statement.constants, values)
        )
        return found

    async def each(
        self, statement: Statement, values: Sequence[dict[str, str]]
    ) -> list[Sequence[Row]]:
        return [await self.rows(statement, **one) for one in values]

    async def run(self, statement: Statement, **values: Any) -> int:
        made = statement.postgres
        done: str = await self.connection.execute(
            made.sql, *_values(made.order, statement.constants, values)
        )
        return int(done.rpartition(" ")[2])

    async def run_all(self, batches: Sequence[Batch]) -> list[int]:
        if not batches:
            return []
        taken = [_many(one) for one in batches]
        sql = _together(tuple(taken))
        if sum(len(one.rows) for one in batches) < _LONG:
            given = _values_of(taken, batches)
        else:
            given = await asyncio.to_thread(_values_of, taken, batches)
        return list(await self.connection.fetchrow(sql, *given))


@dataclass(slots=True)
class _Reading:
    """Statements that each name the shelves themselves: one round trip, and no transaction."""

    database: Postgres
    shelves: str

    async def rows(self, statement: Statement, **values: Any) -> Sequence[Row]:
        return await self.database.seeing(statement, self.shelves, values)

    async def each(
        self, statement: Statement, values: Sequence[dict[str, str]]
    ) -> list[Sequence[Row]]:
        keys = self.database.keys(statement, self.shelves)
        return await asyncio.gather(*map(keys.ask, values))


class Postgres:
    """
    A PostgreSQL database; as many processes as wanted.

    Every guard is a version or a key that is checked by the count of rows, so READ COMMITTED will do.
    """

    def __init__(self, url: str, *, connections: int) -> None:
        self._url = url
        self._connections = connections
        self._pool: asyncpg.Pool[Any] | None = None
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._keys: dict[tuple[Statement, str], Gathering[dict[str, str], Sequence[Row]]] = {}

    async def read(
        self, work: Callable[[Reading], Coroutine[Any, Any, _T]], *, shelves: Iterable[str]
    ) -> _T:
        """Each statement sees what was committed before it."""
        return await work(_Reading(self, " ".join(shelves)))

    async def seeing(
        self, statement: Statement, shelves: str, values: dict[str, Any]
    ) -> Sequence[Row]:
        """The rows of a statement that names its shelves."""
        made = statement.postgres
        given = _values(made.order, statement.constants, values)
        async with self._connection() as connection:
            found: list[Row] = await connection.fetch(made.seeing, *given, shelves)
        return found

    async def together(
        self, statement: Statement, shelves: str, values: list[dict[str, str]]
    ) -> list[Sequence[Row]]:
        """The same for each of many keys."""
        made = statement.postgres
        lists = [[one[name] for one in values] for name in made.order]
        async with self._connection() as connection:
            rows = await connection.fetch(made.together, *lists, shelves)
        found: list[list[Row]] = [[] for _ in values]
        for *row, place in rows:
            found[place - 1].append(row)
        return [*found]

    def keys(self, statement: Statement, shelves: str) -> Gathering[dict[str, str], Sequence[Row]]:
        """Where those who look by this statement on these shelves meet."""
        made = self._keys.get((statement, shelves))
        if made is None:

            async def look(values: list[dict[str, str]]) -> Sequence[Sequence[Row]]:
                if len(values) == 1:
                    return [await self.seeing(statement, shelves, values[0])]
                return await self.together(statement, shelves, values)

            made = Gathering(look, most=_TOGETHER, at_once=_ASKING)
            self._keys[statement, shelves] = made
        return made

    async def write(
        self,
        work: Callable[[Tx], Coroutine[Any, Any, _T]],
        *,
        shelves: Iterable[str],
        long: bool = False,  # noqa: ARG002 — its statements are the server's
    ) -> _T:
        """Returns when it is on the disk."""
        async with self._turn(shelves), self._connection() as connection:
            await connection.execute(_begin(shelves))
            try:
                result = await work(_Writing(connection))
                if await connection.execute("COMMIT") != "COMMIT":
                    raise Overtaken  # noqa: TRY301 — the work went on after a statement that had failed
            except BaseException:
                await _undo(connection)
                raise
            return result

    async def scrub(self) -> None:
        """Autovacuum's work: the service's role owns nothing, and cannot do it."""

    async def may_deliver(self, alone: Callable[[Tx], Coroutine[Any, Any, None]]) -> bool:  # noqa: ARG002
        """
        As many processes as wanted, by leases alone, so that none is ever alone.

        Who has lost its connections lives perhaps, and pushes; of the dead, leases run out.
        """
        return True

    async def close(self) -> None:
        """After the last write; waits for it."""
        if self._pool:
            try:
                await asyncio.wait_for(self._pool.close(), _CONNECT_SECONDS)
            except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                self._pool.terminate()

    @contextlib.asynccontextmanager
    async def _turn(self, shelves: Iterable[str]) -> AsyncIterator[None]:
        """Who writes to a shelf has it alone (clock.py); who waits for that holds no connection."""
        with _refusals():
            async with contextlib.AsyncExitStack() as turns:
                async with asyncio.timeout(_WAIT_SECONDS):
                    for shelf in sorted({*shelves}.difference(QUEUE)):
                        await turns.enter_async_context(self._turns[shelf])
                yield

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Connection]:
        with _refusals():
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._url,
                    min_size=0,
                    max_size=self._connections,
                    timeout=_CONNECT_SECONDS,
                    command_timeout=_STATEMENT_SECONDS,
                    statement_cache_size=512,
                    server_settings=_SETTINGS,
                    reset=_nothing,
                )
            async with self._pool.acquire(timeout=_WAIT_SECONDS) as connection:
                yield connection


async def _nothing(connection: Any) -> None:
    """No transaction leaves a setting, a lock or a cursor behind, so there is nothing to reset."""


def _begin(shelves: Iterable[str]) -> str:
    """
    One round trip; the protocol for several statements takes no values, so it is quoted here.

    What writes finds its rows by their keys, whatever the values: one plan will do for all.
    """
    named = " ".join(shelves).replace("'", "''")
    return (
        f"BEGIN; SELECT set_config('kinbridge.shelves', '{named}', true),"
        " set_config('plan_cache_mode', 'force_generic_plan', true)"
    )


async def _undo(connection: _Connection) -> None:
    """Where even that fails, nobody uses the connection again, and the database undoes it."""
    try:
        await asyncio.shield(connection.execute("ROLLBACK", timeout=_CONNECT_SECONDS))
    except BaseException:  # noqa: BLE001 — the first error is the one to tell
        connection.terminate()


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except _OVERTAKEN as error:
        raise Overtaken from error
    except (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError) as error:
        raise Malformed("Text in FHIR has no character U+0000; take it out.") from error
    except asyncpg.InterfaceError as error:
        if isinstance(error, asyncpg.DataError | ValueError | TypeError):
            raise
        raise Unavailable(_TEXT) from error
    except _UNAVAILABLE as error:
        raise Unavailable(_TEXT) from error


_TEXT: Final = "The database cannot be reached or written now. Read what stands, and try again."
