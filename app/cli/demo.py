"""`kinbridge demo`: the whole loop between three processes on this machine."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running.")] = False,  # noqa: FBT002 — a switch
) -> None:
    """Drive a screening, a referral and a report from a clinic to an agency and back."""
    import importlib.util

    from app.sandbox.demo import run
    from app.sandbox.watch import StepMissing

    if importlib.util.find_spec("fhirclient") is None:
        typer.echo("kinbridge: the demo needs fhirclient: pip install 'kinbridge[demo]'", err=True)
        raise typer.Exit(1)
    folder = Path(tempfile.mkdtemp(prefix="kinbridge-demo-"))
    try:
        run(folder, keep=keep, say=typer.echo)
        if not keep:
            shutil.rmtree(folder)
    except (StepMissing, RuntimeError) as missing:
        typer.echo(f"kinbridge: {missing}\nlogs: {folder}", err=True)
        raise typer.Exit(1) from None
