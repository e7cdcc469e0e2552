"""What was expunged: gone from every version, row and file, and gone again after a restore."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import bindparam, case, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from app.domain.plan import Purge
from app.storage import outbox
from app.storage.database import Reading, Statement, Tx, statement
from app.storage.tables import PURGE, VERSION


def _noted(dialect: Any) -> Any:
    """A row, or the one that stands with the later time: what is written anew may be expunged anew."""
    row = dialect.insert(PURGE)
    later = row.excluded.at > PURGE.c.at
    said = {
        name: case((later, row.excluded[name]), else_=PURGE.c[name]) for name in ("at", "exchange")
    }
    key = [column.name for column in PURGE.primary_key]
    return row.on_conflict_do_update(index_elements=key, set_={**said, "scrubbed": 0})


_NOTE: Final = Statement(_noted(sqlite), _noted(postgresql))
_FORGET: Final = statement(
    delete(VERSION).where(
        VERSION.c.shelf == bindparam("shelf"),
        VERSION.c.type == bindparam("type"),
        VERSION.c.id == bindparam("id"),
        VERSION.c.updated
        <= bindparam("at"),  # what has been written under this name since is another
    )
)
_PAST: Final = statement(
    select(VERSION.c.version)
    .where(
        VERSION.c.shelf == bindparam("shelf"),
        VERSION.c.type == bindparam("type"),
        VERSION.c.id == bindparam("id"),
        VERSION.c.updated <= bindparam("at"),
        VERSION.c.method != "DELETE",
    )
    .limit(1)
)
_EXPUNGED: Final = statement(
    select(PURGE.c.at).where(
        PURGE.c.shelf == bindparam("shelf"),
        PURGE.c.type == bindparam("type"),
        PURGE.c.id == bindparam("id"),
        PURGE.c.why == "expunged",
    )
)
_LIST: Final = statement(
    select(
        PURGE.c.shelf, PURGE.c.type, PURGE.c.id, PURGE.c.exchange, PURGE.c.why, PURGE.c.at
    ).order_by(PURGE.c.at, PURGE.c.shelf, PURGE.c.type, PURGE.c.id, PURGE.c.why)
)
_UNSCRUBBED: Final = statement(select(PURGE.c.id).where(PURGE.c.scrubbed == 0).limit(1))
_SCRUBBED: Final = statement(update(PURGE).where(PURGE.c.scrubbed == 0).values(scrubbed=1))


async def purge(tx: Tx, purged: tuple[Purge, ...], times: Mapping[str, str]) -> None:
    """
    Past versions go, what was owed of them is owed no more, and the list says so.

    The tombstones were put before.

    times       when that came to each shelf
    """
    for one in purged:
        at = one.at or times[one.shelf]
        kind, _, identity = one.name.partition("/")
        key = {"shelf": one.shelf, "type": kind, "id": identity}
        await tx.run(_FORGET, **key, at=at)
        row = {"exchange": one.exchange, "why": one.why, "at": at, "scrubbed": 0}
        await tx.run(_NOTE, **key, **row)
    for exchange in {one.exchange for one in purged if one.why == "expunged"}:
        await outbox.forget(tx, exchange)


async def remembered(tx: Reading, purged: Purge, at: str) -> bool:
    """Whether a version of it from before it was purged is there."""
    kind, _, identity = purged.name.partition("/")
    return bool(await tx.rows(_PAST, shelf=purged.shelf, type=kind, id=identity, at=at))


async def expunged(tx: Reading, shelf: str, name: str) -> bool:
    """Whether what had this name (Type/id) was expunged."""
    kind, _, identity = name.partition("/")
    return bool(await tx.rows(_EXPUNGED, shelf=shelf, type=kind, id=identity))


async def unscrubbed(tx: Reading) -> bool:
    """Whether something that was purged may still be in the file."""
    return bool(await tx.rows(_UNSCRUBBED))


async def scrubbed(tx: Tx) -> None:
    await tx.run(_SCRUBBED)


async def listed(tx: Reading) -> list[tuple[Purge, str]]:
    """Everything that was ever purged, with the time, FHIR instant."""
    return [
        (Purge(row[0], f"{row[1]}/{row[2]}", row[3], row[4]), row[5])
        for row in await tx.rows(_LIST)
    ]
