"""kinbridge validate: resources held against their definitions, offline."""

from __future__ import annotations

import os
import sys
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from app import conformance, errors, fhir
from app.cli import places
from app.errors import Issue, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from app.conformance import Definitions

ENDINGS: Final = (".json", ".ndjson", ".jsonl")
LINES: Final = (".ndjson", ".jsonl")
BATCH: Final = 2**18  # bytes to one process at a time: some 150 resources
MANY: Final = 2**21  # bytes from which more than one process is worth its start
MAX_FILE: Final = 2**28


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Batch:
    """
    Bytes of one file to be checked together.

    line        of the file where they begin, from 1
    many        whether each line is a resource
    """

    file: str
    line: int
    raw: bytes
    many: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for beside FHIR R4: canonicals of profiles, and what to load."""

    profiles: tuple[str, ...]
    packages: tuple[Path, ...]
    claims: bool

    def definitions(self) -> Definitions:
        found = conformance.load(conformance.folder())
        for one in self.packages:
            found.add(one)
        return found


@dataclass(frozen=True, slots=True)
class Answer:
    text: bytes
    checked: int
    invalid: int
    size: int


def validate(
    paths: Annotated[
        list[Path], typer.Argument(help="Resources as JSON or NDJSON, or folders of them")
    ],
    *,
    profile: Annotated[
        list[str] | None, typer.Option(help="Canonical of a profile to check against, too")
    ] = None,
    package: Annotated[
        list[Path] | None,
        typer.Option(help="A FHIR package (.tgz), a folder or a definition to load", exists=True),
    ] = None,
    base: Annotated[
        bool, typer.Option("--base", help="Leave out the profiles that a resource claims")
    ] = False,
    format: Annotated[Format, typer.Option(help="How issues are written")] = Format.TEXT,  # noqa: A002 — the option's name
) -> None:
    """
    Check resources against FHIR R4 and profiles; exit 0 valid, 1 invalid, 2 could not check.

    What a resource claims in meta.profile is checked too, where it is loaded; not with --base.

    JSON: for each resource a line {"file", "resource", "profiles", "outcome"}.
    """
    asked = Asked(tuple(profile or ()), tuple(package or ()), claims=not base)
    _refuse_unknown(asked)
    files, unread = _files(paths)
    for path in unread:
        typer.echo(f"{path}: there is nothing to check here.", err=True)
    size = sum(path.stat().st_size for path in files)
    checked = invalid = 0
    with _progress(size) as advance:
        for answer in _answers(_batches(files, unread), format, size, asked):
            sys.stdout.buffer.write(answer.text)
            checked += answer.checked
            invalid += answer.invalid
            advance(answer.size)
    if format is Format.TEXT:
        sys.stdout.buffer.write(f"{checked} checked, {invalid} invalid\n".encode())
    sys.stdout.buffer.flush()
    if unread or not checked:
        raise typer.Exit(2)
    raise typer.Exit(1 if invalid else 0)


def _refuse_unknown(asked: Asked) -> None:
    """Ends where a profile or a package that was asked for cannot be read."""
    if not asked.profiles and not asked.packages:
        return
    try:
        definitions = asked.definitions()
        for one in asked.profiles:
            definitions.checker(one)
    except Refusal as refusal:
        typer.echo(refusal.issues[0].text, err=True)
        raise typer.Exit(2) from None


def _files(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """The files to check, and the paths where there are none or that cannot be read."""
    found: list[Path] = []
    unread: list[Path] = []
    for path in paths:
        inside = (
            sorted(one for one in path.rglob("*") if one.suffix in ENDINGS and one.is_file())
            if path.is_dir()
            else [path]
        )
        readable = [one for one in inside if one.is_file() and os.access(one, os.R_OK)]
        found += readable
        unread += [one for one in inside if one not in readable]
        if not inside:
            unread.append(path)
    return found, unread


def _batches(files: list[Path], unread: list[Path]) -> Iterator[Batch]:
    for path in files:
        if path.suffix in LINES:
            yield from _lines(path)
        elif path.stat().st_size > MAX_FILE:
            typer.echo(f"{path}: larger than {MAX_FILE >> 20} MiB; send NDJSON.", err=True)
            unread.append(path)
        else:
            yield Batch(str(path), 1, path.read_bytes(), many=False)


def _lines(path: Path) -> Iterator[Batch]:
    with path.open("rb") as stream:
        line = 1
        while lines := stream.readlines(BATCH):
            yield Batch(str(path), line, b"".join(lines), many=True)
            line += len(lines)


def _answers(
    batches: Iterator[Batch],
    format: Format,  # noqa: A002 — the option's name
    size: int,
    asked: Asked,
) -> Iterator[Answer]:
    processes = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
    now = datetime.now(UTC)
    if size < MANY or processes < 2:
        definitions = asked.definitions()
        for batch in batches:
            yield _check(definitions, batch, format, now, asked)
        return
    with ProcessPoolExecutor(processes, initializer=_begin, initargs=(asked,)) as pool:
        waiting: deque[Future[Answer]] = deque()
        for batch in batches:
            waiting.append(pool.submit(_check_there, batch, format, now))
            if len(waiting) > 4 * processes:  # no more is read than is worked on
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


_loaded: list[
    tuple[Definitions, Asked]
] = []  # of a worker process, which has nobody to hand it anything


def _begin(asked: Asked) -> None:
    _loaded.append((asked.definitions(), asked))


def _check_there(batch: Batch, format: Format, now: datetime) -> Answer:  # noqa: A002 — the option's name
    definitions, asked = _loaded[0]
    return _check(definitions, batch, format, now, asked)


def _check(
    definitions: Definitions,
    batch: Batch,
    format: Format,  # noqa: A002 — the option's name
    now: datetime,
    asked: Asked,
) -> Answer:
    written: list[bytes] = []
    checked = invalid = 0
    for line, raw in _resources(batch):
        checked += 1
        resource, profiles, issues = _outcome(definitions, raw, now, asked)
        invalid += any(issue.severity in ("error", "fatal") for issue in issues)
        if format is Format.JSON:
            written.append(_as_json(batch.file, resource, profiles, issues))
        elif issues:
            written.append(_as_text(batch.file, line, raw, issues))
    return Answer(b"".join(written), checked, invalid, len(batch.raw))


def _resources(batch: Batch) -> Iterator[tuple[int, bytes]]:
    if not batch.many:
        yield batch.line, batch.raw
        return
    for number, raw in enumerate(batch.raw.splitlines(), batch.line):
        if raw.strip():
            yield number, raw


def _outcome(
    definitions: Definitions, raw: bytes, now: datetime, asked: Asked
) -> tuple[str, list[str], list[Issue]]:
    """The resource's name, the definitions that it was held against, and its issues."""
    try:
        resource = fhir.decode(raw.removeprefix(b"\xef\xbb\xbf"))
    except Refusal as refusal:
        return "", [], [Issue("fatal", one.code, one.text, rule="json") for one in refusal.issues]
    issues = definitions.check(resource, now=now, profiles=asked.profiles, claims=asked.claims)
    name = _name(resource)
    kind = name.partition("/")[0]
    known = definitions.is_resource(kind)
    profiles = [definitions.checker(kind).url, *asked.profiles] if known else []
    return name, profiles, issues


def _name(resource: Any) -> str:
    """Type/id, the type alone where there is no id, "" where it is of no known type."""
    kind = resource.get("resourceType") if isinstance(resource, dict) else None
    if not isinstance(kind, str) or not kind.isalpha():
        return ""
    one = resource.get("id")
    return f"{kind}/{one}" if isinstance(one, str) and one else kind


def _as_json(file: str, resource: str, profiles: list[str], issues: list[Issue]) -> bytes:
    said = tuple(issues) or (Issue("information", "informational", "No issue was found."),)
    line = {
        "file": file,
        "resource": resource,
        "profiles": profiles,
        "outcome": errors.outcome(said),
    }
    return fhir.encode(line) + b"\n"


def _as_text(file: str, line: int, raw: bytes, issues: list[Issue]) -> bytes:
    written: list[str] = []
    for issue in issues:
        below, column = places.place(raw, issue.expression)
        rule = f" [{issue.rule}]" if issue.rule else ""
        written.append(
            f"{file}:{line + below - 1}:{column}: {issue.severity}: {issue.expression}{rule}"
        )
        written.append(f"    {issue.text}")
        if issue.url:
            written.append(f"    {issue.url}")
    return ("\n".join(written) + "\n").encode(errors="replace")


def _progress(size: int) -> AbstractContextManager[Callable[[int], None]]:
    """A bar on a terminal where the work is long, else nothing."""
    if size < MANY or not sys.stderr.isatty():
        return nullcontext(lambda _: None)
    return _bar(size)


@contextmanager
def _bar(size: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("checking", total=size)
        yield lambda amount: progress.advance(task, amount)
