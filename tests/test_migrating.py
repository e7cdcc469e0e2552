"""A migration that does not come to its end leaves what stood, on SQLite as on PostgreSQL."""

import sqlite3
from contextlib import closing

from typer.testing import CliRunner

from app.cli import app as cli
from app.storage import migration

UNREAD = "some day"  # no time, so the migration that reads it fails in its midst


def before_the_clock(path):
    """A database of version 0011 with a Patient whose time nobody can read."""
    migration.migrate(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DROP TABLE clock")
        database.execute("UPDATE alembic_version SET version_num = '0011'")
        database.execute(
            "INSERT INTO resource (shelf, type, id, version, updated, method, exchange, facts, body)"
            " VALUES ('clinic/chart', 'Patient', 'rosa', 1, ?, 'PUT', '', '', ?)",
            (UNREAD, b'{"resourceType":"Patient","id":"rosa"}'),
        )


def tables(path):
    with closing(sqlite3.connect(path)) as database:
        return {row[0] for row in database.execute("SELECT name FROM sqlite_master")}


def migrate(path):
    return CliRunner().invoke(cli, ["migrate", "--database", f"sqlite:///{path}"])


def test_a_migration_that_fails_can_be_run_again(tmp_path):
    """Nothing of it stays: it is done whole once what it stumbled over is put right."""
    path = tmp_path / "old.db"
    before_the_clock(path)
    stood = tables(path)

    failed = migrate(path)

    assert failed.exit_code != 0
    assert tables(path) == stood
    assert migration.version_of(path) == "0011"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE resource SET updated = '2026-11-23T15:00:00.000Z'")
    done = migrate(path)
    assert done.exit_code == 0, done.output
    assert migration.version_of(path) == migration.newest()
    assert "clock" in tables(path)
