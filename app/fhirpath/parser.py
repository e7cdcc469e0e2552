"""Tokens to a tree, by precedence climbing; https://hl7.org/fhirpath/N1/#operator-precedence."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from app.fhirpath import syntax, temporal, tokens
from app.fhirpath.refusals import ExpressionError
from app.fhirpath.values import CALENDAR_WORDS, Quantity, calendar_quantity

if TYPE_CHECKING:
    from app.fhirpath.syntax import Tree

# Each nested tree is a nested call when it runs; search parameters of R4 reach some 70.
MAX_DEPTH: Final = 150
MAX_DIGITS: Final = 40

_STRENGTH: Final = {
    "implies": 1,
    "or": 2, "xor": 2,
    "and": 3,
    "in": 4, "contains": 4,
    "=": 5, "~": 5, "!=": 5, "!~": 5,
    "<=": 6, "<": 6, ">": 6, ">=": 6,
    "|": 7,
    "is": 8, "as": 8,
    "+": 9, "-": 9, "&": 9,
    "*": 10, "/": 10, "div": 10, "mod": 10,
}  # fmt: skip
_POLARITY: Final = 11
# Words that are operators and may still name an element or a function.
_SOFT: Final = frozenset(("as", "contains", "in", "is"))
_HARD: Final = frozenset(("and", "or", "xor", "implies", "div", "mod", "true", "false"))
_TYPE_FUNCTIONS: Final = frozenset(("is", "as", "ofType"))


def parse(expression: str) -> Tree:
    """
    The tree of an expression.

    raises      ExpressionError: with the place and what was expected there
    """
    return _Parser(expression).whole()


class _Parser:
    def __init__(self, expression: str) -> None:
        self.expression = expression
        self.tokens = tokens.tokens(expression)
        self.at = 0
        self.depth = 0

    @property
    def token(self) -> tokens.Token:
        return self.tokens[self.at]

    def take(self) -> tokens.Token:
        token = self.tokens[self.at]
        self.at += 1
        return token

    def error(self, text: str, position: int | None = None) -> ExpressionError:
        where = self.token.position if position is None else position
        return ExpressionError(text, where, self.expression)

    def sees(self, text: str) -> bool:
        return self.token.kind == "operator" and self.token.text == text

    def expect(self, text: str) -> None:
        if not self.sees(text):
            raise self.error(f"Expected {text} here.")
        self.at += 1

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(f"The expression is nested deeper than {MAX_DEPTH} levels.")

    def whole(self) -> Tree:
        tree = self.tree(0)
        if self.token.kind != "end":
            raise self.error("The expression should have ended here.")
        return tree

    def tree(self, strength: int) -> Tree:
        depth = self.depth
        self.deeper()
        left = self.unary()
        while True:
            token = self.token
            power = _STRENGTH.get(token.text, 0) if token.kind in ("operator", "name") else 0
            if power <= strength:
                break
            self.deeper()
            self.at += 1
            if token.text in ("is", "as"):
                namespace, name = self.type_name()
                left = syntax.TypeTest(token.text, left, namespace, name, token.position)
            else:
                left = syntax.Binary(token.text, left, self.tree(power), token.position)
        self.depth = depth
        return left

    def unary(self) -> Tree:
        token = self.token
        if self.sees("+") or self.sees("-"):
            self.deeper()
            self.at += 1
            operand = self.unary()
            self.depth -= 1
            return syntax.Unary(token.text, operand, token.position)
        return self.postfix(self.term())

    def postfix(self, left: Tree) -> Tree:
        depth = self.depth
        while True:
            token = self.token
            if self.sees("."):
                self.deeper()
                self.at += 1
                left = self.step(left, token.position)
            elif self.sees("["):
                self.deeper()
                self.at += 1
                index = self.tree(0)
                self.expect("]")
                left = syntax.Index(left, index, token.position)
            else:
                self.depth = depth
                return left

    def step(self, left: Tree, position: int) -> Tree:
        if self.token.kind == "special":
            return syntax.Invoke(left, self.special(), position)
        step = self.invocation(after_dot=True)
        if isinstance(step, syntax.Call) and step.name in _TYPE_FUNCTIONS:
            return self.type_function(left, step)
        return syntax.Invoke(left, step, position)

    def special(self) -> Tree:
        token = self.take()
        return syntax.Special(token.text, token.position)

    def type_function(self, left: Tree, call: syntax.Call) -> Tree:
        if len(call.arguments) != 1:
            raise self.error(f"{call.name}() takes one type.", call.position)
        match call.arguments[0]:
            case syntax.Member(name=name):
                namespace = ""
            case syntax.Invoke(left=syntax.Member(name=namespace), step=syntax.Member(name=name)):
                pass
            case _:
                raise self.error(f"{call.name}() takes the name of a type.", call.position)
        operator = call.name if call.name == "ofType" else f"{call.name}()"
        return syntax.TypeTest(operator, left, namespace, name, call.position)

    def type_name(self) -> tuple[str, str]:
        first = self.identifier()
        if self.sees("."):
            after = self.tokens[self.at + 1]
            following = self.tokens[min(self.at + 2, len(self.tokens) - 1)]
            if after.kind in ("name", "delimited") and following.text != "(":
                self.at += 1
                return first, self.identifier()
        return "", first

    def identifier(self, *, after_dot: bool = False) -> str:
        """A name; after a dot no word is an operator, so that text.div needs no quotes."""
        token = self.token
        if token.kind == "delimited" or (
            token.kind == "name" and (after_dot or token.text not in _HARD)
        ):
            self.at += 1
            return token.text
        raise self.error("Expected a name here.")

    def invocation(self, *, after_dot: bool = False) -> syntax.Member | syntax.Call:
        token = self.token
        name = self.identifier(after_dot=after_dot)
        if not self.sees("("):
            return syntax.Member(name, token.position)
        self.at += 1
        arguments: list[Tree] = []
        if not self.sees(")"):
            arguments.append(self.tree(0))
            while self.sees(","):
                self.at += 1
                arguments.append(self.tree(0))
        self.expect(")")
        return syntax.Call(name, tuple(arguments), token.position)

    def term(self) -> Tree:
        token = self.token
        match token.kind:
            case "number":
                return self.number()
            case "string":
                self.at += 1
                return syntax.Literal((token.text,), token.position)
            case "date" | "datetime" | "time":
                return self.moment()
            case "special":
                return self.special()
            case "operator":
                return self.bracket()
            case "name" if token.text in ("true", "false"):
                self.at += 1
                return syntax.Literal((token.text == "true",), token.position)
            case "name" | "delimited":
                step = self.invocation()
                if isinstance(step, syntax.Call) and step.name in _TYPE_FUNCTIONS:
                    return self.type_function(syntax.Special("$this", step.position), step)
                return step
            case _:
                raise self.error("The expression ends where a value was expected.")

    def bracket(self) -> Tree:
        token = self.token
        if self.sees("("):
            self.at += 1
            inner = self.tree(0)
            self.expect(")")
            return inner
        if self.sees("{"):
            self.at += 1
            self.expect("}")
            return syntax.Literal((), token.position)
        if self.sees("%"):
            self.at += 1
            name = self.take() if self.token.kind == "string" else None
            text = name.text if name else self.identifier()
            return syntax.Variable(text, token.position)
        raise self.error("Expected a value here.")

    def moment(self) -> Tree:
        token = self.take()
        kind = {"date": temporal.DATE, "datetime": temporal.DATE_TIME}.get(
            token.kind, temporal.TIME
        )
        value = temporal.parse(token.text[1:], kind)
        if value is None:
            raise self.error("There is no such date or time.", token.position)
        return syntax.Literal((value,), token.position)

    def number(self) -> Tree:
        token = self.take()
        if len(token.text) > MAX_DIGITS:
            raise self.error(f"A number has more than {MAX_DIGITS} digits.", token.position)
        value = Decimal(token.text)
        if self.token.kind == "string":
            unit = self.take().text
            quantity = (
                calendar_quantity(value, unit) if unit in CALENDAR_WORDS else Quantity(value, unit)
            )
            return syntax.Literal((quantity,), token.position)
        if self.token.kind == "name" and self.token.text in CALENDAR_WORDS:
            word = self.take().text
            return syntax.Literal((calendar_quantity(value, word),), token.position)
        return syntax.Literal((value if "." in token.text else int(value),), token.position)
