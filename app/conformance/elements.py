"""The rows of a StructureDefinition as a tree, and a tree as rows: what stands under what."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from app.errors import Malformed

if TYPE_CHECKING:
    from app.fhir import Resource

CHOICE: Final = "[x]"
MAX_ROWS: Final = 20_000  # the largest profile of HL7's guides has some 1,000
MAX_STEPS: Final = 32


@dataclass(eq=False, slots=True)
class Node:
    """
    One element of a definition, with its slices beside it and its children below.

    name        last step of its path, with [x]
    slice       its sliceName, `a/b` for a slice of the slice a, "" for none
    row         what the definition says of it, without id, path and sliceName
    children    by their steps, a slice beside what it is a slice of
    """

    name: str
    slice: str = ""
    row: Resource = field(default_factory=dict)
    children: dict[str, Node] = field(default_factory=dict)

    @property
    def step(self) -> str:
        return f"{self.name}:{self.slice}" if self.slice else self.name

    def child(self, name: str, slice_name: str = "") -> Node | None:
        return self.children.get(f"{name}:{slice_name}" if slice_name else name)

    def add(self, child: Node) -> Node:
        self.children[child.step] = child
        return child

    def clone(self) -> Node:
        """A copy; values within rows are shared, since nobody changes one."""
        children = {step: child.clone() for step, child in self.children.items()}
        return Node(self.name, self.slice, dict(self.row), children)

    def size(self) -> int:
        return 1 + sum(child.size() for child in self.children.values())

    def ordered(self) -> list[Node]:
        """The children, each with its slices behind it and theirs behind them."""
        behind: dict[str, list[Node]] = {}
        for child in self.children.values():
            behind.setdefault(child.name if child.slice else "", []).append(child)
        found = []
        for child in behind.pop("", []):
            found += [child, *_sliced(behind.pop(child.name, []))]
        return found + [one for left in behind.values() for one in left]


def tree(rows: list[Resource]) -> Node:
    """
    The tree of the rows of a snapshot or of a differential.

    An element that a differential leaves out, and of which it names a child, has an empty row.
    raises      Malformed: more rows or steps than any definition has, or rows that make no tree
    """
    if len(rows) > MAX_ROWS:
        raise Malformed(f"The definition has more than {MAX_ROWS} elements.")
    try:
        root = Node(rows[0]["path"].partition(".")[0])
        last: dict[str, Node] = {}
        for row in rows:
            _place(root, last, row)
    except (KeyError, TypeError, IndexError, AttributeError):
        raise Malformed("The definition has an element without a path.") from None
    return root


def rows(root: Node) -> list[Resource]:
    """The rows of a tree, each with the id and the path that its place gives it."""
    found: list[Resource] = []
    queue = [(root, root.name, root.name)]
    while queue:
        node, identity, path = queue.pop()
        head: Resource = {"id": identity, "path": path}
        if node.slice:
            head["sliceName"] = node.slice
        found.append(head | dict(sorted(node.row.items(), key=_place_in_row)))
        queue += [
            (child, f"{identity}.{child.step}", f"{path}.{child.name}")
            for child in reversed(node.ordered())
        ]
    return found


def _sliced(slices: list[Node]) -> list[Node]:
    places = {one.slice: index for index, one in enumerate(slices)}

    def place(one: Node) -> list[int]:
        steps = one.slice.split("/")
        names = ["/".join(steps[: count + 1]) for count in range(len(steps))]
        return [places.get(name, places[one.slice]) for name in names]

    return sorted(slices, key=place)


# R4's order of the members of an ElementDefinition; what is not here comes last.
_ORDER: Final = {
    name: place
    for place, name in enumerate(
        "extension modifierExtension representation sliceIsConstraining label code slicing short"
        " definition comment requirements alias min max base contentReference type defaultValue"
        " meaningWhenMissing orderMeaning fixed pattern example minValue maxValue maxLength"
        " condition constraint mustSupport isModifier isModifierReason isSummary binding"
        " mapping".split()
    )
}
_VALUED: Final = ("defaultValue", "fixed", "pattern", "minValue", "maxValue")


def _place_in_row(member: tuple[str, object]) -> int:
    name = member[0].removeprefix("_")
    kind = next((one for one in _VALUED if name.startswith(one)), name)
    return _ORDER.get(kind, len(_ORDER))


_PLACE: Final = frozenset({"id", "path", "sliceName"})


def _place(root: Node, last: dict[str, Node], row: Resource) -> None:
    """
    Puts a row where its id says, or its path where the id says nothing of use.

    last        path to the node that stood there last: what follows stands under it
    """
    path: str = row["path"]
    names = path.split(".")
    if names[0] != root.name or len(names) > MAX_STEPS or "" in names:
        raise Malformed(f"{path[:200]}: a path begins with the type and has {MAX_STEPS} steps.")
    slices = _slices(row.get("id"), names)
    own = str(row.get("sliceName") or "")
    node, at = root, root.name
    for index, name in enumerate(names[1:], 1):
        at = f"{at}.{name}"
        child = last.get(at)
        if index == len(names) - 1:
            child = _child(node, name, own or (slices[index] if slices else ""))
        elif slices is not None:
            child = _child(node, name, slices[index])
        elif child is None or node.children.get(child.step) is not child:
            child = _child(node, name, "")
        last[at] = node = child
    node.row = {**node.row, **{key: one for key, one in row.items() if key not in _PLACE}}


def _child(node: Node, name: str, slice_name: str) -> Node:
    return node.child(name, slice_name) or node.add(Node(name, slice_name))


def _slices(identity: object, names: list[str]) -> list[str] | None:
    """The slice of each step as an element's id tells it; None where it is not the path's."""
    if not isinstance(identity, str):
        return None
    steps = [step.partition(":") for step in identity.split(".")]
    if len(steps) != len(names):
        return None
    found = []
    for (name, _, slice_name), wanted in zip(steps, names, strict=True):
        stem = name.removesuffix(CHOICE)
        if name != wanted and not (name.endswith(CHOICE) and wanted.startswith(stem)):
            return None
        found.append(slice_name if name == wanted else "")
    return found
