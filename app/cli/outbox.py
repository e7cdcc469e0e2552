"""`kinbridge outbox`: pushes that were given up, for a person to look at."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import typer

from app.cli import opened
from app.cli.options import Config, Database
from app.cli.refusal import refuse

app = typer.Typer(no_args_is_help=True, help="Pushes to partners' own servers that were given up.")

_T = TypeVar("_T")


@app.command("list")
def list_failed(database: Database = None, config: Config = None) -> None:
    """Every push that a partner refused, or that took too long."""
    from app.storage import outbox

    found = _run(config, database, outbox.failed)
    for push, shelf, exchange, attempts, owed_at in found:
        since = datetime.fromtimestamp(owed_at, UTC).isoformat(timespec="seconds")
        typer.echo(f"{push}\t{shelf}\texchange {exchange}\t{attempts} tries\tsince {since}")
    if not found:
        typer.echo("No push waits for a person.", err=True)


@app.command()
def resend(push: int, database: Database = None, config: Config = None) -> None:
    """Owe it once more, when what stood in its way is mended."""
    from app.storage import outbox

    now = datetime.now(UTC).timestamp()
    if not _run(config, database, lambda tx: outbox.resend(tx, push, now=now)):
        refuse(f"{push} is no push that was given up")


def _run(
    config: Path | None, database: str | None, work: Callable[[Any], Coroutine[Any, Any, _T]]
) -> _T:
    from app.storage.database import QUEUE

    return opened.write(config, database, work, shelves=QUEUE)
