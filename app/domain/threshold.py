"""The last door before a recipient's shelf: whatever planned it, this is not let through."""

from __future__ import annotations

from app import fhir
from app.domain.plan import Exchange, Plan
from app.errors import Invalid, Issue
from app.fhir import Resource, listed
from app.settings import CANONICAL, Settings

_PURPOSE = f"{CANONICAL}/CodeSystem/cps-purpose"
_AGENT_TYPE = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"


def hold(plan: Plan, settings: Settings) -> None:
    """
    What is about to be opened on a recipient's shelf keeps the rules that are never broken.

    raises      Invalid: another purpose than the shelf's, a second child, no named human, no attester
    """
    for step in plan.exchanges:
        if step.version == 0:
            _opened(plan, step, settings)


def _opened(plan: Plan, step: Exchange, settings: Settings) -> None:
    there = {
        fhir.name(one.resource): one.resource
        for one in plan.puts
        if one.shelf == step.recipient and one.exchange == step.id
    }
    requests = [one for one in there.values() if one["resourceType"] == "ServiceRequest"]
    is_report = [fhir.has_code(one.get("category"), _PURPOSE, "cps-report") for one in requests]
    faults: list[Issue] = []

    def fault(rule: str, text: str, at: str) -> None:
        url = f"{CANONICAL}/completeness/{rule}" if rule.startswith("T0") else ""
        faults.append(Issue("error", "business-rule", text, at, rule=rule, url=url))

    kinds = {settings.shelves[shelf].kind for shelf in (step.source, step.recipient)}
    if kinds != {step.kind} or is_report != [step.kind == "cps-report"]:
        fault(
            "purpose", "A shelf takes what it is for, and one request.", "ServiceRequest.category"
        )
    patients = [one for one in there.values() if one["resourceType"] == "Patient"]
    if len(patients) != 1:
        fault("T0-1", "One child's record goes with one request.", "Bundle.entry")
    for request in requests:
        if not _human(request.get("requester"), there):
            fault("T0-3", "The requester is no named human.", "ServiceRequest.requester")
        if step.kind == "cps-report" and not _attested(request, there):
            fault("T0-6", "No named human attests this report.", "Provenance.agent")
    if faults:
        raise Invalid(issues=tuple(faults))


def _human(reference: Resource | None, there: dict[str, Resource]) -> bool:
    found = there.get(fhir.literal(reference), {})
    if found.get("resourceType") == "PractitionerRole":
        found = there.get(fhir.literal(found.get("practitioner")), {})
    return found.get("resourceType") == "Practitioner" and any(
        str(name.get(part, "")).strip()
        for name in listed(found.get("name"))
        for part in ("text", "family")
    )


def _attested(request: Resource, there: dict[str, Resource]) -> bool:
    return any(
        fhir.has_code(agent.get("type"), _AGENT_TYPE, "attester")
        and _human(agent.get("who"), there)
        for one in there.values()
        if one["resourceType"] == "Provenance"
        and fhir.name(request) in {target.get("reference") for target in listed(one.get("target"))}
        for agent in listed(one.get("agent"))
    )
