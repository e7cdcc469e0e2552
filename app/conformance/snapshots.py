"""
Snapshots made from differentials: every element of a profile, with all that is said of it below.

source      https://hl7.org/fhir/R4/profiling.html#snapshot
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.conformance import constraining, elements, packages, structure
from app.conformance.elements import CHOICE, Node
from app.conformance.structure import BASE
from app.errors import Issue, Malformed

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.fhir import Resource

    Find = Callable[[str], Resource | None]

MAX_CHAIN: Final = 32  # definitions on definitions; the guides have five
MAX_NODES: Final = 200_000  # made for one snapshot
MAX_ISSUES: Final = 100


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    rows        ElementDefinitions, each with id and path
    issues      what the differential says that cannot be so, and what could not be looked up
    """

    rows: list[Resource]
    issues: tuple[Issue, ...]


class Snapshots:
    """
    Snapshots, each made once.

    find        canonical to StructureDefinition, None where it is not loaded
    """

    def __init__(self, find: Find) -> None:
        self._find = find
        self._trees: dict[str, Node] = {}
        self._below: dict[str, str] = {}
        self._making: list[str] = []

    def make(self, definition: Resource) -> Snapshot:
        """
        The snapshot of a definition by its differential, whether it has one already or not.

        raises      Malformed: it stands on itself, or it or what it stands on cannot be read
        """
        issues: list[Issue] = []
        root = self._make(definition, issues)
        return Snapshot(elements.rows(root), tuple(issues))

    def tree(self, canonical: str) -> Node | None:
        """The tree of a definition that is loaded: of its own snapshot, else of one made."""
        if canonical not in self._trees:
            definition = self._find(canonical)
            if definition is None:
                return None
            told = (definition.get("snapshot") or {}).get("element")
            made = elements.tree(told) if told else self._make(definition, [])
            constrains = definition.get("derivation") == "constraint"
            _own(made, str(BASE + definition["type"] if constrains else definition.get("url", "")))
            self._trees[canonical] = made
        return self._trees[canonical]

    def type(self, code: str) -> Node | None:
        return self.tree(code if ":" in code else BASE + code)

    def profile(self, canonical: str) -> Node | None:
        """As tree, and None for one that is being made: elements may be of their own profile."""
        return None if packages.split(canonical)[0] in self._making else self.tree(canonical)

    def is_kind_of(self, code: str, other: str) -> bool:
        """Whether a type is another, or stands on it."""
        for _ in range(MAX_CHAIN):
            if code == other:
                return True
            if code not in self._below:
                definition = self._find(code if ":" in code else BASE + code) or {}
                self._below[code] = str(definition.get("baseDefinition", "")).removeprefix(BASE)
            code = self._below[code]
        return False

    def _make(self, definition: Resource, issues: list[Issue]) -> Node:
        url = str(definition.get("url", ""))
        if url in self._making:
            raise Malformed(f"{url} stands on itself, by its baseDefinition; mend it.")
        if len(self._making) >= MAX_CHAIN:
            raise Malformed(f"{url} stands on more than {MAX_CHAIN} definitions.")
        self._making.append(url)
        try:
            root = self._under(definition)
            told = (definition.get("differential") or {}).get("element") or []
            if told:
                _Merge(self, definition, issues).apply(elements.tree(told), root, root.name)
        except (KeyError, TypeError, IndexError, AttributeError, ValueError):
            raise Malformed(f"{url} has elements that cannot be read.") from None
        finally:
            self._making.pop()
        return root

    def _under(self, definition: Resource) -> Node:
        """What it stands on, as its own to change."""
        below = definition.get("baseDefinition")
        if not below or below == _NOTHING:
            return Node(str(definition["type"]).rpartition("/")[2])
        found = self.tree(below)
        if found is None:
            raise Malformed(f"{below}, on which {definition.get('url')} stands, is not loaded.")
        root = found.clone()
        if definition.get("derivation") == "specialization":
            root.name = str(definition["type"]).rpartition("/")[2]
            root.row["base"] = {"path": root.name, "min": 0, "max": "*"}
        return root


class _Merge:
    """One differential on its way onto what is below it; changes the tree that it is given."""

    def __init__(self, snapshots: Snapshots, definition: Resource, issues: list[Issue]) -> None:
        self._snapshots = snapshots
        self._url = str(definition.get("url", ""))
        self._issues = issues
        self._adds = definition.get("derivation") != "constraint"
        self._made = 0

    def apply(self, told: Node, node: Node, at: str) -> None:
        """
        What a differential says of a node and all below it.

        at      the node's id
        """
        if told.row:
            said = constraining.merged(
                node.row, told.row, source=self._url, is_kind_of=self._snapshots.is_kind_of
            )
            node.row = said.row
            for text in said.contradictions:
                self._say("error", "business-rule", text, at)
            if "type" in told.row:
                self._inherit(node)
        if told.children:
            self._unfold(node, at)
            sliced = {one.name for one in told.children.values() if one.slice}
            # A slice is made of what stands below, not of what is said here of all.
            before = {name: whole.clone() for name in sliced if (whole := node.child(name))}
            for child in told.children.values():
                self._child(child, node, at, before)
            _raise(node)

    def _say(self, severity: str, code: str, text: str, at: str) -> None:
        if len(self._issues) >= MAX_ISSUES:
            raise Malformed(f"{self._url} has more than {MAX_ISSUES} faults; mend what it is of.")
        self._issues.append(Issue(severity, code, text, at, "snapshot", profile=self._url))

    def _count(self, made: Node) -> Node:
        self._made += made.size()
        if self._made > MAX_NODES:
            raise Malformed(f"{self._url} unfolds to more than {MAX_NODES} elements.")
        return made

    def _child(self, told: Node, node: Node, at: str, before: dict[str, Node]) -> None:
        found = node.child(told.name, told.slice)
        if found is None and told.slice:
            found = self._slice(told, node, at, before)
        elif found is None and self._adds:
            found = node.add(self._new(told, at))
        elif found is None:
            found = self._choice(told, node, at)
        if found is None:
            text = "The base has no such element; mend the path, or the slice's name."
            self._say("error", "not-found", text, f"{at}.{told.step}")
            return
        self.apply(told, found, f"{at}.{found.step}")

    def _new(self, told: Node, at: str) -> Node:
        """An element that a type adds to what it stands on."""
        counted = {key: told.row[key] for key in ("min", "max") if key in told.row}
        row: Resource = {"base": {"path": f"{at}.{told.name}", **counted}}
        whole = self._snapshots.type("Element")
        if whole is not None:
            row["constraint"] = whole.row.get("constraint", [])
        return Node(told.name, row=row)

    def _slice(self, told: Node, node: Node, at: str, before: dict[str, Node]) -> Node | None:
        """A new slice: what stands below of the element that it is a slice of, once more."""
        above = node.child(told.name, told.slice.rpartition("/")[0])
        if above is None:
            return None
        if (above.row.get("slicing") or {}).get("rules") == "closed" and told.name not in before:
            self._say("error", "business-rule", "The base's slicing is closed.", at)
        whole = above if above.slice else before.get(told.name, above)
        made = self._count(whole.clone())
        made.slice = told.slice
        for key in ("slicing", "mustSupport"):  # each slice says for itself what is supported
            made.row.pop(key, None)
        made.row["min"] = 0
        if not above.slice and "slicing" not in above.row:
            self._open(above, at)
        return node.add(made)

    def _open(self, node: Node, at: str) -> None:
        """The slicing that goes without saying, of extensions and of choices."""
        if node.name in _EXTENSIONS:
            node.row["slicing"] = _BY_URL
        elif node.name.endswith(CHOICE):
            node.row["slicing"] = {**_BY_TYPE, "rules": "open"}
        else:
            text = "There are slices, and nothing says by what they are told apart; add slicing."
            self._say("error", "structure", text, f"{at}.{node.name}")

    def _choice(self, told: Node, node: Node, at: str) -> Node | None:
        """The choice that a path such as Observation.valueQuantity is short for."""
        for one in list(node.children.values()):
            stem = one.name.removesuffix(CHOICE)
            if one.slice or stem == one.name or not told.name.startswith(stem):
                continue
            kinds = [
                kind
                for kind in one.row.get("type", ())
                if stem + kind["code"][:1].upper() + kind["code"][1:] == told.name
            ]
            if not kinds:
                continue
            found = node.child(one.name, told.name)
            if found is not None:
                return found
            if ":" in at:  # within a slice HL7 takes it for the choice itself, of that type
                one.row = {**one.row, "type": kinds}
                return one
            whole = one.clone()
            if "slicing" not in one.row:
                one.row = {**one.row, "slicing": {**_BY_TYPE, "rules": "open"}}
            if told.row.get("min"):
                slicing = {**_BY_TYPE, "rules": "closed"}
                one.row = {**one.row, "min": told.row["min"], "type": kinds, "slicing": slicing}
            made = self._slice(Node(one.name, told.name), node, at, {one.name: whole})
            if made is not None:
                made.row["type"] = kinds
            return made
        return None

    def _inherit(self, node: Node) -> None:
        """What the profile of an element's one type says of the element as a whole."""
        kinds: list[Resource] = node.row.get("type", [])
        profiles: list[str] = kinds[0].get("profile", []) if len(kinds) == 1 else []
        if len(profiles) != 1 or kinds[0]["code"] != "Extension":
            return
        whole = self._snapshots.profile(profiles[0])
        if whole is None:
            return
        for key in ("constraint", "condition"):
            if key in whole.row:
                node.row = constraining.added(node.row, key, whole.row[key])

    def _unfold(self, node: Node, at: str) -> None:
        """The children that an element has by its type, where they do not stand there yet."""
        if node.children:
            return
        content = node.row.get("contentReference")
        whole = self._content(content) if content else self._of_type(node, at)
        if whole is None:
            return
        node.children = {step: self._count(child.clone()) for step, child in whole.children.items()}
        if content:
            row = {key: value for key, value in node.row.items() if key != "contentReference"}
            node.row = {**row, "type": whole.row.get("type", [])}

    def _content(self, reference: str) -> Node | None:
        canonical, _, path = reference.rpartition("#")
        found = self._snapshots.type(canonical or path.partition(".")[0])
        for step in path.split(".")[1:]:
            found = found.child(step) if found else None
        return found

    def _of_type(self, node: Node, at: str) -> Node | None:
        kinds = [structure.type_ref(kind, node.row) for kind in node.row.get("type", ())]
        codes = {kind.code for kind in kinds}
        if len(codes) != 1:
            return self._snapshots.type("Element") if codes else None
        profiles = kinds[0].profiles if len(kinds) == 1 else ()
        if len(profiles) == 1:
            found = self._snapshots.profile(profiles[0])
            if found is not None:
                return found
            text = f"{profiles[0]} is not loaded: its type stands in for it."
            self._say("warning", "not-found", text, at)
        return self._snapshots.type(kinds[0].code)


_NOTHING: Final = BASE + "Base"  # of later versions, and says nothing
_EXTENSIONS: Final = frozenset({"extension", "modifierExtension"})
_BY_URL: Final = {
    "discriminator": [{"type": "value", "path": "url"}],
    "ordered": False,
    "rules": "open",
}
_BY_TYPE: Final = {"discriminator": [{"type": "type", "path": "$this"}], "ordered": False}


def _raise(node: Node) -> None:
    """There are as many at least as the slices have together."""
    needed: dict[str, int] = defaultdict(int)
    for one in node.children.values():
        if one.slice and "/" not in one.slice:
            needed[one.name] += one.row.get("min", 0)
    for name, minimum in needed.items():
        whole = node.child(name)
        if whole is not None and minimum > whole.row.get("min", 0):
            whole.row["min"] = minimum


def _own(node: Node, url: str) -> None:
    """Says where invariants come from, and what is meant by a path within the definition."""
    for one in node.row.get("constraint", ()):
        one.setdefault("source", url)
    if node.row.get("contentReference", "").startswith("#"):
        node.row["contentReference"] = url + node.row["contentReference"]
    for child in node.children.values():
        _own(child, url)
