"""Defects generated from the definitions: every element of every type that we exchange."""

from __future__ import annotations

import copy

import made
import pytest
import violations


def errors(definitions, resource, now):
    return [one for one in definitions.check(resource, now=now) if one.severity == "error"]


@pytest.mark.parametrize("name", made.EXCHANGED)
def test_one_defect_is_one_finding_at_its_place(definitions, now, name):
    """Whatever is wrong in whichever element is found there, and nothing else is."""
    maker = made.Maker(definitions)
    planted = 0
    missed = []

    for place in maker.places(name):
        if errors(definitions, place.resource, now):
            continue
        for defect in made.defects(place, definitions):
            planted += 1
            found = [one.expression for one in errors(definitions, defect.resource, now)]
            if found != [defect.path]:
                missed.append((defect.kind, defect.path, found))

    assert not missed
    assert planted > 100


@pytest.mark.parametrize("name", made.EXCHANGED)
def test_a_resource_with_one_element_filled_is_right(definitions, now, name):
    """What is made from the definitions and has no defect has no finding."""
    maker = made.Maker(definitions)

    wrong = [
        (
            place.path,
            [(one.expression, one.rule) for one in errors(definitions, place.resource, now)],
        )
        for place in maker.places(name)
        if errors(definitions, place.resource, now)
    ]

    # Only an item in an item made alike, with the linkId of the item that holds it.
    assert [path for path, _ in wrong] in ([], ["Questionnaire.item[0].item[0]"])


@pytest.mark.parametrize("case", violations.CASES, ids=[one[0] for one in violations.CASES])
def test_each_invariant_is_found_where_it_is_broken(definitions, now, case):
    """A resource that breaks one invariant has one error, of that rule, at its element."""
    key, path, name, change = case
    resource = {**made.Maker(definitions).resource(name), **copy.deepcopy(change)}
    resource = {key: one for key, one in resource.items() if one is not None}

    found = errors(definitions, resource, now)

    assert [(one.rule, one.expression) for one in found] == [(key, path)]
    assert found[0].url


def test_every_invariant_of_the_exchanged_types_is_broken_once(definitions):
    """No invariant of a type that we exchange is left untried."""
    told = {case[0] for case in violations.CASES} | set(violations.UNREACHABLE)
    stated = set()

    for name in made.EXCHANGED:
        for element in definitions.structure(name).elements.values():
            stated |= {rule.key for rule in element.constraints}

    assert stated <= told


def test_both_stages_are_the_two_halves_of_a_check(definitions, now):
    """A check says what the shape says and then what the rules say."""
    resource = {"resourceType": "Observation", "bogus": 1}
    checker = definitions.checker("Observation")

    whole = checker.check(resource, now=now)

    assert [one.expression for one in checker.shape(resource)] == ["Observation.bogus"]
    assert whole[:1] == checker.shape(resource)
    assert {one.rule for one in whole[1:]} == {"cardinality", "dom-6"}
