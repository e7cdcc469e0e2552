"""kinbridge validate: what an engineer sees, and what a program reads."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from app.cli import app

DIV = '<div xmlns="http://www.w3.org/1999/xhtml">text</div>'
RIGHT = {"resourceType": "Patient", "id": "one", "text": {"status": "generated", "div": DIV}}
WRONG = {**RIGHT, "birthDate": "2026-02-30"}


def run(*words):
    return CliRunner().invoke(app, ["validate", *map(str, words)])


@pytest.fixture
def files(tmp_path):
    (tmp_path / "right.json").write_text(json.dumps(RIGHT))
    (tmp_path / "wrong.json").write_text(json.dumps(WRONG, indent=2))
    lines = [json.dumps(RIGHT), "", json.dumps(WRONG), "{broken"]
    (tmp_path / "many.ndjson").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_a_right_resource_is_no_news(files):
    """Nothing is said of what is right but that it was checked, and the exit is 0."""
    result = run(files / "right.json")

    assert result.exit_code == 0
    assert result.stdout == "1 checked, 0 invalid\n"


def test_what_is_wrong_is_said_with_line_and_column_and_how_to_mend_it(files):
    """The text has file, line, column, path, rule, a sentence and where the rule is explained."""
    result = run(files / "wrong.json")

    assert result.exit_code == 1
    first, text, url, _ = result.stdout.splitlines()
    assert first.endswith("wrong.json:8:3: error: Patient.birthDate [primitive-format]")
    assert "write a real date" in text
    assert url.strip().startswith("https://hl7.org/fhir/R4/")


def test_a_program_gets_a_line_for_each_resource(files):
    """JSON has file, resource, profiles and an OperationOutcome for each, right or wrong."""
    result = run(files, "--format", "json")

    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 1
    assert [sorted(line) for line in lines] == [["file", "outcome", "profiles", "resource"]] * 5
    assert [line["resource"] for line in lines] == [
        "Patient/one",
        "Patient/one",
        "",
        *["Patient/one"] * 2,
    ]
    assert {line["outcome"]["resourceType"] for line in lines} == {"OperationOutcome"}
    assert [line["outcome"]["issue"][0]["severity"] for line in lines] == [
        "information", "error", "fatal", "information", "error",
    ]  # fmt: skip


def test_a_line_of_ndjson_is_found_by_its_number(files):
    """An issue in NDJSON names the line of the file."""
    result = run(files / "many.ndjson")

    assert "many.ndjson:3:" in result.stdout
    assert "many.ndjson:4:1: fatal" in result.stdout


@pytest.mark.parametrize("name", ["nowhere.json", "empty"])
def test_what_cannot_be_checked_is_no_success(tmp_path, name):
    """A file that is not there and a folder with nothing in it exit with 2."""
    (tmp_path / "empty").mkdir()

    assert run(tmp_path / name).exit_code == 2


def test_an_entry_of_a_bundle_is_found_by_its_path(tmp_path):
    """A Bundle is one resource, and what is wrong in an entry stands at the entry's path."""
    entries = [{"fullUrl": "http://example.org/Patient/one", "resource": WRONG}]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    (tmp_path / "bundle.json").write_text(json.dumps(bundle))

    result = run(tmp_path / "bundle.json")

    assert "Bundle.entry[0].resource.birthDate" in result.stdout


def test_many_are_checked_in_more_than_one_process(tmp_path):
    """Two megabytes of lines give as many answers, in their order."""
    line = json.dumps({**RIGHT, "name": [{"text": "text " * 100}]})
    wrong = json.dumps(WRONG)
    (tmp_path / "many.ndjson").write_text("\n".join([line] * 4000 + [wrong]) + "\n")

    result = run(tmp_path / "many.ndjson", "--format", "json")

    lines = result.stdout.splitlines()
    assert len(lines) == 4001
    assert result.exit_code == 1
    assert json.loads(lines[-1])["outcome"]["issue"][0]["severity"] == "error"


def test_a_profile_of_ones_own_is_loaded_and_checked(tmp_path, files):
    """A profile that comes as one file is held against what is checked."""
    url = "http://example.org/StructureDefinition/named"
    named = {
        "resourceType": "StructureDefinition",
        "url": url,
        "type": "Patient",
        "kind": "resource",
        "derivation": "constraint",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
        "differential": {"element": [{"path": "Patient.name", "min": 9}]},
    }
    (tmp_path / "named.json").write_text(json.dumps(named))
    (tmp_path / "patient.json").write_text('{"resourceType": "Patient"}')

    options = ("--package", tmp_path / "named.json", "--profile", url)
    result = run(tmp_path / "patient.json", *options)

    assert result.exit_code == 1
    assert "error: Patient [cardinality]" in result.stdout


def test_a_profile_that_is_not_loaded_cannot_be_checked(files):
    """What was asked for and is not here ends with exit 2 and is named."""
    assert run(files / "right.json", "--profile", "http://example.org/none").exit_code == 2


def test_what_must_be_supported_is_told_to_who_asks(tmp_path):
    """A name that US Core must support and that is not there is information, and no defect."""
    url = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient"
    child = {
        "resourceType": "Patient",
        "meta": {"profile": [url]},
        "identifier": [{"system": "http://example.org/mrn", "value": "1"}],
        "name": [{"family": "Example", "given": ["Rosa"]}],
        "gender": "female",
    }
    (tmp_path / "child.json").write_text(json.dumps(child))

    silent = run(tmp_path / "child.json", "--format", "json")
    asked = run(tmp_path / "child.json", "--format", "json", "--must-support")

    told = [one["details"] for one in json.loads(asked.stdout)["outcome"]["issue"]]
    assert json.loads(silent.stdout)["profiles"][1:] == [url]
    assert "must support" not in silent.stdout
    assert any("must support birthDate" in one["text"] for one in told)
    assert asked.exit_code == 0
