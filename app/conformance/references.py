"""Whether a reference leads to what its element allows; https://hl7.org/fhir/R4/references.html."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.conformance.checks import Check
from app.conformance.findings import finding
from app.conformance.structure import BASE

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.conformance.findings import Findings
    from app.conformance.scope import Scope


def allowed(targets: tuple[str, ...], type_of: Callable[[str], str]) -> frozenset[str] | None:
    """
    The resource types that an element may refer to; None for any.

    type_of     canonical of a profile to the type that it constrains, "" if it is not loaded
    """
    names = {
        one.removeprefix(BASE) if one.startswith(BASE) and "|" not in one else type_of(one)
        for one in targets
    }
    return None if not names or names & {"", "Resource"} else frozenset(names)


def check(types: frozenset[str] | None) -> Check:
    """Whether a Reference leads to one of the types."""

    def test(value: Any, scope: Scope) -> object:
        reference = value.get("reference")
        if reference is None:
            return "type" not in value
        kind = reference.partition("/")[0]
        if "type" not in value and (
            scope.world.is_resource(kind) if types is None else kind in types
        ):
            return True
        return not problem(value, scope, types)

    def walk(value: Any, path: str, scope: Scope, found: Findings, _: Any) -> None:
        wrong = problem(value, scope, types)
        if wrong:
            rule, severity, text = wrong
            found.add(finding(rule, path, text, severity=severity))

    return Check(test, walk)


def problem(value: Any, scope: Scope, types: frozenset[str] | None) -> tuple[str, str, str] | None:
    """Rule, severity and sentence, or None where nothing is wrong."""
    reference = value.get("reference")
    said = value.get("type")
    if isinstance(said, str):
        said = said.removeprefix(BASE)
        if types is not None and said not in types and scope.world.is_resource(said):
            return _target(types)
    if not isinstance(reference, str):
        return None
    kind = target_type(reference, scope)
    if kind == "?":
        text = "A relative reference is [type]/[id], with a resource type of R4; mend it."
        return "reference-format", "warning", text
    if kind and types is not None and kind not in types:
        return _target(types)
    if kind and isinstance(said, str) and said != kind and scope.world.is_resource(said):
        text = "The reference leads to another type than its type says; mend one of them."
        return "reference-target", "error", text
    return None


def target_type(reference: str, scope: Scope) -> str:
    """The type that a reference leads to; "" if it does not say, "?" if it is none."""
    target = scope.find(reference)
    if target is not None:
        kind = target.get("resourceType")
        return kind if isinstance(kind, str) else ""
    if reference.startswith("#"):
        return ""
    scheme = reference.partition(":")[0] if ":" in reference else ""
    if scheme and scheme not in ("http", "https"):
        return ""
    steps = reference.partition("#")[0].partition("?")[0].split("/")
    if "?" in reference and not scheme and len(steps) == 1:
        return steps[0] if scope.world.is_resource(steps[0]) else "?"
    if len(steps) > 3 and steps[-2] == "_history":
        steps = steps[:-2]
    kind = steps[-2] if len(steps) > 1 else ""
    if scope.world.is_resource(kind):
        return kind
    return "" if scheme else "?"


def _target(types: frozenset[str]) -> tuple[str, str, str]:
    names = ", ".join(sorted(types))
    text = f"This element may refer to {names} only; refer to one of these."
    return "reference-target", "error", text
