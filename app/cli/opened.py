"""The database that a command works on: by its option, its file or the environment."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import typer

_T = TypeVar("_T")


def settings_of(config: Path | None, database: str | None) -> Any:
    """The settings; says what is wrong with them and ends."""
    from app import settings

    try:
        return settings.read(config, database_url=database)
    except settings.SettingsError as error:
        typer.echo(f"kinbridge: {error}", err=True)
        raise typer.Exit(2) from None


async def write(
    config: Path | None,
    database: str | None,
    work: Callable[[Any], Coroutine[Any, Any, _T]],
    *,
    shelves: tuple[str, ...] = (),
) -> _T:
    """
    One transaction, beside a running service if there is one.

    shelves     as Database.write
    """
    from app.errors import Unavailable
    from app.storage import connection, migration

    settings = settings_of(config, database)
    try:
        await migration.check(settings.database_url)
        opened = connection.connect(settings.database_url)
        try:
            return await opened.write(work, shelves=shelves)
        finally:
            await opened.close()
    except (migration.NeedsMigration, Unavailable) as refused:
        typer.echo(f"kinbridge: {refused}", err=True)
        raise typer.Exit(2) from None
