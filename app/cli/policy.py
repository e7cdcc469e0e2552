"""`kinbridge policy`: who may send what to whom, in words, and where a reporter overrode a rule."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from app import conformance
from app.cli import opened
from app.cli.options import Config, Database
from app.cli.refusal import refuse

app = typer.Typer(no_args_is_help=True, help="The disclosure rules, and what was disclosed.")


@app.command()
def explain(
    mappings: Annotated[Path | None, typer.Option(help="Folder with disclosure.toml.")] = None,
    config: Config = None,
) -> None:
    """Print every rule: what it permits, what it requires, what goes and what stays behind."""
    from app.domain import mappings as data
    from app.errors import MappingError

    try:
        known = data.load(opened.settings_of(config, mappings=mappings).mappings)
    except MappingError as error:
        refuse(error)
    typer.echo("What no rule permits is denied. Every disclosure is written into the accounting.\n")
    ways = {
        "outward": "from the one who refers to the agency",
        "return": "from the agency back",
        "conversation": "from either to the other",
    }
    for rule in known.rules:
        typer.echo(f"{rule.id}  ({rule.kind}, {ways[rule.direction]}, purpose {rule.purpose})")
        typer.echo(f"  {rule.says}")
        typer.echo(f"  basis: {'; '.join(rule.basis)}")
        for fact in rule.requires:
            typer.echo(f"  requires {fact}. If not: {known.advice[fact]}")
        for name, elements in sorted(rule.shows.items()):
            typer.echo(f"  shows {name}: {', '.join(elements)}")
        for code in (*rule.withholds, *rule.withholds_labels):
            typer.echo(f"  withholds whatever carries {code}")
        for code, stays in rule.ordered.items():
            for name, elements in stays.items():
                typer.echo(f"  withholds {name}: {', '.join(elements)} where the order says {code}")
        if rule.withholds_screenings:
            which = "sensitive " if rule.withholds_screenings == "sensitive" else ""
            typer.echo(
                f"  withholds every {which}answer to a loaded instrument, and what it proposes"
            )
        if rule.classes:
            typer.echo(f"  outcome classes: {', '.join(rule.classes)}")
        typer.echo("")


@app.command()
def overrides(
    database: Database = None,
    config: Config = None,
) -> None:
    """List the reports that were sent in spite of a rule; the reason stands in the request."""
    from app.storage import exchanges
    from app.storage.database import QUEUE

    found, every = opened.write(config, database, exchanges.overridden, shelves=QUEUE)
    for one in found:
        typer.echo(f"{one.opened}\t{one.rule}\t{one.source}\t{one.request}\tto {one.recipient}")
    typer.echo(f"{len(found)} of {every} reports")


@app.command()
def account(  # noqa: PLR0913 — what an account is asked by
    shelf: Annotated[str, typer.Argument(help="TENANT/SHELF that disclosed.")],
    subject: Annotated[
        str, typer.Argument(help="Type/id of the person there, such as Patient/p1.")
    ],
    former: Annotated[  # noqa: FBT002 — a switch
        bool, typer.Option("--former", help="Those alone of others of whom the record told.")
    ] = False,
    at: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%dT%H:%M:%S.%f%z", "%Y-%m-%dT%H:%M:%S%z"],
            help="Of whom the record told then, such as the time of a row.",
        ),
    ] = None,
    database: Database = None,
    config: Config = None,
) -> None:
    """
    Account for what was disclosed about a person: when, to whom, why, by which rule, what.

    Whether it is shown to who asks is a human's decision: a parent may be who is suspected.
    """
    import json
    from functools import partial

    from app import fhir
    from app.errors import NotFound
    from app.flows import account as accounts
    from app.storage.parameters import Parameters
    from app.storage.query import Reader

    settings = opened.settings_of(config, database_url=database)
    if shelf not in settings.shelves:
        refuse(f"there is no shelf {shelf}; there are {', '.join(settings.shelves)}")
    if not fhir.is_relative(subject):
        refuse(f"{subject} is no Type/id, such as Patient/p1")
    reader = Reader(Parameters(conformance.load(settings.packages)), "", datetime.now(UTC))
    told = fhir.instant(at) if at else accounts.ALWAYS
    work = partial(
        accounts.rows, shelf=shelf, subject=subject, reader=reader, former=former, at=told
    )
    try:
        found, others = opened.write(config, database, work, shelves=(shelf,))
    except NotFound as nobody:
        refuse(nobody)
    for one in found:
        basis = "; ".join(json.loads(one["basis"]))
        what = ", ".join(sorted({name.split("/")[0] for name in json.loads(one["disclosed"])}))
        fields = (one["at"], one["recipient_name"], one["purpose"], one["rule"], basis, what)
        typer.echo("\t".join(str(field) for field in fields))
    typer.echo(f"{len(found)} disclosure{'' if len(found) == 1 else 's'}")
    if others and not former:
        typer.echo(f"{others} more of others of whom the record told: --former lists them alone")
