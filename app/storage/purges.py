"""What was expunged: gone from every version, row and file, and gone again after a restore."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import Table, bindparam, case, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from app.domain.event import EXPUNGED, STATUS
from app.domain.loaded import MOST_COPIES
from app.domain.plan import Purge
from app.storage import copies, outbox
from app.storage.database import Reading, Row, Statement, Tx, statement
from app.storage.entries import FIELD
from app.storage.tables import EXCHANGE, PURGE, RESOURCE, VERSION, of_key

_COLUMNS: Final = tuple(column.name for column in EXCHANGE.columns)


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
_UP_TO: Final = (  # what has been written under this name since is another
    VERSION.c.shelf == bindparam("shelf"),
    VERSION.c.type == bindparam("type"),
    VERSION.c.id == bindparam("id"),
    of_key(VERSION.c.updated) <= bindparam("at"),
)
_FORGET: Final = statement(
    delete(VERSION).where(
        *_UP_TO, VERSION.c.version > bindparam("above"), VERSION.c.version < bindparam("below")
    )
)
_PAST: Final = statement(
    select(VERSION.c.version)
    .where(*_UP_TO, VERSION.c.method != "DELETE")
    .order_by(VERSION.c.version.desc())
    .limit(bindparam("most"))
)
_STANDS: Final = statement(
    select(RESOURCE.c.version).where(
        RESOURCE.c.shelf == bindparam("shelf"),
        RESOURCE.c.type == bindparam("type"),
        RESOURCE.c.id == bindparam("id"),
        RESOURCE.c.updated <= bindparam("at"),
        RESOURCE.c.method != "DELETE",
    )
)
_NEWEST: Final = 2**31 - 1
_EXPUNGED: Final = statement(
    select(PURGE.c.at).where(
        PURGE.c.shelf == bindparam("shelf"),
        PURGE.c.type == bindparam("type"),
        PURGE.c.id == bindparam("id"),
        PURGE.c.why == "expunged",
    )
)
_SHELVES: Final = statement(select(PURGE.c.shelf).distinct())


def _is_there(table: Table, *more: Any) -> Any:
    """Whether something with the name of what was purged, and no newer than that, is in a table."""
    same = (table.c[name] == PURGE.c[name] for name in ("shelf", "type", "id"))
    earlier = (table.c.method != "DELETE", of_key(table.c.updated) <= PURGE.c.at)
    return select(table.c.id).where(*same, *earlier, *more).exists()


_CAME_BACK: Final = statement(
    select(PURGE.c.shelf, PURGE.c.type, PURGE.c.id, PURGE.c.exchange, PURGE.c.why, PURGE.c.at)
    .where(
        or_(
            _is_there(VERSION),
            _is_there(  # and is not what the purge itself has put there
                RESOURCE,
                or_(PURGE.c.why != "amended", RESOURCE.c.updated < PURGE.c.at),
                ~RESOURCE.c.facts.contains(f"businessStatus~t{FIELD}{EXPUNGED}{FIELD}{STATUS}"),
            ),
        )
    )
    .order_by(PURGE.c.at, PURGE.c.shelf, PURGE.c.type, PURGE.c.id, PURGE.c.why)
)
_NAMED: Final = ("shelf", "type", "id", "why", "at")
_UNSCRUBBED: Final = statement(
    select(*(PURGE.c[one] for one in _NAMED)).where(PURGE.c.scrubbed == 0)
)
_SCRUBBED: Final = statement(
    update(PURGE)
    .where(*(PURGE.c[one] == bindparam(f"its_{one}") for one in _NAMED))
    .values(scrubbed=1)
)


async def purge(tx: Tx, purged: tuple[Purge, ...], times: Mapping[str, str]) -> None:
    """
    Past versions go, but for those that were sent of somebody else; what was owed of them is owed no more,
    and the list says so.

    The tombstones were put before.

    times       when that came to each shelf
    """
    for one in purged:
        at = one.at or times[one.shelf]
        key = _key(one)
        sent = await _sent(tx, one)
        for above, below in pairwise([0, *sent, _NEWEST]):
            await tx.run(_FORGET, **key, at=at, above=above, below=below)
        row = {"exchange": one.exchange, "why": one.why, "at": at, "scrubbed": 0}
        await tx.run(_NOTE, **key, **row)
    for exchange in {one.exchange for one in purged if one.why == "expunged"}:
        await outbox.forget(tx, exchange)


def _key(purged: Purge) -> dict[str, str]:
    kind, _, identity = purged.name.partition("/")
    return {"shelf": purged.shelf, "type": kind, "id": identity}


async def _sent(tx: Reading, purged: Purge) -> list[int]:
    """
    The numbers of its versions that other exchanges have sent, which stay: what follows them is held to these.

    They tell of somebody else; where they do not, it is not purged.
    """
    rows = await copies.shared(tx, purged.shelf, purged.exchange, purged.name, most=MOST_COPIES)
    found: set[int] = set()
    for row in rows:
        opened, terms = (row[_COLUMNS.index(name)] for name in ("opened", "terms"))
        at = json.loads(terms).get("known") or opened
        if not await tx.rows(_STANDS, **_key(purged), at=at):  # else it stands still
            found |= {one[0] for one in await tx.rows(_PAST, **_key(purged), at=at, most=1)}
    return sorted(found)


async def remembered(tx: Reading, purged: Purge, at: str) -> bool:
    """Whether a version of it from before it was purged is there."""
    sent = await _sent(tx, purged)
    past = await tx.rows(_PAST, **_key(purged), at=at, most=len(sent) + 1)
    return not {one[0] for one in past} <= {*sent}


async def expunged(tx: Reading, shelf: str, name: str) -> str:
    """When what had this name (Type/id) was expunged, as FHIR instant; "" for never."""
    kind, _, identity = name.partition("/")
    rows = await tx.rows(_EXPUNGED, shelf=shelf, type=kind, id=identity)
    return str(rows[0][0]) if rows else ""


async def unscrubbed(tx: Reading) -> Sequence[Row]:
    """What was purged and may still be in the file."""
    return await tx.rows(_UNSCRUBBED)


async def scrubbed(tx: Tx, *, purged: Sequence[Row]) -> None:
    """These are out of the file; what was purged meanwhile, also at an earlier time, may be in it."""
    for row in purged:
        named = {f"its_{name}": said for name, said in zip(_NAMED, row, strict=True)}
        await tx.run(_SCRUBBED, **named)


async def shelves(tx: Reading) -> list[str]:
    """Those from which something was ever purged."""
    return [row[0] for row in await tx.rows(_SHELVES)]


async def came_back(tx: Reading) -> list[tuple[Purge, str]]:
    """What was purged and is older than that, and yet there, with the time of the purge, FHIR instant."""
    return [
        (Purge(row[0], f"{row[1]}/{row[2]}", row[3], row[4]), row[5])
        for row in await tx.rows(_CAME_BACK)
    ]
