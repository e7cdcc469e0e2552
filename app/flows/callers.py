"""Who may call, remembered for a moment."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, Final

from app import assertions
from app.domain.change import Caller
from app.storage import keys
from app.storage.database import NONE, Database, Reading
from app.storage.keys import Client

# To look for each call would cost as much as a read; `kinbridge client` waits for it to pass.
REMEMBERED_SECONDS: Final = 0.25

Known = tuple[str, Caller]  # tenant/shelf, and what it may do there


class Callers:
    """
    Registered clients; who is removed is out before the command that does it has ended.

    What was refused is not remembered, so what is remembered is no more than clients and their tokens.

    secret      by which access tokens are sealed
    """

    def __init__(self, database: Database, *, secret: bytes, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._secret = secret
        self._clock = clock
        self._stamp = 0
        self._open: bool | None = None
        self._known: dict[bytes, Known] = {}

    async def nobody(self) -> bool:
        """Whether no client is registered at all."""
        stamp = self._current()
        if self._open is None:
            found = not await self._database.read(keys.any_client, shelves=NONE)
            if stamp != self._stamp:
                return found
            self._open = found
        return self._open

    async def by_secret(self, client: str, secret: str) -> Known | None:
        """The client's shelf and what it may do; None where id and secret do not belong together."""

        async def look() -> Known | None:
            found = await self.registered(client)
            if found is None or not found.has(secret):
                return None
            return found.shelf, Caller(client, found.scopes)

        return await self._remembered(f"Basic {client}:{secret}", look)

    async def by_token(self, token: str) -> Known | None:
        """
        What an access token opens; None where it has ended or was never given.

        It opens nothing any more once its client is removed, or registered anew.
        """

        async def look() -> Known | None:
            said = assertions.opened(self._secret, token)
            if said is None or said["exp"] <= self._clock().timestamp():
                return None
            found = await self.registered(said["sub"])
            if found is None or found.created != said["since"]:
                return None
            return found.shelf, Caller(found.id, frozenset(said["scope"].split()))

        return await self._remembered(f"Bearer {token}", look)

    def token(self, client: Client, scopes: frozenset[str]) -> str:
        """An access token of LIFETIME_SECONDS for these of the client's scopes."""
        until = int(self._clock().timestamp()) + assertions.LIFETIME_SECONDS
        said = {"sub": client.id, "since": client.created, "exp": until}
        return assertions.sealed(self._secret, {**said, "scope": " ".join(sorted(scopes))})

    async def registered(self, client: str) -> Client | None:
        async def look(tx: Reading) -> Client | None:
            return await keys.client(tx, client)

        return await self._database.read(look, shelves=NONE)

    async def _remembered(
        self, credentials: str, look: Callable[[], Coroutine[Any, Any, Known | None]]
    ) -> Known | None:
        stamp = self._current()
        key = hashlib.sha256(credentials.encode()).digest()
        if (known := self._known.get(key)) is not None:
            return known
        found = await look()
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
