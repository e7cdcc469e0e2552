"""What a reference leads to within what was handed in, and which references lead out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.fhirpath import nodes
from app.fhirpath.values import Node

if TYPE_CHECKING:
    from app.fhirpath.context import Context


def reference_of(item: Any) -> str | None:
    """The literal reference of a Reference, a canonical, a uri or a string."""
    value = item.value if item.__class__ is Node else item
    if isinstance(value, dict):
        value = value.get("reference")
    return value if isinstance(value, str) else None


def target(context: Context, reference: str) -> Node | None:
    """The resource a reference leads to: contained, in the Bundle, or from the environment."""
    if reference.startswith("#"):
        return _contained(context, reference[1:])
    found = _in_bundle(context, reference)
    if found is not None or context.environment.resolve is None:
        return found
    resource = context.environment.resolve(reference)
    if resource is None or context.root is None:
        return None
    kind = context.root.type.model.of(resource) if context.root.type else None
    return Node(resource, kind, None, str(resource.get("resourceType", "")))


def _contained(context: Context, name: str) -> Node | None:
    for holder in (context.resource, context.root):
        if holder is None:
            continue
        if not name:
            return holder
        for child in nodes.named(holder, "contained"):
            context.spend(1)
            if isinstance(child.value, dict) and child.value.get("id") == name:
                return child if isinstance(child, Node) else None
    return None


def _in_bundle(context: Context, reference: str) -> Node | None:
    holder = context.root
    if holder is None:
        return None
    # Whatever has entries that carry a resource is a Bundle.
    plain = reference.split("|", maxsplit=1)[0].split("/_history/", maxsplit=1)[0]
    for entry in nodes.named(holder, "entry"):
        context.spend(1)
        resource = entry.value.get("resource") if isinstance(entry.value, dict) else None
        if isinstance(resource, dict) and _bears(entry.value, resource, plain):
            return next(iter(nodes.named(entry, "resource")), None)
    return None


def _bears(entry: dict[str, Any], resource: dict[str, Any], reference: str) -> bool:
    url = entry.get("fullUrl")
    if url == reference or resource.get("url") == reference:
        return True
    name = f"{resource.get('resourceType')}/{resource.get('id')}"
    if name != reference:
        return False
    return not isinstance(url, str) or url.endswith(f"/{reference}") or not url.startswith("http")
