"""How many bytes a page holds, and when there is room for it: it ends with what takes it over the bound."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from app.flows import room
from app.flows.service import Service
from app.storage import bodies
from app.storage.bodies import Key
from app.storage.database import Reading
from app.storage.history import Past
from app.storage.search import Found

# With one body of 20 MiB in base64 it is 36 MiB, twice while it is put together; issue 5 has 250.
PAGE_BYTES: Final = 8 * 2**20
LITTLE: Final = bodies.ALONE  # bytes that an answer has without asking for room
_T = TypeVar("_T", Found, Past)
_R = TypeVar("_R")
Sizes = dict[Key, int]  # of the bodies that have not come with their rows


async def held(tx: Reading, shelf: str, rows: list[_T]) -> tuple[list[_T], bool, Sizes]:
    """
    The rows that one page holds, from the first of them on; and whether it ends before they do.
    The first is always there.
    """
    sizes = await _sizes(tx, shelf, rows)
    if not sizes and sum(len(one.body) for one in rows) < PAGE_BYTES:
        return rows, False, sizes
    total, count = 0, 0
    for one in rows:
        if count and total >= PAGE_BYTES:
            break
        total += _size(one, sizes)
        count += 1
    return rows[:count], count < len(rows), sizes


async def fitting(tx: Reading, shelf: str, rows: Sequence[_T]) -> tuple[list[_T], bool, Sizes]:
    """Those of the rows that find room beside a page; and whether some do not."""
    sizes = await _sizes(tx, shelf, rows)
    total, kept = 0, []
    for one in rows:
        if total + _size(one, sizes) <= PAGE_BYTES:
            total += _size(one, sizes)
            kept.append(one)
    return kept, len(kept) < len(rows), sizes


def total(rows: Sequence[Found] | Sequence[Past], sizes: Sizes) -> int:
    """Bytes of the bodies of these rows."""
    return sum(_size(one, sizes) for one in rows)


async def whole(tx: Reading, shelf: str, rows: list[_T], sizes: Sizes) -> list[_T]:
    """The rows with their bodies; what was expunged since is not among them."""
    if not sizes:
        return rows
    found = await bodies.read(tx, shelf, [key for one in rows if (key := _key(one)) in sizes])
    return [
        one if key not in sizes else one._replace(body=found[key])
        for one in rows
        if (key := _key(one)) not in sizes or key in found
    ]


async def roomy(
    service: Service, look: Callable[[], Awaitable[_R]], size: Callable[[_R], int]
) -> _R:
    """
    What is found, when there is room for it; nothing of it is kept while others have the room.

    raises      Unavailable: there was none in time
    """
    found = await look()
    much = size(found)
    if much <= LITTLE:
        return found
    way = service.rooms.way
    if way.fits(much):
        await room.take(service.rooms, way, much)
        return found
    del found
    await room.take(service.rooms, way, much)
    return await look()


def _key(one: Found | Past) -> Key:
    return one.type, one.id, one.version


def _size(one: Found | Past, sizes: Sizes) -> int:
    return len(one.body) or sizes.get(_key(one), 0)


async def _sizes(tx: Reading, shelf: str, rows: Sequence[Found] | Sequence[Past]) -> Sizes:
    """Of those whose bodies have not come with them; a deletion has none."""
    long = [_key(one) for one in rows if not one.body and getattr(one, "method", "") != "DELETE"]
    return await bodies.sizes(tx, shelf, long)
