"""SQLite's readers: what is short is done inline, what is long by a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import math
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from app.errors import Unavailable
from app.storage.database import Reading, Row, Statement

_T = TypeVar("_T")
_Work = Callable[[Reading], Coroutine[Any, Any, _T]]

INLINE_SECONDS: Final = 0.01  # of CPU time; a page of a hundred takes a tenth of it
LONGEST_SECONDS: Final = 30.0  # as PostgreSQL gives a statement
_STEPS: Final = 4000  # of SQLite's machine between two looks at the clock, some 0.2 ms


class TooLong(Exception):  # noqa: N818 — as Overtaken: it goes on elsewhere
    """The work was broken off; nothing came of it."""


def drive(work: Coroutine[Any, Any, _T]) -> _T:
    """The work to its end: nothing in it ever waits, so any thread can."""
    try:
        work.send(None)
    except StopIteration as end:
        result: _T = end.value
        return result
    work.close()
    message = "a transaction waited for something that is not the database"
    raise RuntimeError(message)


class Reader:
    """
    A connection by which work looks and changes nothing; what takes too long is broken off.

    clock       seconds
    writes      the connection is the writer's too, while it has no transaction
    """

    def __init__(
        self, connection: sqlite3.Connection, clock: Callable[[], float], *, writes: bool = False
    ) -> None:
        self.connection = connection
        self._clock = clock
        self._seconds = 0.0
        self._until: float | None = math.inf  # None: to be told by the first look at the clock
        if not writes:
            connection.execute("PRAGMA query_only=ON")
        connection.set_progress_handler(self._is_over, _STEPS)

    def do(self, work: _Work[_T], *, seconds: float) -> _T:
        """
        What the work finds.

        raises      TooLong
        """
        self._seconds, self._until = seconds, None
        try:
            return drive(work(self))
        finally:
            self._until = math.inf  # SQLite counts the steps of a statement over all its runs

    def stop(self) -> None:
        """What is being looked for is broken off."""
        self._until = 0.0
        self.connection.interrupt()

    async def rows(self, statement: Statement, **values: Any) -> Sequence[Row]:
        try:
            given = {**statement.constants, **values} if statement.constants else values
            return self.connection.execute(statement.sql, given).fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                raise TooLong from None
            raise

    async def each(
        self, statement: Statement, values: Sequence[dict[str, str]]
    ) -> list[Sequence[Row]]:
        return [await self.rows(statement, **one) for one in values]

    def _is_over(self) -> bool:
        """Asked once in so many steps; what is short never looks at the clock."""
        now = self._clock()
        if self._until is None:
            self._until = now + self._seconds
        return now > self._until


class Aside:
    """
    The thread for long reads, one after the other; it and its reader are made when first needed.

    connect     opens the file
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._asked: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._reader: Reader | None = None
        self._longest_seconds = LONGEST_SECONDS

    async def read(self, work: _Work[_T]) -> _T:
        """
        What the work finds.

        raises      Unavailable: it takes longer than LONGEST_SECONDS
        """
        loop = asyncio.get_running_loop()
        found: asyncio.Future[_T] = loop.create_future()

        def settle(result: Any, fault: Exception | None) -> None:
            if found.done():  # who asked has gone
                return
            if fault is None:
                found.set_result(result)
            else:
                found.set_exception(fault)

        def answer() -> None:
            result: Any = None
            fault: Exception | None = None
            try:
                result = self._opened().do(work, seconds=self._longest_seconds)
            except TooLong:
                fault = Unavailable("This takes too long to look for; narrow it.")
            except Exception as error:  # noqa: BLE001 — it is the caller's, and goes to the caller
                fault = error
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(settle, result, fault)

        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="reader", daemon=True)
            self._thread.start()
        self._asked.put(answer)
        return await found

    def _opened(self) -> Reader:
        if self._reader is None:
            self._reader = Reader(self._connect(), time.monotonic)
        return self._reader

    def _run(self) -> None:
        while (answer := self._asked.get()) is not None:
            answer()
            del answer  # or what was looked for last would stay until something else is

    def close(self) -> None:
        """What is still looked for is broken off."""
        if self._thread is None:
            return
        self._longest_seconds = 0.0
        self._asked.put(None)
        if self._reader:
            self._reader.stop()
        self._thread.join()
        if self._reader:
            self._reader.connection.close()
