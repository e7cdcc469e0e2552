"""Walking ranges of the index, or a type in order of time, side by side, and checking what they lead to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final, NamedTuple

from app.errors import NotSupported
from app.storage import bodies, ranges
from app.storage.asked import Criterion, Query
from app.storage.database import Reading
from app.storage.matching import Facts, Way
from app.storage.order import Place, Row

WAYS: Final = 64  # terms whose ranges one search walks side by side
CHUNK: Final = 500
_CHECKED: Final = 1000  # of a long list of ids, looked up at a time


class Source(NamedTuple):
    """Where what is found comes from: a type of the shelf, and the range of the index, if one."""

    query: Query
    way: Way | None


async def sources(tx: Reading, shelf: str, query: Query) -> list[Source]:
    """The ranges to walk: those of the condition that the fewest meet, as far as that is counted."""
    led = [one.ways for one in query.criteria if one.ways]
    offers = [ways for ways in led if len({one.term for one in ways}) <= WAYS]
    if not offers:
        return [Source(query, None)]
    best = offers[0]
    if len(offers) > 1:
        probed = [await _length(tx, shelf, ways) for ways in offers]
        best = offers[probed.index(min(probed))]
    return [Source(query, way) for way in best]


async def _length(tx: Reading, shelf: str, ways: tuple[Way, ...]) -> int:
    total = 0
    for way in {(one.term, one.qualifier): one for one in ways}.values():
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


def tested(query: Query) -> list[Criterion]:
    """What only a look at the facts can say."""
    return [one for one in query.criteria if one.needles is None]


def shaped(source: Source, columns: str, **how: Any) -> tuple[ranges.Shape, dict[str, Any]]:
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


async def walked(  # noqa: PLR0913 — as page
    tx: Reading,
    shelf: str,
    sources: list[Source],
    *,
    after: Place | None,
    upwards: bool,
    most: int,
) -> list[Place]:
    """So many in order of time, of ranges that are walked side by side."""
    found: dict[tuple[str, str], Place] = {}
    tests = {one.query.kind: tested(one.query) for one in sources}
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
            if await _meets(tx, shelf, row, tests[row.type]):
                found[row.type, row.id] = Place((), *row[:3])
        if end is None:
            break
        at = Place((), *end)
        chunk = min(max(chunk * 2, 50), CHUNK)
    return list(found.values())[:most]


def _in_time(row: Row) -> tuple[str, str, str]:
    return row.updated, row.type, row.id


async def _meets(tx: Reading, shelf: str, row: Row, tests: list[Criterion]) -> bool:
    if not tests:
        return True
    facts = (await _whole(tx, shelf, row)).facts
    return all(one.met(facts) for one in tests)


async def _whole(tx: Reading, shelf: str, row: Row) -> Row:
    """The row with its facts also where they are long; of these one at a time is in memory."""
    if row.facts.text:
        return row
    text = await bodies.facts(tx, shelf, row.type, row.id)
    return row._replace(facts=row.facts._replace(text=text))


async def _part(  # noqa: PLR0913 — as page
    tx: Reading, shelf: str, source: Source, *, at: Place | None, upwards: bool, most: int
) -> list[Row]:
    """The next of one range; what stands at the same moment is ordered by type."""
    kind = source.query.kind
    shape, values = shaped(source, "facts", placed=at is not None, upwards=upwards)
    if at is not None:
        identity = at.id if kind == at.type else _other(kind, at, upwards=upwards)
        values |= {"at": at.updated, "at_id": identity}
    rows = await tx.rows(ranges.statement(shape), shelf=shelf, most=most, **values)
    return [_row(kind, row) for row in rows]


def _row(kind: str, row: Sequence[Any]) -> Row:
    return Row(row[1], kind, row[0], Facts(row[0], row[1], row[2]))


def _other(kind: str, at: Place, *, upwards: bool) -> str:
    """The id from which another type goes on at the same moment: all of them or none."""
    later = kind > at.type if upwards else kind < at.type
    return "" if later is upwards else "\U0010ffff"


async def everything(  # noqa: PLR0913 — as page
    tx: Reading,
    shelf: str,
    query: Query,
    sources: list[Source],
    *,
    facts: bool = True,
    most: int = 0,
) -> AsyncIterator[Row]:
    """
    Everything that one query finds, in no order, each once.

    facts       whether they are looked at, long ones too
    most        more than that is refused; 0: as many as there are
    """
    tests = tested(query)
    seen: set[str] | None = None if query.ids is not None or _each_once(sources) else set()
    count = 0
    async for row in _led_to(tx, shelf, query, sources):
        if seen is not None and row.id in seen:
            continue
        one = await _whole(tx, shelf, row) if facts or tests else row
        if not all(test.met(one.facts) for test in tests):
            continue
        if seen is not None:
            seen.add(one.id)
        count += 1
        if most and count > most:
            text = f"A chain leads over more than {most} resources; narrow it."
            raise NotSupported(text)
        yield one


def _each_once(sources: list[Source]) -> bool:
    """Whether nothing can stand there twice; what carries a code of two systems does."""
    way = sources[0].way
    return len(sources) == 1 and (way is None or (way.qualifier is not None and not way.high))


async def _led_to(
    tx: Reading, shelf: str, query: Query, sources: list[Source]
) -> AsyncIterator[Row]:
    """What stands where a query leads, not yet tested."""
    if query.ids is not None:
        for some in apart(sorted(query.ids)):
            shape, values = shaped(Source(query, None), "facts")
            made = ranges.statement(shape._replace(lead="ids"))
            for row in await tx.rows(made, shelf=shelf, ids=json.dumps(some), **values):
                yield _row(query.kind, row)
        return
    for source in sources:
        walk = _between if source.way and source.way.high else _by_time
        async for one in walk(tx, shelf, source):
            yield one


async def _by_time(tx: Reading, shelf: str, source: Source) -> AsyncIterator[Row]:
    at: Place | None = None
    while True:
        part = await _part(tx, shelf, source, at=at, upwards=False, most=CHUNK)
        for one in part:
            yield one
        if len(part) < CHUNK:
            return
        at = Place((), *part[-1][:3])


async def _between(tx: Reading, shelf: str, source: Source) -> AsyncIterator[Row]:
    """Between two terms, in the order of the index."""
    on: dict[str, str] = {}
    while True:
        shape, values = shaped(source, "facts", placed=bool(on))
        made = ranges.statement(shape)
        rows = await tx.rows(made, shelf=shelf, most=CHUNK, **values, **on)
        for row in rows:
            yield _row(source.query.kind, row)
        if len(rows) < CHUNK:
            return
        identity, *_, term, qualifier = rows[-1]
        on = {"at_term": term, "at_updated": "", "at_id": identity, "at_qualifier": qualifier}


def apart(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _CHECKED):
        yield ids[start : start + _CHECKED]
