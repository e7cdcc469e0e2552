"""Finding what stands on one shelf: a range of the index or of time, checked, page by page."""

from __future__ import annotations

import functools
import heapq
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import replace
from typing import Any, Final, NamedTuple

from app.errors import NotSupported
from app.storage import matching, ranges
from app.storage.asked import Criterion, Linked, Query
from app.storage.database import Reading
from app.storage.matching import Facts, Way
from app.storage.order import Order, Place, Row

_WAYS: Final = 64  # ranges that one search walks side by side
_LINKED: Final = 10_000  # what a chain may lead over
_CHUNK: Final = 500
_CHECKED: Final = 1000  # of a long list of ids, looked up at a time


class Found(NamedTuple):
    """A resource that was found; facts where they were asked for, its body where that is short."""

    type: str
    id: str
    updated: str
    version: int
    body: bytes
    facts: str


class Page(NamedTuple):
    """
    found       in order
    places      of each of them
    more        whether others follow
    """

    found: list[Found]
    places: list[Place]
    more: bool


class _Source(NamedTuple):
    """Where what is found comes from: a type of the shelf, and the range of the index, if one."""

    query: Query
    way: Way | None


async def page(  # noqa: PLR0913 — what a page is
    tx: Reading,
    shelf: str,
    queries: list[Query],
    *,
    after: Place | None = None,
    back: bool = False,
    most: int,
    facts: bool = False,
) -> Page:
    """
    So many resources that a search finds, one query for each type that is searched.

    after       where the page begins; with back, where it ends
    facts       whether what the index keeps of them is wanted too
    raises      NotSupported: a chain leads over too much
    """
    queries = [one for one in [await _settled(tx, shelf, query) for query in queries] if one]
    if not queries or most == 0:
        return Page([], [], more=False)
    order = Order(queries[0].sort)
    if order.by_time and all(one.ids is None for one in queries):
        sources = [source for query in queries for source in await _sources(tx, shelf, query)]
        if all(source.way is None or not source.way.high for source in sources):
            upwards = order.upwards is not back
            if len(sources) == 1 and not _tests(sources[0].query):
                return await _straight(
                    tx,
                    shelf,
                    sources[0],
                    after=after,
                    upwards=upwards,
                    back=back,
                    most=most,
                    facts=facts,
                )
            rows = await _walked(tx, shelf, sources, after=after, upwards=upwards, most=most + 1)
            return await _filled(tx, shelf, rows, order, back=back, most=most, facts=facts)
    chosen = await _chosen(tx, shelf, queries, order, after=after, back=back, most=most + 1)
    return await _filled(tx, shelf, chosen, order, back=back, most=most, facts=facts)


async def names(tx: Reading, shelf: str, query: Query, *, most: int) -> list[str]:
    """Type/id of so many that a search finds."""
    found = await page(tx, shelf, [query], most=most)
    return [f"{one.type}/{one.id}" for one in found.found]


async def count(tx: Reading, shelf: str, queries: list[Query]) -> int:
    """How many a search finds."""
    total = 0
    for query in [await _settled(tx, shelf, query) for query in queries]:
        if query is None:
            continue
        sources = await _sources(tx, shelf, query)
        if len(sources) == 1 and not _tests(query) and query.ids is None:
            shape, values = _shaped(sources[0], "count")
            rows = await tx.rows(ranges.statement(shape), shelf=shelf, **values)
            total += int(rows[0][0])
            continue
        total += len({row.id async for row in _all(tx, shelf, query, sources)})
    return total


async def by_ids(tx: Reading, shelf: str, kind: str, ids: Iterable[str]) -> list[Found]:
    """Those of these that stand, with their facts."""
    found = []
    for some in _some(sorted(ids)):
        shape = ranges.Shape("ids", "all")
        rows = await tx.rows(ranges.statement(shape), shelf=shelf, type=kind, ids=json.dumps(some))
        found += [Found(kind, row[0], row[1], row[2], row[3], row[4]) for row in rows]
    return found


async def leading_to(  # noqa: PLR0913 — what an include is made from
    tx: Reading, shelf: str, kind: str, terms: list[str], qualifier: str, *, most: int
) -> list[Found]:
    """Those of a type that the index leads to from one of these terms, with their facts."""
    shape = ranges.Shape("terms", "all", qualified=True)
    found: dict[str, Found] = {}
    for some in _some(terms):
        values = {"terms": json.dumps(some), "qualifier": qualifier, "most": most}
        for row in await tx.rows(ranges.statement(shape), shelf=shelf, type=kind, **values):
            found[row[0]] = Found(kind, row[0], row[1], row[2], row[3], row[4])
    return list(found.values())


# What a search comes from.


async def _settled(tx: Reading, shelf: str, query: Query) -> Query | None:
    """The query with its chains followed; None where nothing can meet it."""
    for linked in query.linked:
        query = await _followed(tx, shelf, query, linked)
    impossible = (
        any(one.needles == () and not one.negated for one in query.criteria)
        or query.ids == frozenset()
    )
    return None if impossible else replace(query, linked=())


async def _followed(tx: Reading, shelf: str, query: Query, linked: Linked) -> Query:
    found: dict[str, list[Facts]] = {}
    for inner in linked.queries:
        made = await _settled(tx, shelf, inner)
        if made is None:
            continue
        sources = await _sources(tx, shelf, made)
        rows = {row.id: row.facts async for row in _all(tx, shelf, made, sources, most=_LINKED)}
        found[inner.kind] = list(rows.values())
    if linked.reverse:
        ids = frozenset(
            fields[0]
            for rows in found.values()
            for facts in rows
            for atom in linked.atoms
            for fields in facts.of(atom.name)
            if fields[1] == query.kind
        )
        return replace(query, ids=ids if query.ids is None else query.ids & ids)
    targets = {(facts.id, kind) for kind, rows in found.items() for facts in rows}
    names = [atom.name for atom in linked.atoms]

    def leads(facts: Facts) -> bool:
        return any((fields[0], fields[1]) in targets for name in names for fields in facts.of(name))

    ways = tuple(
        way
        for identity, kind in sorted(targets)
        for atom in linked.atoms
        if (way := matching.way_to(atom, "", identity, kind))
    )
    led = len(ways) <= _WAYS and all(atom.led_to for atom in linked.atoms)
    needles = () if not targets else None
    criterion = Criterion(leads, needles, ways=ways if led else ())
    return replace(query, criteria=(*query.criteria, criterion))


async def _sources(tx: Reading, shelf: str, query: Query) -> list[_Source]:
    """The ranges to walk: those of the condition that the fewest meet, as far as that is counted."""
    offers = [one.ways for one in query.criteria if one.ways and len(one.ways) <= _WAYS]
    if not offers:
        return [_Source(query, None)]
    best = offers[0]
    if len(offers) > 1:
        probed = [await _length(tx, shelf, ways) for ways in offers]
        best = offers[probed.index(min(probed))]
    return [_Source(query, way) for way in best]


async def _length(tx: Reading, shelf: str, ways: tuple[Way, ...]) -> int:
    total = 0
    for way in ways:
        values = {"term": way.term}
        if way.high:
            values["high"] = way.high
        if way.qualifier is not None:
            values["qualifier"] = way.qualifier
        statement = ranges.probe(bool(way.high), way.qualifier is not None)
        total += int((await tx.rows(statement, shelf=shelf, **values))[0][0])
        if total >= ranges.PROBED:
            break
    return total


def _tests(query: Query) -> list[Criterion]:
    """What only a look at the facts can say."""
    return [one for one in query.criteria if one.needles is None]


def _shaped(source: _Source, columns: str, **how: Any) -> tuple[ranges.Shape, dict[str, Any]]:
    """The shape of a source's statement, and its values."""
    query, way = source.query, source.way
    values: dict[str, Any] = {"type": query.kind}
    groups: list[tuple[bool, int]] = []
    for criterion in query.criteria:
        if criterion.needles is None or (way and criterion.ways == (way,)):
            continue  # the range itself is the condition
        for at, needle in enumerate(criterion.needles):
            values[f"n{len(groups)}_{at}"] = needle
        groups.append((criterion.negated, len(criterion.needles)))
    lead = "time"
    if way:
        lead = "range" if way.high else "few" if way.few else "term"
        values["term"] = way.term
        if way.high:
            values["high"] = way.high
        if way.qualifier is not None:
            values["qualifier"] = way.qualifier
    if query.since:
        values["since"] = query.since
    if query.until:
        values["until"] = query.until
    shape = ranges.Shape(
        lead, columns, qualified="qualifier" in values, groups=tuple(groups),
        since=bool(query.since), until=bool(query.until),
        placed=how.get("placed", False), upwards=how.get("upwards", False),
    )  # fmt: skip
    return shape, values


async def _straight(  # noqa: PLR0913 — as page
    tx: Reading,
    shelf: str,
    source: _Source,
    *,
    after: Place | None,
    upwards: bool,
    back: bool,
    most: int,
    facts: bool,
) -> Page:
    """One range, and everything that is asked said by the database: bodies in one statement."""
    found: dict[str, Found] = {}
    kind = source.query.kind
    while True:
        shape, values = _shaped(
            source, "all" if facts else "body", placed=after is not None, upwards=upwards
        )
        if after is not None:
            values |= {"at": after.updated, "at_id": after.id}
        wanted = most + 1 - len(found)
        rows = await tx.rows(ranges.statement(shape), shelf=shelf, most=wanted, **values)
        for row in rows:
            found[row[0]] = Found(kind, row[0], row[1], row[2], row[3], row[4] if facts else "")
        if len(rows) < wanted or len(found) > most:
            break  # else one stood there under two systems, and was counted twice
        after = Place((), rows[-1][1], kind, rows[-1][0])
    kept = list(found.values())[:most]
    if back:
        kept.reverse()
    places = [Place((), one.updated, one.type, one.id) for one in kept]
    return Page(kept, places, more=len(found) > most)


async def _walked(  # noqa: PLR0913 — as page
    tx: Reading,
    shelf: str,
    sources: list[_Source],
    *,
    after: Place | None,
    upwards: bool,
    most: int,
) -> list[Row]:
    """So many in order of time, of ranges that are walked side by side."""
    found: dict[tuple[str, str], Row] = {}
    at = after
    chunk = most if len(sources) == 1 else max(most, 20)
    while len(found) < most:
        ends: list[tuple[str, str, str]] = []
        rows: list[Row] = []
        for source in sources:
            part = await _part(tx, shelf, source, at=at, upwards=upwards, most=chunk)
            if len(part) == chunk:
                ends.append(part[-1][:3])
            rows += part
        end = (max(ends) if not upwards else min(ends)) if ends else None
        rows.sort(key=_in_time, reverse=not upwards)
        for row in rows:
            if end and (row[:3] < end if not upwards else row[:3] > end):
                break
            if all(one.met(row.facts) for one in _tests_of(sources, row.type)):
                found[row.type, row.id] = row
        if end is None:
            break
        at = Place((), *end)
        chunk = min(max(chunk * 2, 50), _CHUNK)
    return list(found.values())[:most]


def _in_time(row: Row) -> tuple[str, str, str]:
    return row.updated, row.type, row.id


def _tests_of(sources: list[_Source], kind: str) -> list[Criterion]:
    return next(_tests(one.query) for one in sources if one.query.kind == kind)


async def _part(  # noqa: PLR0913 — as page
    tx: Reading, shelf: str, source: _Source, *, at: Place | None, upwards: bool, most: int
) -> list[Row]:
    """The next of one range; what stands at the same moment is ordered by type."""
    kind = source.query.kind
    shape, values = _shaped(source, "facts", placed=at is not None, upwards=upwards)
    if at is not None:
        identity = at.id if kind == at.type else _other(kind, at, upwards=upwards)
        values |= {"at": at.updated, "at_id": identity}
    rows = await tx.rows(ranges.statement(shape), shelf=shelf, most=most, **values)
    return [Row(row[1], kind, row[0], Facts(row[0], row[1], row[2])) for row in rows]


def _other(kind: str, at: Place, *, upwards: bool) -> str:
    """The id from which another type goes on at the same moment: all of them or none."""
    later = kind > at.type if upwards else kind < at.type
    return "" if later is upwards else "\U0010ffff"


async def _all(  # noqa: C901 — three ways to come by rows
    tx: Reading, shelf: str, query: Query, sources: list[_Source], *, most: int = 0
) -> AsyncIterator[Row]:
    """
    Everything that one query finds, in no order, each once.

    most        more than that is refused; 0: as many as there are
    """
    tests = _tests(query)
    seen: set[str] = set()
    if query.ids is not None:
        for some in _some(sorted(query.ids)):
            shape, values = _shaped(_Source(query, None), "facts")
            made = ranges.statement(shape._replace(lead="ids"))
            rows = await tx.rows(made, shelf=shelf, ids=json.dumps(some), **values)
            for row in rows:
                facts = Facts(row[0], row[1], row[2])
                if all(one.met(facts) for one in tests):
                    yield Row(row[1], query.kind, row[0], facts)
        return
    for source in sources:
        at: Place | None = None
        while True:
            if source.way and source.way.high:
                shape, values = _shaped(source, "facts")
                rows = await tx.rows(ranges.statement(shape), shelf=shelf, **values)
                part = [Row(row[1], query.kind, row[0], Facts(*row)) for row in rows]
            else:
                part = await _part(tx, shelf, source, at=at, upwards=False, most=_CHUNK)
            for one in part:
                if one.id not in seen and all(test.met(one.facts) for test in tests):
                    seen.add(one.id)
                    if most and len(seen) > most:
                        text = f"A chain leads over more than {most} resources; narrow it."
                        raise NotSupported(text)
                    yield one
            if len(part) < _CHUNK or (source.way and source.way.high):
                break
            at = Place((), part[-1].updated, query.kind, part[-1].id)


def _some(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _CHECKED):
        yield ids[start : start + _CHECKED]


# Any other order than that of time.


async def _chosen(  # noqa: PLR0913 — as page
    tx: Reading,
    shelf: str,
    queries: list[Query],
    order: Order,
    *,
    after: Place | None,
    back: bool,
    most: int,
) -> list[Row]:
    """
    So many in the order of any key: all that are found are looked at, and only these are kept.

    Left out on purpose: an index in the order of each parameter; docs/decisions/0010 says why.
    """
    sign = -1 if back else 1

    def key(item: tuple[Place, Row]) -> Any:
        return _ordered(item[0])

    def compare(one: Place, other: Place) -> int:
        return sign * order.compare(one, other)

    _ordered = functools.cmp_to_key(compare)
    best: list[tuple[Place, Row]] = []
    for query in queries:
        keyed = replace(query, sort=order.sort)
        async for row in _all(tx, shelf, keyed, await _sources(tx, shelf, keyed)):
            place = order.place(row)
            if after is None or sign * order.compare(place, after) > 0:
                best.append((place, row))
            if len(best) >= 2 * most + _CHUNK:
                best = heapq.nsmallest(most, best, key=key)
    return [row for _, row in heapq.nsmallest(most, best, key=key)]


async def _filled(  # noqa: PLR0913 — as page
    tx: Reading, shelf: str, rows: list[Row], order: Order, *, back: bool, most: int, facts: bool
) -> Page:
    """The page with the bodies of what was chosen."""
    more = len(rows) > most
    rows = rows[:most]
    if back:
        rows = rows[::-1]
    bodies: dict[tuple[str, str], Found] = {}
    for kind in {row.type for row in rows}:
        ids = [row.id for row in rows if row.type == kind]
        for one in await by_ids(tx, shelf, kind, ids):
            bodies[kind, one.id] = one
    kept = [row for row in rows if (row.type, row.id) in bodies]
    found = [bodies[row.type, row.id] for row in kept]
    if not facts:
        found = [one._replace(facts="") for one in found]
    return Page(found, [order.place(row) for row in kept], more=more)
