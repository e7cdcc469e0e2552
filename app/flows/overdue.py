"""What nobody has answered in time is looked for, and raised to a person."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Final

import structlog

from app import fhir
from app.domain.change import Caller, Change, Entry
from app.domain.overdue import AHEAD
from app.errors import Refusal
from app.flows import write
from app.flows.service import Service
from app.storage import exchanges
from app.storage.database import QUEUE, Reading
from app.storage.exchanges import Overdue

_AT_ONCE: Final = 50
_LEAST_SECONDS: Final = 1.0  # between two looks
MOST_SECONDS: Final = 5.0
_log = structlog.get_logger()


async def raise_all(service: Service) -> int:
    """How many referrals had something overdue; what cannot be raised stands in nobody's way."""
    moment, count = service.clock(), 0
    now = moment.timestamp()
    await _bring_forward(service, moment)
    last: Overdue | None = None
    while True:

        async def look(tx: Reading, after: Overdue | None = last) -> list[Overdue]:
            return await exchanges.overdue(tx, now=now, most=_AT_ONCE, after=after)

        found = await service.database.read(look, shelves=QUEUE)
        await _raise(service, found, said="overdue")
        count += len(found)
        if len(found) < _AT_ONCE:
            return count
        last = found[-1]


async def _bring_forward(service: Service, now: datetime) -> None:
    """Where the clock was ahead, a report would wait for it; the planner says until when it waits now."""
    soon = fhir.instant(now + AHEAD)

    async def look(tx: Reading) -> list[Overdue]:
        return await exchanges.ahead(tx, now=now.timestamp(), soon=soon, most=_AT_ONCE)

    await _raise(service, await service.database.read(look, shelves=QUEUE), said="sent ahead")


async def _raise(service: Service, found: list[Overdue], *, said: str) -> None:
    for shelf, task, *_ in found:
        known = service.settings.shelves.get(shelf)
        if known is None:
            continue
        kind, _, identity = task.partition("/")
        entry = Entry("PUT", {"resourceType": kind, "id": identity}, identity)
        base = f"{service.settings.base_url}/{shelf}/fhir"
        change = Change(
            known, Caller("kinbridge"), "overdue", (entry,), base=base, nonce=uuid.uuid4().hex
        )
        try:
            await write.write(service, change)
        except Refusal as refused:
            _log.error("overdue", status=refused.status)
            continue
        except Exception as error:  # noqa: BLE001 — one that fails holds up no other, and no push
            _log.error("overdue", error=type(error).__name__)
            continue
        _log.warning(said, shelf=shelf)


async def next_look(service: Service) -> float:
    """UNIX seconds when something becomes overdue, soon at least: what is sent may be due before."""
    now = service.clock().timestamp()
    due = await service.database.read(exchanges.next_overdue, shelves=QUEUE)
    return min(max(due or now + MOST_SECONDS, now + _LEAST_SECONDS), now + MOST_SECONDS)
