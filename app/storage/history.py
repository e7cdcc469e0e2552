"""Every version that ever stood, newest first, page by page."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, and_, bindparam, func, or_, select, union_all

from app.storage.database import Statement, Tx, statement
from app.storage.tables import RESOURCE, VERSION

_COLUMNS: Final = ("type", "id", "version", "updated", "method", "body")
_FIRST: Final = ("9999", "", "", 0)  # before the newest


class Past(NamedTuple):
    """One version; body is empty where it is a deletion, updated is a FHIR instant."""

    type: str
    id: str
    version: int
    updated: str
    method: str
    body: bytes

    @property
    def place(self) -> tuple[str, str, str, int]:
        """Where it stands in the order: a page goes on after it."""
        return self.updated, self.type, self.id, self.version


def _page(*keys: str) -> Statement:
    """Newest first; of one moment by type, id, version, so that no two have the same place."""

    def of(table: Any) -> Any:
        later = or_(
            table.c.updated < bindparam("updated"),
            and_(table.c.updated == bindparam("updated"), _after(table)),
        )
        known = [table.c[key] == bindparam(key) for key in ("shelf", *keys)]
        since = table.c.updated >= bindparam("since")
        return select(*(table.c[name] for name in _COLUMNS)).where(*known, since, later)

    both = union_all(of(RESOURCE), of(VERSION)).subquery()
    order = (both.c.updated.desc(), both.c.type.desc(), both.c.id.desc(), both.c.version.desc())
    return statement(select(both).order_by(*order).limit(bindparam("most")))


def _after(table: Any) -> ColumnElement[bool]:
    return or_(
        table.c.type < bindparam("after_type"),
        and_(
            table.c.type == bindparam("after_type"),
            or_(
                table.c.id < bindparam("after_id"),
                and_(
                    table.c.id == bindparam("after_id"),
                    table.c.version < bindparam("after_version"),
                ),
            ),
        ),
    )


def _count(*keys: str) -> Statement:
    def of(table: Any) -> Any:
        known = [table.c[key] == bindparam(key) for key in ("shelf", *keys)]
        return select(func.count()).where(*known, table.c.updated >= bindparam("since"))

    return statement(select(of(RESOURCE).scalar_subquery() + of(VERSION).scalar_subquery()))


_KEYS: Final[tuple[tuple[str, ...], ...]] = ((), ("type",), ("type", "id"))
_PAGES: Final = {keys: _page(*keys) for keys in _KEYS}
_COUNTS: Final = {keys: _count(*keys) for keys in _KEYS}


async def page(  # noqa: PLR0913 — what a page is
    tx: Tx,
    shelf: str,
    *,
    of: dict[str, str],
    since: str,
    after: tuple[str, str, str, int] = _FIRST,
    most: int,
) -> list[Past]:
    """
    So many versions, newest first.

    of          {} for all of the shelf, {"type"} for a type, {"type", "id"} for one resource
    since       FHIR instant, "" for ever
    after       place of the last one of the page before
    """
    updated, kind, identity, version = after
    place = {"after_type": kind, "after_id": identity, "after_version": version}
    statement = _PAGES[tuple(of)]
    rows = await tx.rows(
        statement, shelf=shelf, since=since, updated=updated, most=most, **of, **place
    )
    return [Past(*row) for row in rows]


async def count(tx: Tx, shelf: str, *, of: dict[str, str], since: str) -> int:
    """How many versions there are."""
    rows = await tx.rows(_COUNTS[tuple(of)], shelf=shelf, since=since, **of)
    found: int = rows[0][0]
    return found
