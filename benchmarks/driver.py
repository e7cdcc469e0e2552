"""The limit of a transaction: the driver alone inserts the rows that one transaction made."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
from processes import Postgres, cpu

from app.storage.tables import METADATA

ROUNDS = 150
_GIVEN = re.compile(
    r"(?:[A-Z][A-Za-z]+/)?(?:[a-z2-7]{26}|[0-9a-f]{32})"
)  # an id, alone or after its type
_OWN = {"secret", "client", "indexed", "clock"}  # what the service wrote before, or has once

Rows = dict[str, list[tuple[Any, ...]]]  # by table


def _columns(table: str) -> list[str]:
    """All but the numbers that the database gives."""
    return [
        column.name for column in METADATA.tables[table].columns if column.autoincrement is not True
    ]


def made(select: Any) -> Rows:
    """
    All rows of a database in which one transaction was made.

    select      rows of a query
    """
    found = {
        table.name: select(f"SELECT {', '.join(_columns(table.name))} FROM {table.name}")  # noqa: S608 — our own names
        for table in METADATA.sorted_tables
        if table.name not in _OWN
    }
    return {table: [tuple(row) for row in rows] for table, rows in found.items() if rows}


def _again(rows: Rows, number: int) -> Rows:
    """The same rows of other resources."""

    def other(value: Any) -> Any:
        if isinstance(value, str) and _GIVEN.fullmatch(value):
            return f"{value[:-8]}{number:08}"
        return value

    return {table: [tuple(map(other, row)) for row in many] for table, many in rows.items()}


def _rounds(rows: Rows, *, start: int) -> Iterator[Rows]:
    """Made before the clock runs."""
    return iter([_again(rows, start + number) for number in range(ROUNDS)])


def on_sqlite(file: Path, rows: Rows, *, start: int) -> float:
    """CPU seconds of one transaction."""
    rounds = _rounds(rows, start=start)
    inserts = {
        table: f"INSERT INTO {table} ({', '.join(_columns(table))})"  # noqa: S608 — our own names
        f" VALUES ({', '.join('?' * len(_columns(table)))})"
        for table in rows
    }
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        begun = time.process_time()
        for one in rounds:
            database.execute("BEGIN IMMEDIATE")
            for table, many in one.items():
                database.executemany(inserts[table], many)
            database.execute("COMMIT")
        return (time.process_time() - begun) / ROUNDS


def on_postgres(server: Postgres, rows: Rows, *, start: int) -> tuple[float, float]:
    """CPU seconds of one transaction: the driver's, the server's."""
    rounds = _rounds(rows, start=start)
    inserts = {
        table: f"INSERT INTO {table} ({', '.join(_columns(table))}) VALUES ("  # noqa: S608 — our own names
        + ", ".join(f"${number}" for number in range(1, len(_columns(table)) + 1))
        + ")"
        for table in rows
    }
    shelf = rows["resource"][0][_columns("resource").index("shelf")]

    async def run() -> tuple[float, float]:
        connection = await asyncpg.connect(server.url())
        try:
            begun, served = time.process_time(), cpu(server.pid)
            for one in rounds:
                async with connection.transaction():
                    await connection.execute(
                        "SELECT set_config('kinbridge.shelves', $1, true)", shelf
                    )
                    for table, many in one.items():
                        await connection.executemany(inserts[table], many)
            spent = time.process_time() - begun
            return spent / ROUNDS, (cpu(server.pid) - served) / ROUNDS
        finally:
            await connection.close()

    return asyncio.run(run())
