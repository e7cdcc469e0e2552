"""Finding what stands on one shelf: a range of the index or of time, checked, page by page."""

from __future__ import annotations

import functools
import heapq
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Final, NamedTuple

from app.errors import NotSupported
from app.storage import matching, ranges, walking
from app.storage.asked import Criterion, Linked, Query
from app.storage.database import Reading
from app.storage.matching import Facts
from app.storage.order import Order, Place

_LINKED: Final = 10_000  # what a chain may lead over


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
    order = Order(queries)
    if order.by_time and all(one.ids is None for one in queries):
        sources = [
            source for query in queries for source in await walking.sources(tx, shelf, query)
        ]
        if all(source.way is None or not source.way.high for source in sources):
            upwards = order.upwards is not back
            if len(sources) == 1 and not walking.tested(sources[0].query):
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
            places = await walking.walked(
                tx, shelf, sources, after=after, upwards=upwards, most=most + 1
            )
            return await _filled(tx, shelf, places, back=back, most=most, facts=facts)
    chosen = await _chosen(tx, shelf, queries, order, after=after, back=back, most=most + 1)
    return await _filled(tx, shelf, chosen, back=back, most=most, facts=facts)


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
        sources = await walking.sources(tx, shelf, query)
        if len(sources) == 1 and not walking.tested(query) and query.ids is None:
            shape, values = walking.shaped(sources[0], "count")
            rows = await tx.rows(ranges.statement(shape), shelf=shelf, **values)
            total += int(rows[0][0])
            continue
        async for _ in walking.everything(tx, shelf, query, sources, facts=False):
            total += 1
    return total


async def by_ids(
    tx: Reading, shelf: str, kind: str, ids: Iterable[str], *, most: int | None = None
) -> list[Found]:
    """So many of these, or all, of those that stand, with their facts."""
    found: list[Found] = []
    for some in walking.apart(sorted(ids)):
        if most is not None and len(found) >= most:
            break
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
    for some in walking.apart(terms):
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
    targets: set[tuple[str, str]] = set()
    ids: set[str] = set()
    names = [atom.name for atom in linked.atoms]
    for inner in linked.queries:
        made = await _settled(tx, shelf, inner)
        if made is None:
            continue
        async for row in walking.everything(
            tx, shelf, made, await walking.sources(tx, shelf, made),
            facts=linked.reverse, most=_LINKED,
        ):  # fmt: skip
            if not linked.reverse:
                targets.add((row.id, inner.kind))
                continue
            ids.update(to[0] for name in names for to in row.facts.of(name) if to[1] == query.kind)
            if len(ids) > _LINKED:
                text = f"What is asked by _has refers to more than {_LINKED} resources; narrow it."
                raise NotSupported(text)
    if linked.reverse:
        return replace(query, ids=frozenset(ids if query.ids is None else query.ids & ids))

    def leads(facts: Facts) -> bool:
        return any((fields[0], fields[1]) in targets for name in names for fields in facts.of(name))

    ways = tuple(
        way
        for identity, kind in sorted(targets)
        for atom in linked.atoms
        if (way := matching.way_to(atom, "", identity, kind))
    )
    led = len(ways) <= walking.WAYS and all(atom.led_to for atom in linked.atoms)
    needles = () if not targets else None
    criterion = Criterion(leads, needles, ways=ways if led else ())
    return replace(query, criteria=(*query.criteria, criterion))


async def _straight(  # noqa: PLR0913 — as page
    tx: Reading,
    shelf: str,
    source: walking.Source,
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
        shape, values = walking.shaped(
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
) -> list[Place]:
    """
    So many in the order of any key: all that are found are looked at, and only these are kept.

    Left out on purpose: an index in the order of each parameter; docs/decisions/0010 says why.
    """
    sign = -1 if back else 1

    def compare(one: Place, other: Place) -> int:
        return sign * order.compare(one, other)

    key = functools.cmp_to_key(compare)
    best: list[Place] = []
    for query in queries:
        async for row in walking.everything(
            tx, shelf, query, await walking.sources(tx, shelf, query)
        ):
            place = order.place(row)
            if after is None or compare(place, after) > 0:
                best.append(place)
            if len(best) >= 2 * most + walking.CHUNK:
                best = heapq.nsmallest(most, best, key=key)
    return heapq.nsmallest(most, best, key=key)


async def _filled(  # noqa: PLR0913 — as page
    tx: Reading, shelf: str, places: list[Place], *, back: bool, most: int, facts: bool
) -> Page:
    """The page with the bodies of what was chosen."""
    more = len(places) > most
    places = places[:most]
    if back:
        places = places[::-1]
    bodies: dict[tuple[str, str], Found] = {}
    for kind in {one.type for one in places}:
        ids = [one.id for one in places if one.type == kind]
        for one in await by_ids(tx, shelf, kind, ids):
            bodies[kind, one.id] = one
    kept = [one for one in places if (one.type, one.id) in bodies]
    found = [bodies[one.type, one.id] for one in kept]
    if not facts:
        found = [one._replace(facts="") for one in found]
    return Page(found, kept, more=more)
