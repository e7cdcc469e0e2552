"""Definitions that nobody sane writes end soon, and what they leave unchecked is said."""

from __future__ import annotations

import json
import time

import pytest
from differentials import BASE, URL, profile

from app import conformance

OTHER = "http://example.org/StructureDefinition/other"
BOMB = "^(([a-z])+.)+[A-Z]([a-z])+$"


@pytest.fixture
def soon():
    start = time.process_time()
    yield
    assert time.process_time() - start < 15


@pytest.fixture(scope="module")
def check(definitions, now):
    def check(resource, *loaded):
        made = conformance.Definitions()
        for package in definitions.packages:
            made.add(package)
        for one in loaded:
            made.add(json.dumps(one).encode())
        issues = made.check(resource, now=now, profiles=(URL,))
        return [(one.severity, one.rule) for one in issues if one.rule != "dom-6"]

    return check


def patient(**more):
    return {"resourceType": "Patient", **more}


def rule(expression):
    said = {"key": "one-1", "severity": "error", "human": "It holds", "expression": expression}
    return {"path": "Patient.name", "constraint": [said]}


@pytest.mark.usefixtures("soon")
def test_profiles_that_stand_on_each_other_are_named(check):
    """A circle of two is as much of one as a profile on itself."""
    one = profile("Patient", base=OTHER)
    other = profile("Patient", url=OTHER, base=URL)

    assert check(patient(), one, other) == [("error", "profile-unreadable")]


@pytest.mark.usefixtures("soon")
def test_a_profile_on_what_is_not_loaded_is_named(check):
    """Of half a profile nothing is said to be right."""
    one = profile("Patient", {"path": "Patient.name", "min": 1}, base=OTHER)

    assert check(patient(name=[{"text": "text"}]), one) == [("error", "profile-unreadable")]


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("most", ["9" * 400, "-1", "many", ""])
def test_a_maximum_that_is_none_ends(check, most):
    """Whatever a maximum says, the answer is there: it is huge, or it cannot be read."""
    said = check(
        patient(name=[{"text": "a"}]), profile("Patient", {"path": "Patient.name", "max": most})
    )

    assert said in ([], [("error", "profile-unreadable")], [("error", "cardinality-max")])


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(
    "expression",
    [
        f"text.matches('{BOMB}')",
        "repeat($this | %resource).count() = 1",
        "(1 | 2).select(" * 200 + "true" + ")" * 200,
        "(((((",
        "nosuch()",
    ],
)
def test_an_invariant_that_explodes_is_not_checked_and_said(check, expression):
    """A pattern without end, a walk in circles and what is no FHIRPath cost little and are named."""
    said = check(patient(name=[{"text": "a" * 60_000 + "!"}]), profile("Patient", rule(expression)))

    assert said in ([("information", "invariant-unchecked")], [("error", "one-1")], [])


@pytest.mark.usefixtures("soon")
def test_slices_by_nothing_are_told_apart_by_what_they_ask(check):
    """Without a discriminator a value is in the slice of which it has all."""
    rows = (
        {"path": "Patient.name", "slicing": {"rules": "open"}},
        {"path": "Patient.name", "sliceName": "whole", "min": 1},
        {"path": "Patient.name.family", "min": 1},
    )

    assert check(patient(name=[{"family": "A"}]), profile("Patient", *rows)) == []
    assert check(patient(name=[{"text": "A"}]), profile("Patient", *rows)) == [
        ("error", "slice-min")
    ]


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("expression", ["(((((", "repeat($this | %resource)", "nosuch()"])
def test_a_context_that_cannot_be_evaluated_is_said(check, expression):
    """An extension whose place is an expression without sense is not checked, and not passed."""
    named = {"path": "Extension.url", "fixedUri": OTHER}
    one = profile("Extension", named, url=OTHER, context=[
        {"type": "fhirpath", "expression": expression}])  # fmt: skip
    said = check(
        patient(extension=[{"url": OTHER, "valueString": "a"}]), profile("Patient"), {
            **one, "kind": "complex-type", "baseDefinition": BASE + "Extension"})  # fmt: skip

    assert [one[1] for one in said] in (["extension-unchecked"], ["extension-context"], [])


@pytest.mark.usefixtures("soon")
def test_a_thousand_additional_bindings_in_circumstances_end(check):
    """Many bindings of one element, each for another circumstance, are looked up by it."""
    extra = "http://hl7.org/fhir/tools/StructureDefinition/additional-binding"

    def more(at):
        usage = {"code": {"system": URL, "code": "Observation.category" if at % 2 else ".." * 99},
                 "valueCodeableConcept": {"coding": [{"system": "urn:x:y", "code": str(at)}]}}  # fmt: skip
        inside = [{"url": "purpose", "valueCode": "required"},
                  {"url": "valueSet", "valueCanonical": f"http://example.org/ValueSet/{at}"},
                  {"url": "usage", "valueUsageContext": usage}]  # fmt: skip
        return {"url": extra, "extension": inside}

    binding = {"strength": "example", "extension": [more(at) for at in range(2000)]}
    concept = {"coding": [{"system": "urn:x:y", "code": "7"}]}
    observation = {"resourceType": "Observation", "status": "final", "code": concept,
                   "category": [concept] * 1000}  # fmt: skip
    said = check(
        observation, profile("Observation", {"path": "Observation.code", "binding": binding})
    )

    assert {one for one in said if one[1] == "binding-unchecked"}
    assert not [one for one in said if one[0] == "error"]
