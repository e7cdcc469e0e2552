"""Hostile input ends soon, with an issue that says why."""

from __future__ import annotations

import json
import time

import pytest

from app.conformance import Definitions
from app.conformance.findings import LIMIT

BASE = "http://hl7.org/fhir/StructureDefinition/"


@pytest.fixture
def soon():
    """Fails what takes more than a few seconds of the processor."""
    start = time.process_time()
    yield
    assert time.process_time() - start < 20


@pytest.mark.usefixtures("soon")
def test_a_million_siblings_are_checked_or_cut_short(definitions, now):
    """However many are wrong, there are LIMIT findings and one that says so."""
    resource = {"resourceType": "Patient", "name": [{"bogus": 1}] * 1_000_000}

    found = definitions.check(resource, now=now)

    assert len([one for one in found if one.severity == "error"]) == LIMIT
    assert [one.severity for one in found if one.rule == "limit"] == ["warning"]


@pytest.mark.usefixtures("soon")
def test_a_million_right_siblings_are_right(definitions, now):
    """Many is not wrong."""
    resource = {"resourceType": "Patient", "name": [{"family": "text"}] * 1_000_000}

    assert not [one for one in definitions.check(resource, now=now) if one.severity == "error"]


@pytest.mark.usefixtures("soon")
def test_nesting_without_end_is_an_issue(definitions, now):
    """A resource nested deeper than can be walked is refused, not a crash."""
    resource = {"resourceType": "QuestionnaireResponse", "status": "completed"}
    holder = resource
    for _ in range(100_000):
        holder["item"] = [{"linkId": "1"}]
        holder = holder["item"][0]

    found = definitions.check(resource, now=now)

    assert any(one.rule == "json-depth" for one in found)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("code", "a " * 100_000 + "\t\t"),
        ("base64Binary", "AAAA " * 200_000 + "!"),
        ("oid", "urn:oid:1" + ".1" * 100_000 + "."),
        ("uri", "http://" + "a" * 1_000_000 + " "),
        ("string", "a" * 2_000_000),
        ("dateTime", "2020-01-01T00:00:00." + "1" * 100_000),
    ],
)
def test_no_format_explodes(definitions, now, name, value):
    """A long text is looked at once."""
    resource = {
        "resourceType": "Task",
        "status": "draft",
        "intent": "order",
        "input": [{"type": {"text": "text"}, f"value{name[0].upper()}{name[1:]}": value}],
    }

    found = [one for one in definitions.check(resource, now=now) if one.severity == "error"]

    assert [one.expression for one in found] == [f"Task.input[0].value.ofType({name})"]


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(
    "div",
    [
        "<div xmlns='http://www.w3.org/1999/xhtml'>"
        + "<p>" * 100_000
        + "</p>" * 100_000
        + "</div>",
        "<!DOCTYPE d [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]><div>&b;</div>",
        "<div xmlns='http://www.w3.org/1999/xhtml'>" + "&a;" * 300_000 + "</div",
    ],
)
def test_a_hostile_narrative_is_refused(definitions, now, div):
    """Neither depth nor entities are expanded."""
    resource = {"resourceType": "Patient", "text": {"status": "empty", "div": div}}

    found = [one for one in definitions.check(resource, now=now) if one.severity == "error"]

    assert [one.expression for one in found] == ["Patient.text.div"]


def looping():
    """A resource type whose element is of the same element, for ever."""
    rows = [
        {"path": "Loop", "min": 0, "max": "*"},
        {"path": "Loop.again", "min": 1, "max": "*", "type": [{"code": "Loop"}]},
        {"path": "Loop.inner", "min": 0, "max": "1", "contentReference": "#Loop.inner"},
    ]
    return {
        "resourceType": "StructureDefinition",
        "url": BASE + "Loop",
        "type": "Loop",
        "kind": "resource",
        "abstract": False,
        "derivation": "specialization",
        "snapshot": {"element": rows},
    }


@pytest.mark.usefixtures("soon")
def test_a_recursive_definition_ends(now):
    """A definition that needs itself is compiled once, and what it asks for is asked."""
    definitions = Definitions()
    definitions.add(json.dumps(looping()).encode())

    found = definitions.check({"resourceType": "Loop", "again": [{"again": []}]}, now=now)

    assert found


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        5,
        "text",
        {},
        {"resourceType": 5},
        {"resourceType": "Nonsense"},
        {"resourceType": None},
    ],
)
def test_what_is_no_resource_is_said_to_be_none(definitions, now, value):
    """Whatever comes in, the answer is an issue."""
    found = definitions.check(value, now=now)

    assert [one.severity for one in found] == ["error"]


def test_no_issue_quotes_a_value(definitions, now):
    """Health data is never in an issue: neither in its text nor in its path."""
    secret = "Zq7secret"
    resource = {
        "resourceType": "Patient",
        "id": f"{secret}_",
        "gender": secret,
        "birthDate": secret,
        "active": secret,
        "generalPractitioner": [{"reference": f"{secret}/1"}, {"reference": f"#{secret}"}],
        "text": {"status": secret, "div": f"<{secret}>"},
        "extension": [{"url": secret, "valueString": secret}],
        f"{secret} key": 1,
    }

    found = definitions.check(resource, now=now)

    assert len(found) > 6
    assert secret not in " ".join(f"{one.text} {one.expression} {one.url}" for one in found)
