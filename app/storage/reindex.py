"""Making the index anew from what stands, while the service runs; it goes on where it was stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Final

from sqlalchemy import Text, bindparam, delete, exists, func, literal, select, tuple_, update

from app import fhir
from app.storage import bodies, index
from app.storage.database import NONE, Database, Statement, Tx, insert_once, statement
from app.storage.parameters import Parameters
from app.storage.tables import INDEXED, RESOURCE

# what index.py and entries.py keep; another number makes every index old, so that it comes with a
# migration: no service starts before `kinbridge migrate` has made it anew
RULE: Final = "2"
_BATCH: Final = 100  # resources in one transaction: some 20 ms in which nobody else writes
_PLACE: Final = ""

_STATE: Final = statement(select(INDEXED.c.package, INDEXED.c.rule))
_SET: Final = insert_once(INDEXED)
_UNSET: Final = statement(delete(INDEXED).where(INDEXED.c.package == bindparam("package")))
_ANY: Final = statement(
    select(literal(1)).where(
        exists(select(RESOURCE.c.id).where(RESOURCE.c.shelf == bindparam("shelf")))
    )
)
_SHELVES: Final = statement(select(RESOURCE.c.shelf).distinct())
_COUNT: Final = statement(
    select(func.count()).select_from(RESOURCE).where(RESOURCE.c.shelf == bindparam("shelf"))
)


def _next(*, sqlite: bool) -> Any:
    """So many after a place; of what is long neither body nor facts."""
    columns = [RESOURCE.c[name] for name in ("type", "id", "version", "updated", "method")]
    columns.append(bodies.short_facts(RESOURCE.c.facts, sqlite=sqlite))
    after = tuple_(bindparam("after_type", type_=Text), bindparam("after_id", type_=Text))
    return (
        select(*columns, bodies.short(RESOURCE.c.body))
        .where(
            RESOURCE.c.shelf == bindparam("shelf"), tuple_(RESOURCE.c.type, RESOURCE.c.id) > after
        )
        .order_by(RESOURCE.c.type, RESOURCE.c.id)
        .limit(bindparam("most"))
        .with_for_update()
    )


_NEXT: Final = Statement(_next(sqlite=True), _next(sqlite=False))
_KEEP: Final = statement(
    update(RESOURCE)
    .where(*(RESOURCE.c[name] == bindparam(f"of_{name}") for name in ("shelf", "type", "id")))
    .values(facts=bindparam("facts"))
)


async def look(database: Database, parameters: Parameters, shelves: Iterable[str]) -> None:
    """
    What the index does not know yet, noted in parameters.waiting.

    A database in which nothing stands knows everything.
    """
    waiting = await _waiting(database, parameters)
    if waiting and not await _any(database, shelves):
        await _done(database, parameters)
        waiting = frozenset()
    parameters.waiting = waiting


async def shelves_of(database: Database) -> list[str]:
    """Every shelf on which something stands; on PostgreSQL for the owner, who sees them all."""
    rows = await database.read(lambda tx: tx.rows(_SHELVES), shelves=NONE)
    return [str(row[0]) for row in rows]


async def run(
    database: Database,
    parameters: Parameters,
    shelves: Iterable[str],
    *,
    told: Callable[[int, int], None] | None = None,
) -> int:
    """
    Every resource of these shelves as the parameters have it now.

    told        how many are done, of how many
    returns     how many have changed
    """
    shelves = sorted(shelves)
    rule = _rule(parameters)
    place = await _place(database, rule)
    total = sum([await _count(database, shelf) for shelf in shelves])
    done = changed = 0
    for shelf in shelves:
        if place and shelf < place[0]:
            done += await _count(database, shelf)
            continue
        after = (place[1], place[2]) if place and place[0] == shelf else ("", "")
        while True:

            async def batch(
                tx: Tx, shelf: str = shelf, after: tuple[str, str] = after
            ) -> tuple[list[Any], int]:
                return await _batch(tx, parameters, shelf, after, rule)

            rows, made = await database.write(batch, shelves=(shelf,))
            done, changed = done + len(rows), changed + made
            if told:
                told(done, max(total, done))
            if len(rows) < _BATCH:
                break
            after = (rows[-1][0], rows[-1][1])
    await _done(database, parameters)
    parameters.waiting = frozenset()
    return changed


async def _batch(
    tx: Tx, parameters: Parameters, shelf: str, after: tuple[str, str], rule: str
) -> tuple[list[Any], int]:
    rows = list(
        await tx.rows(_NEXT, shelf=shelf, after_type=after[0], after_id=after[1], most=_BATCH)
    )
    changed = 0
    for kind, identity, version, updated, method, facts_then, short in rows:
        if method == "DELETE":
            continue
        key = (kind, identity, version)  # of those that are long one is in memory at a time
        body = short or (await bodies.read(tx, shelf, [key]))[key]
        stood = facts_then or await bodies.facts(tx, shelf, kind, identity)
        facts = index.facts(parameters, fhir.decode(bytes(body)))
        if facts != stood:
            await tx.run(_KEEP, facts=facts, of_shelf=shelf, of_type=kind, of_id=identity)
            moved = index.moved(shelf, kind, identity, (updated, stood), (updated, facts))
            await tx.run_all(index.changes(*moved))
            changed += 1
    if rows:
        said = json.dumps([rule, shelf, rows[-1][0], rows[-1][1]])
        await tx.run(_UNSET, package=_PLACE)
        await tx.run(_SET, package=_PLACE, rule=said)
    return rows, changed


def _rule(parameters: Parameters) -> str:
    return f"{RULE} {' '.join(sorted(parameters.packages))}"


async def _place(database: Database, rule: str) -> tuple[str, str, str] | None:
    """Where a run by the same rule was stopped."""
    state = await _state(database)
    said = json.loads(state[_PLACE]) if _PLACE in state else [""]
    return tuple(said[1:]) if said[0] == rule else None


async def _waiting(database: Database, parameters: Parameters) -> frozenset[str]:
    state = await _state(database)
    return frozenset(one for one in parameters.packages if state.get(one) != RULE)


async def _state(database: Database) -> dict[str, str]:
    rows = await database.read(lambda tx: tx.rows(_STATE), shelves=NONE)
    return {str(row[0]): str(row[1]) for row in rows}


async def _any(database: Database, shelves: Iterable[str]) -> bool:
    for shelf in shelves:
        if await database.read(lambda tx, one=shelf: tx.rows(_ANY, shelf=one), shelves=(shelf,)):  # type: ignore[misc]
            return True
    return False


async def _count(database: Database, shelf: str) -> int:
    rows = await database.read(lambda tx: tx.rows(_COUNT, shelf=shelf), shelves=(shelf,))
    return int(rows[0][0])


async def _done(database: Database, parameters: Parameters) -> None:
    async def note(tx: Tx) -> None:
        for package in (_PLACE, *sorted(parameters.packages)):
            await tx.run(_UNSET, package=package)
        for package in sorted(parameters.packages):
            await tx.run(_SET, package=package, rule=RULE)

    await database.write(note, shelves=NONE)
