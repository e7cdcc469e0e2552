"""Writes that meet: one commit for many, and each of them for itself."""

import asyncio
import sqlite3
import threading
import time
import weakref
from contextlib import closing

import pytest

from app.errors import Unavailable
from app.storage import keys, migration
from app.storage.database import NONE, Overtaken
from app.storage.reader import TooLong
from app.storage.sqlite import Sqlite


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "writes.db"
    migration.migrate(f"sqlite:///{path}")
    return path


def run(file, work):
    """Work on the file, in an event loop of its own."""

    async def opened():
        database = Sqlite(f"sqlite:///{file}")
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(opened())


async def named(tx, name):
    """A secret of this name is made; a bad one is refused after it was."""
    await keys.secret(tx, name)
    if name.startswith("bad"):
        raise Overtaken


def names(file):
    with closing(sqlite3.connect(file)) as database:
        return {row[0] for row in database.execute("SELECT name FROM secret")}


def test_of_many_writes_at_once_one_that_is_refused_leaves_the_others(file):
    """What is written together is not refused together."""
    wanted = [f"good {number}" for number in range(150)] + ["bad 1", "bad 2"]

    async def write(database):
        writes = (database.write(lambda tx, n=name: named(tx, n), shelves=NONE) for name in wanted)
        return await asyncio.gather(*writes, return_exceptions=True)

    outcomes = run(file, write)

    refused = {name for name, one in zip(wanted, outcomes, strict=True) if one is not None}
    assert refused == {"bad 1", "bad 2"}
    assert names(file) == set(wanted) - refused


def test_while_another_process_writes_reads_go_on_and_the_write_waits(file):
    """Nobody else's transaction stops the service; what waits for it is written after it."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:

        async def write(database):
            other.execute("BEGIN IMMEDIATE")
            writes = [
                asyncio.create_task(database.write(lambda tx, n=n: named(tx, n), shelves=NONE))
                for n in ("one", "two")
            ]
            await asyncio.sleep(0.2)
            begun = time.monotonic()
            assert not await database.read(keys.any_client, shelves=NONE)
            assert time.monotonic() - begun < 0.15
            assert not any(one.done() for one in writes)
            other.execute("COMMIT")
            await asyncio.gather(*writes)

        run(file, write)

    assert names(file) == {"one", "two"}


def test_a_sqlite_that_is_too_old_is_named(file, monkeypatch):
    """Its first write would fail otherwise, and say that the disk does."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))

    with pytest.raises(Unavailable, match="SQLite"):
        Sqlite(f"sqlite:///{file}")


def test_a_close_waits_for_what_was_begun(file):
    """Nothing that was handed in before the end is lost by it."""

    async def write(database):
        writes = [database.write(lambda tx, n=n: named(tx, f"{n}"), shelves=NONE) for n in range(5)]
        begun = asyncio.gather(*writes)
        await asyncio.sleep(0)
        return begun

    run(file, write)

    assert names(file) == {"0", "1", "2", "3", "4"}


class _Large:
    """What somebody writes or looks for."""


@pytest.mark.parametrize("way", ["write", "read"])
def test_nothing_of_what_was_done_last_is_kept(file, way):
    """A large transaction, or what a long search had asked for, is let go when it is done."""

    async def done(database):
        large = _Large()
        kept = weakref.ref(large)

        async def work(_, large=large):
            if way == "read" and threading.current_thread().name != "reader":
                raise TooLong
            return large

        assert isinstance(await getattr(database, way)(work, shelves=NONE), _Large)
        del large, work
        for _ in range(500):
            if kept() is None:
                return True
            await asyncio.sleep(0.01)  # the thread lets go a moment after it has told
        return False

    assert run(file, done)
