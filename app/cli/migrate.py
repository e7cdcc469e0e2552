"""`kinbridge migrate`: the tables, made or brought to this program's version."""

from __future__ import annotations

import asyncio

import typer

from app.cli import opened
from app.cli.options import Config, Database
from app.cli.refusal import refuse


def migrate(
    database: Database = None,
    config: Config = None,
) -> None:
    """Make the tables, or bring them to this program's version; on PostgreSQL as KINBRIDGE_OWNER_URL."""
    from app.cli.reindex import fill
    from app.errors import Unavailable
    from app.storage import migration

    read = opened.settings_of(config, database_url=database)
    try:
        migration.migrate(read.database_url, owner_url=read.owner_url)
    except (migration.NeedsMigration, Unavailable) as refused:
        refuse(refused)
    asyncio.run(fill(read))
    typer.echo(f"The tables are at version {migration.newest()}.")
