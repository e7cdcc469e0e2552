"""SQLite: what takes long to look for keeps nobody waiting who asks for little."""

import asyncio
import sqlite3
import threading
import time
from contextlib import closing

import pytest
import sqlalchemy

from app.errors import NotSupported, Unavailable
from app.storage import connection, migration, reader
from app.storage.database import NONE, statement

COUNTED = """
WITH RECURSIVE one(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM one WHERE n < :last)
SELECT count(*), max(n) FROM one
"""
COUNT = statement(sqlalchemy.text(COUNTED).bindparams(last=0))
LONG, SHORT = 3_000_000, 10


@pytest.fixture
def database(tmp_path):
    url = f"sqlite:///{tmp_path / 'reader.db'}"
    migration.migrate(url)
    return lambda: connection.connect(url)


def counted(last, seen=None):
    async def look(tx):
        if seen is not None:
            seen.append(threading.current_thread().name)
        return tuple((await tx.rows(COUNT, last=last))[0])

    return look


def test_a_long_read_keeps_no_short_one_waiting(database):
    """Who asks for little is answered while somebody else's long read goes on, and both are right."""

    async def use():
        opened, order, seen = database(), [], []

        async def ask(last):
            found = await opened.read(counted(last, seen), shelves=NONE)
            order.append(last)
            return found

        answers = await asyncio.gather(ask(LONG), *(ask(SHORT) for _ in range(5)))
        assert answers == [(LONG, LONG), *[(SHORT, SHORT)] * 5]
        assert order == [*[SHORT] * 5, LONG]
        assert seen.count("reader") == 1
        await opened.close()

    asyncio.run(use())


def test_many_small_looks_are_long_together(database):
    """A search that goes through everything row by row is long, though each of its looks is short."""

    async def many(tx):
        for _ in range(3000):
            await tx.rows(COUNT, last=SHORT)
        return threading.current_thread().name

    async def use():
        opened = database()
        assert await opened.read(many, shelves=NONE) == "reader"
        await opened.close()

    asyncio.run(use())


def test_a_refusal_comes_from_the_thread_as_from_here(database):
    """What a long read refuses, its caller is told; and the next one is read as ever."""

    async def refused(tx):
        await tx.rows(COUNT, last=LONG)
        raise NotSupported("A chain leads over too much.")

    async def wrong(tx):
        await tx.rows(COUNT, last=LONG)
        await tx.rows(statement(sqlalchemy.text("SELECT 1 FROM nothing")))

    async def use():
        opened = database()
        with pytest.raises(NotSupported):
            await opened.read(refused, shelves=NONE)
        with pytest.raises(Unavailable):
            await opened.read(wrong, shelves=NONE)
        assert await opened.read(counted(LONG), shelves=NONE) == (LONG, LONG)
        await opened.close()

    asyncio.run(use())


def test_a_close_waits_for_no_long_read(database):
    """Who stops the service does not wait until everything has been looked through."""

    async def use():
        opened = database()
        endless = asyncio.create_task(opened.read(counted(10**12), shelves=NONE))
        await asyncio.sleep(0.2)
        began = time.monotonic()
        await opened.close()
        assert time.monotonic() - began < 5
        with pytest.raises(Unavailable):
            await endless

    asyncio.run(use())


def test_a_reader_stops_where_it_must(database, tmp_path):
    """However much there is to look through, it ends in time; and it cannot write."""
    database()
    with closing(sqlite3.connect(tmp_path / "reader.db")) as opened:
        one = reader.Reader(opened, time.monotonic)
        with pytest.raises(reader.TooLong):
            one.do(counted(10**12), seconds=0.05)
        assert one.do(counted(SHORT), seconds=5) == (SHORT, SHORT)
        with pytest.raises(sqlite3.OperationalError):
            opened.execute("CREATE TABLE more (one)")


def test_what_is_asked_often_is_never_broken_off(database):
    """The steps of many short looks, one after the other, do not add up to a long one."""

    async def use():
        opened, seen = database(), []
        for _ in range(3000):
            await opened.read(counted(SHORT, seen), shelves=NONE)
        assert "reader" not in seen
        await opened.close()

    asyncio.run(use())
