"""`kinbridge outbox`: pushes that were given up, for a person to look at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

app = typer.Typer(no_args_is_help=True, help="Pushes to partners' own servers that were given up.")

_T = TypeVar("_T")
_Database = Annotated[str | None, typer.Option(help="sqlite:///PATH.")]
_Config = Annotated[Path | None, typer.Option(help="TOML file; see the README.")]


@app.command("list")
def list_failed(database: _Database = None, config: _Config = None) -> None:
    """Every push that a partner refused, or that took too long."""
    from app.storage import outbox

    for push, shelf, exchange, attempts, owed_at in _run(config, database, outbox.failed):
        since = datetime.fromtimestamp(owed_at, UTC).isoformat(timespec="seconds")
        typer.echo(f"{push}\t{shelf}\texchange {exchange}\t{attempts} tries\tsince {since}")


@app.command()
def resend(push: int, database: _Database = None, config: _Config = None) -> None:
    """Owe it once more, when what stood in its way is mended."""
    from app.storage import outbox

    now = datetime.now(UTC).timestamp()
    if not _run(config, database, lambda tx: outbox.resend(tx, push, now=now)):
        typer.echo(f"kinbridge: {push} is no push that was given up", err=True)
        raise typer.Exit(2)


def _run(
    config: Path | None, database: str | None, work: Callable[[Any], Coroutine[Any, Any, _T]]
) -> _T:
    from app.cli import opened
    from app.storage.database import QUEUE

    return asyncio.run(opened.write(config, database, work, shelves=QUEUE))
