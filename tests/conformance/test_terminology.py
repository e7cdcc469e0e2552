"""Value sets and code systems, offline: what can be told, and what cannot."""

from __future__ import annotations

import json

import pytest

from app.conformance import Definitions

HERE = "http://example.org/"
SYSTEM = HERE + "animals"
ANIMALS = {
    "resourceType": "CodeSystem", "url": SYSTEM, "version": "2", "content": "complete",
    "property": [{"code": "legs", "type": "integer"}, {"code": "pet", "type": "boolean"}],
    "concept": [
        {"code": "animal", "display": "Animal", "property": [
            {"code": "notSelectable", "valueBoolean": True}], "concept": [
            {"code": "mammal", "display": "Mammal", "concept": [
                {"code": "dog", "display": "Domestic dog", "designation": [{"value": "Hund"}],
                 "property": [{"code": "legs", "valueInteger": 4},
                              {"code": "pet", "valueBoolean": True}]},
                {"code": "whale", "display": "Whale",
                 "property": [{"code": "legs", "valueInteger": 0}]},
                {"code": "dodo-cow", "property": [{"code": "status", "valueCode": "retired"}]},
            ]},
            {"code": "bird", "property": [{"code": "legs", "valueInteger": 2}]},
        ]},
        {"code": "parrot", "property": [{"code": "parent", "valueCode": "bird"},
                                        {"code": "pet", "valueBoolean": True}]},
    ],
}  # fmt: skip
ALL = {"animal", "mammal", "dog", "whale", "dodo-cow", "bird", "parrot"}


def value_set(name, *include, **more):
    compose = {"include": list(include), **more}
    return {"resourceType": "ValueSet", "url": HERE + name, "compose": compose}


def loaded(*definitions):
    made = Definitions()
    for one in definitions:
        made.add(json.dumps(one).encode())
    return made.terminology


def said(terminology, name, system=SYSTEM, codes=ALL):
    """The codes that are in it, and those of which that is not known."""
    found = terminology.codes(HERE + name)
    answers = {code: found.has(system, code) for code in codes}
    return (
        {code for code, one in answers.items() if one},
        {code for code, one in answers.items() if one is None},
    )


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (("concept", "is-a", "bird"), {"bird", "parrot"}),
        (("concept", "descendent-of", "mammal"), {"dog", "whale", "dodo-cow"}),
        (("concept", "is-not-a", "mammal"), {"animal", "bird", "parrot"}),
        (("concept", "generalizes", "dog"), {"dog", "mammal", "animal"}),
        (("concept", "child-of", "animal"), {"mammal", "bird"}),
        (("concept", "descendent-leaf", "animal"), {"dog", "whale", "dodo-cow", "parrot"}),
        (("parent", "=", "bird"), {"parrot"}),
        (("child", "=", "parrot"), {"bird"}),
        (("concept", "in", "dog, bird"), {"dog", "bird"}),
        (("concept", "not-in", "dog,bird"), ALL - {"dog", "bird"}),
        (("code", "regex", "d.*"), {"dog", "dodo-cow"}),
        (("display", "regex", ".*dog"), {"dog"}),
        (("legs", "=", "2"), {"bird"}),
        (("legs", "in", "0,4"), {"dog", "whale"}),
        (("legs", "not-in", "0,4"), ALL - {"dog", "whale"}),
        (("legs", "exists", "true"), {"dog", "whale", "bird"}),
        (("legs", "exists", "false"), ALL - {"dog", "whale", "bird"}),
        (("pet", "=", "true"), {"dog", "parrot"}),
    ],
)
def test_every_kind_of_filter_chooses_what_it_says(rule, expected):
    """A value set by hierarchy, by property or by pattern has just the codes that it means."""
    rule = dict(zip(("property", "op", "value"), rule, strict=True))
    chosen = loaded(ANIMALS, value_set("chosen", {"system": SYSTEM, "filter": [rule]}))

    assert said(chosen, "chosen") == (expected, set())


@pytest.mark.parametrize(
    "rule",
    [
        {"property": "colour", "op": "=", "value": "red"},
        {"property": "code", "op": "regex", "value": "(((a+)+)+)$" * 40 + "(" * 5000},
        {"property": "code", "op": "regex", "value": "("},
        {"property": "concept", "op": "sounds-like", "value": "dog"},
    ],
)
def test_of_a_filter_that_cannot_be_decided_nothing_is_said(rule):
    """What is not understood is not known: neither valid nor invalid; a foreign code is not in it."""
    chosen = loaded(ANIMALS, value_set("chosen", {"system": SYSTEM, "filter": [rule]}))

    assert said(chosen, "chosen", codes={"dog", "tree"}) == (set(), {"dog"})
    assert chosen.codes(HERE + "chosen").lacks


def test_several_filters_hold_together():
    """Filters of one include are a conjunction, includes are alternatives, excludes take away."""
    pets = {"property": "pet", "op": "=", "value": "true"}
    mammals = {"property": "concept", "op": "is-a", "value": "mammal"}
    made = loaded(
        ANIMALS,
        value_set("pets", {"system": SYSTEM, "filter": [pets, mammals]}),
        value_set("more", {"system": SYSTEM, "filter": [pets]}, {"system": SYSTEM, "concept": [
            {"code": "whale"}]}, exclude=[{"valueSet": [HERE + "pets"]}]),
    )  # fmt: skip

    assert said(made, "pets") == ({"dog"}, set())
    assert said(made, "more") == ({"parrot", "whale"}, set())


def test_value_sets_are_imported_and_cut_with_each_other():
    """The value sets of one include mean what all have in common; what is not loaded leaves it open."""
    dogs = {"system": SYSTEM, "concept": [{"code": "dog"}, {"code": "bird"}]}
    made = loaded(
        ANIMALS,
        value_set("dogs", dogs),
        value_set("all", {"system": SYSTEM}),
        value_set("cut", {"valueSet": [HERE + "dogs", HERE + "all"]}),
        value_set("open", {"valueSet": [HERE + "dogs", HERE + "absent"]}),
        value_set("joined", {"valueSet": [HERE + "dogs"]}, {"valueSet": [HERE + "absent"]}),
    )

    assert said(made, "cut") == ({"dog", "bird"}, set())
    assert said(made, "open") == (set(), {"dog", "bird"})
    assert said(made, "joined") == ({"dog", "bird"}, ALL - {"dog", "bird"})
    assert made.codes(HERE + "open").has("http://example.org/other", "x") is False
    assert made.codes(HERE + "joined").lacks == HERE + "absent"


def test_codes_that_were_given_up_are_left_out_where_the_value_set_says_so():
    """compose.inactive false leaves out what the code system has retired."""
    made = loaded(
        ANIMALS,
        value_set("active", {"system": SYSTEM}, inactive=False),
        value_set("every", {"system": SYSTEM}),
    )

    assert said(made, "active") == (ALL - {"dodo-cow"}, set())
    assert said(made, "every") == (ALL, set())


def test_a_code_system_of_another_version_decides_what_it_can():
    """A code that another version has is in it; of one that it has not, that is not known."""
    made = loaded(ANIMALS, value_set("old", {"system": SYSTEM, "version": "1"}))

    assert said(made, "old", codes={"dog", "unicorn"}) == ({"dog"}, {"unicorn"})
    assert made.codes(HERE + "old").lacks == f"{SYSTEM}|1"


def test_an_expansion_stands_in_for_what_is_not_loaded():
    """A value set that comes expanded, as VSAC's do, is known without its code system."""
    include = {"system": "http://snomed.info/sct", "filter": [
        {"property": "concept", "op": "is-a", "value": "1"}]}  # fmt: skip
    listed = [{"system": "http://snomed.info/sct", "code": "11"},
              {"system": "http://snomed.info/sct", "code": "12", "abstract": True,
               "contains": [{"system": "http://snomed.info/sct", "code": "121"}]}]  # fmt: skip
    whole = {**value_set("whole", include), "expansion": {"contains": listed, "total": 3}}
    part = {**value_set("part", include), "expansion": {"contains": listed, "total": 900}}
    made = loaded(whole, part)
    codes = {"11", "12", "121", "13"}

    assert said(made, "whole", "http://snomed.info/sct", codes) == ({"11", "121"}, set())
    assert said(made, "part", "http://snomed.info/sct", codes) == ({"11", "121"}, {"12", "13"})


@pytest.mark.parametrize(
    ("system", "right", "wrong", "open_"),
    [
        ("urn:ietf:bcp:47", ("en", "de-CH-1996", "zh-Hant"), ("xx", "en_US", ""), ()),
        ("urn:ietf:bcp:13", ("text/plain", "application/fhir+json; fhirVersion=4.0"),
         ("text", "text/", "a b/c"), ("json", "xml", "ttl")),
        ("urn:iso:std:iso:4217", ("USD", "EUR"), ("usd", "dollar"), ("DEM",)),
        ("http://unitsofmeasure.org", ("mg/dL", "kg.m/s2", "[hp_X]", "{score}", "B[SPL]", "[ch_us]"),
         ("mgs/dL", "mg per dL", "xyz", "mg/"), ()),
    ],
)  # fmt: skip
def test_codes_with_a_grammar_are_told_by_it(system, right, wrong, open_):
    """Languages, media types, currencies and units need no list."""
    made = loaded(value_set("any", {"system": system}))
    codes = made.codes(HERE + "any")

    assert [codes.has(system, one) for one in right] == [True] * len(right)
    assert [codes.has(system, one) for one in wrong] == [False] * len(wrong)
    assert [codes.has(system, one) for one in open_] == [None] * len(open_)


def test_a_display_is_that_of_the_code(definitions, now):
    """Another display is an error at its place; case, spaces and another language are none."""
    definitions = Definitions()
    from app import conformance

    definitions = conformance.load()
    definitions.add(json.dumps(ANIMALS).encode())

    def found(display, **more):
        coding = {"system": SYSTEM, "code": "dog", "display": display}
        resource = {"resourceType": "Basic", "code": {"coding": [coding]}, **more}
        issues = definitions.check(resource, now=now)
        return [one.expression for one in issues if one.rule == "display"]

    assert found("Domestic dog") == found("domestic  DOG") == found("Hund") == []
    assert found("Cat") == ["Basic.code.coding[0].display"]
    assert found("Chien", language="fr") == []


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("circle", [1, 2, 40])
def test_value_sets_that_import_in_a_circle_end_and_say_so(circle):
    """However long the circle and however often each imports, it ends, and the issue names why."""
    sets = [
        value_set(f"s{at}", *[{"valueSet": [f"{HERE}s{(at + 1) % circle}"]}] * 10)
        for at in range(circle)
    ]
    made = loaded(*sets).codes(HERE + "s0")

    assert made.has(SYSTEM, "dog") is None
    assert "includes itself" in made.lacks or "imports more" in made.lacks


@pytest.mark.usefixtures("soon")
def test_hostile_code_systems_end():
    """A code that stands above itself, and a hundred thousand concepts under each other."""
    circle = {"resourceType": "CodeSystem", "url": HERE + "circle", "content": "complete",
              "concept": [{"code": "a", "property": [{"code": "parent", "valueCode": "b"}]},
                          {"code": "b", "property": [{"code": "parent", "valueCode": "a"}]}]}  # fmt: skip
    chain = [{"code": str(at), "property": [{"code": "parent", "valueCode": str(at - 1)}]}
             for at in range(100_000)]  # fmt: skip
    deep = {"resourceType": "CodeSystem", "url": HERE + "deep", "content": "complete",
            "concept": chain}  # fmt: skip
    is_a = {"property": "concept", "op": "is-a", "value": "a"}
    below = {"property": "concept", "op": "is-a", "value": "99990"}
    made = loaded(
        circle, deep,
        value_set("circled", {"system": HERE + "circle", "filter": [is_a]}),
        value_set("deep", {"system": HERE + "deep", "filter": [below]}),
    )  # fmt: skip

    assert said(made, "circled", HERE + "circle", {"a", "b", "c"}) == ({"a", "b"}, set())
    assert said(made, "deep", HERE + "deep", {"5", "99990", "99999"}) == (
        {"99990", "99999"}, set())  # fmt: skip


def checked(definitions, now, resource):
    return [
        (one.severity, one.rule, one.expression)
        for one in definitions.check(resource, now=now)
        if one.rule != "dom-6"
    ]


def test_a_code_of_a_system_that_is_not_loaded_is_said_once(definitions, now):
    """However many codes there are of it, a system that cannot be looked up is one information."""
    loinc = {"coding": [{"system": "http://loinc.org", "code": "88122-7"}]}
    snomed = {"coding": [{"system": "http://snomed.info/sct", "code": "1"}]}
    resource = {
        "resourceType": "Observation", "status": "final", "code": loinc,
        "component": [{"code": loinc, "valueCodeableConcept": snomed}, {"code": loinc}],
    }  # fmt: skip

    assert checked(definitions, now, resource) == [
        ("information", "code-unchecked", "Observation.code.coding[0]"),
        (
            "information",
            "code-unchecked",
            "Observation.component[0].value.ofType(CodeableConcept).coding[0]",
        ),
    ]


def test_a_system_of_somebodys_own_is_not_quoted(definitions, now):
    """What could not be looked up is said; its address is a value of the resource."""
    coding = {"system": "http://secret.example.org/codes", "code": "a"}
    resource = {"resourceType": "Basic", "code": {"coding": [coding]}}
    found = definitions.check(resource, now=now)

    assert [one.rule for one in found if one.rule != "dom-6"] == ["code-unchecked"]
    assert "secret" not in " ".join(one.text for one in found)


def test_an_extensible_list_of_r4_is_a_warning_where_another_code_is_taken(definitions, now):
    """A code that is not in the list that R4 recommends is warned of; a text alone is not."""
    system = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
    base = {"resourceType": "Observation", "status": "final", "code": {"text": "text"}}
    other = {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}]
    }
    place = "Observation.interpretation[0]"

    for value, said in (
        ({"coding": [{"system": system, "code": "H"}]}, []),
        ({"text": "high"}, []),
        (other, [("warning", "binding-extensible", place)]),
    ):
        assert checked(definitions, now, {**base, "interpretation": [value]}) == said
