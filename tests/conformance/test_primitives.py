"""Primitive formats: exactly R4's own, and real days."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some

from app.conformance import primitives

PATTERNS = {
    "date": r"([0-9]([0-9]([0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)(-(0[1-9]|1[0-2])(-(0[1-9]|[1-2][0-9]|3[0-1]))?)?",
    "dateTime": r"([0-9]([0-9]([0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)(-(0[1-9]|1[0-2])(-(0[1-9]|[1-2][0-9]|3[0-1])(T([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?(Z|(\+|-)((0[0-9]|1[0-3]):[0-5][0-9]|14:00)))?)?)?",
    "instant": r"([0-9]([0-9]([0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)-(0[1-9]|1[0-2])-(0[1-9]|[1-2][0-9]|3[0-1])T([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?(Z|(\+|-)((0[0-9]|1[0-3]):[0-5][0-9]|14:00))",
    "time": r"([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?",
    "id": r"[A-Za-z0-9\-\.]{1,64}",
    "oid": r"urn:oid:[0-2](\.(0|[1-9][0-9]*))+",
    "uuid": r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
}
TEXT = some.text(alphabet="0123456789-:TZ+.,W eE", min_size=1, max_size=32)


def real(text):
    """Whether what looks like a day is one."""
    if len(text) < 10 or not re.match(r"\d{4}-\d\d-\d\d", text):
        return True
    try:
        date.fromisoformat(text[:10])
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("name", ["date", "dateTime", "instant", "time"])
@settings(max_examples=300)
@given(text=TEXT)
@example("2024-02-29")
@example("2023-02-29")
@example("2020-W01-1")
@example("20200101")
@example("2020-01-01T10:00:00Z")
@example("2020-01-01T10:00:00,5Z")
@example("2020-01-01T10:00:00+14:00")
@example("2020-01-01T10:00:00+14:30")
@example("2020-01-01T10:00:00+00:00:00")
@example("2020-01-01T10:00:60Z")
@example("2020-01-01T24:00:00Z")
@example("2020-01-01 10:00:00Z")
@example("0000-01-01")
def test_dates_are_those_of_r4_and_of_the_calendar(name, text):
    """Both tests of a date say what R4's own expression and the calendar say."""
    wanted = bool(re.fullmatch(PATTERNS[name], text)) and (name == "time" or real(text))

    assert primitives.TYPES[name].accepts(text) is wanted
    assert quick(name, text) is wanted


def quick(name, value):
    try:
        return bool(primitives.TYPES[name].quick(value))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return False


ANYTHING = some.one_of(
    some.none(), some.booleans(), some.integers(), some.decimals(), some.text(max_size=40),
    some.lists(some.integers(), max_size=2), some.dictionaries(some.text(), some.integers(), max_size=2),
)  # fmt: skip


@pytest.mark.parametrize("name", sorted(primitives.TYPES))
@settings(max_examples=200)
@given(value=ANYTHING)
def test_the_quick_test_never_says_yes_to_what_is_wrong(name, value):
    """What the quick test lets pass the exact test lets pass, control characters apart."""
    if isinstance(value, str) and not value.isprintable():
        return

    if quick(name, value):
        assert primitives.TYPES[name].accepts(value)


@pytest.mark.parametrize("name", ["id", "oid", "uuid"])
def test_the_patterns_in_the_definitions_are_the_ones_that_we_know(definitions, name):
    """A definition that changes its format is noticed."""
    value = next(
        row
        for row in definitions.resource(f"http://hl7.org/fhir/StructureDefinition/{name}")[
            "snapshot"
        ]["element"]
        if row["path"].endswith(".value")
    )

    assert value["type"][0]["extension"][-1]["valueString"] == PATTERNS[name]


def test_a_decimal_has_a_thousand_digits_at_most(definitions):
    """.NET writes 29, and none of them may be lost; beyond 18 others may round, and that is said."""
    accepts = primitives.TYPES["decimal"].accepts
    assert accepts(Decimal("33.333333333333333333333333333"))
    assert accepts(10**18)
    assert accepts(Decimal("0." + "1" * 1000))
    assert not accepts(Decimal("0." + "1" * 1001))
    assert not accepts(10**1000)
    assert accepts(Decimal("1E1000"))
    assert accepts(Decimal("1E-1000"))
    assert not accepts(Decimal("1E1001"))
    assert not accepts(Decimal("-1E-999999999"))
    assert not primitives.TYPES["decimal"].fits("1")

    def said(number):
        body = {"resourceType": "Basic", "code": {"text": "x"}, "extension": [
            {"url": "urn:x", "valueDecimal": Decimal(number)}]}  # fmt: skip
        return [
            (one.severity, one.expression)
            for one in definitions.check(body, now=datetime(2026, 11, 26, tzinfo=UTC))
            if one.rule == "decimal-digits"
        ]

    assert said("0.123456789012345678") == []
    place = "Basic.extension[0].value.ofType(decimal)"
    assert said("0.1234567890123456789") == [("warning", place)]


def test_base64_of_a_megabyte_is_read_in_a_moment():
    """R4's own expression for base64 would take for ever on this."""
    accepts = primitives.TYPES["base64Binary"].accepts

    assert accepts("QUJD " * 200_000)
    assert not accepts("QUJD" * 200_000 + "=")
