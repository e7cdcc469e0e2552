"""Where a reference leads that gives the number of what it means, and no name."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from app import fhir
from app.domain import condition, patients
from app.domain.case import Case
from app.errors import Issue
from app.fhir import Resource, listed

_HOW: Final = "name it by reference, Type/id, or give it a number of its own"


def is_alone(reference: Resource | None, kind: str) -> bool:
    """
    Whether a reference says by its number alone which resource of this type it means.

    source      https://hl7.org/fhir/R4/references.html#logical
    """
    said = reference or {}
    number = said.get("identifier") or {}
    return "reference" not in said and bool(number.get("value")) and said.get("type", kind) == kind


def carrying(case: Case, reference: Resource, kind: str) -> set[str]:
    """Type/id of all that carry the number of a reference; records that are linked as one patient are one."""
    number = reference["identifier"]
    system, value = str(number.get("system", "")), str(number["value"])
    came = {
        fhir.name(one.resource)
        for one in case.entries
        if one.type == kind
        and any(
            (each.get("system", ""), each.get("value")) == (system, value)
            for each in listed(one.resource.get("identifier"))
        )
    }
    stand = case.loaded.meeting(case.shelf.key, condition.identifier(kind, system, value))
    return {patients.standing_for(case, one) for one in (*came, *stand)}


def one(case: Case, reference: Resource | None, kind: str) -> str:
    """
    Type/id that a reference leads to, without its version: by name, else by a number that one carries.

    returns     "" where it says neither, or the number leads nowhere, or to several
    """
    if reference is None or not is_alone(reference, kind):
        return fhir.target(reference)
    found = carrying(case, reference, kind)
    return found.pop() if len(found) == 1 else ""


def faults(case: Case, reference: Resource | None, kind: str, at: str) -> tuple[Issue, ...]:
    """
    What keeps the number of a reference from leading to the one that it means.

    at          where the reference stands, as FHIRPath
    """
    if reference is None or not is_alone(reference, kind):
        return ()
    found = carrying(case, reference, kind)
    if len(found) == 1:
        return ()
    who = f"More than one {kind}" if found else f"No {kind}"
    text = f"{who} of this shelf carries the number of this reference: {_HOW}."
    return (Issue("error", "multiple-matches" if found else "not-found", text, at),)


def literal(reference: Resource | None, name: str) -> Resource:
    """The reference with the name (Type/id) that it leads to, where it says none, or a version of it."""
    said = reference or {}
    return said if fhir.literal(said) == name else {**said, "reference": name}


def led(case: Case, request: Resource) -> Resource:
    """
    The request, whose subject and requester say by name whom they mean: where a number says it of the
    subject, or a version is named; what stands is what is sent.
    """
    said = {"subject": one(case, request.get("subject"), "Patient")}
    said["requester"] = fhir.target(request.get("requester"))
    named = {key: literal(request[key], name) for key, name in said.items() if name}
    return request if named == {key: request[key] for key in named} else {**request, **named}


def arriving(case: Case, request: Resource) -> Case:
    """The case in which this request came, with whom it is for by name, in place of what came under its id."""
    came = case.arriving(fhir.name(request))
    if came is None or came is request:
        return case
    child = str(request["subject"]["reference"])
    urls = (one.full_url for one in case.entries if fhir.name(one.resource) == child)
    url = next(urls, "") or f"{case.change.base}/{child}"
    entries, sent = list(case.entries), list(case.change.entries)
    for at, one in enumerate(entries):
        if one.resource is came:
            entries[at] = replace(one, resource=request)
            said = {**one.said, "subject": literal(one.said.get("subject"), url)}
            sent = [
                replace(each, resource=said) if each.resource is one.said else each for each in sent
            ]
    return replace(case, change=replace(case.change, entries=tuple(sent)), entries=tuple(entries))
