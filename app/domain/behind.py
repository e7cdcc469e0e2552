"""What stood on a record before it was given to another child: it is not sent of that one."""

from __future__ import annotations

from typing import Final

from app import fhir
from app.domain import contained, identity, reminder
from app.domain.case import Case, at_once
from app.domain.plan import Put, put
from app.fhir import Resource, listed

REFUSED: Final = (
    "This was written while the record that it names told of another person, and is not sent of this one. If it"
    " is of this one, write it anew; else leave it out."
)
_TOLD: Final = (
    "Something that this report names stayed behind: it was written while its record told of another person."
    " If it is of this child, write it anew, and tell the agency in a message or by a call."
)


def stays(case: Case, resource: Resource) -> bool:
    """Whether it stood before this came, and was written while the record that it names told of another."""
    record = fhir.target(fhir.about(resource))
    if contained.is_inside(fhir.name(resource)) or not fhir.is_relative(record):
        return False
    if case.arriving(fhir.name(resource)) is not None:
        return False
    return identity.was_another(case, record, str(resource["meta"]["lastUpdated"]))


def told(case: Case, exchange: str, request: Resource, task: Resource) -> tuple[Put, ...]:
    """A Task where something stays that the report names; few clients read what an answer says besides."""
    named = [
        fhir.target(one)
        for element in ("reasonReference", "supportingInfo")
        for one in listed(request.get(element))
    ]
    stands = [one for name in named if fhir.is_relative(name) and (one := case.find(name))]
    if not any(at_once(lambda one: stays(case, one), stands)):
        return ()
    made = reminder.task(
        case, exchange, task, "behind", to=task["requester"], text=_TOLD, system=reminder.STAYS
    )
    return put(made, None, shelf=case.shelf.key, now=case.now, exchange=exchange)
