"""`kinbridge client`: who may call."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli import opened
from app.cli.options import Config, Database
from app.cli.refusal import refuse

app = typer.Typer(no_args_is_help=True, help="Register, list and remove the clients that may call.")


@app.command()
def add(  # noqa: PLR0913 — what a client is registered by
    client: Annotated[str, typer.Argument(help="The client's id.")],
    shelf: Annotated[str, typer.Argument(help="tenant/shelf, the one shelf that it may use.")],
    scopes: Annotated[
        list[str],
        typer.Argument(help="system/Type.cruds, kinbridge/refer, report, account or metrics."),
    ],
    keys: Annotated[
        str,
        typer.Option(
            help="Its public keys, a JWKS: an https URL, or a file. It signs, and has no secret."
        ),
    ] = "",
    database: Database = None,
    config: Config = None,
) -> None:
    """Register a client and show its secret, once; or one that signs, by its public keys."""
    from app import fhir
    from app.api.resource_types import RESOURCE_TYPES
    from app.domain.scopes import is_scope
    from app.storage import keys as clients

    settings = opened.settings_of(config, database_url=database)
    if shelf not in settings.shelves:
        refuse(f"there is no shelf {shelf}; there are {', '.join(settings.shelves)}")
    for scope in scopes:
        if not is_scope(scope):
            refuse(
                f"{scope} is no scope; use system/Type.cruds or kinbridge/refer, report, account or metrics"
            )
        kind = scope.removeprefix("system/").partition(".")[0]
        if scope.startswith("system/") and kind not in {"*", *RESOURCE_TYPES}:
            refuse(f"{scope} is no scope: FHIR R4 has no such type")
    if ":" in client:
        refuse("a client id has no colon, HTTP Basic could not carry it")
    known_by = _keys(keys)
    now = fhir.instant(datetime.now(UTC))

    async def register(tx: Any) -> str | None:
        if await clients.client(tx, client):
            return None
        return await clients.add_client(
            tx, client=client, shelf=shelf, scopes=scopes, at=now, keys=known_by
        )

    secret = opened.write(config, database, register, makes=True)
    if secret is None:
        refuse(f"{client} is registered; remove it first")
    typer.echo(f"client  {client}\nshelf   {shelf}\ntoken   {settings.token_url(shelf)}")
    if secret:
        typer.echo(f"secret  {secret}")
        typer.echo("The secret is shown this once; only its hash is stored.", err=True)
    _until_known()


def _keys(said: str) -> str:
    """The URL as it is, or what is in the file, if a client can sign with it."""
    import json

    from app import assertions

    if not said or said.startswith("https://"):
        return said
    if said.startswith("http://"):
        refuse("keys are fetched by https alone: who is on the way could put theirs in")
    try:
        return json.dumps({"keys": assertions.keys_of(Path(said).read_bytes())})
    except ValueError as error:
        refuse(f"{said}: {error}")


@app.command("list")
def list_clients(database: Database = None, config: Config = None) -> None:
    """Every client with its shelf and scopes."""
    from app.storage import keys

    found = opened.write(config, database, keys.clients)
    for one in found:
        scopes, by = " ".join(sorted(one.scopes)), "signs" if one.keys else "has a secret"
        typer.echo(f"{one.id}\t{one.shelf}\t{scopes}\tsince {one.created}\t{by}")
    if not found:
        typer.echo("No client is registered.", err=True)


@app.command()
def remove(client: str, database: Database = None, config: Config = None) -> None:
    """Take a client's access away, at once."""
    from app.storage import keys

    if not opened.write(config, database, lambda tx: keys.remove_client(tx, client)):
        refuse(f"{client} is not registered")
    _until_known()


def _until_known() -> None:
    """When the command ends, every process has forgotten who might call before."""
    import time

    from app.flows.callers import REMEMBERED_SECONDS

    time.sleep(REMEMBERED_SECONDS)
