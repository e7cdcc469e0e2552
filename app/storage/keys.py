"""Who may call, and the keys that the service made for itself."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

from sqlalchemy import bindparam, delete, insert, select

from app.domain.change import Caller
from app.storage.database import Reading, Tx, insert_once, statement
from app.storage.tables import CLIENT, SECRET

_ANY: Final = statement(select(CLIENT.c.id).limit(1))
_CLIENT: Final = statement(
    select(CLIENT.c.shelf, CLIENT.c.scopes, CLIENT.c.digest).where(CLIENT.c.id == bindparam("id"))
)
_CLIENTS: Final = statement(
    select(CLIENT.c.id, CLIENT.c.shelf, CLIENT.c.scopes, CLIENT.c.created).order_by(CLIENT.c.id)
)
_ADD: Final = statement(insert(CLIENT))
_REMOVE: Final = statement(delete(CLIENT).where(CLIENT.c.id == bindparam("id")))
_SECRET: Final = statement(select(SECRET.c.value).where(SECRET.c.name == bindparam("name")))
_MAKE: Final = insert_once(SECRET)


def _digest(secret: str) -> str:
    """SHA-256 will do: the secret is 256 bits of chance, so nobody can try them all."""
    return hashlib.sha256(secret.encode()).hexdigest()


async def any_client(tx: Reading) -> bool:
    return bool(await tx.rows(_ANY))


async def add_client(tx: Tx, *, client: str, shelf: str, scopes: list[str], at: str) -> str:
    """The secret, which is not stored and cannot be shown again."""
    secret = secrets.token_urlsafe(32)
    row = {"id": client, "shelf": shelf, "scopes": " ".join(scopes), "created": at}
    await tx.run(_ADD, **row, digest=_digest(secret))
    return secret


async def remove_client(tx: Tx, client: str) -> bool:
    return bool(await tx.run(_REMOVE, id=client))


async def clients(tx: Reading) -> list[tuple[str, str, str, str]]:
    """Id, shelf, scopes, since when."""
    return [(row[0], row[1], row[2], row[3]) for row in await tx.rows(_CLIENTS)]


async def caller(tx: Reading, client: str, secret: str) -> tuple[str, Caller] | None:
    """The client's shelf and what it may do; None where id and secret do not belong together."""
    rows = await tx.rows(_CLIENT, id=client)
    known = rows[0][2] if rows else _digest("")
    if not hmac.compare_digest(_digest(secret), known) or not rows:
        return None
    return rows[0][0], Caller(client, frozenset(rows[0][1].split()))


async def secret(tx: Tx, name: str) -> bytes:
    """A key of 256 bits, made the first time it is asked for."""
    await tx.run(_MAKE, name=name, value=secrets.token_bytes(32))
    return bytes((await tx.rows(_SECRET, name=name))[0][0])
