"""Every example of the guides is right, and the recorded verdicts of HL7's validator are ours."""

from __future__ import annotations

import json
import re
import tarfile

import agreement
import pytest

from app import fhir

pytestmark = pytest.mark.shared


def errors(definitions, raw, now):
    found = definitions.check(fhir.decode(raw), now=now)
    return [(one.expression, one.rule) for one in found if one.severity in ("error", "fatal")]


def test_the_examples_of_social_care_are_right(definitions, now, shared):
    """None of SDOH Clinical Care's own examples has an error of base R4."""
    files = sorted((shared / "examples" / "sdohcc-3.0.0").glob("*.json"))

    wrong = {one.name: errors(definitions, one.read_bytes(), now) for one in files}

    assert len(files) > 70
    assert not {name: found for name, found in wrong.items() if found}


def test_the_examples_of_us_core_are_right(definitions, now, shared):
    """None of US Core's own examples has an error of base R4."""
    wrong, count = {}, 0
    with tarfile.open(shared / "packages" / "hl7.fhir.us.core-7.0.0.tgz") as package:
        for member in package:
            if "/example/" in member.name and not member.name.endswith(".index.json"):
                count += 1
                found = errors(definitions, package.extractfile(member).read(), now)
                if found:
                    wrong[member.name] = found

    assert count > 200
    assert not wrong


def test_the_recorded_verdicts_are_ours_or_explained(definitions, now, shared):
    """Each verdict that differs is listed with its reason, and none is listed that agrees."""
    folder = shared / "validator-cases"
    differing = set(agreement.differences(definitions, folder, now))
    page = agreement.PAGE.read_text()
    listed = set(re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE))

    assert differing == listed


def test_where_both_find_errors_the_places_are_mostly_the_same(definitions, now, shared):
    """The places with an error are the recorded ones, with the exceptions that are counted."""
    folder = shared / "validator-cases"
    cases = json.loads((folder / "manifest.json").read_text())["cases"]
    counted = same = 0
    for case in cases:
        recorded = agreement.recorded(folder, case)
        if recorded is not None:
            ours = agreement.ours(definitions, folder, case, now)
            counted += bool(recorded) == bool(ours)
            same += recorded == ours

    assert same >= counted * 0.8
