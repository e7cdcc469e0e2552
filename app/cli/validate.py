"""kinbridge validate: resources held against their definitions, offline."""

from __future__ import annotations

import os
import sys
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from app import conformance
from app.cli import checked, known, reports
from app.cli.checked import Checked
from app.cli.reports import Format
from app.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from app.cli.known import Key
    from app.conformance import Definitions

ENDINGS: Final = (".json", ".ndjson", ".jsonl", ".xml")
LINES: Final = (".ndjson", ".jsonl")
BATCH: Final = 2**18  # bytes to one process at a time: some 150 resources
MANY: Final = 2**21  # bytes from which more than one process is worth its start
MAX_FILE: Final = 2**28


class Severity(StrEnum):
    WARNING = "warning"
    ERROR = "error"


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
    """
    What was asked for beside FHIR R4: canonicals of profiles, and what to load.

    added       the folder that `kinbridge profiles add` fills
    placed      whether anybody reads lines and columns
    """

    profiles: tuple[str, ...]
    packages: tuple[Path, ...]
    added: Path
    claims: bool
    must_support: bool
    placed: bool

    def definitions(self) -> Definitions:
        found = conformance.load(self.added)
        for one in self.packages:
            if one.suffix == ".xml":
                found.add(checked.as_json(found, one.read_bytes()))
            else:
                found.add(one)
        return found


@dataclass(frozen=True, slots=True)
class Answer:
    checked: list[Checked]
    size: int


def validate(  # noqa: PLR0913 — the options of the command
    paths: Annotated[
        list[Path], typer.Argument(help="Resources as JSON, NDJSON or XML, or folders of them")
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
    must_support: Annotated[
        bool,
        typer.Option("--must-support", help="Say what the profiles must support and is absent"),
    ] = False,
    format: Annotated[Format, typer.Option(help="How issues are written")] = Format.TEXT,  # noqa: A002 — the option's name
    fail_on: Annotated[
        Severity, typer.Option(help="From which severity an issue makes exit 1")
    ] = Severity.ERROR,
    known_issues: Annotated[
        Path | None, typer.Option("--known", help="Baseline of accepted issues", exists=True)
    ] = None,
    write_known: Annotated[
        Path | None, typer.Option(help="Write what is found as a baseline; exit 0")
    ] = None,
) -> None:
    """
    Check resources against FHIR R4 and profiles; exit 0 valid, 1 invalid, 2 could not check.

    What a resource claims in meta.profile is checked too, where it is loaded; not with --base.

    JSON: for each resource a line {"file", "resource", "profiles", "outcome"}.
    """
    asked = Asked(
        tuple(profile or ()),
        tuple(package or ()),
        Path(os.environ.get("KINBRIDGE_PACKAGES", "kinbridge-packages")),
        claims=not base,
        must_support=must_support,
        placed=format is not Format.JSON,
    )
    accepted = _accepted(known_issues)
    _refuse_unknown(asked)
    files, unread = _files(paths)
    for path in unread:
        typer.echo(f"{path}: there is nothing to check here.", err=True)
    size = sum(path.stat().st_size for path in files)
    now = datetime.now(UTC)
    report = reports.report(format, sys.stdout.buffer, fail_on, now)
    count = failed = 0
    seen: set[Key] = set()
    with _progress(size) as advance:
        for answer in _answers(_batches(files, unread), size, asked, now):
            for each in answer.checked:
                one = _with_known(each, accepted, seen)
                report.add(one)
                count += 1
                failed += one.fails(fail_on)
            advance(answer.size)
    report.end()
    sys.stdout.buffer.flush()
    gone = len(accepted - seen)
    if gone:
        typer.echo(f"{gone} known issues did not occur; write the baseline anew.", err=True)
    if unread or not count:
        raise typer.Exit(2)
    if write_known is not None:
        known.write(write_known, seen)
        raise typer.Exit(0)
    raise typer.Exit(1 if failed else 0)


def _accepted(path: Path | None) -> set[Key]:
    try:
        return known.read(path) if path is not None else set()
    except Refusal as refusal:
        typer.echo(refusal.issues[0].text, err=True)
        raise typer.Exit(2) from None


def _with_known(one: Checked, accepted: set[Key], seen: set[Key]) -> Checked:
    """The resource with what is accepted of it marked; what would fail is noted as seen."""
    found = []
    for each in one.found:
        key = known.key(one, each.issue)
        if each.issue.severity != "information":
            seen.add(key)
        found.append(replace(each, known=True) if key in accepted else each)
    return replace(one, found=found)


def _refuse_unknown(asked: Asked) -> None:
    """Ends where a profile or a package that was asked for cannot be read."""
    if not asked.profiles and not asked.packages and not asked.added.is_dir():
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


def _answers(batches: Iterator[Batch], size: int, asked: Asked, now: datetime) -> Iterator[Answer]:
    processes = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
    if size < MANY or processes < 2:
        definitions = asked.definitions()
        for batch in batches:
            yield _check(definitions, batch, now, asked)
        return
    with ProcessPoolExecutor(processes, initializer=_begin, initargs=(asked,)) as pool:
        waiting: deque[Future[Answer]] = deque()
        for batch in batches:
            waiting.append(pool.submit(_check_there, batch, now))
            if len(waiting) > 4 * processes:  # no more is read than is worked on
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


_loaded: list[
    tuple[Definitions, Asked]
] = []  # of a worker process, which has nobody to hand it anything


def _begin(asked: Asked) -> None:
    _loaded.append((asked.definitions(), asked))


def _check_there(batch: Batch, now: datetime) -> Answer:
    definitions, asked = _loaded[0]
    return _check(definitions, batch, now, asked)


def _check(definitions: Definitions, batch: Batch, now: datetime, asked: Asked) -> Answer:
    found = [
        checked.check(
            definitions,
            raw,
            file=batch.file,
            line=line,
            now=now,
            profiles=asked.profiles,
            claims=asked.claims,
            must_support=asked.must_support,
            placed=asked.placed,
        )
        for line, raw in _resources(batch)
    ]
    return Answer(found, len(batch.raw))


def _resources(batch: Batch) -> Iterator[tuple[int, bytes]]:
    if not batch.many:
        yield batch.line, batch.raw
        return
    for number, raw in enumerate(batch.raw.splitlines(), batch.line):
        if raw.strip():
            yield number, raw


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
