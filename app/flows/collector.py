"""What holds memory longer than it is needed: Python's collector of cycles, and the C library."""

from __future__ import annotations

import ctypes
import gc
import time
from typing import Final

_LONGEST_SECONDS: Final = 30.0
# malloc.h; https://man7.org/linux/man-pages/man3/malloc_trim.3.html; only glibc has it
_TRIM: Final = getattr(ctypes.CDLL(None), "malloc_trim", None)


class Collector:
    """
    Python's collector rests while somebody holds what is large.

    It stops everybody while it goes through all that lives. For 5 MiB of JSON it takes half a
    second, five times over while that is decoded, and JSON has no cycle.
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


def hand_back() -> None:
    """
    What was let go goes back to the system, also where it lies below what is still used.

    A large body that grows while it is encoded leaves such a hole, of 26 MiB after a scan; to look
    for holes takes some 0.3 ms.
    """
    if _TRIM is not None:
        _TRIM(0)
