"""Whoever asks at the same moment goes together: to go costs several times what one more costs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from app.errors import Unavailable

_One = TypeVar("_One")
_Found = TypeVar("_Found")

_PATIENCE_SECONDS: Final = 0.002  # a disk takes as long for a commit, a network for an answer
_QUIET_TURNS: Final = 2  # a request is read in one turn of the loop, and understood in the next


def everyone(waiting: Sequence[_One]) -> Sequence[int]:
    """The places of those who go together: all."""
    return range(len(waiting))


class Gathering(Generic[_One, _Found]):
    """
    Those who wait to ask the database one thing.

    go          asks for several; what each of them gets, in their order
    most        who go together
    at_once     how many such parties are under way; who comes meanwhile goes with the next
    together    of those who wait, the places of those who can go together, the first among them
    expected    how many are known to be on their way here, those who wait counted; who says more
                than come calls `fewer` when that has changed
    """

    def __init__(
        self,
        go: Callable[[list[_One]], Awaitable[Sequence[_Found]]],
        *,
        most: int,
        at_once: int,
        together: Callable[[Sequence[_One]], Sequence[int]] = everyone,
        expected: Callable[[], int] = lambda: 0,
    ) -> None:
        self._go = go
        self._most = most
        self._at_once = at_once
        self._together = together
        self._expected = expected
        self._waiting: list[tuple[_One, asyncio.Future[_Found]]] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._gathering = False
        self._late: asyncio.TimerHandle | None = None

    def ask(self, one: _One) -> asyncio.Future[_Found]:
        """
        What this one gets.

        raises      what `go` raises for it, asked alone if others went with it
        """
        found: asyncio.Future[_Found] = asyncio.get_running_loop().create_future()
        self._waiting.append((one, found))
        self._begin()
        return found

    def fewer(self) -> None:
        """Somebody who was expected does not come."""
        self._begin()

    def _begin(self) -> None:
        if self._waiting and not self._gathering and len(self._under_way) < self._at_once:
            self._gathering = True
            self._gather(0, 0)

    def _gather(self, came: int, quiet: int) -> None:
        """
        Wait for those who are about to ask: for as long as turns of the loop bring somebody.

        came        how many there were a turn ago
        quiet       turns that have brought nobody
        """
        waiting = len(self._waiting)
        quiet = quiet + 1 if waiting == came else 0
        loop = asyncio.get_running_loop()
        if quiet < _QUIET_TURNS and waiting < self._most:
            loop.call_soon(self._gather, waiting, quiet)
            return
        self._gathering = False
        if waiting < min(self._expected(), self._most):
            if self._late is None:
                self._late = loop.call_later(_PATIENCE_SECONDS, self._leave)
            return  # whoever comes next, or the clock, goes on
        self._leave()

    def _leave(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
        if not self._waiting or len(self._under_way) >= self._at_once:
            return
        task = asyncio.get_running_loop().create_task(self._ask(self._party()))
        self._under_way.add(task)
        task.add_done_callback(self._back)
        self._begin()

    def _back(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._begin()

    def _party(self) -> list[tuple[_One, asyncio.Future[_Found]]]:
        going = self._together([one for one, _ in self._waiting])[: self._most]
        party = [self._waiting[place] for place in going]
        if len(party) == len(self._waiting):
            self._waiting = []
        else:
            stay = {*range(len(self._waiting))} - {*going}
            self._waiting = [self._waiting[place] for place in sorted(stay)]
        return party

    async def _ask(self, party: list[tuple[_One, asyncio.Future[_Found]]]) -> None:
        try:
            found = await self._go([one for one, _ in party])
        except Exception as error:  # noqa: BLE001 — it is theirs who asked, and goes there
            if len(party) > 1 and not isinstance(error, Unavailable):
                for one in party:  # one of them may be at fault: each alone
                    await self._ask([one])
                return
            for _, future in party:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), each in zip(party, found, strict=True):
            if not future.done():
                future.set_result(each)
