"""What maps nowhere yet: listed, and worked off again when the crosswalk has it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final

import structlog

from app.domain.change import Caller, Change, Entry
from app.domain.plan import Waiting
from app.errors import Refusal
from app.flows import write
from app.flows.service import Service
from app.settings import Shelf
from app.storage import worklist

_PAGE: Final = 200
_log = structlog.get_logger()


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


async def work_off(
    service: Service,
    shelf: Shelf,
    caller: Caller,
    *,
    which: Callable[[Waiting], bool] = lambda _: True,
) -> tuple[int, int]:
    """
    Read every source that waits anew; each stands for itself.

    which       what is worth it: a source is read that waits for any of these
    returns     how many were read, and how many wait no more
    """
    sources = list(
        dict.fromkeys([one.source async for one in unmapped(service, shelf) if which(one)])
    )
    done = 0
    for name in sources:
        kind, _, identity = name.partition("/")
        entry = Entry("PUT", {"resourceType": kind, "id": identity}, identity)
        change = Change(shelf, caller, "work-off", (entry,), base="", nonce=uuid.uuid4().hex)
        try:
            await write.write(service, change)
        except Refusal as refused:
            _log.warning("not worked off", codes=sorted({one.code for one in refused.issues}))
        look = partial(worklist.of_source, shelf=shelf.key, source=name)
        done += not await service.database.read(look, shelves=(shelf.key,))
    return len(sources), done


async def catch_up(service: Service) -> None:
    """
    After a start: what waits for a code or text that the mappings know by now is read anew.

    It goes beside the work of the service, one source at a time, and reads no source whose codes
    nobody has mapped since; a service that ends in between goes on at its next start.
    """
    for shelf in service.settings.shelves.values():
        if (shelf.kind, shelf.role) != ("family-support", "source"):
            continue
        known = partial(service.mappings.forms.maps, (shelf.tenant, shelf.environment))
        read, done = await work_off(service, shelf, Caller("kinbridge"), which=known)
        if read:
            _log.info("worked off", shelf=shelf.key, read=read, done=done)
