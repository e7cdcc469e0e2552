"""
SQLite's large bodies, written and kept step by step.

As a value of a statement a body is copied twice, and once more stays with the statement until it
runs again: of a scan of 20 MiB these were half of what its write took.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from app.storage.database import Row

LARGE: Final = 2**20
_STEP: Final = 2**18
_KEY: Final = "WHERE shelf = ? AND type = ? AND id = ?"
_ROOM: Final = f"UPDATE resource SET body = zeroblob(?) {_KEY} RETURNING rowid"  # noqa: S608 — our own names
_STANDS: Final = f"SELECT rowid, length(body) FROM resource {_KEY} AND version = ?"  # noqa: S608 — as above
_KEEP: Final = (
    "INSERT INTO version (shelf, type, id, version, updated, method, body)"
    " SELECT shelf, type, id, version, updated, method, zeroblob(length(body))"
    " FROM resource WHERE rowid = ?"
)


def of(columns: tuple[str, ...], rows: Sequence[Row]) -> list[Row]:
    """Rows whose bodies are large; all of them begin with shelf, type and id."""
    at = columns.index("body")
    return [row for row in rows if len(row[at]) > LARGE]


def bare(columns: tuple[str, ...], rows: Sequence[Row]) -> list[Row]:
    """The same without their bodies."""
    at = columns.index("body")
    return [(*row[:at], b"", *row[at + 1 :]) for row in rows]


def fill(connection: sqlite3.Connection, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
    """The bodies that were left out, of rows that stand."""
    at = columns.index("body")
    for row in rows:
        body = memoryview(row[at])
        for (place,) in connection.execute(_ROOM, (len(body), *row[:3])).fetchall():
            with connection.blobopen("resource", "body", place) as blob:
                for start in range(0, len(body), _STEP):
                    blob.write(body[start : start + _STEP])


def keep(connection: sqlite3.Connection, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
    """What stands and is replaced goes to the past, as large as it may be."""
    expected = columns.index("expected")
    for row in rows:
        for place, length in connection.execute(_STANDS, (*row[:3], row[expected])).fetchall():
            past = connection.execute(_KEEP, (place,)).lastrowid
            with (
                connection.blobopen("resource", "body", place, readonly=True) as stood,
                connection.blobopen("version", "body", past or 0) as kept,
            ):
                for _ in range(0, length, _STEP):
                    kept.write(stood.read(_STEP))
