"""The functions of the language by name; each room of functions registers its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

Body = Callable[..., list[Any]]


@dataclass(frozen=True, slots=True)
class Function:
    """
    body        (context, items, *arguments) -> items
    low, high   how many arguments it takes
    lazy        whether the arguments are handed over unevaluated
    """

    body: Body
    low: int
    high: int
    lazy: bool


FUNCTIONS: Final[dict[str, Function]] = {}


def function(name: str, low: int = 0, high: int = 0) -> Callable[[Body], Body]:
    """A function whose arguments are collections."""

    def register(body: Body) -> Body:
        FUNCTIONS[name] = Function(body, low, high, lazy=False)
        return body

    return register


def lazy(name: str, low: int, high: int) -> Callable[[Body], Body]:
    """A function whose arguments are expressions, to be run as often as it likes."""

    def register(body: Body) -> Body:
        FUNCTIONS[name] = Function(body, low, high, lazy=True)
        return body

    return register
