"""Invariants, compiled: a test of an element, and what is said where it does not hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from app import fhirpath
from app.conformance import native, structure
from app.conformance.findings import Findings, finding
from app.conformance.shape import REFUSED
from app.errors import Issue

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.conformance.scope import Scope, Test
    from app.conformance.structure import Constraint

FAILED: Final = (*REFUSED, fhirpath.EvaluationError)


@dataclass(frozen=True, slots=True)
class Invariant:
    """
    A constraint as a test of an element.

    run     (value, %resource, %rootResource, environment, sibling); may raise FAILED
    native  (value, scope), where it is written by hand, and then run is not asked
    """

    constraint: Constraint
    run: Callable[..., bool]
    native: Test | None = None

    def holds(self, value: Any, scope: Scope, sibling: Any = None) -> object:
        if self.native is not None:
            return self.native(value, scope)
        return self.run(value, scope.resource, scope.root, scope.environment, sibling)

    def walk(self, value: Any, path: str, scope: Scope, found: Findings, sibling: Any) -> None:
        rule = self.constraint
        try:
            if self.holds(value, scope, sibling):
                return
        except FAILED:
            text = f"The rule {rule.key} could not be evaluated here: not checked."
            found.add(finding("invariant-unchecked", path, text, severity="information"))
            return
        severity = "error" if rule.severity == "error" else "warning"
        text = f"{rule.human.rstrip('.')}."
        source = f"{rule.source or structure.BASE + path.partition('.')[0]}#{rule.key}"
        found.add(Issue(severity, "invariant", text, path, rule.key, source))


def holds(test: Test, value: Any, scope: Scope) -> bool:
    try:
        return bool(test(value, scope))
    except FAILED:
        return False


def compiled(constraint: Constraint, type_name: str) -> Invariant:
    """
    A constraint, compiled for the type of the element that it stands on.

    type_name   a type, or the path of a backbone element
    """
    by_hand = native.EXACT.get((constraint.key, constraint.expression))
    if by_hand is not None:
        return Invariant(constraint, _never, by_hand)
    expression = native.CORRECTED.get(constraint.expression, constraint.expression)
    try:
        return Invariant(constraint, fhirpath.compile(expression).invariant(type_name))
    except fhirpath.ExpressionError:
        return Invariant(constraint, _never)


def distinct(*groups: tuple[Constraint, ...]) -> list[Constraint]:
    """What is to be compiled of several lists: each expression once, and what needs it."""
    found: dict[str, Constraint] = {}
    for group in groups:
        for one in group:
            if one.expression and not native.elsewhere(one.expression):
                found.setdefault(one.expression, one)
    return list(found.values())


def _never(*_: Any) -> bool:
    raise fhirpath.EvaluationError("The expression cannot be compiled.")
