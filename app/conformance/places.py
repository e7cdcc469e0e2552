"""Where in a resource something stands, by a path that a person can follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from app.conformance import primitives, structure
from app.conformance.shape import ANY, INLINE

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.conformance.structure import Element, Structure, TypeRef


class Places:
    """
    The places of codes; the names of a type are looked up once.

    find        type name to its structure; raises KeyError
    """

    def __init__(self, find: Callable[[str], Structure]) -> None:
        self._find = find
        self._names: dict[tuple[str, str], dict[str, tuple[Element, TypeRef]]] = {}

    def first(self, system: str, resource: Any, path: str) -> str:
        """
        Where a resource has a code of a code system first; "" where it has none.

        What the resource is about, its code, comes before all.
        """
        about = resource.get("code")
        codings = about.get("coding") if about.__class__ is dict else None
        for index, one in enumerate(codings if codings.__class__ is list else ()):
            if one.__class__ is dict and one.get("system") == system and "code" in one:
                return f"{path}.code.coding[{index}]"
        try:
            where = self._find(resource["resourceType"])
        except (KeyError, TypeError):
            return ""  # no type that there is
        return self._inside(system, resource, path, where, where.root)

    def _inside(
        self, system: str, value: Any, path: str, where: Structure, element: Element
    ) -> str:
        names = self._of(where, element)
        for key, child in value.items():
            many = child.__class__ is list
            if (not many and child.__class__ is not dict) or key not in names:
                continue
            below, kind = names[key]
            place = f"{path}.{below.name}.ofType({kind.code})" if below.choice else f"{path}.{key}"
            for index, one in enumerate(child if many else (child,)):
                at = f"{place}[{index}]" if many else place
                found = one.__class__ is dict and self._at(system, one, at, where, below, kind)
                if found:
                    return found
        return ""

    def _at(  # noqa: PLR0913 — hot: keywords cost
        self, system: str, value: Any, path: str, where: Structure, element: Element, kind: TypeRef
    ) -> str:
        if kind.code == "Coding":
            return path if value.get("system") == system and "code" in value else ""
        if kind.code in ANY:
            return self.first(system, value, path)
        if element.content or element.children:
            content = where.elements[element.content] if element.content else element
            return self._inside(system, value, path, where, content)
        if kind.code in INLINE:
            return ""
        where = self._find(kind.code)
        return self._inside(system, value, path, where, where.root)

    def _of(self, where: Structure, element: Element) -> dict[str, tuple[Element, TypeRef]]:
        key = (where.url, element.path)
        found = self._names.get(key)
        if found is None:
            found = self._names[key] = {
                name: (below, kind)
                for name, (below, kind) in structure.members(element).items()
                if kind.code not in primitives.TYPES and kind.code not in _WITHOUT
            }
        return found


# Types in which nobody looks for the first code of a resource.
_WITHOUT: Final = frozenset({"Reference", "Narrative", "Period", "Range", "Quantity"})
