"""Whether a value is another, or has all that another has, as `fixed` and `pattern` mean it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Like = Callable[[Any], bool]


def exactly(exact: Any) -> Like:
    """The test whether a value is what it is fixed to; numbers by their amount."""
    if isinstance(exact, str):
        return lambda value: bool(value == exact)
    return lambda value: same(value, exact)


def same(value: Any, exact: Any) -> bool:
    if isinstance(exact, dict):
        return (
            isinstance(value, dict)
            and value.keys() == exact.keys()
            and all(same(value[key], exact[key]) for key in exact)
        )
    if isinstance(exact, list):
        return isinstance(value, list) and len(value) == len(exact) and all(map(same, value, exact))
    return _scalar(value, exact)


def containing(part: Any) -> Like:
    """The test whether a value has all that a pattern has, compiled."""
    if isinstance(part, dict):
        return _members([(key, containing(one)) for key, one in part.items()])
    if isinstance(part, list):
        return _items([containing(one) for one in part])
    if isinstance(part, str):
        return lambda value: bool(value == part)
    return lambda value: _scalar(value, part)


def _members(wanted: list[tuple[str, Like]]) -> Like:
    def test(value: Any) -> bool:
        if value.__class__ is not dict:
            return False
        for key, like in wanted:
            found = value.get(key)
            if found is None or not like(found):
                return False
        return True

    return test


def _items(wanted: list[Like]) -> Like:
    def test(values: Any) -> bool:
        if values.__class__ is not list:
            return False
        for like in wanted:
            for value in values:
                if like(value):
                    break
            else:
                return False
        return True

    return test


def _scalar(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, (float, Decimal)) and isinstance(value, (int, float, Decimal)):
        return Decimal(str(value)) == Decimal(str(wanted))
    return (type(value) is type(wanted) and bool(value == wanted)) or (
        isinstance(value, Decimal) and isinstance(wanted, int) and value == wanted
    )
