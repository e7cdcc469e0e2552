"""Which authority takes a report, by where the child is: proposed, and confirmed by a human."""

from __future__ import annotations

from typing import Final

from app import fhir
from app.domain.case import Case
from app.errors import Issue
from app.fhir import Resource, listed
from app.settings import BY_TENANT, CANONICAL, Tenant

_WHERE: Final = f"{CANONICAL}/StructureDefinition/cps-child-current-location"


def proposed(case: Case, request: Resource) -> tuple[Issue, ...]:
    """A sentence for each registered authority that takes this child's report; nothing is sent."""
    return tuple(
        Issue(
            "information",
            "informational",
            f"By where the child is, {one.name} takes this report. If that is right, name it in"
            f" ServiceRequest.performer, identifier {BY_TENANT}|{one.id}, and send again.",
            "ServiceRequest.performer",
        )
        for one in authorities(case, request)
    )


def authorities(case: Case, request: Resource) -> list[Tenant]:
    """Those whose jurisdiction holds the child's present place; where it says none, the home."""
    child = case.find(fhir.literal(request.get("subject"))) or {}
    now = [
        part["valueAddress"]
        for extension in fhir.extensions(request, _WHERE)
        for part in fhir.extensions(extension, "place")
        if "valueAddress" in part
    ]
    home = [one for one in listed(child.get("address")) if one.get("use") != "old"]
    for addresses in (now, home):
        found = [
            tenant
            for tenant in case.settings.tenants
            if tenant.shelf(kind="cps-report", role="recipient")
            and (place := case.mappings.jurisdictions.get(tenant.jurisdiction))
            and place.takes(addresses)
        ]
        if found:
            return found
    return []
