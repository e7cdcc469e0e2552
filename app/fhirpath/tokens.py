"""An expression's text as tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from app.fhirpath.refusals import ExpressionError

MAX_LENGTH: Final = 16_384  # characters; the longest search parameter of R4 has some 5,000

_PATTERN: Final = re.compile(
    r"""
    (?P<space>\s+|//[^\r\n]*|/\*.*?\*/)
  | (?P<time>@T\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?)
  | (?P<datetime>@\d{4}(?:-\d\d(?:-\d\d)?)?T(?:\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?(?:Z|[+-]\d\d:\d\d)?)?)
  | (?P<date>@\d{4}(?:-\d\d(?:-\d\d)?)?)
  | (?P<number>\d+(?:\.\d+)?)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<delimited>`(?:[^`\\]|\\.)*`)
  | (?P<string>'(?:[^'\\]|\\.)*')
  | (?P<special>\$(?:this|index|total)\b)
  | (?P<operator><=|>=|!=|!~|[-+*/&|=~<>().,\[\]{}%])
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED: Final = {"f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_KEPT: Final = frozenset("\\/\"`'")


@dataclass(frozen=True, slots=True)
class Token:
    """kind: number, name, delimited, string, date, datetime, time, special, operator or end."""

    kind: str
    text: str
    position: int


def tokens(expression: str) -> list[Token]:
    """
    The tokens of an expression, closed by one of kind end.

    raises      ExpressionError: too long, a character that begins nothing, an open string or comment
    """
    if len(expression) > MAX_LENGTH:
        raise ExpressionError(
            f"The expression is longer than {MAX_LENGTH} characters.", MAX_LENGTH, expression
        )
    found: list[Token] = []
    position = 0
    while position < len(expression):
        match = _PATTERN.match(expression, position)
        if match is None or (expression.startswith("/*", position) and match.lastgroup != "space"):
            raise ExpressionError(_unreadable(expression, position), position, expression)
        kind = str(match.lastgroup)
        if kind != "space":
            text = match.group()
            if kind in ("string", "delimited"):
                text = _unescaped(text[1:-1], position + 1, expression)
            found.append(Token(kind, text, position))
        position = match.end()
    found.append(Token("end", "", position))
    return found


def _unreadable(expression: str, position: int) -> str:
    if expression.startswith("/*", position):
        return "A comment is opened here and never closed."
    if expression[position] in "'`":
        return "A string or name is opened here and never closed."
    return "No token begins with this character."


def _unescaped(text: str, position: int, expression: str) -> str:
    if "\\" not in text:
        return text

    def one(match: re.Match[str]) -> str:
        code = match[1]
        if len(code) == 5:
            return chr(int(code[1:], 16))
        if code in _KEPT:
            return code
        if code in _ESCAPED:
            return _ESCAPED[code]
        raise ExpressionError(
            "This escape is not one of \\' \\\" \\` \\\\ \\/ \\f \\n \\r \\t \\uXXXX.",
            position + match.start(),
            expression,
        )

    return _paired(_ESCAPE.sub(one, text), position, expression)


def _paired(text: str, position: int, expression: str) -> str:
    """Two escapes that make one character as that character."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise ExpressionError("An escape is half of a character.", position, expression) from None
