"""When something came to a shelf: who asks again since it asked last misses nothing; 0080."""

import asyncio
from datetime import UTC, datetime, timedelta

import loaded
import pytest

from app import fhir, main, settings
from app.domain.change import Caller, Change, Entry
from app.flows import read, search, write
from app.storage import puts, resources
from app.storage.history import FIRST, Asked

BASE = "http://x"
CALLER = Caller("ehr")
WRITERS, EACH = 8, 12
LARGE = "x" * 300_000  # is planned and written apart from the others


class Process:
    """One service on a database, with a clock of its own."""

    def __init__(self, service):
        self.service = service
        self.shelf = service.settings.shelves["clinic/chart"]

    async def put(self, identity, *, long=False, **more):
        resource = {"resourceType": "Patient", "id": identity, **more}
        return await self._write(Entry("PUT", resource, identity), "update", long=long)

    async def create(self, number):
        """Only where nobody has created it."""
        resource = {"resourceType": "Patient", "identifier": [{"system": "urn:n", "value": number}]}
        entry = Entry("POST", resource, if_none_exist=f"Patient?identifier=urn:n|{number}")
        return await self._write(entry, "create")

    async def _write(self, entry, act, *, long=False):
        nonce = f"{id(self)}{id(entry)}{entry}"
        change = Change(self.shelf, CALLER, act, (entry,), base=BASE, nonce=nonce, long=long)
        written = await write.write(self.service, change)
        (name,) = written.answer.names
        return name, written.rows[name]

    async def since(self, moment):
        """Type/id and version of what came after a moment, and the moment to ask with next."""
        pairs = [("_lastUpdated", f"gt{moment}"), ("_count", "1000")]
        asked = search.Asked("Patient", pairs, BASE)
        result = await search.search_of(self.service, self.shelf, CALLER, asked)
        found = {(f"Patient/{one.id}", one.version) for one in result.page.found}
        return found, result.asked_at


def running(url, story, clocks):
    async def opened():
        read_in = settings.read(database_url=url)
        stand_ins = loaded.stand_ins
        services = [await main.open_service(read_in, clock=one, **stand_ins()) for one in clocks]
        try:
            await story(*map(Process, services))
        finally:
            for one in services:
                await one.database.close()

    asyncio.run(opened())


def now():
    return datetime.now(UTC)


def behind(**by):
    """A clock that is behind ours."""
    return lambda: now() - timedelta(**by)


@pytest.mark.parametrize(
    "clocks", [[now], [now, behind(seconds=2)]], ids=["one", "two that differ"]
)
def test_who_asks_again_and_again_is_told_of_all_that_came(url, clocks):
    """Plain and conditional writes, small and large, by several at once; each is found by some look."""
    told = set()

    async def story(*processes):
        reader, done = processes[0], asyncio.Event()

        async def writer(number):
            process, names = processes[number % len(processes)], []
            for each in range(EACH):
                if each % 3 == 0:
                    names.append(await process.create(f"{number}-{each}"))
                elif each % 3 == 1:
                    names.append(await process.put(f"p{number}", language=f"x-{each}"))
                else:
                    text = {"status": "generated", "div": f"<div>{LARGE}{each}</div>"}
                    names.append(await process.put(f"l{number}", long=True, text=text))
            return names

        async def asking():
            moment = "2026-01-01T00:00:00.000Z"
            while True:
                last = done.is_set()
                found, moment = await reader.since(moment)
                told.update(found)
                if last:
                    return
                await asyncio.sleep(0)

        asks = asyncio.create_task(asking())
        written = await asyncio.gather(*(writer(number) for number in range(WRITERS)))
        done.set()
        await asks
        last = {}
        for name, row in (one for names in written for one in names):
            last[name] = max(last.get(name, 0), row.version)
        assert set(last.items()) <= told

    running(url, story, clocks)


def test_a_clock_that_was_set_back(url):
    """What is written then is later than all that stands, its versions in their order."""

    async def story(before, after):
        _, first = await before.put("rosa", gender="female")
        _, moment = await before.since("2020-01-01T00:00:00Z")
        _, second = await after.put("rosa", gender="male")
        _, other = await after.create("17")

        found, _ = await after.since(moment)

        assert {version for _, version in found} == {1, 2}
        assert len(found) == 2
        assert first.updated == moment < second.updated < other.updated
        assert fhir.read(second.body)["meta"]["lastUpdated"] == second.updated
        past = await read.past(
            after.service, after.shelf, CALLER, asked=Asked({"type": "Patient", "id": "rosa"}),
            turn=FIRST, most=10,
        )  # fmt: skip
        assert [one.version for one in past.page] == [2, 1]
        assert past.asked_at == other.updated

    running(url, story, [now, behind(days=400)])


def test_what_is_large_has_the_time_at_which_it_came(url):
    """In its row, in its body, and in what leads to it."""

    async def story(process):
        said = {"active": True, "managingOrganization": {"reference": "Organization/north"}}
        text = {"status": "generated", "div": f'<div>"lastUpdated":"{LARGE}</div>'}
        await asyncio.gather(
            process.put("large", long=True, text=text, **said),
            *(process.put(f"p{number}") for number in range(20)),
        )

        pairs = [("organization", "Organization/north"), ("_sort", "-_lastUpdated")]
        asked = search.Asked("Patient", pairs, BASE)
        result = await search.search_of(process.service, process.shelf, CALLER, asked)

        (found,) = result.page.found
        stands = fhir.read(found.body)
        assert stands["meta"]["lastUpdated"] == found.updated
        assert stands["text"] == text

    running(url, story, [now])


def test_nothing_but_its_time_changes_in_what_is_made():
    """Whatever the time was with which its rows were made."""
    old, new = "2026-01-01T00:00:00.000Z", "2026-02-02T00:00:00.001Z"
    body = b'{"resourceType":"Patient","id":"a","meta":{"lastUpdated":"%b"},"x":"%b"}'
    stands = resources.Version(body % (old.encode(), old.encode()), 1, old, "PUT")
    made = puts.Rows({("a/b", "Patient/a"): stands}, [], [])

    puts.stamp(made, {"a/b": new})

    assert made.stand["a/b", "Patient/a"].body == body % (new.encode(), old.encode())


def test_a_start_with_a_clock_that_is_behind_is_said(url, monkeypatch):
    """An operator can set it right; until then times go on from what stands."""
    said = []
    monkeypatch.setattr("app.main._log.warning", lambda text, **_: said.append(text))

    async def start(moment):
        said.clear()
        app = await main.build(settings.read(database_url=url), clock=moment)
        async with app.router.lifespan_context(app):
            return any("clock" in one for one in said)

    async def story(process):
        await process.put("rosa")

    running(url, story, [now])

    assert not asyncio.run(start(now))
    assert asyncio.run(start(behind(days=400)))


def test_a_shelf_to_which_nothing_ever_came(url):
    """Who asks it first has a time to ask on with, too."""

    async def story(process):
        found, moment = await process.since("2020")
        await process.put("rosa")

        assert found == set()
        assert (await process.since(moment))[0] == {("Patient/rosa", 1)}

    running(url, story, [now])
