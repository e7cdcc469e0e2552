"""Two processes are sent the same at the same moment: it goes once, and both say so."""

import asyncio
import dataclasses

import loaded
import pytest
from test_same_words import without_numbers

from app import settings
from app.api.entries import collected
from app.domain.change import Caller, Change
from app.flows import write
from app.main import open_service
from app.sandbox import family


class Among:
    """
    A database where another process does something after so many statements.

    On PostgreSQL each statement sees what was committed before it, so what stands changes within one look.
    """

    def __init__(self, service, statements, act):
        self.database, self.statements, self.act = service.database, statements, act

    def __getattr__(self, name):
        return getattr(self.database, name)

    async def read(self, work, *, shelves):
        return await self.database.read(lambda tx: work(Looked(tx, self)), shelves=shelves)


@dataclasses.dataclass
class Looked:
    """One reading of it."""

    tx: object
    among: Among

    async def rows(self, *what, **values):
        return await self.counted(self.tx.rows(*what, **values))

    async def each(self, *what):
        return await self.counted(self.tx.each(*what))

    async def counted(self, asked):
        found = await asked
        self.among.statements -= 1
        if self.among.statements == 0:
            await self.among.act()
        return found


@pytest.mark.parametrize("statements", range(1, 14))
def test_who_sends_beside_another_is_told_of_what_was_sent(postgres, statements):
    """The same order, sent to another process meanwhile: one referral, and nobody hears of an expunge."""
    postgres.empty()
    message = without_numbers(family.referral("ServiceRequest/none", consented=True), "Rosa")
    told = []

    async def opened():
        read_in = settings.read(database_url=postgres.url())
        service = await open_service(read_in, **loaded.stand_ins())
        shelf, entries = service.settings.shelves["clinic/chart"], collected(message)

        def sent(nonce):
            return Change(shelf, Caller("ehr"), "refer", entries, base="http://x", nonce=nonce)

        async def act():
            told.append(await write.write(service, sent("2")))

        try:
            among = Among(service, statements, act)
            told.append(await write.write(dataclasses.replace(service, database=among), sent("1")))
        finally:
            await service.database.close()

    asyncio.run(opened())

    assert len(told) == 2
    assert len({one.answer.names[0] for one in told}) == 1
    assert sum(bool(one.answer.created) for one in told) == 1
