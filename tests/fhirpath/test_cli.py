"""kinbridge fhirpath, as an engineer runs it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from app.cli import app

PATIENT = {"resourceType": "Patient", "name": [{"given": ["Ann"]}], "active": True}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "patient.json"
    path.write_text(json.dumps(PATIENT))
    return str(path)


def kinbridge(*arguments, **given):
    return CliRunner().invoke(app, ["fhirpath", *arguments], **given)


def test_a_result_as_json(file) -> None:
    """Each item is its type, its value and its location."""
    result = kinbridge("name.given", file, "--format", "json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == [
        {"type": "FHIR.string", "value": "Ann", "location": "Patient.name[0].given[0]"}
    ]


def test_a_result_as_text(file) -> None:
    """A line for each item, its place first."""
    result = kinbridge("name.given | 1", file)
    assert result.stdout.splitlines() == [
        "Patient.name[0].given[0]  FHIR.string  Ann", "System.Integer  1",
    ]  # fmt: skip


def test_no_file_is_needed() -> None:
    """An expression without a resource is evaluated all the same."""
    assert json.loads(kinbridge("1 + 1", "--format", "json").stdout)[0]["value"] == 2


def test_a_mistake_is_told_on_standard_error(file) -> None:
    """Exit 2, with the place and the reason."""
    for expression in ("name.", "name.givn", "name.given + 1"):
        result = kinbridge(expression, file)
        assert result.exit_code == 2
        assert result.stderr.strip()
        assert not result.stdout
    assert kinbridge("name.givn", file, "--lenient").exit_code == 0


def test_a_batch_answers_each_line(file) -> None:
    """A line that fails fails alone, and the answers come in order."""
    lines = [
        {"id": "a", "expression": "name.given", "file": file},
        {"id": "b", "expression": "1 +", "file": None},
        {"id": "c", "expression": "1.50", "file": None},
        {"id": "d", "expression": "name.single()", "file": file + ".not"},
        {"id": "e", "expression": 1},
        {"id": "f", "expression": "1", "file": 7},
        {"id": "g", "expression": "1", "file": "\0"},
    ]
    result = kinbridge("--batch", input="\n".join(map(json.dumps, lines)) + "\nnonsense\n")

    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer["id"] for answer in answers] == ["a", "b", "c", "d", "e", "f", "g", None]
    assert answers[0]["result"][0]["location"] == "Patient.name[0].given[0]"
    assert '"value":1.50' in result.stdout
    assert all("error" in answers[index] for index in (1, 3, 4, 5, 6, 7))
