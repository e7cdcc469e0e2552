"""
Whether what is made of a screening keeps its profile: of twenty answers, what is the same is looked at once.

A resource has two halves: what it says, and what it has of its source (who, when, of what). No rule
of the profiles that we claim holds one half against the other, but for whether an element is
there; so a resource keeps its profile if both of its halves have been seen in one that does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from app import fhir
from app.conformance import Definitions
from app.errors import Issue
from app.fhir import Resource

_SOURCE: Final = frozenset(
    ["authoredOn", "derivedFrom", "effectiveDateTime", "effectivePeriod", "encounter", "entity",
     "evidence", "hasMember", "issued", "occurredDateTime", "performer", "reasonReference",
     "recorded", "recordedDate", "subject", "target"]
)  # fmt: skip
_OURS: Final = frozenset({"id", "meta"})  # an id is a keyed hash
_KEPT: Final = 4096  # what people say in their own words is said once


class Halves:
    """What was seen to say something that keeps its profile, since the start."""

    def __init__(self) -> None:
        self._said: set[bytes] = set()

    def faults(
        self, resources: Iterable[Resource], definitions: Definitions, *, now: datetime
    ) -> Iterator[Issue]:
        """
        What keeps resources of one screening from the profiles that they claim.

        returns     every error, where there are errors; a resource with one is looked at whole
        """
        sources: set[bytes] = set()
        for one in resources:
            said, source = _halves(one)
            if said in self._said and source in sources:
                continue
            found = definitions.check(one, now=now)
            wrong = [issue for issue in found if issue.severity in {"error", "fatal"}]
            if wrong:
                yield from wrong
                continue
            if len(self._said) >= _KEPT:
                self._said.clear()
            self._said.add(said)
            sources.add(source)


def _halves(resource: Resource) -> tuple[bytes, bytes]:
    """Both halves, each with what the other must have: its elements, or its profiles."""
    source = {name: value for name, value in resource.items() if name in _SOURCE}
    said = [
        (name, value)
        for name, value in resource.items()
        if name not in _SOURCE and name not in _OURS
    ]
    meta = resource["meta"]
    labels = [meta.get("profile"), meta.get("security")]
    kind = resource["resourceType"]
    return fhir.encode([said, labels, [*source]]), fhir.encode([kind, meta.get("profile"), source])
