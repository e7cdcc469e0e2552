"""`kinbridge client`: who may call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from app.cli.options import Config, Database
from app.cli.refusal import refuse

app = typer.Typer(no_args_is_help=True, help="Register, list and remove the clients that may call.")

_T = TypeVar("_T")
_SCOPE = r"(system/(\*|[A-Z][A-Za-z]+)\.[cruds]+|kinbridge/(account|refer|report))"


@app.command()
def add(
    client: Annotated[str, typer.Argument(help="The client's id.")],
    shelf: Annotated[str, typer.Argument(help="tenant/shelf, the one shelf that it may use.")],
    scopes: Annotated[
        list[str],
        typer.Argument(
            help="system/Type.cruds, kinbridge/refer, kinbridge/report, kinbridge/account."
        ),
    ],
    database: Database = None,
    config: Config = None,
) -> None:
    """Register a client and show its secret, once."""
    import re

    from app import fhir
    from app.cli import opened
    from app.storage import keys

    settings = opened.settings_of(config, database)
    if shelf not in settings.shelves:
        refuse(f"there is no shelf {shelf}; there are {', '.join(settings.shelves)}")
    for scope in scopes:
        if not re.fullmatch(_SCOPE, scope):
            refuse(
                f"{scope} is no scope; use system/Type.cruds or kinbridge/refer, report or account"
            )
    if ":" in client:
        refuse("a client id has no colon, HTTP Basic could not carry it")
    now = fhir.instant(datetime.now(UTC))

    async def register(tx: Any) -> str:
        known = {row[0] for row in await keys.clients(tx)}
        if client in known:
            refuse(f"{client} is registered; remove it first")
        return await keys.add_client(tx, client=client, shelf=shelf, scopes=scopes, at=now)

    secret = asyncio.run(opened.write(config, database, register, makes=True))
    typer.echo(f"client  {client}\nshelf   {shelf}\nsecret  {secret}")
    typer.echo("The secret is shown this once; only its hash is stored.", err=True)
    _until_known()


@app.command("list")
def list_clients(database: Database = None, config: Config = None) -> None:
    """Every client with its shelf and scopes."""
    from app.storage import keys

    found = _run(config, database, keys.clients)
    for client, shelf, scopes, created in found:
        typer.echo(f"{client}\t{shelf}\t{scopes}\tsince {created}")
    if not found:
        typer.echo("No client is registered.", err=True)


@app.command()
def remove(client: str, database: Database = None, config: Config = None) -> None:
    """Take a client's access away, at once."""
    from app.storage import keys

    if not _run(config, database, lambda tx: keys.remove_client(tx, client)):
        refuse(f"{client} is not registered")
    _until_known()


def _until_known() -> None:
    """When the command ends, every process has forgotten who might call before."""
    import time

    from app.flows.callers import REMEMBERED_SECONDS

    time.sleep(REMEMBERED_SECONDS)


def _run(
    config: Path | None, database: str | None, work: Callable[[Any], Coroutine[Any, Any, _T]]
) -> _T:
    from app.cli import opened

    return asyncio.run(opened.write(config, database, work))
