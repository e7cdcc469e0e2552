"""What tells slices apart, how they may stand, and what they ask, one rule of profiling a test."""

from __future__ import annotations

import json

import pytest
from differentials import BASE, URL, profile

from app import conformance

OTHER = "http://example.org/StructureDefinition/other"


def codes(url, *listed):
    include = [{"system": system, "concept": [{"code": code}]} for system, code in listed]
    return {
        "resourceType": "ValueSet", "url": url, "status": "active",
        "compose": {"include": include},
    }  # fmt: skip


@pytest.fixture(scope="module")
def check(definitions, now):
    def check(resource, *loaded, **more):
        found = conformance.Definitions()
        for package in definitions.packages:
            found.add(package)
        for one in loaded:
            found.add(json.dumps(one).encode())
        issues = found.check(resource, now=now, profiles=(URL,), **more)
        return [
            (one.severity, one.rule, one.expression)
            for one in issues
            if one.rule not in ("dom-6", "code-unchecked")
        ]

    return check


def patient(**more):
    return {"resourceType": "Patient", **more}


def observation(**more):
    code = {"coding": [{"system": "http://example.org/codes", "code": "a"}]}
    return {"resourceType": "Observation", "status": "final", "code": code, **more}


def sliced(path, kind, by, *rows, rules="open", ordered=False):
    how = {"discriminator": [{"type": kind, "path": by}], "rules": rules, "ordered": ordered}
    return [{"path": path, "slicing": how}, *rows]


BY_SYSTEM = (
    {"path": "Patient.identifier", "sliceName": "a", "max": "1"},
    {"path": "Patient.identifier.system", "fixedUri": "urn:a:a"},
    {"path": "Patient.identifier", "sliceName": "b", "min": 1},
    {"path": "Patient.identifier.system", "fixedUri": "urn:a:b"},
)
A, B, C = ({"system": f"urn:a:{name}"} for name in "abc")


def test_slices_are_told_apart_by_whether_something_is_there(check):
    """An identifier with a period is in one slice, one without in the other."""
    rows = sliced(
        "Patient.identifier", "exists", "period",
        {"path": "Patient.identifier", "sliceName": "old", "max": "1"},
        {"path": "Patient.identifier.period", "min": 1},
        {"path": "Patient.identifier", "sliceName": "new"},
        {"path": "Patient.identifier.period", "max": "0"},
        {"path": "Patient.identifier.value", "min": 1},
    )  # fmt: skip
    old = {"period": {"start": "2020"}}

    assert check(patient(identifier=[old, {"value": "1"}]), profile("Patient", *rows)) == []
    assert check(patient(identifier=[old, old]), profile("Patient", *rows)) == [
        ("error", "slice-max", "Patient")
    ]
    assert check(patient(identifier=[{"use": "usual"}]), profile("Patient", *rows)) == [
        ("error", "cardinality", "Patient.identifier[0]")
    ]


def test_slices_of_a_choice_are_told_apart_by_type(check):
    """What a profile says of a Quantity is not asked of a text."""
    rows = sliced(
        "Observation.value[x]", "type", "$this",
        {"path": "Observation.value[x]", "sliceName": "valueQuantity", "type": [{"code": "Quantity"}]},
        {"path": "Observation.value[x].unit", "min": 1},
    )  # fmt: skip

    assert check(observation(valueString="a"), profile("Observation", *rows)) == []
    assert check(observation(valueQuantity={"value": 1}), profile("Observation", *rows)) == [
        ("error", "cardinality", "Observation.value.ofType(Quantity)")
    ]


def test_a_choice_may_be_named_by_its_type(check):
    """A path such as valueQuantity is a slice of the choice."""
    rows = ({"path": "Observation.valueQuantity.unit", "min": 1},)

    assert check(observation(valueQuantity={"value": 1}), profile("Observation", *rows)) == [
        ("error", "cardinality", "Observation.value.ofType(Quantity)")
    ]


def test_slices_are_told_apart_by_a_value_set(check):
    """A category of the listed codes is in the slice, and has to be there."""
    listed = "http://example.org/ValueSet/a"
    rows = sliced(
        "Observation.category", "value", "$this",
        {
            "path": "Observation.category", "sliceName": "own", "min": 1,
            "binding": {"strength": "required", "valueSet": listed},
        },
    )  # fmt: skip
    loaded = (profile("Observation", *rows), codes(listed, ("http://example.org/codes", "a")))
    right = {"coding": [{"system": "http://example.org/codes", "code": "a"}]}
    other = {"coding": [{"system": "http://example.org/codes", "code": "b"}]}

    assert check(observation(category=[other, right]), *loaded) == []
    assert check(observation(category=[other]), *loaded) == [("error", "slice-min", "Observation")]


def test_a_slice_of_a_list_that_is_not_loaded_is_said(check):
    """Where it cannot be known what is in a slice, that is no error and no silence."""
    rows = sliced(
        "Observation.category", "value", "$this",
        {
            "path": "Observation.category", "sliceName": "own", "min": 1,
            "binding": {"strength": "required", "valueSet": "http://example.org/ValueSet/none"},
        },
    )  # fmt: skip
    some = {"coding": [{"system": "http://example.org/codes", "code": "a"}]}

    assert check(observation(category=[some]), profile("Observation", *rows)) == [
        ("information", "slice-unchecked", "Observation.category[0]")
    ]


@pytest.mark.parametrize(
    ("rules", "ordered", "given", "said"),
    [
        ("open", False, [B, C, A], []),
        ("open", True, [A, C, B], []),
        ("open", True, [B, A], ["slice-order"]),
        ("openAtEnd", False, [B, A, C], []),
        ("openAtEnd", False, [C, B], ["slice-order"]),
        ("closed", False, [B, C], ["slice-closed"]),
        ("closed", False, [B, A], []),
        ("open", False, [A, C], ["slice-min"]),
        ("open", False, [A, A, B], ["slice-max"]),
    ],
)
def test_slices_stand_as_the_profile_lets_them(check, rules, ordered, given, said):
    """Open, closed, in order, or with the rest at the end."""
    rows = sliced("Patient.identifier", "value", "system", *BY_SYSTEM, rules=rules, ordered=ordered)

    found = check(patient(identifier=given), profile("Patient", *rows))

    assert [rule for _, rule, _ in found] == said


def test_a_slice_has_slices_of_its_own(check):
    """A slice of a slice is looked for in it, and not beside it."""
    below = profile(
        "Patient", *sliced("Patient.identifier", "value", "system", *BY_SYSTEM), url=OTHER
    )
    rows = (
        {
            "path": "Patient.identifier", "sliceName": "b",
            "slicing": {"discriminator": [{"type": "value", "path": "use"}], "rules": "open"},
        },
        {"path": "Patient.identifier", "sliceName": "b/usual", "min": 1, "max": "1"},
        {"path": "Patient.identifier.use", "fixedCode": "usual"},
    )  # fmt: skip
    own = profile("Patient", *rows, base=OTHER)
    usual = {**B, "use": "usual"}

    assert check(patient(identifier=[usual, B]), own, below) == []
    assert check(patient(identifier=[B, {**A, "use": "usual"}]), own, below) == [
        ("error", "slice-min", "Patient")
    ]
    assert check(patient(identifier=[usual, usual]), own, below) == [
        ("error", "slice-max", "Patient")
    ]


def test_slices_are_told_apart_by_what_is_referred_to(check):
    """An entry of a Bundle that a Composition refers to is seen through the reference."""
    rows = sliced(
        "Patient.generalPractitioner", "type", "resolve()",
        {
            "path": "Patient.generalPractitioner", "sliceName": "clinic", "min": 1,
            "type": [{"code": "Reference", "targetProfile": [BASE + "Organization"]}],
        },
    )  # fmt: skip
    at = {"generalPractitioner": [{"reference": "Practitioner/1"}]}

    assert check(
        patient(generalPractitioner=[{"reference": "Organization/1"}]), profile("Patient", *rows)
    ) == []  # fmt: skip
    assert check(patient(**at), profile("Patient", *rows)) == [("error", "slice-min", "Patient")]


CLINIC = profile("Organization", {"path": "Organization.telecom", "min": 1}, url=OTHER)
MANAGED = {
    "path": "Patient.managingOrganization",
    "type": [{"code": "Reference", "targetProfile": [OTHER]}],
}


def bundle(*resources, base="http://example.org/fhir"):
    entries = [
        {"fullUrl": f"{base}/{one['resourceType']}/{one['id']}", "resource": one}
        for one in resources
    ]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def entries(kind, canonical):
    return profile(
        "Bundle",
        *sliced(
            "Bundle.entry", "type", "resource",
            {"path": "Bundle.entry", "sliceName": "one", "min": 1},
            {"path": "Bundle.entry.resource", "min": 1, "type": [{"code": kind, "profile": [canonical]}]},
        ),
    )  # fmt: skip


def test_what_is_referred_to_in_a_bundle_is_held_against_its_profile(check):
    """A relative reference leads to the entry at the same server, which has to conform."""
    own = profile("Patient", MANAGED, url=URL + "-patient")
    one = {**patient(id="1"), "managingOrganization": {"reference": "Organization/2"}}
    wrong = {"resourceType": "Organization", "id": "2", "name": "text"}
    right = {**wrong, "telecom": [{"system": "phone", "value": "1"}]}
    loaded = (entries("Patient", URL + "-patient"), own, CLINIC)

    assert check(bundle(one, right), *loaded) == []
    assert check(bundle(one, wrong), *loaded) == [
        ("error", "reference-profile", "Bundle.entry[0].resource.managingOrganization")
    ]


def test_what_is_contained_is_held_against_its_profile(check):
    """A contained organization has to conform to what the reference asks for."""
    inside = {"resourceType": "Organization", "id": "2", "name": "text"}
    one = patient(contained=[inside], managingOrganization={"reference": "#2"})

    assert check(one, profile("Patient", MANAGED), CLINIC) == [
        ("error", "reference-profile", "Patient.managingOrganization")
    ]


@pytest.mark.parametrize(
    ("modes", "reference", "right"),
    [
        (["contained"], "#2", True),
        (["contained"], "Organization/2", False),
        (["referenced"], "Organization/2", True),
        (["referenced"], "#2", False),
        (["bundled"], "Organization/2", False),
    ],
)
def test_a_reference_leads_where_the_profile_lets_it(check, modes, reference, right):
    """Contained, elsewhere, or in the same Bundle."""
    row = {"path": "Patient.managingOrganization",
           "type": [{"code": "Reference", "aggregation": modes}]}  # fmt: skip
    inside = {"resourceType": "Organization", "id": "2", "name": "text"}
    one = patient(managingOrganization={"reference": reference})
    if reference[0] == "#":
        one["contained"] = [inside]

    found = check(one, profile("Patient", row))

    assert found == (
        [] if right else [("error", "reference-aggregation", "Patient.managingOrganization")]
    )


def test_a_reference_within_a_bundle_is_bundled(check):
    """What stands in the same Bundle may be referred to where only that is allowed."""
    row = {"path": "Patient.managingOrganization",
           "type": [{"code": "Reference", "aggregation": ["bundled"]}]}  # fmt: skip
    own = profile("Patient", row, url=URL + "-patient")
    one = {**patient(id="1"), "managingOrganization": {"reference": "Organization/2"}}
    there = {"resourceType": "Organization", "id": "2", "name": "text"}
    loaded = (entries("Patient", URL + "-patient"), own)

    assert check(bundle(one, there), *loaded) == []
    assert check(bundle(one), *loaded) == [
        ("error", "reference-aggregation", "Bundle.entry[0].resource.managingOrganization")
    ]


def test_an_element_that_repeats_another_is_held_at_its_own_depth(check):
    """What a profile says of an item's items is asked there and not above."""
    rows = ({"path": "Questionnaire.item.item.prefix", "min": 1},)
    form = {
        "resourceType": "Questionnaire", "name": "One", "status": "active",
        "item": [{"linkId": "1", "type": "group", "item": [{"linkId": "2", "type": "string"}]}],
    }  # fmt: skip

    assert check(form, profile("Questionnaire", *rows)) == [
        ("error", "cardinality", "Questionnaire.item[0].item[0]")
    ]


LISTED = "http://example.org/ValueSet/a"
MAX = BASE + "elementdefinition-maxValueSet"


def bound(**more):
    return {"path": "Observation.method", "binding": {**more}}


@pytest.mark.parametrize(
    ("binding", "severity", "rule"),
    [
        ({"strength": "required", "valueSet": LISTED}, "error", "binding"),
        ({"strength": "extensible", "valueSet": LISTED}, "warning", "binding-extensible"),
        ({"strength": "preferred", "valueSet": LISTED}, None, None),
        (
            {
                "strength": "preferred",
                "extension": [{"url": MAX, "valueCanonical": LISTED}],
            },
            "error",
            "binding",
        ),
        (
            {
                "strength": "preferred",
                "additional": [{"purpose": "required", "valueSet": LISTED}],
            },
            "error",
            "binding",
        ),
    ],
)
def test_a_binding_asks_as_much_as_it_says(check, binding, severity, rule):
    """Required and maximum are errors, extensible a warning, preferred nothing."""
    wrong = observation(method={"coding": [{"system": "http://example.org/codes", "code": "b"}]})
    right = observation(method={"coding": [{"system": "http://example.org/codes", "code": "a"}]})
    loaded = (
        profile("Observation", bound(**binding)),
        codes(LISTED, ("http://example.org/codes", "a")),
    )

    assert check(right, *loaded) == []
    assert check(wrong, *loaded) == ([(severity, rule, "Observation.method")] if rule else [])


def test_a_profile_of_a_type_is_asked_of_the_element(check):
    """A name that has to be of a profile is held against it where it stands."""
    name = {
        **profile("HumanName", {"path": "HumanName.family", "min": 1}, url=OTHER),
        "kind": "complex-type",
    }
    rows = ({"path": "Patient.name", "type": [{"code": "HumanName", "profile": [OTHER]}]},)

    assert check(patient(name=[{"text": "A"}]), profile("Patient", *rows), name) == [
        ("error", "cardinality", "Patient.name[0]")
    ]


def test_an_extension_that_modifies_and_is_not_known_is_a_warning(check):
    """What is not understood may change what everything else means."""
    one = observation(
        modifierExtension=[
            {"url": "http://example.org/StructureDefinition/none", "valueString": "a"}
        ]
    )

    assert check(one, profile("Observation")) == [
        ("warning", "extension-unknown", "Observation.modifierExtension[0]")
    ]


def test_what_must_be_supported_is_told_to_who_asks(definitions, now):
    """What is not there and should be, were it known, is information and no defect."""
    url = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient"
    bare = {"resourceType": "Patient", "name": [{"family": "A"}]}

    found = definitions.must_support(bare, url, now=now)

    assert {one.severity for one in found} == {"information"}
    assert ("must-support", "Patient.name[0]") in {(one.rule, one.expression) for one in found}
    assert any("birthDate" in one.text for one in found)
    assert not any("family" in one.text for one in found)


# Definitions that mean harm, or are broken.


def test_a_profile_that_asks_for_itself_inside_itself_ends(check):
    """A contact who has to be a patient whose contact has to be a patient, without end."""
    rows = ({"path": "Patient.contained", "type": [{"code": "Patient", "profile": [URL]}]},)
    one = patient(
        contained=[{"resourceType": "Patient", "id": "1"}], link=[
            {"other": {"reference": "#1"}, "type": "seealso"}
        ],
    )  # fmt: skip

    assert check(one, profile("Patient", *rows)) == []


def test_patients_that_refer_to_each_other_end(check):
    """Whoever is referred to has to conform, and refers back."""
    row = {
        "path": "Patient.link.other",
        "type": [{"code": "Reference", "targetProfile": [URL + "-patient"]}],
    }
    own = profile("Patient", row, url=URL + "-patient")
    one, other = (
        {**patient(id=name), "link": [{"other": {"reference": f"Patient/{to}"}, "type": "seealso"}]}
        for name, to in (("1", "2"), ("2", "1"))
    )

    assert check(bundle(one, other), entries("Patient", URL + "-patient"), own) == []


def test_a_profile_that_contradicts_its_base_is_said(check):
    """What can never be is the profile's defect, and says where."""
    below = profile("Patient", {"path": "Patient.name", "max": "0"}, url=OTHER)

    found = check(
        patient(), profile("Patient", {"path": "Patient.name", "min": 1}, base=OTHER), below
    )

    assert found == [("error", "profile-unreadable", "Patient")]


def test_a_profile_of_many_profiles_ends_soon(check):
    """Each name has to conform to one of two profiles that each ask for one of two, and so on."""
    import time

    def level(depth):
        kinds = [f"{URL}-{depth + 1}-{side}" for side in "ab"]
        rows = [{"path": "Extension.extension", "type": [{"code": "Extension", "profile": kinds}]}]
        return [
            {**profile("Extension", *(rows if depth < 12 else [{"path": "Extension.url", "fixedUri": "urn:no:no"}]),
                       url=f"{URL}-{depth}-{side}"), "kind": "complex-type"}
            for side in "ab"
        ]  # fmt: skip

    inside = {"url": "a", "valueString": "a"}
    for _ in range(14):
        inside = (
            {"url": "a", "extension": [inside, inside]}
            if _ < 6
            else {"url": "a", "extension": [inside]}
        )
    top = {**inside, "url": f"{URL}-0-a"}
    loaded = [one for depth in range(13) for one in level(depth)]
    begin = time.process_time()

    check(patient(extension=[top]), profile("Patient"), *loaded)

    assert time.process_time() - begin < 10
