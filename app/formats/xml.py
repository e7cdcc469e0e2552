"""
A FHIR resource in XML, read into its JSON, with where each element stood.

source      https://hl7.org/fhir/R4/xml.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from msgspec.structs import replace

from app.conformance import primitives, structure
from app.conformance.findings import finding
from app.conformance.shape import ANY, INLINE
from app.conformance.structure import Element, Structure, TypeRef
from app.errors import Issue, Malformed
from app.fhir import Resource
from app.formats import markup
from app.formats.markup import Markup

FHIR: Final = "http://hl7.org/fhir"
XHTML: Final = "http://www.w3.org/1999/xhtml"
_PAGE: Final = "https://hl7.org/fhir/R4/xml.html"
_SCHEMA: Final = "http://www.w3.org/2001/XMLSchema-instance\n"  # where a schema may be found
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?")
_STEP: Final = re.compile(r"\.?(?:ofType\((?P<type>[^)]*)\)|(?P<name>[^.\[\]()]+)|\[(?P<at>\d+)\])")

Find = Callable[[str], Structure]


@dataclass(eq=False, slots=True)
class Place:
    """Where an element stands, from 1, and those below it by their names in JSON."""

    line: int
    column: int
    below: dict[str, list[Place]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """A resource, where its elements stood, and what is wrong with it as XML alone."""

    resource: Resource
    place: Place
    issues: tuple[Issue, ...]

    def find(self, path: str) -> tuple[int, int]:
        """Line and column of what an issue's path points to, or of what it would stand in."""
        at = self.place
        steps = list(_STEP.finditer(path))[1:]
        several: list[Place] = []
        for index, step in enumerate(steps):
            if step["at"] is not None:
                if int(step["at"]) >= len(several):
                    break
                at = several[int(step["at"])]
            elif step["name"]:
                kind = steps[index + 1]["type"] if index + 1 < len(steps) else None
                name = step["name"] + (kind[:1].upper() + kind[1:] if kind else "")
                several = at.below.get(name, [])
                if not several:
                    break
                at = several[0]
        return at.line, at.column


def read(raw: bytes, find: Find, most: int = markup.MAX_ELEMENTS) -> Document:
    """
    The resource of an XML document.

    find        type name to its structure; raises KeyError
    most        elements
    raises      Malformed, TooLarge: as markup.read; not a resource in FHIR's namespace
    """
    root = markup.read(raw, most)
    if root.namespace != FHIR:
        raise Malformed(f"The XML is no FHIR resource: its root is not in {FHIR}.")
    reader = _Reader(find)
    resource, place = reader.resource(root, root.name)
    return Document(resource, place, tuple(reader.issues))


def worded(issues: Iterable[Issue]) -> list[Issue]:
    """What a check of the JSON says, in words for who has sent XML: no brackets, no quotes."""
    return [_worded(one) for one in issues]


def _worded(issue: Issue) -> Issue:
    if issue.rule == "json-type":
        form = issue.text.rpartition("; ")[2].removesuffix(".").removesuffix(", without quotes")
        text = f"The value is not of its type; {form}."
        return finding("primitive-format", issue.expression, text)
    if issue.rule == "json-array":
        text = "This element may stand once; keep one of them."
        return finding("cardinality-max", issue.expression, text)
    if issue.rule in _TEXTS:
        text = _TEXTS[issue.rule] or issue.text
        return replace(issue, text=text, rule="xml-element", url=_PAGE)
    return issue


# What can still be said of the JSON that was made of XML; "" where the text fits both.
_TEXTS: Final = {
    "json-depth": "",
    "json-element": "",
    "json-empty": "This is empty; fill it or leave it out.",
    "json-null": "This is empty; fill it or leave it out.",
    "json-object": "Here stands an element with elements in it, and no value.",
}


class _Reader:
    def __init__(self, find: Find) -> None:
        self._find = find
        self._members: dict[tuple[str, str], dict[str, tuple[Element, TypeRef]]] = {}
        self.issues: list[Issue] = []

    def resource(self, node: Markup, path: str) -> tuple[Resource, Place]:
        made: Resource = {"resourceType": node.name}
        place = Place(node.line, node.column)
        try:
            where = self._find(node.name)
        except KeyError:
            return made, place  # the check says that there is no such type
        self._members_of(node, (where, where.root), made, (path, place))
        return made, place

    def _say(self, text: str, path: str) -> None:
        if len(self.issues) < 1000:
            self.issues.append(Issue("error", "structure", text, path, "xml-element", _PAGE))

    def _names(self, where: Structure, element: Element) -> dict[str, tuple[Element, TypeRef]]:
        key = (where.url, element.path)
        if key not in self._members:
            content = where.elements[element.content] if element.content else element
            self._members[key] = structure.members(content)
        return self._members[key]

    def _members_of(
        self,
        node: Markup,
        of: tuple[Structure, Element],
        made: Resource,
        at: tuple[str, Place],
    ) -> None:
        """An object's members, from attributes and elements."""
        path, place = at
        names = self._names(*of)
        if node.has_text:
            self._say("Text stands here beside elements; values are attributes.", path)
        for key, value in node.attributes.items():
            if key in ("id", "url") and key in names:
                made[key] = value
                place.below[key] = [Place(node.line, node.column)]
            elif not key.startswith(_SCHEMA):
                self._say("An attribute stands here that FHIR does not have.", path)
        order = {name: index for index, name in enumerate(names)}
        last = -1
        for child in node.children:
            known = names.get(child.name)
            if child.namespace != (XHTML if known and known[1].code == "xhtml" else FHIR):
                self._say("An element here is in another namespace than FHIR's.", path)
                continue
            if known is not None:
                index = order[child.name]
                if index < last:
                    self._say("The elements stand in another order than FHIR has them.", path)
                last = max(last, index)
            self._member(child, (of[0], known), made, at)

    def _member(
        self,
        node: Markup,
        of: tuple[Structure, tuple[Element, TypeRef] | None],
        made: Resource,
        at: tuple[str, Place],
    ) -> None:
        path, place = at
        where, known = of
        several = place.below.setdefault(node.name, [])
        own = Place(node.line, node.column)
        several.append(own)
        if known is None:
            made[node.name] = _unknown(node)  # the check says that there is no such element
            return
        child, kind = known
        name = f"{child.name}.ofType({kind.code})" if child.choice else child.name
        inner = f"{path}.{name}[{len(several) - 1}]" if child.many else f"{path}.{name}"
        if kind.code in primitives.TYPES:
            self._primitive(node, known, made, (inner, own))
            return
        value = self._object(node, (where, child), kind, (inner, own))
        if child.many or node.name in made:
            made.setdefault(node.name, [])
            if not isinstance(made[node.name], list):
                made[node.name] = [made[node.name]]  # once too often, which the check says
            made[node.name].append(value)
        else:
            made[node.name] = value

    def _object(
        self, node: Markup, of: tuple[Structure, Element], kind: TypeRef, at: tuple[str, Place]
    ) -> Any:
        if kind.code in ANY:
            inside = node.children
            if len(inside) != 1 or inside[0].namespace != FHIR:
                self._say("Here stands one resource, and nothing beside it.", at[0])
                return {}
            resource, place = self.resource(inside[0], at[0])
            at[1].below = place.below
            at[1].line, at[1].column = place.line, place.column
            return resource
        made: Resource = {}
        where, child = of
        if child.children or child.content or kind.code in INLINE:
            self._members_of(node, of, made, at)
            return made
        try:
            where = self._find(kind.code)
        except KeyError:
            return _unknown(node)
        self._members_of(node, (where, where.root), made, at)
        return made

    def _primitive(
        self, node: Markup, known: tuple[Element, TypeRef], made: Resource, at: tuple[str, Place]
    ) -> None:
        """A value, and in its sibling the id and the extensions that it has."""
        child, kind = known
        value: Any = None
        beside: Resource = {}
        if kind.code == "xhtml":
            value = node.written()
        else:
            if node.has_text:
                self._say("Text stands here; a value is the attribute `value`.", at[0])
            if "value" in node.attributes:
                value = _value(node.attributes["value"], kind.code)
            rest = {key: one for key, one in node.attributes.items() if key != "value"}
            element = self._find("Element")
            inside: list[str | Markup] = list(node.children)
            bare = Markup(node.namespace, node.name, rest, node.line, node.column, inside)
            self._members_of(bare, (element, element.root), beside, at)
            if not (node.attributes or node.children or node.has_text):
                self._say("The element is empty; give it a value, or leave it out.", at[0])
        _put(made, node.name, value, beside, many=child.many)


def _put(made: Resource, name: str, value: Any, beside: Resource, *, many: bool) -> None:
    sibling = f"_{name}"
    if not many:
        if name in made or sibling in made:
            value = [*_several(made.get(name)), value]  # once too often, which the check says
        if value is not None:
            made[name] = value
        if beside:
            made[sibling] = beside
        return
    values, others = made.get(name, []), made.get(sibling, [])
    count = max(len(values), len(others))
    if value is not None or values:
        made[name] = [*values, *[None] * (count - len(values)), value]
    if beside or others:
        made[sibling] = [*others, *[None] * (count - len(others)), beside or None]
    if name in made and sibling in made:
        longest = max(len(made[name]), len(made[sibling]))
        for key in (name, sibling):
            made[key] = [*made[key], *[None] * (longest - len(made[key]))]


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _value(text: str, code: str) -> Any:
    """As JSON has it; what is not of its type stays text, and the check says so."""
    kind = primitives.TYPES[code].json
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    if kind == "number" and code == "decimal" and _NUMBER.fullmatch(text):
        return Decimal(text)
    if kind == "number" and _INTEGER.fullmatch(text):
        return int(text)
    return text


def _unknown(node: Markup) -> Any:
    if "value" in node.attributes:
        return node.attributes["value"]
    return {one.name: _unknown(one) for one in node.children[:100]}
