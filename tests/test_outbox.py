"""What is owed to a partner that does not answer stands in nobody else's way."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from app import settings
from app.domain.change import Caller, Change, Entry
from app.domain.plan import Owed
from app.flows import write
from app.flows.deliver import Worker
from app.main import open_service
from app.partners import Partners, Reply
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
        room = {"now": NOW, "each": 2}
        return [await outbox.rest(tx, **room, busy=Counter(busy)) for busy in ({}, {DEAD: 2})]

    assert run(url, work) == [-100, 50]


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
        if self.other:
            other, self.other = self.other, None
            await other(self.tx)
        return found


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


@pytest.mark.parametrize("ahead", [3600, -3600])
def test_whatever_its_clock_says_none_takes_what_another_has_begun(url, ahead):
    """Two processes whose clocks differ by an hour: a lease is by the clock of the database."""
    claim = {"lease_seconds": 30.0, "most": 16, "each": 2, "busy": Counter()}

    async def work(tx):
        for order in ("e", "f"):
            await outbox.owe(tx, Owed(OTHER, order, {"Task/t": 1}), now=NOW - 5000)
        await outbox.claim(tx, now=NOW, **{**claim, "most": 1})
        rest = await outbox.rest(tx, now=NOW + ahead, each=2, busy=Counter({OTHER: 1}))
        return rest, await outbox.claim(tx, now=NOW + ahead, **claim)

    rest, found = run(url, work)

    assert rest == -5000 - ahead
    assert [one.order for one in found] == ["f"]


def test_a_lease_that_ran_out_is_anothers(url):
    """A process that was stopped for a minute with a push under way writes nothing over who made it since."""
    claim = {"now": NOW, "most": 1, "each": 2, "busy": Counter()}
    told = {"at": NOW, "status": 0, "codes": ""}

    async def work(tx):
        await outbox.owe(tx, Owed(OTHER, "e", {"Task/t": 1}), now=NOW)
        (stopped,) = await outbox.claim(tx, **claim, lease_seconds=0.0)
        (other,) = await outbox.claim(tx, **claim, lease_seconds=30.0)
        late = [await outbox.settle(tx, stopped, state="failed", next_due=NOW, **told)]
        await outbox.later(tx, stopped, next_due=NOW)
        assert await outbox.claim(tx, **claim, lease_seconds=30.0) == []
        return [*late, await outbox.settle(tx, other, state="delivered", next_due=NOW, **told)]

    assert run(url, work) == [False, True]


def test_a_lease_from_before_the_clock_was_set_back_is_none(url):
    """The database's clock was a year ahead; its leases would end in a year."""
    claim = {"now": NOW, "most": 1, "each": 2, "busy": Counter()}

    async def work(tx):
        await outbox.owe(tx, Owed(OTHER, "e", {"Task/t": 1}), now=NOW)
        (ahead,) = await outbox.claim(tx, **claim, lease_seconds=365 * 86400.0)
        (found,) = await outbox.claim(tx, **claim, lease_seconds=30.0)
        return ahead.leased_until - found.leased_until

    assert run(url, work) == pytest.approx(365 * 86400 - 30, abs=20)


def test_what_the_dead_had_leased_is_freed_where_it_is_known_that_they_are_dead(url):
    """By who has the file; on PostgreSQL, who has lost its connections may live and push."""
    claim = {"now": NOW, "lease_seconds": 30.0, "most": 16, "each": 16, "busy": Counter()}

    async def story():
        first, second = (connection.connect(url, connections=2) for _ in range(2))
        await first.write(
            lambda tx: outbox.owe(tx, Owed(OTHER, "e", {"Task/t": 1}), now=NOW), shelves=QUEUE
        )
        await first.write(lambda tx: outbox.claim(tx, **claim), shelves=QUEUE)
        may = [await one.may_deliver(outbox.release) for one in (first, second)]
        found = await first.write(lambda tx: outbox.claim(tx, **claim), shelves=QUEUE)
        for one in (first, second):
            await one.close()
        return may, [one.order for one in found]

    sole = ([True, False], ["e"])
    assert asyncio.run(story()) == (sole if url.startswith("sqlite") else ([True, True], []))


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


async def owing(url, partners, **more):
    """A service that owes an agency one push."""
    read = settings.read(
        database_url=url, retry_first_seconds=0.01, retry_longest_seconds=0.02,
        tenants=[{"id": "agency", "name": "A", "shelves": [
            {"id": "intake", "kind": "cps-report", "role": "recipient",
             "endpoint": {"url": "https://agency.example.org"}}]}],
    )  # fmt: skip
    service = await open_service(read, partners=partners, **more)
    task = {"resourceType": "Task", "id": "t", "status": "requested", "intent": "order"}
    shelf = service.settings.shelves["agency/intake"]
    entry = Entry("PUT", task, "t")
    change = Change(shelf, Caller("a"), "update", (entry,), base="http://x", nonce="n")
    await write.write(service, change)
    owed = Owed(shelf.key, "e", {"Task/t": 1})
    now = service.clock().timestamp()
    await service.database.write(lambda tx: outbox.owe(tx, owed, now=now), shelves=QUEUE)
    return service


def test_a_push_ends_before_another_may_begin_it(url, definitions, parameters):
    """A token endpoint that hangs, and the server behind it: of one push there are never two at once."""
    partners, worker = Hanging(), Worker(lease_seconds=1.0)

    async def story():
        service = await owing(url, partners, definitions=definitions, parameters=parameters)
        running = asyncio.create_task(worker.run(service))
        for _ in range(3):
            await partners.begun.acquire()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await service.database.close()

    asyncio.run(asyncio.wait_for(story(), 30))

    assert partners.most == 1


class SetBack(Partners):
    """A partner that cannot be reached, while our clock is set back, and forth, and back once more."""

    def __init__(self, worker):
        super().__init__()
        self.worker, self.at, self.begun = worker, datetime.now(UTC), asyncio.Semaphore(0)

    def clock(self):
        self.at += timedelta(milliseconds=1)
        return self.at

    def chance(self):
        """Asked for when the next try is reckoned, by the clock of then."""
        self.at -= timedelta(minutes=30)
        return 0.5

    async def transaction(self, *_, **__):
        self.begun.release()
        self.at -= timedelta(minutes=30)
        self.worker.awake.set()
        await asyncio.sleep(0.3)
        self.at += timedelta(minutes=30)
        return Reply(0)


def test_a_push_that_ends_as_the_clock_is_set_back_is_tried_again(url, definitions, parameters):
    """What it writes down is by the clock of before: the next try would be in half an hour."""
    worker = Worker()
    partners = SetBack(worker)

    async def story():
        service = await owing(
            url, partners, definitions=definitions, parameters=parameters,
            clock=partners.clock, chance=partners.chance,
        )  # fmt: skip
        running = asyncio.create_task(worker.run(service))
        for _ in range(2):
            await partners.begun.acquire()
        worker.stop()
        await running
        await service.database.close()

    asyncio.run(asyncio.wait_for(story(), 20))
