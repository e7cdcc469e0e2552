"""From a URL to the database that it names."""

from __future__ import annotations

from app.storage.database import Database, is_postgres
from app.storage.sqlite import Sqlite


def connect(url: str, *, connections: int = 10) -> Database:
    """
    The database of a sqlite:///PATH or postgresql://… URL.

    connections     at most, on PostgreSQL
    """
    if is_postgres(url):
        from app.storage.postgres import Postgres  # noqa: PLC0415 — asyncpg only where it is used

        return Postgres(url, connections=connections)
    return Sqlite(url)
