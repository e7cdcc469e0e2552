"""HL7's official FHIRPath tests for R4, as far as they are beside the checkout."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app import fhir, fhirpath

SHARED = Path(__file__).parents[2].parent / "shared" / "fhirpath"
SUITE = SHARED / "tests-fhir-r4.xml"
NOW = datetime(2026, 11, 23, 12, 0, 0, 123000, tzinfo=UTC)

pytestmark = pytest.mark.skipif(not SUITE.exists(), reason="../shared is not beside the checkout")


def cases() -> list[Any]:
    if not SUITE.exists():
        return []
    found = ET.parse(SUITE).getroot().iter("test")
    return [pytest.param(case, id=f"{n}-{case.get('name')}") for n, case in enumerate(found)]


def resource(case: ET.Element) -> Any:
    name = case.get("inputfile")
    if name is None:
        return None
    return fhir.decode((SHARED / "input" / name).with_suffix(".json").read_bytes())


def shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def same(expected: str, value: fhirpath.Value) -> bool:
    wanted = expected.removeprefix("@").removeprefix("T") if expected.startswith("@") else expected
    return wanted == shown(value.value)


@pytest.mark.parametrize("case", cases())
def test_official(case: ET.Element) -> None:
    """Each test of the suite gives the values and types, or the refusal, that HL7 says."""
    expression = case.find("expression")
    invalid = expression.get("invalid")
    given = resource(case)
    environment = fhirpath.Environment(now=NOW)

    if invalid:
        with pytest.raises((fhirpath.ExpressionError, fhirpath.EvaluationError)):
            run(expression.text, given, environment)
        return
    values = run(expression.text, given, environment)

    if case.get("predicate") == "true":
        truth = bool(values) and values[0].value is not False
        assert [str(truth).lower()] == [output.text for output in case.findall("output")]
        return
    outputs = case.findall("output")
    assert len(values) == len(outputs)
    rest = list(values)
    for output in outputs:
        match = next((value for value in rest if same(output.text or "", value)), None)
        assert match is not None, f"{output.text} is not among the results"
        if case.get("ordered") != "false":
            assert match is rest[0] or same(output.text or "", rest[0])
            match = rest[0]
        rest.remove(match)
        if output.get("type"):
            assert match.type.partition(".")[2].lower() == output.get("type").lower()


def run(expression: str, given: Any, environment: fhirpath.Environment) -> list[fhirpath.Value]:
    compiled = fhirpath.compile(expression)
    if given is not None:
        compiled.check(given["resourceType"])
    return compiled.evaluate(given, environment=environment)
