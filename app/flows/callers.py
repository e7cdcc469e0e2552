"""Who may call, remembered for a moment."""

from __future__ import annotations

import hashlib
import time
from typing import Final

from app.domain.change import Caller
from app.storage import keys
from app.storage.database import NONE, Database, Reading

# To look for each call would cost as much as a read; `kinbridge client` waits for it to pass.
REMEMBERED_SECONDS: Final = 0.25


class Callers:
    """
    Registered clients; who is removed is out before the command that does it has ended.

    What was refused is not remembered, so what is remembered is no more than there are clients.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stamp = 0
        self._open: bool | None = None
        self._known: dict[bytes, tuple[str, Caller]] = {}

    async def nobody(self) -> bool:
        """Whether no client is registered at all."""
        stamp = self._current()
        if self._open is None:
            found = not await self._database.read(keys.any_client, shelves=NONE)
            if stamp != self._stamp:
                return found
            self._open = found
        return self._open

    async def known(self, client: str, secret: str) -> tuple[str, Caller] | None:
        """The client's shelf and what it may do; None where id and secret do not belong together."""
        stamp = self._current()
        key = hashlib.sha256(f"{client}:{secret}".encode()).digest()
        if (known := self._known.get(key)) is not None:
            return known

        async def look(tx: Reading) -> tuple[str, Caller] | None:
            return await keys.caller(tx, client, secret)

        found = await self._database.read(look, shelves=NONE)
        if found and stamp == self._stamp:
            self._known[key] = found
        return found

    def _current(self) -> int:
        """The moment of now; what was remembered in another one is forgotten."""
        stamp = int(time.monotonic() / REMEMBERED_SECONDS)
        if stamp != self._stamp:
            self._stamp, self._open = stamp, None
            self._known.clear()
        return stamp
