"""How many bytes a page holds: it ends with what takes it over the bound, and the next goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from app.storage import bodies
from app.storage.bodies import Key
from app.storage.database import Reading
from app.storage.history import Past
from app.storage.search import Found

# With one body of 20 MiB in base64 it is 36 MiB, twice while it is put together; issue 5 has 250.
PAGE_BYTES: Final = 8 * 2**20
_T = TypeVar("_T", Found, Past)


async def held(tx: Reading, shelf: str, rows: list[_T]) -> tuple[list[_T], bool]:
    """
    The rows that one page holds, from the first of them on, with their bodies; and whether it ends
    before they do. The first is always there.
    """
    sizes = await _sizes(tx, shelf, rows)
    if not sizes and sum(len(one.body) for one in rows) < PAGE_BYTES:
        return rows, False
    total, count = 0, 0
    for one in rows:
        if count and total >= PAGE_BYTES:
            break
        total += len(one.body) or sizes.get(_key(one), 0)
        count += 1
    return await _whole(tx, shelf, rows[:count], sizes), count < len(rows)


async def fitting(tx: Reading, shelf: str, rows: Sequence[_T]) -> tuple[list[_T], bool]:
    """Those of the rows that find room beside a page, with their bodies; and whether some do not."""
    sizes = await _sizes(tx, shelf, rows)
    total, kept = 0, []
    for one in rows:
        size = len(one.body) or sizes.get(_key(one), 0)
        if total + size <= PAGE_BYTES:
            total += size
            kept.append(one)
    return await _whole(tx, shelf, kept, sizes), len(kept) < len(rows)


def _key(one: Found | Past) -> Key:
    return one.type, one.id, one.version


async def _sizes(tx: Reading, shelf: str, rows: Sequence[_T]) -> dict[Key, int]:
    """Of those whose bodies have not come with them; a deletion has none."""
    long = [_key(one) for one in rows if not one.body and getattr(one, "method", "") != "DELETE"]
    return await bodies.sizes(tx, shelf, long)


async def _whole(tx: Reading, shelf: str, rows: Sequence[_T], sizes: dict[Key, int]) -> list[_T]:
    """What was expunged since is not on the page."""
    if not sizes:
        return list(rows)
    found = await bodies.read(tx, shelf, [key for one in rows if (key := _key(one)) in sizes])
    return [
        one if key not in sizes else one._replace(body=found[key])
        for one in rows
        if (key := _key(one)) not in sizes or key in found
    ]
