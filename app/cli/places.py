"""Where in a JSON text an issue's path stands, for the eye of an engineer."""

from __future__ import annotations

import re
from typing import Final

_STEP: Final = re.compile(r"\.?(?:ofType\((?P<type>[^)]*)\)|(?P<name>[^.\[\]()]+)|\[(?P<at>\d+)\])")
_SPACE: Final = re.compile(rb"[ \t\r\n]*")
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"')
_SCALAR: Final = re.compile(rb"[^,\]}\s]+")
_BRACKET: Final = re.compile(rb'["\[\]{}]')


def place(raw: bytes, path: str) -> tuple[int, int]:
    """
    Line and column, from 1, of what a path of an issue points to.

    Where it points to nothing (what is missing) it is the element that it would stand in.
    """
    offset = _find(raw, path)
    before = raw[:offset]
    column = len(before[before.rfind(b"\n") + 1 :].decode(errors="replace")) + 1
    return before.count(b"\n") + 1, column


def _find(raw: bytes, path: str) -> int:
    at = _skip(raw, 0)
    best = at
    steps = list(_STEP.finditer(path))[1:]
    for index, step in enumerate(steps):
        name = step["name"]
        if step["at"] is not None:
            found = _item(raw, at, int(step["at"]))
        elif name:
            choice = steps[index + 1]["type"] if index + 1 < len(steps) else None
            kind = f"{name}{choice[:1].upper()}{choice[1:]}" if choice else name
            found = _member(raw, at, (kind, f"_{kind}"))
        else:
            continue
        if found is None:
            return best
        key, at = found
        best = key
    return best


def _skip(raw: bytes, at: int) -> int:
    match = _SPACE.match(raw, at)
    return match.end() if match else at


def _member(raw: bytes, at: int, names: tuple[str, ...]) -> tuple[int, int] | None:
    """Offsets of the key and of the value of the first member of an object with a name."""
    if raw[at : at + 1] != b"{":
        return None
    wanted = {f'"{name}"'.encode() for name in names}
    at = _skip(raw, at + 1)
    while raw[at : at + 1] == b'"':
        key = at
        match = _STRING.match(raw, at)
        if match is None:
            return None
        at = _skip(raw, _skip(raw, match.end()) + 1)
        if match[0] in wanted:
            return key, at
        at = _skip(raw, _end(raw, at))
        if raw[at : at + 1] != b",":
            return None
        at = _skip(raw, at + 1)
    return None


def _item(raw: bytes, at: int, index: int) -> tuple[int, int] | None:
    if raw[at : at + 1] != b"[":
        return None
    at = _skip(raw, at + 1)
    for _ in range(index):
        at = _skip(raw, _end(raw, at))
        if raw[at : at + 1] != b",":
            return None
        at = _skip(raw, at + 1)
    return at, at


def _end(raw: bytes, at: int) -> int:
    """The offset behind a value."""
    first = raw[at : at + 1]
    if first == b'"':
        match = _STRING.match(raw, at)
        return match.end() if match else len(raw)
    if first not in (b"{", b"["):
        match = _SCALAR.match(raw, at)
        return match.end() if match else at + 1
    depth = 0
    while True:
        match = _BRACKET.search(raw, at)
        if match is None:
            return len(raw)
        at = match.end()
        if match[0] == b'"':
            string = _STRING.match(raw, match.start())
            at = string.end() if string else len(raw)
        else:
            depth += 1 if match[0] in b"{[" else -1
            if depth == 0:
                return at
