"""A part of a resource, as the definitions say which: its summary, its text, some of its elements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from app.conformance import primitives, structure
from app.conformance.shape import ANY, INLINE

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.conformance.structure import Element, Structure, TypeRef
    from app.fhir import Resource

SUBSETTED: Final = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
}
# Without these a part could say what the whole does not.
_ALWAYS: Final = frozenset({"resourceType", "id", "meta", "implicitRules", "modifierExtension"})
# What belongs to an element goes with it: an extension may say why there is no value.
_WITH_AN_ELEMENT: Final = frozenset({"id", "extension", "modifierExtension"})

_Place = tuple["Structure", "Element"]
_Kept = dict[str, "_Place | None"]  # None: whole


class Subsets:
    """
    What is left of a resource, in the order it had, and tagged as a part.

    find        type name to its structure; raises KeyError
    source      https://hl7.org/fhir/R4/search.html#summary, #elements
    """

    def __init__(self, find: Callable[[str], Structure]) -> None:
        self._find = find
        self._summaries: dict[tuple[str, str], _Kept] = {}

    def summary(self, resource: Resource) -> Resource:
        """The elements that the definition marks, and those that must be there."""
        where = self._find(resource["resourceType"])
        kept = _ALWAYS | self._kept(where, where.root).keys() - {"extension"}
        top = {name: value for name, value in resource.items() if name.removeprefix("_") in kept}
        return _tagged(self._cut(top, where, where.root))

    def text(self, resource: Resource) -> Resource:
        """The narrative, and what must be there."""
        return self.elements(resource, frozenset({"text"}))

    def data(self, resource: Resource) -> Resource:
        """All but the narrative."""
        return _tagged({name: value for name, value in resource.items() if name != "text"})

    def elements(self, resource: Resource, names: frozenset[str]) -> Resource:
        """
        The named elements of the resource itself, and those that must be there.

        names       as the definition writes them (value[x], value) or as JSON does (valueCode)
        """
        found = structure.members(self._find(resource["resourceType"]).root)
        kept = _ALWAYS | {
            name
            for name, (element, _) in found.items()
            if element.minimum or {name, element.name, f"{element.name}[x]"} & names
        }
        return _tagged(
            {name: value for name, value in resource.items() if name.removeprefix("_") in kept}
        )

    def _cut(self, value: Any, where: Structure, element: Element) -> Any:
        if isinstance(value, list):
            return [self._cut(one, where, element) for one in value]
        if not isinstance(value, dict):
            return value
        kept = self._kept(where, element)
        made = {}
        for name, child in value.items():
            below = kept.get(name.removeprefix("_"), ()) if name not in _ALWAYS else None
            if below is None or name.startswith("_"):
                made[name] = child
            elif below:
                made[name] = self._cut(child, *below)
        return made

    def _kept(self, where: Structure, element: Element) -> _Kept:
        key = (where.url, element.path)
        found = self._summaries.get(key)
        if found is None:
            content = where.elements[element.content] if element.content else element
            members = structure.members(content)
            marked = any(child.summary for child, _ in members.values())
            found = self._summaries[key] = {
                name: self._below(where, child, kind) if marked else None
                for name, (child, kind) in members.items()
                if not marked or child.summary or child.minimum or name in _WITH_AN_ELEMENT
            }
        return found

    def _below(self, where: Structure, child: Element, kind: TypeRef) -> _Place | None:
        whole = ANY | primitives.TYPES.keys() | {"Extension"}
        if kind.code in whole:
            return None
        if child.children or child.content or kind.code in INLINE:
            return where, child
        found = self._find(kind.code)
        return found, found.root


def is_subset(resource: Resource) -> bool:
    """Whether it says that it is a part: stored, it would take away what it leaves out."""
    tags = resource["meta"].get("tag") if isinstance(resource.get("meta"), dict) else None
    return isinstance(tags, list) and any(
        isinstance(tag, dict) and SUBSETTED.items() <= tag.items() for tag in tags
    )


def _tagged(resource: Resource) -> Resource:
    if is_subset(resource):
        return resource
    meta = resource.get("meta", {})
    return {**resource, "meta": {**meta, "tag": [*meta.get("tag", []), SUBSETTED]}}
