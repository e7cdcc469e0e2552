"""The accounting of disclosures: who received what about whom, when, why, by which rule."""

from __future__ import annotations

import json
from typing import Any, Final

from msgspec.structs import asdict
from sqlalchemy import bindparam, func, insert, literal_column, select

from app.domain.plan import Accounted
from app.storage.database import Reading, Tx, statement
from app.storage.tables import LEDGER

_COLUMNS: Final = [column.name for column in LEDGER.columns if column.name != "id"]
_ACCOUNT: Final = statement(insert(LEDGER).values({name: bindparam(name) for name in _COLUMNS}))
_ABOUT: Final = statement(
    select(*(LEDGER.c[name] for name in _COLUMNS))
    .where(LEDGER.c.source == bindparam("source"), LEDGER.c.subject == bindparam("subject"))
    .order_by(LEDGER.c.at, LEDGER.c.id)
)


_EVENT: Final = 3000  # bytes of a row as an AuditEvent, but for what its lists say
_WEIGHT: Final = statement(
    select(
        func.count(), func.coalesce(func.sum(func.length(LEDGER.c.disclosed)), literal_column("0"))
    ).where(LEDGER.c.source == bindparam("source"), LEDGER.c.subject == bindparam("subject"))
)


async def account(tx: Tx, row: Accounted, *, at: str) -> None:
    """One row, in the transaction of the disclosure itself."""
    lists = {"basis": json.dumps(row.basis), "disclosed": json.dumps(row.disclosed)}
    await tx.run(_ACCOUNT, **{**asdict(row), **lists, "at": at})


async def about(tx: Reading, source: str, subject: str) -> list[dict[str, Any]]:
    """Every disclosure that a shelf made about one person, oldest first."""
    rows = await tx.rows(_ABOUT, source=source, subject=subject)
    return [dict(zip(_COLUMNS, row, strict=True)) for row in rows]


async def weight(tx: Reading, source: str, subject: str) -> int:
    """Some bytes that every disclosure about one person takes."""
    ((count, lists),) = await tx.rows(_WEIGHT, source=source, subject=subject)
    return int(count) * _EVENT + 2 * int(lists)
