"""Walking ranges of the index, or a type in order of time, side by side, and checking what they lead to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, NamedTuple

from app.errors import NotSupported
from app.storage import ranges
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
        chunk = min(max(chunk * 2, 50), CHUNK)
    return list(found.values())[:most]


def _in_time(row: Row) -> tuple[str, str, str]:
    return row.updated, row.type, row.id


def _tests_of(sources: list[Source], kind: str) -> list[Criterion]:
    return next(tested(one.query) for one in sources if one.query.kind == kind)


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
    return [Row(row[1], kind, row[0], Facts(row[0], row[1], row[2])) for row in rows]


def _other(kind: str, at: Place, *, upwards: bool) -> str:
    """The id from which another type goes on at the same moment: all of them or none."""
    later = kind > at.type if upwards else kind < at.type
    return "" if later is upwards else "\U0010ffff"


async def everything(  # noqa: C901 — three ways to come by rows
    tx: Reading, shelf: str, query: Query, sources: list[Source], *, most: int = 0
) -> AsyncIterator[Row]:
    """
    Everything that one query finds, in no order, each once.

    most        more than that is refused; 0: as many as there are
    """
    tests = tested(query)
    seen: set[str] = set()
    if query.ids is not None:
        for some in apart(sorted(query.ids)):
            shape, values = shaped(Source(query, None), "facts")
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
                shape, values = shaped(source, "facts")
                rows = await tx.rows(ranges.statement(shape), shelf=shelf, **values)
                part = [Row(row[1], query.kind, row[0], Facts(*row)) for row in rows]
            else:
                part = await _part(tx, shelf, source, at=at, upwards=False, most=CHUNK)
            for one in part:
                if one.id not in seen and all(test.met(one.facts) for test in tests):
                    seen.add(one.id)
                    if most and len(seen) > most:
                        text = f"A chain leads over more than {most} resources; narrow it."
                        raise NotSupported(text)
                    yield one
            if len(part) < CHUNK or (source.way and source.way.high):
                break
            at = Place((), part[-1].updated, query.kind, part[-1].id)


def apart(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _CHECKED):
        yield ids[start : start + _CHECKED]
