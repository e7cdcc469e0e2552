"""FHIRPath Patch: add, insert, delete, replace and move, by our own FHIRPath."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final

from app import fhirpath
from app.domain import patch
from app.domain.patch import Patch
from app.errors import Invalid, Malformed, TooLarge
from app.fhir import Resource, listed
from app.fhirpath import Environment, Node
from app.fhirpath.model import Element, Type

_WANTS: Final = {
    "add": {"path", "name", "value"},
    "insert": {"path", "index", "value"},
    "delete": {"path"},
    "replace": {"path", "value"},
    "move": {"path", "source", "destination"},
}
_MOST_OPERATIONS: Final = 1000
_STEPS: Final = 1_000_000  # of all paths together, some two seconds
_PLAIN: Final = re.compile(r"[\w.\[\]]+").fullmatch  # a path that goes through what stands once

# A value, and its id and extensions where it is a primitive.
Pair = tuple[Any, Any]


@dataclass(frozen=True, slots=True)
class _Operation:
    """
    One operation.

    at          where it stands in the Parameters
    value       the part of this name, as it was sent
    numbers     index; or source and destination
    """

    kind: str
    at: str
    path: fhirpath.Expression
    name: str
    value: Resource
    numbers: tuple[int, ...]


def fhirpath_patch(parameters: Resource) -> Patch:
    """
    Source      https://hl7.org/fhir/R4/fhirpatch.html
    raises      Malformed: it is no FHIRPath Patch; TooLarge: more than 1,000 operations
                the patch itself Invalid: it does not fit
    """
    asked = listed(parameters.get("parameter"))
    if len(asked) > _MOST_OPERATIONS:
        text = f"A FHIRPath Patch may have {_MOST_OPERATIONS} operations."
        raise TooLarge(text, expression="Parameters.parameter")
    operations = [
        _operation(one, f"Parameters.parameter[{index}]") for index, one in enumerate(asked)
    ]
    environment = Environment(budget=_STEPS // max(len(operations), 1))

    def apply(resource: Resource) -> Resource:
        made = copy.deepcopy(resource)
        for operation in operations:
            try:
                found = operation.path.items(made, environment=environment)
            except fhirpath.EvaluationError:
                text = "The path cannot be evaluated on this resource."
                raise Invalid(text, expression=operation.at) from None
            _apply([one for one in found if isinstance(one, Node)], operation)
        return patch.resource_of(made)

    return Patch(apply, long=not all(_PLAIN(one.path.text) for one in operations))


def _operation(parameter: Any, at: str) -> _Operation:
    came = [
        part
        for part in listed(parameter.get("part") if isinstance(parameter, dict) else None)
        if isinstance(part, dict)
    ]
    parts = {str(part.get("name")): part for part in came}
    if len(parts) != len(came):
        raise Malformed("Each part of an operation stands once.", expression=at)
    kind = str(parts.get("type", {}).get("valueCode", ""))
    if not parts or parameter.get("name") != "operation" or kind not in _WANTS:
        raise Malformed(
            "An operation has a type: add, insert, delete, replace, move.", expression=at
        )
    if missing := sorted(_WANTS[kind] - parts.keys()):
        raise Malformed(f"The operation {kind} also has {', '.join(missing)}.", expression=at)
    try:
        path = fhirpath.compile(str(parts["path"].get("valueString", "")))
    except fhirpath.ExpressionError as error:
        raise Malformed(f"The path cannot be read: {error.text}", expression=at) from None
    numbers = tuple(
        _number(parts[name], at)
        for name in ("index", "source", "destination")
        if name in _WANTS[kind]
    )
    name = str(parts.get("name", {}).get("valueString", ""))
    return _Operation(kind, at, path, name, parts.get("value", {}), numbers)


def _number(part: Resource, at: str) -> int:
    found = part.get("valueInteger")
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise Malformed("A position is an integer from 0.", expression=at)
    return found


def _apply(found: list[Node], operation: _Operation) -> None:
    if operation.kind == "delete" and not found:
        return
    if operation.kind in {"insert", "move"}:
        _in_list(found, operation)
        return
    if len(found) != 1:
        text = f"The path of {operation.kind} must find one element; it finds {len(found)}."
        raise Invalid(text, expression=operation.at)
    if operation.kind == "add":
        _put(_elements(found[0], operation.at), found[0].type, operation.name, operation)
    elif operation.kind == "replace":
        _replace(found[0], operation)
    else:
        _delete(found[0], operation.at)


def _put(holder: dict[str, Any], kind: Type | None, name: str, operation: _Operation) -> None:
    """A child more; what may not repeat must not stand yet."""
    known = kind.keys.get(name) if kind else None  # a choice has its type in the JSON name
    element = kind.elements.get(name, known and known[0]) if kind else None
    if kind is None or element is None:
        raise Invalid("The element has no such child.", expression=operation.at)
    key = name if known else _key(element, operation.value, operation.at)
    pair = _pair(operation.value, kind.keys[key][1], operation)
    if element.many:
        _write(holder, key, [*_pairs(holder, key), pair])
        return
    if any(one in holder or f"_{one}" in holder for one in element.keys):
        text = "The element stands already and may not repeat; use replace."
        raise Invalid(text, expression=operation.at)
    _write_one(holder, key, pair)


def _key(element: Element, part: Resource, at: str) -> str:
    """The JSON key of an element, which for a choice follows the type of the value."""
    if not element.choice:
        return str(element.name)
    kinds = {name.removeprefix("_").removeprefix("value") for name in part}
    found = [key for key in element.keys if key.removeprefix(element.name) in kinds]
    if len(found) != 1:
        types = ", ".join(key.removeprefix(element.name) for key in element.keys)
        raise Invalid(f"The value is one of these, as valueX: {types}.", expression=at)
    return str(found[0])


def _pair(part: Resource, kind: Type | None, operation: _Operation) -> Pair:
    """A value[x] with what stands beside it, a resource, or parts that are an element's children."""
    if "part" in part:
        made: dict[str, Any] = {}
        for one in listed(part["part"]):
            if not isinstance(one, dict):
                raise Malformed("A part is an object.", expression=operation.at)
            inner = _Operation("add", operation.at, operation.path, "", one, ())
            _put(made, kind, str(one.get("name")), inner)
        return made, None
    if len({name.removeprefix("_") for name in part} - {"id", "extension", "name"}) > 1:
        raise Malformed("A part has one value, of one type.", expression=operation.at)
    value = next((part[name] for name in part if name.startswith("value")), part.get("resource"))
    beside = next((part[name] for name in part if name.startswith("_value")), None)
    if value is None and beside is None:
        text = "A value is a value[x], a resource, or parts that are its children."
        raise Malformed(text, expression=operation.at)
    return copy.deepcopy(value), copy.deepcopy(beside)


def _elements(node: Node, at: str) -> dict[str, Any]:
    """The JSON that holds an element's children, made where a primitive has none yet."""
    if isinstance(node.value, dict):
        return node.value
    if isinstance(node.sibling, dict):
        return node.sibling
    if node.parent is None or node.type is None or not node.type.primitive:
        raise Invalid("Only an element with elements takes another.", expression=at)
    holder, key = _place(node, at)
    beside: dict[str, Any] = {}
    if node.index < 0:
        holder[f"_{key}"] = beside
    else:
        pairs = _pairs(holder, key)
        pairs[node.index] = (node.value, beside)
        _write(holder, key, pairs)
    return beside


def _place(node: Node, at: str) -> tuple[dict[str, Any], str]:
    """The object that a node stands in, and its key there."""
    above = node.parent
    if above is None:
        raise Invalid("The resource itself cannot be replaced or deleted.", expression=at)
    holder = above.value if isinstance(above.value, dict) else above.sibling
    element = above.type.elements.get(node.name) if above.type else None
    keys = element.keys if element else (node.name,)
    found = [
        key for key in keys if isinstance(holder, dict) and (key in holder or f"_{key}" in holder)
    ]
    if len(found) != 1:
        raise Invalid("The path leads to nothing that can be changed.", expression=at)
    return holder, found[0]


def _replace(node: Node, operation: _Operation) -> None:
    holder, key = _place(node, operation.at)
    pair = _pair(operation.value, node.type, operation)
    if node.index >= 0:
        pairs = _pairs(holder, key)
        pairs[node.index] = pair
        _write(holder, key, pairs)
        return
    element = node.parent.type.elements.get(node.name) if node.parent and node.parent.type else None
    _write_one(holder, key, (None, None))
    _write_one(holder, _key(element, operation.value, operation.at) if element else key, pair)


def _delete(node: Node, at: str) -> None:
    """What is left empty goes too: FHIR has no empty elements."""
    holder, key = _place(node, at)
    if node.index >= 0:
        pairs = _pairs(holder, key)
        del pairs[node.index]
        _write(holder, key, pairs)
    else:
        _write_one(holder, key, (None, None))
    above = node.parent
    if holder or above is None or above.parent is None:
        return
    if isinstance(above.value, dict) or above.value is None:
        _delete(above, at)
        return
    there, name = _place(above, at)  # a primitive that has lost its last extension
    if above.index >= 0:
        pairs = _pairs(there, name)
        pairs[above.index] = (above.value, None)
        _write(there, name, pairs)
    else:
        _write_one(there, name, (above.value, None))


def _in_list(found: list[Node], operation: _Operation) -> None:
    """Insert into, or move within, the list whose elements the path finds."""
    if not found or any(one.index < 0 or one.parent is not found[0].parent for one in found):
        text = "The path must find the elements of one list; into an empty one use add."
        raise Invalid(text, expression=operation.at)
    holder, key = _place(found[0], operation.at)
    pairs = _pairs(holder, key)
    *source, last = operation.numbers
    if last > len(pairs) - len(source) or any(position >= len(pairs) for position in source):
        text = f"The position is outside the list, which has {len(pairs)}; it counts from 0."
        raise Invalid(text, expression=operation.at)
    kind = found[0].type
    pair = pairs.pop(source[0]) if source else _pair(operation.value, kind, operation)
    pairs.insert(last, pair)
    _write(holder, key, pairs)


def _pairs(holder: dict[str, Any], key: str) -> list[Pair]:
    """The values of a list, each with what stands beside it."""
    return [*zip_longest(listed(holder.get(key)), listed(holder.get(f"_{key}")))]


def _write(holder: dict[str, Any], key: str, pairs: list[Pair]) -> None:
    values, beside = [one for one, _ in pairs], [one for _, one in pairs]
    for name, them in ((key, values), (f"_{key}", beside)):
        if any(one is not None for one in them):
            holder[name] = them
        else:
            holder.pop(name, None)


def _write_one(holder: dict[str, Any], key: str, pair: Pair) -> None:
    for name, one in zip((key, f"_{key}"), pair, strict=True):
        if one is not None:
            holder[name] = one
        else:
            holder.pop(name, None)
