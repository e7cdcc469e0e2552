"""What is owed to a partner that does not answer stands in nobody else's way."""

import asyncio
from collections import Counter

from app.domain.plan import Owed
from app.storage import connection, outbox
from app.storage.database import QUEUE

DEAD, OTHER = "dead/intake", "other/intake"
NOW = 1_000_000.0


def run(url, work):
    async def opened():
        database = connection.connect(url, connections=2)
        try:
            return await database.write(work, shelves=QUEUE)
        finally:
            await database.close()

    return asyncio.run(opened())


def test_a_dead_partner_holds_up_no_other(url):
    """Six hundred older pushes wait for an agency whose server hangs; another agency's report goes now."""

    async def work(tx):
        for number in range(600):
            await outbox.owe(tx, Owed(DEAD, f"e{number}", {"Task/t": 1}), now=NOW - 100)
        await outbox.owe(tx, Owed(OTHER, "e", {"Task/t": 1}), now=NOW)
        claim = {"now": NOW, "lease_seconds": 30.0, "most": 16, "each": 2}
        first = await outbox.claim(tx, **claim, busy=Counter())
        later = await outbox.claim(tx, **claim, busy=Counter({DEAD: 2}))
        return first, later

    first, later = run(url, work)

    assert Counter(one.shelf for one in first) == {DEAD: 2, OTHER: 1}
    assert later == []


def test_who_has_no_room_is_not_looked_for_again_and_again(url):
    """While two pushes hang, the others of that agency are due; the worker rests until one of them ends."""

    async def work(tx):
        for number in range(3):
            await outbox.owe(tx, Owed(DEAD, f"e{number}", {"Task/t": 1}), now=NOW - 100)
        await outbox.owe(tx, Owed(OTHER, "e", {"Task/t": 1}), now=NOW + 50)
        return [await outbox.next_due(tx, each=2, busy=Counter(busy)) for busy in ({}, {DEAD: 2})]

    assert run(url, work) == [NOW - 100, NOW + 50]


def test_what_could_not_be_begun_is_no_try(url):
    """A large push for which there was no room comes again in its time, as if it had never been taken."""

    async def work(tx):
        await outbox.owe(tx, Owed(OTHER, "e", {"Task/t": 1}), now=NOW)
        claim = {"lease_seconds": 30.0, "most": 16, "each": 2, "busy": Counter()}
        (first,) = await outbox.claim(tx, now=NOW, **claim)
        await outbox.later(tx, first, next_due=NOW + 2)
        return [await outbox.claim(tx, now=at, **claim) for at in (NOW + 1, NOW + 3)]

    early, (again,) = run(url, work)

    assert early == []
    assert (again.order, again.attempts) == ("e", 0)
