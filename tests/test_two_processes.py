"""Two processes on one database: what one of them wrote last is not taken for what stands; 0070."""

import asyncio
import dataclasses

import loaded
import pytest

from app import fhir, settings
from app.api.entries import collected
from app.domain.change import Caller, Change, Entry
from app.domain.patch import json_patch
from app.errors import Stale
from app.flows import read, write
from app.main import open_service
from app.storage.remembered import Remembered
from app.storage.resources import Version

NAME = "Patient/rosa"
CALLER = Caller("ehr")


def patient(gender: str) -> Entry:
    resource = {"resourceType": "Patient", "id": "rosa", "gender": gender}
    return Entry("PUT", resource, "rosa")


class Process:
    def __init__(self, service, nonce):
        self.service, self.nonce = service, nonce
        self.shelf = service.settings.shelves["clinic/chart"]
        self.plans = 0

    async def write(self, entry, act="update"):
        self.nonce += "."
        change = Change(self.shelf, CALLER, act, (entry,), base="http://x", nonce=self.nonce)
        return await write.write(self.service, change)

    async def refer(self, message):
        self.nonce += "."
        caller, entries = Caller("ehr"), collected(message)
        change = Change(self.shelf, caller, "refer", entries, base="http://x", nonce=self.nonce)
        return await write.write(self.service, change)

    async def gender(self):
        row = await read.read(self.service, self.shelf, CALLER, NAME)
        return fhir.read(row.body)["gender"], row.version


def together(url, story):
    async def opened():
        read_in = settings.read(database_url=url)
        services = [await open_service(read_in, **loaded.stand_ins()) for _ in range(2)]
        try:
            await story(*(Process(one, name) for one, name in zip(services, "ab", strict=True)))
        finally:
            for one in services:
                await one.database.close()

    asyncio.run(opened())


def test_an_update_goes_on_from_what_another_process_wrote(url):
    """Whoever remembers an older version writes over what stands, and history has each."""

    async def story(one, other):
        await one.write(patient("female"))
        await other.write(patient("male"))
        await one.write(patient("other"))

        assert await other.gender() == ("other", 3)
        for number, said in ((1, "female"), (2, "male")):
            past = await read.vread(one.service, one.shelf, CALLER, NAME, number)
            assert fhir.read(past.body)["gender"] == said

    together(url, story)


def test_what_it_wrote_last_is_written_again_over_what_another_wrote(url):
    """To who remembers, it says what stands there already; it does not."""

    async def story(one, other):
        await one.write(patient("female"))
        await other.write(patient("male"))
        await one.write(patient("female"))

        assert await other.gender() == ("female", 3)

    together(url, story)


@pytest.mark.parametrize("seen", [1, 2])
def test_a_guard_is_held_against_what_stands(url, seen):
    """If-Match of the version that one remembers is 412; of the one that stands it is met."""

    async def story(one, other):
        await one.write(patient("female"))
        await other.write(patient("male"))
        guarded = Entry("PUT", patient("other").resource, "rosa", if_match=(seen,))

        if seen == 1:
            with pytest.raises(Stale):
                await one.write(guarded)
        else:
            await one.write(guarded)
        assert await other.gender() == (("male", 2) if seen == 1 else ("other", 3))

    together(url, story)


def test_a_patch_is_of_what_another_process_wrote(url):
    """What the other has added stays."""

    async def story(one, other):
        await one.write(patient("female"))
        active = {**patient("male").resource, "active": True}
        await other.write(Entry("PUT", active, "rosa"))
        bare = {"resourceType": "Patient", "id": "rosa"}
        change = json_patch([{"op": "replace", "path": "/gender", "value": "other"}])
        await one.write(Entry("PATCH", bare, "rosa", patch=change), "patch")

        row = await read.read(other.service, other.shelf, CALLER, NAME)
        assert (row.version, fhir.read(row.body)["active"]) == (3, True)

    together(url, story)


class Overtaken:
    """Commits that another process is before, so many times in a row."""

    def __init__(self, commits, times, act):
        self.commits, self.times, self.act = commits, times, act

    def __getattr__(self, name):
        return getattr(self.commits, name)

    async def commit(self, made):
        if self.times:
            self.times -= 1
            await self.act(self.times)
        return await self.commits.commit(made)


def test_who_is_overtaken_again_and_again_is_taken(url):
    """Each process lets its own go next; of four, one is overtaken by the others three times of four."""

    async def story(one, other):
        await other.write(patient("female"))

        async def write(number):
            await other.write(patient(("male", "unknown")[number % 2]))

        overtaken = Overtaken(one.service.commits, 30, write)
        one.service = dataclasses.replace(one.service, commits=overtaken)
        await one.write(patient("other"))

        assert overtaken.times == 0
        assert await other.gender() == ("other", 32)

    together(url, story)


def test_what_another_process_deleted_is_made_again(url):
    """It is answered as created, and not as there already."""

    async def story(one, other):
        await one.write(patient("female"))
        await other.write(Entry("DELETE", {"resourceType": "Patient", "id": "rosa"}, "rosa"))
        done = await one.write(patient("female"))

        assert done.answer.created == {NAME}
        assert await other.gender() == ("female", 3)

    together(url, story)


def test_what_was_written_is_known_until_there_is_too_much_or_it_is_purged():
    """The last 2 MiB, by shelf; nothing of what is deleted, large or purged."""
    row = Version(b'{"resourceType":"Patient"}' + b" " * 10_000, 1, "2026", "PUT", facts="f")
    last = Remembered()
    for number in range(300):
        last.keep({("clinic/chart", f"Patient/{number}"): row})
    known = [bool(last.stored("clinic/chart", f"Patient/{number}")) for number in range(300)]

    assert known.count(True) == 2 * 2**20 // (len(row.body) + 1)
    assert known == sorted(known)  # the last of them
    assert last.stored("clinic/reports", "Patient/299") is None

    last.keep({("clinic/chart", "Patient/299"): row._replace(method="DELETE")})
    last.keep({("clinic/chart", "Patient/298"): row._replace(body=b" " * 20_000)})
    for number in (299, 298):
        assert last.stored("clinic/chart", f"Patient/{number}") is None

    last.forget()
    assert last.stored("clinic/chart", "Patient/297") is None
