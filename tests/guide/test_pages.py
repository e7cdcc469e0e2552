"""The pages of docs/guide/ say what the definitions say."""

import re
import subprocess
import sys

import pytest
from guided import GUIDE, ROOT, definitions, read

PAGES = ROOT / "docs" / "guide"
ELEMENTS = [f"E{number:02}" for number in range(1, 45)]
FACTS = (
    "injury-finding present-condition child-statement caregiver-statement history-consistency"
    " medical-opinion prior-concern immediate-safety child-vulnerability icwa-inquiry"
    " support-alternative actions-taken chronicity caregiver-factor worker-safety tests-pending"
    " custody-arrangement protective-factor witnessed-behaviour"
).split()


def test_the_pages_are_what_the_script_makes():
    """Every message, table and rule on a page stands so in the definitions and examples."""
    command = [sys.executable, "scripts/guide.py", "--check"]

    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout


def test_every_link_leads_somewhere():
    """A page names no page that is not there."""
    for path in PAGES.glob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / target).exists(), (path.name, target)


def rows():
    """(first cell, profile, its elements, its codes) of each row of the minimum data set."""
    text = (PAGES / "minimum-data-set.md").read_text()
    for line in text.splitlines():
        cells = [one.strip() for one in line.strip("|").split("|")]
        if line.startswith("| ") and "`" in line:
            yield cells[0], *[re.findall(r"`([^`]+)`", cell) for cell in cells[-3:]]


def test_every_element_of_the_minimum_data_set_has_a_place():
    """Each of the 44 elements stands in a profile, at an element that the profile speaks of."""
    said = list(rows())

    assert {name for name, *_ in said if name in ELEMENTS} == set(ELEMENTS)
    for name, (profile,), places, _ in said:
        found = read(GUIDE / f"StructureDefinition-{profile}.json")
        told = {one["id"] for one in found["differential"]["element"]}
        assert places, name
        assert set(places) <= told, (name, profile)


def test_every_code_of_the_minimum_data_set_exists():
    """Each code that a row names is in its code system, and every kind of fact is named."""
    known = {
        f"{found['id']}#{one['code']}"
        for found in definitions("CodeSystem")
        for one in found["concept"]
    }
    named = {code for *_, codes in rows() for code in codes}

    assert named <= known
    assert {f"cps-observation#{one}" for one in FACTS} <= named
    assert {one for one in known if one.startswith("cps-observation#")} <= named
    assert {one for one in known if one.startswith("cps-party-role#")} <= named


@pytest.mark.shared
def test_the_minimum_data_set_has_the_weights_of_the_standard():
    """Element by element, the table has the label and the weight of the completeness standard."""
    standard = read(ROOT.parent / "shared" / "spec" / "data" / "completeness.json")
    text = (PAGES / "minimum-data-set.md").read_text()

    for one in standard["elements"]:
        assert f"| {one['id']} | {one['label']} | {one['weight']} |" in text
