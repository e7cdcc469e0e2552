"""Statements that walk a range of the index, or a type in order of time, and look at the facts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    JSON,
    Join,
    Text,
    bindparam,
    cast,
    func,
    literal_column,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.ext.compiler import compiles

from app.storage import bodies
from app.storage.database import Statement
from app.storage.tables import POSTING, RESOURCE

PROBED: Final = 200  # a range is counted as far as this; what is longer is long
_COLUMNS: Final = {
    "body": ("id", "updated", "version", "body"),
    "facts": ("id", "updated", "facts"),
    "all": ("id", "updated", "version", "body", "facts"),
    "count": (),
}
_WAY: Final = ("term", "qualifier")  # with the id, where a page of a range ends


class _InTurn(Join):
    """
    For SQLite: for each row of the first its rows of the second, and never the other way around.

    source      https://www.sqlite.org/optoverview.html#manual_control_of_query_plans_using_cross_join
    """

    inherit_cache = False


@compiles(_InTurn)
def _in_turn(join: _InTurn, compiler: Any, **how: Any) -> str:
    how |= {"asfrom": True}
    first, second = compiler.process(join.left, **how), compiler.process(join.right, **how)
    return f"{first} CROSS JOIN {second} ON {compiler.process(join.onclause)}"


class Shape(NamedTuple):
    """
    What a statement depends on; its values come apart from it.

    lead        time; term, few or range, as a Way says; terms or ids
    columns     body, facts, all or count
    groups      of texts that stand in the facts: whether none may, and how many they are
    """

    lead: str
    columns: str
    qualified: bool = False
    groups: tuple[tuple[bool, int], ...] = ()
    since: bool = False
    until: bool = False
    placed: bool = False
    upwards: bool = False


@lru_cache(maxsize=2000)
def statement(shape: Shape) -> Statement:
    """For either database."""
    make = _by_type if shape.lead in {"time", "ids"} else _by_index
    return Statement(make(shape, sqlite=True), make(shape, sqlite=False))


def _by_index(shape: Shape, *, sqlite: bool) -> Any:
    """
    Resources that a range of the index leads to.

    PostgreSQL is made to look each of them up by its key, LATERAL and OFFSET 0: of a shelf or a type
    that has come since its last statistics it would think that there is one, and read all of them
    for each row of the range.
    """
    at = [RESOURCE.c.shelf == bindparam("shelf"), RESOURCE.c.type == bindparam("type")]
    at += [RESOURCE.c.id == POSTING.c.id, *_standing(shape, sqlite=sqlite)]
    names = _COLUMNS[shape.columns]
    source: Any
    if sqlite:
        of: Any = RESOURCE
        source = _InTurn(POSTING, RESOURCE, RESOURCE.c.id == POSTING.c.id)
    else:
        wanted = [RESOURCE.c[name] for name in names or ("id", "updated")]
        of = select(*wanted).where(*at).correlate(POSTING).offset(literal_column("0")).lateral()
        source, at = POSTING.join(of, true()), []
    columns = _shown(of, names, sqlite=sqlite)
    if shape.lead == "range":
        columns += [POSTING.c[name] for name in _WAY]
    if shape.columns == "count":  # what carries a code of two systems stands there twice
        columns = [func.count() if shape.qualified else func.count(POSTING.c.id.distinct())]
    made = select(*columns).where(POSTING.c.shelf == bindparam("shelf"), *at)
    match shape.lead:
        case "term" | "few":
            made = made.where(POSTING.c.term == bindparam("term"), *_timed(shape))
        case "range":
            made = _on_in_range(made, shape)
        case _ if sqlite:
            made = made.where(POSTING.c.term.in_(select(_listed("terms", sqlite=True).c.value)))
        case _:
            terms = _listed("terms", sqlite=False)
            made = made.where(POSTING.c.term == terms.c.value)
            source = terms.join(source, true())
    if shape.qualified:
        made = made.where(POSTING.c.qualifier == bindparam("qualifier"))
    return _paged(made.select_from(source), shape, POSTING if shape.lead == "term" else of)


def _on_in_range(made: Any, shape: Shape) -> Any:
    """
    So many of a range, in the order of the index, from a place in it on.

    Nothing in a range has a time, docs/decisions/0040, so that its order is that of _WAY.
    """
    made = made.where(POSTING.c.term < bindparam("high"))
    key = tuple_(*(POSTING.c[name] for name in ("term", "updated", "id", "qualifier")))
    if shape.placed:
        names = ("at_term", "at_updated", "at_id", "at_qualifier")
        made = made.where(key > tuple_(*(bindparam(name, type_=Text) for name in names)))
    else:
        made = made.where(POSTING.c.term >= bindparam("term"))
    if shape.columns == "count":
        return made
    order = (POSTING.c[name] for name in ("term", "updated", "id", "qualifier"))
    return made.order_by(*order).limit(bindparam("most"))


def _timed(shape: Shape) -> list[Any]:
    """Of a term those rows that have a time, or those that have none."""
    if shape.lead == "few":
        return [POSTING.c.updated == literal_column("''")]
    if shape.qualified or shape.since:  # either says it already
        return []
    return [POSTING.c.updated > literal_column("''")]


def _shown(of: Any, names: Iterable[str], *, sqlite: bool) -> list[Any]:
    """The columns; of long facts and bodies nothing, which are asked for by themselves."""
    made: dict[str, Callable[[Any], Any]] = {
        "body": bodies.short, "facts": partial(bodies.short_facts, sqlite=sqlite)
    }  # fmt: skip
    return [made[name](of.c[name]) if name in made else of.c[name] for name in names]


def _by_type(shape: Shape, *, sqlite: bool) -> Any:
    """Resources of a type, in order of time or by their ids."""
    columns = _shown(RESOURCE, _COLUMNS[shape.columns], sqlite=sqlite)
    made = select(*columns) if columns else select(func.count())
    made = made.select_from(RESOURCE)
    at = [RESOURCE.c.shelf == bindparam("shelf"), RESOURCE.c.type == bindparam("type")]
    at += [RESOURCE.c.method != literal_column("'DELETE'"), *_standing(shape, sqlite=sqlite)]
    if shape.lead != "ids":
        return _paged(made.where(*at), shape, RESOURCE)
    ids = _listed("ids", sqlite=sqlite)
    if sqlite:
        return _paged(made.where(*at, RESOURCE.c.id.in_(select(ids.c.value))), shape, RESOURCE)
    at.append(RESOURCE.c.id == ids.c.value)
    found = select(RESOURCE).where(*at).correlate(ids).offset(literal_column("0")).lateral()
    named = _shown(found, _COLUMNS[shape.columns], sqlite=sqlite)
    return _paged(select(*named).select_from(ids.join(found, true())), shape, found)


def _standing(shape: Shape, *, sqlite: bool) -> list[Any]:
    """That texts stand in the facts, or that none does."""
    stands = func.instr if sqlite else func.strpos
    made = []
    for index, (negated, count) in enumerate(shape.groups):
        each = [
            stands(RESOURCE.c.facts, bindparam(f"n{index}_{at}", type_=Text)) > literal_column("0")
            for at in range(count)
        ]
        made.append(~or_(*each) if negated else or_(*each))
    return made


def _paged(made: Any, shape: Shape, of: Any) -> Any:
    """Between two times, from a place on, in order, so many."""
    if shape.since:
        made = made.where(of.c.updated >= bindparam("since"))
    if shape.until:
        made = made.where(of.c.updated < bindparam("until"))
    if shape.columns == "count":
        return made
    order = (of.c.updated, of.c.id)
    if shape.placed and shape.lead != "range":
        here = tuple_(bindparam("at", type_=Text), bindparam("at_id", type_=Text))
        made = made.where(tuple_(*order) > here if shape.upwards else tuple_(*order) < here)
    if shape.lead in {"time", "term", "few"}:
        made = made.order_by(*(one.asc() if shape.upwards else one.desc() for one in order))
    if shape.lead in {"time", "term", "few", "terms"}:
        made = made.limit(bindparam("most"))
    return made


def _listed(name: str, *, sqlite: bool) -> Any:
    """The members of a JSON list that is handed in as one value."""
    value: Any = bindparam(name, type_=Text)
    members = func.json_each(value) if sqlite else func.json_array_elements_text(cast(value, JSON))
    return members.table_valued("value", name="listed")


@lru_cache
def probe(ranged: bool, qualified: bool) -> Statement:  # noqa: FBT001
    made: Any = select(literal_column("1")).where(POSTING.c.shelf == bindparam("shelf"))
    if ranged:
        made = made.where(POSTING.c.term >= bindparam("term"), POSTING.c.term < bindparam("high"))
    else:
        made = made.where(POSTING.c.term == bindparam("term"))
    if qualified:
        made = made.where(POSTING.c.qualifier == bindparam("qualifier"))
    some = made.limit(literal_column(str(PROBED))).subquery()
    return Statement(select(func.count()).select_from(some))
