"""Room for what is large: by turns, not longer than somebody waits, and given back whatever happens."""

import asyncio
import gzip
from types import SimpleNamespace

import pytest
from starlette.requests import Request

from app.api import body
from app.api.pieces import Pieces
from app.errors import TooLarge, TooSlow, Unavailable
from app.flows import room
from app.flows.room import FREE, Room, Rooms

HALF, WHOLE = 5 * FREE, 10 * FREE


def rooms(**more):
    return Rooms(Room(WHOLE, **more), Room(WHOLE, **more))


def test_who_comes_late_waits_and_nobody_overtakes():
    """Two find room; of those who wait the first goes first, though the second would fit."""

    async def use():
        here, order = Room(WHOLE), []

        async def enter(name, size):
            await here.enter(size)
            order.append(name)

        await enter("one", HALF)
        waiting = [asyncio.ensure_future(enter(*each)) for each in (("all", WHOLE), ("two", HALF))]
        await asyncio.sleep(0)
        assert order == ["one"]
        here.leave(HALF)
        await waiting[0]
        assert order == ["one", "all"]
        here.leave(WHOLE)
        await waiting[1]
        assert order == ["one", "all", "two"]
        here.leave(HALF)
        assert here.taken == 0

    asyncio.run(use())


def test_what_is_larger_than_the_room_is_alone_in_it():
    """It is not refused for its size; that is for the door that knows what may come."""

    async def use():
        here = Room(WHOLE)
        await here.enter(3 * WHOLE)
        assert not here.fits(1)
        here.leave(3 * WHOLE)
        assert here.fits(1)

    asyncio.run(use())


def test_who_waits_too_long_is_told_to_come_again():
    """And takes nothing; those behind it go on."""

    async def use():
        here = Room(WHOLE, patience_seconds=0.05)
        await here.enter(HALF)
        late = asyncio.ensure_future(here.enter(WHOLE))
        await asyncio.sleep(0.03)
        behind = asyncio.ensure_future(here.enter(HALF))
        with pytest.raises(Unavailable):
            await late
        await behind
        assert here.taken == WHOLE

    asyncio.run(use())


def test_who_goes_away_while_waiting_takes_nothing():
    """A caller that hangs up, before its turn or in the moment when it comes."""

    async def use():
        here = Room(WHOLE)
        await here.enter(WHOLE)
        gone = [asyncio.ensure_future(here.enter(HALF)) for _ in range(2)]
        await asyncio.sleep(0)
        gone[0].cancel()
        await asyncio.sleep(0)
        here.leave(WHOLE)  # the turn of the second, which is cancelled before it knows
        gone[1].cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        assert here.taken == 0
        assert here.fits(WHOLE)

    asyncio.run(use())


def test_who_has_room_is_not_kept_waiting_for_more():
    """Two who have and wait would wait for each other."""

    async def use():
        both = rooms(patience_seconds=0.05)

        async def request():
            await room.take(both, both.way, WHOLE)
            await room.take(both, both.way, WHOLE)
            await room.take(both, both.work, WHOLE)
            await room.take(both, both.way, WHOLE)
            await asyncio.sleep(0)
            room.worked()
            assert both.work.taken == 0
            room.end()

        for _ in range(3):
            await asyncio.create_task(request())
        assert (both.way.taken, both.work.taken) == (0, 0)

    asyncio.run(use())


def test_what_is_small_asks_for_none():
    """However full it is."""

    async def use():
        both = rooms(patience_seconds=0.05)
        await both.way.enter(WHOLE)
        await room.take(both, both.way, FREE)
        with pytest.raises(Unavailable):
            await room.take(both, both.way, FREE + 1)
        room.end()

    asyncio.run(use())


def request(both, parts, *, pause_seconds=0.0, **headers):
    """A request whose body comes in these parts."""
    left = list(parts)

    async def receive():
        await asyncio.sleep(pause_seconds)
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    named = [(name.encode(), str(value).encode()) for name, value in headers.items()]
    named = [(name.replace(b"_", b"-"), value) for name, value in named]
    app = SimpleNamespace(rooms=both)
    return Request({"type": "http", "method": "GET", "headers": named, "app": app}, receive)


MOST = 20 * FREE
LONG = b"x" * (3 * FREE)
PACKED = gzip.compress(LONG)


@pytest.mark.parametrize(
    ("parts", "headers", "way"),
    [
        ([LONG[:FREE]], {"content_length": FREE}, 0),
        ([LONG], {"content_length": len(LONG)}, len(LONG)),
        ([LONG[:FREE], LONG[FREE:]], {"content_length": len(LONG)}, len(LONG)),
        ([LONG[:10]] * 3, {}, 0),
        ([LONG[:FREE], LONG[FREE:]], {}, MOST),
        ([PACKED], {"content_length": len(PACKED), "content_encoding": "gzip"}, MOST),
        ([gzip.compress(b"{}")], {"content_length": 22, "content_encoding": "gzip"}, 0),
    ],
)
def test_a_body_takes_as_much_room_as_it_is_large(parts, headers, way):
    """What it says it will be, or as much as it may be where it does not say; packed or not."""

    async def use():
        both = rooms()
        whole = b"".join(parts)
        if "content_encoding" in headers:
            whole = gzip.decompress(whole)
        assert await body.content(request(both, parts, **headers), MOST) == whole
        assert both.way.taken == way
        assert both.work.taken == (6 * len(whole) if way else 0)
        room.end()
        assert (both.way.taken, both.work.taken) == (0, 0)

    asyncio.run(use())


def test_a_body_that_comes_too_slowly_is_refused():
    """It keeps no room; one of the same length in time is taken."""

    async def use():
        both = rooms()
        both.first_seconds, both.bytes_a_second = 0.2, 10**9
        parts = [LONG[at : at + 1000] for at in range(0, len(LONG), 1000)]
        headers = {"content_length": len(LONG)}
        with pytest.raises(TooSlow):
            await body.content(request(both, parts, pause_seconds=0.05, **headers), MOST)
        room.end()
        assert await body.content(request(both, parts, **headers), MOST) == LONG
        room.end()
        with pytest.raises(TooLarge):
            await body.content(request(both, parts, **headers), 2 * FREE)
        assert both.way.taken == 0

    asyncio.run(use())


def test_an_answer_that_nobody_takes_is_cut_off():
    """Who reads next to nothing gets no end of it; who reads gets all."""

    async def use(pause_seconds):
        both = rooms()
        both.first_seconds, both.bytes_a_second = 0.2, 10**9
        sent = []

        async def send(message):
            await asyncio.sleep(pause_seconds)
            sent.append(message)

        asked = request(both, [b""])
        await Pieces(asked, [bytes(4 * 2**20)], {})(asked.scope, asked.receive, send)
        return len(sent), sent[-1].get("more_body")

    assert asyncio.run(use(0)) == (2 + 16, False)
    sent, more = asyncio.run(use(0.05))
    assert sent < 10
    assert more is True
