"""
For each instrument and way in: what is given, and what is made of it, written by hand.

A folder tests/examples/INSTRUMENT/WAY has given.json, sent as it is, and made.json: every resource
that is made, without ids and times of ours; a reference names an Observation by its question's
code, and by its answer's too where a question has several.
"""

import json
from pathlib import Path

import pytest
from exchange import resources

from app import fhir

EXAMPLES = Path(__file__).parents[1] / "examples"
SUBMIT = "clinic/chart/fhir/$submit-screening"
MINE = ("versionId", "lastUpdated", "source")
WAYS = sorted(path.parent for path in EXAMPLES.glob("*/*/given.json"))


def named(made, sent, given):
    """What each reference to what was made, or given without an id that stays, is called there."""
    called = given.get("id", "given")
    names = {f"{sent['resourceType']}/{sent['id']}": f"{sent['resourceType']}/{called}"}
    if given["resourceType"] == "Bundle":
        names = {}
    ours = [one for one in made if one["resourceType"] == "Observation"]
    codes = [one["code"]["coding"][0]["code"] for one in ours]
    for one, code in zip(ours, codes, strict=True):
        several = codes.count(code) > 1 or code == "help-wish"
        answer = one["valueCodeableConcept"]["coding"][0]["code"] if several else ""
        names[f"Observation/{one['id']}"] = f"Observation/{code}" + (
            f"/{answer}" if several else ""
        )
    for one in made:
        if one["resourceType"] == "ServiceRequest":
            domain = one["category"][1]["coding"][0]["code"]
            names[f"ServiceRequest/{one['id']}"] = f"ServiceRequest/{domain}"
        if one["resourceType"] == "Condition":
            names[f"Condition/{one['id']}"] = f"Condition/{one['code']['coding'][0]['code']}"
    return names


def plain(resource, names):
    """A resource without what is ours to set."""
    ours = ("id", "recorded", "recordedDate")
    said = {key: value for key, value in resource.items() if key not in ours}
    said["meta"] = {key: value for key, value in said["meta"].items() if key not in MINE}
    return fhir.renamed(said, lambda one: names.get(one, one))


def submitted(exchange, folder):
    """What was made of the folder's given.json, and the response that was given if it is one."""
    given = json.loads((folder / "given.json").read_bytes())
    single = given["resourceType"] == "Observation"
    if single:
        given.pop("id")
    answer = resources(exchange.call("POST", SUBMIT, given))
    sent = next((one for one in answer if one["resourceType"] != "OperationOutcome"), None)
    came = {one["id"] for one in fhir.listed(given.get("entry")) for one in [one["resource"]]}
    made = [
        one
        for one in answer
        if one["resourceType"] not in {"OperationOutcome", "QuestionnaireResponse"}
        and one["id"] not in came
        and not (single and one is sent)
    ]
    return made, sent


@pytest.mark.parametrize("folder", WAYS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_is_given_makes_what_is_written(exchange, patient, folder):
    """Each way in makes exactly what a person wrote down from the specification."""
    expected = json.loads((folder / "made.json").read_bytes())

    made, sent = submitted(exchange, folder)

    names = named(made, sent, json.loads((folder / "given.json").read_bytes()))
    found = [plain(one, names) for one in made]
    assert len(found) == len(expected)
    for one, wanted in zip(found, expected, strict=True):
        assert one == wanted


@pytest.mark.parametrize("folder", WAYS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_is_made_keeps_its_profile(exchange, patient, definitions, folder):
    """Everything that is made claims a profile, and keeps it."""
    made, _ = submitted(exchange, folder)

    assert made
    for one in made:
        assert one["meta"]["profile"]
        found = definitions.check(one, now=exchange.now)
        assert [each for each in found if each.severity in {"error", "fatal"}] == []


def test_each_instrument_has_an_example_of_each_way():
    """An instrument that ships is shown by a response, by rows together and by one row alone."""
    ways = {(path.parent.name, path.name) for path in WAYS}

    for instrument in (EXAMPLES.parents[1] / "mappings/instruments").glob("*.toml"):
        for way in ("response", "observations", "single-observation"):
            assert (instrument.stem, way) in ways
