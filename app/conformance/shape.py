"""
The first stage of a check: is this JSON of the type that it says it is.

Each type is compiled to a test that only says yes, and to a walk that says what is wrong and
where. The walk runs when the test did not say yes, and it alone decides: the test may say no to
what is right, never yes to what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from app import fhir
from app.conformance import primitives, structure
from app.conformance.findings import EnoughError, Findings, finding, too_many

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.conformance.structure import Element, Structure, TypeRef
    from app.errors import Issue
    from app.fhir import Resource

Test = Callable[[Any], object]

ANY: Final = frozenset({"Resource", "DomainResource"})
INLINE: Final = frozenset({"", "BackboneElement", "Element"})
REFUSED: Final = (
    AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError,
)  # fmt: skip  # what a test may raise instead of saying no

_control = re.compile(rb"\\(?:[bf]|u00)").search


class Members(dict[str, Test]):
    """The test of each member of an object, compiled when it is first met."""

    def __init__(self, make: Callable[[str], Test]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, name: str) -> Test:
        test = self[name] = self._make(name)
        return test


class Shapes:
    """
    Every shape that has been asked for, compiled once.

    find        type name to its structure; raises KeyError
    """

    def __init__(self, find: Callable[[str], Structure]) -> None:
        self._find = find
        self._shapes: dict[tuple[str, str], Shape] = {}
        self._resources = Members(lambda name: self.resource(name).test)

    def type(self, code: str) -> Shape:
        """Raises KeyError: no such type."""
        found = self._find(code)
        return self.at(found, found.root, resource=False)

    def resource(self, name: str) -> Shape:
        """Raises KeyError: no such resource type."""
        found = self._find(name)
        if found.kind != "resource" or found.abstract:
            raise KeyError(name)
        return self.at(found, found.root, resource=True)

    def at(self, where: Structure, element: Element, *, resource: bool) -> Shape:
        key = (where.url, element.path)
        found = self._shapes.get(key)
        if found is None:
            found = self._shapes.setdefault(key, Shape(self, where, element, resource=resource))
        return found

    def test_resource(self, value: Any) -> object:
        return self._resources[value["resourceType"]](value)

    def walk_resource(self, value: Any, path: str, found: Findings) -> None:
        if not isinstance(value, dict):
            found.add(_wrong_json(path, "a resource, an object with resourceType"))
            return
        name = value.get("resourceType")
        if not isinstance(name, str):
            found.add(
                finding("resource-type", path, "A resource says its resourceType; this does not.")
            )
            return
        try:
            shape = self.resource(name)
        except KeyError:
            found.add(finding("resource-type", path, "The resourceType is not one of FHIR R4's."))
            return
        shape.walk(value, path, found)

    def check(self, value: Resource) -> list[Issue]:
        """What is wrong with the shape of a resource of any type."""
        try:
            if plain(fhir.encode(value)) and self.test_resource(value):
                return []
        except REFUSED:
            pass
        return walked(lambda found: self.walk_resource(value, root_path(value), found))


class Shape:
    """
    One object: a resource, a data type, or a backbone element.

    test        says yes when all of it, to the bottom, is right
    """

    def __init__(
        self, shapes: Shapes, where: Structure, element: Element, *, resource: bool
    ) -> None:
        self._shapes = shapes
        self._where = where
        self._resource = resource
        content = where.elements[element.content] if element.content else element
        self._names = structure.members(content)
        groups: dict[str, set[str]] = {}
        for name, (child, _) in self._names.items():
            if child.choice:
                groups.setdefault(child.name, set()).add(name)
        self._choices = {key: frozenset(group) for key, group in groups.items()}
        self.test = _test(Members(self._member), list(self._choices.values()))

    def walk(self, value: Any, path: str, found: Findings) -> None:
        if not isinstance(value, dict):
            found.add(_wrong_json(path, "an object"))
            return
        if not value:
            found.add(finding("json-empty", path, "An object is empty; fill it or leave it out."))
            return
        for name in value:
            self._walk_member(name, path, value, found)
        for choice, group in self._choices.items():
            given = {name.removeprefix("_") for name in value} & group
            if len(given) > 1:
                found.add(
                    finding(
                        "choice",
                        f"{path}.{choice}",
                        f"{choice}[x] may have one value, of one type; keep one of them.",
                    )
                )

    def _member(self, name: str) -> Test:
        if name == "resourceType" and self._resource:
            return str.strip
        if name.startswith("_"):
            child, kind = self._names[name[1:]]
            if child.choice or child.many or kind.code not in primitives.TYPES:
                raise KeyError(name)
            return self._shapes.type("Element").test
        child, kind = self._names[name]
        if kind.code in primitives.TYPES:
            one: Test = primitives.TYPES[kind.code].quick
        elif kind.code in ANY:
            one = self._shapes.test_resource
        else:
            one = self._object(child, kind).test
        if child.maximum == 0:
            raise KeyError(name)
        return _each(one) if child.many else one

    def _object(self, child: Element, kind: TypeRef) -> Shape:
        if child.children or child.content or kind.code in INLINE:
            return self._shapes.at(self._where, child, resource=False)
        return self._shapes.type(kind.code)

    def _walk_member(
        self, name: str, path: str, parent: Mapping[str, Any], found: Findings
    ) -> None:
        if name == "resourceType" and self._resource:
            return
        value = parent[name]
        known = self._names.get(name.removeprefix("_"))
        extends = name.startswith("_")
        if known is None or (extends and known[1].code not in primitives.TYPES):
            found.add(_unknown(path, name))
            return
        child, kind = known
        place = f"{path}.{child.name}"
        if child.choice:
            place = f"{place}.ofType({kind.code})"
        if value is None:
            found.add(_null(place))
        elif isinstance(value, list) != child.many:
            found.add(_wrong_array(place, many=child.many))
        elif child.many:
            self._walk_list(name, place, parent, found)
        elif extends:
            self._shapes.type("Element").walk(value, place, found)
        else:
            self._walk_one(known, value, place, found)

    def _walk_list(self, name: str, place: str, parent: Mapping[str, Any], found: Findings) -> None:
        """A list of values, or the list of the ids and extensions beside one of primitives."""
        values = parent[name]
        extends = name.startswith("_")
        known = self._names[name.removeprefix("_")]
        beside = parent.get(name[1:] if extends else f"_{name}")
        others = beside if isinstance(beside, list) else []
        if not values:
            found.add(finding("json-empty", place, "A list is empty; fill it or leave it out."))
        if extends and others and len(others) != len(values):
            text = (
                f"{name} and {name[1:]} differ in length; each value has its place in both, "
                "and null where there is nothing."
            )
            found.add(finding("json-primitive-extension", place, text))
        for index, one in enumerate(values):
            spot = f"{place}[{index}]"
            if one is None:
                other = others[index] if index < len(others) else None
                if other is None and not (extends and others):
                    found.add(_null(spot))
            elif extends:
                self._shapes.type("Element").walk(one, spot, found)
            else:
                self._walk_one(known, one, spot, found)

    def _walk_one(
        self, known: tuple[Element, TypeRef], value: Any, path: str, found: Findings
    ) -> None:
        child, kind = known
        if value is None:
            found.add(_null(path))
        elif isinstance(value, list):
            found.add(finding("json-array", path, "A list stands inside a list; take it out."))
        elif kind.code in ANY:
            self._shapes.walk_resource(value, path, found)
        elif kind.code in primitives.TYPES:
            _walk_primitive(kind.code, value, path, found)
        else:
            self._object(child, kind).walk(value, path, found)


def plain(raw: bytes) -> bool:
    """Whether no string in this JSON has a control character or is over the limit; False if unsure."""
    return len(raw) <= primitives.MAX_STRING and (b"\\" not in raw or _control(raw) is None)


def root_path(value: Any) -> str:
    """Where a path starts: the resourceType, if it looks like one."""
    name = value.get("resourceType") if isinstance(value, dict) else None
    return name if isinstance(name, str) and _NAME(name) else "Resource"


_NAME: Final = re.compile(r"[A-Z][A-Za-z]{1,63}").fullmatch


def walked(walk: Callable[[Findings], None]) -> list[Issue]:
    """The findings of a walk, which ends when there are enough of them."""
    found = Findings()
    try:
        walk(found)
    except EnoughError:
        found.append(too_many())
    except RecursionError:
        found.append(
            finding("json-depth", "", "The resource is nested too deep to be checked; flatten it.")
        )
    return list(found)


def _test(members: Members, choices: list[frozenset[str]]) -> Test:
    def test(value: Any) -> object:
        for name, child in value.items():
            if not members[name](child):
                return False
        return value

    def test_choices(value: Any) -> object:
        for name, child in value.items():
            if not members[name](child):
                return False
        if len(value) > 1:
            for group in choices:
                if len(group & value.keys()) > 1:
                    return False
        return value

    return test_choices if choices else test


def _each(test: Test) -> Test:
    def each(values: Any) -> object:
        if type(values) is not list:
            return False
        for value in values:
            if not test(value):
                return False
        return values

    return each


def _walk_primitive(code: str, value: Any, path: str, found: Findings) -> None:
    kind = primitives.TYPES[code]
    if value == "":
        found.add(finding("json-empty", path, "A text is empty; fill it or leave it out."))
    elif not kind.fits(value):
        article = "an" if kind.json[0] in "aeiou" else "a"
        text = f"The JSON value of a {code} is {article} {kind.json}; write {kind.form}."
        found.add(finding("json-type", path, text))
    elif not kind.accepts(value):
        text = f"This is no {code}; write {kind.form}."
        issue = finding("primitive-format", path, text)
        found.add(issue)


def _wrong_json(path: str, what: str) -> Issue:
    return finding("json-object", path, f"Here stands {what}, and nothing else.")


def _wrong_array(path: str, *, many: bool) -> Issue:
    text = (
        "This element may repeat, so JSON has a list for it; put it in brackets."
        if many
        else "This element has one value, not a list; take the brackets away."
    )
    return finding("json-array", path, text)


def _null(path: str) -> Issue:
    text = "null is allowed in a list of primitives only, where its extension stands beside."
    return finding("json-null", path, text)


def _unknown(path: str, name: str) -> Issue:
    place = f"{path}.{name}" if _ELEMENT(name) else path
    text = "FHIR R4 has no such element here; mend its name, or send it as an extension."
    return finding("json-element", place, text)


_ELEMENT: Final = re.compile(r"_?[A-Za-z][A-Za-z0-9]{0,63}").fullmatch
