"""What was written last, for who changes it again; docs/decisions/0070."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from app import fhir
from app.domain.plan import Stored
from app.storage.resources import Stand, Version

_MOST: Final = 2 * 2**20  # bytes of bodies and facts, some eight hundred Tasks
_LONGEST: Final = 16 * 2**10  # bytes of one body


class Remembered:
    """
    What this process has written, the last of it, as it stood then.

    Another process may have changed it since, so nothing may come of it but a put, which fails
    where what it replaces is another.
    """

    def __init__(self) -> None:
        # of a dict the first of its keys is found by passing over all that went before it
        self._rows: OrderedDict[tuple[str, str], Version] = OrderedDict()
        self._bytes = 0

    def keep(self, stand: Stand) -> None:
        for key, one in stand.items():
            if (before := self._rows.pop(key, None)) is not None:
                self._bytes -= _size(before)
            if one.stands and len(one.body) <= _LONGEST:
                self._rows[key] = one
                self._bytes += _size(one)
        while self._bytes > _MOST:
            _, oldest = self._rows.popitem(last=False)
            self._bytes -= _size(oldest)

    def stored(self, shelf: str, name: str) -> Stored | None:
        """What stood there (Type/id); None where that is not known."""
        one = self._rows.get((shelf, name))
        if one is None:
            return None
        return Stored(fhir.read(one.body), one.version, one.exchange, one.updated, one.facts)

    def forget(self) -> None:
        """What was purged is to be nowhere."""
        self._rows.clear()
        self._bytes = 0


def _size(one: Version) -> int:
    return len(one.body) + len(one.facts)
