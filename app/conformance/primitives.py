"""
What each primitive type may be, in JSON.

Each type has two tests. `accepts` is the exact one. `quick` is fast; it may say no, or raise, where
`accepts` says yes, and never the reverse, given that the document has no control characters and
no string over MAX_STRING (which is looked at once for the whole of it).
"""

from __future__ import annotations

import binascii
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from app.known import Known

MAX_STRING: Final = 2**20  # https://hl7.org/fhir/R4/datatypes.html#string
MAX_DIGITS: Final = 1000  # of a decimal; R4 names no most, and no measurement has so many
SURE_DIGITS: Final = 18  # that every reader keeps, https://www.w3.org/TR/xmlschema-2/#decimal
_SMALL: Final = 10**SURE_DIGITS

_YEAR = r"(?:[0-9](?:[0-9](?:[0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)"
_MONTH = r"(?:0[1-9]|1[0-2])"
_DAY = r"(?:0[1-9]|[12][0-9]|3[01])"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_ZONE = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_SPACE = r" \t\n\r\f\v"

_date = re.compile(rf"{_YEAR}(?:-{_MONTH}(?:-{_DAY})?)?").fullmatch
_date_time = re.compile(rf"{_YEAR}(?:-{_MONTH}(?:-{_DAY}(?:T{_TIME}{_ZONE})?)?)?").fullmatch
_instant = re.compile(rf"{_YEAR}-{_MONTH}-{_DAY}T{_TIME}{_ZONE}").fullmatch
_time = re.compile(_TIME).fullmatch
_unfit = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]").search
_no_space = re.compile(rf"[^{_SPACE}\x00-\x1f]+").fullmatch
_code = re.compile(rf"[^{_SPACE}\x00-\x1f]+(?:[ \t\n\r][^{_SPACE}\x00-\x1f]+)*").fullmatch
_id = re.compile(r"[A-Za-z0-9\-.]{1,64}").fullmatch
_oid = re.compile(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+").fullmatch
_uuid = re.compile(r"urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
_base64 = re.compile(r"[A-Za-z0-9+/]*={0,2}").fullmatch
_blank = re.compile(r"\s+")

Test = Callable[[Any], object]


@dataclass(frozen=True, slots=True)
class Primitive:
    """
    quick       says yes only to what is right; may raise TypeError, ValueError, AttributeError
    accepts     the exact test
    json        what JSON type it is: string, number or boolean
    form        what it has to look like, for a person
    """

    quick: Test
    accepts: Callable[[Any], bool]
    json: str
    form: str

    def fits(self, value: Any) -> bool:
        """Whether the value is of the right JSON type, whatever it says."""
        if self.json == "boolean":
            return isinstance(value, bool)
        if self.json == "number":
            return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)
        return isinstance(value, str)


def _text(value: Any) -> bool:
    return (
        isinstance(value, str)
        and 0 < len(value) <= MAX_STRING
        and not _unfit(value)
    )  # fmt: skip


def _matching(pattern: Callable[[str], object]) -> Callable[[Any], bool]:
    def accepts(value: Any) -> bool:
        return isinstance(value, str) and bool(pattern(value))

    return accepts


def _calendar(pattern: Callable[[str], object]) -> Callable[[Any], bool]:
    def accepts(value: Any) -> bool:
        if not isinstance(value, str) or not pattern(value):
            return False
        if len(value) < 10 or value[8:10] < "29":
            return True
        try:
            date(int(value[:4]), int(value[5:7]), int(value[8:10]))
        except ValueError:
            return False
        return True

    return accepts


_is_date = _calendar(_date)
_is_date_time = _calendar(_date_time)
_is_instant = _calendar(_instant)


def _boolean(value: Any) -> bool:
    return value is True or value is False


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    def accepts(value: Any) -> bool:
        return type(value) is int and low <= value <= high

    return accepts


def _decimal(value: Any) -> bool:
    """Nor may it have more digits where it is written out: 1E999999999 has no end in arithmetic."""
    if isinstance(value, Decimal) and not -MAX_DIGITS <= value.adjusted() <= MAX_DIGITS:
        return False
    return has_digits(value, MAX_DIGITS)


def has_digits(value: Any, most: int) -> bool:
    """Whether this is a number of so many digits at most."""
    if type(value) is int:
        return -_SMALL < value < _SMALL or len(str(abs(value))) <= most
    if isinstance(value, Decimal):
        return value.is_finite() and len(value.as_tuple().digits) <= most
    return type(value) is float and math.isfinite(value)


def _encoded(value: Any) -> bool:
    if not isinstance(value, str) or not value:
        return False
    tight = _blank.sub("", value)
    return bool(tight) and len(tight) % 4 == 0 and bool(_base64(tight))


def _quick_encoded(value: Any) -> object:
    try:
        return value and binascii.a2b_base64(value, strict_mode=True)
    except binascii.Error:
        return _encoded(value)


def _uri(value: Any) -> bool:
    return isinstance(value, str) and bool(_no_space(value))


def _word(value: Any) -> bool:
    return isinstance(value, str) and bool(_code(value))


_int32 = 2**31
_string = Primitive(str.strip, _text, "string", "text without control characters, at most 1 MiB")
_address = Primitive(Known(_uri).__getitem__, _uri, "string", "a URI without white space")

TYPES: Final[dict[str, Primitive]] = {
    "base64Binary": Primitive(
        _quick_encoded, _encoded, "string", "base64, in groups of four characters"
    ),
    "boolean": Primitive(_boolean, _boolean, "boolean", "true or false, without quotes"),
    "canonical": _address,
    "code": Primitive(
        Known(_word).__getitem__, _word, "string", "a code, with single spaces inside only"
    ),
    "date": Primitive(
        Known(_is_date).__getitem__, _is_date, "string", "a real date: YYYY[-MM[-DD]]"
    ),
    "dateTime": Primitive(
        Known(_is_date_time).__getitem__,
        _is_date_time,
        "string",
        "a real date, or date and time with seconds and zone: YYYY-MM-DDThh:mm:ss+zz:zz",
    ),
    "decimal": Primitive(_decimal, _decimal, "number", f"a number of at most {MAX_DIGITS} digits"),
    "id": Primitive(_id, _matching(_id), "string", "1 to 64 letters, digits, hyphens and dots"),
    "instant": Primitive(
        Known(_is_instant).__getitem__,
        _is_instant,
        "string",
        "a real date and time with seconds and zone: YYYY-MM-DDThh:mm:ss.sss+zz:zz",
    ),
    "integer": Primitive(
        _whole(-_int32, _int32 - 1),
        _whole(-_int32, _int32 - 1),
        "number",
        "a whole number of 32 bits",
    ),
    "markdown": _string,
    "oid": Primitive(_oid, _matching(_oid), "string", "urn:oid: and an OID"),
    "positiveInt": Primitive(
        _whole(1, _int32 - 1), _whole(1, _int32 - 1), "number", "a whole number from 1"
    ),
    "string": _string,
    "time": Primitive(_time, _matching(_time), "string", "a time with seconds: hh:mm:ss"),
    "unsignedInt": Primitive(
        _whole(0, _int32 - 1), _whole(0, _int32 - 1), "number", "a whole number from 0"
    ),
    "uri": _address,
    "url": _address,
    "uuid": Primitive(_uuid, _matching(_uuid), "string", "urn:uuid: and a UUID in lower case"),
    "xhtml": _string,
}
