"""Room in memory for what is large: who comes late waits, and past a time is told to come again."""

from __future__ import annotations

import asyncio
import math
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from app.errors import Unavailable
from app.flows.collector import Collector, hand_back

FREE: Final = 2**16  # bytes; what is smaller asks for no room, and never waits
_STEP: Final = 2**20  # bytes that a body gets at a time
_HANDED_BACK: Final = 2**23  # bytes of work; what is smaller leaves no hole to speak of
_PATIENCE_SECONDS: Final = 20.0
_LOOK_SECONDS: Final = (
    4.0  # between two looks at how fast others are; a network may stop for a second
)
_PACE: Final = 2**15  # bytes a second: who does next to nothing keeps no room
_TEXT: Final = "Others are sending or asking for much at this moment; try again in a while."


class Moving:
    """
    What is on its way in or out.

    limit       its time, which ends at once for who is too slow
    most        bytes of room that it may ask for, bit by bit
    has         bytes of room that it got so
    moved       bytes that have come or gone
    seen        the same at the last look
    waits       for room, and not for its network
    """

    __slots__ = ("has", "limit", "most", "moved", "seen", "waits")

    def __init__(self, limit: asyncio.Timeout, most: int = 0) -> None:
        self.limit = limit
        self.most = most
        self.has = 0
        self.moved = 0
        self.seen: int | None = None
        self.waits = False

    def add(self, size: int) -> None:
        """So many bytes more have come or gone."""
        self.moved += size

    def lacks(self, size: int) -> int:
        """Bytes that it may still ask for, of a room of this size."""
        return max(min(self.most, size) - self.has, 0)


@dataclass(eq=False, slots=True)
class _Turn:
    """Who waits: for how much, by which body if it is in the room already."""

    size: int
    body: Moving | None
    came: asyncio.Future[None]


class Room:
    """
    So many bytes at the same time, by turns in the order in which they were asked for.

    A body comes bit by bit and gets its room so; never so that of those that have begun none could
    come to its end: https://en.wikipedia.org/wiki/Banker%27s_algorithm.

    size        what is larger by itself is alone there
    """

    def __init__(
        self,
        size: int,
        *,
        patience_seconds: float = _PATIENCE_SECONDS,
        look_seconds: float = _LOOK_SECONDS,
    ) -> None:
        self.size = size
        self.taken = 0
        self._patience_seconds = patience_seconds
        self._look_seconds = look_seconds
        self._looked = -math.inf
        self._waiting: list[_Turn] = []
        self._moving: set[Moving] = set()

    async def enter(self, size: int) -> None:
        """Raises Unavailable: there was no room in time."""
        if self.fits(size):
            self.taken += size
        else:
            await self._turn(size, None)

    async def more(self, body: Moving, size: int) -> None:
        """
        More room for a body that is arriving.

        raises      Unavailable: there was none in time
        """
        if (body.has or not self._waiting) and self._may(size, body):
            self._give(size, body)
            return
        body.waits = True
        try:
            await self._turn(size, body)
        finally:
            body.waits = False

    def begin(self, moving: Moving) -> None:
        """It is on its way, and whoever waits looks at how fast."""
        self._moving.add(moving)

    def end(self, moving: Moving) -> None:
        """It is there, or broken off; the room that it has is left by itself."""
        self._moving.discard(moving)
        self._let_in()

    def fits(self, size: int) -> bool:
        """Whether who asks for so much need not wait."""
        return not self._waiting and self._may(size, None)

    def leave(self, size: int) -> None:
        self.taken -= size
        self._let_in()

    async def _turn(self, size: int, body: Moving | None) -> None:
        turn = _Turn(size, body, asyncio.get_running_loop().create_future())
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._patience_seconds):
                while not turn.came.done():
                    self._look()
                    await asyncio.wait([turn.came], timeout=self._look_seconds)
        except BaseException as error:
            if turn.came.done():
                if body is not None:
                    body.has -= size
                self.leave(size)  # its turn came at the same moment
            else:
                self._waiting.remove(turn)
                self._let_in()
            if isinstance(error, TimeoutError):
                raise Unavailable(_TEXT) from None
            raise

    def _look(self) -> None:
        """Break off what has hardly moved since the last look, while somebody waits for its room."""
        now = asyncio.get_running_loop().time()
        seconds = now - self._looked
        if seconds < self._look_seconds:
            return
        self._looked = now
        fresh = seconds < 2 * self._look_seconds
        for one in self._moving:
            slow = one.seen is not None and one.moved - one.seen < seconds * _PACE
            if fresh and slow and not one.waits and not one.limit.expired():
                one.limit.reschedule(now)
            one.seen = one.moved

    def _may(self, size: int, body: Moving | None) -> bool:
        """Whether so much may be given, to this body or to what ends by itself."""
        if body is not None and body.has + size > self.size:
            return self.taken == body.has
        if self.taken and self.taken + size > self.size:
            return False
        if body is None:
            return True
        stand = [(one.lacks(self.size), one.has) for one in self._moving if one is not body]
        stand.append((body.lacks(self.size) - size, body.has + size))
        free = self.size - sum(has for _, has in stand)
        for lacks, has in sorted(stand):
            if lacks > free:
                return False
            free += has
        return True

    def _give(self, size: int, body: Moving | None) -> None:
        self.taken += size
        if body is not None:
            body.has += size

    def _let_in(self) -> None:
        """Those who wait, in their order; a body that has begun goes past who has not."""
        waiting, self._waiting = self._waiting, []
        shut = False
        for turn in waiting:
            begun = turn.body is not None and turn.body.has > 0
            if (begun or not shut) and self._may(turn.size, turn.body):
                self._give(turn.size, turn.body)
                turn.came.set_result(None)
            else:
                shut = shut or not begun
                self._waiting.append(turn)


@dataclass(slots=True)
class Rooms:
    """
    The two rooms of a process; docs/decisions/0050.

    way         what is on its way in or out, for as long as its network takes
    work        what is taken apart, planned and stored, some times as large as it came
    first_seconds, bytes_a_second   how slow a way may be while nobody waits for its room
    collector   rests while somebody works
    """

    way: Room = field(default_factory=lambda: Room(20 * 2**20))
    work: Room = field(default_factory=lambda: Room(64 * 2**20))
    first_seconds: float = 60.0
    bytes_a_second: int = _PACE
    collector: Collector = field(default_factory=Collector)

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
        self.taken(room, size)

    def taken(self, room: Room, size: int) -> None:
        self._taken.append((room, size))
        if room is self._rooms.work:
            self._rooms.collector.rest()

    def worked(self) -> None:
        self._leave(self._rooms.work)

    def end(self) -> None:
        self._leave(self._rooms.work, self._rooms.way)

    def _leave(self, *rooms: Room) -> None:
        taken, self._taken = self._taken, []
        for room, size in taken:
            if room in rooms:
                room.leave(size)
                if room is self._rooms.work:
                    self._rooms.collector.go_on()
                    if size >= _HANDED_BACK:
                        hand_back()
            else:
                self._taken.append((room, size))


_HELD: Final[ContextVar[_Held | None]] = ContextVar("held", default=None)


async def take(rooms: Rooms, room: Room, size: int) -> None:
    """
    Room for the request at hand, until it has ended; little is free.

    raises      Unavailable: there was none in time
    """
    if size > FREE:
        await _held(rooms).take(room, size)


async def hold(rooms: Rooms, body: Moving, size: int) -> None:
    """
    Room for so much of a body that is arriving, until the request at hand has ended.

    raises      Unavailable: as take
    """
    wanted = min(-(-size // _STEP) * _STEP, body.most) - body.has
    if size > FREE and wanted > 0:
        await rooms.way.more(body, wanted)
        _held(rooms).taken(rooms.way, wanted)


def _held(rooms: Rooms) -> _Held:
    held = _HELD.get()
    if held is None:
        held = _Held(rooms)
        _HELD.set(held)
    return held


def worked() -> None:
    """The request at hand has its answer, which has still to leave."""
    if (held := _HELD.get()) is not None:
        held.worked()


def end() -> None:
    """The request at hand is over."""
    if (held := _HELD.get()) is not None:
        held.end()
        _HELD.set(None)
