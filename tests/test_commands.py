"""Commands that are asked for what cannot be done say so in a line, and end with 2."""

import asyncio
import os
import stat

import pytest
from typer.testing import CliRunner

from app import main, settings
from app.cli import app


def run(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder in which nothing stands but one resource."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "patient.json").write_text('{"resourceType":"Patient"}')
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ("policy", "account", "clinic/reports", "Patient/p1"),
        ("policy", "overrides"),
        ("outbox", "list"),
        ("client", "list"),
        ("map", "unmapped"),
        ("map", "work-off"),
        ("reindex",),
        ("purges", "purged.json"),
        ("backup", "copy.db"),
    ],
)
def test_a_database_that_is_not_there_is_not_an_empty_one(elsewhere, arguments):
    """Who asks in the wrong folder is told so, and no database is made there."""
    done = run(*arguments)

    assert done.exit_code == 2
    assert "kinbridge.db" in done.output
    assert [one.name for one in elsewhere.iterdir()] == ["patient.json"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("profiles", "package", "-o", "none/package.tgz"), "none/package.tgz: No such file"),
        (("profiles", "examples", "patient.json"), "patient.json/good: Not a directory"),
        (("profiles", "snapshot", "profile.json"), "profile.json: there is no such file"),
        (("profiles", "add", "guide.tgz"), "guide.tgz: there is no such file"),
        (("validate", "patient.json", "--write-known", "none/known.json"), "none/known.json: No such"),
        (("backup", "none/copy.db"), "there is no folder none"),
        (("restore", "copy.db", "--purges", "none.json"), "none.json: No such file"),
        (("restore", "copy.db", "--purges", "patient.json"), "no list that `kinbridge purges` wrote"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_there_is_named(elsewhere, arguments, said):
    """In a line, without a traceback."""
    done = run(*arguments)

    assert done.exit_code == 2, done.output
    assert said in done.output
    assert "Traceback" not in done.output


def test_a_list_with_nothing_in_it_says_so(elsewhere):
    """On standard error, so that a program still reads nothing."""
    run("client", "add", "ehr", "clinic/chart", "system/*.r")
    run("client", "remove", "ehr")

    for arguments in (("client", "list"), ("outbox", "list"), ("map", "unmapped")):
        done = run(*arguments)
        assert (done.exit_code, done.stdout) == (0, "")
        assert done.stderr


@pytest.fixture
def usual_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(file):
    return stat.S_IMODE(file.stat().st_mode)


def test_what_holds_health_data_is_its_owners_alone(elsewhere, usual_umask):
    """The database and its copies hold children's records, and the keys by which tokens are made."""
    assert run("migrate").exit_code == 0
    assert run("backup", "copy.db").exit_code == 0
    assert run("restore", "copy.db", "--database", "sqlite:///restored.db").exit_code == 0

    async def files():
        """While the service is open, with what SQLite puts beside a file; one that is not there is made."""
        service = await main.open_service(settings.read(database_url="sqlite:///served.db"))
        held = [one for one in elsewhere.glob("*.db*") if one.suffix != ".worker"]  # a lock, empty
        found = {one.name: oct(mode(one)) for one in held}
        await service.database.close()
        return found

    made = asyncio.run(files())

    assert made.keys() >= {"kinbridge.db", "copy.db", "restored.db", "served.db", "served.db-wal"}
    assert made == dict.fromkeys(made, "0o600")


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every file")
def test_another_users_database_is_named_as_such(elsewhere):
    """Who made it as root and serves as somebody else is told what to look at."""
    run("migrate")
    (elsewhere / "kinbridge.db").chmod(0o000)

    done = run("client", "list")

    assert done.exit_code == 2
    assert "cannot be read by this user" in " ".join(done.output.split())


def test_a_database_that_everyone_can_read_is_warned_of(elsewhere, usual_umask, capsys):
    """One that was made by an older release, or by a copy, stays as it is; whoever runs it is told."""
    run("migrate")
    asyncio.run(main.build(settings.read(database_url="sqlite:///kinbridge.db")))
    assert "chmod 600" not in capsys.readouterr().out

    (elsewhere / "kinbridge.db").chmod(0o644)
    asyncio.run(main.build(settings.read(database_url="sqlite:///kinbridge.db")))

    assert "chmod 600" in capsys.readouterr().out


@pytest.mark.parametrize(
    "url", ["postgresql://u:s3cret@localhost:port/x", "postgresql://u:s3cret@[::1/x"]
)
def test_a_database_url_that_cannot_be_read_is_not_shown(elsewhere, monkeypatch, url):
    """In a line that says how it is written, without the password that is in it."""
    monkeypatch.setenv("KINBRIDGE_OWNER_URL", url.replace("u:", "owner:"))

    for command in (("client", "list"), ("migrate",), ("backup", "copy.db"), ("outbox", "list")):
        done = run(*command, "--database", url)
        assert (command, done.exit_code, "s3cret" in done.output) == (command, 2, False)
        assert "postgresql://user" in done.output
