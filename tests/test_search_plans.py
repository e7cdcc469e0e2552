"""The searches of the known clients walk an index, on either database, and never a whole table."""

import asyncio
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import pytest

from app.storage import connection, migration, resources, search
from app.storage.query import Reader

CHART = "clinic/chart"
PROFILE = (
    "http://hl7.org/fhir/us/sdoh-clinicalcare/StructureDefinition/SDOHCC-TaskForReferralManagement"
)
NOT = "&".join(f"status:not={one}" for one in ("completed", "cancelled", "rejected", "failed"))
ASKED = (
    "Task?owner=Organization/o1&_sort=-_lastUpdated",
    f"Task?owner=Organization/o1&{NOT}&_sort=-_lastUpdated",
    f"Task?_profile={PROFILE}&_sort=-_lastUpdated",
    f"Task?_profile={PROFILE}&_sort=-_lastUpdated&requester=PractitionerRole/r1&subject=p1",
    "Task?status=requested",
    f"Task?intent=order&{NOT}&authored-on=lt2026-01-01T00:00:00Z",
    "Task?identifier=http://x|1,http://x|2",
    "Task?based-on=Task/t1&intent=filler-order",
    "Task?_id=t1,t2",
    "Task?status=requested&_lastUpdated=gt2026-05-15T00:00:00Z",
    f"Task?owner:Organization.type=http://x|cp&{NOT}",
    "Task?owner:Organization.identifier=http://app.example.org",
    "Observation?_sort=-date&category=personal-characteristic&subject=p1",
    "Patient?name=mul",
    "Organization?_sort=-_lastUpdated&type=cbo",
    "Questionnaire?_sort=title",
    "Task?focus=s1",
    "Task?identifier=http://x|1&_lastUpdated=gt2026-05-15T00:00:00Z",
)


class Looking:
    """A transaction that notes what it is asked."""

    def __init__(self, tx, seen):
        self.tx, self.seen = tx, seen

    async def rows(self, statement, **values):
        self.seen.append((statement, values))
        return await self.tx.rows(statement, **values)

    async def each(self, statement, values):
        self.seen += [(statement, one) for one in values]
        return await self.tx.each(statement, values)


def asked(url, parameters, query, shelf=CHART):
    """The statements of a search, with their values."""
    kind, _, rest = query.partition("?")
    reader = Reader(parameters, "https://x.example.org/fhir", datetime.now(UTC))
    made = reader.query(kind, parse_qsl(rest))
    seen = []

    async def look():
        opened = connection.connect(url, connections=1)
        await opened.read(
            lambda tx: search.page(Looking(tx, seen), shelf, [made], most=20), shelves=(shelf,)
        )
        await opened.close()

    asyncio.run(look())
    return seen


def test_a_key_read_on_postgres_looks_at_the_key(postgres):
    """Also where nobody has analyzed the table yet: not at all of a type, or of a shelf."""
    postgres.truncate()
    seen = []

    async def work(tx):
        looking = Looking(tx, seen)
        await resources.read(looking, CHART, "Task/t1")
        await resources.read_version(looking, CHART, "Task/t1", 2)
        await resources.stood(looking, CHART, "Task/t1", "2026-11-23T15:00:00.000Z")

    async def look():
        opened = connection.connect(postgres.url(), connections=1)
        await opened.read(work, shelves=(CHART,))
        await opened.close()

    asyncio.run(look())
    assert len(seen) >= 4
    for statement, values in seen:
        made = statement.postgres
        given = [{**statement.constants, **values}[name] for name in made.order]
        plan = "\n".join(postgres.explain(made.seeing, [*given, CHART]))
        assert re.search(r"using (resource|version)_pkey", plan), plan


def sorts(statement):
    """Whether it is one of a term that leads to few; these alone are sorted."""
    return "posting.updated = ''" in statement.sql


@pytest.mark.parametrize("query", ASKED)
def test_sqlite_walks_an_index(tmp_path, parameters, query):
    """Each table is searched by its key, and nothing is sorted."""
    file = tmp_path / "plans.db"
    migration.migrate(f"sqlite:///{file}")

    statements = asked(f"sqlite:///{file}", parameters, query)

    assert statements
    with closing(sqlite3.connect(file)) as opened:
        for statement, values in statements:
            explain = f"EXPLAIN QUERY PLAN {statement.sql}"
            steps = [row[3] for row in opened.execute(explain, {**statement.constants, **values})]
            if "posting" in statement.sql and "resource" in statement.sql:
                first, second = [step for step in steps if step.startswith("SEARCH")]
                assert first.startswith("SEARCH posting USING PRIMARY KEY (shelf=?"), steps
                assert second.startswith("SEARCH resource"), steps
                assert second.endswith("(shelf=? AND type=? AND id=?)"), steps
            for step in steps:
                assert not re.match(r"SCAN (resource|posting)", step), (query, steps)
                assert "TEMP B-TREE" not in step or sorts(statement), (query, steps)


def test_as_many_ids_lead_without_their_type_as_with_it(tmp_path, parameters):
    """Each is looked for among what has a time and what has none, and all of a type is not read for it."""
    url = f"sqlite:///{tmp_path / 'plans.db'}"
    migration.migrate(url)
    ids = [f"p{number}" for number in range(64)]

    for value in (",".join(ids), ",".join(f"Patient/{one}" for one in ids)):
        statements = [one.sql for one, _ in asked(url, parameters, f"Observation?subject={value}")]
        assert len(statements) >= len(ids)
        assert all("FROM posting" in sql for sql in statements)


@pytest.mark.parametrize("query", ASKED)
def test_postgres_walks_an_index(postgres, filled, parameters, query):
    """However many resources a shelf has, a search reads a range of an index."""
    for statement, values in asked(postgres.url(), parameters, query):
        made = statement.postgres
        given = [{**statement.constants, **values}[name] for name in made.order]
        plan = "\n".join(postgres.explain(made.seeing, [*given, CHART]))

        assert not re.search(r"Seq Scan on (resource|posting)", plan), (query, plan)
        assert "Sort" not in plan or sorts(made), (query, plan)


@pytest.mark.parametrize("query", ["Task?owner=Organization/o1", "Task?identifier=1&intent=order"])
def test_postgres_looks_up_by_key_what_it_has_no_statistics_of(postgres, filled, parameters, query):
    """On a shelf that is new each resource is found by its id, and not among all of its type."""
    for statement, values in asked(postgres.url(), parameters, query, shelf="agency/new"):
        made = statement.postgres
        given = [{**statement.constants, **values}[name] for name in made.order]
        plan = "\n".join(postgres.explain(made.seeing, [*given, "agency/new"]))

        assert "on resource" not in plan or "(id = posting.id)" in plan, plan
        assert "Join Filter" not in plan, plan


@pytest.fixture(scope="module")
def filled(postgres):
    """A shelf of 20,000 Tasks, and what PostgreSQL knows of it."""
    postgres.truncate()
    columns = "(shelf, type, id, version, updated, method, exchange, facts, body)"
    at = (
        "to_char(timestamp '2026-01-01' + i * interval '1 s', 'YYYY-MM-DD\"T\"HH24:MI:SS.000\"Z\"')"
    )
    terms = (
        ("owner~r", "'o' || i % 50", at),
        ("status~t", "'requested'", at),
        ("identifier~t", "i", "''"),
    )
    postgres.do(
        "kinbridge",
        f"INSERT INTO resource {columns} SELECT '{CHART}', 'Task', 't' || i, 1, {at}, 'POST', '',"
        " E'\\x1e+status~t\\x1frequested\\x1f\\x1e', '' FROM generate_series(1, 20000) i",
        *(
            f"INSERT INTO posting SELECT '{CHART}', E'Task.{name}\\x1f' || {value}, {when}, 't' || i, ''"
            " FROM generate_series(1, 20000) i"
            for name, value, when in terms
        ),
        "ANALYZE",
        role="owner",
    )
    yield
    postgres.empty()
