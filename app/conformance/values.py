"""The values that an element has in a resource, each with its type and place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.conformance import primitives

if TYPE_CHECKING:
    from app.conformance.profile import Node
    from app.fhir import Resource


@dataclass(frozen=True, slots=True)
class At:
    """One value of an element: what stands beside it in JSON, its type and its place."""

    value: Any
    beside: Any
    kind: str
    path: str


def items(node: Node, parent: Resource, path: str) -> Iterator[At]:
    name = node.name
    if node.choice:
        for key in parent:
            bare = key.removeprefix("_")
            if bare.startswith(name) and bare[len(name) : len(name) + 1].isupper():
                if key != bare and bare in parent:
                    continue
                kind = _kind(bare[len(name) :])
                beside = parent.get(f"_{bare}")
                yield At(parent.get(bare), beside, kind, f"{path}.{name}.ofType({kind})")
        return
    value, beside = parent.get(name), parent.get(f"_{name}")
    kind = node.kind
    if isinstance(value, list) or isinstance(beside, list):
        values = value if isinstance(value, list) else []
        others = beside if isinstance(beside, list) else []
        for index in range(max(len(values), len(others))):
            one = values[index] if index < len(values) else None
            other = others[index] if index < len(others) else None
            yield At(one, other, kind_of(one, kind), f"{path}.{name}[{index}]")
    elif value is not None or beside is not None:
        yield At(value, beside, kind_of(value, kind), f"{path}.{name}")


def kind_of(value: Any, kind: str) -> str:
    """The type that a resource says; that of its place, for what is none."""
    said = value.get("resourceType") if isinstance(value, dict) else None
    return said if isinstance(said, str) else kind


def _kind(suffix: str) -> str:
    small = suffix[:1].lower() + suffix[1:]
    return small if small in primitives.TYPES else suffix
