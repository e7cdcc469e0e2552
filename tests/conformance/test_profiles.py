"""A resource is held against a profile: every kind of rule finds its defect at its place."""

from __future__ import annotations

import json

import differentials
import pytest
from differentials import BASE, SYSTEM, URL

from app import conformance


def profile(*rows, of="Patient", **more):
    return differentials.profile(of, *rows, **more)


@pytest.fixture(scope="module")
def check(definitions, now):
    def check(resource, *profiles):
        loaded = conformance.Definitions()
        for package in definitions.packages:
            loaded.add(package)
        for one in profiles:
            loaded.add(json.dumps(one).encode())
        found = loaded.check({"resourceType": "Patient", **resource}, now=now, profiles=(URL,))
        return [
            (one.severity, one.rule, one.expression)
            for one in found
            if one.rule not in ("dom-6", "code-unchecked")
        ]

    return check


SLICED = (
    {
        "path": "Patient.identifier",
        "slicing": {"discriminator": [{"type": "value", "path": "system"}], "rules": "closed"},
    },
    {"path": "Patient.identifier", "sliceName": "own", "min": 1, "max": "1"},
    {"path": "Patient.identifier.system", "fixedUri": SYSTEM},
    {"path": "Patient.identifier.value", "min": 1},
)
OWN = {"system": SYSTEM, "value": "1"}
RULES = [
    ([{"path": "Patient.name", "min": 1}], {}, "cardinality", "Patient"),
    (
        [{"path": "Patient.name", "max": "0"}],
        {"name": [{"text": "A"}]},
        "cardinality-max",
        "Patient",
    ),
    (
        [{"path": "Patient.gender", "fixedCode": "male"}],
        {"gender": "female"},
        "fixed",
        "Patient.gender",
    ),
    (
        [{"path": "Patient.maritalStatus", "patternCodeableConcept": {"text": "one"}}],
        {"maritalStatus": {"text": "two"}},
        "pattern",
        "Patient.maritalStatus",
    ),
    (
        [{"path": "Patient.deceased[x]", "type": [{"code": "boolean"}]}],
        {"deceasedDateTime": "2020"},
        "type",
        "Patient.deceased.ofType(dateTime)",
    ),
    (
        [{"path": "Patient.birthDate", "minValueDate": "2020-01-01"}],
        {"birthDate": "2019-12-31"},
        "limit-value",
        "Patient.birthDate",
    ),
    (
        [
            {
                "path": "Patient.name",
                "constraint": [
                    {
                        "key": "one-1",
                        "severity": "error",
                        "human": "A name has a text",
                        "expression": "text.exists()",
                    }
                ],
            }
        ],
        {"name": [{"family": "A"}]},
        "one-1",
        "Patient.name[0]",
    ),
    (SLICED, {}, "slice-min", "Patient"),
    (SLICED, {"identifier": [OWN, OWN]}, "slice-max", "Patient"),
    (SLICED, {"identifier": [OWN, {"system": "urn:a:b"}]}, "slice-closed", "Patient.identifier[1]"),
    (SLICED, {"identifier": [{"system": SYSTEM}]}, "cardinality", "Patient.identifier[0]"),
    (
        [
            {
                "path": "Patient.generalPractitioner",
                "type": [{"code": "Reference", "targetProfile": [BASE + "Organization"]}],
            }
        ],
        {"generalPractitioner": [{"reference": "Practitioner/1"}]},
        "reference-target",
        "Patient.generalPractitioner[0]",
    ),
]


@pytest.mark.parametrize(("rows", "wrong", "rule", "path"), RULES)
def test_a_defect_is_one_error_at_its_place(check, rows, wrong, rule, path):
    """What the profile asks and the resource lacks is one error, there."""
    assert check(wrong, profile(*rows)) == [("error", rule, path)]


def test_a_resource_that_conforms_has_no_finding(check):
    """A slice that is there once and whole is right."""
    assert check({"identifier": [OWN]}, profile(*SLICED)) == []


def test_a_profile_asks_what_the_profile_below_it_asks(check):
    """What a base profile requires is required of every profile on it."""
    below = profile({"path": "Patient.name", "min": 1}, url=URL + "-below")

    found = check({}, below, profile({"path": "Patient.gender", "min": 1}, base=URL + "-below"))

    assert [one[1] for one in found] == ["cardinality", "cardinality"]


def test_a_profile_that_stands_on_itself_is_said(check):
    """A circle of profiles ends at once with an error that names it."""
    assert check({}, profile(base=URL)) == [("error", "profile-unreadable", "Patient")]


def test_a_slicing_that_tells_nothing_apart_is_said(check):
    """Where the profile does not say what is in a slice, that is not checked, and said."""
    rows = (
        {**SLICED[0], "slicing": {**SLICED[0]["slicing"], "rules": "open"}},
        {"path": "Patient.identifier", "sliceName": "own", "min": 1},
    )

    assert check({}, profile(*rows)) == [("information", "slice-unchecked", "Patient")]


def test_a_claimed_profile_that_is_not_loaded_is_a_warning(definitions, now):
    """A profile that is not here is not checked, and that is said where it is claimed."""
    resource = {"resourceType": "Patient", "meta": {"profile": ["http://example.org/none"]}}

    found = definitions.check(resource, now=now)

    assert ("warning", "profile-unknown", "Patient.meta.profile[0]") in [
        (one.severity, one.rule, one.expression) for one in found
    ]


def test_an_extension_stands_where_its_definition_lets_it(definitions, now):
    """A mother's family name belongs to a family name, and nowhere else."""
    extension = {"url": BASE + "humanname-mothers-family", "valueString": "A"}
    right = {"resourceType": "Patient", "name": [{"_family": {"extension": [extension]}}]}
    wrong = {"resourceType": "Patient", "extension": [extension]}

    assert not [one for one in definitions.check(right, now=now) if one.severity == "error"]
    assert [
        (one.rule, one.expression)
        for one in definitions.check(wrong, now=now)
        if one.severity == "error"
    ] == [("extension-context", "Patient.extension[0]")]


def test_a_vital_sign_is_held_against_its_profile_unasked(definitions, now):
    """A body temperature by its LOINC code has a category, a subject and a time."""
    code = {"coding": [{"system": "http://loinc.org", "code": "8310-5"}]}
    bare = {"resourceType": "Observation", "status": "final", "code": code}

    found = definitions.check(bare, now=now)
    alone = definitions.check(bare, now=now, claims=False)

    profile_of = {one.profile.partition("|")[0] for one in found if one.severity == "error"}
    assert profile_of == {BASE + "bodytemp"}
    assert not [one for one in alone if one.severity == "error"]


def test_what_a_profile_asks_is_said(definitions, now):
    """The fixed value and the pattern are the profile's, so the sentence names them; it names no value."""
    coding = {"system": SYSTEM, "code": "fulfill"}
    asked = profile(
        {"path": "Patient.gender", "fixedCode": "male"},
        {"path": "Patient.maritalStatus", "patternCodeableConcept": {"coding": [coding]}},
    )
    loaded = conformance.Definitions()
    for package in definitions.packages:
        loaded.add(package)
    loaded.add(json.dumps(asked).encode())
    wrong = {"resourceType": "Patient", "gender": "other", "maritalStatus": {"text": "secret"}}

    found = loaded.check(wrong, now=now, profiles=(URL,))

    texts = {one.rule: one.text for one in found}
    assert texts["fixed"].endswith("take the profile's: male.")
    assert texts["pattern"].endswith(
        f"add what the profile names: coding.system {SYSTEM}, coding.code fulfill."
    )
    assert "secret" not in str(texts)
