"""Bodies and facts: short ones come with their rows, of long ones the size is asked before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Integer,
    LargeBinary,
    Text,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    select,
    union_all,
)
from sqlalchemy.ext.compiler import compiles

from app.storage.database import Reading, statement
from app.storage.tables import RESOURCE, VERSION

SHORT: Final = 8 * 2**10  # bytes; most of what is exchanged is shorter, and a page has 1000 at most
ALONE: Final = 2**18  # of one that is read by itself; 200 who ask at once are looked up together
WITH: Final = 2**16  # of what is read for a change, 200 at a time

Key = tuple[str, str, int]  # type, id, version


class _Nothing(ColumnElement[bytes]):
    """No bytes, as each database writes them: a value of the statement costs a µs."""

    inherit_cache = True
    type = LargeBinary()


@compiles(_Nothing, "sqlite")
def _nothing_sqlite(*_: Any, **_how: Any) -> str:
    return "x''"


@compiles(_Nothing, "postgresql")
def _nothing_postgres(*_: Any, **_how: Any) -> str:
    return "''::bytea"


def short(body: Any, most: int = SHORT) -> Any:
    """The column with what is short; of what is long there is nothing in it."""
    return case((func.length(body) <= literal_column(str(most)), body), else_=_Nothing()).label(
        "body"
    )


def short_facts(facts: Any, *, sqlite: bool) -> Any:
    """The same of facts; of a resource that stands they are never empty."""
    # SQLite would count characters, and PostgreSQL unpack the text for them
    size = func.length(cast(facts, LargeBinary)) if sqlite else func.octet_length(facts)
    nothing: Any = literal_column("''")
    return case((size <= literal_column(str(SHORT)), facts), else_=nothing).label("facts")


def _of_versions(of: Any) -> Any:
    """Of the versions that are asked for, wherever each of them stands."""
    number = cast(cast(bindparam("version"), Text), Integer)  # keys are handed over as texts
    return union_all(
        *(
            select(of(table.c.body)).where(
                *(table.c[name] == bindparam(name) for name in ("shelf", "type", "id")),
                table.c.version == number,
            )
            for table in (RESOURCE, VERSION)
        )
    )


_SIZE: Final = statement(_of_versions(func.length))
_BODY: Final = statement(_of_versions(lambda body: body))
_FACTS: Final = statement(
    select(RESOURCE.c.facts).where(
        *(RESOURCE.c[name] == bindparam(name) for name in ("shelf", "type", "id"))
    )
)


async def sizes(tx: Reading, shelf: str, keys: Sequence[Key]) -> dict[Key, int]:
    """Bytes of each that is there."""
    return await _each(tx, _SIZE, shelf, keys)


async def read(tx: Reading, shelf: str, keys: Sequence[Key]) -> dict[Key, bytes]:
    """The body of each that is there."""
    return await _each(tx, _BODY, shelf, keys)


async def facts(tx: Reading, shelf: str, kind: str, identity: str) -> str:
    """What the index keeps of one resource, however long; "" where it does not stand."""
    rows = await tx.rows(_FACTS, shelf=shelf, type=kind, id=identity)
    return str(rows[0][0]) if rows else ""


async def _each(tx: Reading, asked: Any, shelf: str, keys: Sequence[Key]) -> dict[Key, Any]:
    if not keys:
        return {}
    named = [
        {"shelf": shelf, "type": kind, "id": identity, "version": str(version)}
        for kind, identity, version in keys
    ]
    found = await tx.each(asked, named)
    return {key: rows[0][0] for key, rows in zip(keys, found, strict=True) if rows}
