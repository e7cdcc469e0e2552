"""Steps from an element to the elements below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.fhirpath.values import Node, Quantity, TypeInfo

if TYPE_CHECKING:
    from app.fhirpath.model import Type


def named(item: Any, name: str) -> list[Any]:
    """The children of an item that bear a name, in order; none where it has none."""
    if item.__class__ is not Node:
        return _of_value(item, name)
    found: list[Any] = []
    value, kind = item.value, item.type
    if value.__class__ is dict:
        if kind is None:
            if name in value or f"_{name}" in value:
                _add(found, item, name, name, None)
            return found
        element = kind.elements.get(name)
        if element is None:
            return found
        if element.choice:
            for key in element.keys:
                if key in value or f"_{key}" in value:
                    _add(found, item, name, key, kind.keys[key][1])
            return found
        _add(found, item, name, name, kind.keys[name][1])
    elif item.sibling.__class__ is dict and name in ("extension", "id"):
        _add_raw(found, item, name, _below_primitive(item, name), item.sibling.get(name), None)
    return found


def all_of(item: Any) -> list[Any]:
    """All children of an item, in the order of its JSON."""
    if item.__class__ is not Node:
        return []
    found: list[Any] = []
    value, kind = item.value, item.type
    if value.__class__ is dict:
        keys = kind.keys if kind is not None else {}
        for key in value:
            plain = key
            if key.startswith("_"):
                plain = key[1:]
                if plain in value:
                    continue
            if plain == "resourceType":
                continue
            element, child = keys.get(plain, (None, None))
            if element is not None or kind is None:
                _add(found, item, element.name if element else plain, plain, child)
    elif item.sibling.__class__ is dict:
        for name, raw in item.sibling.items():
            _add_raw(found, item, name, _below_primitive(item, name), raw, None)
    return found


def _below_primitive(item: Node, name: str) -> Type | None:
    if item.type is None:
        return None
    return item.type.keys.get(name, (None, None))[1]


def _add(found: list[Any], parent: Node, name: str, key: str, kind: Type | None) -> None:
    value = parent.value
    sibling = None
    if kind is None or kind.primitive:
        sibling = value.get(f"_{key}")
    _add_raw(found, parent, name, kind, value.get(key), sibling)


def _add_raw(  # noqa: PLR0913, PLR0917 — the six facts of a node, in a hot loop
    found: list[Any], parent: Node, name: str, kind: Type | None, raw: Any, sibling: Any
) -> None:
    if raw.__class__ is list or sibling.__class__ is list:
        values = raw if raw.__class__ is list else []
        siblings = sibling if sibling.__class__ is list else []
        for index in range(max(len(values), len(siblings))):
            one = values[index] if index < len(values) else None
            beside = siblings[index] if index < len(siblings) else None
            if one is not None or beside is not None:
                found.append(Node(one, _actual(kind, one), parent, name, index, beside))
    elif raw is not None or sibling is not None:
        found.append(Node(raw, _actual(kind, raw), parent, name, -1, sibling))


def _actual(kind: Type | None, raw: Any) -> Type | None:
    if kind is not None and kind.resource:
        return kind.model.of(raw, kind)
    return kind


def _of_value(item: Any, name: str) -> list[Any]:
    if isinstance(item, TypeInfo):
        return [getattr(item, name)] if name in ("name", "namespace") else []
    if isinstance(item, Quantity):
        parts: dict[str, list[Any]] = {"value": [item.value], "unit": [item.word or item.unit]}
        return parts.get(name, [])
    return []
