"""Plans that are committed at the same moment: one transaction, and each for itself."""

import asyncio
from datetime import UTC, datetime

from app.domain.loaded import Want
from app.domain.plan import Answer, Plan, Stored, put
from app.errors import Unavailable
from app.storage import connection, resources, search
from app.storage.commits import Commits, Made
from app.storage.database import Overtaken
from app.storage.query import Reader

SHELF = "agency/support"
NOW = datetime(2026, 1, 5, 10, tzinfo=UTC)
AT = "2026-01-05T10:00:00.000Z"


class Counting:
    """A database that counts its transactions, and can be away."""

    def __init__(self, database):
        self.database = database
        self.writes = 0
        self.away = False

    async def write(self, work, *, shelves):
        self.writes += 1
        await asyncio.sleep(0.01)
        if self.away:
            raise Unavailable("It is away.")
        return await self.database.write(work, shelves=shelves)


class Room:
    """Commits on a database, and what stands there."""

    def __init__(self, database, parameters):
        self.database = Counting(database)
        self.commits = Commits(self.database)
        self.reader = Reader(parameters, "http://127.0.0.1", NOW)

    async def stored(self, name):
        """As a planner sees it."""
        want = Want("resource", SHELF, name)
        load = resources.load
        read = self.database.database.read
        return (await read(lambda tx: load(tx, [want], self.reader), shelves=(SHELF,)))[want]

    async def commit(self, word, stored=None, name="t"):
        """A Task that says a word, in place of what was stored."""
        task = {"resourceType": "Task", "id": name, "status": "draft", "intent": "order"}
        task["identifier"] = [{"system": "http://x", "value": word}]
        plan = Plan(Answer((f"Task/{name}",)), put(task, stored, shelf=SHELF, now=NOW))
        seen = {Want("resource", SHELF, f"Task/{name}"): stored}
        return await self.commits.commit(Made(plan, self.reader, seen, AT, NOW.timestamp()))

    async def found(self, word):
        """The names of those that a search for the word finds."""
        condition = self.reader.condition(f"Task?identifier=http://x|{word}")
        look = self.database.database.read
        return await look(lambda tx: search.names(tx, SHELF, condition, most=9), shelves=(SHELF,))


def run(url, parameters, work):
    async def opened():
        database = connection.connect(url, connections=4)
        try:
            return await work(Room(database, parameters))
        finally:
            await database.close()

    return asyncio.run(opened())


def test_many_at_once_are_few_transactions_and_each_stands(url, parameters):
    """Thirty who write at once are not thirty commits."""

    async def work(room):
        stands = await asyncio.gather(*(room.commit(f"w{n}", name=f"t{n}") for n in range(30)))
        return stands, [await room.stored(f"Task/t{n}") for n in range(30)], room.database.writes

    stands, stored, writes = run(url, parameters, work)

    assert all(one.version == 1 and one.updated == AT for one in stored)
    assert all(stand[SHELF, f"Task/t{n}"].version == 1 for n, stand in enumerate(stands))
    assert writes <= 2


def test_of_many_at_once_the_overtaken_one_alone_is_refused(url, parameters):
    """Who was overtaken hears of it, and nobody else does."""

    async def work(room):
        await room.commit("first")
        stored = await room.stored("Task/t")
        await room.commit("second", stored)
        late = [room.commit(f"w{n}", name=f"t{n}") for n in range(9)]
        late.insert(4, room.commit("late", stored))
        return await asyncio.gather(*late, return_exceptions=True), await room.stored("Task/t"), [
            await room.found(word) for word in ("first", "second", "late")
        ]  # fmt: skip

    done, stored, found = run(url, parameters, work)

    assert [number for number, one in enumerate(done) if isinstance(one, Overtaken)] == [4]
    assert not any(isinstance(one, Exception) for one in (*done[:4], *done[5:]))
    assert stored.version == 2
    assert found == [[], ["Task/t"], []]


def test_of_two_updates_of_one_resource_at_once_one_is_overtaken(url, parameters):
    """No update is lost unseen."""

    async def work(room):
        await room.commit("first")
        stored = await room.stored("Task/t")
        both = (room.commit("one", stored), room.commit("other", stored))
        done = await asyncio.gather(*both, return_exceptions=True)
        return done, await room.stored("Task/t"), await room.found("one")

    done, stored, found = run(url, parameters, work)

    assert isinstance(done[1], Overtaken)
    assert not isinstance(done[0], Exception)
    assert stored.version == 2
    assert found == ["Task/t"]


def test_what_a_reindex_changed_is_read_again(url, parameters):
    """Facts that are another's leave nothing behind in the index: the plan is made anew."""

    async def work(room):
        await room.commit("first")
        stored = await room.stored("Task/t")
        other = Stored(stored.resource, stored.version, "", stored.updated, stored.facts + "x")
        return await asyncio.gather(room.commit("next", other), return_exceptions=True)

    (done,) = run(url, parameters, work)

    assert isinstance(done, Overtaken)


def test_a_database_that_is_away_is_told_to_all_at_once(url, parameters):
    """Nobody waits for each of the others to be refused."""

    async def work(room):
        room.database.away = True
        some = (room.commit(f"w{n}", name=f"t{n}") for n in range(9))
        return await asyncio.gather(*some, return_exceptions=True), room.database.writes

    done, writes = run(url, parameters, work)

    assert all(isinstance(one, Unavailable) for one in done)
    assert writes <= 2
