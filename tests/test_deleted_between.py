"""What met a condition is deleted before it is written: all is read anew, and nothing stands twice."""

import asyncio
import dataclasses

import loaded
import pytest

from app import settings
from app.domain import condition
from app.domain.change import Caller, Change, Entry
from app.errors import Stale
from app.flows import read, write
from app.main import open_service

NAMED = {"resourceType": "Patient", "identifier": [{"system": "urn:mrn", "value": "1"}]}
SAID = condition.identifier("Patient", "urn:mrn", "1")


class Between:
    """A database where another process does something after so many reads."""

    def __init__(self, database, reads, act):
        self.database, self.reads, self.act = database, reads, act

    def __getattr__(self, name):
        return getattr(self.database, name)

    async def read(self, work, *, shelves):
        found = await self.database.read(work, shelves=shelves)
        self.reads -= 1
        if self.reads == 0:
            await self.act()
        return found


def run(url, mine, *, reads, also):
    """
    Somebody's change while another deletes what it has found, and perhaps makes it anew.

    returns     the name that is answered, whether it is created, the names that stand for the number
    """

    async def opened():
        service = await open_service(settings.read(database_url=url), **loaded.stand_ins())
        shelf = service.settings.shelves["clinic/chart"]

        def change(entry, nonce, act="update"):
            return Change(shelf, Caller("ehr"), act, (entry,), base="http://x", nonce=nonce)

        try:
            first = await write.write(service, change(Entry("POST", NAMED), "1", "create"))
            (name,) = first.answer.names

            async def act():
                gone = {"resourceType": "Patient", "id": name.split("/")[1]}
                await write.write(service, change(Entry("DELETE", gone, gone["id"]), "2"))
                if also:
                    await write.write(service, change(Entry("POST", NAMED), "3", "create"))

            between = Between(service.database, reads, act)
            beside = dataclasses.replace(service, database=between)
            done = await write.write(beside, change(mine, "4"))
            assert between.reads < 0
            names = {name, *done.answer.names}
            standing = [
                row for one in names
                if (row := await service.database.read(
                    lambda tx, one=one: read.resources.read(tx, shelf.key, one),
                    shelves=(shelf.key,))) and row.stands
            ]  # fmt: skip
            return name, done, standing
        finally:
            await service.database.close()

    return asyncio.run(opened())


@pytest.mark.parametrize("also", [False, True])
def test_an_update_does_not_bring_back_what_was_deleted(url, also):
    """It updates what has taken its place, or creates it; the deleted one stays deleted."""
    changed = {**NAMED, "gender": "female"}
    name, done, standing = run(url, Entry("PUT", changed, condition=SAID), reads=1, also=also)

    assert done.answer.names[0] != name
    assert bool(done.answer.created) is not also
    (row,) = standing
    assert b"female" in row.body


def test_what_was_there_already_is_answered_as_long_as_it_is(url):
    """Who creates it where there is none gets one, and no answer that says nothing."""
    name, done, standing = run(url, Entry("POST", NAMED, if_none_exist=SAID), reads=1, also=False)

    assert done.answer.names[0] != name
    assert done.answer.created
    assert len(standing) == 1


def test_no_second_stands_where_a_transaction_deletes_and_makes_anew(url):
    """Another makes one at that moment: whoever asked for the only one is told that there are two."""

    async def opened():
        service = await open_service(settings.read(database_url=url), **loaded.stand_ins())
        shelf = service.settings.shelves["clinic/chart"]

        async def done(where, nonce, *entries):
            act = "transaction" if len(entries) > 1 else "create"
            made = Change(shelf, Caller("ehr"), act, entries, base="http://x", nonce=nonce)
            return (await write.write(where, made)).answer.names

        try:
            (name,) = await done(service, "1", Entry("POST", NAMED))
            gone = {"resourceType": "Patient", "id": name.split("/")[1]}
            anew = (Entry("DELETE", gone, gone["id"]), Entry("POST", NAMED, if_none_exist=SAID))
            between = Between(service.database, 1, lambda: done(service, "2", Entry("POST", NAMED)))
            beside = dataclasses.replace(service, database=between)
            with pytest.raises(Stale):
                await done(beside, "3", *anew)
            assert between.reads < 0
        finally:
            await service.database.close()

    asyncio.run(opened())
