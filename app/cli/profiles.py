"""kinbridge profiles: guides that are added, taken out, made whole and compared."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from app import conformance, fhir
from app.cli import checked, guide, opened
from app.conformance import changes, library, packages
from app.errors import Malformed, NotFound, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.conformance import Definitions
    from app.conformance.packages import Package
    from app.flows.registry import Fetched
    from app.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Profiles, value sets and other definitions.")
app.command()(guide.package)
app.command()(guide.examples)


_ENDINGS: Final = frozenset({".json", ".tgz", ".xml"})


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"


Config = Annotated[Path | None, typer.Option(help="Settings in TOML", exists=True)]
Folder = Annotated[
    Path | None, typer.Option("--packages", help="Folder of added packages, over the settings")
]
Said = Annotated[Format, typer.Option("--format", help="How it is written")]


@contextmanager
def _refusals() -> Iterator[None]:
    """Ends the command with exit 2, and says why."""
    try:
        yield
    except Refusal as refusal:
        for issue in refusal.issues:
            typer.echo(f"kinbridge: {issue.text}", err=True)
        raise typer.Exit(2) from None


@app.command()
def add(  # noqa: PLR0913 — the options of the command
    sources: Annotated[
        list[str], typer.Argument(help="Packages: files, folders, definitions, or NAME@VERSION")
    ],
    config: Config = None,
    folder: Folder = None,
    registry: Annotated[
        str | None, typer.Option(help="URL of the package registry, over the settings")
    ] = None,
    *,
    sha256: Annotated[
        str, typer.Option(help="What the archive has to have, beside the registry's checksum")
    ] = "",
    dependencies: Annotated[
        bool, typer.Option("--dependencies", help="Fetch what they depend on, too")
    ] = False,
) -> None:
    """Add packages; the service loads them at its next start, and `validate` at once."""
    with _refusals():
        settings = opened.settings_of(config, packages=folder, registry_url=registry)
        where = settings.packages
        for source in sources:
            have = {one.name for one in conformance.load(where).packages} if dependencies else None
            for package, origin in _read(settings, source, sha256=sha256, have=have):
                _put(where, package, origin)


def _put(where: Path, package: Package, origin: str) -> None:
    made = library.add(where, package, origin=origin)
    count = sum(one.resource_type == "StructureDefinition" for one in package.entries)
    typer.echo(f"{made.name} {made.version}: {len(package.entries)} definitions, {count} profiles")
    loaded = {one.name for one in conformance.load(where).packages}
    for name, version in sorted(package.dependencies.items()):
        if name not in loaded:
            typer.echo(f"  needs {name} {version}, which is not loaded", err=True)


@app.command(name="list")
def list_(config: Config = None, folder: Folder = None, said: Said = Format.TEXT) -> None:
    """What is loaded: what comes with the service, and what was added."""
    with _refusals():
        where = opened.settings_of(config, packages=folder).packages
        added = {(one.name, one.version): one for one in library.held(where)}
        rows = []
        for package in conformance.load(where).packages:
            held = added.get((package.name, package.version))
            rows.append({
                "name": package.name or "kinbridge",
                "version": package.version,
                "definitions": len(package.entries),
                "origin": held.origin if held else "comes with kinbridge",
                "sha256": held.sha256 if held else "",
            })  # fmt: skip
    if said is Format.JSON:
        typer.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        typer.echo(
            f"{row['name']} {row['version']}: {row['definitions']} definitions, {row['origin']}"
        )


@app.command()
def remove(
    packages: Annotated[list[str], typer.Argument(help="NAME, or NAME@VERSION")],
    config: Config = None,
    folder: Folder = None,
) -> None:
    """Take packages out that were added."""
    with _refusals():
        where = opened.settings_of(config, packages=folder).packages
        for one in packages:
            gone = library.remove(where, *_named(one))
            typer.echo(f"{gone.name} {gone.version}: removed")


@app.command()
def snapshot(
    profile: Annotated[str, typer.Argument(help="Canonical of a profile, or a file that has it")],
    config: Config = None,
    folder: Folder = None,
    package: Annotated[
        list[Path] | None, typer.Option(help="A package, folder or definition to load", exists=True)
    ] = None,
) -> None:
    """Write a profile with its snapshot, made from its differential; exit 1 where it cannot be so."""
    with _refusals():
        definitions = conformance.load(opened.settings_of(config, packages=folder).packages)
        for one in package or ():
            definitions.add(one)
        definition = _definition(definitions, profile)
        made = definitions.snapshot(definition)
    text = {**definition, "snapshot": {"element": made.rows}}
    sys.stdout.buffer.write(fhir.pretty(fhir.encode(text)) + b"\n")
    sys.stdout.buffer.flush()
    for issue in made.issues:
        typer.echo(f"{issue.severity}: {issue.expression}: {issue.text}", err=True)
    raise typer.Exit(1 if any(one.severity == "error" for one in made.issues) else 0)


@app.command()
def diff(  # noqa: PLR0913 — the options of the command
    old: Annotated[str, typer.Argument(help="A package: a file, a folder, or NAME@VERSION")],
    new: Annotated[str, typer.Argument(help="The same, of another version")],
    profile: Annotated[
        list[str] | None, typer.Option(help="Only these profiles, by canonical or its last part")
    ] = None,
    config: Config = None,
    folder: Folder = None,
    registry: Annotated[str | None, typer.Option(help="URL of the package registry")] = None,
    said: Said = Format.TEXT,
) -> None:
    """What a new version of a guide changes for its profiles, by element."""
    with _refusals():
        settings = opened.settings_of(config, packages=folder, registry_url=registry)
        definitions = conformance.load(settings.packages)
        before, after = (_one(settings, definitions, one) for one in (old, new))
        both, gone, come = (_only(urls, profile) for urls in changes.profiles(before, after))
        if profile and not (both or gone or come):
            raise NotFound("Neither package has such a profile.")
        found = {
            url: changes.of(url, before, after, lambda one: definitions.resource(
                one, "StructureDefinition"))
            for url in both
        }  # fmt: skip
    changed = {url: several for url, several in found.items() if several}
    if said is Format.JSON:
        document = {
            "removed": gone,
            "added": come,
            "changed": {url: [asdict(one) for one in changed[url]] for url in changed},
        }
        typer.echo(json.dumps(document, indent=1, ensure_ascii=False))
        return
    for words, urls in (("profile removed", gone), ("profile added", come)):
        for url in urls:
            typer.echo(f"{words}: {url}")
    for url, several in changed.items():
        typer.echo(url)
        for one in several:
            text = " -> ".join((one.before or "(none)", one.after or "(none)"))
            typer.echo(f"  {one.element}: {one.what}: {text} [{one.effect}]")
    typer.echo(f"{len(changed)} of {len(both)} profiles change")


def _only(urls: list[str], wanted: list[str] | None) -> list[str]:
    if not wanted:
        return urls
    return [one for one in urls if one in wanted or one.rpartition("/")[2] in wanted]


def _definition(definitions: Definitions, profile: str) -> fhir.Resource:
    path = Path(profile)
    found: Any
    if path.is_file():
        found = fhir.decode(checked.as_json(definitions, path.read_bytes()))
    else:
        _refuse_file(path)
        found = definitions.resource(profile, "StructureDefinition")
        if found is None:
            raise NotFound(f"{profile} is not loaded; add its package.")
    if not isinstance(found, dict) or found.get("resourceType") != "StructureDefinition":
        raise Malformed("This is no StructureDefinition.")
    return found


def _refuse_file(path: Path) -> None:
    """Raises NotFound: it has the name of a file, and there is none."""
    if path.suffix in _ENDINGS and "://" not in str(path):
        raise NotFound(f"{path}: there is no such file.")


def _named(source: str) -> tuple[str, str]:
    """NAME@VERSION or, as FHIR's own tools write it, NAME#VERSION."""
    name, _, version = source.replace("#", "@", 1).partition("@")
    return name, version


def _read(
    settings: Settings, source: str, *, sha256: str = "", have: set[str] | None = None
) -> list[tuple[Package, str]]:
    """
    The packages that a source means, each with where it came from.

    have        names of what need not be fetched; None fetches nothing that it depends on
    """
    path = Path(source)
    if path.exists():
        if path.suffix == ".xml":
            raw = checked.as_json(conformance.load(), path.read_bytes())
            return [(packages.read_definition(raw), path.name)]
        if sha256 and path.is_file():
            _same(path, sha256)
        return [(one, path.name) for one in packages.load(path)]
    _refuse_file(path)
    fetched = asyncio.run(_fetch(settings, source, sha256=sha256, have=have))
    return [(one.package, one.origin) for one in fetched]


def _same(path: Path, sha256: str) -> None:
    import hashlib

    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256.lower():
        raise Malformed(f"{path}: its sha256 is another; it was not added.")


async def _fetch(
    settings: Settings, source: str, *, sha256: str, have: set[str] | None
) -> list[Fetched]:
    from app.flows import registry as door
    from app.partners import Partners

    partners = Partners(seconds=120)
    url = settings.registry_url.rstrip("/")
    try:
        first = await door.fetch(partners, url, *_named(source), sha256=sha256)
        if have is None:
            return [first]
        return [first, *await door.fetch_all(partners, url, first, have)]
    finally:
        await partners.close()


def _one(settings: Settings, definitions: Definitions, source: str) -> Package:
    """One package, by a path, of those that are loaded, or from the registry."""
    if not Path(source).exists():
        name, version = _named(source)
        loaded = [
            one for one in definitions.packages if one.name == name and version in ("", one.version)
        ]
        if loaded:
            return loaded[-1]
    found = _read(settings, source)
    if len(found) != 1:
        raise Malformed(f"{source} holds several packages; name one.")
    return found[0][0]
