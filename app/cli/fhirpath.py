"""kinbridge fhirpath: an expression on a resource, for engineers."""

from __future__ import annotations

import errno
import os
import sys
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app import fhir
from app import fhirpath as engine
from app.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Failure = (engine.ExpressionError, engine.EvaluationError, Refusal, OSError)


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"


def fhirpath(
    expression: Annotated[
        str | None, typer.Argument(help="A FHIRPath expression, as in Patient.name.given")
    ] = None,
    file: Annotated[Path | None, typer.Argument(help="A resource as JSON")] = None,
    *,
    format: Annotated[Format, typer.Option(help="How the result is written")] = Format.TEXT,  # noqa: A002 — the option's name
    batch: Annotated[
        bool, typer.Option("--batch", help="Read lines of id, expression, file from stdin")
    ] = False,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Let names pass that the resource's type has not")
    ] = False,
) -> None:
    """
    Evaluate a FHIRPath expression; exit 0 evaluated, 2 could not.

    JSON: a list of {"type", "value", "location"}. Batch: for each line
    {"id", "expression", "file"} a line {"id", "result"} or {"id", "error"}.
    """
    if batch:
        for line in answers(sys.stdin.buffer, lenient=lenient):
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()
        return
    if expression is None:
        raise typer.BadParameter("Give an expression, or --batch.")
    try:
        values = evaluated(expression, file, lenient=lenient)
    except Failure as error:
        typer.echo(_said(error), err=True)
        raise typer.Exit(2) from None
    if format is Format.JSON:
        sys.stdout.buffer.write(fhir.encode([_shown(value) for value in values]) + b"\n")
        return
    for value in values:
        shown = value.value if isinstance(value.value, str) else fhir.encode(value.value).decode()
        typer.echo("  ".join(part for part in (value.location, value.type, shown) if part))


def answers(lines: Iterable[bytes], *, lenient: bool) -> Iterator[bytes]:
    """A line of JSON for each line of JSON; a line that fails fails alone."""
    for line in lines:
        if not line.strip():
            continue
        answer: dict[str, Any] = {"id": None}
        try:
            asked = fhir.decode(line)
            answer["id"] = asked.get("id") if isinstance(asked, dict) else None
            if not _question(asked):
                answer["error"] = "A line is an object with id, expression and file."
            else:
                file = Path(asked["file"]) if asked.get("file") else None
                values = evaluated(asked["expression"], file, lenient=lenient)
                answer["result"] = [_shown(value) for value in values]
        except Failure as error:
            answer["error"] = _said(error)
        yield fhir.encode(answer)


def evaluated(expression: str, file: Path | None, *, lenient: bool) -> list[engine.Value]:
    compiled = engine.compile(expression)
    resource = None if file is None else _read(file)
    if not lenient and isinstance(resource, dict):
        name = resource.get("resourceType")
        if name in compiled.model.types:
            compiled.check(str(name))
    environment = engine.Environment(now=datetime.now(UTC))
    return compiled.evaluate(resource, environment=environment)


@lru_cache(maxsize=16)
def _read(file: Path) -> Any:
    try:
        return fhir.decode(file.read_bytes())
    except ValueError:  # a path with a null byte
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL)) from None


def _question(asked: Any) -> bool:
    return (
        isinstance(asked, dict)
        and isinstance(asked.get("expression"), str)
        and isinstance(asked.get("file"), (str, type(None)))
    )


def _shown(value: engine.Value) -> dict[str, Any]:
    return {"type": value.type, "value": value.value, "location": value.location}


def _said(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"The file cannot be read: {error.strerror}."
    return str(error)
