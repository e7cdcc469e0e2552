"""
When something came to a shelf: later than all that stands there; docs/decisions/0080.

Who asks a shelf again and again for what is new since it asked last misses nothing only where
nothing ever comes with a time before that. A clock that was set back, two processes whose clocks
differ, and a write that began first and was on the disk last would all bring such a thing.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import bindparam, case, func, select
from sqlalchemy.dialects import postgresql, sqlite

from app import fhir
from app.storage.database import Reading, Statement, Tx, statement
from app.storage.tables import CLOCK

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TICK: Final = timedelta(milliseconds=1)


def _ticking(dialect: Any) -> Any:
    row = dialect.insert(CLOCK)
    later = case((row.excluded.last > CLOCK.c.last, row.excluded.last), else_=CLOCK.c.last + 1)
    told = row.on_conflict_do_update(index_elements=[CLOCK.c.shelf], set_={"last": later})
    return told.returning(CLOCK.c.last)


_TELL: Final = Statement(_ticking(sqlite), _ticking(postgresql))
_LATEST: Final = statement(select(func.max(CLOCK.c.last)))
_LAST: Final = statement(select(CLOCK.c.last).where(CLOCK.c.shelf == bindparam("shelf")))


async def tell(tx: Tx, shelves: Collection[str], at: str) -> dict[str, str]:
    """
    For each shelf the time (FHIR instant) of all that this transaction puts there: at, or a millisecond
    after what is there already where that is not before it.

    On PostgreSQL nobody else writes to these shelves until the transaction has ended.
    """
    asked = (fhir.moment(at) - _EPOCH) // _TICK
    told: dict[str, str] = {}
    for shelf in sorted(shelves):  # in one order, so that no two wait for each other
        rows = await tx.rows(_TELL, shelf=shelf, last=asked)
        last = rows[0][0]
        told[shelf] = at if last == asked else _instant(last)
    return told


async def last(tx: Reading, shelf: str) -> str:
    """The time of what came to a shelf last, as FHIR instant; the first of 1970 where nothing ever did."""
    (rows,) = await tx.each(_LAST, [{"shelf": shelf}])
    return _instant(rows[0][0] if rows else 0)


async def latest(tx: Reading) -> float:
    """The same of every shelf that is seen, UNIX seconds; 0 where nothing ever came."""
    rows = await tx.rows(_LATEST)
    return (rows[0][0] or 0) / 1000


def _instant(milliseconds: int) -> str:
    return fhir.instant(_EPOCH + milliseconds * _TICK)
