"""
UCUM units: what a code measures and how much of it; read from fhir_profiles/ucum.json.

The libraries on PyPI stand on pint and cost a quarter of a second to import; comparing,
converting and multiplying needs this page.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any, Final

import msgspec

from app.fhirpath.model import folder

MAX_CODE: Final = 200  # characters of a unit; real ones have some ten
_MAX_EXPONENT: Final = 60
_TOKEN: Final = re.compile(
    r"(?P<note>\{[^{}]*\})|(?P<op>[./])|(?P<open>\()|(?P<close>\))"
    r"|(?P<ten>10[*^])(?P<tenexp>[+-]?\d+)?|(?P<number>\d+)(?![\d*^])"
    r"|(?P<atom>(?:\[[^\[\]]*\]|%|'+|[A-Za-z_]+(?:\[[^\[\]]*\])?)(?:_?[A-Za-z_]*)(?:\[[^\[\]]*\])?%?)"
    r"(?P<exp>[+-]?\d+)?"
)


@dataclass(frozen=True, slots=True)
class Unit:
    """
    factor      how many of the base units one of it is
    dimension   exponent of each base unit, zeros left out
    offset      what is added to a value before the factor, for temperatures
    """

    factor: Fraction
    dimension: frozenset[tuple[str, int]]
    offset: Fraction = Fraction(0)


ONE: Final = Unit(Fraction(1), frozenset())


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = msgspec.json.decode((folder() / "ucum.json").read_bytes())
    return table


def unit(code: str) -> Unit | None:
    """What a code means, or None where it is not a UCUM code that is known here."""
    return _unit(code) if len(code) <= MAX_CODE and code.isascii() else None


@lru_cache(maxsize=1024)
def _unit(code: str) -> Unit | None:
    try:
        found, end = _term(_tokens(code), 0, 0)
    except (ValueError, KeyError, ZeroDivisionError, OverflowError):
        return None
    return found if end == len(_tokens(code)) else None


def is_code(code: str) -> bool:
    """Whether UCUM has a code, also one that is made of units whose size is not kept here."""
    return len(code) <= MAX_CODE and code.isascii() and _is_code(code)


@lru_cache(maxsize=4096)
def _is_code(code: str) -> bool:
    if unit(code) is not None:
        return True
    others = _table()["others"]
    try:
        tokens = _tokens(code)
        known = [_known(token["atom"], others) for token in tokens if token["atom"]]
        swapped = "".join("m" + (t["exp"] or "") if t["atom"] else t[0] for t in tokens)
        return all(known) and unit(swapped) is not None
    except ValueError:
        return False


def _known(atom: str, others: dict[str, bool]) -> bool:
    if atom in others or any(
        others.get(atom[length:]) and atom[:length] in _table()["prefixes"] for length in (1, 2)
    ):
        return True
    try:
        _atom(atom)
    except KeyError:
        return False
    return True


def _tokens(code: str) -> list[re.Match[str]]:
    found, position = [], 0
    while position < len(code):
        match = _TOKEN.match(code, position)
        if match is None:
            raise ValueError
        found.append(match)
        position = match.end()
    return found


def _term(tokens: list[re.Match[str]], position: int, depth: int) -> tuple[Unit, int]:
    if depth > 20:
        raise ValueError
    result, sign, wanted = ONE, 1, True
    while position < len(tokens) and not tokens[position]["close"]:
        token = tokens[position]
        if token["op"]:
            if wanted and not (position == 0 and token["op"] == "/"):
                raise ValueError
            sign, wanted = (-1 if token["op"] == "/" else 1), True
            position += 1
            continue
        if token["note"]:  # an annotation says what is counted and changes nothing
            position, wanted = position + 1, False
            continue
        if not wanted:
            raise ValueError
        if token["open"]:
            part, position = _term(tokens, position + 1, depth + 1)
            if position >= len(tokens):
                raise ValueError
        else:
            part = _component(token)
        result = times(result, power(part, sign))
        position, sign, wanted = position + 1, 1, False
    if wanted:
        raise ValueError
    return result, position


def _component(token: re.Match[str]) -> Unit:
    if token["ten"]:
        return power(Unit(Fraction(10), frozenset()), int(token["tenexp"] or 1))
    if token["number"]:
        return Unit(Fraction(int(token["number"])), frozenset())
    found = _atom(token["atom"])
    return power(found, int(token["exp"])) if token["exp"] else found


def _atom(code: str) -> Unit:
    units, prefixes = _table()["units"], _table()["prefixes"]
    if code in units:
        return _defined(code)
    for length in (2, 1):
        prefix, rest = code[:length], code[length:]
        if prefix in prefixes and units.get(rest, {}).get("metric"):
            base = _defined(rest)
            factor = Fraction(Decimal(prefixes[prefix]))
            return Unit(base.factor * factor, base.dimension, base.offset / factor)
    raise KeyError(code)


@cache
def _defined(code: str) -> Unit:
    entry = _table()["units"][code]
    if "unit" not in entry:
        return Unit(Fraction(1), frozenset({(code, 1)}))
    inner = unit(entry["unit"])
    if inner is None:
        raise KeyError(entry["unit"])
    factor = Fraction(entry["value"])
    return Unit(inner.factor * factor, inner.dimension, Fraction(entry.get("offset", 0)))


def times(one: Unit, other: Unit) -> Unit:
    if one is ONE:
        return other
    if other is ONE:
        return one
    dimension = dict(one.dimension)
    for base, exponent in other.dimension:
        dimension[base] = dimension.get(base, 0) + exponent
    kept = frozenset((base, exponent) for base, exponent in dimension.items() if exponent)
    return Unit(one.factor * other.factor, kept)


def power(one: Unit, exponent: int) -> Unit:
    if exponent == 1:
        return one
    if abs(exponent) > _MAX_EXPONENT:
        raise ValueError
    dimension = frozenset((base, count * exponent) for base, count in one.dimension if exponent)
    return Unit(one.factor**exponent, dimension)


def amount(value: Decimal, of: Unit) -> Fraction:
    """A value in base units."""
    return (Fraction(value) + of.offset) * of.factor


def written(dimension: frozenset[tuple[str, int]]) -> str:
    """The code of base units, as in kg.m.s-2 without the kilo."""
    parts = [base if exponent == 1 else f"{base}{exponent}" for base, exponent in sorted(dimension)]
    return ".".join(parts) or "1"
