"""A backup that is taken under load and restored is whole, on either database and from one to the other."""

import asyncio
import itertools
import json
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import asyncpg
import pytest
from exchange import sqlite_rows
from typer.testing import CliRunner

from app.cli import app as cli
from app.sandbox import family
from app.storage import backup as copies
from app.storage import migration

REFERRALS, BACKUPS = 8, 5  # at least


def kinbridge(exchange, *arguments):
    """A command of the administrator, with both roles."""
    env = {"KINBRIDGE_DATABASE_URL": exchange.database_url, "KINBRIDGE_OWNER_URL": ""}
    if exchange.database_url.startswith("postgresql"):
        env["KINBRIDGE_OWNER_URL"] = exchange.database_url.replace("service@", "owner@")
    return CliRunner().invoke(cli, [str(one) for one in arguments], env=env)


def refer_again_and_again(exchange, ended):
    for number in itertools.count():
        if ended.is_set():
            return
        made = family.referral("ServiceRequest/none", consented=True)
        *others, last = made["entry"]
        named = {"id": f"order-{number}", "identifier": [{"system": "urn:x", "value": str(number)}]}
        made["entry"] = [*others, {"resource": {**last["resource"], **named}}]
        exchange.call("POST", "clinic/chart/fhir/$refer", made)
        exchange.call("PUT", "clinic/chart/fhir/Patient/other", {
            "resourceType": "Patient", "id": "other", "name": [{"family": f"v{number}"}]})  # fmt: skip


def test_a_backup_under_load_is_whole(exchange, patient, tmp_path):
    """Whenever it is taken: each referral has both Tasks and its accounting, no history has a hole."""
    ended = threading.Event()
    load = threading.Thread(target=refer_again_and_again, args=(exchange, ended))
    load.start()
    files = []
    try:
        while len(files) < BACKUPS or len(exchange.rows("SELECT id FROM exchange")) < REFERRALS:
            files.append(tmp_path / f"{len(files)}.backup")
            done = kinbridge(exchange, "backup", files[-1])
            assert done.exit_code == 0, done.output
            assert load.is_alive()
    finally:
        ended.set()
        load.join()

    for file in files:
        tasks = """SELECT count(*) FROM exchange e WHERE NOT EXISTS (SELECT 1 FROM resource r
              WHERE r.shelf = e.source AND 'Task/' || r.id = e.source_task)
           OR NOT EXISTS (SELECT 1 FROM resource r
              WHERE r.shelf = e.recipient AND 'Task/' || r.id = e.recipient_task)
           OR NOT EXISTS (SELECT 1 FROM ledger l WHERE l.exchange = e.id)"""
        holes = """SELECT count(*) FROM resource r WHERE r.version <> 1 + (SELECT count(*)
              FROM version v WHERE v.shelf = r.shelf AND v.type = r.type AND v.id = r.id)"""
        assert sqlite_rows(file, tasks) == sqlite_rows(file, holes) == [(0,)]
        assert migration.version_of(file) == migration.newest()


@pytest.mark.parametrize("other", ["sqlite", "postgres"])
def test_what_is_restored_is_what_was_backed_up(
    request, exchange, patient, referred, tmp_path, other
):
    """Into the same kind of database or the other: every row is there, and the next number is free."""
    file, again = tmp_path / "one.backup", tmp_path / "two.backup"
    assert kinbridge(exchange, "backup", file).exit_code == 0
    exchange.http.__exit__()
    if other == "sqlite":
        exchange.database_url = f"sqlite:///{tmp_path / 'restored.db'}"
    else:
        server = request.getfixturevalue("postgres")
        server.empty()
        exchange.database_url = server.url()

    done = kinbridge(exchange, "restore", file)
    refused = kinbridge(exchange, "restore", file)
    forced = kinbridge(exchange, "restore", file, "--force")
    back = kinbridge(exchange, "backup", again)

    assert (done.exit_code, forced.exit_code, back.exit_code) == (0, 0, 0), done.output
    assert refused.exit_code == 2
    assert "--force" in refused.output
    for table in migration.METADATA.tables:
        assert sorted(sqlite_rows(again, f"SELECT * FROM {table}")) == sorted(
            sqlite_rows(file, f"SELECT * FROM {table}")
        )
    if other == "postgres":
        next_one = "SELECT nextval('ledger_id_seq') > (SELECT max(id) FROM ledger)"
        assert server.rows(next_one) == [(True,)]
        forced_wall = "SELECT count(*) FROM pg_class WHERE relforcerowsecurity"
        assert server.rows(forced_wall) == [(14,)]


@pytest.fixture
def fresh(postgres):
    """Another database of the server, as an administrator makes it: nothing is in it."""
    postgres.do("postgres", "CREATE DATABASE fresh OWNER owner")
    yield postgres.url("service", "fresh"), postgres.url("owner", "fresh")
    postgres.do("postgres", "DROP DATABASE fresh WITH (FORCE)")


@pytest.mark.parametrize("exchange", ["sqlite"], indirect=True)
def test_a_new_postgres_takes_a_backup_once_it_has_tables(exchange, referred, tmp_path, fresh):
    """Each step that is missing is said in a line; what `migrate` itself has written is no reason to refuse."""
    file, (url, owner) = tmp_path / "one.backup", fresh

    def run(*arguments, owner=owner):
        env = {"KINBRIDGE_DATABASE_URL": url, "KINBRIDGE_OWNER_URL": owner}
        return CliRunner().invoke(cli, [str(one) for one in arguments], env=env)

    assert kinbridge(exchange, "backup", file).exit_code == 0
    asked = [["restore", file], ["backup", tmp_path / "two"]]
    for said, done in [
        *(("kinbridge migrate", run(*one)) for one in asked),
        *(("cannot be reached", run(*one, owner=owner.replace("fresh", "none"))) for one in asked),
    ]:
        assert done.exit_code == 2, done.output
        assert said in done.output
    assert run("migrate").exit_code == 0
    done = run("restore", file)

    assert done.exit_code == 0, done.output
    again = tmp_path / "again"
    assert run("backup", again).exit_code == 0
    assert sqlite_rows(again, "SELECT id, version FROM resource") == sqlite_rows(
        file, "SELECT id, version FROM resource"
    )


def test_a_file_is_migrated_though_an_owner_is_named(tmp_path, postgres):
    """Who moves from SQLite to PostgreSQL has both in the environment; the file's own index is filled."""
    postgres.empty()
    url = f"sqlite:///{tmp_path / 'one.db'}"
    env = {"KINBRIDGE_DATABASE_URL": url, "KINBRIDGE_OWNER_URL": postgres.url("owner")}

    done = CliRunner().invoke(cli, ["migrate"], env=env)

    assert done.exit_code == 0, done.output
    assert sqlite_rows(tmp_path / "one.db", "SELECT count(*) FROM indexed") != [(0,)]
    assert postgres.rows("SELECT count(*) FROM indexed") == [(0,)]


def test_a_database_in_use_is_not_overwritten(exchange, patient, tmp_path):
    """While a service runs on it, even --force is refused, and nothing is changed."""
    file = tmp_path / "one.backup"
    assert kinbridge(exchange, "backup", file).exit_code == 0
    before = exchange.rows("SELECT id, version FROM resource")

    refused = kinbridge(exchange, "restore", file, "--force")

    assert refused.exit_code == 2
    assert "stop it first" in refused.output
    assert exchange.rows("SELECT id, version FROM resource") == before


def test_a_service_that_has_just_ended_is_waited_for(postgres, tmp_path):
    """Its connections are gone from the server a moment after it; a script that stops and restores need not know."""
    postgres.empty()
    file, url = tmp_path / "one.backup", f"sqlite:///{tmp_path / 'one.db'}"
    migration.migrate(url)
    copies.backup(url, file)

    async def leaves_late():
        last = await asyncpg.connect(
            postgres.url(), server_settings={"application_name": "kinbridge"}
        )
        there.set()
        await asyncio.sleep(0.5)
        await last.close()

    there = threading.Event()
    leaving = threading.Thread(target=asyncio.run, args=(leaves_late(),))
    leaving.start()
    there.wait(10)
    env = {"KINBRIDGE_DATABASE_URL": postgres.url(), "KINBRIDGE_OWNER_URL": postgres.url("owner")}
    done = CliRunner().invoke(cli, ["restore", str(file)], env=env)
    leaving.join()

    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("content", [b"", b"no database", json.dumps({}).encode()])
def test_what_is_no_backup_is_refused(exchange, tmp_path, content):
    """An empty or foreign file restores nothing, and a file that is there is not overwritten."""
    file = tmp_path / "foreign"
    file.write_bytes(content)

    assert kinbridge(exchange, "restore", file, "--force").exit_code == 2
    assert kinbridge(exchange, "backup", file).exit_code == 2
    assert file.read_bytes() == content


def test_a_damaged_database_is_said_to_be_one(tmp_path, tables):
    """By each command; an empty list of what was expunged would bring all of it back."""
    damaged, whole, written = tmp_path / "k.db", tmp_path / "backup.db", tmp_path / "purged.json"
    damaged.write_bytes(tables.read_bytes()[:5000])
    shutil.copyfile(tables, whole)
    written.write_text("[[]]")
    stood = damaged.read_bytes()

    def said(*command):
        line = [*map(str, command), "--database", f"sqlite:///{damaged}"]
        done = CliRunner().invoke(cli, line)
        assert done.exit_code == 2, done.output
        return done.output

    said("migrate")
    said("backup", tmp_path / "new.db")
    said("purges", written)
    assert "Move it away" in said("restore", whole, "--force")

    assert written.read_text() == "[[]]"
    assert damaged.read_bytes() == stood
    assert not (tmp_path / "new.db").exists()
    damaged.unlink()
    line = ["restore", str(whole), "--database", f"sqlite:///{damaged}"]
    assert CliRunner().invoke(cli, line).exit_code == 0


def test_a_full_disk_leaves_the_list_that_was_written_before(tmp_path, tables):
    """Whoever writes down each night what was expunged has last night's list at least."""
    file, written = shutil.copyfile(tables, tmp_path / "k.db"), tmp_path / "purged.json"
    written.write_text("[[]]")
    with closing(sqlite3.connect(file)) as database, database:
        database.executemany(
            "INSERT INTO purge VALUES ('clinic/chart', 'Patient', ?, 'e', 'expunged', ?, 1)",
            ((f"{number:060}", "2026-11-23T15:00:00.000Z") for number in range(2000)),
        )
    line = [sys.executable, "-m", "app.cli", "purges", written, "--database", f"sqlite:///{file}"]

    def full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**17, 2**17))

    done = subprocess.run(line, cwd=tmp_path, capture_output=True, check=False, preexec_fn=full)

    assert done.returncode == 2, done.stderr
    assert written.read_text() == "[[]]"
    assert [one.name for one in tmp_path.iterdir() if "purged" in one.name] == ["purged.json"]
    piped = [*line[:4], "/dev/stdout", *line[5:]]
    done = subprocess.run(piped, cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout.startswith(b'[["clinic/chart", "Patient", "000')


def test_no_tables_are_made_in_a_file_of_another_program(tmp_path):
    """A wrong path is said to be one."""
    file = tmp_path / "browser.db"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE bookmark (url)")

    assert CliRunner().invoke(cli, ["migrate", "--database", f"sqlite:///{file}"]).exit_code == 2
    with closing(sqlite3.connect(file)) as database:
        names = database.execute("SELECT name FROM sqlite_master").fetchall()
    assert names == [("bookmark",)]
