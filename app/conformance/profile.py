"""
A profile as a tree of what it adds to its base type.

What a profile says is asked beside what its type says, so only differentials are read: each on top
of that of the profile below it, down to the type, of which the tree is empty. A profile that has
a snapshot only is read from that.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from app.conformance import bindings, limits, structure
from app.conformance.structure import Binding, Constraint, TypeRef
from app.errors import Malformed

if TYPE_CHECKING:
    from app.conformance.limits import Limit
    from app.fhir import Resource

MAX_CHAIN: Final = 32  # profiles on profiles; the guides have five
MAX_ROWS: Final = 50_000
_CHOICE: Final = "[x]"


@dataclass(frozen=True, slots=True)
class Slicing:
    """How slices are told apart: (type, path) of each discriminator."""

    discriminators: tuple[tuple[str, str], ...]
    rules: str
    ordered: bool


@dataclass(slots=True)
class Node:
    """
    What a profile says of one element; everything that it leaves open is left out.

    name        in JSON, without [x]
    exact       values that it is fixed to; `part`: patterns that it has to contain
    kind        its type where it has one, or the path of a backbone element
    where       what R4 says of its children
    names       of a choice: JSON name to type
    place       path below the resource where nothing on the way repeats, else None
    """

    name: str
    choice: bool = False
    minimum: int = 0
    maximum: int | None = None
    types: tuple[TypeRef, ...] = ()
    exact: list[Any] = field(default_factory=list)
    part: list[Any] = field(default_factory=list)
    bindings: tuple[Binding, ...] = ()
    constraints: list[Constraint] = field(default_factory=list)
    limits: dict[str, Limit] = field(default_factory=dict)
    slicing: Slicing | None = None
    slices: dict[str, Node] = field(default_factory=dict)
    children: dict[str, Node] = field(default_factory=dict)
    must_support: bool = False
    kind: str = ""
    where: tuple[structure.Structure, structure.Element] | None = None
    names: dict[str, str] = field(default_factory=dict)
    place: str | None = None

    def clone(self) -> Node:
        return replace(
            self,
            exact=list(self.exact),
            part=list(self.part),
            constraints=list(self.constraints),
            limits=dict(self.limits),
            slices={name: one.clone() for name, one in self.slices.items()},
            children={name: one.clone() for name, one in self.children.items()},
        )


def _is_loaded(canonical: str, known: Callable[[str], structure.Structure]) -> bool:
    try:
        known(canonical)
    except KeyError:
        return False
    return True


Parts = dict[str, Any]  # url of an extension inside another to the Parts inside that


@dataclass(frozen=True, slots=True)
class Stands:
    """
    What an extension's definition says of where it stands.

    places      elements, by path or type
    inside      urls of the extensions that may have it
    chosen      FHIRPath of a resource that gives the elements that may have it
    held        FHIRPath of the element that has it, which has to be true
    modifies    whether it stands among those that change what the element means
    parts       what is defined inside it
    """

    places: frozenset[str]
    inside: frozenset[str]
    chosen: tuple[str, ...]
    held: tuple[str, ...]
    modifies: bool
    parts: Parts


@dataclass(frozen=True, slots=True)
class Profile:
    """
    A profile, read.

    url         with its version
    stands      of an extension: where it may stand, and as what
    """

    url: str
    type: str
    root: Node
    stands: Stands | None = None


def read(
    definition: Resource,
    base: Callable[[str], Profile | None],
    known: Callable[[str], structure.Structure],
    *,
    whole: bool = False,
) -> Profile:
    """
    The tree of a profile.

    base        canonical of the profile below it to that, None for a type
    known       name of a type to its structure; raises KeyError
    whole       whether what must only be supported stays in it
    raises      Malformed: rows that make no tree, or that nothing can fulfil
    """
    try:
        below = definition.get("baseDefinition", "")
        under = base(below) if below else None
        root = under.root.clone() if under else Node("")
        kind = definition["type"]
        rows: list[Resource] = (definition.get("differential") or {}).get("element") or []
        standing = under is not None or not below or _is_loaded(below, known)
        if not rows or not standing:
            rows = (definition.get("snapshot") or {}).get("element") or []
        if not rows and standing:
            raise Malformed("The profile has no elements.")
        if not rows:
            raise Malformed(
                f"{below}, on which the profile stands, is not loaded; add its package."
            )
        if len(rows) > MAX_ROWS:
            raise Malformed("The profile has more elements than any profile has.")
        root.kind, base_type = kind, known(kind)
        root.where = (base_type, base_type.root)
        root.place = "" if base_type.kind == "resource" else None
        snapshot = (definition.get("snapshot") or {}).get("element") or []
        _Builder(root, known, definition["url"]).rows(rows, snapshot)
        if not whole:
            _prune(root)
        url = f"{definition['url']}|{definition.get('version', '')}".removesuffix("|")
        stands = _stands(definition, rows, under, root) if kind == "Extension" else None
        return Profile(url, kind, root, stands)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError):
        raise Malformed("The profile has elements that cannot be read.") from None


ANYWHERE: Final = frozenset({"Element"})


def _stands(
    definition: Resource, rows: list[Resource], under: Profile | None, root: Node
) -> Stands:
    said: dict[str, list[str]] = {"element": [], "extension": [], "fhirpath": []}
    for one in definition.get("context", ()):
        said.setdefault(one.get("type", ""), []).append(one["expression"])
    places = frozenset(one.replace("[x]", "").rpartition("#")[2] for one in said["element"])
    below = under.stands.modifies if under and under.stands else False
    return Stands(
        places if definition.get("context") else ANYWHERE,
        frozenset(said["extension"]),
        tuple(said["fhirpath"]),
        tuple(definition.get("contextInvariant", ())),
        bool(rows[0].get("isModifier", below)) if "." not in rows[0]["path"] else below,
        _parts(root),
    )


def _parts(node: Node) -> Parts:
    found: Parts = {}
    inside = node.children.get("extension")
    for one in inside.slices.values() if inside else ():
        url = one.children.get("url")
        for exact in url.exact if url else ():
            found[exact] = _parts(one)
    return found


_INSIDE: Final = frozenset({"contained", "resource", "outcome"})


def _prune(node: Node) -> bool:
    """Takes out what adds nothing, such as what must only be supported; whether the node stays."""
    for name in [name for name, child in node.children.items() if not _prune(child)]:
        del node.children[name]
    for one in node.slices.values():
        _prune(one)
    told = node.choice or node.name in _INSIDE
    typed = any(told or one.profiles or one.targets or one.modes for one in node.types)
    counted = node.minimum > 0 or node.maximum is not None
    bound = any(one.strength in ("required", "extensible") for one in node.bindings)
    said = node.exact or node.part or node.constraints or node.limits
    return bool(said or typed or counted or bound or node.slices or node.slicing or node.children)


class _Builder:
    def __init__(self, root: Node, known: Callable[[str], structure.Structure], url: str) -> None:
        self._known = known
        self._url = url
        self._at: dict[str, Node] = {"": root}
        self._sliced: Node | None = None  # what the last row is of a slice of

    def rows(self, rows: list[Resource], snapshot: list[Resource]) -> None:
        """
        What the rows say.

        snapshot    where they are a differential: what it was once taken to come to
        """
        told: list[tuple[str, Node]] = []
        for row in rows:
            path = row["path"].partition(".")[2]
            self._sliced = None
            node = self._place(path, row.get("sliceName"))
            told += [(row["path"], self._sliced)] if self._sliced is not None else []
            if node is not None:  # an element that R4 does not have: nothing can be said of it
                self._say(node, row)
                if node.maximum is not None and node.minimum > node.maximum:
                    raise Malformed(_contradiction(row["path"], node))
        for path, choice in told:
            if choice.choice and choice.slicing is None:
                choice.slicing = _by_type(path, choice, snapshot)

    def _place(self, path: str, slice_name: str | None) -> Node | None:
        """The node that a row is about; what is between the last row and it is made."""
        if not path:
            return self._at[""]
        parent_path, _, last = path.rpartition(".")
        parent = self._at.get(parent_path)
        if parent is None:
            parent = self._place(parent_path, None)
        if parent is None:
            return None
        choice = last.endswith(_CHOICE)
        name = last.removesuffix(_CHOICE)
        short = None if choice else _choice(parent, last)
        if short is not None:
            name, choice = short.name, True
        node = parent.children.get(name)
        if node is None:
            node = Node(name, choice)
            if not self._describe(node, parent):
                return None
            parent.children[name] = node
        if short is not None and slice_name is None:
            slice_name = last
        if slice_name is not None:
            self._sliced = node
            node = self._slice(node, slice_name, _type_name(short, last) if short else "")
        for other in [one for one in self._at if one.startswith(path + ".")]:
            del self._at[other]
        self._at[path] = node
        return node

    def _slice(self, node: Node, slice_name: str, code: str) -> Node:
        """
        A slice of an element, within the slices that it is a slice of.

        code        of the type that its path names, "" for none
        """
        steps = slice_name.split("/")
        for count in range(1, len(steps) + 1):
            key = "/".join(steps[:count])
            found = node.slices.get(key)
            if found is None:
                found = node.slices[key] = Node(node.name, node.choice)
                found.kind, found.where, found.names = node.kind, node.where, node.names
                found.place = node.place
                if code:
                    found.types = (TypeRef(code),)
                    self._become(found, code)
            node = found
        return node

    def _describe(self, node: Node, parent: Node) -> bool:
        """What R4 says of an element and its children; False where it has none such."""
        if parent.where is None:
            return True
        within, above = parent.where
        child = above.children.get(node.name) or above.children.get(node.name + _CHOICE)
        if child is None:
            return False
        if parent.place is not None and not child.many:
            node.place = f"{parent.place}.{node.name}"
        if node.choice:
            node.names = {_json(node.name, one.code): one.code for one in child.types}
        if child.content or child.children:
            element = within.elements[child.content] if child.content else child
            node.kind, node.where = element.path, (within, element)
        elif len(child.types) == 1:
            self._become(node, child.types[0].code)
        return True

    def _become(self, node: Node, code: str) -> None:
        node.kind, node.where = code, None
        try:
            found = self._known(code)
        except KeyError:
            return
        node.where = (found, found.root)

    def _say(self, node: Node, row: Resource) -> None:  # noqa: C901, PLR0912 — one line for each word of ElementDefinition
        if "min" in row:
            node.minimum = max(node.minimum, row["min"])
        if row.get("max", "*") != "*":
            limit = int(row["max"])
            node.maximum = limit if node.maximum is None else min(limit, node.maximum)
        if row.get("type"):
            node.types = tuple(structure.type_ref(kind, row) for kind in row["type"])
            if node.choice and len(node.types) == 1:
                self._become(node, node.types[0].code)
        for key, value in row.items():
            if key.startswith("fixed") and value not in node.exact:
                node.exact.append(value)
            elif key.startswith("pattern") and value not in node.part:
                node.part.append(value)
            elif key.startswith("minValue"):
                node.limits["least"] = limits.least(value)
            elif key.startswith("maxValue"):
                node.limits["most"] = limits.most(value)
        if "maxLength" in row:
            node.limits["longest"] = limits.longest(row["maxLength"])
        if "binding" in row:
            node.bindings = tuple(bindings.read(row["binding"], self._url)) or node.bindings
        known = {one.key for one in node.constraints}
        if node.where is not None:
            known |= {one.key for one in node.where[1].constraints}
        node.constraints += [
            structure.constraint_of(rule)
            for rule in row.get("constraint", ())
            if rule.get("key") not in known
        ]
        if "slicing" in row:
            how = row["slicing"]
            told = tuple((one["type"], one["path"]) for one in how.get("discriminator", ()))
            if not told and node.slicing:
                told = node.slicing.discriminators
            node.slicing = Slicing(told, how.get("rules", "open"), how.get("ordered") is True)
        node.must_support = node.must_support or row.get("mustSupport") is True


def _by_type(path: str, choice: Node, snapshot: list[Resource]) -> Slicing:
    """
    The slicing of a choice that has slices and does not say how they are told apart.

    Without a snapshot that says otherwise, types that have no slice are ruled out, as HL7's
    snapshots have it.
    """
    stem = path.rpartition(".")[0]
    whole = f"{stem}.{choice.name}{_CHOICE}"
    said: Resource = next(
        (row["slicing"] for row in snapshot if row["path"] == whole and "slicing" in row), {}
    )
    return Slicing((("type", "$this"),), said.get("rules", "closed"), said.get("ordered") is True)


def _contradiction(path: str, node: Node) -> str:
    place = path if _PATH(path) else "one of its elements"
    return (
        f"The profile asks for {place} {node.minimum} times at least, and {node.maximum} times at "
        "most is all that it or its base allows; mend the profile."
    )


_PATH: Final = re.compile(r"[A-Za-z][A-Za-z0-9.\[\]]{0,200}").fullmatch


def _choice(parent: Node, name: str) -> structure.Element | None:
    """The choice that a path such as Observation.valueQuantity is short for."""
    if parent.where is None or name in parent.where[1].children:
        return None
    for child in parent.where[1].children.values():
        if child.choice and name.startswith(child.name) and name != child.name:
            return child
    return None


def _type_name(choice: structure.Element, name: str) -> str:
    for one in choice.types:
        if _json(choice.name, one.code) == name:
            return one.code
    return name.removeprefix(choice.name)


def _json(name: str, code: str) -> str:
    """The JSON name of a choice with a value of a type."""
    return name + code[:1].upper() + code[1:]
