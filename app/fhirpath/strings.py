"""Functions on text; https://hl7.org/fhirpath/N1/#string-manipulation and what came after it."""

from __future__ import annotations

import base64
import binascii
import html
import json
import time
from typing import TYPE_CHECKING, Any, TypeVar

from app.fhirpath import patterns
from app.fhirpath.context import STEPS_A_SECOND
from app.fhirpath.refusals import EvaluationError
from app.fhirpath.registry import function
from app.fhirpath.values import MAX_TEXT, bounded, text, whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.fhirpath.context import Context

_T = TypeVar("_T")


def _two(items: list[Any], other: list[Any], what: str) -> tuple[str, str] | None:
    mine, yours = text(items, what), text(other, what)
    return None if mine is None or yours is None else (mine, yours)


@function("indexOf", 1, 1)
def index_of(_: Context, items: list[Any], part: list[Any]) -> list[Any]:
    found = _two(items, part, "indexOf()")
    return [] if found is None else [found[0].find(found[1])]


@function("lastIndexOf", 1, 1)
def last_index_of(_: Context, items: list[Any], part: list[Any]) -> list[Any]:
    found = _two(items, part, "lastIndexOf()")
    return [] if found is None else [found[0].rfind(found[1])]


@function("substring", 1, 2)
def substring(
    _: Context, items: list[Any], start: list[Any], length: list[Any] | None = None
) -> list[Any]:
    value, begin = text(items, "substring()"), whole(start, "substring()")
    if value is None or begin is None or not 0 <= begin < len(value):
        return []
    count = None if length is None else whole(length, "substring()")
    return [value[begin:] if count is None else value[begin : begin + max(0, count)]]


@function("startsWith", 1, 1)
def starts_with(_: Context, items: list[Any], part: list[Any]) -> list[Any]:
    found = _two(items, part, "startsWith()")
    return [] if found is None else [found[0].startswith(found[1])]


@function("endsWith", 1, 1)
def ends_with(_: Context, items: list[Any], part: list[Any]) -> list[Any]:
    found = _two(items, part, "endsWith()")
    return [] if found is None else [found[0].endswith(found[1])]


@function("contains", 1, 1)
def contains(_: Context, items: list[Any], part: list[Any]) -> list[Any]:
    found = _two(items, part, "contains()")
    return [] if found is None else [found[1] in found[0]]


@function("upper")
def upper(_: Context, items: list[Any]) -> list[Any]:
    value = text(items, "upper()")
    return [] if value is None else [value.upper()]


@function("lower")
def lower(_: Context, items: list[Any]) -> list[Any]:
    value = text(items, "lower()")
    return [] if value is None else [value.lower()]


@function("length")
def length(_: Context, items: list[Any]) -> list[Any]:
    value = text(items, "length()")
    return [] if value is None else [len(value)]


@function("trim")
def trim(_: Context, items: list[Any]) -> list[Any]:
    value = text(items, "trim()")
    return [] if value is None else [value.strip()]


@function("replace", 2, 2)
def replace(
    context: Context, items: list[Any], pattern: list[Any], substitution: list[Any]
) -> list[Any]:
    found = _two(items, pattern, "replace()")
    new = text(substitution, "replace()")
    if found is None or new is None:
        return []
    value, old = found
    context.spend(1 + len(value) // 1000)
    if len(value) + (value.count(old) if old else len(value) + 1) * len(new) > MAX_TEXT:
        raise EvaluationError("A text grows beyond what an evaluation may hold.")
    return [value.replace(old, new)]


@function("matches", 1, 2)
def matches(
    context: Context, items: list[Any], pattern: list[Any], flags: list[Any] | None = None
) -> list[Any]:
    found = _two(items, pattern, "matches()")
    return (
        []
        if found is None
        else [_timed(context, patterns.found, _flagged(found[1], flags), found[0])]
    )


@function("matchesFull", 1, 2)
def matches_full(
    context: Context, items: list[Any], pattern: list[Any], flags: list[Any] | None = None
) -> list[Any]:
    found = _two(items, pattern, "matchesFull()")
    return (
        []
        if found is None
        else [_timed(context, patterns.matched, _flagged(found[1], flags), found[0])]
    )


@function("replaceMatches", 2, 3)
def replace_matches(
    context: Context,
    items: list[Any],
    pattern: list[Any],
    substitution: list[Any],
    flags: list[Any] | None = None,
) -> list[Any]:
    found = _two(items, pattern, "replaceMatches()")
    new = text(substitution, "replaceMatches()")
    if found is None or new is None:
        return []
    value, old = found
    if not old:
        return [value]
    context.spend(1 + len(value) // 1000)
    if (len(value) + 1) * (len(new) + 1) > 16 * MAX_TEXT:
        raise EvaluationError("A text grows beyond what an evaluation may hold.")
    return bounded(_timed(context, patterns.replaced, _flagged(old, flags), value, new))


def _timed(context: Context, call: Callable[..., _T], *arguments: str) -> _T:
    """
    What a pattern gives, for as many steps as its time is worth.

    One may take a quarter of a second, and an expression may have hundreds.
    """
    begun = time.thread_time()
    try:
        return call(*arguments)
    finally:
        context.spend(int((time.thread_time() - begun) * STEPS_A_SECOND))


def _flagged(pattern: str, flags: list[Any] | None) -> str:
    chosen = text(flags or [], "The flags of a pattern") or ""
    if set(chosen) - {"i", "m"}:
        raise EvaluationError("The flags of a pattern are i and m.")
    return f"(?{chosen}){pattern}" if chosen else pattern


@function("split", 1, 1)
def split(context: Context, items: list[Any], separator: list[Any]) -> list[Any]:
    found = _two(items, separator, "split()")
    if found is None:
        return []
    parts = found[0].split(found[1]) if found[1] else list(found[0])
    context.spend(len(parts))
    return list(parts)


@function("encode", 1, 1)
def encode(_: Context, items: list[Any], format_: list[Any]) -> list[Any]:
    found = _two(items, format_, "encode()")
    if found is None:
        return []
    raw = found[0].encode()
    match found[1]:
        case "hex":
            return bounded(raw.hex())
        case "base64":
            return bounded(base64.b64encode(raw).decode())
        case "urlbase64":
            return bounded(base64.urlsafe_b64encode(raw).decode())
        case _:
            return []


@function("decode", 1, 1)
def decode(_: Context, items: list[Any], format_: list[Any]) -> list[Any]:
    found = _two(items, format_, "decode()")
    if found is None:
        return []
    try:
        match found[1]:
            case "hex":
                return [bytes.fromhex(found[0]).decode()]
            case "base64":
                return [base64.b64decode(found[0], validate=True).decode()]
            case "urlbase64":
                return [base64.b64decode(found[0], altchars=b"-_", validate=True).decode()]
            case _:
                return []
    except (ValueError, binascii.Error):
        raise EvaluationError("decode() takes text in the encoding that it names.") from None


@function("escape", 1, 1)
def escape(_: Context, items: list[Any], target: list[Any]) -> list[Any]:
    found = _two(items, target, "escape()")
    if found is None:
        return []
    match found[1]:
        case "html":
            return bounded(html.escape(found[0]))
        case "json":
            return bounded(json.dumps(found[0], ensure_ascii=False)[1:-1])
        case _:
            return []


@function("unescape", 1, 1)
def unescape(_: Context, items: list[Any], target: list[Any]) -> list[Any]:
    found = _two(items, target, "unescape()")
    if found is None:
        return []
    match found[1]:
        case "html":
            return [html.unescape(found[0])]
        case "json":
            return [_from_json(found[0])]
        case _:
            return []


def _from_json(value: str) -> str:
    # A quote that is not escaped is taken as it is.
    quoted = value if "\\" in value else value.replace('"', '\\"')
    try:
        found = str(json.loads(f'"{quoted}"', strict=False))
        found.encode()  # half of a character is none
    except ValueError:
        raise EvaluationError("unescape() takes text that was escaped for JSON.") from None
    return found
