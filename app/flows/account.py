"""The accounting of what one shelf has disclosed about one person, and of no other shelf."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any, Final

from app import fhir
from app.domain import accounting, patients
from app.domain.change import Caller
from app.domain.plan import Accounted
from app.errors import NotFound
from app.fhir import Resource
from app.flows import read, room
from app.flows.service import Service
from app.settings import Shelf
from app.storage import ledger, resources
from app.storage.database import Reading
from app.storage.resources import Version

_TURN: Final = 100  # events that are made before others have their turn
_WORKED: Final = 6  # times its size, of a record that is taken apart


async def about(service: Service, shelf: Shelf, caller: Caller, subject: str) -> list[bytes]:
    """
    AuditEvents as JSON, oldest first; they stay when the person's record, or the report itself, is gone.

    subject     Type/id on that shelf
    raises      Forbidden: to read the accounting is a scope of its own
                NotFound: nobody of this id was ever here; an empty account would say something else
                Unavailable: there was no room for so much in time
    """
    caller.must_act("account")
    records = [subject]
    known = False
    for one in records:
        record = await _record(service, shelf, one) if fhir.is_relative(one) else None
        known = known or record is not None
        records += patients.further(record, records) if record else []

    async def weigh(tx: Reading) -> int:
        return sum([await ledger.weight(tx, shelf.key, one) for one in records])

    async def look(tx: Reading) -> list[dict[str, Any]]:
        return await _of(tx, shelf.key, records)

    weight = await service.database.read(weigh, shelves=(shelf.key,))
    await room.take(service.rooms, service.rooms.way, weight)
    found = await service.database.read(look, shelves=(shelf.key,))
    if not found and not known:
        raise NotFound("Nobody of this id was ever on this shelf.")
    events = accounting.events(
        map(_row, found),
        source=service.settings.tenant(shelf.tenant),
        kind=shelf.kind,
        key=service.key,
    )
    said: list[bytes] = []
    for event in events:
        said.append(fhir.encode(event))
        if not len(said) % _TURN:
            await asyncio.sleep(0)
    return said


async def _record(service: Service, shelf: Shelf, name: str) -> Resource | None:
    """What stands there, however long; {} where it was deleted, None where nothing ever stood."""

    async def look(tx: Reading) -> Version | None:
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


async def rows(tx: Reading, shelf: str, subject: str) -> list[dict[str, Any]]:
    """The rows of a shelf about a person, as the command prints them; about's, in one transaction."""
    records = [subject]
    for one in records:
        row = await resources.read(tx, shelf, one) if fhir.is_relative(one) else None
        if row and row.stands:
            records += patients.further(fhir.read(row.body), records)
    return await _of(tx, shelf, records)


async def _of(tx: Reading, shelf: str, records: list[str]) -> list[dict[str, Any]]:
    """Oldest first, whichever of the linked records they name."""
    found = [row for one in records for row in await ledger.about(tx, shelf, one)]
    return sorted(found, key=lambda row: str(row["at"]))


def _row(stored: dict[str, Any]) -> tuple[str, Accounted]:
    lists = {name: tuple(json.loads(stored[name])) for name in ("basis", "disclosed")}
    told = {name: value for name, value in stored.items() if name != "at"}
    return stored["at"], Accounted(**{**told, **lists})
