"""`kinbridge reindex`: the index made anew from what stands, while the service runs."""

from __future__ import annotations

import asyncio
from typing import Any

import typer

from app import conformance
from app.cli import opened
from app.cli.options import Config, Database
from app.cli.refusal import refuse


def reindex(
    database: Database = None,
    config: Config = None,
) -> None:
    """
    Make the index anew, so that search parameters loaded since then find what stood before.

    Start the service with the new parameters first; a run that is stopped goes on where it was.
    """
    settings = opened.settings_of(config, database_url=database)
    opened.standing(settings)
    changed = asyncio.run(fill(settings))
    typer.echo(f"The index knows every search parameter; {changed} resources were new to it.")


async def fill(settings: Any) -> int:
    """The index of a database, brought to what this program keeps; says what it does."""
    from rich.console import Console
    from rich.progress import Progress

    from app.errors import Unavailable
    from app.storage import connection, migration, reindex
    from app.storage.database import is_postgres
    from app.storage.parameters import Parameters

    try:
        await migration.check(settings.database_url)
        url = settings.database_url
        owner = settings.owner_url if is_postgres(url) else ""
        opened = connection.connect(owner or url)
        try:
            parameters = Parameters(conformance.load(settings.packages))
            seen = await reindex.shelves_of(opened)
            shelves = {*settings.shelves, *seen}
            with Progress(transient=True, console=Console(stderr=True)) as bar:
                shown = bar.add_task("Indexing", total=None)
                return await reindex.run(
                    opened,
                    parameters,
                    shelves,
                    told=lambda done, total: bar.update(shown, completed=done, total=total),
                )
        finally:
            await opened.close()
    except (migration.NeedsMigration, Unavailable) as refused:
        refuse(refused)
