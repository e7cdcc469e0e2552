"""A Task that comes back whole: what its sender has changed since the version that it has read."""

from __future__ import annotations

from typing import Any, Final

from app import fhir
from app.domain.case import Case
from app.domain.plan import Stored
from app.errors import Issue
from app.fhir import Resource, listed

_OURS: Final = frozenset({"id", "identifier", "lastModified", "meta", "resourceType", "text"})


def read(case: Case, task: Resource, stored: Stored) -> Resource:
    """
    The version that the sender of this Task has before it, by its meta.versionId.

    Real clients never send If-Match, and write back what they read some time ago. What it was is the
    version that stands where they do not say, or where it is not kept any more.
    """
    said = str((task.get("meta") or {}).get("versionId", ""))
    if not said.isdecimal() or int(said) >= stored.version:
        return stored.resource
    past = case.loaded.version(case.shelf.key, fhir.name(stored.resource), int(said))
    return past or stored.resource


def taken(
    task: Resource, stored: Resource, before: Resource, may: frozenset[str]
) -> tuple[Resource, tuple[Issue, ...]]:
    """
    What stands, with what the sender has changed and may; and a word on what was not taken.

    before      the version that the sender has read
    may         the elements that it may change
    """
    changed = {
        name for name in (task.keys() | before.keys()) - _OURS if task.get(name) != before.get(name)
    }
    made = dict(stored)
    for name in sorted(changed & may):
        value = _merged(stored.get(name), before.get(name), task.get(name))
        made = {key: one for key, one in made.items() if key != name}
        made |= {name: value} if value else {}
    ignored = tuple(
        Issue("warning", "business-rule", "The agency can't change this; it stays.", f"Task.{name}")
        for name in sorted(changed - may)
        if name != "businessStatus"  # a voluntary referral has none, and reference clients send it
    )
    return made, ignored


def _merged(stands: Any, before: Any, said: Any) -> Any:
    """Of a list the rows that were added and those that were taken away; of anything else what is said."""
    if not isinstance(stands, list) or stands == before:
        return said
    old, new = listed(before), listed(said)
    kept = [one for one in stands if one not in old or one in new]
    return [*kept, *(one for one in new if one not in old and one not in kept)]
