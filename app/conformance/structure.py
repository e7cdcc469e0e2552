"""A StructureDefinition as a tree of elements, the form that checkers are compiled from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from app.errors import Malformed

if TYPE_CHECKING:
    from app.fhir import Resource

BASE: Final = "http://hl7.org/fhir/StructureDefinition/"
_SYSTEM: Final = "http://hl7.org/fhirpath/System."
_FHIR_TYPE: Final = BASE + "structuredefinition-fhir-type"


@dataclass(frozen=True, slots=True)
class TypeRef:
    """
    One type that an element may have.

    code        name of the type, or its canonical if it is not HL7's
    targets     canonicals that a Reference or canonical may lead to; none means any
    modes       of a reference: contained, bundled, referenced; none means any
    """

    code: str
    targets: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Binding:
    """
    usage       when it is asked: a path and codes, one of which the resource has to have there;
                the path "" is a circumstance of which a resource says nothing
    """

    strength: str
    value_set: str
    usage: tuple[tuple[str, frozenset[tuple[str, str]]], ...] = ()


@dataclass(frozen=True, slots=True)
class Constraint:
    """An invariant as its author wrote it; source is the canonical that it comes from."""

    key: str
    severity: str
    human: str
    expression: str
    source: str


@dataclass(slots=True)
class Element:
    """
    One element definition with those below it.

    name        in FHIRPath: without [x]
    maximum     None for `*`
    many        whether JSON has an array for it, which a profile cannot change
    summary     whether it is part of a summary
    content     path of the element whose children these are, "" for its own
    """

    path: str
    name: str
    choice: bool
    minimum: int
    maximum: int | None
    many: bool
    types: tuple[TypeRef, ...]
    binding: Binding | None
    constraints: tuple[Constraint, ...]
    content: str
    summary: bool = False
    children: dict[str, Element] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Structure:
    url: str
    version: str
    type: str
    kind: str
    abstract: bool
    root: Element
    elements: dict[str, Element]


def read(definition: Resource) -> Structure:
    """
    The tree of a StructureDefinition's snapshot.

    raises      Malformed: no snapshot, or its paths make no tree
    source      https://hl7.org/fhir/R4/elementdefinition.html
    """
    try:
        rows = definition["snapshot"]["element"]
        elements: dict[str, Element] = {}
        for row in rows:
            _place(elements, row)
        root = elements[rows[0]["path"]]
        return Structure(
            definition["url"],
            definition.get("version", ""),
            definition["type"],
            definition["kind"],
            definition.get("abstract") is True,
            root,
            elements,
        )
    except (KeyError, TypeError, IndexError, AttributeError, ValueError):
        raise Malformed("The StructureDefinition has no snapshot that can be read.") from None


def members(element: Element) -> dict[str, tuple[Element, TypeRef]]:
    """JSON name to the element and the type that the name stands for."""
    found: dict[str, tuple[Element, TypeRef]] = {}
    for child in element.children.values():
        for one in child.types or (TypeRef(""),):
            name = child.name + one.code[:1].upper() + one.code[1:] if child.choice else child.name
            found.setdefault(name, (child, one))
    return found


def _place(elements: dict[str, Element], row: dict[str, Any]) -> None:
    path: str = row["path"]
    if path in elements:
        return  # a slice: the element before it says what all have in common
    parent, _, last = path.rpartition(".")
    one = Element(
        path.removesuffix("[x]"),
        last.removesuffix("[x]"),
        last.endswith("[x]"),
        row.get("min", 0),
        None if row.get("max", "*") == "*" else int(row["max"]),
        row.get("base", row).get("max", "*") not in ("0", "1"),
        tuple(type_ref(kind, row) for kind in row.get("type", ())),
        _binding(row),
        tuple(constraint_of(rule) for rule in row.get("constraint", ())),
        row.get("contentReference", "").rpartition("#")[2],
        row.get("isSummary") is True,
    )
    elements[path] = one
    if parent:
        elements[parent].children[last] = one


def type_ref(kind: dict[str, Any], row: dict[str, Any]) -> TypeRef:
    code: str = kind["code"]
    if code.startswith(_SYSTEM):
        code = next(
            (
                extension.get("valueUrl") or extension.get("valueUri")
                for extension in kind.get("extension", ())
                if extension["url"] == _FHIR_TYPE
            ),
            code.removeprefix(_SYSTEM).lower(),
        )
        if row.get("base", {}).get("path") == "Resource.id":
            code = "id"  # R4 says string there and means id, https://jira.hl7.org/browse/FHIR-16236
    code = code.removeprefix(BASE)
    return TypeRef(
        code,
        tuple(kind.get("targetProfile", ())),
        tuple(kind.get("profile", ())),
        tuple(kind.get("aggregation", ())),
    )


def _binding(row: dict[str, Any]) -> Binding | None:
    found = row.get("binding")
    if not found or not found.get("valueSet"):
        return None
    return Binding(found["strength"], found["valueSet"])


def constraint_of(rule: dict[str, Any]) -> Constraint:
    return Constraint(
        rule["key"],
        rule["severity"],
        rule.get("human", ""),
        rule.get("expression", ""),
        rule.get("source", ""),
    )
