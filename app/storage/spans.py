"""What a date, dateTime or instant covers, by its precision: microseconds since 1970."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from app.known import Known

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DATE: Final = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)"
    r"(?:T([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d|60)(?:\.(\d+))?)?(Z|[+-][01]\d:[0-5]\d)?)?)?)?",
    re.ASCII,
)
_SECOND: Final = 10**6
_DAY: Final = 86400 * _SECOND


def instants(text: str) -> tuple[int, int] | None:
    """
    The microseconds that a date, dateTime or instant covers by its precision: first, and one after the last.

    Without a zone it is read as UTC. None for what is no date.
    """
    return _known_instants[text]


def _instants(text: str) -> tuple[int, int] | None:
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        first = _days(int(year), int(month or 1), int(day or 1)) * _DAY
        if day is None:
            after = _next_month(int(year), int(month)) if month else _days(int(year) + 1, 1, 1)
            return first, after * _DAY
        if hour is None:
            return first, first + _DAY
    except ValueError:
        return None
    first += (int(hour) * 3600 + int(minute) * 60) * _SECOND - _offset(zone)
    if second is None:
        return first, first + 60 * _SECOND
    first += int(second) * _SECOND
    if fraction is None:
        return first, first + _SECOND
    digits = fraction[:6]
    step = 10 ** (6 - len(digits))
    first += int(digits) * step
    return first, first + step


# What comes at one moment says that moment again and again.
_known_instants: Final = Known(_instants)


def _days(year: int, month: int, day: int) -> int:
    if year > 9999:  # the year after the last
        return (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH).days + 1
    return (datetime(year, month, day, tzinfo=UTC) - _EPOCH).days


def _next_month(year: int, month: int) -> int:
    return _days(year + 1, 1, 1) if month == 12 else _days(year, month + 1, 1)


def _offset(zone: str | None) -> int:
    if zone is None or zone == "Z":
        return 0
    minutes = int(zone[1:3]) * 60 + int(zone[4:6])
    return (minutes if zone[0] == "+" else -minutes) * 60 * _SECOND


def microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
