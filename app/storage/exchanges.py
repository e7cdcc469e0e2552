"""What an agency said of a referral, each event once, and what is part of a referral on a shelf."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from sqlalchemy import bindparam, select

from app.domain.plan import Recorded
from app.storage.database import Overtaken, Tx, insert_once, statement
from app.storage.tables import EVENT, RESOURCE

_RECORD: Final = insert_once(EVENT)
_RECORDED: Final = statement(
    select(EVENT.c.sequence, EVENT.c.event, EVENT.c.digest, EVENT.c.standing).where(
        EVENT.c.exchange == bindparam("exchange"), EVENT.c.key == bindparam("key")
    )
)
_EVENTS: Final = statement(
    select(EVENT.c.key, EVENT.c.sequence, EVENT.c.event, EVENT.c.standing, EVENT.c.at)
    .where(EVENT.c.exchange == bindparam("exchange"))
    .order_by(EVENT.c.at, EVENT.c.key)
)
_HELD: Final = statement(
    select(RESOURCE.c.type, RESOURCE.c.id).where(
        RESOURCE.c.shelf == bindparam("shelf"), RESOURCE.c.exchange == bindparam("exchange")
    )
)


async def record(tx: Tx, row: Recorded, *, at: str) -> None:
    """Once; Overtaken where the same event was recorded at the same moment."""
    if not await tx.run(_RECORD, **asdict(row), at=at):
        raise Overtaken


async def recorded(tx: Tx, shelf: str, exchange: str, key: str) -> Recorded | None:
    rows = await tx.rows(_RECORDED, exchange=exchange, key=key)
    return Recorded(exchange, shelf, key, *rows[0]) if rows else None


async def held(tx: Tx, shelf: str, exchange: str) -> list[str]:
    """Type/id of what stands, or stood, on a shelf as part of an exchange."""
    rows = await tx.rows(_HELD, shelf=shelf, exchange=exchange)
    return sorted(f"{row[0]}/{row[1]}" for row in rows)
