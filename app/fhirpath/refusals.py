"""What the engine refuses: an expression that cannot be compiled, an evaluation that cannot end."""

from __future__ import annotations


class ExpressionError(Exception):
    """
    An expression that cannot be compiled; says where and why.

    position    offset into the expression, from 0
    text        what is wrong, for a person
    """

    def __init__(self, text: str, position: int, expression: str = "") -> None:
        self.position = position
        self.text = text
        before = expression[:position]
        line = before.count("\n") + 1
        column = position - (before.rfind("\n") + 1) + 1
        super().__init__(f"{text} (line {line}, column {column})")


class EvaluationError(Exception):
    """An expression that cannot be evaluated on this input; never quotes a value of it."""


class BudgetError(EvaluationError):
    """An evaluation that was stopped because it takes too many steps or too much memory."""
