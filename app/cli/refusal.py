"""How a command ends that cannot do what was asked: why, on standard error, and exit 2."""

from __future__ import annotations

from typing import NoReturn

import typer


def refuse(why: object) -> NoReturn:
    typer.echo(f"kinbridge: {why}", err=True)
    raise typer.Exit(2)
