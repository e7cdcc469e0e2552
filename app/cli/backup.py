"""`kinbridge backup` and `kinbridge restore`: everything, as it stood at one moment."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli import opened
from app.cli.options import Config, Database
from app.cli.refusal import refuse


def backup(
    file: Annotated[Path, typer.Argument(help="A new file.")],
    database: Database = None,
    config: Config = None,
) -> None:
    """Copy everything into FILE, while the service runs; it holds health data and the keys."""
    from app.storage import backup as copies

    if not file.absolute().parent.is_dir():
        refuse(f"there is no folder {file.parent}")
    _run(config, database, lambda read: copies.backup(
        read.database_url, file, owner_url=read.owner_url
    ))  # fmt: skip
    typer.echo(f"Everything is in {file}; keep it as safe as the database.")


def restore(
    file: Annotated[Path, typer.Argument(help="What `kinbridge backup` made.")],
    database: Database = None,
    config: Config = None,
    *,
    force: Annotated[bool, typer.Option(help="Throw away what stands there.")] = False,
    purges: Annotated[
        Path | None, typer.Option(help="What `kinbridge purges` wrote; it is purged again.")
    ] = None,
) -> None:
    """Put what is in FILE into an empty database, of either kind; the service must not run."""
    from app.storage import backup as copies

    purged = _purged(purges) if purges else ()
    _run(config, database, lambda read: copies.restore(
        read.database_url, file, owner_url=read.owner_url, force=force, purged=purged
    ))  # fmt: skip
    typer.echo(f"Everything that was in {file} is there.")


def purges(
    file: Annotated[Path, typer.Argument(help="A file, kept apart from the backups.")],
    database: Database = None,
    config: Config = None,
) -> None:
    """Write down what was expunged, ids and times alone, so that a restore can purge it again."""
    from app.storage import backup as copies

    opened.standing(opened.settings_of(config, database_url=database))
    _run(config, database, lambda read: copies.write_purge_list(
        read.database_url, file, owner_url=read.owner_url
    ))  # fmt: skip
    typer.echo(f"What was purged is listed in {file}.")


def _purged(file: Path) -> tuple[Any, ...]:
    try:
        found = json.loads(file.read_text())
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(one, list) for one in found):
        refuse(f"{file} is no list that `kinbridge purges` wrote")
    return tuple(map(tuple, found))


def _run(config: Path | None, database: str | None, work: Callable[[Any], object]) -> None:
    from app.errors import Unavailable
    from app.storage.backup import NotEmpty
    from app.storage.migration import NeedsMigration

    try:
        work(opened.settings_of(config, database_url=database))
    except (NeedsMigration, NotEmpty, Unavailable, OSError) as refused:
        refuse(refused)
