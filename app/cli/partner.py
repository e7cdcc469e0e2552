"""`kinbridge partner`: how partners' own servers know us."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.cli.refusal import refuse

app = typer.Typer(no_args_is_help=True, help="How partners' own servers know us.")


@app.callback()
def _group() -> None:
    """A group, although it has one command yet."""


@app.command()
def key(
    file: Annotated[Path, typer.Argument(help="Where the private key goes; the file is new.")],
) -> None:
    """Make a key to sign with, and print the public one (JWKS), for the partner to register."""
    import json
    import os

    from app import assertions

    made = assertions.fresh()
    try:
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        refuse(f"{file} is there already; who signs with it would be known no more")
    with os.fdopen(opened, "w", encoding="utf-8") as private:
        json.dump(made, private)
    typer.echo(json.dumps({"keys": [assertions.public(made)]}, indent=2))
    typer.echo(f"The private key is in {file}; keep it as safe as a password.", err=True)
