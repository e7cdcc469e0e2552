"""A submission before it is sent: what it lacks, and how much of it a caseworker could use."""

from __future__ import annotations

from typing import Final

from app import fhir
from app.domain import disclosure, graph
from app.domain.case import Case
from app.domain.change import Entry
from app.domain.completeness import Measured
from app.domain.submission import Part, Submission, submission
from app.errors import Invalid
from app.fhir import Resource, listed

_OUTWARD: Final = ("cps-report", "outward")


def checked(case: Case, *, jurisdiction: str, flags: frozenset[str]) -> Measured:
    """
    What $check-referral answers; nothing is written, nothing is sent.

    jurisdiction    its id, "" for the recipient's
    flags           of a jurisdiction, to be tried
    raises          Invalid: no such jurisdiction is on file, or no element asks for such a flag
    """
    made = submitted(case)
    if jurisdiction and jurisdiction not in case.mappings.jurisdictions:
        known = ", ".join(sorted(case.mappings.jurisdictions))
        raise Invalid(f"No jurisdiction of this name is on file; there are {known}.")
    known_flags = case.mappings.completeness.flags
    if flags - known_flags:
        raise Invalid(f"No element asks for this flag; there are {', '.join(sorted(known_flags))}.")
    return measured(case, made, jurisdiction or _recipients(case, made), flags=flags)


def measured(
    case: Case, made: Submission, jurisdiction: str, *, flags: frozenset[str] = frozenset()
) -> Measured:
    """
    The two numbers, by what the jurisdiction's form asks for.

    What stays behind as a need of the family, or as its answer to a screening, counts for nothing: to be
    poor is no ground for a report.
    """
    rules = [one for one in case.mappings.rules if (one.kind, one.direction) == _OUTWARD]
    kept = [
        entry
        for entry in made.bundle["entry"]
        if entry["resource"]["resourceType"] != "Observation"
        or not any(graph.is_withheld(entry["resource"], rule) for rule in rules)
    ]
    made = Submission({**made.bundle, "entry": kept}, made.targets)
    place = case.mappings.jurisdictions.get(jurisdiction)
    own = frozenset(place.flags) if place else frozenset()
    return case.mappings.completeness.measure(made, flags=own | flags)


def submitted(case: Case, more: tuple[Part, ...] = ()) -> Submission:
    """
    What was sent, as it was sent, with what it refers to on the sender's shelf.

    more        what stands on the shelf already and belongs to it
    """
    parts = [_part(one) for one in case.change.entries if one.method in {"POST", "PUT"}]
    parts = [Part(one.full_url, _by_itself(one.resource), one.name) for one in (*parts, *more)]
    base, shelf = case.change.base, case.shelf.key
    named = {
        reference["reference"].removeprefix(f"{base}/").split("/_history/", 1)[0]
        for part in parts
        for reference in fhir.references(part.resource)
    }
    case.loaded.expect(shelf, sorted(name for name in named if fhir.is_relative(name)))
    return submission(parts, shelf=lambda name: _standing(case, name), base=base)


# another order that this one comes from, or takes the place of, is no second report
_OTHERS: Final = frozenset({"basedOn", "replaces"})


def _by_itself(resource: Resource) -> Resource:
    if resource["resourceType"] != "ServiceRequest" or _OTHERS.isdisjoint(resource):
        return resource
    return {name: value for name, value in resource.items() if name not in _OTHERS}


def _part(entry: Entry) -> Part:
    written = entry.name if entry.id and entry.method == "PUT" else ""
    return Part(entry.full_url, entry.resource, written)


def _standing(case: Case, name: str) -> Resource | None:
    """What stands on the sender's shelf, by Type/id or by Type? and a search that finds one."""
    if "?" in name:
        found = case.loaded.meeting(case.shelf.key, name)
        if len(found) != 1:
            return None
        name = found[0]
    return case.loaded.standing(case.shelf.key, name)


def _recipients(case: Case, made: Submission) -> str:
    """The jurisdiction of the registered partner that the request names."""
    for entry in made.bundle["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] == "ServiceRequest":
            for performer in listed(resource.get("performer")):
                found = made.resolve(fhir.literal(performer))
                means = found if found and found["resourceType"] == "Organization" else performer
                names = disclosure.organization({"identifier": means.get("identifier")}, _nobody)
                if tenant := case.settings.tenant_of(names):
                    return tenant.jurisdiction
    return ""


def _nobody(_: str) -> None:
    return None
