"""Who was overtaken by another write goes next, and nobody else changes meanwhile what it is about to."""

from __future__ import annotations

import asyncio
from collections.abc import Set as AbstractSet


class Turn:
    """
    Those who were overtaken, one after another in the order in which they were.

    Together all but one would be again, each time; and beside those who have just come any of them might.

    changes     shelf and Type/id of what the one whose turn it is is about to put
    """

    def __init__(self) -> None:
        self._one = asyncio.Lock()
        self.changes: AbstractSet[tuple[str, str]] = frozenset()

    async def __aenter__(self) -> None:
        await self._one.acquire()

    async def __aexit__(self, *_: object) -> None:
        self.changes = frozenset()
        self._one.release()
