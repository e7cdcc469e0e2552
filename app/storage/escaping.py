"""A search's values as they are written: prefixes, bars, and what is escaped."""

from __future__ import annotations

from typing import Final

PREFIXES: Final = frozenset({"eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"})


def prefixed(value: str) -> tuple[str, str]:
    """The prefix, eq where none is written, and what follows it."""
    return (value[:2], value[2:]) if value[:2] in PREFIXES else ("eq", value)


def parted(value: str) -> tuple[str, str, str]:
    """What stands before the first bar and after it; a bar that is escaped is no bar."""
    at = 0
    while at < len(value):
        if value[at] == "\\":
            at += 2
            continue
        if value[at] == "|":
            return unescaped(value[:at]), "|", unescaped(value[at + 1 :])
        at += 1
    return unescaped(value), "", ""


def unescaped(value: str) -> str:
    """https://hl7.org/fhir/R4/search.html#escaping."""
    if "\\" not in value:
        return value
    made, at = [], 0
    while at < len(value):
        if value[at] == "\\" and value[at + 1 : at + 2] in {",", "|", "$", "\\"}:
            at += 1
        made.append(value[at])
        at += 1
    return "".join(made)


def split(value: str, mark: str) -> list[str]:
    """The parts between marks that are not escaped; escapes are kept."""
    parts, start, at = [], 0, 0
    while at < len(value):
        if value[at] == "\\":
            at += 2
            continue
        if value[at] == mark:
            parts.append(value[start:at])
            start = at + 1
        at += 1
    parts.append(value[start:])
    return parts
