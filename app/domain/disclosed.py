"""A disclosure as the accounting states it, 45 CFR 164.528(b)(2)."""

from __future__ import annotations

from typing import Final

from app import fhir
from app.domain import contained
from app.domain.case import Case
from app.domain.disclosure import Rule
from app.domain.plan import Accounted, Exchange, Put
from app.fhir import Resource

TAKEN_BACK: Final = "taken-back"
_BASIS: Final = ("45 CFR 164.508(b)(5)", "45 CFR 164.530(f)")
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
    asked = fhir.target(requester)
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


def taken_back(
    case: Case, exchange: Exchange, puts: tuple[Put, ...], *, inward: bool = False
) -> tuple[Accounted, ...]:
    """
    The row of what the other side is told to be no more: a referral, its consent, a question, a message.

    No rule lets it go, since none may be left that does, such as a consent; () where nothing is told.

    inward      whether the agency takes it back
    source      45 CFR 164.508(b)(5), 45 CFR 164.530(f)
    """
    told = tuple(fhir.name(one.resource) for one in puts if one.method != "DELETE")
    if not told:
        return ()
    here, there = exchange.source, exchange.recipient
    subject = exchange.person
    if inward:
        here, there, subject = there, here, exchange.copies.get(subject, "")
    known = case.settings.shelves.get(there)
    name = case.settings.tenant(known.tenant).name if known else there.partition("/")[0]
    purpose = next(
        rule.purpose
        for rule in case.mappings.rules
        if (rule.kind, rule.direction) == (exchange.kind, "outward")
    )
    return (
        Accounted(
            exchange=exchange.id,
            source=here,
            recipient=there,
            recipient_name=name,
            subject=subject,
            purpose=purpose,
            rule=TAKEN_BACK,
            basis=_BASIS,
            caller=case.change.caller.id,
            disclosed=told,
        ),
    )
