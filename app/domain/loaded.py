"""What a planner asks to see, and what was read for it; asking for what was not read announces it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from typing import Any, Final, Literal, TypeVar

import msgspec
from msgspec import Struct

from app.domain.plan import Exchange, Receipt, Recorded, Stored, Waiting
from app.fhir import Resource

_T = TypeVar("_T")
MOST_COPIES: Final = 64  # that follow a correction in its own transaction; the others by and by
MOST_FOUND: Final = 50  # more attestations of one report nobody writes


class Want(Struct, frozen=True):
    """
    What a planner asks to see.

    kind        resource (key: Type/id) | version (key: Type/id/_history/number; answers the resource)
                | past (key: Type/id@instant; answers the resource as it stood then)
                | receipt (key) | exchange (key: the Task's Type/id)
                | sent (key: the request's Type/id; answers its exchanges)
                | search (key: Type?…; answers the names of two that meet it)
                | found (the same; answers the names of MOST_FOUND)
                | recorded (key: exchange|key) | held (key: exchange; answers the names marked with it)
                | opened (key: exchange; answers it)
                | copied (key: Type/id; answers the open exchanges that sent it, MOST_COPIES and one more
                of them; of a Consent every one)
                | shared (key: exchange|Type/id; answers other exchanges that sent it too, MOST_COPIES)
                | expunged (key: Type/id; answers when it was, though a backup from before was restored)
                | crosswalk (key: what is mapped; answers the target, or None)
                | waiting (key: Type/id of a source; answers what of it waits)
                | awaiting (key: what is waited for; answers the names of the sources that wait)
    """

    kind: Literal[
        "resource",
        "version",
        "past",
        "receipt",
        "exchange",
        "sent",
        "search",
        "found",
        "recorded",
        "held",
        "copied",
        "shared",
        "opened",
        "expunged",
        "crosswalk",
        "waiting",
        "awaiting",
    ]
    shelf: str
    key: str


class NotLoaded(Exception):  # noqa: N818 — an announcement, not an error
    """The planner needs to see these before it can decide; load them and plan again."""

    def __init__(self, wants: frozenset[Want]) -> None:
        self.wants = wants
        super().__init__()


class Moved(Exception):  # noqa: N818 — as NotLoaded
    """What met a condition when that was searched for stands no more: read and plan all anew."""


class Loaded(Struct, frozen=True):
    """
    What was read for one change; asking for what was not read announces it.

    worked_out  of what came, by what and of whom: planned again, it is the same
    """

    seen: dict[Want, Any] = msgspec.field(default_factory=dict)
    worked_out: dict[tuple[str, str], Any] = msgspec.field(default_factory=dict)

    def once(self, what: str, name: str, work: Callable[..., _T], *arguments: Any) -> _T:
        """What the work comes to, however often it is planned; it sees what it asks for, or is not done yet."""
        key = (what, name)
        if key not in self.worked_out:
            self.worked_out[key] = work(*arguments)
        found: _T = self.worked_out[key]
        return found

    def resource(self, shelf: str, name: str) -> Stored | None:
        found: Stored | None = self._get(Want("resource", shelf, name))
        return found

    def standing(self, shelf: str, name: str) -> Resource | None:
        """What stands there now; None also where it was deleted."""
        stored = self.resource(shelf, name)
        return stored.resource if stored and stored.stands else None

    def version(self, shelf: str, name: str, number: int) -> Resource | None:
        """What a past version said; None where it is not kept any more."""
        found: Resource | None = self._get(Want("version", shelf, f"{name}/_history/{number}"))
        return found

    def past(self, shelf: str, name: str, at: str) -> Resource | None:
        """
        What stood there at a FHIR instant; the oldest that is kept where it was written later.

        None where nothing stood
        """
        found: Resource | None = self._get(Want("past", shelf, f"{name}@{at}"))
        return found

    def receipt(self, shelf: str, key: str) -> Receipt | None:
        found: Receipt | None = self._get(Want("receipt", shelf, key))
        return found

    def exchange(self, shelf: str, task: str) -> Exchange | None:
        found: Exchange | None = self._get(Want("exchange", shelf, task))
        return found

    def sent(self, shelf: str, request: str) -> list[Exchange]:
        found: list[Exchange] = self._get(Want("sent", shelf, request))
        return found

    def recorded(self, shelf: str, exchange: str, key: str) -> Recorded | None:
        found: Recorded | None = self._get(Want("recorded", shelf, f"{exchange}|{key}"))
        return found

    def held(self, shelf: str, exchange: str) -> list[str]:
        """What stands on a shelf as part of an exchange."""
        found: list[str] = self._get(Want("held", shelf, exchange))
        return found

    def opened(self, shelf: str, exchange: str) -> Exchange | None:
        """An exchange by its id, if this shelf takes part in it."""
        found: Exchange | None = self._get(Want("opened", shelf, exchange))
        return found

    def expunged(self, shelf: str, name: str) -> str:
        """When this (Type/id) was expunged by the list of what was purged, as FHIR instant; "" for never."""
        found: str = self._get(Want("expunged", shelf, name))
        return found

    def sharing(self, shelf: str, exchange: str, name: str) -> list[Exchange]:
        """Other exchanges, not expunged, that have sent the same resource."""
        found: list[Exchange] = self._get(Want("shared", shelf, f"{exchange}|{name}"))
        return found

    def copied(self, shelf: str, name: str) -> list[Exchange]:
        """The open exchanges whose recipients have a copy of this; of a Consent all that ever had."""
        found: list[Exchange] = self._get(Want("copied", shelf, name))
        return found

    def meeting(self, shelf: str, condition: str) -> list[str]:
        found: list[str] = self._get(Want("search", shelf, condition))
        return found

    def found(self, shelf: str, condition: str) -> list[str]:
        """The names of all that meet it, as far as MOST_FOUND."""
        found: list[str] = self._get(Want("found", shelf, condition))
        return found

    def crosswalk(self, shelf: str, keys: list[str]) -> dict[str, str]:
        """{key: target} of those that the database's crosswalk has, all asked for at once."""
        wants = {key: Want("crosswalk", shelf, key) for key in keys}
        if missing := self._missing(wants.values()):
            raise NotLoaded(missing)
        return {key: self.seen[want] for key, want in wants.items() if self.seen[want]}

    def waiting(self, shelf: str, source: str) -> tuple[Waiting, ...]:
        found: tuple[Waiting, ...] = self._get(Want("waiting", shelf, source))
        return found

    def awaiting(self, shelf: str, key: str) -> list[str]:
        found: list[str] = self._get(Want("awaiting", shelf, key))
        return found

    def expect(self, shelf: str, names: list[str]) -> None:
        """Announce several resources at once, so that they are read together."""
        self.announce({Want("resource", shelf, name) for name in names})

    def announce(self, wants: AbstractSet[Want]) -> None:
        """Announce those of them that were not read yet."""
        if missing := self._missing(wants):
            raise NotLoaded(missing)

    def _missing(self, wants: Iterable[Want]) -> frozenset[Want]:
        """Looked up one by one: a difference of sets would go through all that was read."""
        return frozenset(want for want in wants if want not in self.seen)

    def _get(self, want: Want) -> Any:
        if want not in self.seen:
            raise NotLoaded(frozenset({want}))
        return self.seen[want]
