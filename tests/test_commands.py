"""Commands that are asked for what cannot be done say so in a line, and end with 2."""

import pytest
from typer.testing import CliRunner

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
