"""From what stands on a shelf to the exchanges that sent it, and which of their copies are to follow."""

from __future__ import annotations

from typing import Final, NamedTuple

from sqlalchemy import bindparam, delete, select, update

from app.domain.plan import Exchange, Following
from app.storage.database import Batch, Reading, Row, Tx, insert_once, statement
from app.storage.tables import COPIED, EXCHANGE

# A write that was planned before a referral was sent is committed by then.
SETTLED_SECONDS: Final = 5.0

_COLUMNS: Final = tuple(column.name for column in COPIED.columns)
_SENT: Final = insert_once(COPIED)
_OF: Final = (COPIED.c.shelf == bindparam("shelf"), COPIED.c.name == bindparam("name"))
_AS_KEPT: Final = (COPIED.c.ended, COPIED.c.exchange)  # by id PostgreSQL goes through all exchanges
_OPEN: Final = statement(
    select(EXCHANGE)
    .join(COPIED, COPIED.c.exchange == EXCHANGE.c.id)
    .where(*_OF, COPIED.c.ended == 0)
    .order_by(COPIED.c.exchange)
    .limit(bindparam("most"))
)
_EVERY: Final = statement(
    select(EXCHANGE)
    .join(COPIED, COPIED.c.exchange == EXCHANGE.c.id)
    .where(*_OF)
    .order_by(*_AS_KEPT)
)
_OTHERS: Final = statement(
    select(EXCHANGE)
    .join(COPIED, COPIED.c.exchange == EXCHANGE.c.id)
    .where(*_OF, COPIED.c.exchange != bindparam("but"))
    .order_by(*_AS_KEPT)
    .limit(bindparam("most"))
)
_OF_EXCHANGE: Final = COPIED.c.exchange == bindparam("of")
_END: Final = statement(
    update(COPIED).where(_OF_EXCHANGE, COPIED.c.ended == 0).values(ended=1, due=0.0)
)
_FORGET: Final = statement(delete(COPIED).where(_OF_EXCHANGE))
_OWE: Final = statement(
    update(COPIED)
    .where(
        COPIED.c.shelf == bindparam("on"),
        COPIED.c.name == bindparam("named"),
        COPIED.c.ended == 0,
        COPIED.c.exchange > bindparam("after"),
    )
    .values(due=bindparam("at"))
)
_DUE: Final = statement(
    select(COPIED.c.shelf, COPIED.c.name, COPIED.c.exchange, COPIED.c.due)
    .where(COPIED.c.due > bindparam("never"), COPIED.c.due <= bindparam("now"))
    .order_by(COPIED.c.due, COPIED.c.exchange)
    .limit(bindparam("most"))
)
_PUT_OFF: Final = statement(
    update(COPIED)
    .where(
        COPIED.c.shelf == bindparam("on"),
        COPIED.c.name == bindparam("named"),
        _OF_EXCHANGE,
        COPIED.c.due == bindparam("was"),
    )
    .values(due=bindparam("at"))
)

_HURRY: Final = statement(
    update(COPIED).where(COPIED.c.due > bindparam("beyond")).values(due=bindparam("now"))
)


class Due(NamedTuple):
    """
    A copy that is to be brought up to date.

    name        Type/id of what was sent, on the shelf of its sender
    due         UNIX seconds, as it was owed
    """

    shelf: str
    name: str
    exchange: str
    due: float


async def opened(tx: Tx, step: Exchange, *, now: float) -> None:
    """What a new exchange has sent; each is looked at once more, for what changed while it was sent."""
    due = now + SETTLED_SECONDS
    # a consent that stays behind, by a label, is withdrawn all the same
    names = dict.fromkeys([*step.copies, *([step.consent] if step.consent else [])])
    rows = [(step.source, name, 0, step.id, due) for name in names]
    if rows:
        await tx.run_all([Batch(_SENT, _COLUMNS, rows)])


async def end(tx: Tx, exchange: str) -> None:
    """Nobody works on it any more: its copies stay as they are."""
    await tx.run(_END, of=exchange)


async def forget(tx: Tx, exchange: str) -> None:
    """Nothing of it is left that could follow."""
    await tx.run(_FORGET, of=exchange)


async def holding(tx: Reading, shelf: str, name: str, *, most: int | None) -> list[Row]:
    """
    The rows of the exchanges that sent what has this name.

    most        open ones, in the order of their ids; None: every one that ever did and still could
    """
    if most is None:
        return list(await tx.rows(_EVERY, shelf=shelf, name=name))
    return list(await tx.rows(_OPEN, shelf=shelf, name=name, most=most))


async def shared(tx: Reading, shelf: str, exchange: str, name: str, *, most: int) -> list[Row]:
    """The rows of other exchanges that have sent this too."""
    return list(await tx.rows(_OTHERS, shelf=shelf, name=name, but=exchange, most=most))


async def owe(tx: Tx, one: Following, *, now: float) -> None:
    """The copies of the exchanges beyond the first follow by and by."""
    await tx.run(_OWE, on=one.shelf, named=one.name, after=one.after, at=now)


async def due(tx: Reading, *, now: float, most: int) -> list[Due]:
    """The copies that are to be brought up to date, the oldest first."""
    return [Due(*row) for row in await tx.rows(_DUE, never=0.0, now=now, most=most)]


async def hurry(tx: Tx, *, now: float, beyond: float) -> int:
    """As outbox.hurry."""
    return await tx.run(_HURRY, now=now, beyond=beyond)


async def put_off(tx: Tx, one: Due, *, until: float) -> None:
    """
    It is up to date, or waits; what was owed anew meanwhile stays owed.

    until       UNIX seconds, 0 where it is up to date
    """
    await tx.run(_PUT_OFF, on=one.shelf, named=one.name, of=one.exchange, was=one.due, at=until)
