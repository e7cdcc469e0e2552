"""The accounting of what one shelf has disclosed about one person, and of no other shelf."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, NamedTuple

from app import fhir
from app.domain import accounting, identity, patients
from app.domain.change import Caller
from app.domain.loaded import Want
from app.domain.plan import Accounted
from app.errors import NotFound
from app.fhir import Resource
from app.flows import read, room
from app.flows.service import Service
from app.settings import Shelf
from app.storage import ledger, purges, resources
from app.storage.database import Reading
from app.storage.query import Reader
from app.storage.resources import Version

_NOBODY: Final = "Nobody of this id was ever on this shelf."
_TURN: Final = 100  # events that are made before others have their turn
ALWAYS: Final = "9999-12-31T23:59:59.999Z"
_WORKED: Final = 6  # times its size, of a record that is taken apart

_Record = Callable[..., Awaitable[Resource | None]]  # Type/id, and the number of a version


async def about(  # noqa: PLR0913 — who asks, where, for whom
    service: Service,
    shelf: Shelf,
    caller: Caller,
    subject: str,
    *,
    former: bool = False,
    at: str = ALWAYS,
) -> list[bytes]:
    """
    AuditEvents as JSON, oldest first; they stay when the person's record, or the report itself, is gone.

    Those of others of whom the record told are apart, and how many they are is said in an OperationOutcome.

    subject     Type/id on that shelf
    former      those of the others alone
    at          FHIR instant at which the record told of whom this is about
    raises      Forbidden: to read the accounting is a scope of its own
                NotFound: nobody of this id was ever here; an empty account would say something else
                Unavailable: there was no room for so much in time
    """
    caller.must_act("account")
    reader = Reader(service.parameters, "", service.clock())

    async def record(name: str, number: int = 0) -> Resource | None:
        return await _record(service, shelf, name, number)

    async def leading(name: str) -> list[str]:
        look = partial(_leading, shelf=shelf.key, name=name, reader=reader)
        return await service.database.read(look, shelves=(shelf.key,))

    records, known = await _records(subject, record, leading)

    async def weigh(tx: Reading) -> int:
        return sum([await ledger.weight(tx, shelf.key, one) for one in records])

    async def look(tx: Reading) -> tuple[list[dict[str, Any]], dict[str, Sent]]:
        found = await _of(tx, shelf.key, records)
        return found, await _sent(tx, shelf.key, found, at)

    weight = await service.database.read(weigh, shelves=(shelf.key,))
    await room.take(service.rooms, service.rooms.way, weight)
    found, sent = await service.database.read(look, shelves=(shelf.key,))
    if not found and not known:
        raise NotFound(_NOBODY)
    others = await _others(sent, record)
    events = accounting.events(
        map(_row, found),
        source=service.settings.tenant(shelf.tenant),
        kind=shelf.kind,
        key=service.key,
    )
    said: list[bytes] = []
    for row, event in zip(found, events, strict=True):
        if (row["exchange"] in others) is former:
            said.append(fhir.encode(event))
        if not len(said) % _TURN:
            await asyncio.sleep(0)
    if len(said) < len(found) and not former:
        said.append(fhir.encode(accounting.apart(len(found) - len(said))))
    return said


async def _record(service: Service, shelf: Shelf, name: str, number: int = 0) -> Resource | None:
    """
    What stands there, however long; {} where it was deleted, None where nothing ever stood.

    number      of a version, where not the last
    """

    async def look(tx: Reading) -> Version | None:
        if number:
            return await resources.seen_version(tx, shelf.key, name, number)
        return await resources.seen(tx, shelf.key, name)

    found = await service.database.read(look, shelves=(shelf.key,))
    if found is None or found.body:
        return fhir.read(found.body) if found else None
    if not found.stands:
        return {}
    work = service.rooms.work
    raw = await read.large_body(service, shelf, name, found.version, place=work, times=_WORKED)
    record: Resource = await service.aside.run(partial(fhir.read, raw or b"{}"))
    return record


async def rows(  # noqa: PLR0913 — as about
    tx: Reading,
    shelf: str,
    subject: str,
    *,
    reader: Reader,
    former: bool = False,
    at: str = ALWAYS,
) -> tuple[list[dict[str, Any]], int]:
    """
    The rows of a shelf about a person, as the command prints them, and how many others; as about.

    raises      NotFound: nobody of this id was ever there
    """

    async def record(name: str, number: int = 0) -> Resource | None:
        read = partial(resources.read_version, version=number) if number else resources.read
        row = await read(tx, shelf, name)
        return (fhir.read(row.body) if row.stands else {}) if row else None

    records, known = await _records(subject, record, partial(_leading, tx, shelf, reader=reader))
    found = await _of(tx, shelf, records)
    if not found and not known:
        raise NotFound(_NOBODY)
    others = await _others(await _sent(tx, shelf, found, at), record)
    chosen = [row for row in found if (row["exchange"] in others) is former]
    return chosen, len(found) - len(chosen)


async def _records(
    subject: str, record: _Record, leading: Callable[[str], Awaitable[list[str]]]
) -> tuple[list[str], bool]:
    """The records that links make one person with this one, whichever says so; and whether one was ever here."""
    found, known = [subject], False
    for one in found:
        if not fhir.is_relative(one):
            continue
        said = await record(one)
        known = known or said is not None
        found += patients.further(said or {}, found)
        for other in await leading(one):
            if other not in found and one in patients.further(await record(other) or {}, []):
                found += [other][: patients.FOLLOWED + 1 - len(found)]
    return found, known


async def _leading(tx: Reading, shelf: str, name: str, *, reader: Reader) -> list[str]:
    """The records whose links name this one (Type/id)."""
    want = Want("found", shelf, f"Patient?link={name}")
    found: list[str] = (await resources.load(tx, [want], reader))[want]
    return found


async def _of(tx: Reading, shelf: str, records: list[str]) -> list[dict[str, Any]]:
    """Oldest first, whichever of the linked records they name."""
    found = [row for one in records for row in await ledger.about(tx, shelf, one)]
    return sorted(found, key=lambda row: str(row["at"]))


class Sent(NamedTuple):
    """
    Of whom an exchange was sent: a record (Type/id), by the number of its version then, and of that asked about.

    then        0 where it was expunged since
    told        0 where none stood at that moment, or is kept of it
    """

    name: str
    then: int
    told: int


async def _sent(tx: Reading, shelf: str, found: list[dict[str, Any]], at: str) -> dict[str, Sent]:
    """By exchange, as far as the record said something else at a FHIR instant."""
    sent: dict[str, Sent] = {}
    told: dict[str, int] = {}
    for exchange, name in dict.fromkeys((row["exchange"], row["subject"]) for row in found):
        known = await resources.opened(tx, shelf, exchange)
        if known is None or not fhir.is_relative(name):
            continue
        if name not in told:
            told[name] = await resources.stood(tx, shelf, name, at)
        if at == ALWAYS and not told[name]:
            continue  # nobody else came after whose it was
        then = await resources.stood(tx, shelf, name, identity.sent_at(known))
        gone = not then and (at != ALWAYS or await purges.expunged(tx, shelf, name))
        if gone or then not in {0, told[name]}:
            sent[exchange] = Sent(name, then, told[name])
    return sent


async def _others(sent: dict[str, Sent], version: _Record) -> set[str]:
    """The exchanges that were of somebody else than the one asked about; docs/decisions/0082."""
    others: dict[Sent, bool] = {}
    for one in set(sent.values()):
        others[one] = not (one.then and one.told) or identity.is_another(
            await version(one.name, one.then) or {}, await version(one.name, one.told) or {}
        )
    return {exchange for exchange, one in sent.items() if others[one]}


def _row(stored: dict[str, Any]) -> tuple[str, Accounted]:
    lists = {name: tuple(json.loads(stored[name])) for name in ("basis", "disclosed")}
    told = {name: value for name, value in stored.items() if name != "at"}
    return stored["at"], Accounted(**{**told, **lists})
