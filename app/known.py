"""What a function of a short text gave, kept for the last few thousand texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

_Made = TypeVar("_Made")

_MOST: Final = 4096
_LONGEST: Final = 200  # characters; a text of a MiB is not kept


class Known(dict[Any, _Made], Generic[_Made]):
    """
    What has this value, by the text; it is made where it is first asked for.

    A look is one step of the interpreter, where functools.lru_cache takes a call. What is no text has
    no length, and raises TypeError, if the function did not.
    """

    def __init__(self, make: Callable[[Any], _Made]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, text: Any) -> _Made:
        made = self._make(text)
        if len(text) <= _LONGEST:
            if len(self) >= _MOST:
                self.clear()
            self[text] = made
        return made
