"""However much stands on a shelf, and however long it has been there: what a flow reads is found by an index."""

import asyncio
import re
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime

from test_any_days import _lived
from test_search_plans import Looking

from app.domain.loaded import Want
from app.storage import connection, exchanges, resources
from app.storage.query import Reader

INTAKE = "agency/intake"
# each grows as long as the service lives
GROWING = (
    "attempt|copied|event|exchange|ledger|outbox|posting|purge|receipt|resource|version|worklist"
)
SCANNED = re.compile(rf"SCAN ({GROWING})\b")
# by no more than the shelf, or by what every other row has too
WIDE = re.compile(
    r"SEARCH (resource|version|posting|worklist|ledger) USING .*\(shelf=\?( AND updated[<>]\?)*\)"
)
AT_A_START = ("FROM purge", "UPDATE purge", "EXISTS (SELECT resource.id")  # and of what is expunged


def plan(file, sql):
    with closing(sqlite3.connect(file)) as opened:
        return [row[3] for row in opened.execute(f"EXPLAIN QUERY PLAN {sql}")]


def test_nothing_that_all_of_them_do_reads_a_whole_shelf(tmp_path, tables, monkeypatch):
    """Whole days of two clinics and two agencies, and every statement of them."""
    said, connect = {}, sqlite3.connect

    def traced(*arguments, **more):
        connection = connect(*arguments, **more)
        if "cached_statements" in more:  # the service's, not a test's
            connection.set_trace_callback(
                lambda sql: said.setdefault(re.sub(r"'[^']*'", "", sql), sql)
            )
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    file = shutil.copyfile(tables, tmp_path / "exchange.db")

    _lived("plans", file)

    monkeypatch.undo()
    reading = [sql for sql in said.values() if re.match(r"SELECT|UPDATE|DELETE|INSERT", sql)]
    assert len(reading) > 50
    steps = {step: sql for sql in reading for step in plan(file, sql)}
    wide = {
        step: sql
        for step, sql in steps.items()
        if (SCANNED.match(step) or WIDE.match(step)) and not any(one in sql for one in AT_A_START)
    }
    assert wide == {}


def test_postgres_finds_what_they_look_for(postgres, parameters):
    """By an index that leads to it, on tables that nobody has analyzed yet."""
    postgres.truncate()
    seen, past = [], Want("past", INTAKE, "Patient/rosa@2026-11-23T15:00:00.000Z")

    async def look():
        opened = connection.connect(postgres.url(), connections=1)
        reader = Reader(parameters, "https://x.example.org/fhir", datetime.now(UTC))

        async def work(tx):
            noted = Looking(tx, seen)
            await exchanges.held(noted, INTAKE, "e")
            await resources.load(noted, [past], reader)
            await resources.stood(noted, INTAKE, "Patient/rosa", "2026-11-23T15:00:00.000Z")

        await opened.read(work, shelves=(INTAKE,))
        await opened.close()

    asyncio.run(look())
    for statement, values in seen:
        made = statement.postgres
        given = [{**statement.constants, **values}[name] for name in made.order]
        steps = "\n".join(postgres.explain(made.seeing, [*given, INTAKE]))
        assert re.search(r"Index Cond: .*\b(exchange|id) = ", steps), steps
    assert len(seen) >= 4
