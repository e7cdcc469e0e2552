"""What a profile must support and a resource does not have, for who asks; it is no defect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.conformance import slicing, values
from app.conformance.findings import finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.conformance.facets import Known
    from app.conformance.profile import Node
    from app.conformance.scope import Scope
    from app.conformance.values import At
    from app.errors import Issue


def absent(known: Known, node: Node, value: Any, path: str, scope: Scope) -> Iterator[Issue]:
    """
    Each element and slice that must be supported and is not there, where it would stand.

    node        of the whole profile, what must only be supported among it
    """
    for child in node.children.values() if isinstance(value, dict) else ():
        items = list(values.items(child, value, path))
        if child.must_support and not items:
            yield _absent(child.name, path)
        yield from _inside(known, child, items, scope)
        yield from _slices(known, child, items, path, scope)


def _inside(known: Known, node: Node, items: list[At], scope: Scope) -> Iterator[Issue]:
    for at in items:
        yield from absent(known, node, at.value, at.path, scope)


def _slices(known: Known, node: Node, items: list[At], path: str, scope: Scope) -> Iterator[Issue]:
    how = slicing.of(node)
    for key, one in node.slices.items():
        matches = slicing.matcher(known, how, one)
        inside = [at for at in items if matches and matches(at.value, at.kind, scope)]
        if one.must_support and not inside:
            yield _absent(f"{node.name}, slice {key},", path)
        yield from _inside(known, one, inside, scope)


def _absent(what: str, path: str) -> Issue:
    text = f"The profile must support {what} and it is not here; give it where it is known."
    return finding("must-support", path, text, severity="information")
