"""JSON Patch by a library, one operation after the other, and JSON Merge Patch."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any, Final

import jsonpatch
import jsonpointer
from msgspec import Struct

from app import fhir
from app.errors import Invalid, Malformed, TooLarge
from app.fhir import Resource


class Patch(Struct, frozen=True):
    """
    From what stands to what is to stand; it leaves its argument as it is.

    apply       raises Invalid: it does not fit
    long        whether it can take long, however small what stands is
    """

    apply: Callable[[Resource], Resource]
    long: bool = False

    def __call__(self, resource: Resource) -> Resource:
        return self.apply(resource)


_WANTS: Final = {
    "add": "value", "copy": "from", "move": "from", "remove": "", "replace": "value", "test": "value",
}  # fmt: skip
_MOST_OPERATIONS: Final = 10_000
_MOST_COPIED: Final = 2**20  # bytes of JSON: `copy` can double what stands, again and again
_LONGEST: Final = 2000  # characters of a pointer; sixty levels of a questionnaire have some 700
_NAME: Final = re.compile(r"_?[a-z][A-Za-z0-9]{0,63}", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,6}", re.ASCII)


def json_patch(operations: Any) -> Patch:
    """
    Source      https://www.rfc-editor.org/rfc/rfc6902
    raises      Malformed: it is no JSON Patch
                TooLarge: more than 10,000 operations; the patch itself: it copies more than 1 MiB
                the patch itself Invalid: it does not fit
    """
    if not isinstance(operations, list):
        raise Malformed("A JSON Patch is a list of operations.")
    if len(operations) > _MOST_OPERATIONS:
        raise TooLarge(f"A patch may have {_MOST_OPERATIONS} operations.")
    for index, one in enumerate(operations):
        _known(one, index)

    def apply(resource: Resource) -> Resource:
        made: Any = copy.deepcopy(resource)
        left = _MOST_COPIED
        for index, one in enumerate(operations):
            at = (f"Operation {index}", _place(str(resource.get("resourceType", "")), one["path"]))
            left -= _copied(made, one, at)
            if left < 0:
                text = f"{at[0]}: a patch may copy {_MOST_COPIED} bytes in all."
                raise TooLarge(text, expression=at[1])
            made = _applied(made, one, at)
        return resource_of(made)

    return Patch(apply)


def _copied(made: Any, operation: dict[str, Any], at: tuple[str, str]) -> int:
    """How many bytes an operation copies."""
    if operation["op"] != "copy":
        return 0
    try:
        return len(fhir.encode(jsonpointer.resolve_pointer(made, operation["from"])))
    except jsonpointer.JsonPointerException:
        text = f"{at[0]}, copy: what it copies is not there; {_ADVICE['copy']}."
        raise Invalid(text, expression=at[1]) from None
    except RecursionError:
        raise Malformed(_DEEP, expression=at[1]) from None


def _applied(made: Any, operation: dict[str, Any], at: tuple[str, str]) -> Any:
    kind = operation["op"]
    try:
        # its own copy of the value: a later operation may change what an earlier one put in
        return jsonpatch.JsonPatch([copy.deepcopy(operation)]).apply(made, in_place=True)
    except jsonpatch.JsonPatchTestFailed:
        text = f"{at[0]}: what it tests does not hold; read the resource again."
    except (
        jsonpatch.JsonPatchException,
        jsonpointer.JsonPointerException,
        TypeError,
        KeyError,
        IndexError,
    ):
        text = f"{at[0]}, {kind}: its place is not there; {_ADVICE[kind]}."
    except RecursionError:
        raise Malformed(_DEEP, expression=at[1]) from None
    raise Invalid(text, expression=at[1])


_DEEP: Final = f"What the patch makes is nested deeper than {fhir.MAX_DEPTH} levels."
_ADVICE: Final = {
    "add": "make what it stands in first, and count a list from 0",
    "copy": "read the resource again",
    "move": "read the resource again, and move nothing into itself",
    "remove": "leave it out, or read the resource again",
    "replace": "use add for what does not stand yet",
    "test": "read the resource again",
}


def _known(operation: Any, index: int) -> None:
    """Raises Malformed: it is no operation of a JSON Patch."""
    kind = operation.get("op") if isinstance(operation, dict) else None
    if not isinstance(kind, str) or kind not in _WANTS:
        raise Malformed(f"Operation {index}: its op is one of {', '.join(_WANTS)}.")
    pointers = [operation.get("path"), operation.get("from", "")]
    if _WANTS[kind] and _WANTS[kind] not in operation:
        raise Malformed(f"Operation {index}: {kind} also has {_WANTS[kind]}.")
    if any(isinstance(one, str) and len(one) > _LONGEST for one in pointers):
        raise Malformed(f"Operation {index}: a path has {_LONGEST} characters at most.")
    try:
        for one in pointers:
            jsonpointer.JsonPointer(one)
    except (jsonpointer.JsonPointerException, TypeError):
        text = f"Operation {index}: path and from are JSON Pointers, as in /name/0/family."
        raise Malformed(text) from None


def _place(kind: str, pointer: str) -> str:
    """Where a JSON Pointer leads, as FHIRPath, as far as its parts can be an element's name."""
    place = kind
    for part in pointer.split("/")[1:]:
        if _NUMBER.fullmatch(part):
            place += f"[{int(part)}]"
        elif _NAME.fullmatch(part):
            place += f".{part.removeprefix('_')}"
        else:
            break
    return place


def merge_patch(changes: Any) -> Patch:
    """
    What fhirpy and other clients of Aidbox send: elements by name, null for one that goes.

    source      https://www.rfc-editor.org/rfc/rfc7396
    raises      Malformed: it is no object
    """
    if not isinstance(changes, dict):
        raise Malformed("A JSON Merge Patch is an object.")
    return Patch(lambda resource: resource_of(_merged(resource, changes)))


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


def resource_of(patched: Any) -> Resource:
    """
    What a patch has made, with nothing of it shared with the patch, which may be applied again.

    raises      Invalid: it is no object; Malformed: it is nested too deep
    """
    if not isinstance(patched, dict):
        raise Invalid("What the patch makes is no resource.")
    try:
        made: Resource = fhir.decode(fhir.encode(_filled(patched)))
    except RecursionError:
        raise Malformed(_DEEP) from None
    return made


def _filled(value: Any) -> Any:
    """Without what a patch has emptied: https://hl7.org/fhir/R4/json.html has no empty lists."""
    if isinstance(value, list):
        return [one for one in map(_filled, value) if one not in ({}, [])]
    if not isinstance(value, dict):
        return value
    kept = {name: _beside(name, one) for name, one in value.items()}
    return {name: one for name, one in kept.items() if one not in ({}, [])}


def _beside(name: str, value: Any) -> Any:
    """As _filled; what stands beside the members of another list keeps its places."""
    return value if name.startswith("_") else _filled(value)
