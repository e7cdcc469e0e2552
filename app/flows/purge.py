"""What was expunged is gone from the file too, and gone again when an older backup was restored."""

from __future__ import annotations

import contextlib
from functools import partial

import structlog
from msgspec.structs import replace

from app import fhir
from app.domain.event import EXPUNGED
from app.domain.expunge import buried, is_buried, without_outcome
from app.domain.plan import Answer, Plan, Purge, Put, Stored, put
from app.errors import Unavailable
from app.flows.service import Service
from app.storage import commits, exchanges, purges, resources
from app.storage.database import QUEUE, Overtaken, Tx
from app.storage.query import Reader
from app.storage.resources import Version

_log = structlog.get_logger()


async def scrub(service: Service) -> None:
    """
    The file without what was purged.

    It is tried again at the next start where it cannot be done now.
    """
    try:
        purged = await service.database.read(purges.unscrubbed, shelves=QUEUE)
        await service.database.scrub()
        await service.database.write(partial(purges.scrubbed, purged=purged), shelves=QUEUE)
    except Unavailable:
        _log.warning("purged, and may still be in the file; it is scrubbed at the next start")


async def replay(service: Service) -> int:
    """
    Purge again what a restored backup has brought back; how many resources it was.

    Before the service is ready; nothing where nothing came back.
    """
    purged_from = await service.database.read(purges.shelves, shelves=QUEUE)
    found = await service.database.read(purges.came_back, shelves=(*purged_from, *QUEUE))
    count = 0
    for purged, at in found:
        count += await _purged(service, purged, at)
    unscrubbed = await service.database.read(purges.unscrubbed, shelves=QUEUE)
    if count or unscrubbed:
        _log.info("purged again", resources=count)
        await scrub(service)
    return count


async def _purged(service: Service, purged: Purge, at: str) -> int:
    """How many it was: none where another process, which has started at the same moment, was first."""
    reader = Reader(service.parameters, "", fhir.moment(at))
    again = partial(_again, purged=purged, at=at, reader=reader)
    while True:
        with contextlib.suppress(Overtaken):
            return await service.database.write(again, shelves=(purged.shelf, *QUEUE))


async def _again(tx: Tx, *, purged: Purge, at: str, reader: Reader) -> int:
    row = await resources.read(tx, purged.shelf, purged.name)
    if row is None:
        return 0
    puts = _tombstones(row, purged, at)
    if not puts and not await purges.remembered(tx, purged, at):
        return 0
    plan = Plan(Answer(()), puts, purges=(replace(purged, at=at),))
    made = commits.Made(plan, reader, {}, at, fhir.moment(at).timestamp())
    await commits.commit(tx, [made])  # first, as everywhere: who writes to a shelf locks its clock
    if purged.why == "expunged" and puts:
        await exchanges.close(tx, purged.exchange, EXPUNGED)
    return 1


def _tombstones(row: Version, purged: Purge, at: str) -> tuple[Put, ...]:
    """What stands in place of what came back; nothing where nothing did."""
    resource = fhir.decode(row.body) if row.stands else {}
    stored, now = Stored(resource, row.version, row.exchange), fhir.moment(at)
    if not row.stands or row.updated > at or is_buried(resource):
        return ()
    if purged.why == "amended":
        if row.updated == at:  # what was put in its place
            return ()
        kept = without_outcome(resource, at)
        return put(kept, stored, shelf=purged.shelf, now=now)
    return buried(stored, purged, now)
