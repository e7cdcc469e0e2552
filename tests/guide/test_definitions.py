"""The guide's definitions and good examples, by our own checker."""

import pytest
from guided import DEFINITIONS, EXAMPLES, definitions, read

from app import fhirpath


@pytest.mark.parametrize("path", DEFINITIONS, ids=lambda one: one.stem)
def test_a_definition_is_what_its_file_says(path, errors):
    """A definition is valid FHIR, stands under our canonical, and its file is named after it."""
    found = read(path)

    assert errors(found) == []
    assert path.stem == f"{found['resourceType']}-{found['id']}"
    assert (
        found["url"] == f"https://kinbridge.example.org/fhir/{found['resourceType']}/{found['id']}"
    )


@pytest.mark.parametrize("found", definitions("StructureDefinition"), ids=lambda one: one["id"])
def test_a_profile_compiles(found, loaded):
    """Every profile can be checked against, and every rule in it can be evaluated."""
    assert loaded.profiles.get(found["url"]) is not None
    for element in found["differential"]["element"]:
        for rule in element.get("constraint", ()):
            assert fhirpath.compile(rule["expression"])
            assert rule["human"].endswith(".")
            assert rule["source"] == found["url"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda one: one.stem)
def test_a_good_example_conforms(path, errors):
    """An example has no error by what it claims."""
    assert errors(read(path)) == []


def test_every_profile_has_an_example():
    """Each profile and each extension of ours is used by at least one good example."""
    text = "".join(path.read_text() for path in EXAMPLES)

    for found in definitions("StructureDefinition"):
        assert f'"{found["url"]}"' in text, found["id"]
