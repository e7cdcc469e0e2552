"""`kinbridge migrate`: the tables, made or brought to this program's version."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer


def migrate(
    database: Annotated[str | None, typer.Option(help="sqlite:///PATH or postgresql://…")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file; see the README.")] = None,
) -> None:
    """Make the tables, or bring them to this program's version; on PostgreSQL as KINBRIDGE_OWNER_URL."""
    from app import settings
    from app.cli.reindex import fill
    from app.errors import Unavailable
    from app.storage import migration

    try:
        read = settings.read(config, database_url=database)
        migration.migrate(read.database_url, owner_url=read.owner_url)
    except (settings.SettingsError, migration.NeedsMigration, Unavailable) as refused:
        typer.echo(f"kinbridge: {refused}", err=True)
        raise typer.Exit(2) from None
    asyncio.run(fill(read))
    typer.echo(f"The tables are at version {migration.newest()}.")
