"""The accounting of what one shelf has disclosed about one person, and of no other shelf."""

from __future__ import annotations

import json
from typing import Any

from app import fhir
from app.domain import accounting, patients
from app.domain.change import Caller
from app.domain.plan import Accounted
from app.errors import NotFound
from app.fhir import Resource
from app.flows.service import Service
from app.settings import Shelf
from app.storage import ledger, resources
from app.storage.database import Reading


async def about(service: Service, shelf: Shelf, caller: Caller, subject: str) -> list[Resource]:
    """
    AuditEvents, oldest first; they stay when the person's record, or the report itself, is gone.

    subject     Type/id on that shelf
    raises      Forbidden: to read the accounting is a scope of its own
                NotFound: nobody of this id was ever here; an empty account would say something else
    """
    caller.must_act("account")

    async def look(tx: Reading) -> list[dict[str, Any]]:
        found = await rows(tx, shelf.key, subject)
        if not found and await resources.read(tx, shelf.key, subject) is None:
            raise NotFound("Nobody of this id was ever on this shelf.")
        return found

    found = await service.database.read(look, shelves=(shelf.key,))
    return accounting.events(
        [_row(one) for one in found],
        source=service.settings.tenant(shelf.tenant),
        kind=shelf.kind,
        key=service.key,
    )


async def rows(tx: Reading, shelf: str, subject: str) -> list[dict[str, Any]]:
    """The rows of a shelf about a person, oldest first, whichever of the linked records they name."""
    records = [subject]
    for one in records:
        row = await resources.read(tx, shelf, one) if fhir.is_relative(one) else None
        if row and row.stands:
            records += patients.further(fhir.decode(row.body), records)
    found = [row for one in records for row in await ledger.about(tx, shelf, one)]
    return sorted(found, key=lambda row: str(row["at"]))


def _row(stored: dict[str, Any]) -> tuple[str, Accounted]:
    lists = {name: tuple(json.loads(stored[name])) for name in ("basis", "disclosed")}
    told = {name: value for name, value in stored.items() if name != "at"}
    return stored["at"], Accounted(**{**told, **lists})
