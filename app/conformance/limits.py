"""Limits of one value: how long, how large, how precise, which pattern."""

from __future__ import annotations

import base64
import binascii
from collections import defaultdict
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from app.conformance.structure import BASE
from app.fhirpath import patterns, quantity, refusals
from app.fhirpath.values import Quantity

if TYPE_CHECKING:
    from app.fhir import Resource

Limit = Callable[[str, Any], str]  # type and value to what is wrong, "" where nothing is

_SDC: Final = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-"
UCUM: Final = "http://unitsofmeasure.org"


def extensions(element: Resource) -> dict[str, list[Any]]:
    """Url to the values of an element's extensions."""
    found: dict[str, list[Any]] = defaultdict(list)
    for one in element.get("extension", ()):
        value = next((one[key] for key in one if key.startswith("value")), None)
        if isinstance(one.get("url"), str) and value is not None:
            found[one["url"]].append(value)
    return dict(found)


def of(item: Resource, said: dict[str, list[Any]]) -> Iterator[Limit]:
    """The limits that a Questionnaire's item sets."""
    if "maxLength" in item:
        yield longest(item["maxLength"])
    for name, make in _MADE.items():
        for value in said.get(name, ())[:1]:
            yield make(value)


def longest(limit: int) -> Limit:
    text = f"The text is longer than {limit} characters, which is the most that is allowed."
    return lambda _, value: text if isinstance(value, str) and len(value) > limit else ""


def _shortest(limit: int) -> Limit:
    text = f"The text is shorter than {limit} characters, which is the least that is allowed."
    return lambda _, value: text if isinstance(value, str) and len(value) < limit else ""


def _places(limit: int) -> Limit:
    text = f"The number has more than {limit} decimal places; round it."

    def problem(_: str, value: Any) -> str:
        exponent = value.as_tuple().exponent if isinstance(value, Decimal) else 0
        return text if isinstance(exponent, int) and -exponent > limit else ""

    return problem


def _pattern(expression: str) -> Limit:
    def problem(_: str, value: Any) -> str:
        if not isinstance(value, str):
            return ""
        try:
            if patterns.matched(expression, value):
                return ""
        except refusals.EvaluationError:
            return ""  # a pattern that cannot be read is the form's defect
        return "The text does not match the pattern that is set for it; mend it."

    return problem


def least(bound: Any) -> Limit:
    def problem(_: str, value: Any) -> str:
        return (
            "The value is less than the least that is allowed." if _order(value, bound, -1) else ""
        )

    return problem


def most(bound: Any) -> Limit:
    def problem(_: str, value: Any) -> str:
        return "The value is more than the most that is allowed." if _order(value, bound, 1) else ""

    return problem


def _order(value: Any, bound: Any, sign: int) -> bool:
    """Whether a value lies beyond a bound; what cannot be compared does not."""
    if isinstance(value, dict) and isinstance(bound, dict):
        mine, yours = _quantity(value), _quantity(bound)
        return mine is not None and yours is not None and quantity.compare(mine, yours) == sign
    if isinstance(value, str) and isinstance(bound, str):
        length = min(len(value), len(bound))  # as far as both say
        one, other = value[:length], bound[:length]
        return one > other if sign > 0 else one < other
    if isinstance(value, (int, float, Decimal)) and isinstance(bound, (int, float, Decimal)):
        one_number, other_number = Decimal(str(value)), Decimal(str(bound))
        return one_number > other_number if sign > 0 else one_number < other_number
    return False


def _quantity(value: Resource) -> Quantity | None:
    if "value" not in value:
        return None
    try:
        number = Decimal(str(value["value"]))
    except InvalidOperation:
        return None
    unit = value.get("code") or value.get("unit") or ""
    return Quantity(number, unit, ucum=value.get("system") == UCUM)


def _size(limit: Any) -> Limit:
    def problem(kind: str, value: Any) -> str:
        if kind != "Attachment":
            return ""
        size = value.get("size")
        if size is None and isinstance(value.get("data"), str):
            try:
                size = len(base64.b64decode(value["data"]))
            except (binascii.Error, ValueError):
                size = None
        too_large = isinstance(size, int) and size > limit
        return "The attachment is larger than the form allows." if too_large else ""

    return problem


_MADE: Final[dict[str, Callable[[Any], Limit]]] = {
    BASE + "minLength": _shortest,
    BASE + "maxDecimalPlaces": _places,
    BASE + "regex": _pattern,
    BASE + "minValue": least,
    BASE + "maxValue": most,
    BASE + "maxSize": _size,
    _SDC + "minQuantity": least,
    _SDC + "maxQuantity": most,
}
