"""Dates, times and what lies between: partial values, compared and added to as FHIRPath says."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Final

from app.fhirpath.refusals import EvaluationError

DATE: Final = "Date"
DATE_TIME: Final = "DateTime"
TIME: Final = "Time"

_DAY: Final = r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?"
_CLOCK: Final = r"(\d\d)(?::(\d\d)(?::(\d\d(?:\.\d+)?))?)?"
_ZONE: Final = r"(Z|[+-]\d\d:\d\d)?"
_DATE = re.compile(_DAY)
_TIME = re.compile(f"T?{_CLOCK}")
_DATE_TIME = re.compile(f"{_DAY}(?:T(?:{_CLOCK}{_ZONE})?)?")

# A value without a zone may stand in any zone on earth.
_EARLIEST: Final = 14 * 60
_LATEST: Final = -12 * 60


class Temporal:
    """
    A Date, DateTime or Time, as precise as it was written.

    kind        Date | DateTime | Time
    parts       year, month, day, hour, minute (int), second (Decimal); a Time begins at hour
    offset      minutes east of UTC, None where no zone was written
    """

    __slots__ = ("kind", "offset", "parts")

    def __init__(
        self, kind: str, parts: tuple[int | Decimal, ...], offset: int | None = None
    ) -> None:
        self.kind = kind
        self.parts = parts
        self.offset = offset

    def __str__(self) -> str:
        if self.kind == TIME:
            return _clock(self.parts)
        day = f"{int(self.parts[0]):04d}" + "".join(f"-{int(part):02d}" for part in self.parts[1:3])
        if len(self.parts) < 4:
            return day
        return f"{day}T{_clock(self.parts[3:])}{_zone(self.offset)}"

    @property
    def digits(self) -> int:
        """The precision as FHIRPath counts it: the digits that are written."""
        clock = self.parts if self.kind == TIME else self.parts[3:]
        count = sum(2 for _ in clock[:2]) + (_second_digits(clock[2]) if len(clock) > 2 else 0)
        if self.kind == TIME:
            return count
        return count + 2 + 2 * len(self.parts[:3])


def _second_digits(second: int | Decimal) -> int:
    return 5 if _fraction(second) else 2


def _fraction(second: int | Decimal) -> bool:
    return isinstance(second, Decimal) and int(second.as_tuple().exponent) < 0


def _clock(parts: tuple[int | Decimal, ...]) -> str:
    text = ":".join(f"{int(part):02d}" for part in parts[:2])
    if len(parts) > 2:
        whole, _, fraction = str(parts[2]).partition(".")
        text += f":{whole.zfill(2)}" + (f".{fraction}" if fraction else "")
    return text


def _zone(offset: int | None) -> str:
    if offset is None:
        return ""
    if offset == 0:
        return "Z"
    sign = "-" if offset < 0 else "+"
    return f"{sign}{abs(offset) // 60:02d}:{abs(offset) % 60:02d}"


def parse(text: str, kind: str) -> Temporal | None:
    """A value of the kind, or None where the text is not one."""
    pattern = _TIME if kind == TIME else _DATE if kind == DATE else _DATE_TIME
    match = pattern.fullmatch(text)
    if match is None:
        return None
    groups = match.groups()
    offset = None
    if kind == DATE_TIME:
        offset = _offset(groups[-1])
        groups = groups[:-1]
    second = 2 if kind == TIME else 5
    parts: list[int | Decimal] = []
    for index, group in enumerate(groups):
        if group is None:
            break
        parts.append(Decimal(group) if index == second else int(group))
    value = Temporal(kind, tuple(parts), offset)
    return value if _possible(value) else None


def _offset(zone: str | None) -> int | None:
    if zone is None:
        return None
    if zone == "Z":
        return 0
    minutes = int(zone[1:3]) * 60 + int(zone[4:6])
    return -minutes if zone[0] == "-" else minutes


def _possible(value: Temporal) -> bool:
    clock = value.parts if value.kind == TIME else value.parts[3:]
    if any(part >= limit for part, limit in zip(clock, (24, 60, 60), strict=False)):
        return False
    if value.kind == TIME:
        return True
    year, month, day = (*value.parts[:3], 1, 1)[:3]
    if not (year and 1 <= month <= 12):
        return False
    return 1 <= day <= monthrange(int(year), int(month))[1]


def at(moment: datetime) -> Temporal:
    """A DateTime, to the millisecond, of an aware moment."""
    second = Decimal(f"{moment.second}.{moment.microsecond // 1000:03d}")
    zone = moment.utcoffset() or timedelta()
    parts = (moment.year, moment.month, moment.day, moment.hour, moment.minute, second)
    return Temporal(DATE_TIME, parts, int(zone.total_seconds()) // 60)


def compare(left: Temporal, right: Temporal) -> int | None:
    """
    -1, 0 or 1; None where the precision or a missing zone leaves it open.

    source      https://hl7.org/fhirpath/N1/#datetime-equality
    """
    mine, yours = left.parts, right.parts
    if left.kind != TIME and len(mine) > 3 and len(yours) > 3:
        if (left.offset is None) != (right.offset is None):
            return _compare_zoneless(left, right)
        if left.offset != right.offset:
            mine, yours = _in_utc(left, left.offset), _in_utc(right, right.offset)
    return _compare_parts(mine, yours)


def _compare_parts(mine: tuple[int | Decimal, ...], yours: tuple[int | Decimal, ...]) -> int | None:
    for one, other in zip(mine, yours, strict=False):
        if one != other:
            return -1 if one < other else 1
    return 0 if len(mine) == len(yours) else None


def _compare_zoneless(left: Temporal, right: Temporal) -> int | None:
    if left.offset is None:
        turned = _compare_zoneless(right, left)
        return None if turned is None else -turned
    mine = _in_utc(left, left.offset)
    first = _compare_parts(mine, _in_utc(right, _EARLIEST))
    last = _compare_parts(mine, _in_utc(right, _LATEST))
    return first if first == last else None


def _in_utc(value: Temporal, offset: int | None) -> tuple[int | Decimal, ...]:
    if not offset:
        return value.parts
    year, month, day, hour, minute = (int(part) for part in (*value.parts[:5], 0)[:5])
    try:
        moved = datetime(year, month, day, hour, minute, tzinfo=timezone(timedelta(minutes=offset)))
        moved = moved.astimezone(UTC)
    except (OverflowError, ValueError):
        return value.parts
    parts = (moved.year, moved.month, moved.day, moved.hour, moved.minute, *value.parts[5:])
    return parts[: max(len(value.parts), 5 if offset % 60 else 4)]


# Calendar words, and those UCUM codes that mean the same for date arithmetic; a and mo are
# definite durations and may not be added to a date.
UNITS: Final = {
    "year": "year", "month": "month", "week": "week", "day": "day", "hour": "hour",
    "minute": "minute", "second": "second", "millisecond": "millisecond",
    "wk": "week", "d": "day", "h": "hour", "min": "minute", "s": "second", "ms": "millisecond",
}  # fmt: skip
_MILLISECONDS: Final = {
    "week": 604_800_000, "day": 86_400_000, "hour": 3_600_000, "minute": 60_000,
    "second": 1000, "millisecond": 1,
}  # fmt: skip
# The unit that a value with so many parts is counted in.
_FINEST: Final = {1: "year", 2: "month", 3: "day", 4: "hour", 5: "minute", 6: "millisecond"}


def add(value: Temporal, amount: Decimal, unit: str) -> Temporal | None:
    """
    The value moved by a calendar duration, as precise as before; None where it leaves the calendar.

    raises      EvaluationError: not a unit that a date can be moved by
    source      https://hl7.org/fhirpath/N1/#datetime-arithmetic
    """
    if unit.endswith("s") and unit[:-1] in _LONG_WORDS:
        unit = unit[:-1]
    word = UNITS.get(unit)
    if word is None or (value.kind == TIME and word in ("year", "month", "week", "day")):
        raise EvaluationError("A date or time cannot be moved by a quantity in this unit.")
    if abs(amount) > 10**15:
        return None
    count = int(amount)  # whole units only, as HL7's engine has it
    if value.kind == TIME:
        return _add_to_time(value, count * _MILLISECONDS[word])
    finest = _FINEST[len(value.parts)]
    months = {"year": 12, "month": 1}.get(word)
    try:
        if months is not None:
            return _add_months(value, count * months, finest)
        return _add_milliseconds(value, count * _MILLISECONDS[word], finest)
    except (OverflowError, ValueError):
        return None


_LONG_WORDS: Final = frozenset(UNITS.values())


def _add_to_time(value: Temporal, milliseconds: int) -> Temporal:
    hour, minute, second = (*value.parts, 0, 0)[:3]
    total = Decimal(int(hour) * 3600 + int(minute) * 60) + second + Decimal(milliseconds) / 1000
    total %= 86400
    if total < 0:
        total += 86400
    minutes, left = divmod(total, 60)
    parts = (int(minutes) // 60, int(minutes) % 60, _shaped(left, second, milliseconds))
    return Temporal(TIME, parts[: len(value.parts)])


def _shaped(second: Decimal, like: int | Decimal, milliseconds: int) -> Decimal:
    """Seconds with as many decimals as before, or with three where milliseconds were added."""
    places = max(0, -int(like.as_tuple().exponent)) if isinstance(like, Decimal) else 0
    if milliseconds % 1000:
        places = max(places, 3)
    return second.quantize(Decimal(1).scaleb(-places))


def _add_months(value: Temporal, months: int, finest: str) -> Temporal:
    if finest == "year":
        months = int(months / 12) * 12
    year, month, day = (int(part) for part in (*value.parts[:3], 1, 1)[:3])
    total = year * 12 + month - 1 + months
    year, month = total // 12, total % 12 + 1
    if not 1 <= year <= 9999:
        raise OverflowError
    day = min(day, monthrange(year, month)[1])
    parts = (year, month, day, *value.parts[3:])
    return Temporal(value.kind, parts[: len(value.parts)], value.offset)


def _add_milliseconds(value: Temporal, milliseconds: int, finest: str) -> Temporal:
    if finest in ("year", "month"):
        days = int(milliseconds / _MILLISECONDS["day"])
        months = int(days / 365) * 12 if finest == "year" else int(days / 30)
        return _add_months(value, months, finest)
    if finest in _MILLISECONDS:
        step = _MILLISECONDS[finest]
        milliseconds = int(milliseconds / step) * step
    year, month, day, hour, minute, second = (*value.parts, 0, 0, 0)[:6]
    whole = int(second)
    moved = datetime(  # noqa: DTZ001 — the zone of the value is kept beside it
        int(year), int(month), int(day), int(hour), int(minute), whole
    ) + timedelta(milliseconds=milliseconds)
    left = Decimal(moved.second) + Decimal(moved.microsecond) / 1_000_000 + (second - whole)
    if left >= 60:
        moved, left = moved + timedelta(minutes=1), left - 60
    last = _shaped(left, second, milliseconds)
    parts = (moved.year, moved.month, moved.day, moved.hour, moved.minute, last)
    return Temporal(value.kind, parts[: len(value.parts)], value.offset)


def key(value: Temporal) -> tuple[object, ...]:
    """The same for equal values."""
    parts = _in_utc(value, value.offset) if len(value.parts) > 3 else value.parts
    zoned = value.offset is not None
    return ("Time" if value.kind == TIME else "Date", zoned, parts)
