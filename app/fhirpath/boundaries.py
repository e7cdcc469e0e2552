"""lowBoundary(), highBoundary(), precision(), comparable() and today(); FHIRPath 2.1."""

from __future__ import annotations

from calendar import monthrange
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from decimal import Context as Digits
from typing import TYPE_CHECKING, Any, Final

from app.fhirpath import quantity, temporal
from app.fhirpath.refusals import EvaluationError
from app.fhirpath.registry import function
from app.fhirpath.temporal import DATE, DATE_TIME, TIME, Temporal
from app.fhirpath.values import Quantity, single, whole

if TYPE_CHECKING:
    from datetime import datetime

    from app.fhirpath.context import Context

_MAX_DECIMALS: Final = 31  # as HL7's engine has it
_DEFAULT: Final = {DATE: 8, DATE_TIME: 17, TIME: 9}
_WIDE: Final = Digits(prec=500, traps=[])
# How many parts a precision in digits keeps; a Time has no year, month and day.
_PARTS: Final = {4: 1, 6: 2, 8: 3, 10: 4, 12: 5, 14: 6, 17: 6}
_TIME_PARTS: Final = {2: 1, 4: 2, 6: 3, 9: 3}


@function("lowBoundary", 0, 1)
def low_boundary(_: Context, items: list[Any], precision: list[Any] | None = None) -> list[Any]:
    return _boundary(items, precision, high=False)


@function("highBoundary", 0, 1)
def high_boundary(_: Context, items: list[Any], precision: list[Any] | None = None) -> list[Any]:
    return _boundary(items, precision, high=True)


def _boundary(items: list[Any], precision: list[Any] | None, *, high: bool) -> list[Any]:
    what = "highBoundary()" if high else "lowBoundary()"
    value = single(items, what)
    digits = None if precision is None else whole(precision, what)
    if value is None or isinstance(value, bool):
        return []
    if isinstance(value, (int, Decimal)):
        found = _of_number(Decimal(value), digits, high=high)
        return [] if found is None else [found]
    if isinstance(value, Quantity):
        found = _of_number(value.value, digits, high=high)
        kept = {"ucum": value.ucum, "word": value.word}
        return [] if found is None else [Quantity(found, value.unit, **kept)]  # type: ignore[arg-type] # both are as Quantity takes them
    if isinstance(value, Temporal):
        moment = _of_moment(value, _DEFAULT[value.kind] if digits is None else digits, high=high)
        return [] if moment is None else [moment]
    raise EvaluationError(f"{what} takes a number, a quantity, a date or a time.")


def _of_number(value: Decimal, digits: int | None, *, high: bool) -> Decimal | None:
    places = 8 if digits is None else digits
    if not 0 <= places <= _MAX_DECIMALS or value.adjusted() > 100:
        return None
    written = max(0, -int(value.as_tuple().exponent))
    half = Decimal(5).scaleb(-written - 1)
    # Away from zero is rounded, towards zero is cut, as HL7's engine has it.
    away = high != value.is_signed() or value == 0
    bound = _WIDE.add(value, half if high else -half)
    rounding = ROUND_HALF_UP if away else ROUND_DOWN
    found = bound.quantize(Decimal(1).scaleb(-places), rounding=rounding, context=_WIDE)
    return found.copy_sign(value) if found == 0 else found


def _of_moment(value: Temporal, digits: int, *, high: bool) -> Temporal | None:
    if value.kind == TIME:
        count = _TIME_PARTS.get(digits)
        clock = _filled_clock(value.parts, high=high)
        return None if count is None else Temporal(TIME, _cut(clock, count, digits == 6))
    count = _PARTS.get(digits)
    if count is None or (value.kind == DATE and count > 3):
        return None
    year = int(value.parts[0])
    month = int(value.parts[1]) if len(value.parts) > 1 else (12 if high else 1)
    last = monthrange(year, month)[1]
    day = int(value.parts[2]) if len(value.parts) > 2 else (last if high else 1)
    clock = _filled_clock(value.parts[3:], high=high)
    parts = _cut((year, month, day, *clock), count, digits == 14)
    offset = value.offset
    if offset is None and count > 3:
        offset = -12 * 60 if high else 14 * 60
    return Temporal(value.kind, parts, offset if count > 3 else None)


def _filled_clock(parts: tuple[int | Decimal, ...], *, high: bool) -> tuple[int | Decimal, ...]:
    """Hour, minute and second to the millisecond."""
    # An hour that is written alone is its first minute, as HL7's engine has it.
    minute = 59 if high and not parts else 0
    hour = int(parts[0]) if parts else (23 if high else 0)
    minute = int(parts[1]) if len(parts) > 1 else minute
    if len(parts) < 3:
        return hour, minute, Decimal("59.999" if high else "0.000")
    second = Decimal(parts[2])
    if int(second.as_tuple().exponent) >= 0:
        second += Decimal("0.999" if high else "0.000")
    return hour, minute, second.quantize(Decimal("0.001"), rounding=ROUND_DOWN)


def _cut(
    parts: tuple[int | Decimal, ...],
    count: int,
    whole_seconds: bool,  # noqa: FBT001 — said at both calls by the number of digits
) -> tuple[int | Decimal, ...]:
    kept = parts[:count]
    if whole_seconds:
        return (*kept[:-1], Decimal(int(kept[-1])))
    return kept


@function("precision")
def precision(_: Context, items: list[Any]) -> list[Any]:
    value = single(items, "precision()")
    if isinstance(value, Temporal):
        return [value.digits]
    if isinstance(value, Quantity):
        value = value.value
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return [max(0, -int(Decimal(value).as_tuple().exponent))]
    if value is None:
        return []
    raise EvaluationError("precision() takes a number, a date or a time.")


@function("comparable", 1, 1)
def comparable(_: Context, items: list[Any], other: list[Any]) -> list[Any]:
    one, two = single(items, "comparable()"), single(other, "comparable()")
    if one is None or two is None:
        return []
    if not isinstance(one, Quantity) or not isinstance(two, Quantity):
        return [False]
    return [quantity.comparable(one, two)]


def _now(context: Context) -> datetime:
    now = context.environment.now
    if now is None:
        raise EvaluationError("The expression asks for the time, and none was handed in.")
    return now


@function("now")
def now(context: Context, _: list[Any]) -> list[Any]:
    return [temporal.at(_now(context))]


@function("today")
def today(context: Context, _: list[Any]) -> list[Any]:
    return [Temporal(DATE, temporal.at(_now(context)).parts[:3])]


@function("timeOfDay")
def time_of_day(context: Context, _: list[Any]) -> list[Any]:
    return [Temporal(TIME, temporal.at(_now(context)).parts[3:])]


@function("yearOf")
def year_of(_: Context, items: list[Any]) -> list[Any]:
    return _part(items, 0)


@function("monthOf")
def month_of(_: Context, items: list[Any]) -> list[Any]:
    return _part(items, 1)


@function("dayOf")
def day_of(_: Context, items: list[Any]) -> list[Any]:
    return _part(items, 2)


@function("hourOf")
def hour_of(_: Context, items: list[Any]) -> list[Any]:
    return _part(items, 3)


@function("minuteOf")
def minute_of(_: Context, items: list[Any]) -> list[Any]:
    return _part(items, 4)


@function("secondOf")
def second_of(_: Context, items: list[Any]) -> list[Any]:
    return [int(found) for found in _part(items, 5)]


@function("millisecondOf")
def millisecond_of(_: Context, items: list[Any]) -> list[Any]:
    return [int(found % 1 * 1000) for found in _part(items, 5)]


@function("timezoneOffsetOf")
def timezone_offset_of(_: Context, items: list[Any]) -> list[Any]:
    value = single(items, "timezoneOffsetOf()")
    if not isinstance(value, Temporal) or value.offset is None:
        return []
    return [Decimal(value.offset) / 60]


@function("dateOf")
def date_of(_: Context, items: list[Any]) -> list[Any]:
    value = single(items, "dateOf()")
    if not isinstance(value, Temporal) or value.kind == TIME:
        return []
    return [Temporal(DATE, value.parts[:3])]


@function("timeOf")
def time_of(_: Context, items: list[Any]) -> list[Any]:
    value = single(items, "timeOf()")
    if not isinstance(value, Temporal):
        return []
    clock = value.parts if value.kind == TIME else value.parts[3:]
    return [Temporal(TIME, clock)] if clock else []


def _part(items: list[Any], index: int) -> list[Any]:
    value = single(items, "A part of a date")
    if not isinstance(value, Temporal):
        return []
    parts = (None, None, None, *value.parts) if value.kind == TIME else value.parts
    found = parts[index] if index < len(parts) else None
    return [] if found is None else [found]
