"""A report is looked at before it is sent: what is missing, and how much a caseworker could use."""

from __future__ import annotations

from functools import partial

from app.domain import case, draft
from app.domain.change import Change
from app.domain.completeness import Measured
from app.flows import write
from app.flows.service import Service


async def check(
    service: Service, change: Change, *, jurisdiction: str, flags: frozenset[str]
) -> Measured:
    """
    Nothing is written and nothing is sent.

    raises      Malformed: an entry has not the shape of its type
                Invalid: as draft.checked
    """
    for entry in change.entries:
        case.shaped(service.definitions, entry)
    plan = partial(draft.checked, jurisdiction=jurisdiction, flags=flags)
    return await write.settled(service, write.begun(service, change), plan)
