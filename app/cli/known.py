"""A baseline: issues that a team has seen and accepted, so that only new ones fail."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Final

import msgspec

from app import fhir
from app.errors import Malformed, Refusal

if TYPE_CHECKING:
    from app.cli.checked import Checked
    from app.errors import Issue

WHAT: Final = "issues that kinbridge validate --known takes as accepted"
MEMBERS: Final = ("file", "resource", "profile", "rule", "expression")
Key = tuple[str, ...]


def key(one: Checked, issue: Issue) -> Key:
    """What an issue is known by: no text and no line, so that it stays itself when others come."""
    rule = issue.rule or issue.code
    return (PurePath(one.file).name, one.resource, issue.profile, rule, issue.expression)


def read(path: Path) -> set[Key]:
    """
    The issues of a baseline.

    raises      Malformed: not such a file
    """
    try:
        said: Any = fhir.decode(path.read_bytes())
        issues = said["issues"] if said == {"what": WHAT, "issues": said["issues"]} else [None]
        return {tuple(_word(one, name) for name in MEMBERS) for one in issues}
    except (OSError, Refusal, LookupError, TypeError, AttributeError):
        raise Malformed(f"{path}: this is no baseline; write one with --write-known.") from None


def write(path: Path, found: set[Key]) -> None:
    """One issue on a line, sorted, so that a difference can be read."""
    lines = [msgspec.json.encode(dict(zip(MEMBERS, one, strict=True))) for one in sorted(found)]
    issues = b"[\n  " + b",\n  ".join(lines) + b"\n ]" if lines else b"[]"
    path.write_bytes(b'{\n "what": "' + WHAT.encode() + b'",\n "issues": ' + issues + b"\n}\n")


def _word(one: Any, name: str) -> str:
    if one.keys() != set(MEMBERS) or not isinstance(one[name], str):
        raise KeyError(name)
    return str(one[name])
