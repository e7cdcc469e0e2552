"""SQLite: short reads inline, one writer that commits in groups."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import IO, Any, Final, TypeVar

from app.errors import Unavailable
from app.storage import large
from app.storage.database import QUEUE, Batch, Reading, Row, Statement, Tx
from app.storage.file import path_of, sole
from app.storage.reader import INLINE_SECONDS, Aside, Reader, TooLong, drive

_T = TypeVar("_T")

_OLDEST: Final = (3, 35)  # RETURNING, https://www.sqlite.org/lang_returning.html
_GROUP: Final = 64  # plans in one commit; more would make the first of them wait
_CACHE_KIB: Final = 16 * 1024  # a connection; a page of a search in a large file touches some 2 MiB
# SQLite goes through all that a connection keeps at a commit that has split a page of an index
_WRITER_CACHE_KIB: Final = 4 * 1024
_LOG_PAGES: Final = 16000  # 64 MB; a page that changes often goes to the file once in so many
_TEXT: Final = "The database cannot be reached or written now; nothing was stored. Try again."
_SEEN_SECONDS: Final = 0.1  # between two looks of readers whether the file is still there
_BUSY_SECONDS: Final = 10.0  # how long a second process may hold the write lock


@dataclass(slots=True)
class _Transaction:
    """A transaction on SQLite: nothing in it ever waits, so a thread can drive it to its end."""

    connection: sqlite3.Connection

    async def rows(self, statement: Statement, **values: Any) -> Sequence[Row]:
        return self.connection.execute(statement.sql, {**statement.constants, **values}).fetchall()

    async def each(
        self, statement: Statement, values: Sequence[dict[str, str]]
    ) -> list[Sequence[Row]]:
        return [await self.rows(statement, **one) for one in values]

    async def run(self, statement: Statement, **values: Any) -> int:
        return self.connection.execute(statement.sql, {**statement.constants, **values}).rowcount

    async def run_all(self, batches: Sequence[Batch]) -> list[int]:
        return [self._all(*one) for one in batches]

    def _all(self, statement: Statement, columns: tuple[str, ...], rows: Sequence[Row]) -> int:
        if "body" in columns and (scans := large.of(columns, rows)):
            return self._large(statement, columns, rows, scans)
        if statement.before is not None:
            self._run(statement.before, columns, rows)
        return self._run(statement, columns, rows)

    def _large(
        self, statement: Statement, columns: tuple[str, ...], rows: Sequence[Row], scans: list[Row]
    ) -> int:
        """The same, the large bodies among them step by step."""
        others = [row for row in rows if row not in scans]
        count = self._all(statement, columns, others) if others else 0
        if statement.before is not None:
            large.keep(self.connection, columns, scans)
        count += self._run(statement, columns, large.bare(columns, scans))
        large.fill(self.connection, columns, scans)
        return count

    def _run(self, statement: Statement, columns: tuple[str, ...], rows: Sequence[Row]) -> int:
        sql, of = statement.taking(columns)
        return self.connection.executemany(sql, map(of, rows) if of else rows).rowcount


@dataclass(slots=True)
class _Job:
    """
    Work that waits to be written; done is settled when it is on the disk, or cannot be.

    work        None: the file is to be made anew
    alone       whether all of it is the thread's
    """

    work: Callable[[Tx], Coroutine[Any, Any, Any]] | None
    done: asyncio.Future[Any]
    alone: bool = False
    result: Any = None
    fault: BaseException | None = None

    def run(self, connection: sqlite3.Connection) -> None:
        """Raises what the work raises: the transaction around it is to be undone."""
        if self.work is not None:
            self.result = drive(self.work(_Transaction(connection)))

    def settle(self) -> None:
        if self.done.done():
            return
        if self.fault is None:
            self.done.set_result(self.result)
        else:
            self.done.set_exception(self.fault)


class Sqlite:
    """
    A SQLite file: one reader inline, one aside, one writer, WAL, synchronous=FULL.

    The writer's statements run inline as the reader's do, for as long as nobody else writes to the
    file; what waits for the disk or for another process, a commit, is a thread's.

    raises      Unavailable: the file cannot be read or written (locked, disk full, gone), or SQLite is
                older than 3.35
    """

    def __init__(self, url: str) -> None:
        if sqlite3.sqlite_version_info < _OLDEST:
            message = (
                f"this Python comes with SQLite {sqlite3.sqlite_version}; 3.35 or newer is needed"
            )
            raise Unavailable(message)
        self.path = path_of(url)
        self._file = str(self.path)
        self._inode = self.path.stat().st_ino
        self._seen_at = -math.inf
        self._reader = Reader(self._connect(), time.thread_time)
        self._aside = Aside(self._connect)
        self._writer = self._connect()
        self._writer.execute("PRAGMA temp_store=MEMORY")  # what a statement may have to undo
        self._writer.execute(f"PRAGMA cache_size=-{_WRITER_CACHE_KIB}")
        self._wait_seconds = _BUSY_SECONDS
        self._idle = Reader(self._writer, time.thread_time, writes=True)
        self._waiting: list[_Job] = []
        self._writing = False
        self._last: asyncio.Future[Any] | None = None
        self._steps: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._commits, name="writer", daemon=True)
        self._thread.start()
        self._sole: IO[str] | None = None

    async def read(
        self,
        work: Callable[[Reading], Coroutine[Any, Any, _T]],
        *,
        shelves: Iterable[str],  # noqa: ARG002 — the second wall is PostgreSQL's
    ) -> _T:
        """
        Inline, because a thread hop costs thirty times what a key read does; what turns out to be
        long is begun again aside, so the work is a function of what it reads.
        """
        try:
            if time.monotonic() > self._seen_at + _SEEN_SECONDS:
                self._there()
            # the writer still has the pages that it wrote; other connections read them again
            reader = self._reader if self._writing else self._idle
            return reader.do(work, seconds=INLINE_SECONDS)
        except TooLong:
            pass
        except sqlite3.Error as error:
            raise Unavailable(_TEXT) from error
        with _refusals():
            return await self._aside.read(work)

    async def write(
        self,
        work: Callable[[Tx], Coroutine[Any, Any, _T]],
        *,
        shelves: Iterable[str],  # noqa: ARG002 — as above
        long: bool = False,
    ) -> _T:
        """Returns when it is on the disk."""
        try:
            result: _T = await self._queued(work, alone=long)
        except sqlite3.Error as error:
            raise Unavailable(_TEXT) from error
        return result

    async def _queued(
        self, work: Callable[[Tx], Coroutine[Any, Any, Any]] | None, *, alone: bool = False
    ) -> Any:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        self._waiting.append(_Job(work, done, alone))
        self._last = done
        if not self._writing:
            self._writing = True
            loop.call_soon(self._write, loop)  # those who are about to write go with it
        return await asyncio.shield(done)

    def _write(self, loop: asyncio.AbstractEventLoop) -> None:
        """The statements of all who wait; then their one commit, on the thread."""
        if self._waiting[0].alone:
            job = self._waiting.pop(0)
            step = self._scrub if job.work is None else self._alone
            self._steps.put(partial(step, loop, [job]))
            return
        group = [*takewhile(lambda job: not job.alone, self._waiting[:_GROUP])]
        self._waiting = self._waiting[len(group) :]
        try:
            self._begin(wait_seconds=0)
            for job in group:
                job.run(self._writer)
        except Exception:  # noqa: BLE001 — another process writes, or one of them refuses
            self._steps.put(partial(self._alone, loop, group))
        else:
            self._steps.put(partial(self._commit, loop, group))

    def _commit(self, loop: asyncio.AbstractEventLoop, group: list[_Job]) -> None:
        try:
            self._end()
        except sqlite3.Error:
            self._alone(loop, group)
        else:
            loop.call_soon_threadsafe(self._written, loop, group)

    def _alone(self, loop: asyncio.AbstractEventLoop, group: list[_Job]) -> None:
        """
        Each by itself, waiting for others who write: what is refused is that one's alone.

        So no job needs a savepoint, for which SQLite would keep each page as it was.
        """
        _rollback(self._writer)
        for job in group:
            try:
                self._begin(wait_seconds=_BUSY_SECONDS)
                job.run(self._writer)
                self._end()
            except Exception as error:  # noqa: BLE001 — it is the caller's, and goes to the caller
                _rollback(self._writer)
                job.fault = error
        loop.call_soon_threadsafe(self._written, loop, group)

    def _begin(self, *, wait_seconds: float) -> None:
        """The one write transaction of the file; where others hold it, waiting is the thread's."""
        if wait_seconds != self._wait_seconds:
            self._writer.execute(f"PRAGMA busy_timeout={round(wait_seconds * 1000)}")
            self._wait_seconds = wait_seconds
        self._writer.execute("BEGIN IMMEDIATE")

    def _end(self) -> None:
        """Raises sqlite3.Error: it is not on the disk, or in a file that nobody finds again."""
        self._writer.execute("COMMIT")
        self._there()

    def _scrub(self, loop: asyncio.AbstractEventLoop, group: list[_Job]) -> None:
        (job,) = group
        try:
            self._writer.execute(f"PRAGMA busy_timeout={round(_BUSY_SECONDS * 1000)}")
            self._wait_seconds = _BUSY_SECONDS
            with self._copied_beside():
                self._writer.execute("VACUUM")
            busy = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if busy:
                job.fault = sqlite3.OperationalError("somebody reads an old state of the file")
        except sqlite3.Error as error:
            job.fault = error
        loop.call_soon_threadsafe(self._written, loop, group)

    @contextlib.contextmanager
    def _copied_beside(self) -> Iterator[None]:
        """
        What makes a copy of the whole file makes it on its disk, not in memory.

        source      https://www.sqlite.org/tempfiles.html
        """
        folder = str(self.path.parent).replace("'", "''")
        self._writer.execute(f"PRAGMA temp_store_directory='{folder}'")
        self._writer.execute("PRAGMA temp_store=FILE")
        try:
            yield
        finally:
            self._writer.execute("PRAGMA temp_store=MEMORY")

    def _written(self, loop: asyncio.AbstractEventLoop, group: list[_Job]) -> None:
        for job in group:
            job.settle()
        if self._waiting:
            self._write(loop)
        else:
            self._writing, self._last = False, None

    def _commits(self) -> None:
        while (step := self._steps.get()) is not None:
            step()
            del step  # or all of what was written last would stay until something else is

    def _there(self) -> None:
        """A file that was removed would take every write, and keep none."""
        try:
            inode = os.stat(self._file).st_ino  # noqa: PTH116 — for each group of writes
        except OSError:
            inode = 0
        if inode != self._inode:
            self._seen_at = -math.inf
            message = "the database file is another one than was opened"
            raise sqlite3.OperationalError(message)
        self._seen_at = time.monotonic()

    async def scrub(self) -> None:
        """
        The file made anew without what was deleted; its length and the writer's time are the cost.

        source      https://www.sqlite.org/lang_vacuum.html
        """
        with _refusals():
            await self._queued(None, alone=True)

    async def may_deliver(self, alone: Callable[[Tx], Coroutine[Any, Any, None]]) -> bool:
        """One process delivers from one file; its lock holds for as long as it lives."""
        if self._sole:
            return True
        if lock := sole(self.path):
            await self.write(alone, shelves=QUEUE)
        self._sole = lock
        return bool(lock)

    async def close(self) -> None:
        """After the last write; waits for it."""
        if self._last:
            await asyncio.wait([self._last])
        self._steps.put(None)
        self._thread.join()
        self._aside.close()
        self._writer.close()
        self._reader.connection.close()
        if self._sole:
            self._sole.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path,
            isolation_level=None,
            check_same_thread=False,
            timeout=_BUSY_SECONDS,
            cached_statements=512,
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")
        connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        return connection


def _rollback(connection: sqlite3.Connection) -> None:
    with contextlib.suppress(sqlite3.Error):
        connection.execute("ROLLBACK")


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise Unavailable(_TEXT) from error
