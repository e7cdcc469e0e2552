"""toBoolean() and its kin; https://hl7.org/fhirpath/N1/#conversion."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from app.fhirpath import quantity, temporal
from app.fhirpath.equality import number
from app.fhirpath.registry import FUNCTIONS, Function
from app.fhirpath.temporal import DATE, DATE_TIME, TIME, Temporal
from app.fhirpath.values import (
    CALENDAR_WORDS,
    Node,
    Quantity,
    calendar_quantity,
    plain,
    single,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.fhirpath.context import Context

_TRUE: Final = frozenset(("true", "t", "yes", "y", "1", "1.0"))
_FALSE: Final = frozenset(("false", "f", "no", "n", "0", "0.0"))
_INTEGER: Final = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_DECIMAL: Final = re.compile(r"[+-]?\d{1,60}(\.\d{1,60})?", re.ASCII)
_QUANTITY: Final = re.compile(
    r"(?P<value>[+-]?\d{1,60}(?:\.\d{1,60})?)\s*(?:'(?P<unit>[^']+)'|(?P<word>[a-zA-Z]+))?",
    re.ASCII,
)


def _boolean(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    if number(value):
        return {0: False, 1: True}.get(value)
    if isinstance(value, str):
        folded = value.lower()
        return True if folded in _TRUE else False if folded in _FALSE else None
    return None


def _integer(value: Any) -> int | None:
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        found = int(value)
        return found if abs(found) < 2**63 else None
    return None


def _decimal(value: Any) -> Decimal | None:
    if isinstance(value, (int, Decimal)):
        return Decimal(value)
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return Decimal(value)
    return None


def _date(value: Any) -> Temporal | None:
    if isinstance(value, str):
        return temporal.parse(value, DATE)
    if isinstance(value, Temporal) and value.kind != TIME:
        return Temporal(DATE, value.parts[:3])
    return None


def _date_time(value: Any) -> Temporal | None:
    if isinstance(value, str):
        return temporal.parse(value, DATE_TIME)
    if isinstance(value, Temporal) and value.kind != TIME:
        return Temporal(DATE_TIME, value.parts, value.offset)
    return None


def _time(value: Any) -> Temporal | None:
    if isinstance(value, str):
        return temporal.parse(value, TIME)
    return value if isinstance(value, Temporal) and value.kind == TIME else None


def _quantity(value: Any) -> Quantity | None:
    if isinstance(value, Quantity):
        return value
    if isinstance(value, (int, Decimal)):
        return Quantity(Decimal(value), "1")
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    amount, word = Decimal(match["value"]), match["word"]
    if word is None:
        return Quantity(amount, match["unit"] or "1")
    return calendar_quantity(amount, word) if word in CALENDAR_WORDS else None


def _string(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, (str, int, Temporal, Quantity)):
        return str(value)
    return None


def _register(name: str, convert: Callable[[Any], Any]) -> None:
    def to(_: Context, items: list[Any]) -> list[Any]:
        value = single(items, f"to{name}()")
        found = None if value is None else convert(value)
        return [] if found is None else [found]

    def converts(_: Context, items: list[Any]) -> list[Any]:
        value = single(items, f"convertsTo{name}()")
        if value is None:
            return []
        return [convert(value) is not None]

    FUNCTIONS[f"to{name}"] = Function(to, 0, 0, lazy=False)
    FUNCTIONS[f"convertsTo{name}"] = Function(converts, 0, 0, lazy=False)


def _in_unit(items: list[Any], unit: list[Any] | None, what: str) -> Quantity | None:
    """The quantity that the items are, in the unit where one is asked for."""
    value = single(items, what)
    found = None if value is None else _quantity(value)
    code = text(unit, what) if unit else None
    return found if found is None or code is None else quantity.converted(found, code)


def _to_quantity(_: Context, items: list[Any], unit: list[Any] | None = None) -> list[Any]:
    found = _in_unit(items, unit, "toQuantity()")
    return [] if found is None else [found]


def _converts_to_quantity(_: Context, items: list[Any], unit: list[Any] | None = None) -> list[Any]:
    if not items or single(items, "convertsToQuantity()") is None:
        return []
    found = _in_unit(items, unit, "convertsToQuantity()")
    return [found is not None]


def _string_of(_: Context, items: list[Any]) -> list[Any]:
    value = single(items, "toString()")
    # A FHIR date keeps the text that was sent.
    if isinstance(value, Temporal) and items[0].__class__ is Node:
        return [items[0].value]
    found = None if value is None else _string(value)
    return [] if found is None else [found]


for _name, _convert in (
    ("Boolean", _boolean),
    ("Integer", _integer),
    ("Decimal", _decimal),
    ("Date", _date),
    ("DateTime", _date_time),
    ("Time", _time),
    ("String", _string),
):
    _register(_name, _convert)
FUNCTIONS["toString"] = Function(_string_of, 0, 0, lazy=False)
FUNCTIONS["toQuantity"] = Function(_to_quantity, 0, 1, lazy=False)
FUNCTIONS["convertsToQuantity"] = Function(_converts_to_quantity, 0, 1, lazy=False)
FUNCTIONS["toLong"] = FUNCTIONS["toInteger"]
FUNCTIONS["convertsToLong"] = FUNCTIONS["convertsToInteger"]
