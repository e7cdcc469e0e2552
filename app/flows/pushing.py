"""One push: what is owed, as the partner's own server gets it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from app import fhir
from app.domain import push as outgoing
from app.errors import Unavailable
from app.flows import room
from app.flows.room import Moving
from app.partners import Reply
from app.storage import bodies, resources

if TYPE_CHECKING:
    from app.fhir import Resource
    from app.flows.service import Service
    from app.settings import Endpoint
    from app.storage.bodies import Key
    from app.storage.database import Reading
    from app.storage.outbox import Due

_ROOM_SECONDS: Final = 5.0  # that a large push waits for its turn, and for room; within its lease
_REFUSED: Final = frozenset({400, 422})  # where it may be a reference that is refused
_SAME: Final = Reply(0, "same")


async def push(service: Service, due: Due, endpoint: Endpoint, large: asyncio.Lock) -> Reply | None:
    """
    How it went; None where it is large, and there was no room for it.

    What leads to a shelf here is a URL, as the guide asks. HAPI, as it comes, and others take no reference
    to another server: what they refuse is sent once more, with what it leads to named by its number.

    large       of what is large one goes at a time
    source      https://hl7.org/fhir/R4/references.html#logical
    """
    reply = await _sent(service, due, endpoint, large, named=False)
    if reply is None or reply.status not in _REFUSED:
        return reply
    again = await _sent(service, due, endpoint, large, named=True)
    if again is None or again.delivered:
        return again
    return again if again is not _SAME and again.worth_retrying else reply


async def _sent(
    service: Service, due: Due, endpoint: Endpoint, large: asyncio.Lock, *, named: bool
) -> Reply | None:
    """As push, once; _SAME where nothing is to be named, so that it would be the same again."""
    shelves = (due.shelf,)
    keys = await service.database.read(lambda tx: _keys(tx, due), shelves=shelves)
    if not keys:
        return Reply(204)  # all of it was expunged since: there is nothing to push
    sizes = await service.database.read(
        lambda tx: bodies.sizes(tx, due.shelf, keys), shelves=shelves
    )
    size = sum(sizes.values())
    if size <= room.FREE:
        content = await _content(service, due, keys, named=named)
        if not content:
            return _SAME
        return await service.partners.transaction(
            endpoint, content, now=service.clock().timestamp()
        )
    try:
        async with asyncio.timeout(_ROOM_SECONDS):
            await large.acquire()
    except TimeoutError:
        return None
    try:
        return await _by_turns(service, due, endpoint, keys, size, named=named)
    finally:
        room.end()
        large.release()


async def _by_turns(  # noqa: PLR0913 — what a push consists of
    service: Service, due: Due, endpoint: Endpoint, keys: list[Key], size: int, *, named: bool
) -> Reply | None:
    """In the room of what comes and goes; who is slow is broken off while others wait for it."""
    rooms = service.rooms
    try:
        async with asyncio.timeout(_ROOM_SECONDS):
            await room.take(rooms, rooms.way, 2 * size)
    except (TimeoutError, Unavailable):
        return None
    content = await _content(service, due, keys, named=named, long=True)
    if not content:
        return _SAME
    try:
        async with asyncio.timeout(None) as limit:
            moving = Moving(limit)
            rooms.way.begin(moving)
            try:
                return await service.partners.transaction(
                    endpoint, content, now=service.clock().timestamp(), moved=moving.add
                )
            finally:
                rooms.way.end(moving)
    except TimeoutError:
        return Reply(0)


async def _content(
    service: Service, due: Due, keys: list[Key], *, named: bool, long: bool = False
) -> bytes:
    """
    The Bundle as JSON; of what it is made from nothing is kept.

    named       whether what is not in it is named by its number; nothing where all is
    """
    found = await service.database.read(
        lambda tx: bodies.read(tx, due.shelf, keys), shelves=(due.shelf,)
    )
    base = f"{service.settings.base_url}/{due.shelf}/fhir"

    def read() -> list[Resource]:
        return [fhir.read(found.pop(key)) for key in keys if key in found]

    made = await service.aside.run(read, long=long)
    numbers = None
    if named:
        leads = outgoing.beside(made)
        if not leads:
            return b""
        numbers = await _numbers(service, due.shelf, leads)

    def make() -> bytes:
        return fhir.encode(outgoing.bundle(made, base=base, numbers=numbers))

    return await service.aside.run(make, long=long)


async def _numbers(service: Service, shelf: str, names: set[str]) -> dict[str, Resource]:
    """{Type/id: the identifier by which it is known} of those that stand here and have one."""

    async def look(tx: Reading) -> dict[str, Resource]:
        near = sorted(name for name in names if fhir.is_relative(name))
        rows = {name: await resources.seen(tx, shelf, name) for name in near}
        return {name: fhir.read(row.body) for name, row in rows.items() if row and row.body}

    found = await service.database.read(look, shelves=(shelf,))
    return {name: number for name, one in found.items() if (number := outgoing.number(one))}


async def _keys(tx: Reading, due: Due) -> list[Key]:
    """Of those versions that stand still, in the order in which they are owed."""
    found: list[Key] = []
    for name, version in due.versions.items():
        row = await resources.seen_version(tx, due.shelf, name, version)
        if row and row.stands:
            kind, identity = name.split("/", 1)
            found.append((kind, identity, version))
    return found
