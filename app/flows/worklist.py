"""What maps nowhere yet: listed, and worked off again when the crosswalk has it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from functools import partial
from typing import Final

from app.domain.plan import Caller, Change, Entry, Waiting
from app.flows import write
from app.flows.service import Service
from app.settings import Shelf
from app.storage import worklist

_PAGE: Final = 200


async def unmapped(service: Service, shelf: Shelf) -> AsyncIterator[Waiting]:
    """Everything that waits on a shelf, by source."""
    after = ""
    while True:
        look = partial(worklist.page, shelf=shelf.key, after=after, most=_PAGE)
        found: list[Waiting] = await service.database.read(look, shelves=(shelf.key,))
        # A page may end within a source: what is seen of the last one comes again, whole.
        last = found[-1].source if found else ""
        whole = [one for one in found if len(found) < _PAGE or one.source != last]
        for one in whole or found:
            yield one
        if len(found) < _PAGE:
            return
        after = whole[-1].source if whole else last


async def work_off(service: Service, shelf: Shelf, caller: Caller) -> tuple[int, int]:
    """
    Read every source that waits anew; each stands for itself.

    returns     how many were read, and how many wait no more
    """
    sources = list(dict.fromkeys([one.source async for one in unmapped(service, shelf)]))
    done = 0
    for name in sources:
        kind, _, identity = name.partition("/")
        entry = Entry("PUT", {"resourceType": kind, "id": identity}, identity)
        change = Change(shelf, caller, "work-off", (entry,), base="", nonce=uuid.uuid4().hex)
        await write.write(service, change)
        look = partial(worklist.of_source, shelf=shelf.key, source=name)
        done += not await service.database.read(look, shelves=(shelf.key,))
    return len(sources), done
