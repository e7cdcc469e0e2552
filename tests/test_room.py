"""Room for what is large: by turns, not longer than somebody waits, and given back whatever happens."""

import asyncio
import gzip
import random
from types import SimpleNamespace

import pytest
from starlette.requests import Request

from app.api import body
from app.api.pieces import Pieces
from app.errors import TooLarge, TooSlow, Unavailable
from app.flows import room
from app.flows.room import FREE, Moving, Room, Rooms

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


def bodies(here, *sizes):
    """Bodies of these sizes that have begun to arrive."""
    made = [Moving(asyncio.timeout(None), size) for size in sizes]
    for one in made:
        here.begin(one)
    return made


async def arrive(here, body, size, *, step=FREE):
    """So much more of a body, step by step; all of it is over when it is whole."""
    for _ in range(size // step):
        await here.more(body, step)
        await asyncio.sleep(0)
    if body.has == body.most:
        here.end(body)
        here.leave(body.has)


def test_who_has_sent_little_keeps_little_room():
    """A slow sender of a large body does not keep the room that it will need."""

    async def use():
        here = Room(WHOLE, patience_seconds=0.05)
        slow, quick = bodies(here, 6 * FREE, 6 * FREE)
        await arrive(here, slow, FREE)
        await arrive(here, quick, 6 * FREE)
        assert here.taken == FREE

    asyncio.run(use())


def test_all_that_has_begun_to_arrive_comes_to_its_end():
    """However they take turns: none waits for what another will never give."""

    async def use(chance):
        here = Room(WHOLE, patience_seconds=5)
        sizes = [chance.randint(1, 10) * FREE for _ in range(8)]

        async def one(body):
            while body.has < body.most:
                await here.more(body, FREE)
                for _ in range(chance.randint(0, 5)):
                    await asyncio.sleep(0)
                assert here.taken <= WHOLE
            here.end(body)
            here.leave(body.has)

        await asyncio.gather(*map(one, bodies(here, *sizes)))
        assert here.taken == 0

    for seed in range(50):
        asyncio.run(use(random.Random(seed)))


def test_a_body_that_waits_in_vain_leaves_what_it_had():
    """It is told to come again, and those behind it go on."""

    async def use():
        here = Room(WHOLE, patience_seconds=0.05)
        slow, late = bodies(here, WHOLE, WHOLE)
        await arrive(here, slow, HALF + FREE)
        with pytest.raises(Unavailable):
            await arrive(here, late, WHOLE)
        had = late.has
        assert (had, here.taken) == (0, HALF + FREE)
        here.end(late)
        await arrive(here, slow, HALF - FREE)
        assert here.taken == 0

    asyncio.run(use())


def test_who_does_next_to_nothing_gives_its_room_to_who_waits():
    """It is broken off; who moves is not, nor anybody while nobody waits."""

    async def use():
        here = Room(WHOLE, patience_seconds=2, look_seconds=0.1)
        await here.enter(WHOLE)
        ended = []

        async def moves(size, pause_seconds):
            try:
                async with asyncio.timeout(10) as limit:
                    one = Moving(limit)
                    here.begin(one)
                    while True:
                        await asyncio.sleep(pause_seconds)
                        one.moved += size
            except TimeoutError:
                ended.append(size)
                here.leave(WHOLE)
            finally:
                here.end(one)

        tasks = [asyncio.create_task(moves(*each)) for each in ((100, 0.01), (10**6, 0.01))]
        await asyncio.sleep(0.4)
        assert ended == []
        await here.enter(HALF)
        assert ended == [100]
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

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
STEP = 16 * FREE
LONG = b"x" * (3 * FREE)
PACKED = gzip.compress(LONG)


@pytest.mark.parametrize(
    ("parts", "headers", "way"),
    [
        ([LONG[:FREE]], {"content_length": FREE}, 0),
        ([LONG], {"content_length": len(LONG)}, len(LONG)),
        ([LONG[:FREE], LONG[FREE:]], {"content_length": len(LONG)}, len(LONG)),
        ([LONG[:10]] * 3, {}, 0),
        ([LONG[:FREE], LONG[FREE:]], {}, STEP),
        ([PACKED], {"content_length": len(PACKED), "content_encoding": "gzip"}, STEP),
        ([gzip.compress(b"{}")], {"content_length": 22, "content_encoding": "gzip"}, 0),
    ],
)
def test_a_body_takes_as_much_room_as_it_is_large(parts, headers, way):
    """What it says it will be, or step by step where it does not say; packed or not."""

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
