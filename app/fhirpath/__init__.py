"""
FHIRPath, compiled to closures: FHIRPath 2.0 N1 with FHIR R4's additions.

    expression = fhirpath.compile("Patient.name.given")      # ExpressionError says where and why
    expression.check("Patient")                              # names that the type has not
    expression.evaluate(patient)                             # [Value(value, type, location)]
    expression.items(patient)                                # the same as Node, to start from again
    expression.test(patient)                                 # true, and not false or empty
    expression.references(patient)                           # what resolve() wants to be loaded
    fhirpath.element(name, "HumanName", location="…")        # a context to start from

    holds = fhirpath.compile("code.exists() or text.exists()").invariant("Task.input")
    holds(element, resource, root, environment, sibling)     # the hot path: plain JSON, a boolean
    expression.holds(element, "Task.input", resource)        # the same, looked up each time

What an expression may ask of the world (the time, other resources, value sets, profiles) stands
in an Environment and is handed in; nothing is fetched, no clock is read, nothing is logged.
An Expression may be shared by threads. An evaluation that takes too long is a BudgetError.
"""

from app.fhirpath.context import Environment
from app.fhirpath.expression import (
    Expression,
    Invariant,
    compile,  # noqa: A004 — fhirpath.compile, as re.compile
    element,
)
from app.fhirpath.refusals import BudgetError, EvaluationError, ExpressionError
from app.fhirpath.values import Node, Value

__all__ = [
    "BudgetError",
    "Environment",
    "EvaluationError",
    "Expression",
    "ExpressionError",
    "Invariant",
    "Node",
    "Value",
    "compile",
    "element",
]
