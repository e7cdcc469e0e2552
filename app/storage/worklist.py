"""What of a shelf's screenings maps nowhere yet, and the tenant's crosswalk in the database."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import bindparam, delete, select

from app.domain.loaded import Want
from app.domain.plan import Waiting, Worklist
from app.storage.database import Batch, Reading, Row, Tx, insert_once, statement
from app.storage.tables import CROSSWALK, WORKLIST

_WANTED: Final = 300  # characters; what is longer is hashed, a page of PostgreSQL's index holds it
_COLUMNS: Final = ("source", "kind", "wanted", "question", "system", "code", "text")
_OF_SHELF: Final = WORKLIST.c.shelf == bindparam("shelf")
_OF_SOURCE: Final = statement(
    select(*(WORKLIST.c[name] for name in _COLUMNS))
    .where(_OF_SHELF, WORKLIST.c.source == bindparam("source"))
    .order_by(WORKLIST.c.wanted)
)
_SOURCES: Final = statement(
    select(WORKLIST.c.source).where(_OF_SHELF, WORKLIST.c.wanted == bindparam("wanted"))
)
_ALL: Final = statement(
    select(*(WORKLIST.c[name] for name in _COLUMNS))
    .where(_OF_SHELF, WORKLIST.c.source > bindparam("after"))
    .order_by(WORKLIST.c.source, WORKLIST.c.wanted)
    .limit(bindparam("most"))
)
_FORGET: Final = statement(
    delete(WORKLIST).where(_OF_SHELF, WORKLIST.c.source == bindparam("source"))
)
_ROW: Final = tuple(column.name for column in WORKLIST.columns)
_ADD: Final = insert_once(WORKLIST)
_TARGET: Final = statement(
    select(CROSSWALK.c.target).where(
        CROSSWALK.c.shelf == bindparam("shelf"), CROSSWALK.c.wanted == bindparam("wanted")
    )
)
_UNMAP: Final = statement(
    delete(CROSSWALK).where(
        CROSSWALK.c.shelf == bindparam("shelf"), CROSSWALK.c.wanted == bindparam("wanted")
    )
)
_MAP: Final = insert_once(CROSSWALK)


def _waiting(row: Row) -> Waiting:
    return Waiting(*row)


async def targets(tx: Reading, wants: Sequence[Want]) -> list[str | None]:
    """What the crosswalk in the database says of each code or text."""
    keys = [{"shelf": want.shelf, "wanted": _kept(want.key)} for want in wants]
    return [str(rows[0][0]) if rows else None for rows in await tx.each(_TARGET, keys)]


async def of_source(tx: Reading, shelf: str, source: str) -> tuple[Waiting, ...]:
    """What of a source waits."""
    return tuple(_waiting(row) for row in await tx.rows(_OF_SOURCE, shelf=shelf, source=source))


async def sources(tx: Reading, wants: Sequence[Want]) -> list[list[str]]:
    """The sources that wait for each of these."""
    keys = [{"shelf": want.shelf, "wanted": _kept(want.key)} for want in wants]
    return [sorted(row[0] for row in rows) for rows in await tx.each(_SOURCES, keys)]


async def page(tx: Reading, shelf: str, *, after: str = "", most: int) -> list[Waiting]:
    """What waits on a shelf, by source; `after` a source that was seen."""
    return [_waiting(row) for row in await tx.rows(_ALL, shelf=shelf, after=after, most=most)]


async def replace(tx: Tx, one: Worklist) -> None:
    """What of a source waits, in place of what waited of it before."""
    await tx.run(_FORGET, shelf=one.shelf, source=one.source)
    rows = [
        (
            one.shelf, one.source, waiting.kind, _kept(waiting.key),
            waiting.question, waiting.system, waiting.code, waiting.text,
        )
        for waiting in one.waiting
    ]  # fmt: skip
    if rows:
        await tx.run_all([Batch(_ADD, _ROW, rows)])


async def load(tx: Tx, shelf: str, targets: Mapping[str, str]) -> None:
    """More rows of the crosswalk; one that stands is replaced."""
    for key, value in targets.items():
        await tx.run(_UNMAP, shelf=shelf, wanted=_kept(key))
        await tx.run(_MAP, shelf=shelf, wanted=_kept(key), target=value)


def _kept(key: str) -> str:
    if len(key) <= _WANTED:
        return key
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"
