"""However much stands on a shelf, and however long it has been there: what a flow reads is found by an index."""

import asyncio
import json
import re
import shutil
import sqlite3
from contextlib import closing

import asyncpg
from days_house import House
from days_world import Wire
from test_any_days import _lived

from app.storage.history import _count, _page
from app.storage.postgres import _SETTINGS
from app.storage.tables import METADATA

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


# of a statement on PostgreSQL, beside twenty thousand of whatever it looks for
ROWS, MOST = 20_000, 2_000
NOISE = {
    "resource": "shelf, 'Basic', 'n' || i, 1, '2026-01-01T00:00:00.' || i || 'Z', 'PUT', 'n' || i % 999, '', ''",
    "version": "shelf, 'Basic', 'n' || i, 1, '2025-01-01T00:00:00.' || i || 'Z', 'PUT', ''",
    "exchange": "'n' || i || shelf, 'cps-report', shelf, 'Task/n' || i, 'ServiceRequest/n' || i, shelf, 'Task/n' || i, '',"
                " 'closed', 1, '2026-01-01T00:00:00.000Z', '{}', '{}', 0, 1",
    "copied": "shelf, 'Observation/n' || i, i % 2, 'n' || i || shelf, 0",
    "event": "'n' || i || shelf, shelf, i, i, 'closed', '', 'applied', '2026-01-01T00:00:00.000Z'",
    "receipt": "shelf, 'n' || i, '', ''",
    "purge": "shelf, 'Basic', 'n' || i, 'n' || i, 'expunged', '2026-01-01T00:00:00.000Z', 1",
    "outbox": "nextval('outbox_id_seq'), shelf, 'n' || i, '{}', 'delivered', 1, 1, 0, 1",
    "worklist": "shelf, 'QuestionnaireResponse/n' || i, 'answer', 'n' || i, '', '', '', ''",
}  # fmt: skip
EVERY = " CROSS JOIN unnest(ARRAY['clinic/reports', 'clinic/chart', 'agency/intake', 'agency/support']) AS shelf"


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
    file, wire = shutil.copyfile(tables, tmp_path / "exchange.db"), Wire()

    _lived("plans", House.on_file(file, wire), wire)

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


def test_the_history_of_one_is_read_from_its_own_versions(tables):
    """Its page, the one before, and how many they are, now or at a time."""
    key, steps = ("type", "id"), []
    for at in (False, True):
        pages = [_page(key, at=at, back=back) for back in (False, True)]
        steps += [
            step
            for one in (*pages, _count(key, at=at))
            for step in plan(tables, re.sub(r":\w+", "1", one.sql))
        ]

    assert "SEARCH version USING" in " ".join(steps)
    assert [step for step in steps if SCANNED.match(step) or WIDE.match(step)] == []


def test_nor_on_postgres(postgres, tmp_path, monkeypatch):
    """The same where it knows that there is much of everything: what each look goes through."""
    said, fetch, wire = {}, asyncpg.Connection.fetch, Wire()

    async def noted(self, query, *given, **more):
        if "kinbridge.shelves" in query and not any(one in query for one in AT_A_START):
            said.setdefault(query, given)
        return await fetch(self, query, *given, **more)

    monkeypatch.setattr(asyncpg.Connection, "fetch", noted)
    _lived("plans", House.on_postgres(postgres, tmp_path, wire), wire)
    monkeypatch.undo()
    rows = f" FROM generate_series(1, {ROWS}) AS i{EVERY}"
    noise = (
        f"INSERT INTO {table} ({', '.join(METADATA.tables[table].columns.keys())}) SELECT {row}{rows}"
        for table, row in NOISE.items()
    )
    postgres.do("kinbridge", *noise, "ANALYZE")

    async def gone_through():
        opened = await asyncpg.connect(postgres.url(), server_settings=_SETTINGS)
        explained = {
            query: json.loads(
                await opened.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", *given)
            )
            for query, given in said.items()
        }
        await opened.close()
        return {query: read_by(plan[0]["Plan"]) for query, plan in explained.items()}

    looked = asyncio.run(gone_through())
    postgres.empty()
    assert len(looked) > 30
    assert {query: rows for query, rows in looked.items() if rows > MOST} == {}


def read_by(node):
    """The most rows that a step of a plan has read, those included that were not what it looked for."""
    loops = node["Actual Loops"]
    own = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * loops
    return max([own, *map(read_by, node.get("Plans", ()))])
