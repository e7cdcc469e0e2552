"""When two items are equal, equivalent or ordered; https://hl7.org/fhirpath/N1/#equality."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from app.fhirpath import quantity, temporal
from app.fhirpath.refusals import EvaluationError
from app.fhirpath.temporal import Temporal
from app.fhirpath.values import Node, Quantity, system

if TYPE_CHECKING:
    from collections.abc import Hashable

    from app.fhirpath.context import Context

_encode = msgspec.json.Encoder(order="sorted", enc_hook=Decimal).encode  # of a number, its worth


def number(value: Any) -> bool:
    return value.__class__ is int or value.__class__ is Decimal


def equal(left: Any, right: Any) -> bool | None:
    """Whether two items are equal; None where their precision leaves it open."""
    mine, yours = system(left), system(right)
    if mine.__class__ is yours.__class__ and not isinstance(mine, (Temporal, Quantity, Node)):
        if mine is None:
            return bool(left.sibling == right.sibling)
        return bool(mine == yours)
    if number(mine) and number(yours):
        return bool(mine == yours)
    if isinstance(mine, Temporal) and isinstance(yours, Temporal):
        return _same_moment(mine, yours)
    if isinstance(mine, Quantity) or isinstance(yours, Quantity):
        return _same_quantity(mine, yours)
    if isinstance(mine, Node) and isinstance(yours, Node):
        return mine is yours or bool(mine.value == yours.value)
    # A FHIR date is its text too, as HL7's engine has it.
    if isinstance(mine, Temporal) and left.__class__ is Node:
        return bool(left.value == yours)
    if isinstance(yours, Temporal) and right.__class__ is Node:
        return bool(right.value == mine)
    return False


def _same_moment(left: Temporal, right: Temporal) -> bool | None:
    if (left.kind == temporal.TIME) != (right.kind == temporal.TIME):
        return False
    order = temporal.compare(left, right)
    return None if order is None else order == 0


def _same_quantity(left: Any, right: Any) -> bool | None:
    one, other = _as_quantity(left), _as_quantity(right)
    if one is None or other is None:
        return False
    order = quantity.compare(one, other)
    return None if order is None else order == 0


def _as_quantity(value: Any) -> Quantity | None:
    if number(value):
        return Quantity(Decimal(value), "1")
    return value if isinstance(value, Quantity) else None


def collections_equal(left: list[Any], right: list[Any]) -> bool | None:
    if not left or not right:
        return None
    if len(left) != len(right):
        return False
    unknown = False
    for one, other in zip(left, right, strict=True):
        same = equal(one, other)
        if same is False:
            return False
        unknown = unknown or same is None
    return None if unknown else True


def equivalent(left: Any, right: Any) -> bool:
    mine, yours = system(left), system(right)
    if number(mine) and number(yours):
        if mine.__class__ is yours.__class__ is int:
            return bool(mine == yours)
        return quantity.same_to_precision(Decimal(mine), Decimal(yours))
    if isinstance(mine, str) and isinstance(yours, str):
        return _folded(mine) == _folded(yours)
    if isinstance(mine, Temporal) and isinstance(yours, Temporal):
        return bool(_same_moment(mine, yours))
    if isinstance(mine, Quantity) or isinstance(yours, Quantity):
        one, other = _as_quantity(mine), _as_quantity(yours)
        return one is not None and other is not None and quantity.equivalent(one, other)
    if isinstance(mine, Node) and isinstance(yours, Node):
        return _alike(mine.value, yours.value)
    return bool(equal(left, right))


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _alike(left: Any, right: Any) -> bool:
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_alike(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_alike, left, right))
    if isinstance(left, str) and isinstance(right, str):
        return _folded(left) == _folded(right)
    return bool(left == right)


def collections_equivalent(context: Context, left: list[Any], right: list[Any]) -> bool:
    """The same items in any order."""
    if len(left) != len(right):
        return False
    context.spend(len(left) * len(right))
    rest = list(right)
    for one in left:
        for position, other in enumerate(rest):
            if equivalent(one, other):
                del rest[position]
                break
        else:
            return False
    return True


def order(left: Any, right: Any) -> int | None:
    """
    -1, 0 or 1; None where it is open.

    raises      EvaluationError: the two are not of one ordered type
    """
    mine, yours = system(left), system(right)
    if (number(mine) and number(yours)) or (isinstance(mine, str) and isinstance(yours, str)):
        return int(mine > yours) - int(mine < yours)
    if isinstance(mine, Temporal) and isinstance(yours, Temporal):
        if (mine.kind == temporal.TIME) == (yours.kind == temporal.TIME):
            return temporal.compare(mine, yours)
    elif isinstance(mine, Quantity) or isinstance(yours, Quantity):
        one, other = _as_quantity(mine), _as_quantity(yours)
        if one is not None and other is not None:
            return quantity.compare(one, other)
    if mine is None or yours is None:
        return None
    raise EvaluationError("The two sides of a comparison are not of one ordered type.")


def key(item: Any) -> Hashable:
    """The same for equal items, so that a set finds them."""
    value = system(item)
    if value.__class__ is bool:
        return ("Boolean", value)
    if number(value):
        return ("Number", value)
    if value.__class__ is str:
        return str(value)
    if isinstance(value, Temporal):
        return temporal.key(value)
    if isinstance(value, Quantity):
        return quantity.key(value)
    if isinstance(value, Node):
        return ("Node", _digest(value.value))
    return ("None", _digest(item.sibling)) if value is None else ("Type", value)


def _digest(value: Any) -> bytes:
    return hashlib.blake2b(_encode(value), digest_size=20).digest()


def distinct(context: Context, items: list[Any]) -> list[Any]:
    """The items without those that equal an earlier one."""
    context.spend(len(items))
    seen: set[Hashable] = set()
    found = []
    for item in items:
        mark = key(item)
        if mark not in seen:
            seen.add(mark)
            found.append(item)
    return found


def keys(context: Context, items: list[Any]) -> set[Hashable]:
    context.spend(len(items))
    return {key(item) for item in items}
