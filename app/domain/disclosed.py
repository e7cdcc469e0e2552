"""A disclosure as the accounting states it, 45 CFR 164.528(b)(2)."""

from __future__ import annotations

from typing import Final

from app import fhir
from app.domain import contained
from app.domain.case import Case
from app.domain.disclosure import Rule
from app.domain.plan import Accounted, Put
from app.fhir import Resource

_HUMANS: Final = ("Practitioner/", "PractitionerRole/")


def row(  # noqa: PLR0913 — what a row says
    case: Case,
    exchange: str,
    rule: Rule,
    *,
    source: str,
    recipient: str,
    subject: str,
    puts: tuple[Put, ...],
    requester: Resource | None = None,
) -> Accounted:
    """
    The row that says what was disclosed, and by which rule.

    exchange    id
    source, recipient   shelves
    puts        what is disclosed, on the recipient's shelf
    requester   reference to the human who asked for it; known by a record on the source's shelf, or not at all
    """
    asked = fhir.versionless(str((requester or {}).get("reference", "")))
    tenant = case.settings.tenant(case.settings.shelves[recipient].tenant)
    return Accounted(
        exchange=exchange,
        source=source,
        recipient=recipient,
        recipient_name=tenant.name,
        subject=subject,
        purpose=rule.purpose,
        rule=rule.id,
        basis=rule.basis,
        caller=case.change.caller.id,
        requester=asked if asked.startswith(_HUMANS) and not contained.is_inside(asked) else "",
        disclosed=tuple(fhir.name(one.resource) for one in puts),
    )
