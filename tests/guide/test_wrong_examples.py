"""The wrong examples: each differs from a good one in one thing, and is found for that."""

import pytest
from guided import definitions

from app.sandbox import examples

WRONG = examples.wrong()


@pytest.mark.parametrize("one", WRONG, ids=lambda one: one.id)
def test_a_wrong_example_is_found_for_what_is_wrong_with_it(one, errors):
    """The rule that is named, and no other than those that are named, is broken where it says."""
    known = errors(examples.good(one.of), "warning")

    wrong = errors(one.resource)
    warned = [issue for issue in errors(one.resource, "warning") if issue not in known]

    assert (one.rule, one.at) in (warned if one.valid else wrong)
    assert {rule for rule, _ in wrong} == (set() if one.valid else {one.rule, *one.also})


def test_every_invariant_has_a_wrong_example():
    """Each rule that we wrote is broken by a wrong example, and kept by the good one beside it."""
    rules = {
        rule["key"]
        for found in definitions("StructureDefinition")
        for element in found["differential"]["element"]
        for rule in element.get("constraint", ())
    }

    assert rules - {one.rule for one in WRONG} == set()


def test_every_profile_has_a_wrong_example():
    """Each profile and extension of ours is broken by at least one example."""
    shown = {one.of for one in WRONG}
    text = "".join(str(examples.good(name)) for name in shown)

    for found in definitions("StructureDefinition"):
        assert f"'{found['url']}'" in text, found["id"]


def test_wrong_examples_have_names_of_their_own():
    """No two wrong examples have the same name."""
    assert len({one.id for one in WRONG}) == len(WRONG)
