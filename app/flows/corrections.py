"""Copies that are to follow a correction and could not in its own transaction are brought up to date."""

from __future__ import annotations

import uuid
from typing import Final

import structlog

from app.domain.change import Caller, Change
from app.errors import Refusal
from app.flows import write
from app.flows.service import Service
from app.storage import copies
from app.storage.copies import Due
from app.storage.database import QUEUE, Reading, Tx

_AT_ONCE: Final = 500
WAIT_SECONDS: Final = 60.0  # until what could not be done is tried again
_log = structlog.get_logger()


async def bring(service: Service) -> bool:
    """Bring what is due up to date; whether more of it waits."""
    now = service.clock().timestamp()

    async def look(tx: Reading) -> list[Due]:
        return await copies.due(tx, now=now, most=_AT_ONCE)

    found = await service.database.read(look, shelves=QUEUE)
    for each in _by_exchange(found):
        until = 0.0 if await _brought(service, each) else now + WAIT_SECONDS

        async def settle(tx: Tx, each: list[Due] = each, until: float = until) -> None:
            for one in each:
                await copies.put_off(tx, one, until=until)

        await service.database.write(settle, shelves=QUEUE)
    return len(found) == _AT_ONCE


def _by_exchange(found: list[Due]) -> list[list[Due]]:
    exchanges: dict[str, list[Due]] = {}
    for one in found:
        exchanges.setdefault(one.exchange, []).append(one)
    return list(exchanges.values())


async def _brought(service: Service, each: list[Due]) -> bool:
    """The copies of one exchange, in one transaction; False where it has to be tried again."""
    shelf = service.settings.shelves.get(each[0].shelf)
    if shelf is None:
        return True  # whose it was has left
    said = each[0].exchange, {one.name: one.due for one in each}
    base = f"{service.settings.base_url}/{shelf.key}/fhir"
    nonce = uuid.uuid4().hex
    change = Change(shelf, Caller("kinbridge"), "follow", (), base=base, nonce=nonce, said=said)
    try:
        await write.write(service, change)
    except Refusal as refused:
        _log.error("follow", shelf=shelf.key, status=refused.status)
        return False
    except Exception as error:  # noqa: BLE001 — one that fails holds up no other, and no push
        _log.error("follow", shelf=shelf.key, error=type(error).__name__)
        return False
    return True
