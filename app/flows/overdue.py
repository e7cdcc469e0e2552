"""What nobody has answered in time is looked for, and raised to a person."""

from __future__ import annotations

import uuid
from typing import Final

import structlog

from app.domain.change import Caller, Change, Entry
from app.errors import Refusal
from app.flows import write
from app.flows.service import Service
from app.storage import exchanges
from app.storage.database import QUEUE, Reading

_AT_ONCE: Final = 50
_LEAST_SECONDS: Final = 1.0  # between two looks
_MOST_SECONDS: Final = 5.0
_log = structlog.get_logger()


async def raise_all(service: Service) -> int:
    """How many referrals had something overdue."""
    now = service.clock().timestamp()

    async def look(tx: Reading) -> list[tuple[str, str]]:
        return await exchanges.overdue(tx, now=now, most=_AT_ONCE)

    found = await service.database.read(look, shelves=QUEUE)
    for shelf, task in found:
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
        _log.warning("overdue", shelf=shelf)
    return len(found)


async def next_look(service: Service) -> float:
    """UNIX seconds when something becomes overdue, soon at least: what is sent may be due before."""
    now = service.clock().timestamp()
    due = await service.database.read(exchanges.next_overdue, shelves=QUEUE)
    return min(max(due or now + _MOST_SECONDS, now + _LEAST_SECONDS), now + _MOST_SECONDS)
