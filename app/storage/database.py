"""What storage asks of a database: transactions, and statements compiled once for each dialect."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from operator import itemgetter
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import sqlalchemy
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.asyncpg import dialect as postgres_dialect

_T = TypeVar("_T")
Row = Sequence[Any]

# What a worker names in place of shelves: it sees what is owed to all, and resources of none.
QUEUE: Final = ("*",)
NONE: Final = ()  # clients and keys of the service itself stand on no shelf

_SQLITE: Final = sqlite.dialect(paramstyle="named")
_POSTGRES: Final = postgres_dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


_NAME: Final = re.compile(r":([a-z_0-9]+)")
_NUMBER: Final = re.compile(r"\$(\d+)(::VARCHAR)?")


class Overtaken(Exception):  # noqa: N818 — the other one was first; plan again
    """A guard failed: what the plan was made from has changed since."""


@dataclass(frozen=True, slots=True)
class Positional:
    """
    SQL with $1, $2 as asyncpg takes it.

    order       the values' names, in the order of their numbers
    seeing      the same, one number more: the shelves that it may see, set by the statement itself
    together    as seeing, for many: each value is a list, and a row ends with its place in it
    """

    sql: str
    order: tuple[str, ...]
    seeing: str
    together: str


@dataclass(frozen=True, slots=True)
class Many:
    """
    SQL that takes many rows at once, so that they are one row's work for PostgreSQL's planner.

    json        one value, the rows as JSON; asyncpg looks at each item of a list several times.
                Else a list for each column
    beside      a part of WITH that does something else with the same rows
    """

    sql: str
    json: bool
    beside: str = ""

    @property
    def values(self) -> int:
        """How many values it takes."""
        return len({*re.findall(r"\$\d+", self.sql)})

    def parts(self, name: str, after: int) -> list[str]:
        """The same as parts of a WITH, the last of this name; so many values stand before its own."""
        own = f"{name} AS ({self.sql} RETURNING 1)"
        return [_moved(one, after) for one in (self.beside, own) if one]


def _moved(sql: str, after: int) -> str:
    return re.sub(r"\$(\d+)", lambda one: f"${int(one[1]) + after}", sql)


def rows_of(types: Mapping[str, Any]) -> Many:
    """The rows of a FROM, each column with its type: as JSON where all of it is text."""
    kinds = {name: kind.compile(dialect=_POSTGRES).split(" ")[0] for name, kind in types.items()}
    if set(kinds.values()) == {"TEXT"}:
        named = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
        return Many(f"json_to_recordset($1::text::json) AS keys({named})", json=True)
    lists = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(kinds.values(), 1))
    return Many(f"unnest({lists}) AS keys({', '.join(kinds)})", json=False)


class Taking(NamedTuple):
    """
    SQL with ?1, ?2 as SQLite takes it quickest.

    of          from a row to the values that the SQL takes; None: the row itself
    """

    sql: str
    of: Callable[[Row], Row] | None


class Statement:
    """
    SQL with named values, for either database.

    sql         as SQLite takes it, :named
    before      for SQLite, what is run for the same rows before it; on PostgreSQL it is part of `many`
    many        for PostgreSQL, from the columns of many rows to the one statement that takes them all
    constants   those values that are always the same
    """

    __slots__ = ("__dict__", "_element", "_taking", "before", "constants", "many", "sql")

    def __init__(
        self,
        element: sqlalchemy.ClauseElement,
        other: sqlalchemy.ClauseElement | None = None,
        before: Statement | None = None,
        many: Callable[[tuple[str, ...]], Many] | None = None,
    ) -> None:
        compiled = element.compile(dialect=_SQLITE)
        given = {name: value for name, value in compiled.params.items() if value is not None}
        self.sql = str(compiled)
        self.constants: dict[str, Any] = given
        self.before = before
        self.many = many
        self._element = element if other is None else other
        self._taking: dict[tuple[str, ...], Taking] = {}

    def taking(self, columns: tuple[str, ...]) -> Taking:
        """As SQLite takes the values of these columns, one after the other."""
        found = self._taking.get(columns)
        if found is None:
            named = tuple(dict.fromkeys(_NAME.findall(self.sql)))
            sql = _NAME.sub(lambda one: f"?{named.index(one[1]) + 1}", self.sql)
            of = None if named == columns else itemgetter(*map(columns.index, named))
            found = self._taking[columns] = Taking(sql, of)
        return found

    @cached_property
    def postgres(self) -> Positional:
        """
        As asyncpg takes it.

        In seeing, the inner select leans on the outer one, so that no plan can look at a table
        before its shelves are named: LATERAL, and OFFSET 0 keeps the planner from merging the two.
        """
        compiled = self._element.compile(dialect=_POSTGRES)
        sql, order = str(compiled), tuple(compiled.positiontup or ())  # type: ignore[attr-defined]
        shelves = f"set_config('kinbridge.shelves', ${len(order) + 1}, true)"
        seeing = (
            f"SELECT found.* FROM (SELECT {shelves} AS named OFFSET 0) AS shelves"  # noqa: S608 — no value is in it
            " CROSS JOIN LATERAL (SELECT asked.*%s ({}) AS asked"
            " WHERE shelves.named IS NOT NULL OFFSET 0) AS found"
        )
        numbers = range(1, len(order) + 1)
        lists = ", ".join(f"${number}::text[]" for number in numbers)
        names = ", ".join(f"k{number}" for number in numbers)
        keys = f"unnest({lists}) WITH ORDINALITY AS keys({names}, place)"
        return Positional(
            sql,
            order,
            (seeing % " FROM").format(sql),
            (seeing % f", keys.place FROM {keys} CROSS JOIN LATERAL").format(
                _NUMBER.sub(r"keys.k\1", sql)
            ),
        )


def statement(element: sqlalchemy.ClauseElement) -> Statement:
    """A Core statement, compiled once, when a module is read."""
    # else SQLAlchemy would ask for the key of each row that has a number for a key
    return Statement(element.inline() if isinstance(element, sqlalchemy.Insert) else element)


def insert_once(table: sqlalchemy.Table) -> Statement:
    """Insert; where its key stands already, touch no row."""
    return Statement(
        sqlite.insert(table).on_conflict_do_nothing(),
        postgresql.insert(table).on_conflict_do_nothing(),
        many=partial(_insert_many, table),
    )


def delete_rows(table: sqlalchemy.Table, columns: tuple[str, ...]) -> Statement:
    """Delete a row by these columns."""
    keys = (table.c[name] == sqlalchemy.bindparam(name) for name in columns)
    return Statement(sqlalchemy.delete(table).where(*keys), many=partial(_delete_many, table))


@cache
def _delete_many(table: sqlalchemy.Table, columns: tuple[str, ...]) -> Many:
    """
    LATERAL and OFFSET 0 hold the planner to one look in the index for each row, however small the
    table was when it made its plan.
    """
    rows = rows_of({name: table.c[name].type for name in columns})
    given = ", ".join(f"keys.{name}" for name in columns)
    one = ", ".join(f"one.{name}" for name in columns)
    found = f"SELECT one.ctid FROM {table.name} AS one WHERE ({one}) = ({given}) OFFSET 0"  # noqa: S608 — our own names
    looked = f"SELECT found.ctid FROM {rows.sql} CROSS JOIN LATERAL ({found}) AS found"  # noqa: S608 — as above
    return Many(f"DELETE FROM {table.name} WHERE ctid = ANY (ARRAY({looked}))", rows.json)  # noqa: S608 — as above


@cache
def _insert_many(table: sqlalchemy.Table, columns: tuple[str, ...]) -> Many:
    rows = rows_of({name: table.c[name].type for name in columns})
    sql = (
        f"INSERT INTO {table.name} ({', '.join(columns)})"  # noqa: S608 — our own names
        f" SELECT * FROM {rows.sql} ON CONFLICT DO NOTHING"
    )
    return Many(sql, rows.json)


class Batch(NamedTuple):
    """Rows, and the statement that takes them, each a value for each column."""

    statement: Statement
    columns: tuple[str, ...]
    rows: Sequence[Row]


class Reading(Protocol):
    """What looks, and changes nothing. Nothing in it awaits anything but the database."""

    async def rows(self, statement: Statement, **values: Any) -> Sequence[Row]: ...

    async def each(
        self, statement: Statement, values: Sequence[dict[str, str]]
    ) -> list[Sequence[Row]]:
        """The rows for each of many keys, at once where that saves a round trip."""
        ...


class Tx(Reading, Protocol):
    """One transaction that writes; all of it or nothing."""

    async def run(self, statement: Statement, **values: Any) -> int:
        """How many rows it touched."""
        ...

    async def run_all(self, batches: Sequence[Batch]) -> list[int]:
        """
        How many rows each of them touched, the first of them first.

        On PostgreSQL they are one statement, and none of them sees what another one does.
        """
        ...


class Database(Protocol):
    """
    Where everything stands.

    shelves     those that the work may see, or QUEUE, or NONE; PostgreSQL shows it no others
    raises      Unavailable: the database cannot be read or written now
    """

    async def read(
        self, work: Callable[[Reading], Coroutine[Any, Any, _T]], *, shelves: Iterable[str]
    ) -> _T:
        """Key reads and bounded pages; each statement sees what was committed before it."""
        ...

    async def write(
        self,
        work: Callable[[Tx], Coroutine[Any, Any, _T]],
        *,
        shelves: Iterable[str],
        long: bool = False,
    ) -> _T:
        """
        Returns when it is on the disk.

        long        whether its statements take so long that the event loop shall not run them
        raises      Overtaken: others changed the same at the same moment
        """
        ...

    async def scrub(self) -> None:
        """What was deleted is not in the file either; where the database itself sees to it, nothing."""
        ...

    async def may_deliver(self, alone: Callable[[Tx], Coroutine[Any, Any, None]]) -> bool:
        """
        Whether this process may deliver what is owed; where another has the file, it asks again later.

        alone       done once, at its start, by one that knows that nobody else lives; none can come meanwhile
        """
        ...

    async def close(self) -> None:
        """After the last write; waits for it."""
        ...


def is_postgres(url: str) -> bool:
    return url.startswith("postgresql://")
