"""What was expunged: gone from every version, row and file, and gone again after a restore."""

from __future__ import annotations

from typing import Final

from sqlalchemy import bindparam, delete, select, update

from app.domain.plan import Purge
from app.storage.database import Tx, insert_once, statement
from app.storage.tables import PURGE, VERSION

_NOTE: Final = insert_once(PURGE)
_AGAIN: Final = statement(
    update(PURGE)
    .where(
        PURGE.c.shelf == bindparam("on"),
        PURGE.c.type == bindparam("kind"),
        PURGE.c.id == bindparam("name"),
    )
    .values(scrubbed=0)
)
_FORGET: Final = statement(
    delete(VERSION).where(
        VERSION.c.shelf == bindparam("shelf"),
        VERSION.c.type == bindparam("type"),
        VERSION.c.id == bindparam("id"),
    )
)
_UNSCRUBBED: Final = statement(select(PURGE.c.id).where(PURGE.c.scrubbed == 0).limit(1))
_SCRUBBED: Final = statement(update(PURGE).where(PURGE.c.scrubbed == 0).values(scrubbed=1))


async def purge(tx: Tx, purged: Purge, *, at: str) -> None:
    """Past versions go, and the list says so; the tombstone was put before."""
    kind, _, identity = purged.name.partition("/")
    key = {"shelf": purged.shelf, "type": kind, "id": identity}
    await tx.run(_FORGET, **key)
    if not await tx.run(_NOTE, **key, exchange=purged.exchange, at=at, scrubbed=0):
        await tx.run(_AGAIN, on=purged.shelf, kind=kind, name=identity)


async def unscrubbed(tx: Tx) -> bool:
    """Whether something that was purged may still be in the file."""
    return bool(await tx.rows(_UNSCRUBBED))


async def scrubbed(tx: Tx) -> None:
    await tx.run(_SCRUBBED)
