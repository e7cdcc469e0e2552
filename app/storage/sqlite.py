"""SQLite: reads inline, one writer that commits in groups."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import queue
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, TypeVar

from app.errors import Unavailable
from app.storage.database import Company, Row, Statement, Tx

_T = TypeVar("_T")

_GROUP: Final = 64  # plans in one commit; more would make the first of them wait
_BUSY_SECONDS: Final = 10.0  # how long a second process may hold the write lock


@dataclass(slots=True)
class _Transaction:
    """A transaction on SQLite: nothing in it ever waits, so a thread can drive it to its end."""

    connection: sqlite3.Connection

    async def rows(self, statement: Statement, **values: Any) -> Sequence[Row]:
        return self.connection.execute(statement.sql, {**statement.constants, **values}).fetchall()

    async def run(self, statement: Statement, **values: Any) -> int:
        return self.connection.execute(statement.sql, {**statement.constants, **values}).rowcount

    async def run_all(self, statement: Statement, values: Sequence[dict[str, Any]]) -> int:
        return self.connection.executemany(statement.sql, values).rowcount


def _drive(work: Coroutine[Any, Any, _T]) -> _T:
    try:
        work.send(None)
    except StopIteration as end:
        result: _T = end.value
        return result
    work.close()
    message = "a transaction waited for something that is not the database"
    raise RuntimeError(message)


@dataclass(slots=True)
class _Job:
    work: Callable[[Tx], Coroutine[Any, Any, Any]]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Any]


@dataclass(slots=True)
class _Scrub:
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Any]


class Sqlite:
    """
    A SQLite file: one reader inline, one writer thread, WAL, synchronous=FULL.

    raises      Unavailable: the file cannot be read or written (locked, disk full, gone)
    """

    def __init__(self, url: str) -> None:
        self.path = path_of(url)
        self._reader = self._connect()
        self._inode = self.path.stat().st_ino
        self._reader.execute("PRAGMA query_only=ON")
        self._jobs: queue.SimpleQueue[_Job | _Scrub | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="writer", daemon=True)
        self._writer.start()
        self._sole: IO[str] | None = None

    async def read(
        self,
        work: Callable[[Tx], Coroutine[Any, Any, _T]],
        *,
        shelves: Iterable[str],  # noqa: ARG002 — the second wall is PostgreSQL's
    ) -> _T:
        """Key reads and bounded pages; inline, because a thread hop costs thirty times as much."""
        with _refusals():
            self._there()
            return _drive(work(_Transaction(self._reader)))

    async def write(
        self,
        work: Callable[[Tx], Coroutine[Any, Any, _T]],
        *,
        shelves: Iterable[str],  # noqa: ARG002 — as above
    ) -> _T:
        """Returns when it is on the disk."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[_T] = loop.create_future()
        with _refusals():
            self._there()
        self._jobs.put(_Job(work, loop, done))
        with _refusals():
            return await asyncio.shield(done)

    def _there(self) -> None:
        """A file that was removed would take every write, and keep none."""
        try:
            inode = self.path.stat().st_ino
        except OSError:
            inode = 0
        if inode != self._inode:
            message = "the database file is another one than was opened"
            raise sqlite3.OperationalError(message)

    async def scrub(self) -> None:
        """
        The file made anew without what was deleted; its length and the writer's time are the cost.

        source      https://www.sqlite.org/lang_vacuum.html
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._jobs.put(_Scrub(asyncio.get_running_loop(), done))
        with _refusals():
            await asyncio.shield(done)

    def clients_stamp(self) -> int | None:
        """Another number once anybody has committed, https://www.sqlite.org/pragma.html#pragma_data_version."""
        with _refusals():
            found: int = self._reader.execute("PRAGMA data_version").fetchone()[0]
            return found

    async def company(self) -> Company:
        """One process delivers from one file; its lock holds for as long as it lives."""
        if self._sole:
            return "among"
        self._sole = sole(self.path)
        return "alone" if self._sole else "later"

    async def close(self) -> None:
        """After the last write; waits for it."""
        self._jobs.put(None)
        self._writer.join()
        self._reader.close()
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
        return connection

    def _write(self) -> None:
        connection = self._connect()
        while (job := self._jobs.get()) is not None:
            if isinstance(job, _Scrub):
                _scrub(connection, job)
                continue
            group = [job]
            while len(group) < _GROUP:
                try:
                    following = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if following is None or isinstance(following, _Scrub):
                    self._jobs.put(following)
                    break
                group.append(following)
            _commit(connection, group)
        connection.close()


def _scrub(connection: sqlite3.Connection, job: _Scrub) -> None:
    error: sqlite3.Error | None = None
    try:
        connection.execute("VACUUM")
        busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            error = sqlite3.OperationalError("somebody reads an old state of the file")
    except sqlite3.Error as fault:
        error = fault
    job.loop.call_soon_threadsafe(_settle, job.done, None, error)


def _commit(connection: sqlite3.Connection, group: list[_Job]) -> None:
    """All of the group in one commit, each in a savepoint of its own; answers come after it."""
    outcomes: list[tuple[_Job, Any, BaseException | None]] = []
    try:
        connection.execute("BEGIN IMMEDIATE")
        for job in group:
            connection.execute("SAVEPOINT job")
            try:
                outcomes.append((job, _drive(job.work(_Transaction(connection))), None))
            except sqlite3.Error:
                raise
            except Exception as error:  # noqa: BLE001 — it is the caller's, and goes to the caller
                connection.execute("ROLLBACK TO job")
                outcomes.append((job, None, error))
            connection.execute("RELEASE job")
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        if len(group) > 1:  # one of them may be at fault: each alone
            for job in group:
                _commit(connection, [job])
            return
        outcomes = [(group[0], None, error)]
    for job, result, fault in outcomes:
        job.loop.call_soon_threadsafe(_settle, job.done, result, fault)


def _settle(done: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(result)
    else:
        done.set_exception(error)


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        text = "The database cannot be reached or written now; nothing was stored. Try again."
        raise Unavailable(text) from error


def path_of(url: str) -> Path:
    """
    The file of a sqlite:///… URL.

    raises      ValueError: another database
    """
    kind, _, path = url.partition("///")
    if kind != "sqlite:" or not path:
        message = "database_url must be sqlite:///PATH or postgresql://…"
        raise ValueError(message)
    return Path(path)


def sole(path: Path) -> IO[str] | None:
    """The lock of the one process that delivers from this file; None while another holds it."""
    lock = Path(f"{path}.worker").open("w", encoding="utf-8")  # noqa: SIM115 — held
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    return lock
