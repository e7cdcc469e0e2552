"""The CapabilityStatement of a shelf: what is there, and nothing else."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Final

from app import fhir
from app.api.resource_types import RESOURCE_TYPES
from app.fhir import Resource
from app.settings import CANONICAL, Shelf
from app.storage.compiled import Parameter
from app.storage.parameters import Parameters

_INTERACTIONS: Final = (
    "create", "read", "vread", "update", "patch", "delete", "history-instance", "history-type",
    "search-type",
)  # fmt: skip
_SYSTEM: Final = ("transaction", "batch", "history-system", "search-system")
_DEFINED: Final = "http://hl7.org/fhir/SearchParameter"
_NOT_OFFERED: Final = "Of what SDOH Clinical Care 3.0.0 asks of a server, XML and Subscriptions by e-mail are not met."
OPERATIONS: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("family-support", "source"): (
        "submit-screening",
        "unmapped",
        "work-off",
        "link",
        "unlink",
        "refer",
        "check-referral",
    ),
    ("cps-report", "source"): ("report", "check-referral"),
}
_ACTS: Final = {("Patient", "source"): "account", ("Task", "recipient"): "record-event"}
_VALIDATE: Final = {
    "name": "validate",
    "definition": "http://hl7.org/fhir/OperationDefinition/Resource-validate",
}
_SECURITY: Final = {
    "service": [
        fhir.concept("http://terminology.hl7.org/CodeSystem/restful-security-service", code)
        for code in ("SMART-on-FHIR", "Basic")
    ],
    "description": "A registered client: SMART Backend Services, by the token endpoint that"
    " .well-known/smart-configuration names, or HTTP Basic; loopback may be open",
}


def statement(  # noqa: PLR0913 — what it says
    shelf: Shelf,
    parameters: Parameters,
    *,
    base: str,
    version: str,
    started: datetime,
    cors: bool = False,
) -> Resource:
    """
    https://hl7.org/fhir/R4/capabilitystatement.html.

    cors        whether pages of other origins may call from a browser
    """
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
        "patchFormat": [
            "application/json-patch+json",
            "application/fhir+json",
            "application/merge-patch+json",
        ],
        "rest": [
            {
                "mode": "server",
                "documentation": _NOT_OFFERED,
                "security": {"cors": True, **_SECURITY} if cors else _SECURITY,
                "resource": [
                    {**one, **_of_instance(one["type"], shelf)} for one in _resources(parameters)
                ],
                "searchParam": [
                    {"name": name, "type": kind, "definition": f"{_DEFINED}/Resource-{name[1:]}"}
                    for name, kind in (("_id", "token"), ("_lastUpdated", "date"))
                ],
                "interaction": [{"code": code} for code in _SYSTEM],
                "operation": [
                    {"name": name, "definition": f"{CANONICAL}/OperationDefinition/{name}"}
                    for name in operations
                ]
                + [_VALIDATE],
            }
        ],
    }


def _of_instance(name: str, shelf: Shelf) -> Resource:
    """The operations on a type and on one resource of it."""
    found = [_VALIDATE]
    if name in {"Encounter", "Patient"}:
        url = f"http://hl7.org/fhir/OperationDefinition/{name}-everything"
        found.append({"name": "everything", "definition": url})
    if act := _ACTS.get((name, shelf.role)):
        found.append({"name": act, "definition": f"{CANONICAL}/OperationDefinition/{act}"})
    return {"operation": found}


@lru_cache(maxsize=2)  # the same for all shelves, and 2,300 parameters long
def _resources(parameters: Parameters) -> list[Resource]:
    return [
        {
            "type": name,
            "interaction": [{"code": code} for code in _INTERACTIONS],
            "versioning": "versioned-update",
            "readHistory": True,
            "updateCreate": True,
            "conditionalCreate": True,
            "conditionalRead": "full-support",
            "conditionalUpdate": True,
            "conditionalDelete": "single",
            "searchInclude": [
                "*",
                *(f"{name}:{one.code}" for one in _references(parameters, name)),
            ],
            "searchRevInclude": ["*"],
            "searchParam": [
                {"name": one.code, "type": one.type, "definition": one.url}
                for one in parameters.of(name).values()
            ],
        }
        for name in sorted(RESOURCE_TYPES)
    ]


def _references(parameters: Parameters, name: str) -> list[Parameter]:
    return [one for one in parameters.of(name).values() if one.type == "reference"]
