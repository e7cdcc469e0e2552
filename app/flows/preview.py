"""A dry run: the plan, what became of each field, and the check of what would be made; nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from app import conformance, fhir
from app.domain import mappings, planner, screening
from app.domain.case import Case, shaped
from app.domain.change import Caller, Change, Entry
from app.domain.loaded import Loaded, NotLoaded, Want
from app.domain.plan import Fate, Plan, Stored
from app.errors import Issue, Malformed
from app.fhir import Resource
from app.flows import write
from app.flows.service import Service
from app.settings import Settings

_T = TypeVar("_T")

FATE: Final = "https://kinbridge.example.org/fhir/CodeSystem/mapping-fate"


@dataclass(frozen=True, slots=True)
class Preview:
    """
    What would be.

    resources   what would stand on the caller's shelf, in the order of the answer
    findings    of each of them, what its check finds; none where it keeps every rule
    """

    resources: tuple[Resource, ...]
    fates: tuple[Fate, ...]
    issues: tuple[Issue, ...]
    findings: dict[str, tuple[Issue, ...]]


async def preview(service: Service, change: Change) -> Preview:
    """
    What a change would do.

    raises      Refusal: what the change itself would be refused with
    """
    case, plan = await write.planned(service, change)
    return await service.aside.run(partial(_seen, case, plan, change), long=case.change.long)


def _seen(case: Case, plan: Plan, change: Change) -> Preview:
    fields = tuple(
        replace(fate, at=fate.at if not entry.at else entry.at + fate.at[len(entry.type) :])
        for entry in case.entries
        for fate in screening.fields(entry.resource)
    )
    resources = _resources(plan, change)
    findings = {
        fhir.name(one): tuple(case.definitions.check(one, now=case.now)) for one in resources
    }
    return Preview(resources, (*fields, *plan.answer.fates), plan.answer.issues, findings)


def offline(settings: Settings, shelf: str, sent: object) -> Preview:
    """
    The dry run of a file, without a database: nothing stands, and each patient is taken as known.

    raises      Refusal, MappingError
    """
    definitions = conformance.load()
    known = mappings.load(settings.mappings, definitions)
    entries = _entries(sent)
    change = Change(
        settings.shelves[shelf], Caller("kinbridge map"), "transaction", entries, "", "dry-run"
    )
    case = Case(
        change=change,
        loaded=Loaded(),
        settings=settings,
        mappings=known,
        definitions=definitions,
        key=b"kinbridge map",
        now=datetime.now(UTC),
    )
    for entry in entries:
        shaped(definitions, entry)
    arrived = _alone(case, planner.arrived)
    return _seen(arrived, _alone(arrived, planner.plan), change)


def _empty(want: Want) -> Any:
    """What an empty shelf answers; a patient that is named is there."""
    if want.kind == "resource" and want.key.startswith("Patient/"):
        identity = want.key.partition("/")[2]
        return Stored({"resourceType": "Patient", "id": identity}, 1)
    return {"waiting": (), "search": [], "awaiting": [], "held": [], "sent": []}.get(want.kind)


def _alone(case: Case, step: Callable[[Case], _T]) -> _T:
    """What a step of the planner makes where nothing stands."""
    while True:  # each round answers what was not asked before, and a plan asks for finitely much
        try:
            return step(case)
        except NotLoaded as asked:
            case.loaded.seen.update({want: _empty(want) for want in asked.wants})


def _entries(sent: object) -> tuple[Entry, ...]:
    if not isinstance(sent, dict) or "resourceType" not in sent:
        raise Malformed("This is no resource.")
    held = sent.get("entry", []) if sent["resourceType"] == "Bundle" else [{"resource": sent}]
    found = []
    for index, one in enumerate(fhir.listed(held)):
        resource = one.get("resource") if isinstance(one, dict) else None
        if not isinstance(resource, dict) or "resourceType" not in resource:
            raise Malformed("An entry holds no resource.", expression=f"Bundle.entry[{index}]")
        at = f"Bundle.entry[{index}].resource" if sent["resourceType"] == "Bundle" else ""
        identity = str(resource.get("id", ""))
        url = str(one.get("fullUrl", ""))
        found.append(Entry("PUT" if identity else "POST", resource, identity, url, at=at))
    return tuple(found)


def _resources(plan: Plan, change: Change) -> tuple[Resource, ...]:
    """What the plan puts on the caller's own shelf; nobody is shown what goes to another."""
    found = {
        fhir.name(put.resource): put.resource
        for put in plan.puts
        if put.shelf == change.shelf.key and put.method != "DELETE"
    }
    order = [name for name in plan.answer.names if name in found]
    return tuple(found[name] for name in dict.fromkeys([*order, *found]))


def outcome(seen: Preview) -> tuple[Issue, ...]:
    """A line for each field of the source, what there is to say, and the check of each resource."""
    lines = [
        Issue("information", "informational", f"{one.what}: {one.why}", one.at, one.what, FATE)
        for one in seen.fates
    ]
    checks: list[Issue] = []
    for position, resource in enumerate(seen.resources, start=1):
        here, name = f"Bundle.entry[{position}].resource", resource["resourceType"]
        found = seen.findings[fhir.name(resource)]
        checks += [replace(one, expression=here + one.expression[len(name) :]) for one in found]
        if not any(one.severity in {"error", "fatal"} for one in found):
            claims = ", ".join(resource.get("meta", {}).get("profile", ())) or "FHIR R4"
            checks.append(Issue("information", "informational", f"Keeps {claims}.", here))
    return (*lines, *seen.issues, *checks)
