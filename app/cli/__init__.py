"""`kinbridge`: a file for each group of commands; each imports what it needs when it runs."""

from __future__ import annotations

import errno
from typing import Any

import typer
from typer.core import TyperGroup

from app.cli import (
    backup,
    client,
    demo,
    fhirpath,
    migrate,
    outbox,
    partner,
    policy,
    profiles,
    reindex,
    serve,
    validate,
    work,
)
from app.cli import map as mapping
from app.cli.refusal import refuse


class _Commands(TyperGroup):
    """A file that cannot be read or written is said in a line, and is no fault of the program."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.filename is None or error.errno == errno.EPIPE:
                raise
            refuse(f"{error.filename}: {error.strerror}")


app = typer.Typer(
    cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
app.command()(serve.serve)
app.command()(work.work)
app.command()(demo.demo)
app.command()(fhirpath.fhirpath)
app.command()(validate.validate)
app.command()(migrate.migrate)
app.command()(reindex.reindex)
app.command()(backup.backup)
app.command()(backup.restore)
app.command()(backup.purges)
app.add_typer(client.app, name="client")
app.add_typer(outbox.app, name="outbox")
app.add_typer(partner.app, name="partner")
app.add_typer(policy.app, name="policy")
app.add_typer(mapping.app, name="map")
app.add_typer(profiles.app, name="profiles")
