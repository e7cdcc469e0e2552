"""No code of others stands in the guide that the project has no source for, and no wording."""

import re

import pytest
from guided import DEFINITIONS, EXAMPLES, ROOT, read

from app import conformance
from app.conformance import packages
from app.sandbox import examples

LOINC, SNOMED = "http://loinc.org", "http://snomed.info/sct"
ICD = "http://hl7.org/fhir/sid/icd-10-cm"
NOT_OURS_TO_SHIP = ("ama-assn.org", "ada.org", "rxnorm")
SPEC = ROOT.parent / "shared" / "spec"


def codings(value):
    """Every coding, and every concept of a value set or map, as (system, code, display)."""
    if isinstance(value, list):
        for one in value:
            yield from codings(one)
    elif isinstance(value, dict):
        if isinstance(value.get("code"), str) and isinstance(value.get("system"), str):
            yield value["system"], value["code"], value.get("display", "")
        for one in value.get("concept", ()):
            if isinstance(value.get("system"), str):
                yield value["system"], one["code"], one.get("display", "")
        for side, listed in (("source", "element"), ("target", "element")):
            for one in value.get(listed, ()) if isinstance(value.get(side), str) else ():
                found = [one] if side == "source" else one["target"]
                yield from ((value[side], each["code"], "") for each in found if "code" in each)
        for one in value.values():
            yield from codings(one)


def ours():
    yield from (read(path) for path in (*DEFINITIONS, *EXAMPLES))
    yield from (one.resource for one in examples.wrong())


USED = {(system, code) for found in ours() for system, code, _ in codings(found)}


def test_codes_of_others_are_found():
    """The test sees what it is to judge: codes of LOINC, SNOMED CT and ICD-10-CM do stand here."""
    assert (LOINC, "88122-7") in USED
    assert (SNOMED, "410606002") in USED
    assert (ICD, "T76.12XA") in USED


@pytest.mark.shared
def test_every_code_has_a_source():
    """Each such code stands in the project's own tables, or in a guide that is loaded."""
    told = "".join(
        path.read_text()
        for path in SPEC.rglob("*")
        if path.suffix in {".md", ".json", ".csv"} and "reports" not in path.parts
    )
    loaded = {
        (system, code)
        for package in packages.load(conformance.folder())
        for entry in package.entries
        if entry.resource_type == "ValueSet" and "kinbridge.example.org" not in entry.url
        for system, code, _ in codings(package.read(entry))
        if system in {LOINC, SNOMED, ICD}
    }

    for system, code in USED:
        if system in {LOINC, SNOMED, ICD} and (system, code) not in loaded:
            assert re.search(rf"(?<![\w.-]){re.escape(code)}(?![\w-])", told), (system, code)


def test_no_wording_of_an_instrument():
    """A LOINC code carries no display, and an answered form no text of its questions."""
    for found in ours():
        for system, code, display in codings(found):
            assert system != LOINC or not display, code
        for item in found.get("item", ()):
            assert item.keys() <= {"linkId", "answer"}


def test_no_list_of_codes_that_is_not_ours():
    """No value set lists or expands SNOMED CT, and nothing is coded in CPT, CDT or RxNorm."""
    for found in ours():
        assert "expansion" not in found
        if found["resourceType"] in {"ValueSet", "CodeSystem"}:
            assert SNOMED not in str(found)
    for system, code in USED:
        assert not any(one in system for one in NOT_OURS_TO_SHIP), (system, code)


def test_a_definition_with_codes_of_others_says_whose_they_are():
    """The notices of LOINC, SNOMED CT and HL7 stand on the guide's first page and in the guide."""
    page = (ROOT / "docs" / "guide" / "README.md").read_text()
    guide = next(read(path) for path in DEFINITIONS if path.stem.startswith("Implementation"))

    for text in (page, guide["copyright"]):
        assert "Regenstrief Institute" in text
        assert "SNOMED International" in text
    assert "no endorsement is implied" in page
