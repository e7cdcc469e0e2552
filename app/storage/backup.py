"""A copy of everything that is consistent while the service writes: one SQLite file, from either database."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.errors import Unavailable
from app.storage import migration
from app.storage.database import is_postgres
from app.storage.file import own, path_of, sole
from app.storage.migration import NeedsMigration
from app.storage.tables import INDEXED, METADATA, PURGE

if TYPE_CHECKING:
    import asyncpg

_ROWS: Final = 500  # held in memory at once
_LOOKS: Final = 20  # whether the service is gone
_LOOK_SECONDS: Final = 0.1
_CONNECT_SECONDS: Final = 10.0
_COLUMNS: Final = {
    table.name: [column.name for column in table.columns] for table in METADATA.sorted_tables
}


Purged = tuple[Any, ...]  # a row of the table purge
_PURGE: Final = _COLUMNS[PURGE.name]


# of two lists the later time, on either database
_AGAIN: Final = """ON CONFLICT (shelf, type, id, why) DO UPDATE SET scrubbed = 0,
    exchange = CASE WHEN excluded.at > purge.at THEN excluded.exchange ELSE purge.exchange END,
    at = CASE WHEN excluded.at > purge.at THEN excluded.at ELSE purge.at END"""


class NotEmpty(Exception):  # noqa: N818 — the command is refused, nothing went wrong
    """Something stands where the copy should go, or somebody works there."""


def backup(url: str, file: Path, *, owner_url: str = "") -> None:
    """
    Everything as it stood at one moment, into a new file, on the disk when this returns.

    raises      NotEmpty: the file is there already
                NeedsMigration: the tables are of another version
    """
    if file.exists():
        message = f"{file} is there already"
        raise NotEmpty(message)
    made = file.with_name(f"{file.name}.partial")
    made.unlink(missing_ok=True)
    try:
        if is_postgres(url):
            migration.migrate(f"sqlite:///{made}")
            asyncio.run(_from_postgres(owner_url, made))
        else:
            _copy(path_of(url), made)
        _check(made)
        _settle(made, file)
    finally:
        made.unlink(missing_ok=True)


def restore(
    url: str,
    file: Path,
    *,
    owner_url: str = "",
    force: bool = False,
    purged: tuple[Purged, ...] = (),
) -> None:
    """
    What was backed up, and nothing else, in place of what stands; all of it or nothing.

    What was purged since is written down, so that the next start purges it again.

    force       what stands there is thrown away, but for its purge list
    purged      the purge list of a database that is not there any more
    raises      NotEmpty: something stands there, or a service runs on it
                NeedsMigration: the file is of another version
    """
    _check(file)
    if is_postgres(url):
        asyncio.run(_to_postgres(owner_url, file, force=force, purged=purged))
        return
    path = path_of(url)
    if path.exists() and not force:
        message = f"{path} is there already; --force throws it away"
        raise NotEmpty(message)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = sole(path)
    if lock is None:
        message = f"a service runs on {path}; stop it first"
        raise NotEmpty(message)
    made = path.with_name(f"{path.name}.partial")
    with lock:
        made.unlink(missing_ok=True)
        _copy(file, made)
        _remember(made, [*_purged(path), *purged])
        for beside in ("-wal", "-shm"):  # they belong to the file that goes
            Path(f"{path}{beside}").unlink(missing_ok=True)
        _settle(made, path)


def purge_list(url: str, *, owner_url: str = "") -> list[Purged]:
    """What was purged: ids and times, to be kept apart from the backups and given to restore."""
    if is_postgres(url):
        return asyncio.run(_purged_there(owner_url))
    return _purged(path_of(url))


def write_purge_list(url: str, file: Path, *, owner_url: str = "") -> None:
    """The same as JSON, in place of the list that was written before; as long as it is not whole that one stays."""
    listed = json.dumps(purge_list(url, owner_url=owner_url))
    if file.exists() and not file.is_file():  # a pipe
        file.write_text(listed)
        return
    made = file.with_name(f"{file.name}.partial")
    try:
        made.write_text(listed)
        _settle(made, file)
    finally:
        made.unlink(missing_ok=True)


def _purged(path: Path) -> list[Purged]:
    """
    The purge list of a SQLite file, as far as there is one; none of it counts as scrubbed.

    raises      NeedsMigration: it cannot be read, and a restore that goes without it brings back what was expunged
    """
    if not path.exists() or not path.stat().st_size:
        return []
    names = ", ".join(_PURGE)
    try:
        with closing(sqlite3.connect(path)) as database:
            return [_unscrubbed(row) for row in database.execute(f"SELECT {names} FROM purge")]  # noqa: S608 — our own names
    except sqlite3.Error as error:
        message = (
            f"what was expunged cannot be read from {path}: {error}."
            " Move it away, and give a restore the list that `kinbridge purges` wrote"
        )
        raise NeedsMigration(message) from None


def _unscrubbed(row: Any) -> Purged:
    said = dict(zip(_PURGE, row, strict=True)) | {"scrubbed": 0}
    return tuple(said.values())


def _remember(path: Path, rows: list[Purged]) -> None:
    marks = ", ".join("?" * len(_PURGE))
    put = f"INSERT INTO purge ({', '.join(_PURGE)}) VALUES ({marks}) {_AGAIN}"  # noqa: S608
    with closing(sqlite3.connect(path)) as database, database:
        database.executemany(put, rows)


async def _purged_there(owner_url: str) -> list[Purged]:
    connection = await _as_owner(owner_url)
    try:
        rows = await connection.fetch(f"SELECT {', '.join(_PURGE)} FROM purge")  # noqa: S608
        return [_unscrubbed(row) for row in rows]
    finally:
        await connection.close()


def _copy(source: Path, target: Path) -> None:
    """https://www.sqlite.org/backup.html; a writer is not stopped, and its half is not seen."""
    if not source.exists():
        message = f"{source} is not there"
        raise NeedsMigration(message)
    own(target)
    try:
        with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as write:
            read.backup(write)
            write.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        message = f"{source} cannot be copied: {error}"
        raise NeedsMigration(message) from None


def _settle(made: Path, place: Path) -> None:
    """On the disk, then under its name."""
    for one in (made, made.parent):
        handle = os.open(one, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
    made.replace(place)
    handle = os.open(place.parent, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def _check(file: Path) -> None:
    if not file.exists():
        message = f"{file} is not there"
        raise NeedsMigration(message)
    found = migration.version_of(file)
    if found != migration.newest():
        message = f"{file} is at version {found}, this program needs {migration.newest()}"
        raise NeedsMigration(message)
    with closing(sqlite3.connect(file)) as database:
        if database.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            message = f"{file} is damaged"
            raise NeedsMigration(message)


async def _as_owner(owner_url: str) -> asyncpg.Connection[Any]:
    """
    Only the owner sees every shelf.

    raises      NeedsMigration: no owner is named, or the tables are not there, or of another version
                Unavailable: it cannot be reached
    """
    import asyncpg  # noqa: PLC0415 — only where it is used

    if not owner_url:
        message = "on PostgreSQL only the owner sees every shelf: set KINBRIDGE_OWNER_URL"
        raise NeedsMigration(message)
    try:
        connection: asyncpg.Connection[Any] = await asyncpg.connect(
            owner_url, timeout=_CONNECT_SECONDS
        )
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        message = f"PostgreSQL cannot be reached by KINBRIDGE_OWNER_URL: {type(error).__name__}"
        raise Unavailable(message) from None
    made = await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL")
    asked = "SELECT version_num FROM alembic_version"
    found = await connection.fetchval(asked) if made else "none"
    if found != migration.newest():
        await connection.close()
        message = f"the tables are at version {found}; run `kinbridge migrate` first"
        raise NeedsMigration(message)
    return connection


async def _from_postgres(owner_url: str, made: Path) -> None:
    """One snapshot for all tables; rows flow through, table after table."""
    connection = await _as_owner(owner_url)
    with closing(sqlite3.connect(made)) as file:
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                for table, columns in _COLUMNS.items():
                    asked = f"SELECT {', '.join(columns)} FROM {table}"  # noqa: S608 — our own names
                    marks = ", ".join("?" * len(columns))
                    put = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608
                    cursor = await connection.cursor(asked)
                    while rows := await cursor.fetch(_ROWS):
                        file.executemany(put, [tuple(row) for row in rows])
            file.commit()
        finally:
            await connection.close()


async def _to_postgres(
    owner_url: str, file: Path, *, force: bool, purged: tuple[Purged, ...]
) -> None:
    """One transaction; the tables are locked, so that no service works on them meanwhile."""
    connection = await _as_owner(owner_url)
    names = ", ".join(_COLUMNS)
    try:
        await _alone(connection)
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")
            asked = f"SELECT {', '.join(_PURGE)} FROM purge"  # noqa: S608
            known = [_unscrubbed(row) for row in await connection.fetch(asked)]
            # what `kinbridge migrate` writes into tables that it has just made is nobody's
            await connection.execute(f"TRUNCATE {names if force else INDEXED.name}")
            for table, columns in _COLUMNS.items():
                if await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table})"):  # noqa: S608
                    message = f"rows stand in the table {table}; --force throws them away"
                    raise NotEmpty(message)
                await _fill(connection, file, table, columns)
            if known or purged:
                marks = ", ".join(f"${number}" for number in range(1, len(_PURGE) + 1))
                put = f"INSERT INTO purge ({', '.join(_PURGE)}) VALUES ({marks})"  # noqa: S608
                await connection.executemany(f"{put} {_AGAIN}", [*known, *purged])
    finally:
        await connection.close()


_SERVED: Final = """
    SELECT EXISTS (SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'kinbridge')
"""


async def _alone(connection: asyncpg.Connection[Any]) -> None:
    """
    A service that has just ended has left soon: the server ends its side of a connection a moment later.

    raises      NotEmpty: one runs on it
    """
    for _ in range(_LOOKS):
        if not await connection.fetchval(_SERVED):
            return
        await asyncio.sleep(_LOOK_SECONDS)
    message = "a service runs on this database; stop it first"
    raise NotEmpty(message)


async def _fill(
    connection: asyncpg.Connection[Any], file: Path, table: str, columns: list[str]
) -> None:
    """COPY does not go with row-level security, which is put back in the same transaction."""
    walled = await connection.fetchval(
        "SELECT relforcerowsecurity FROM pg_class WHERE oid = to_regclass($1)", table
    )
    if walled:
        await connection.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    with closing(sqlite3.connect(file)) as database:
        for rows in _pages(database, table, columns):
            await connection.copy_records_to_table(table, records=rows, columns=columns)
    if walled:
        await connection.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    sequence = await connection.fetchval(
        "SELECT pg_get_serial_sequence($1, 'id') WHERE EXISTS"
        " (SELECT FROM pg_class WHERE oid = to_regclass($1 || '_id_seq'))",
        table,
    )
    if sequence:
        newest = f"SELECT coalesce(max(id), 0) + 1 FROM {table}"  # noqa: S608
        await connection.execute(f"SELECT setval('{sequence}', ({newest}), false)")


def _pages(database: sqlite3.Connection, table: str, columns: list[str]) -> Iterator[list[Any]]:
    cursor = database.execute(f"SELECT {', '.join(columns)} FROM {table}")  # noqa: S608
    with contextlib.closing(cursor):
        while rows := cursor.fetchmany(_ROWS):
            yield rows
