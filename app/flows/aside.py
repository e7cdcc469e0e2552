"""What takes long is done beside the event loop, so that who asks for little is answered meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

import anyio
from anyio import CapacityLimiter

_T = TypeVar("_T")

LONG: Final = 2**17  # bytes of JSON, from which each stage takes some tens of ms
LARGE: Final = "kinbridge.large"  # where a request keeps what was so long, until it is answered
# Python runs one of them at a time and hands over each 5 ms: with many the loop would wait for all.
_AT_ONCE: Final = 2


class Aside:
    """
    Threads for what is long: a function of its arguments, which reads and writes nothing.

    A hop costs 280 µs, so what is short stays where it is.
    """

    def __init__(self) -> None:
        self._limiter = CapacityLimiter(_AT_ONCE)

    async def run(self, step: Callable[[], _T], *, long: bool = True) -> _T:
        """What the step gives; raises what it raises."""
        if not long:
            return step()
        found, error = await anyio.to_thread.run_sync(partial(_tried, step), limiter=self._limiter)
        try:
            if error is not None:
                raise error
            return found[0]
        finally:
            del error  # what it was raised in would keep it, and it all that the step has seen


def take_apart(value: Any) -> None:
    """
    Leave nothing of a tree of JSON that nobody needs any more.

    Python frees a tree in one step in which no thread gets its turn: a fifth of a second for
    190,000 identifiers. Taken apart by this it is freed bit by bit.
    """
    if value.__class__ is dict:
        for child in value.values():
            if child.__class__ is dict or child.__class__ is list:
                take_apart(child)
        value.clear()
    elif value.__class__ is list:
        while value:
            child = value.pop()
            if child.__class__ is dict or child.__class__ is list:
                take_apart(child)


def _tried(step: Callable[[], _T]) -> tuple[list[_T], Exception | None]:
    """What the step gives, or raises: a future that has an error makes a circle with it."""
    try:
        return [step()], None
    except Exception as error:  # noqa: BLE001 — it is raised where the step was asked for
        return [], error
