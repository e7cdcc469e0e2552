"""One element's definition on top of another's: what is added, and what contradicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from app.conformance import structure

if TYPE_CHECKING:
    from app.fhir import Resource

    IsKindOf = Callable[[str, str], bool]

_ADDED: Final = frozenset({"alias", "code", "condition", "mapping"})
MAX_LISTED: Final = 1000  # types, constraints, mappings of one element
_STRENGTHS: Final = ("example", "preferred", "extensible", "required")


@dataclass(frozen=True, slots=True)
class Merged:
    """What an element's definition comes to, and a sentence for each thing that contradicts."""

    row: Resource
    contradictions: tuple[str, ...]


def merged(row: Resource, told: Resource, *, source: str, is_kind_of: IsKindOf) -> Merged:
    """
    An element's definition with what a differential says of it.

    Where the differential contradicts, its word stands, as in HL7's snapshots, and it is said.
    source      canonical of the profile, for the constraints that it adds
    raises      ValueError: more types, constraints or the like than any element has
    """
    if any(isinstance(value, list) and len(value) > MAX_LISTED for value in told.values()):
        raise ValueError
    made, found = dict(row), []
    for key, value in told.items():
        text = _contradiction(key, row, value, is_kind_of)
        if text:
            found.append(text)
        if key == "constraint":
            own = [one if one.get("source") else {**one, "source": source} for one in value]
            made = added(made, key, own)
        elif key == "binding":
            made[key] = {**_kept_of(row.get(key, {})), **value}
        elif key == "extension":
            made[key] = _by_url(row.get(key, []), value)
        elif key in _ADDED:
            made[key] = _distinct(row.get(key, []), value)
        elif key in _TEXTS and isinstance(value, str) and value.startswith("..."):
            made[key] = row.get(key, "") + value.removeprefix("...")
        else:
            made[key] = value
    if _most(made.get("max", "*")) < made.get("min", 0):
        found.append("It has to be there more often than it may be there.")
    return Merged(made, tuple(found))


_TEXTS: Final = frozenset({"definition", "comment", "requirements", "meaningWhenMissing"})


def _most(maximum: str) -> float:
    return float("inf") if maximum == "*" else int(maximum)


def added(row: Resource, key: str, more: list[Any]) -> Resource:
    """An element's definition with more conditions or constraints; of one key the last stands."""
    if key == "constraint":
        made = {one["key"]: one for one in [*row.get(key, []), *more]}
        return {**row, key: list(made.values())}
    return {**row, key: _distinct(row.get(key, []), more)}


def _kept_of(binding: Resource) -> Resource:
    """What stays of a binding when another is said on top of it."""
    return {key: value for key, value in binding.items() if key in ("valueSet", "strength")}


def _distinct(below: list[Any], told: list[Any]) -> list[Any]:
    return [*below, *(one for one in told if one not in below)]


def _by_url(below: list[Resource], told: list[Resource]) -> list[Resource]:
    urls = {one.get("url") for one in told}
    return [*(one for one in below if one.get("url") not in urls), *told]


def _contradiction(key: str, row: Resource, value: Any, is_kind_of: IsKindOf) -> str:
    """What is wrong with saying this on top of that; "" where nothing is."""
    below = row.get(key)
    if key == "min" and value < row.get("min", 0):
        return f"min is {value}, and below it {row['min']}; it can only be raised."
    if key == "max" and _most(value) > _most(row.get("max", "*")):
        return f"max is {value}, and below it {row['max']}; it can only be lowered."
    if key == "type" and below:
        return _types(row, value, is_kind_of)
    if key == "binding" and below:
        return _binding(below, value)
    if key.startswith(("fixed", "pattern")) and below is not None and _clash(below, value):
        return f"{key} is another than below it."
    if key == "mustSupport" and below is True and value is False:
        return "mustSupport is true below it and cannot be taken back."
    if key == "slicing" and below and _opens(below, value):
        return f"The slicing is {below['rules']} below it and cannot be opened."
    return ""


def _types(row: Resource, told: list[Resource], is_kind_of: IsKindOf) -> str:
    known = {structure.type_ref(kind, row).code for kind in row["type"]}
    for kind in told:
        code = structure.type_ref(kind, row).code
        if not any(is_kind_of(code, one) for one in known):
            return f"The type {code} is none of those below it."
    return ""


def _binding(below: Resource, told: Resource) -> str:
    old, new = below.get("strength", "example"), told.get("strength", "example")
    if old == "required" and _STRENGTHS.index(new) < _STRENGTHS.index(old):
        return f"The binding is {new}, and required below it."
    return ""


def _opens(below: Resource, told: Resource) -> bool:
    return below.get("rules") == "closed" and told.get("rules", "closed") != "closed"


def _clash(one: Any, other: Any) -> bool:
    """Whether no value could have both; what lists hold is not compared."""
    if isinstance(one, dict) and isinstance(other, dict):
        return any(_clash(one[key], other[key]) for key in one.keys() & other.keys())
    return type(one) is not type(other) or (not isinstance(one, list) and bool(one != other))
