"""A change of another process, with which something happens between its plan and its commit."""

import asyncio
import dataclasses

import loaded

from app import settings
from app.domain.change import Caller, Change, Entry
from app.errors import Refusal
from app.flows import write
from app.main import open_service


class Between:
    """Commits where somebody else does something before the next one."""

    def __init__(self, commits, act):
        self.commits, self.act = commits, act

    def __getattr__(self, name):
        return getattr(self.commits, name)

    async def commit(self, made):
        act, self.act = self.act, None
        if act:
            await asyncio.to_thread(act)
        return await self.commits.commit(made)


def entry(resource):
    """As it is put, or posted where it has no id."""
    method = "PUT" if "id" in resource else "POST"
    return Entry(method, resource, resource.get("id", ""), said=resource)


def overtaken(exchange, shelf, entries, act, *, by, said=()):
    """
    What comes of a change when it is overtaken; None where it is refused.

    act, said   of the change
    by          what is done in between
    """
    read = settings.read(database_url=exchange.database_url, tenants=exchange.tenants)
    change = Change(
        read.shelves[shelf], Caller("x"), act, tuple(entries), base="http://x", nonce="n", said=said
    )

    async def run():
        service = await open_service(read, clock=exchange.clock, **loaded.stand_ins())
        between = Between(service.commits, by)
        try:
            return await write.write(dataclasses.replace(service, commits=between), change)
        except Refusal:
            return None
        finally:
            assert between.act is None
            await service.database.close()

    return asyncio.run(run())
