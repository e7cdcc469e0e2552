"""Who may call, remembered for as long as the database says that the clients are the same."""

from __future__ import annotations

import hashlib

from app.domain.change import Caller
from app.storage import keys
from app.storage.database import NONE, Database, Reading


class Callers:
    """
    Registered clients; a removed one is out with the next call.

    What was refused is not remembered, so what is remembered is no more than there are clients.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stamp: int | None = None
        self._open: bool | None = None
        self._known: dict[bytes, tuple[str, Caller]] = {}

    async def nobody(self) -> bool:
        """Whether no client is registered at all."""
        stamp = self._current()
        if self._open is None:
            found = not await self._database.read(keys.any_client, shelves=NONE)
            if stamp is None or stamp != self._stamp:
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
        if found and stamp is not None and stamp == self._stamp:
            self._known[key] = found
        return found

    def _current(self) -> int | None:
        """The stamp of now; what was remembered under another one is forgotten."""
        stamp = self._database.clients_stamp()
        if stamp is None or stamp != self._stamp:
            self._stamp, self._open = stamp, None
            self._known.clear()
        return stamp
