"""The second wall: on PostgreSQL a statement that forgets the shelf gets nothing."""

import asyncio

import asyncpg
import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from app.cli import app as cli
from app.errors import Unavailable
from app.storage import connection, migration, resources
from app.storage.database import NONE, QUEUE, statement
from app.storage.tables import METADATA

CHART, SUPPORT = "clinic/chart", "agency/support"
COLUMNS = "(shelf, type, id, version, updated, method, exchange, body)"
WALLED = {
    "resource",
    "version",
    "posting",
    "receipt",
    "exchange",
    "outbox",
    "attempt",
    "ledger",
    "event",
    "purge",
    "worklist",
    "crosswalk",
    "copied",
    "clock",
}


def run(url, work, connections=10):
    """Work on a database of its own, in an event loop of its own."""

    async def opened():
        connected = connection.connect(url, connections=connections)
        try:
            return await work(connected)
        finally:
            await connected.close()

    return asyncio.run(opened())


@pytest.fixture
def url(postgres):
    """A child on the clinic's chart, another on the agency's shelf, put there by the owner."""
    postgres.empty()
    for shelf in (CHART, SUPPORT):
        postgres.do(
            "kinbridge",
            f"INSERT INTO resource {COLUMNS} VALUES"
            f" ('{shelf}', 'Patient', 'rosa', 1, '', 'PUT', '', '\\x7b7d')",
            f"INSERT INTO outbox VALUES (DEFAULT, '{shelf}', 'o', '{{}}', 'owed', 0, 0, 0, 0)",
            role="owner",
        )
    return postgres.url()


EVERYTHING = {table.name: statement(select(table)) for table in METADATA.sorted_tables}


@pytest.mark.parametrize("table", sorted(WALLED))
def test_a_statement_that_forgets_the_shelf_gets_only_what_it_may_see(url, table):
    """Even a statement without any condition sees the rows of its own shelf alone."""
    expected = {"resource": 1, "outbox": 1}.get(table, 0)

    async def look(opened):
        async def all_of(tx):
            return await tx.rows(EVERYTHING[table])

        for way in (opened.read, opened.write):
            assert len(await way(all_of, shelves=(CHART,))) == expected
            assert len(await way(all_of, shelves=(CHART, SUPPORT))) == 2 * expected
            assert await way(all_of, shelves=NONE) == []
            owed = await way(all_of, shelves=QUEUE)
            assert len(owed) == (2 if table == "outbox" else 0)

    run(url, look)


def test_the_wall_does_not_choose_how_a_resource_is_found(url, postgres):
    """However many resources a shelf has, one of them is found by its key."""
    many = (
        f"INSERT INTO resource {COLUMNS} SELECT 'clinic/chart', 'Patient', 'p' || i, 1, '', 'PUT', '', ''"
        " FROM generate_series(1, 5000) i"
    )
    postgres.do("kinbridge", many, "ANALYZE resource", role="owner")
    explained = "EXPLAIN EXECUTE one('clinic/chart', 'Patient', 'p7', 'clinic/chart')"

    async def look(opened):
        async def plan(tx):
            sql = resources._READ.postgres.seeing  # noqa: SLF001 — the statement of a read itself
            await tx.connection.execute(f"PREPARE one(text, text, text, text) AS {sql}")
            return [row[0] for row in await tx.connection.fetch(explained)]

        plan = "\n".join(await opened.write(plan, shelves=(CHART,)))
        assert "resource_pkey" in plan
        assert "resource_by_time" not in plan

    run(url, look)


def test_another_shelfs_row_is_not_there(url):
    """Whoever names one shelf and asks for a row of another gets nothing, and writes nothing."""

    async def look(opened):
        def theirs(tx):
            return resources.read(tx, SUPPORT, "Patient/rosa")

        assert await opened.read(theirs, shelves=(SUPPORT,))
        assert await opened.read(theirs, shelves=(CHART,)) is None
        assert await opened.write(theirs, shelves=(CHART,)) is None
        create = statement(METADATA.tables["resource"].insert())
        row = {"shelf": SUPPORT, "type": "Patient", "id": "new", "version": 1}
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await opened.write(
                lambda tx: tx.run(
                    create, **row, updated="", method="PUT", exchange="", facts="", body=b"{}"
                ),
                shelves=(CHART,),
            )
        gone = statement(METADATA.tables["resource"].delete())
        assert await opened.write(lambda tx: tx.run(gone), shelves=(CHART,)) == 1

    run(url, look)


def test_a_shelf_named_for_one_transaction_is_forgotten_after_it(url):
    """What one caller may see is not what the next caller on the same connection sees."""

    async def look(opened):
        def all_of(tx):
            return tx.rows(EVERYTHING["resource"])

        for way in (opened.read, opened.write):
            assert await way(all_of, shelves=(CHART, SUPPORT))
            assert await opened.read(all_of, shelves=NONE) == []
            assert await opened.write(all_of, shelves=NONE) == []
        with pytest.raises(ZeroDivisionError):
            await opened.write(_failing, shelves=(CHART, SUPPORT))
        assert await opened.read(all_of, shelves=NONE) == []

    run(url, look, connections=1)


async def _failing(tx):
    await tx.rows(EVERYTHING["resource"])
    raise ZeroDivisionError


def test_every_table_with_a_shelf_is_walled(postgres):
    """A table that is added with a shelf in it and without a policy is found here."""
    with_shelf = {
        table.name
        for table in METADATA.sorted_tables
        if {"shelf", "source"} & set(table.columns.keys())
    } - {"client"}  # looked up by its id, before the shelf is known; it names its own
    query = "SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity"

    walled = {row[0] for row in postgres.rows(query)}

    assert walled == WALLED
    assert with_shelf <= walled


def test_the_services_role_owns_nothing_and_cannot_rewrite_the_accounting(postgres, url):
    """It is no superuser, bypasses nothing, owns no table, and adds to the ledger only."""
    role = "SELECT rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = 'service'"
    assert postgres.rows(role) == [(False, False, False)]
    owned = "SELECT count(*) FROM pg_class WHERE relowner = 'service'::regrole"
    assert postgres.rows(owned) == [(0,)]
    for refused in (
        "DELETE FROM ledger",
        "UPDATE ledger SET rule = ''",
        "ALTER TABLE resource DISABLE ROW LEVEL SECURITY",
        "DROP POLICY shelves ON resource",
        "SET ROLE owner",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            postgres.do("kinbridge", refused, role="service")


@pytest.mark.parametrize("role", ["owner", "postgres"])
def test_a_role_that_stands_behind_the_wall_does_not_serve(postgres, role):
    """Started as the tables' owner or as superuser, the start is refused."""
    with pytest.raises(migration.NeedsMigration, match="row-level security"):
        asyncio.run(migration.check(postgres.url(role)))


def test_tables_are_never_made_by_a_start(postgres):
    """On PostgreSQL a start on an empty or other version's database names the command."""
    postgres.do("postgres", "DROP DATABASE IF EXISTS bare", "CREATE DATABASE bare OWNER owner")
    url, owner = postgres.url(database="bare"), postgres.url("owner", "bare")

    with pytest.raises(migration.NeedsMigration, match="kinbridge migrate"):
        asyncio.run(migration.check(url))
    refused = CliRunner().invoke(cli, ["migrate", "--database", url])
    done = CliRunner().invoke(
        cli, ["migrate", "--database", url], env={"KINBRIDGE_OWNER_URL": owner}
    )

    assert (refused.exit_code, done.exit_code) == (2, 0), done.output
    assert "KINBRIDGE_OWNER_URL" in refused.output
    asyncio.run(migration.check(url))
    postgres.do("bare", "UPDATE alembic_version SET version_num = '9999'", role="owner")
    with pytest.raises(migration.NeedsMigration, match="9999"):
        asyncio.run(migration.check(url))


@pytest.mark.parametrize(
    ("service", "owner", "said"),
    [
        ("service", ("owner", "postgres"), "permission denied"),
        ("nobody", ("owner", "kinbridge"), "does not exist"),
        ("service", ("nobody", "kinbridge"), "KINBRIDGE_OWNER_URL"),
        ("service", ("owner", "nowhere"), "KINBRIDGE_OWNER_URL"),
    ],
)
def test_a_role_or_database_that_is_not_as_it_should_be_is_said(postgres, service, owner, said):
    """The administrator forgot a role, or made somebody else the database's owner: a sentence says which."""
    refused = CliRunner().invoke(
        cli,
        ["migrate", "--database", postgres.url(service)],
        env={"KINBRIDGE_OWNER_URL": postgres.url(*owner)},
    )

    assert refused.exit_code == 2
    assert said in refused.output


def test_a_server_that_is_not_there_is_said_so(tmp_path):
    """Neither a start nor a call waits for ever."""
    url = f"postgresql://service@/kinbridge?host={tmp_path}"

    with pytest.raises(Unavailable):
        asyncio.run(migration.check(url))
    with pytest.raises(Unavailable):
        run(url, lambda opened: opened.read(lambda tx: tx.rows(EVERYTHING["client"]), shelves=NONE))


def test_the_migrations_make_the_tables(postgres):
    """What the migrations make on PostgreSQL is what the program expects."""
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy.ext.asyncio import create_async_engine

    async def compare():
        made = create_async_engine(
            "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(postgres.url("owner"))
        )
        async with made.connect() as connection:
            found = await connection.run_sync(
                lambda one: compare_metadata(MigrationContext.configure(one), METADATA)
            )
        await made.dispose()
        return found

    assert asyncio.run(compare()) == []
