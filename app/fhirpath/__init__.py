"""FHIRPath, compiled to closures."""

from app.fhirpath.context import Environment
from app.fhirpath.expression import Expression, compile  # noqa: A004 — fhirpath.compile, as re.compile
from app.fhirpath.refusals import BudgetError, EvaluationError, ExpressionError
from app.fhirpath.values import Value

__all__ = [
    "BudgetError",
    "Environment",
    "EvaluationError",
    "Expression",
    "ExpressionError",
    "Value",
    "compile",
]
