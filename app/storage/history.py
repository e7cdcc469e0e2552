"""Every version that ever stood, newest first, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    union_all,
)

from app.storage import bodies
from app.storage.database import Reading, Statement, statement
from app.storage.tables import RESOURCE, VERSION, of_key

_COLUMNS: Final = ("type", "id", "version", "updated", "method")
_ORDER: Final = ("updated", "type", "id", "version")  # so that no two have the same place

ALL: Final = 2**31 - 1

Place = tuple[str, str, str, int]


class Past(NamedTuple):
    """
    One version.

    updated     FHIR instant
    body        empty where it is a deletion, or longer than comes with the rows of a page
    """

    type: str
    id: str
    version: int
    updated: str
    method: str
    body: bytes

    @property
    def place(self) -> Place:
        """Where it stands in the order: a page goes on after it, or ends before it."""
        return self.updated, self.type, self.id, self.version


class Turn(NamedTuple):
    """Which page: the one that follows a place, or with back the one that ends before it."""

    back: bool
    place: Place


FIRST: Final = Turn(back=False, place=("9999", "", "", 0))


@dataclass(frozen=True, slots=True)
class Asked:
    """
    Which versions.

    of          {} for all of the shelf, {"type"} for a type, {"type", "id"} for one resource
    since       FHIR instant from which on they came, "" for ever
    at          FHIR instants, the second excluded: those that stood at some time between them
    """

    of: dict[str, str]
    since: str = ""
    at: tuple[str, str] | None = None

    @property
    def values(self) -> dict[str, str]:
        begin, end = self.at or ("", "")
        return {**self.of, "since": self.since, **({"begin": begin, "end": end} if end else {})}


def _conditions(table: Any, keys: tuple[str, ...], *, at: bool) -> Iterator[ColumnElement[bool]]:
    yield from (table.c[key] == bindparam(key) for key in ("shelf", *keys))
    if "id" in keys:
        # Always so; with all that it counts in the index by time SQLite reads a whole shelf of that.
        yield table.c.method != ""
    when = _when(table, keys)
    yield when >= bindparam("since", type_=Text)
    if at:
        begin = bindparam("begin", type_=Text)
        yield when < bindparam("end", type_=Text)
        stood = [] if table is RESOURCE else [or_(*(_ended(one) for one in (RESOURCE, VERSION)))]
        yield or_(when >= begin, and_(table.c.method != "DELETE", *stood))


def _when(table: Any, keys: tuple[str, ...]) -> ColumnElement[str]:
    updated: ColumnElement[str] = table.c.updated
    return of_key(updated) if "id" in keys else updated


def _ended(table: Any) -> ColumnElement[bool]:
    """Whether the version that came next, in that table, came after the time had begun."""
    after = table.alias("after")
    same = (after.c[name] == VERSION.c[name] for name in ("shelf", "type", "id"))
    following = after.c.version == VERSION.c.version + 1
    return exists().where(*same, following, after.c.updated > bindparam("begin", type_=Text))


@cache
def _page(keys: tuple[str, ...], *, at: bool, back: bool) -> Statement:
    """Newest first; back: the ones before a place, oldest first."""
    values = ("updated", "after_type", "after_id", "after_version")

    def of(table: Any) -> Select[Any]:
        columns = {**table.c, "updated": _when(table, keys)}
        place = tuple_(*(columns[name] for name in _ORDER))
        given = [
            bindparam(name, type_=table.c[column].type)
            for column, name in zip(_ORDER, values, strict=True)
        ]
        beyond = place > tuple_(*given) if back else place < tuple_(*given)
        selected = (*(table.c[name] for name in _COLUMNS), bodies.short(table.c.body))
        found = select(*selected).where(*_conditions(table, keys, at=at), beyond)
        # as many of each, in the order of an index, so that neither is read to its end
        order = _ORDER if table is VERSION else _ORDER[:-1]  # one version of each stands
        return select(first(found, columns, order).subquery())

    def first(found: Select[Any], columns: Any, by: tuple[str, ...] = _ORDER) -> Select[Any]:
        order = [columns[name] if back else columns[name].desc() for name in by]
        return found.order_by(*order).limit(bindparam("most"))

    both = union_all(of(RESOURCE), of(VERSION)).subquery()
    return statement(first(select(both), both.c))


@cache
def _count(keys: tuple[str, ...], *, at: bool) -> Statement:
    def of(table: Any) -> Any:
        found: Select[Any] = select(literal_column("1")).select_from(table)
        some = found.where(*_conditions(table, keys, at=at)).limit(bindparam("most"))
        return select(func.count()).select_from(some.subquery()).scalar_subquery()

    return statement(select(of(RESOURCE) + of(VERSION)))


async def page(tx: Reading, shelf: str, asked: Asked, turn: Turn, most: int) -> list[Past]:
    """So many versions of that page, newest first."""
    made = _page(tuple(asked.of), at=bool(asked.at), back=turn.back)
    updated, kind, identity, version = turn.place
    after = {"after_type": kind, "after_id": identity, "after_version": version}
    values = {"shelf": shelf, "updated": updated, "most": most, **asked.values, **after}
    found = [Past(*row) for row in await tx.rows(made, **values)]
    return found[::-1] if turn.back else found


async def count(tx: Reading, shelf: str, asked: Asked, *, most: int) -> int | None:
    """How many versions there are; None where that is more than most."""
    made = _count(tuple(asked.of), at=bool(asked.at))
    rows = await tx.rows(made, shelf=shelf, most=min(most + 1, ALL), **asked.values)
    found: int = rows[0][0]
    return found if found <= most else None
