"""Paths over plain JSON for those types that are known beforehand: no node is made on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from app.fhirpath.context import Environment
    from app.fhirpath.model import Element, Type


class _Only:
    """Stands for a primitive that has only extensions: an item that equals nothing."""


ONLY: Final = _Only()


class Frame:
    """What one run of an invariant is about; made for each."""

    __slots__ = ("environment", "left", "resource", "root", "sibling", "top")

    def __init__(
        self, top: Any, sibling: Any, resource: Any, root: Any, environment: Environment
    ) -> None:
        self.top = top
        self.sibling = sibling
        self.resource = resource
        self.root = root
        self.environment = environment
        self.left = environment.budget


Values = Callable[[Any, Frame], list[Any]]
Truth = Callable[[Any, Frame], bool | None]
Lone = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Path:
    """
    values      (JSON, frame) -> the JSON of each item, ONLY for one without a value
    exists      (JSON, frame) -> whether there is one
    type        of the items
    lone        (JSON) -> the one item or None, where no step repeats; else None
    """

    values: Values
    exists: Truth
    type: Type
    lone: Lone | None = None


def start(kind: Type) -> Path:
    return Path(lambda value, _: [value], lambda *_: True, kind, lambda value: value)


def nothing(kind: Type) -> Path:
    """What no item of the context is."""
    return Path(lambda *_: [], lambda *_: False, kind, lambda _: None)


def step(before: Path, element: Element, kind: Type, *, first: bool) -> Path:
    """
    The path one element further.

    kind        the one type that the element is taken as
    first       whether there was no step before
    """
    keys = tuple(key for key, name in element.keys.items() if name == kind.name)
    key = keys[0]
    get, has = (_primitive(key), _has_primitive(key)) if kind.primitive else (_get(key), _has(key))
    lone = None
    if not element.many and before.lone is not None:
        lone = _lone(before.lone, key, primitive=kind.primitive, first=first)
    if first:
        return Path(lambda value, _: get(value), has, kind, lone)
    return Path(_chained(before.values, get), _any(before.values, has), kind, lone)


def choice(before: Path, element: Element, *, first: bool) -> Truth:
    """Whether a choice has a value of any type."""
    keys = frozenset(form for key in element.keys for form in (key, f"_{key}"))

    def has(value: Any, _: Frame) -> bool | None:
        return not keys.isdisjoint(value)

    return has if first else _any(before.values, has)


def filtered(before: Path, criterion: Truth) -> Path:
    """Those items that fulfil a criterion."""
    source = before.values

    def values(value: Any, frame: Frame) -> list[Any]:
        return [one for one in source(value, frame) if criterion(one, frame) is True]

    def exists(value: Any, frame: Frame) -> bool | None:
        return any(criterion(one, frame) is True for one in source(value, frame))

    return Path(values, exists, before.type)


def _get(key: str) -> Callable[[Any], list[Any]]:
    def get(value: Any) -> list[Any]:
        found = value.get(key)
        if found is None:
            return []
        if found.__class__ is list:
            return found if None not in found else [one for one in found if one is not None]
        return [found]

    return get


def items_of(value: Any, key: str) -> list[Any]:
    """The items that a key and what stands beside it make together."""
    found, sibling = value.get(key), value.get(f"_{key}")
    values = found if found.__class__ is list else [] if found is None else [found]
    siblings = sibling if sibling.__class__ is list else [] if sibling is None else [sibling]
    items = []
    for index in range(max(len(values), len(siblings))):
        one = values[index] if index < len(values) else None
        if one is None and index < len(siblings) and siblings[index] is not None:
            one = ONLY
        if one is not None:
            items.append(one)
    return items


def _primitive(key: str) -> Callable[[Any], list[Any]]:
    beside = f"_{key}"

    def get(value: Any) -> list[Any]:
        found = value.get(key)
        if found.__class__ is list or beside in value:
            return items_of(value, key)
        return [] if found is None else [found]

    return get


def _has(key: str) -> Truth:
    def has(value: Any, _: Frame) -> bool | None:
        found = value.get(key)
        return found is not None and (found.__class__ is not list or len(found) > 0)

    return has


def _has_primitive(key: str) -> Truth:
    beside = f"_{key}"
    get = _primitive(key)

    def has(value: Any, _: Frame) -> bool | None:
        found = value.get(key)
        if found is None or found.__class__ is list:
            return (found is not None or beside in value) and bool(get(value))
        return True

    return has


def _lone(before: Lone, key: str, *, primitive: bool, first: bool) -> Lone:
    beside = f"_{key}"

    def plain(value: Any) -> Any:
        return value.get(key)

    def lone(value: Any) -> Any:
        value = before(value)
        if value.__class__ is not dict:
            return None
        found = value.get(key)
        return ONLY if found is None and primitive and beside in value else found

    return plain if first and not primitive else lone


def _chained(before: Values, get: Callable[[Any], list[Any]]) -> Values:
    def values(value: Any, frame: Frame) -> list[Any]:
        above = before(value, frame)
        if not above:
            return above
        return [below for one in above if one.__class__ is dict for below in get(one)]

    return values


def _any(before: Values, has: Truth) -> Truth:
    def exists(value: Any, frame: Frame) -> bool | None:
        return any(one.__class__ is dict and has(one, frame) for one in before(value, frame))

    return exists
