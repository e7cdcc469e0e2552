"""What stands on one shelf, what stood there, and nothing of any other."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.change import Caller
from app.errors import Gone, NotFound
from app.flows import bounds
from app.flows.service import Service
from app.settings import Shelf
from app.storage import history, resources
from app.storage.database import Reading
from app.storage.history import Asked, Past, Turn
from app.storage.resources import Version


async def read(service: Service, shelf: Shelf, caller: Caller, name: str) -> Version:
    """
    The last version of Type/id.

    raises      NotFound: nothing of this name was ever on this shelf
                Gone: it was deleted
    source      https://hl7.org/fhir/R4/http.html#read
    """
    caller.must("r", name.split("/", 1)[0])
    return _standing(
        await service.database.read(
            lambda tx: resources.read(tx, shelf.key, name), shelves=(shelf.key,)
        )
    )


async def vread(service: Service, shelf: Shelf, caller: Caller, name: str, version: int) -> Version:
    """
    One version of Type/id.

    raises      NotFound, Gone: as read
    source      https://hl7.org/fhir/R4/http.html#vread
    """
    caller.must("r", name.split("/", 1)[0])

    async def look(tx: Reading) -> Version | None:
        return await resources.read_version(tx, shelf.key, name, version)

    return _standing(await service.database.read(look, shelves=(shelf.key,)))


def _standing(found: Version | None) -> Version:
    if found is None:
        raise NotFound("Nothing of this type, id and version is on this shelf.")
    if not found.stands:
        raise Gone("It was deleted; its history still has what it was.")
    return found


@dataclass(frozen=True, slots=True)
class History:
    """
    One page of versions, newest first.

    total       of all pages
    newer, older    whether another page stands before it, or follows
    """

    page: list[Past]
    total: int
    newer: bool
    older: bool


async def past(  # noqa: PLR0913 — what the standard lets a caller ask
    service: Service, shelf: Shelf, caller: Caller, *, asked: Asked, turn: Turn, most: int
) -> History:
    """
    Versions of one resource, of a type, or of the shelf.

    most        versions on the page; 0 asks for the total alone
    raises      NotFound: there never was such a resource
                Forbidden: `r` is for one resource's history, `s` for that of many, as SMART has it
    source      https://hl7.org/fhir/R4/http.html#history
    """
    caller.must("r" if "id" in asked.of else "s", asked.of.get("type", "*"))
    name = "/".join(asked.of.values())

    async def look(tx: Reading) -> History | None:
        if "id" in asked.of and await resources.read(tx, shelf.key, name) is None:
            return None
        found = await history.page(tx, shelf.key, asked, turn, most + 1) if most else []
        total = await history.count(tx, shelf.key, asked)
        more = len(found) > most
        page, cut = await bounds.held(tx, shelf.key, (found[::-1] if turn.back else found)[:most])
        if turn.back:
            return History(page[::-1], total, newer=more or cut, older=True)
        return History(page, total, newer=turn is not history.FIRST, older=more or cut)

    looked = await service.database.read(look, shelves=(shelf.key,))
    if looked is None:
        raise NotFound("Nothing of this type and id was ever on this shelf.")
    return looked
