"""The CapabilityStatement of a shelf: what is there, and nothing else."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from app import fhir
from app.api.resource_types import RESOURCE_TYPES
from app.fhir import Resource
from app.settings import CANONICAL, Shelf

_INTERACTIONS: Final = ("read", "create", "update")
OPERATIONS: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("family-support", "source"): ("submit-screening", "refer"),
    ("cps-report", "source"): ("report",),
}


def statement(shelf: Shelf, *, base: str, version: str, started: datetime) -> Resource:
    """https://hl7.org/fhir/R4/capabilitystatement.html."""
    operations = OPERATIONS.get((shelf.kind, shelf.role), ())
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": fhir.instant(started),
        "kind": "instance",
        "software": {"name": "Kinbridge", "version": version},
        "implementation": {"description": f"Shelf {shelf.key}", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [
            {
                "mode": "server",
                "security": {
                    "description": "HTTP Basic with a registered client; loopback may be open"
                },
                "resource": [
                    {
                        "type": name,
                        "interaction": [{"code": code} for code in _INTERACTIONS],
                        "versioning": "versioned-update",
                        "updateCreate": True,
                    }
                    for name in sorted(RESOURCE_TYPES)
                ],
                "interaction": [{"code": "transaction"}],
                "operation": [
                    {"name": name, "definition": f"{CANONICAL}/OperationDefinition/{name}"}
                    for name in operations
                ],
            }
        ],
    }
