"""The tables' version: checked at each start, changed by Alembic on command."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from app.storage.database import path_of

_MIGRATIONS: Final = Path(__file__).parent / "migrations"


class NeedsMigration(Exception):  # noqa: N818 — the start is refused, nothing went wrong
    """The tables are older or newer than this program."""


def migrate(url: str) -> None:
    """Make the tables, or bring them to this program's version."""
    import sqlalchemy  # noqa: PLC0415 — Alembic takes half a second that no other start should pay
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    path_of(url).parent.mkdir(parents=True, exist_ok=True)
    engine = sqlalchemy.create_engine(url)
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def check(url: str) -> None:
    """
    Make the tables where there is no file yet; refuse tables of another version.

    raises      NeedsMigration
    """
    path = path_of(url)
    if not path.exists():
        migrate(url)
    newest = max(file.name.split("_", 1)[0] for file in (_MIGRATIONS / "versions").glob("0*.py"))
    try:
        with closing(sqlite3.connect(path)) as database:
            found = database.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        message = f"{path} is no database of this program: {error}"
        raise NeedsMigration(message) from None
    if found is None or found[0] != newest:
        stands = found[0] if found else "none"
        message = f"the tables of {path} are at version {stands}, this program needs {newest}"
        raise NeedsMigration(message)
