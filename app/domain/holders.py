"""Who has a copy of what is corrected, and works on with it."""

from __future__ import annotations

from app.domain.case import Case, at_once
from app.domain.following import is_untouched
from app.domain.loaded import MOST_COPIES
from app.domain.plan import Exchange
from app.domain.steps import OPEN


def sent(case: Case, name: str) -> list[Exchange]:
    """The exchanges whose recipient has a copy of this (Type/id) that follows now."""
    found = case.loaded.copied(case.shelf.key, name)
    if name.startswith("Consent/"):
        open_ones = working(case, found)
        return [one for one in found if one in open_ones or is_untouched(one)]
    known = [one for one in found[:MOST_COPIES] if one.recipient in case.settings.shelves]
    return working(case, known)


def working(case: Case, exchanges: list[Exchange]) -> list[Exchange]:
    """Those on which the recipient still works."""
    tasks = at_once(lambda one: case.loaded.resource(one.recipient, one.recipient_task), exchanges)
    return [
        one
        for one, task in zip(exchanges, tasks, strict=True)
        if task and task.stands and task.resource["status"] in OPEN
    ]
