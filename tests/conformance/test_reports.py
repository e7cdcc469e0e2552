"""What `kinbridge validate` writes for other programs, and what it takes as known."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest
from junitparser import JUnitXml
from sarif_pydantic import Sarif
from typer.testing import CliRunner

from app.cli import app

DIV = '<div xmlns="http://www.w3.org/1999/xhtml">text</div>'
RIGHT = {"resourceType": "Patient", "id": "one", "text": {"status": "generated", "div": DIV}}
WRONG = {**RIGHT, "id": "two", "birthDate": "2026-02-30", "gender": "<b>"}
BARE = {"resourceType": "Patient", "id": "three"}  # without narrative: dom-6, a warning


def run(*words):
    return CliRunner().invoke(app, ["validate", *map(str, words)])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a right & good.json").write_text(json.dumps(RIGHT))
    (tmp_path / "wrong.json").write_text(json.dumps(WRONG, indent=1))
    (tmp_path / "bare.ndjson").write_text("\n".join(map(json.dumps, (BARE, RIGHT, BARE))))
    (tmp_path / "broken.json").write_text("{")
    return tmp_path


def test_junit_is_what_a_build_server_reads(folder):
    """A suite for each file and a case for each resource, with the counts that belong to them."""
    result = run(folder, "--format", "junit")

    suites = {one.name.rpartition("/")[2]: one for one in JUnitXml.fromstring(result.stdout)}
    counts = {name: (one.tests, one.failures) for name, one in suites.items()}
    assert result.exit_code == 1
    assert counts == {
        "a right & good.json": (1, 0), "wrong.json": (1, 1), "bare.ndjson": (3, 0),
        "broken.json": (1, 1),
    }  # fmt: skip
    case = next(iter(suites["wrong.json"]))
    assert case.name == "Patient/two (line 1)"
    assert "wrong.json:" in case.result[0].text
    assert "[primitive-format]" in case.result[0].text
    # As windyroad's JUnit schema asks: these attributes, these children in this order.
    for suite in ET.fromstring(result.stdout):
        assert set(suite.attrib) >= {
            "id", "package", "name", "timestamp", "hostname", "tests", "failures", "errors", "time",
        }  # fmt: skip
        tags = list(dict.fromkeys(one.tag for one in suite))
        assert tags == ["properties", "testcase", "system-out", "system-err"]
        assert all(
            {"name", "classname", "time"} == set(one.attrib) for one in suite.iter("testcase")
        )


def test_sarif_is_what_a_code_review_reads(folder):
    """Each issue is a result with its rule, file, line and column, in SARIF 2.1.0."""
    result = run(folder, "--format", "sarif")

    Sarif.model_validate_json(result.stdout)
    (ran,) = json.loads(result.stdout)["runs"]
    rules = {one["id"] for one in ran["tool"]["driver"]["rules"]}
    places = {
        (
            one["ruleId"],
            one["level"],
            one["locations"][0]["physicalLocation"]["region"]["startLine"],
        )
        for one in ran["results"]
        if one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].endswith(
            "/wrong.json"
        )
    }
    assert {one["ruleId"] for one in ran["results"]} == rules
    assert ("primitive-format", "error", 8) in places
    assert {one["level"] for one in ran["results"]} == {"error", "warning"}
    assert all(" " not in one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
               for one in ran["results"])  # fmt: skip


def test_nothing_found_is_a_report_too(folder):
    """A report without a finding is as well formed as one with many."""
    file = folder / "a right & good.json"

    sarif = json.loads(run(file, "--format", "sarif").stdout)
    junit = JUnitXml.fromstring(run(file, "--format", "junit").stdout)

    assert sarif["runs"][0]["results"] == []
    assert [(one.tests, one.failures) for one in junit] == [(1, 0)]


def test_warnings_fail_where_they_are_asked_to(folder):
    """--fail-on warning turns a warning into exit 1; without it a warning is said and no more."""
    file = folder / "bare.ndjson"

    assert run(file).exit_code == 0
    assert run(file, "--fail-on", "warning").exit_code == 1
    assert run(folder / "a right & good.json", "--fail-on", "warning").exit_code == 0
    assert run(file, "--fail-on", "information").exit_code == 2


def test_what_is_known_fails_no_more_and_what_is_new_does(folder):
    """A baseline is written once; from then on only what is not in it fails."""
    baseline = folder / "known.baseline"
    wrong = folder / "wrong.json"

    written = run(wrong, "--write-known", baseline)
    again = run(wrong, "--known", baseline)
    wrong.write_text(json.dumps({**WRONG, "active": "yes"}, indent=1))
    more = run(wrong, "--known", baseline)

    assert (written.exit_code, again.exit_code, more.exit_code) == (0, 0, 1)
    assert again.stdout == "1 checked, 0 invalid, 2 known issues\n"
    assert "Patient.active" in more.stdout
    assert "Patient.birthDate" not in more.stdout
    assert len(baseline.read_text().splitlines()) == 7


def test_what_is_known_is_suppressed_in_sarif(folder):
    """A code review sees that an issue was accepted."""
    baseline = folder / "known.baseline"
    run(folder / "wrong.json", "--write-known", baseline)

    result = run(folder / "wrong.json", "--known", baseline, "--format", "sarif")

    Sarif.model_validate_json(result.stdout)
    results = json.loads(result.stdout)["runs"][0]["results"]
    assert [one["suppressions"][0]["kind"] for one in results] == ["external"] * 2


def test_known_issues_that_do_not_occur_any_more_are_said(folder):
    """A baseline that has grown old is noticed."""
    baseline = folder / "known.baseline"
    run(folder / "wrong.json", "--write-known", baseline)

    result = run(folder / "a right & good.json", "--known", baseline)

    assert result.exit_code == 0
    assert "2 known issues did not occur" in result.stderr


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"what": "x", "issues": []}', "\x00"])
def test_what_is_no_baseline_is_refused(folder, text):
    """A file that is none ends with exit 2, and is not taken for an empty one."""
    (folder / "known.baseline").write_text(text)

    result = run(folder / "wrong.json", "--known", folder / "known.baseline")

    assert result.exit_code == 2
    assert "no baseline" in result.stderr
