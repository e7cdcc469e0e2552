"""Python's collector of cycles, which stops everybody while it goes through all that lives."""

from __future__ import annotations

import gc
import time
from typing import Final

_LONGEST_SECONDS: Final = 30.0


class Collector:
    """
    It rests while somebody holds what is large.

    For 5 MiB of JSON it takes half a second, five times over while that is decoded, and JSON has
    no cycle.
    """

    def __init__(self) -> None:
        self._holding = 0
        self._since = 0.0

    def rest(self) -> None:
        now = time.monotonic()
        if not self._holding:
            gc.disable()
            self._since = now
        elif now - self._since > _LONGEST_SECONDS:  # they follow each other without end
            gc.collect()
            self._since = now
        self._holding += 1

    def go_on(self) -> None:
        self._holding -= 1
        if not self._holding:
            gc.enable()
