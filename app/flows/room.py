"""Room in memory for what is large: who comes late waits, and past a time is told to come again."""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from app.errors import Unavailable

FREE: Final = 2**16  # bytes; what is smaller asks for no room, and never waits
_PATIENCE_SECONDS: Final = 20.0
_TEXT: Final = "Others are sending or asking for much at this moment; try again in a while."


class Room:
    """
    So many bytes at the same time, by turns in the order in which they were asked for.

    size        what is larger by itself is alone there
    """

    def __init__(self, size: int, *, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self.size = size
        self.taken = 0
        self._patience_seconds = patience_seconds
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def enter(self, size: int) -> None:
        """Raises Unavailable: there was no room in time."""
        if self.fits(size):
            self.taken += size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            async with asyncio.timeout(self._patience_seconds):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.leave(size)  # its turn came at the same moment
            else:
                turn.cancel()
                self.leave(0)
            if isinstance(error, TimeoutError):
                raise Unavailable(_TEXT) from None
            raise

    def fits(self, size: int) -> bool:
        """Whether who asks for so much need not wait."""
        return not self._waiting and (not self.taken or self.taken + size <= self.size)

    def leave(self, size: int) -> None:
        self.taken -= size
        while self._waiting:
            size, turn = self._waiting[0]
            if not turn.cancelled():
                if self.taken and self.taken + size > self.size:
                    return
                self.taken += size
                turn.set_result(None)
            self._waiting.popleft()


@dataclass(slots=True)
class Rooms:
    """
    The two rooms of a process; docs/decisions/0050.

    way         what is on its way in or out, for as long as its network takes
    work        what is taken apart, planned and stored, some times as large as it came
    first_seconds, bytes_a_second   how slow a way may be; who does next to nothing keeps no room
    """

    way: Room = field(default_factory=lambda: Room(32 * 2**20))
    work: Room = field(default_factory=lambda: Room(64 * 2**20))
    first_seconds: float = 60.0
    bytes_a_second: int = 2**15

    def seconds(self, size: int) -> float:
        """How long so much may be on its way."""
        return self.first_seconds + size / self.bytes_a_second


class _Held:
    """What one request has taken."""

    __slots__ = ("_rooms", "_taken")

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._taken: list[tuple[Room, int]] = []

    async def take(self, room: Room, size: int) -> None:
        """
        So much more. Who has room is not kept waiting for more of it, nor who works for the way
        out: two who have and wait would wait for each other.
        """
        if any(one in (room, self._rooms.work) for one, _ in self._taken):
            room.taken += size
        else:
            await room.enter(size)
        self._taken.append((room, size))

    def worked(self) -> None:
        self._leave(self._rooms.work)

    def end(self) -> None:
        self._leave(self._rooms.work, self._rooms.way)

    def _leave(self, *rooms: Room) -> None:
        taken, self._taken = self._taken, []
        for room, size in taken:
            if room in rooms:
                room.leave(size)
            else:
                self._taken.append((room, size))


_HELD: Final[ContextVar[_Held | None]] = ContextVar("held", default=None)


async def take(rooms: Rooms, room: Room, size: int) -> None:
    """
    Room for the request at hand, until it has ended; little is free.

    raises      Unavailable: there was none in time
    """
    if size <= FREE:
        return
    held = _HELD.get()
    if held is None:
        held = _Held(rooms)
        _HELD.set(held)
    await held.take(room, size)


def worked() -> None:
    """The request at hand has its answer, which has still to leave."""
    if (held := _HELD.get()) is not None:
        held.worked()


def end() -> None:
    """The request at hand is over."""
    if (held := _HELD.get()) is not None:
        held.end()
        _HELD.set(None)
