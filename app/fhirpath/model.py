"""The FHIR types as FHIRPath needs them: which elements a type has, and of which types they are."""

from __future__ import annotations

from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

import msgspec

# FHIR's primitives as FHIRPath's own types, https://hl7.org/fhir/R4/fhirpath.html#types;
# what is not named here and is primitive is a String.
SYSTEM_TYPES: Final = {
    "boolean": "Boolean",
    "integer": "Integer",
    "decimal": "Decimal",
    "date": "Date",
    "dateTime": "DateTime",
    "instant": "DateTime",
    "time": "Time",
}


class Element:
    """
    An element of a type.

    types       names of the types it may have, in the definition's order
    many        whether it repeats, so that its JSON is an array
    keys        {JSON key: type name}, one for each type of a choice
    choice      whether its JSON key carries the type
    """

    __slots__ = ("choice", "keys", "many", "name", "types")

    def __init__(self, path: str, types: str) -> None:
        self.choice = path.endswith("[x]")
        self.name = path.removesuffix("[x]")
        self.many = types.endswith("*")
        self.types = tuple(types.rstrip("*").split("|"))
        if self.choice:
            self.keys = {self.name + kind[0].upper() + kind[1:]: kind for kind in self.types}
        else:
            self.keys = {self.name: self.types[0]}


class Type:
    """
    A FHIR type, or the type of one backbone element.

    name        FHIR's name, or for a backbone element its path, as in Patient.contact
    fhir        the name FHIR gives it: for a backbone element BackboneElement
    """

    def __init__(self, model: Model, name: str, definition: dict[str, Any]) -> None:
        self.name = name
        self.model = model
        self.kind: str = definition["kind"]
        self.base = model.types.get(definition["base"])
        self.primitive = self.kind == "primitive"
        self.resource = self.kind == "resource"
        self.abstract: bool = definition.get("abstract", False)
        self.fhir: str = definition["base"] if self.kind == "backbone" else name
        self.own = definition["elements"]

    def __repr__(self) -> str:
        return f"Type({self.name})"

    @cached_property
    def ancestors(self) -> frozenset[str]:
        """The names of this type and of all that it specializes."""
        return (self.base.ancestors if self.base else frozenset()) | {self.name, self.fhir}

    @cached_property
    def elements(self) -> dict[str, Element]:
        inherited = self.base.elements if self.base else {}
        own = [Element(path, types) for path, types in self.own.items()]
        return {**inherited, **{element.name: element for element in own}}

    @cached_property
    def keys(self) -> dict[str, tuple[Element, Type | None]]:
        """{JSON key: (element, type)}."""
        return {
            key: (element, self.model.types.get(kind))
            for element in self.elements.values()
            for key, kind in element.keys.items()
        }

    @cached_property
    def system(self) -> str:
        """The FHIRPath type that a primitive converts to; empty for what is not primitive."""
        if not self.primitive:
            return ""
        for name in self._line():
            if name in SYSTEM_TYPES:
                return SYSTEM_TYPES[name]
        return "String"

    def _line(self) -> list[str]:
        return [self.name, *(self.base._line() if self.base else [])]  # noqa: SLF001 — its own kind


class Model:
    """The types of one FHIR version; built once, then only read."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.types: dict[str, Type] = {}
        definitions = document["types"]
        for name in definitions:
            self._add(name, definitions)

    def _add(self, name: str, definitions: dict[str, Any]) -> None:
        if name in self.types or name not in definitions:
            return
        self._add(definitions[name]["base"], definitions)
        self.types[name] = Type(self, name, definitions[name])

    def of(self, resource: Any, fallback: Type | None = None) -> Type | None:
        """The type of a resource by its resourceType."""
        name = resource.get("resourceType") if isinstance(resource, dict) else None
        found = self.types.get(name) if isinstance(name, str) else None
        return found or fallback


def folder() -> Path:
    """Where the compiled definitions are: in the wheel beside the code, else in the checkout."""
    inside = Path(__file__).parent.parent / "fhir_profiles"
    return inside if inside.is_dir() else inside.parent.parent / "fhir_profiles"


@cache
def r4() -> Model:
    return Model(msgspec.json.decode((folder() / "r4-model.json").read_bytes()))
