"""What stands on one shelf, what stood there, and nothing of any other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.domain.change import Caller
from app.errors import Gone, NotFound
from app.flows import bounds, room
from app.flows.room import Room
from app.flows.service import Service
from app.settings import Shelf
from app.storage import bodies, clock, history, resources
from app.storage.database import Reading
from app.storage.history import Asked, Past, Turn
from app.storage.resources import Version

COUNTED: Final = 10_000  # versions, for the total of a page


async def read(service: Service, shelf: Shelf, caller: Caller, name: str) -> Version:
    """
    The last version of Type/id.

    raises      NotFound: nothing of this name was ever on this shelf
                Gone: it was deleted
    source      https://hl7.org/fhir/R4/http.html#read
    """
    caller.must("r", name.split("/", 1)[0])
    found = _standing(
        await service.database.read(
            lambda tx: resources.seen(tx, shelf.key, name), shelves=(shelf.key,)
        )
    )
    return found if found.body else await _large(service, shelf, name, found)


async def vread(service: Service, shelf: Shelf, caller: Caller, name: str, version: int) -> Version:
    """
    One version of Type/id.

    raises      NotFound, Gone: as read
    source      https://hl7.org/fhir/R4/http.html#vread
    """
    caller.must("r", name.split("/", 1)[0])

    async def look(tx: Reading) -> Version | None:
        return await resources.seen_version(tx, shelf.key, name, version)

    found = _standing(await service.database.read(look, shelves=(shelf.key,)))
    return found if found.body else await _large(service, shelf, name, found)


async def _large(service: Service, shelf: Shelf, name: str, found: Version) -> Version:
    """The version with its body, when there is room for it, and for a part or a form of it."""
    body = await large_body(service, shelf, name, found.version, place=service.rooms.way, times=2)
    return _standing(found._replace(body=body) if body else None)


async def large_body(  # noqa: PLR0913 — which version, and what room for it
    service: Service, shelf: Shelf, name: str, version: int, *, place: Room, times: int
) -> bytes:
    """
    The body of a version (Type/id, number), when there is room for so many times its size.

    returns     b"" where it was expunged in between
    raises      Unavailable: there was no room in time
    """
    kind, identity = name.split("/", 1)
    key = (kind, identity, version)

    async def measure(tx: Reading) -> int:
        return (await bodies.sizes(tx, shelf.key, [key])).get(key, 0)

    async def look(tx: Reading) -> bytes:
        return (await bodies.read(tx, shelf.key, [key])).get(key, b"")

    size = await service.database.read(measure, shelves=(shelf.key,))
    await room.take(service.rooms, place, times * size)
    return await service.database.read(look, shelves=(shelf.key,))


def _standing(found: Version | None) -> Version:
    if found is None:
        raise NotFound("Nothing of this type, id and version is on this shelf.")
    if not found.stands:
        raise Gone("It was deleted; what is kept of it is in its history.")
    return found


@dataclass(frozen=True, slots=True)
class History:
    """
    One page of versions, newest first.

    total       of all pages; None where it would take long to count, and was not asked for alone
    newer, older    whether another page stands before it, or follows
    asked_at        as flows.search.Result has it
    """

    page: list[Past]
    total: int | None
    newer: bool
    older: bool
    asked_at: str


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

    async def look(tx: Reading) -> tuple[History, bounds.Sizes] | None:
        if "id" in asked.of and await resources.read(tx, shelf.key, name) is None:
            return None
        asked_at = await clock.last(tx, shelf.key)
        found = await history.page(tx, shelf.key, asked, turn, most + 1) if most else []
        more, counted = len(found) > most, COUNTED if most else history.ALL
        total: int | None = len(found)
        if more or turn is not history.FIRST or not most:  # else all of them are on this page
            total = await history.count(tx, shelf.key, asked, most=counted)
        rows = (found[::-1] if turn.back else found)[:most]
        page, cut, sizes = await bounds.held(tx, shelf.key, rows)
        newer, older = turn is not history.FIRST, more or cut
        if turn.back:
            page, newer, older = page[::-1], older, True
        return History(page, total, newer, older, asked_at), sizes

    def size(looked: tuple[History, bounds.Sizes] | None) -> int:
        return bounds.total(looked[0].page, looked[1]) if looked else 0

    looked = await bounds.roomy(
        service, lambda: service.database.read(look, shelves=(shelf.key,)), size
    )
    if looked is None:
        raise NotFound("Nothing of this type and id was ever on this shelf.")
    found, sizes = looked
    if not sizes:
        return found

    async def fill(tx: Reading) -> list[Past]:
        return await bounds.whole(tx, shelf.key, found.page, sizes)

    page = await service.database.read(fill, shelves=(shelf.key,))
    return History(page, found.total, found.newer, found.older, found.asked_at)
