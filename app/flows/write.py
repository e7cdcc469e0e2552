"""The one way in: load what the change concerns, plan, commit; what was committed is the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Final, TypeVar

import structlog
from msgspec import Struct
from msgspec.structs import replace

from app import fhir
from app.domain import case, planner, report, threshold
from app.domain.case import Case
from app.domain.change import Act, Caller, Change, Entry
from app.domain.loaded import Loaded, Moved, NotLoaded, Want
from app.domain.plan import Answer, Plan, Stored
from app.domain.report import Kept
from app.errors import Conflict, Invalid, Issue, Malformed, Refusal
from app.flows import purge
from app.flows.aside import LONG, take_apart
from app.flows.service import Service
from app.settings import Shelf
from app.storage import commits, reindex, resources
from app.storage.commits import Made
from app.storage.database import Overtaken, Reading
from app.storage.query import NotIndexed, Reader
from app.storage.resources import Version

_T = TypeVar("_T")
_ROUNDS: Final = 200  # reads that one change may ask for; a graph of references is no deeper
_TRIES: Final = 64  # in turn: of four processes each is overtaken three times of four
_LONG_TRIES: Final = 8  # of what is large, for which others wait
_CHANGED: Final = 8 * 2**20  # bytes of what stands and one change is about
_CONTENDED: Final = "Others keep changing the same resource; read it and try again."
_log = structlog.get_logger()


class Written(Struct, frozen=True):
    """
    The answer, with what it names as it now stands.

    rows        {Type/id: last version}; what never stood is missing, and of many that are large the
                later ones have no body
    """

    answer: Answer
    rows: dict[str, Version]


async def write(service: Service, change: Change) -> Written:
    """
    Do it, or refuse it and do nothing.

    raises      Refusal; Conflict where others kept changing the same things
    """
    try:
        if change.long:
            await service.aside.run(partial(_shaped, service, change))
            written = await _tried(service, change)
        else:
            with service.commits.coming(change.shelf.key):
                await _abreast()
                _shaped(service, change)
                await _abreast()
                written = await _tried(service, change)
        return written or await _in_turn(service, change)
    except Refusal as refusal:
        if change.shelf.kind == "cps-report" and change.shelf.role == "source":
            raise await _unsent(service, change, refusal) from None
        raise


async def _abreast() -> None:
    """
    Let those who came at the same moment come as far, so that each step is done for all of them in turn.

    What one step needs fits into the processor's nearest caches, what a whole write needs does not;
    docs/decisions/0100.
    """
    await asyncio.sleep(0)


async def _unsent(service: Service, change: Change, refusal: Refusal) -> Refusal:
    """
    A refusal on a shelf for reports says whom to call, where it may be a report that is not sent.

    One that could not be read is kept as it came.
    """
    written = {one.type for one in change.all_entries if one.method != "DELETE"}
    if change.act != "report" and written.isdisjoint({"Bundle", "ServiceRequest", "Task"}):
        return refusal
    if change.act == "report" and isinstance(refusal, Malformed) and change.caller.acts("report"):
        case = begun(service, change)
        try:
            kept = await settled(service, case, partial(report.unread, refusal=refusal))
            await service.commits.commit(_made(service, case, kept.plan))
        except (Overtaken, Refusal):
            _log.warning("not kept")  # somebody else keeps the same, or there is no room for it
        else:
            return kept.refusal
    return called(service, change.shelf, refusal)


def called(service: Service, shelf: Shelf, refusal: Refusal) -> Refusal:
    """The refusal of a report, with whom to call; one that says so already knows better which."""
    lines = report.lines(begun(service, Change(shelf, Caller(""), "report", (), "", "")), None)
    if not any(one in refusal.issues for one in lines):
        refusal.issues = (*refusal.issues, *lines)
    return refusal


async def _in_turn(service: Service, change: Change) -> Written:
    """Planned anew until it holds; of other processes there may be who overtake it again."""
    async with service.turns[change.shelf.key]:
        for _ in range(_LONG_TRIES if change.long else _TRIES):
            if written := await _tried(service, change, again=True):
                return written
    raise Conflict(_CONTENDED)


async def _tried(service: Service, change: Change, *, again: bool = False) -> Written | None:
    """What was written; None where what it was planned from has changed since."""
    refusal: Refusal | None = None
    made: Case | None
    try:
        known = None if again else await _planned_from_last(service, change)
        made, plan = known or await _plan(service, change)
    except Moved:
        return None
    except Kept as kept:
        made, plan, refusal = kept.case, kept.plan, kept.refusal
    threshold.hold(plan, service.settings)
    turn = service.turns[change.shelf.key]
    if again:
        turn.changes = _changed(plan)
    elif turn.changes and not turn.changes.isdisjoint(_changed(plan)):
        return None
    stand: resources.Stand = {}
    if plan.puts or plan.exchanges or plan.worklist or plan.receipts:
        try:
            ready, stood, made = _made(service, made, plan), _stood(made), None
            if ready.long:
                ready = await _readied(service, ready, stood)
            stand = await service.commits.commit(ready)
        except Overtaken:
            return None
        _tell(service, ready, change.act)
        if plan.purges:
            await purge.scrub(service)
    if refusal:
        raise refusal
    written = await _written(service, change, plan, stand)
    return None if not stand and _is_gone(change, written) else written


def _changed(plan: Plan) -> frozenset[tuple[str, str]]:
    return frozenset((one.shelf, fhir.name(one.resource)) for one in plan.puts)


async def _readied(service: Service, made: Made, stood: list[Any]) -> Made:
    """The same with its rows; of what stood, and is in them now, nothing is left."""
    ready = await service.aside.run(partial(commits.readied, made))
    if ready.rows is not None:
        await service.aside.run(partial(take_apart, stood))
    return ready


def _stood(case: Case) -> list[Any]:
    """What is large and stands, which is needed no more when there are rows in its place."""
    seen = case.loaded.seen.values()
    return [one.resource for one in seen if isinstance(one, Stored) and one.long]


def _is_gone(change: Change, written: Written) -> bool:
    """Whether what was there already, so that nothing was created, was deleted before it was read."""
    return any(one.if_none_exist for one in change.entries) and not all(
        one.stands for one in written.rows.values()
    )


async def planned(service: Service, change: Change) -> tuple[Case, Plan]:
    """
    What a change would do, written nowhere; and the case that it was planned from.

    raises      Refusal
    """
    await service.aside.run(partial(_shaped, service, change), long=change.long)
    try:
        return await _plan(service, change)
    except Moved:
        raise Conflict(_CONTENDED) from None
    except Kept as kept:
        raise kept.refusal from None


def _shaped(service: Service, change: Change) -> None:
    if change.act in {"work-off", "link", "unlink"}:
        return  # they name what stands, and bring nothing
    for entry in change.all_entries:
        if entry.method in {"POST", "PUT"}:
            case.shaped(service.definitions, entry, known_plain=change.plain)
            if change.shelf.strict:
                _ruled(service, entry)


async def findings(service: Service, body: bytes) -> tuple[Issue, ...]:
    """What R4 asks of a resource that stands, and finds missing or wrong."""
    now = service.clock()

    def check() -> tuple[Issue, ...]:
        return tuple(service.definitions.check(fhir.decode(body), now=now))

    return await service.aside.run(check, long=len(body) > LONG)


def _ruled(service: Service, entry: Entry) -> None:
    """
    The resource keeps R4's rules.

    raises      Invalid: on a shelf that is set to strict, what elsewhere is stored and reported
    """
    found = service.definitions.check(entry.resource, now=service.clock())
    if any(one.severity in {"error", "fatal"} for one in found):
        raise Invalid(issues=tuple(found))


async def _planned_from_last(service: Service, change: Change) -> tuple[Case, Plan] | None:
    """
    As _plan, from what was written last in place of what stands; docs/decisions/0070.

    None where the commit would not look whether it stands still, so that it has to be read: what is
    refused, or says what is there already, was perhaps changed by another process since.
    """
    entry = change.entries[0] if len(change.entries) == 1 else None
    if entry is None or change.long or entry.condition or not entry.id:
        return None
    stored = service.commits.last.stored(change.shelf.key, entry.name)
    if stored is None:
        return None
    try:
        case, plan = await _plan(service, change, stored)
    except (Kept, Moved, Refusal):
        return None
    written = ((put.shelf, fhir.name(put.resource)) for put in plan.puts)
    return (case, plan) if (change.shelf.key, entry.name) in written else None


async def _plan(
    service: Service, change: Change, remembered: Stored | None = None
) -> tuple[Case, Plan]:
    """
    Plan, read what the planner asks for, plan again.

    remembered      what is taken to stand where the one entry of the change is to
    """
    case = begun(service, change)
    if change.long:
        wants = await service.aside.run(partial(planner.asked, case))
    else:
        wants = planner.asked(case)
    if remembered:
        one = Want("resource", change.shelf.key, change.entries[0].name)
        case.loaded.seen[one] = remembered
        wants -= {one}
    await _load(service, case, wants, _CHANGED)
    if not change.long and _is_long(case):
        case = replace(case, change=replace(change, long=True))
    case = await settled(service, case, planner.arrived, _CHANGED)
    await _abreast()
    return case, await settled(service, case, planner.plan)


def _is_long(case: Case) -> bool:
    """Whether a change that came in few bytes asks for much."""
    return any(one.patch is not None and one.patch.long for one in case.change.entries) or any(
        isinstance(one, Stored) and one.long for one in case.loaded.seen.values()
    )


def begun(service: Service, change: Change) -> Case:
    """The case of a change, before anything was read for it."""
    return Case(
        change=change,
        loaded=Loaded(),
        settings=service.settings,
        mappings=service.mappings,
        definitions=service.definitions,
        key=service.key,
        now=service.clock(),
    )


async def settled(
    service: Service, case: Case, step: Callable[[Case], _T], most: int | None = None
) -> _T:
    """What a step of the planner makes, once it has seen what it asks for."""
    for _ in range(_ROUNDS):
        try:
            if case.change.long:
                return await service.aside.run(partial(step, case))
            return step(case)
        except NotLoaded as asked:
            wants = asked.wants
        await _load(service, case, wants, most)
    raise Invalid("The references of this message lead too far.")


async def _load(
    service: Service, case: Case, wants: Collection[Want], most: int | None = None
) -> None:
    """Read these for the case; most, of what it is to change, as resources.load has it."""
    if wants:
        load = partial(resources.load, wants=wants, reader=_reader(service, case), most=most)
        read = partial(service.database.read, load, shelves={want.shelf for want in wants})
        try:
            found = await read()
        except NotIndexed:  # another process may have indexed it since
            await reindex.look(service.database, service.parameters, service.settings.shelves)
            found = await read()
        case.loaded.seen.update(found)


def _reader(service: Service, case: Case) -> Reader:
    return Reader(service.parameters, case.change.base, case.now)


def _made(service: Service, case: Case, plan: Plan) -> Made:
    at, now = fhir.instant(case.now), case.now.timestamp()
    return Made(plan, _reader(service, case), _seen(case, plan), at, now, case.change.long)


def _seen(case: Case, plan: Plan) -> dict[Want, Any]:
    """
    What the commit looks at of what was read: of what is replaced not what it said, which may be
    large and is needed no more; and what must stand still.
    """
    seen, looked = case.loaded.seen, {}
    for put in plan.puts:
        if put.expected:
            want = Want("resource", put.shelf, fhir.name(put.resource))
            if one := seen.get(want):
                looked[want] = Stored({}, one.version, one.exchange, one.updated, one.facts)
    if plan.stands:
        looked |= {(want := Want(*one)): seen[want] for one in plan.stands}  # type: ignore[arg-type]
    return looked


async def _written(service: Service, change: Change, plan: Plan, stand: resources.Stand) -> Written:
    """What the commit has put is known; what the answer names besides is read."""
    shelf = change.shelf.key
    rows = {name: stand[shelf, name] for name in plan.answer.names if (shelf, name) in stand}
    others = [name for name in plan.answer.names if name not in rows]
    if not others:
        return Written(plan.answer, rows)

    async def look(tx: Reading) -> dict[str, Version]:
        found, left = {}, _CHANGED
        for name in others:
            # what was there already is shown as far as there is room
            read = resources.read if left > 0 else resources.seen
            if one := await read(tx, shelf, name):
                left -= len(one.body)
                found[name] = one if left > 0 or len(others) == 1 else one._replace(body=b"")
        return found

    rows |= await service.database.read(look, shelves=(shelf,))
    return Written(plan.answer, rows)


def _tell(service: Service, made: Made, act: Act) -> None:
    """A line for each decision, after it is true; names of rules and shelves, no value."""
    plan = made.plan
    for row in plan.accounted:
        _log.info(
            "disclosed",
            exchange=row.exchange,
            rule=row.rule,
            source=row.source,
            recipient=row.recipient,
            resources=len(row.disclosed),
        )
    for step in plan.exchanges:
        _log.info("exchange", exchange=step.id, kind=step.kind, state=step.state)
        if step.version == 0 and act != "record-event":  # one that is transferred was sent before
            service.sent(step.kind, step.terms.override)
    if plan.owed:
        service.owed(made.now)
