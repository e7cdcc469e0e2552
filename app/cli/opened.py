"""The database that a command works on: by its option, its file or the environment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from app.cli.refusal import refuse

if TYPE_CHECKING:
    from app.settings import Settings

_T = TypeVar("_T")


def settings_of(config: Path | None, **said: object) -> Settings:
    """The settings, in which what is said on the command line is strongest; says what is wrong and ends."""
    from app import settings

    try:
        return settings.read(config, **said)
    except settings.SettingsError as error:
        refuse(error)


def standing(settings: Settings) -> None:
    """
    Refuses a SQLite file that is not there, which would be made, and then say that it has nothing.

    An account of disclosures, above all, must not be empty because it was asked in another folder.
    """
    from app.storage.database import is_postgres
    from app.storage.file import path_of

    url = settings.database_url
    if not is_postgres(url) and not path_of(url).exists():
        refuse(f"there is no database {path_of(url)}; name it by --database or --config")


def write(
    config: Path | None,
    database: str | None,
    work: Callable[[Any], Coroutine[Any, Any, _T]],
    *,
    shelves: tuple[str, ...] = (),
    makes: bool = False,
) -> _T:
    """
    One transaction, beside a running service if there is one.

    shelves     as Database.write
    makes       whether a SQLite file that is not there is made
    """
    from app.errors import Unavailable
    from app.storage import connection, migration

    settings = settings_of(config, database_url=database)
    if not makes:
        standing(settings)

    async def run() -> _T:
        await migration.check(settings.database_url)
        opened = connection.connect(settings.database_url)
        try:
            return await opened.write(work, shelves=shelves)
        finally:
            await opened.close()

    try:
        return asyncio.run(run())
    except (migration.NeedsMigration, Unavailable) as refused:
        refuse(refused)
