"""What takes the entries of one atom out of a resource: a walk over its JSON, else FHIRPath."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from app import fhirpath
from app.fhir import Resource
from app.fhirpath.model import r4
from app.fhirpath.values import Node
from app.storage.entries import FIELD, converter

Take = Callable[[Any, list[str]], None]


class Taken(NamedTuple):
    """
    What takes one atom's entries out of a whole resource.

    keys        it finds nothing in a resource that has none of these; empty where that cannot be said
    """

    keys: frozenset[str]
    take: Take


class Path(NamedTuple):
    """
    A plain path.

    steps       JSON keys of each step, each with its type; a choice has several
    around      how many steps lead to the part that a composite looks at
    """

    name: str
    steps: list[list[tuple[str, str]]]
    around: int

    @property
    def last(self) -> list[tuple[str, str]]:
        return self.steps[-1]


class Walk(NamedTuple):
    """
    A plain path whose entries have no position.

    inner       keys of each step but the last
    last        keys of the last step, each with what makes entries of its values
    """

    name: str
    inner: list[list[str]]
    last: list[tuple[str, Any]]


def plain(path: Path, name: str, kind: str) -> Taken | Walk | None:
    """None where nothing at the end of the path is of a type that the kind takes."""
    last = [(key, made) for key, type_name in path.last if (made := converter(kind, type_name))]
    if not last:
        return None
    inner = [[key for key, _ in step] for step in path.steps[path.around : -1]]
    if not path.around:
        return Walk(name, inner, last)
    outer = [[key for key, _ in step] for step in path.steps[: path.around]]

    def take(resource: Resource, out: list[str]) -> None:
        for position, part in enumerate(_level(resource, outer)):
            at = f"{FIELD}{position}"
            for one in _level(part, inner):
                _last(one, last, name, at, out)

    return Taken(frozenset(outer[0]), take)


def by_key(walks: Iterable[Walk]) -> dict[str, Take]:
    """
    What takes the entries of all of them out of an object, by its keys.

    Each takes the value of its key, so that what several look into is gone through once.
    """
    ends: dict[str, list[Take]] = {}
    parts: dict[str, list[Walk]] = {}
    for one in walks:
        if one.inner:
            for key in one.inner[0]:
                parts.setdefault(key, []).append(one._replace(inner=one.inner[1:]))
        else:
            for key, convert in one.last:
                ends.setdefault(key, []).append(_end(convert, one.name))
    for key, those in parts.items():
        ends.setdefault(key, []).append(_part(by_key(those)))
    return {key: takes[0] if len(takes) == 1 else _each(takes) for key, takes in ends.items()}


def take(takes: dict[str, Take], part: dict[str, Any], out: list[str]) -> None:
    """Whatever they take out of it, in the order of its keys."""
    for one, value in zip(map(takes.get, part), part.values(), strict=True):
        if one is not None:
            one(value, out)


def _end(convert: Any, name: str) -> Take:
    def take(value: Any, out: list[str]) -> None:
        if value.__class__ is list:
            for one in value:
                if one is not None:
                    convert(one, name, "", out)
        elif value is not None:
            convert(value, name, "", out)

    return take


def _part(takes: dict[str, Take]) -> Take:
    def take_part(value: Any, out: list[str]) -> None:
        for one in value if value.__class__ is list else (value,):
            if one.__class__ is dict:
                take(takes, one, out)

    return take_part


def _each(takes: list[Take]) -> Take:
    def take(value: Any, out: list[str]) -> None:
        for one in takes:
            one(value, out)

    return take


def _level(resource: Any, steps: list[list[str]]) -> list[Any]:
    level = [resource]
    for keys in steps:
        found: list[Any] = []
        for one in level:
            for key in keys:
                value = one.get(key)
                if value.__class__ is list:
                    found += [each for each in value if each.__class__ is dict]
                elif value.__class__ is dict:
                    found.append(value)
        level = found
    return level


def _last(one: Any, last: list[tuple[str, Any]], name: str, at: str, out: list[str]) -> None:
    for key, convert in last:
        value = one.get(key)
        if value is None:
            continue
        for each in value if value.__class__ is list else (value,):
            if each is not None:
                convert(each, name, at, out)


def evaluated(text: str, context: str, name: str, kind: str) -> Taken | None:
    """Whatever the expression gives; None for one that is none."""
    try:
        expression = fhirpath.compile(text)
        around = fhirpath.compile(context) if context else None
    except fhirpath.ExpressionError:
        return None

    def take(resource: Resource, out: list[str]) -> None:
        try:
            if around is None:
                _nodes(expression.items(resource), "", out)
                return
            for position, node in enumerate(around.items(resource)):
                items = expression.items(resource, context=node)
                _nodes(items, f"{FIELD}{position}", out)
        except (fhirpath.EvaluationError, fhirpath.BudgetError):
            return  # what cannot be evaluated is not found by this parameter, and still stored

    def _nodes(items: list[Any], at: str, out: list[str]) -> None:
        for item in items:
            value, type_name = _typed(item)
            convert = converter(kind, type_name)
            if convert is not None and value is not None:
                convert(value, name, at, out)

    return Taken(_needed(context or text), take)


def _needed(text: str) -> frozenset[str]:
    """The JSON keys without which an expression gives nothing; none where that cannot be said."""
    first = re.match(r"\(?([A-Z]\w+)\.(\w+)(?:[.(]| as )", text)
    if first is None or re.search(r"exists|empty|count|not\(| (and|or|xor|implies) |\|", text):
        return frozenset()
    known = r4().types.get(first[1])
    element = known.elements.get(first[2]) if known else None
    return frozenset(element.keys) if element is not None else frozenset()


def _typed(item: Any) -> tuple[Any, str]:
    if isinstance(item, Node):
        return item.value, item.type.name if item.type else ""
    return item, "boolean" if isinstance(item, bool) else "string"
