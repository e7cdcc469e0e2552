"""Who may call, what each has signed already, and the keys that the service made for itself."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

from msgspec import Struct
from sqlalchemy import bindparam, delete, insert, select

from app.assertions import Said
from app.storage.database import Reading, Tx, insert_once, statement
from app.storage.tables import ASSERTION, CLIENT, SECRET

_ANY: Final = statement(select(CLIENT.c.id).limit(1))
_COLUMNS: Final = tuple(
    CLIENT.c[name] for name in ("id", "shelf", "scopes", "created", "keys", "digest")
)
_CLIENT: Final = statement(select(*_COLUMNS).where(CLIENT.c.id == bindparam("id")))
_CLIENTS: Final = statement(select(*_COLUMNS).order_by(CLIENT.c.id))
_ADD: Final = statement(insert(CLIENT))
_REMOVE: Final = statement(delete(CLIENT).where(CLIENT.c.id == bindparam("id")))
_SAY: Final = insert_once(ASSERTION)
_PAST: Final = statement(delete(ASSERTION).where(ASSERTION.c.until < bindparam("now")))
_SECRET: Final = statement(select(SECRET.c.value).where(SECRET.c.name == bindparam("name")))
_MAKE: Final = insert_once(SECRET)


class Client(Struct, frozen=True):
    """
    A registered client.

    created     FHIR instant
    keys        its JWKS, or the https URL of that; "" for one with a secret
    digest      of its secret, "" for one with keys
    """

    id: str
    shelf: str
    scopes: frozenset[str]
    created: str
    keys: str
    digest: str

    def has(self, secret: str) -> bool:
        """Whether this is its secret."""
        return bool(self.digest) and hmac.compare_digest(_digest(secret), self.digest)


def _digest(secret: str) -> str:
    """SHA-256 will do: the secret is 256 bits of chance, so nobody can try them all."""
    return hashlib.sha256(secret.encode()).hexdigest()


async def any_client(tx: Reading) -> bool:
    return bool(await tx.rows(_ANY))


async def add_client(  # noqa: PLR0913 — what a row consists of
    tx: Tx, *, client: str, shelf: str, scopes: list[str], at: str, keys: str = ""
) -> str:
    """The secret, which is not stored and cannot be shown again; "" for one that has keys."""
    secret = "" if keys else secrets.token_urlsafe(32)
    row = {"id": client, "shelf": shelf, "scopes": " ".join(scopes), "created": at, "keys": keys}
    await tx.run(_ADD, **row, digest=_digest(secret) if secret else "")
    return secret


async def remove_client(tx: Tx, client: str) -> bool:
    return bool(await tx.run(_REMOVE, id=client))


async def clients(tx: Reading) -> list[Client]:
    return [_client(*row) for row in await tx.rows(_CLIENTS)]


async def client(tx: Reading, identity: str) -> Client | None:
    rows = await tx.rows(_CLIENT, id=identity)
    return _client(*rows[0]) if rows else None


def _client(identity: str, shelf: str, scopes: str, *rest: str) -> Client:
    return Client(identity, shelf, frozenset(scopes.split()), *rest)


async def say(tx: Tx, said: Said, *, now: float) -> bool:
    """
    Whether this is said for the first time; what can be said no more is forgotten.

    now     UNIX seconds
    """
    await tx.run(_PAST, now=now)
    row = {"client": said.client, "said": _digest(said.id), "until": said.until}
    return bool(await tx.run(_SAY, **row))


async def secret(tx: Tx, name: str) -> bytes:
    """A key of 256 bits, made the first time it is asked for."""
    await tx.run(_MAKE, name=name, value=secrets.token_bytes(32))
    return bytes((await tx.rows(_SECRET, name=name))[0][0])
