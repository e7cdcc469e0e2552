"""Each variant of every rule has the verdict that it says; scripts/oracle_variants.py asks HL7's."""

from __future__ import annotations

import json

import pytest
import variants

from app import conformance, fhir

GROUPS = variants.groups()


@pytest.fixture(scope="module")
def loaded(definitions):
    made = conformance.Definitions()
    for package in definitions.packages:
        made.add(package)
    texts = [json.dumps(one).encode() for group in GROUPS for one in group.definitions]
    for text in dict.fromkeys(texts):
        made.add(text)
    return made


def test_definitions_of_one_name_are_one():
    """Two groups that share a definition mean the same by it."""
    found: dict[str, str] = {}
    for group in GROUPS:
        for one in group.definitions:
            assert found.setdefault(one["url"], json.dumps(one)) == json.dumps(one)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_every_variant_has_its_verdict(loaded, now, group):
    """What conforms has no error, and what does not has one."""
    wrong = []
    for variant in group.variants:
        resource = fhir.decode(json.dumps(variant.resource).encode())
        errors = [one for one in loaded.check(resource, now=now) if one.severity == "error"]
        if bool(errors) is variant.valid:
            wrong.append((variant.name, [(one.rule, one.expression) for one in errors]))

    assert group.variants
    assert not wrong
