"""Patches: JSON Patch by a library, FHIRPath Patch by our own FHIRPath, JSON Merge Patch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import jsonpatch
from jsonpointer import JsonPointerException

from app import fhirpath
from app.errors import Invalid, Malformed
from app.fhir import Resource, listed
from app.fhirpath import Node

Patch = Callable[[Resource], Resource]

_WANTS: Final = {
    "add": {"path", "name", "value"},
    "insert": {"path", "index", "value"},
    "delete": {"path"},
    "replace": {"path", "value"},
    "move": {"path", "source", "destination"},
}


def json_patch(operations: Any) -> Patch:
    """
    Source      https://www.rfc-editor.org/rfc/rfc6902
    raises      Malformed: it is no JSON Patch; the patch itself Invalid: it does not fit
    """
    try:
        made = jsonpatch.JsonPatch(operations)
    except (jsonpatch.JsonPatchException, JsonPointerException, TypeError, KeyError, ValueError):
        raise Malformed("This is no JSON Patch.") from None

    def apply(resource: Resource) -> Resource:
        try:
            patched = made.apply(resource)
        except (
            jsonpatch.JsonPatchException,
            JsonPointerException,
            TypeError,
            KeyError,
            IndexError,
        ):
            raise Invalid("The JSON Patch does not fit the resource as it stands.") from None
        return _resource(patched)

    return apply


def merge_patch(changes: Any) -> Patch:
    """
    What fhirpy and other clients of Aidbox send: elements by name, null for one that goes.

    source      https://www.rfc-editor.org/rfc/rfc7396
    raises      Malformed: it is no object
    """
    if not isinstance(changes, dict):
        raise Malformed("A JSON Merge Patch is an object.")
    return lambda resource: _resource(_merged(resource, changes))


def _merged(stood: Any, changes: Any) -> Any:
    if not isinstance(changes, dict):
        return changes
    made = dict(stood) if isinstance(stood, dict) else {}
    for name, value in changes.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = _merged(made.get(name), value)
    return made


@dataclass(frozen=True, slots=True)
class _Operation:
    kind: str
    at: str
    path: fhirpath.Expression
    name: str = ""
    value: Any = None
    numbers: tuple[int, ...] = ()


def fhirpath_patch(parameters: Resource) -> Patch:
    """
    Source      https://hl7.org/fhir/R4/fhirpatch.html
    raises      Malformed: it is no FHIRPath Patch; the patch itself Invalid: it does not fit
    """
    operations = [
        _operation(one, f"Parameters.parameter[{index}]")
        for index, one in enumerate(listed(parameters.get("parameter")))
    ]
    if not operations:
        raise Malformed("A FHIRPath Patch has at least one operation.", expression="Parameters")

    def apply(resource: Resource) -> Resource:
        made = copy.deepcopy(resource)
        for operation in operations:
            _apply(made, operation)
        return _resource(made)

    return apply


def _resource(patched: Any) -> Resource:
    if not isinstance(patched, dict):
        raise Invalid("What the patch makes is no resource.")
    made: Resource = patched
    return made


def _operation(parameter: Any, at: str) -> _Operation:
    parts = {
        str(part.get("name")): part
        for part in listed(parameter.get("part") if isinstance(parameter, dict) else None)
        if isinstance(part, dict)
    }
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
    return _Operation(kind, at, path, name, _value(parts.get("value")), numbers)


def _number(part: Resource, at: str) -> int:
    found = part.get("valueInteger")
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise Malformed("A position is an integer from 0.", expression=at)
    return found


def _value(part: Resource | None) -> Any:
    """A value[x], or a backbone element whose parts are its elements."""
    if part is None:
        return None
    for name, value in part.items():
        if name.startswith("value"):
            return value
    made: Resource = {}
    for one in listed(part.get("part")):
        name, value = str(one.get("name")), _value(one)
        made[name] = [*listed(made[name]), value] if name in made else value
    return made


def _apply(resource: Resource, operation: _Operation) -> None:
    try:
        found = [one for one in operation.path.items(resource) if isinstance(one, Node)]
    except fhirpath.EvaluationError:
        raise Invalid(
            "The path cannot be evaluated on this resource.", expression=operation.at
        ) from None
    if operation.kind == "delete" and not found:
        return
    if operation.kind in {"insert", "move"}:
        _in_list(found, operation)
        return
    if len(found) != 1:
        text = f"The path of {operation.kind} must find one element; it finds {len(found)}."
        raise Invalid(text, expression=operation.at)
    {"add": _add, "replace": _replace, "delete": _delete}[operation.kind](found[0], operation)


def _add(node: Node, operation: _Operation) -> None:
    if not isinstance(node.value, dict):
        raise Invalid("Only an element with elements takes another.", expression=operation.at)
    element = node.type.elements.get(operation.name) if node.type else None
    known = node.type.keys.get(operation.name) if node.type else None
    if element is None and known is None:
        raise Invalid("The element has no such child.", expression=operation.at)
    many = (element or (known[0] if known else None)).many  # type: ignore[union-attr]
    if many:
        node.value[operation.name] = [*listed(node.value.get(operation.name)), operation.value]
    else:
        node.value[operation.name] = operation.value


def _holder(node: Node, at: str) -> tuple[dict[str, Any], str]:
    """The object that a node stands in, and its key there."""
    above = node.parent.value if node.parent else None
    if not isinstance(above, dict):
        raise Invalid("The resource itself cannot be replaced or deleted.", expression=at)
    if node.name in above:
        return above, node.name
    keys = [key for key in above if key.startswith(node.name) and key[len(node.name)].isupper()]
    if len(keys) != 1:
        raise Invalid("The path leads to nothing that can be changed.", expression=at)
    return above, keys[0]


def _replace(node: Node, operation: _Operation) -> None:
    above, key = _holder(node, operation.at)
    if node.index >= 0:
        above[key][node.index] = operation.value
    else:
        above[key] = operation.value


def _delete(node: Node, operation: _Operation) -> None:
    above, key = _holder(node, operation.at)
    if node.index >= 0 and len(above[key]) > 1:
        del above[key][node.index]
        beside = above.get(f"_{key}")
        if isinstance(beside, list) and node.index < len(beside):
            del beside[node.index]
    else:
        del above[key]
        above.pop(f"_{key}", None)


def _in_list(found: list[Node], operation: _Operation) -> None:
    """Insert into, or move within, the list whose elements the path finds."""
    if not found or any(one.index < 0 or one.parent is not found[0].parent for one in found):
        raise Invalid("The path must find the elements of one list.", expression=operation.at)
    above, key = _holder(found[0], operation.at)
    values = above[key]
    *source, last = operation.numbers
    length = len(values) - len(source)
    if last > length or any(position >= len(values) for position in source):
        raise Invalid("The position is outside the list.", expression=operation.at)
    values.insert(last, values.pop(source[0]) if source else operation.value)
