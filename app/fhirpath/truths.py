"""The closures that an invariant on plain JSON is made of: each says true, false or None."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

from app.fhirpath import narrative, paths
from app.fhirpath.paths import ONLY, Frame, Path, Truth

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.fhirpath.model import Type


class NotDirectError(Exception):
    """A part that does not run on plain JSON."""


def negated(part: Truth) -> Truth:
    def run(value: Any, frame: Frame) -> bool | None:
        found = part(value, frame)
        return None if found is None else not found

    return run


def unless_empty(reached: Path, otherwise: Truth) -> Truth:
    exists = reached.exists

    def run(value: Any, frame: Frame) -> bool | None:
        return exists(value, frame) and otherwise(value, frame)

    return run


def _and(left: Truth, right: Truth) -> Truth:
    def run(value: Any, frame: Frame) -> bool | None:
        mine = left(value, frame)
        if mine is False:
            return False
        yours = right(value, frame)
        if yours is False:
            return False
        return None if mine is None or yours is None else True

    return run


def _or(left: Truth, right: Truth) -> Truth:
    def run(value: Any, frame: Frame) -> bool | None:
        mine = left(value, frame)
        if mine:
            return True
        yours = right(value, frame)
        if yours:
            return True
        return None if mine is None or yours is None else False

    return run


def _implies(left: Truth, right: Truth) -> Truth:
    def run(value: Any, frame: Frame) -> bool | None:
        mine = left(value, frame)
        if mine is False:
            return True
        yours = right(value, frame)
        if yours:
            return True
        return None if mine is None or yours is None else False

    return run


def _xor(left: Truth, right: Truth) -> Truth:
    def run(value: Any, frame: Frame) -> bool | None:
        mine, yours = left(value, frame), right(value, frame)
        return None if mine is None or yours is None else mine is not yours

    return run


LOGIC: Final = {"xor": _xor, "and": _and, "or": _or, "implies": _implies}


def every(path: Path, criterion: Truth) -> Truth:
    values = path.values

    def run(value: Any, frame: Frame) -> bool | None:
        return all(criterion(one, frame) is True for one in values(value, frame))

    return run


def distinct(path: Path) -> Truth:
    """Whether no text stands twice; other types have more than one way to be equal."""
    if path.type.system != "String":
        raise NotDirectError
    values = path.values

    def run(value: Any, frame: Frame) -> bool | None:
        found = values(value, frame)
        return len(set(found)) == len(found)

    return run


def has_value(path: Path, kind: Type) -> Truth:
    if not path.type.primitive:
        return lambda *_: False
    if path.type is kind and path.lone is not None and kind.primitive:
        return lambda value, _: value is not None
    if path.lone is None:
        values = path.values

        def of_many(value: Any, frame: Frame) -> bool | None:
            found = values(value, frame)
            return len(found) == 1 and found[0] is not ONLY

        return of_many
    lone = path.lone

    def run(value: Any, _: Frame) -> bool | None:
        found = lone(value)
        return found is not None and found is not ONLY

    return run


def html_checks(path: Path) -> Truth:
    lone = path.lone
    if lone is None or not path.type.primitive:
        raise NotDirectError

    def run(value: Any, _: Frame) -> bool | None:
        found = lone(value)
        return (
            None if found is None else found.__class__ is str and narrative.problem(found) is None
        )

    return run


def text_test(test: Callable[[str, str], bool], lone: Callable[[Any], Any], wanted: str) -> Truth:
    def run(value: Any, _: Frame) -> bool | None:
        found = lone(value)
        return test(found, wanted) if found.__class__ is str else None

    return run


def lone_is(lone: Callable[[Any], Any], literal: Any, *, wanted: bool) -> Truth:
    def run(value: Any, _: Frame) -> bool | None:
        found = lone(value)
        return None if found is None else (found == literal) is wanted

    return run


def only_is(values: paths.Values, literal: Any, *, wanted: bool) -> Truth:
    def run(value: Any, frame: Frame) -> bool | None:
        found = values(value, frame)
        if not found:
            return None
        return (len(found) == 1 and found[0] == literal) is wanted

    return run


def length(compare: Callable[[Any, Any], Any], lone: Callable[[Any], Any], number: int) -> Truth:
    def run(value: Any, _: Frame) -> bool | None:
        found = lone(value)
        return bool(compare(len(found), number)) if found.__class__ is str else None

    return run


def moments(
    compare: Callable[[Any, Any], Any],
    left: Callable[[Any], Any],
    right: Callable[[Any], Any],
    otherwise: Truth,
) -> Truth:
    """Two dates or two whole moments with a zone by themselves; the partial as the language does."""

    def run(value: Any, frame: Frame) -> bool | None:
        mine, yours = left(value), right(value)
        if mine is None or yours is None:
            return None
        if mine.__class__ is str and yours.__class__ is str:
            try:
                if len(mine) == len(yours) == 10:
                    return bool(compare(date.fromisoformat(mine), date.fromisoformat(yours)))
                if 20 <= len(mine) <= 32 and 20 <= len(yours) <= 32:
                    one, other = datetime.fromisoformat(mine), datetime.fromisoformat(yours)
                    if one.tzinfo is not None and other.tzinfo is not None:
                        return bool(compare(one, other))
            except ValueError:
                pass
        return otherwise(value, frame)

    return run


def child_count(kind: Type) -> Callable[[Any, Frame], int]:
    keys = kind.keys

    def count(value: Any, _: Frame) -> int:
        total = 0
        for key, found in value.items():
            if key in keys:
                if found.__class__ is not list:
                    total += found is not None or f"_{key}" in value
                elif None not in found and f"_{key}" not in value:
                    total += len(found)
                else:
                    total += len(paths.items_of(value, key))
            elif key[:1] == "_" and key[1:] not in value and key[1:] in keys:
                total += len(paths.items_of(value, key[1:]))
        return total

    return count
