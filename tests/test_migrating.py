"""A migration that does not come to its end leaves what stood, on SQLite as on PostgreSQL."""

import asyncio
import sqlite3
from contextlib import closing

import pytest
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


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    """A volume that is not mounted, a mistyped path: an empty exchange in its place would take referrals."""
    path = tmp_path / "mounted" / "kinbridge.db"

    refused = migrate(path)

    assert refused.exit_code == 2
    assert f"there is no folder {path.parent}" in refused.output
    with pytest.raises(migration.NeedsMigration, match="there is no folder"):
        asyncio.run(migration.check(f"sqlite:///{path}"))
    assert not path.parent.exists()


@pytest.mark.parametrize("url", ["sqlite:///:memory:", "sqlite:///kinbridge.db?mode=ro"])
def test_a_database_is_a_file(tmp_path, monkeypatch, url):
    """What would be lost at the end, and what would be a file of a strange name, is refused."""
    monkeypatch.chdir(tmp_path)

    refused = CliRunner().invoke(cli, ["migrate", "--database", url])

    assert refused.exit_code == 2
    assert "sqlite:///FILE" in refused.output
    assert not [*tmp_path.iterdir()]
