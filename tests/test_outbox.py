"""What is owed to a partner that does not answer stands in nobody else's way."""

import asyncio
from collections import Counter

import pytest

from app import settings
from app.domain.change import Caller, Change, Entry
from app.domain.plan import Owed
from app.flows import write
from app.flows.deliver import Worker
from app.main import open_service
from app.partners import Partners
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


def test_what_was_delivered_is_not_counted(url):
    """There is ever more of it; who looks after the service counts what is owed, and what failed."""

    async def work(tx):
        for number in range(3):
            await outbox.owe(tx, Owed(OTHER, f"e{number}", {"Task/t": 1}), now=NOW)
        claim = {"now": NOW, "lease_seconds": 30.0, "most": 16, "each": 2}
        for due, state in zip(
            await outbox.claim(tx, **claim, busy=Counter()), ("delivered", "failed"), strict=True
        ):
            await outbox.settle(tx, due, state=state, next_due=NOW, at=NOW, status=200, codes="")
        return await outbox.count(tx, "owed"), await outbox.count(tx, "failed")

    assert run(url, work) == (1, 1)


class Overtaken:
    """A transaction in which another worker is quicker, between the look and the lease."""

    def __init__(self, tx, other):
        self.tx, self.other = tx, other

    async def rows(self, *asked, **values):
        found = await self.tx.rows(*asked, **values)
        await self.other(self.tx)
        return found

    async def run(self, *asked, **values):
        return await self.tx.run(*asked, **values)


@pytest.mark.parametrize(
    ("state", "next_due"),
    [("delivered", NOW), ("failed", NOW), ("owed", NOW + 60), ("owed", NOW)],
)
def test_what_another_has_pushed_meanwhile_is_not_pushed_again(url, state, next_due):
    """
    It was due when it was looked for; before it is leased another has delivered it, given it up or put it
    off, be it for a moment: who took it as it was would write the same try down twice, and could not.
    """
    claim = {"now": NOW, "lease_seconds": 30.0, "most": 16, "each": 2, "busy": Counter()}

    async def work(tx):
        await outbox.owe(tx, Owed(OTHER, "e", {"Task/t": 1}), now=NOW - 1)

        async def quicker(tx):
            for due in await outbox.claim(tx, **claim):
                await outbox.settle(
                    tx, due, state=state, next_due=next_due, at=NOW, status=0, codes=""
                )

        return await outbox.claim(Overtaken(tx, quicker), **claim)

    assert run(url, work) == []


def test_who_starts_alone_takes_nothing_from_one_who_starts_after(url):
    """Two processes start at once: what the dead had leased is free, what the other has begun is not."""
    claim = {"lease_seconds": 30.0, "most": 16, "each": 16, "busy": Counter()}

    async def work(tx):
        for order, at in (("clock set back", NOW + 9000), ("dead", NOW - 5), ("alive", NOW + 0.1)):
            await outbox.owe(tx, Owed(OTHER, order, {"Task/t": 1}), now=NOW - 100)
            assert [one.order for one in await outbox.claim(tx, now=at, **claim)] == [order]
        await outbox.release(tx, since=NOW, lease_seconds=30.0)
        return await outbox.claim(tx, now=NOW + 1, **claim)

    assert sorted(one.order for one in run(url, work)) == ["clock set back", "dead"]


class Hanging(Partners):
    """A partner that takes what is sent and says nothing, for whatever reason, for very long."""

    def __init__(self):
        super().__init__()
        self.under_way, self.most, self.begun = 0, 0, asyncio.Semaphore(0)

    async def transaction(self, *_, **__):
        self.begun.release()
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(60)
        finally:
            self.under_way -= 1


def test_a_push_ends_before_another_may_begin_it(url, definitions, parameters):
    """A token endpoint that hangs, and the server behind it: of one push there are never two at once."""
    partners, worker = Hanging(), Worker(lease_seconds=1.0)

    async def story():
        read = settings.read(
            database_url=url, retry_first_seconds=0.01, retry_longest_seconds=0.02,
            tenants=[{"id": "agency", "name": "A", "shelves": [
                {"id": "intake", "kind": "cps-report", "role": "recipient",
                 "endpoint": {"url": "https://agency.example.org"}}]}],
        )  # fmt: skip
        service = await open_service(
            read, partners=partners, definitions=definitions, parameters=parameters
        )
        entry = Entry("PUT", {"resourceType": "Task", "id": "t", "status": "requested", "intent": "order"}, "t")  # fmt: skip
        shelf = service.settings.shelves["agency/intake"]
        change = Change(shelf, Caller("a"), "update", (entry,), base="http://x", nonce="n")
        await write.write(service, change)
        owed = Owed(shelf.key, "e", {"Task/t": 1})
        now = service.clock().timestamp()
        await service.database.write(lambda tx: outbox.owe(tx, owed, now=now), shelves=QUEUE)
        running = asyncio.create_task(worker.run(service))
        for _ in range(3):
            await partners.begun.acquire()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await service.database.close()

    asyncio.run(asyncio.wait_for(story(), 30))

    assert partners.most == 1
