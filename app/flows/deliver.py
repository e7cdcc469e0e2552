"""What is owed goes to the partner's own server, again and again until it is there."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import Counter
from functools import partial
from typing import Final

import structlog

from app.domain import progress
from app.domain.change import Caller, Change
from app.flows import corrections, overdue, pushing, write
from app.flows.service import Service
from app.partners import LONGEST_WAIT_SECONDS, Reply
from app.storage import copies, outbox
from app.storage.database import QUEUE, Reading, Tx
from app.storage.outbox import Due

_AT_ONCE: Final = 16
_EACH: Final = 2  # pushes to one shelf at a time
_END_SECONDS: Final = 5.0  # what a push that is under way gets when the service stops
_LEASE_SECONDS: Final = 30.0
_OF_LEASE: Final = 5 / 6  # that a push may take, its token and all that it waits for included
_AGAIN_SECONDS: Final = 2.0  # until one is tried for which there was none
_LOOK_AGAIN_SECONDS: Final = 5.0  # when nothing is due and nobody has called
_log = structlog.get_logger()


class Worker:
    """
    Delivers until it is stopped; what it has begun it ends, within a bound.

    awake           set when there is something new to do
    lease_seconds   for which nobody else takes a push that this one has begun
    """

    def __init__(self, *, lease_seconds: float = _LEASE_SECONDS) -> None:
        self.awake = asyncio.Event()
        self._lease = lease_seconds
        self._stopping = False
        self._look_for_overdue = 0.0  # UNIX seconds
        self._looked_at = math.inf  # UNIX seconds; before the first look anything may have been
        self._running: dict[asyncio.Task[None], str] = {}  # each push, and its shelf
        self._large = asyncio.Lock()  # of what is large one goes at a time

    def stop(self) -> None:
        self._stopping = True
        self.awake.set()

    def owed(self, at: float) -> None:
        """
        Something may be owed, by the clock of then.

        at          UNIX seconds; the next look finds out whether the clock was set back behind it meanwhile
        """
        self._looked_at = max(self._looked_at, at)
        self.awake.set()

    async def run(self, service: Service) -> None:
        """Where only one worker may deliver, a second waits until the first is gone."""
        while not self._stopping:
            self.awake.clear()
            try:
                pause = await self._step(service)
            except Exception as error:  # noqa: BLE001 — the worker outlives a lost database
                _log.error("worker", error=type(error).__name__)
                pause = _LOOK_AGAIN_SECONDS
            if pause:
                await self._rest(pause)
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=_END_SECONDS)
            for push in late:
                push.cancel()

    async def _begin(self, service: Service) -> int:
        """Start a push of what is due now; a slow partner holds up nobody but itself."""
        now = service.clock().timestamp()
        until = asyncio.get_running_loop().time() + self._lease * _OF_LEASE
        busy = Counter(self._running.values())

        async def claim(tx: Tx) -> list[Due]:
            room = _AT_ONCE - len(self._running)
            return await outbox.claim(
                tx, now=now, lease_seconds=self._lease, most=room, each=_EACH, busy=busy
            )

        if len(self._running) >= _AT_ONCE:
            return 0
        claimed = await service.database.write(claim, shelves=QUEUE)
        for due in claimed:
            push = asyncio.create_task(self._deliver(service, due, until))
            self._running[push] = due.shelf
            push.add_done_callback(self._ended)
        return len(claimed)

    def _ended(self, push: asyncio.Task[None]) -> None:
        del self._running[push]
        if not push.cancelled() and (error := push.exception()):
            _log.error("worker", error=type(error).__name__)  # its lease runs out, and it is due
        self.awake.set()

    async def _step(self, service: Service) -> float:
        """Deliver what is due; how many seconds to rest."""
        now = service.clock().timestamp()
        if not await service.database.may_deliver(outbox.release):
            return _LOOK_AGAIN_SECONDS
        before, self._looked_at = self._looked_at, now
        if now < before:
            try:
                await _hurry(service, now, begins=math.isinf(before))
            except BaseException:
                self._looked_at = before
                raise
        # further ahead it was never set, but for a clock that was
        if not now < self._look_for_overdue <= now + overdue.MOST_SECONDS:
            await overdue.raise_all(service)
            more = await corrections.bring(service)
            self._look_for_overdue = 0.0 if more else await overdue.next_look(service)
        begun = await self._begin(service)
        if begun:
            return 0.0
        until = max(self._look_for_overdue - service.clock().timestamp(), 0.01)
        return min(await self._pause(service), until)

    async def _pause(self, service: Service) -> float:
        """Seconds until something is due for which there is room; a push that ends wakes up before."""
        busy = Counter(self._running.values())
        now = service.clock().timestamp()
        if len(self._running) >= _AT_ONCE:
            return _LOOK_AGAIN_SECONDS

        async def look(tx: Reading) -> float | None:
            return await outbox.rest(tx, now=now, each=_EACH, busy=busy)

        rest = await service.database.read(look, shelves=QUEUE)
        return _LOOK_AGAIN_SECONDS if rest is None else min(max(rest, 0.01), _LOOK_AGAIN_SECONDS)

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.awake.wait(), seconds)

    async def _deliver(self, service: Service, due: Due, until: float) -> None:
        """
        Push the versions that are owed, in one transaction Bundle; write down how it went.

        until       by the loop's clock, when it ends at the latest: its lease does soon after, and another
                    would begin it beside this one, and be overtaken by what comes after it
        """
        begun = service.clock().timestamp()
        shelf = service.settings.shelves.get(due.shelf)
        endpoint = shelf.endpoint if shelf else None
        reply: Reply | None
        if endpoint is None:
            reply = Reply(0, "no-endpoint")
        elif not await _still_covered(service, due):
            reply = _SUPPRESSED
        else:
            try:
                async with asyncio.timeout_at(until):
                    reply = await pushing.push(service, due, endpoint, self._large)
            except TimeoutError:
                reply = Reply(0)
        if reply is None:
            await _put_off(service, due)
        else:
            await _settle(service, due, reply)
        self.owed(begun)


async def _hurry(service: Service, now: float, *, begins: bool) -> None:
    """
    The clock was set back: what is due at a time that it will come to in a year, or an hour, is due now.

    begins      nobody has looked before: what waits no longer than it would anyway is left to wait
    """
    pushes = follows = now
    if begins:
        pushes += max(LONGEST_WAIT_SECONDS, service.settings.retry_longest_seconds)
        follows += corrections.WAIT_SECONDS

    async def hurry(tx: Tx) -> int:
        owed = await outbox.hurry(tx, now=now, beyond=pushes)
        return owed + await copies.hurry(tx, now=now, beyond=follows)

    if count := await service.database.write(hurry, shelves=QUEUE):
        _log.warning("the clock was set back; what was to wait for it goes now", count=count)


async def _put_off(service: Service, due: Due) -> None:
    at = service.clock().timestamp() + _AGAIN_SECONDS

    async def later(tx: Tx) -> None:
        await outbox.later(tx, due, next_due=at)

    await service.database.write(later, shelves=QUEUE)


# Ours, and no partner's: https://www.rfc-editor.org/rfc/rfc7725. A person looks at it, as at any refusal.
_SUPPRESSED: Final = Reply(451, "suppressed")


async def _still_covered(service: Service, due: Due) -> bool:
    """Whether the family's consent covers, now that it goes, what was referred when it was written."""
    shelf = service.settings.shelves[due.shelf]
    if (shelf.kind, shelf.role) != ("family-support", "recipient"):
        return True
    base = f"{service.settings.base_url}/{due.shelf}/fhir"
    change = Change(shelf, Caller("kinbridge"), "follow", (), base=base, nonce=due.order)
    case = write.begun(service, change)
    return await write.settled(service, case, partial(progress.is_covered, exchange=due.order))


async def _settle(service: Service, due: Due, reply: Reply) -> None:
    now = service.clock().timestamp()
    settings = service.settings
    ended = now - due.owed_at > settings.retry_give_up_seconds
    state, next_due = "delivered", now
    if not reply.delivered and (not reply.worth_retrying or ended):
        state = "failed"
    elif not reply.delivered:
        state = "owed"
        # exponential, with full jitter, so that a partner that comes back is not run over
        most = min(
            settings.retry_first_seconds * 2 ** min(due.attempts, 40),
            settings.retry_longest_seconds,
        )
        next_due = now + max(reply.wait_seconds, service.chance() * most)

    async def settle(tx: Tx) -> bool:
        return await outbox.settle(
            tx, due, state=state, next_due=next_due, at=now, status=reply.status, codes=reply.codes
        )

    if not await service.database.write(settle, shelves=QUEUE):
        return
    say = _log.error if state == "failed" else _log.info  # a person must look at it
    say(
        "pushed", shelf=due.shelf, push=due.id, state=state, status=reply.status,
        attempt=due.attempts + 1, codes=reply.codes,
    )  # fmt: skip
