"""`kinbridge map`: what a screening would become, what maps nowhere yet, and who answers for a rule."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import date
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperGroup

from app.cli import opened
from app.cli.options import Config, Database
from app.cli.refusal import refuse

_T = TypeVar("_T")
_Mappings = Annotated[
    Path | None, typer.Option(help="Folder in place of the mappings that come with the service.")
]
_Shelf = Annotated[str | None, typer.Option(help="tenant/shelf; every clinic's chart if left out.")]


class _FileOrCommand(TyperGroup):
    """`kinbridge map FILE` beside the commands of the group."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            return super().resolve_command(ctx, ["file", *args])
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_FileOrCommand,
    no_args_is_help=True,
    help="What a screening becomes: `kinbridge map FILE` shows it and writes nothing.",
)


@app.command(hidden=True)
def file(
    path: Annotated[Path, typer.Argument(help="A QuestionnaireResponse, Observation or Bundle.")],
    shelf: Annotated[str, typer.Option(help="Whose crosswalk is read.")] = "clinic/chart",
    form: Annotated[str, typer.Option("--format", help="text or json")] = "text",
    mappings: _Mappings = None,
    config: Config = None,
) -> None:
    """Show what would be made of a file, what becomes of each field, and the check of each resource."""
    from app import fhir
    from app.errors import MappingError, Refusal, outcome
    from app.flows import preview

    settings = opened.settings_of(config, mappings=mappings)
    if shelf not in settings.shelves:
        refuse(f"there is no shelf {shelf}; there are {', '.join(settings.shelves)}")
    if form not in {"text", "json"}:
        refuse("--format is text or json")
    try:
        sent = fhir.decode(path.read_bytes())
        seen = preview.offline(settings, shelf, sent)
    except OSError as error:
        refuse(f"{path}: {error.strerror}")
    except MappingError as error:
        refuse(str(error))
    except Refusal as refused:
        for issue in refused.issues:
            typer.echo(f"refused     {issue.expression}  {issue.text}", err=True)
        raise typer.Exit(1) from None
    wrong = any(
        one.severity in {"error", "fatal"} for found in seen.findings.values() for one in found
    )
    if form == "json":
        entries = [{"resource": outcome(preview.outcome(seen))}]
        entries += [{"resource": one} for one in seen.resources]
        typer.echo(fhir.pretty(fhir.encode(fhir.bundle("collection", entries))))
    else:
        for line in _lines(seen):
            typer.echo(line)
    raise typer.Exit(1 if wrong else 0)


def _lines(seen: Any) -> list[str]:
    lines = [f"{one.what:<12}{one.at}  {one.why}" for one in seen.fates]
    lines += [f"{one.severity:<12}{one.expression}  {one.text}" for one in seen.issues]
    lines.append("")
    for resource in seen.resources:
        name = f"{resource['resourceType']}/{resource['id']}"
        codings = resource.get("code", {}).get("coding", [{}])
        label = resource.get("code", {}).get("text", "")
        said = _said(resource)
        parts = (f"would make  {name}", codings[0].get("code", ""), label, said)
        lines.append("  ".join(filter(None, parts)))
        found = [one for one in seen.findings[name] if one.severity in {"error", "fatal"}]
        claims = ", ".join(resource.get("meta", {}).get("profile", ())) or "FHIR R4"
        lines += [f"            {one.expression}  {one.text}" for one in found]
        lines += [] if found else [f"            keeps {claims}"]
    return lines


def _said(resource: Any) -> str:
    """What an Observation says, in a few words: the answer's code or value, and the verdict."""
    value = next((one for name, one in resource.items() if name.startswith("value")), None)
    if "dataAbsentReason" in resource:
        value = resource["dataAbsentReason"]
    if isinstance(value, dict):
        coding = (value.get("coding") or [{}])[0]
        value = coding.get("code") or value.get("text") or value.get("value")
    found = [] if value is None else [f"= {value}"]
    if "interpretation" in resource:
        found.append(str(resource["interpretation"][0]["coding"][0]["code"]))
    if "verificationStatus" in resource:
        found.append(str(resource["verificationStatus"]["coding"][0]["code"]))
    return ", ".join(found)


@app.command()
def unmapped(shelf: _Shelf = None, database: Database = None, config: Config = None) -> None:
    """List codes and texts that map nowhere yet, most often sent first."""
    from collections import Counter

    from app.flows import worklist

    async def work(service: Any) -> None:
        for one in _charts(service.settings, shelf):
            rows = [row async for row in worklist.unmapped(service, one)]
            if not rows:
                typer.echo(f"{one.key}: nothing waits", err=True)
            counts = Counter(
                (row.kind, row.question, row.system, row.code, row.text) for row in rows
            )
            for (kind, question, system, code, text), count in counts.most_common():
                typer.echo("\t".join((one.key, str(count), kind, question, system, code, text)))

    _with_service(config, database, work)


@app.command("work-off")
def work_off(shelf: _Shelf = None, database: Database = None, config: Config = None) -> None:
    """Read what waits anew: what has been mapped since completes, and nothing is made twice."""
    from app.domain.change import Caller
    from app.flows import worklist

    async def work(service: Any) -> None:
        for one in _charts(service.settings, shelf):
            read, done = await worklist.work_off(service, one, Caller("kinbridge map work-off"))
            typer.echo(f"{one.key}: {read} read anew, {done} of them wait no more")

    _with_service(config, database, work)


@app.command("copy")
def copy(folder: Annotated[Path, typer.Argument(help="A folder that is not there yet.")]) -> None:
    """Copy the mappings that come with the service, to change them."""
    from app.domain import mappings as data
    from app.errors import MappingError

    try:
        data.copied(folder)
    except MappingError as error:
        refuse(str(error))
    typer.echo(f"{folder}: export KINBRIDGE_MAPPINGS={folder}, or mappings = in the settings")


@app.command("load")
def load_crosswalk(
    path: Annotated[Path, typer.Argument(help="A crosswalk, as in mappings/crosswalks/.")],
    database: Database = None,
    config: Config = None,
) -> None:
    """Bring a tenant's crosswalk into the database, then work off what waited for it."""
    from functools import partial

    from app.domain import mappings
    from app.domain.change import Caller
    from app.errors import MappingError
    from app.flows import worklist as flow
    from app.storage import worklist

    async def work(service: Any) -> None:
        try:
            found = mappings.crosswalk(path, service.mappings.forms.instruments)
        except MappingError as error:
            refuse(str(error))
        shelves = [
            one
            for one in _charts(service.settings, None)
            if (one.tenant, one.environment) == (found.tenant, found.environment)
        ]
        if not shelves:
            refuse(f"{found.tenant} has no chart in {found.environment}")
        rows = found.rows(service.mappings.forms.instruments)
        for one in shelves:
            bring = partial(worklist.load, shelf=one.key, targets=rows)
            await service.database.write(bring, shelves=(one.key,))
            read, done = await flow.work_off(service, one, Caller("kinbridge map load"))
            typer.echo(f"{one.key}: {len(rows)} rows loaded, {done} of {read} that waited are done")

    _with_service(config, database, work)


@app.command("sign-off")
def sign_off(  # noqa: PLR0913 — who signs what off, when, and where
    instrument: str,
    question: str,
    answer: str,
    by: Annotated[str, typer.Option(help="Name of the person who answers for the rule.")],
    on: Annotated[str, typer.Option(help="YYYY-MM-DD; today if left out.")] = "",
    mappings: _Mappings = None,
    config: Config = None,
) -> None:
    """Switch on an analyst's rule, with a name and a date; it holds from the next start."""
    from app.domain import mappings as data
    from app.errors import MappingError

    folder = opened.settings_of(config, mappings=mappings).mappings
    try:
        day = date.fromisoformat(on) if on else date.today()  # noqa: DTZ011 — the signer's own day
        data.sign_off(folder, (instrument, question, answer), by=by, on=day)
    except ValueError:
        refuse("--on is a day such as 2026-11-25")
    except MappingError as error:
        refuse(str(error))
    typer.echo(
        f"{instrument} {question} {answer}: signed off by {by} on {day}; restart the service"
    )


@app.command("import-questionnaire")
def import_questionnaire(
    path: Annotated[Path, typer.Argument(help="A Questionnaire in JSON.")],
    instrument: Annotated[str, typer.Option("--id", help="The instrument's id.")] = "",
) -> None:
    """Draft an instrument's TOML from a Questionnaire: codes, answers, extraction marks."""
    from app import fhir
    from app.domain import drafting
    from app.errors import Refusal

    try:
        questionnaire = fhir.decode(path.read_bytes())
        typer.echo(drafting.draft(questionnaire, identity=instrument), nl=False)
    except OSError as error:
        refuse(f"{path}: {error.strerror}")
    except Refusal as refused:
        refuse(f"{path}: {refused}")


def _charts(settings: Any, only: str | None) -> list[Any]:
    """The shelves on which screenings are read."""
    found = [
        one
        for one in settings.shelves.values()
        if (one.kind, one.role) == ("family-support", "source") and only in (None, one.key)
    ]
    if not found:
        refuse("there is no such chart")
    return found


def _with_service(
    config: Path | None, database: str | None, work: Callable[[Any], Coroutine[Any, Any, _T]]
) -> _T:
    """Work with the database and the mappings, beside a running service if there is one."""
    from app.errors import MappingError, Unavailable
    from app.main import open_service
    from app.storage.migration import NeedsMigration

    settings = opened.settings_of(config, database_url=database)
    opened.standing(settings)

    async def run() -> _T:
        service = await open_service(settings.model_copy(update={"host": "127.0.0.1"}))
        try:
            return await work(service)
        finally:
            await service.partners.close()
            await service.database.close()

    try:
        return asyncio.run(run())
    except (MappingError, NeedsMigration, Unavailable) as refused:
        refuse(str(refused))
