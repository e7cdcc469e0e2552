"""Who takes part in a referral: the human who sends it, and the registered partner that receives it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from app import fhir
from app.domain import disclosure
from app.domain.case import Case
from app.fhir import Resource, listed
from app.settings import Shelf, Tenant

_HUMANS: Final = ("Practitioner/", "PractitionerRole/")
_AGENT_TYPE: Final = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"


@dataclass(frozen=True, slots=True)
class Parties:
    """
    Who a referral goes to.

    addressed   the reference that names it, as it was written
    """

    tenant: Tenant | None = None
    shelf: Shelf | None = None
    addressed: Resource = field(default_factory=dict)


def recipient(case: Case, reference: Resource | None) -> Parties:
    """Whom a reference to an organization means, by the identifiers that it is known by."""
    reference = reference or {}
    tenant = case.settings.tenant_of(disclosure.organization(reference, case.find))
    if tenant is None:
        return Parties()
    return Parties(tenant, tenant.shelf(kind=case.shelf.kind, role="recipient"), reference)


def human(case: Case, reference: Resource | None) -> Resource | None:
    """The person a reference leads to: a Practitioner with a name, or an active role of one."""
    name = str((reference or {}).get("reference", ""))
    found = case.find(name) if name.startswith(_HUMANS) else None
    if found and found["resourceType"] == "PractitionerRole":
        if found.get("active") is False:
            return None
        name = str((found.get("practitioner") or {}).get("reference", ""))
        found = case.find(name) if name.startswith("Practitioner/") else None
    names = listed((found or {}).get("name"))
    named = any(str(one.get(part, "")).strip() for one in names for part in ("text", "family"))
    return found if named else None


def named(case: Case, reference: Resource | None) -> bool:
    """Whether a reference means a person whom one can ask for: a role or a practitioner with a name."""
    reference = reference or {}
    name = str(reference.get("reference", ""))
    found = case.find(name) if name.startswith(_HUMANS) else None
    if name and found is None:
        return False
    if not name and reference.get("type") not in {"Practitioner", "PractitionerRole"}:
        return False
    says = (reference, (found or {}).get("practitioner") or {})
    return any(one.get("display") for one in says) or human(case, reference) is not None


def personal(reference: Resource | None) -> bool:
    """Whether a reference means a person at all, and no organization or team."""
    reference = reference or {}
    kind = str(reference.get("reference", "")).split("/", 1)[0] or reference.get("type")
    return kind in {"Practitioner", "PractitionerRole"}


def attestation(case: Case, request: Resource) -> Resource | None:
    """The Provenance in which a human says: I have reason to suspect."""
    for entry in case.entries:
        resource = entry.resource
        targets = {one.get("reference") for one in listed(resource.get("target"))}
        if entry.type == "Provenance" and fhir.name(request) in targets and "recorded" in resource:
            for agent in listed(resource.get("agent")):
                behalf = str((agent.get("onBehalfOf") or {}).get("reference", ""))
                if (
                    fhir.has_code(agent.get("type"), _AGENT_TYPE, "attester")
                    and human(case, agent.get("who"))
                    and not behalf.startswith("Device/")
                ):
                    return resource
    return None
