"""Rows of the accounting of disclosures as AuditEvents, in the guide's profile disclosure-audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

from app.domain.plan import Accounted, derive, tracking
from app.domain.report import LABELS
from app.fhir import Resource
from app.settings import BY_TENANT, CANONICAL, Kind, Tenant

_PROFILE: Final = f"{CANONICAL}/StructureDefinition/disclosure-audit"
_DECISION: Final = f"{CANONICAL}/StructureDefinition/disclosure-decision"
_DICOM: Final = "http://dicom.nema.org/resources/ontology/DCM"
_ENTITY: Final = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ROLE: Final = "http://terminology.hl7.org/CodeSystem/object-role"


def events(
    rows: Iterable[tuple[str, Accounted]], *, source: Tenant, kind: Kind, key: bytes
) -> Iterator[Resource]:
    """
    The rows of one shelf about one person, as AuditEvents that stand nowhere, each made when it is asked for.

    rows        each with its instant, in the order in which they were written
    source      whose shelf it is
    kind        of the shelf: what is said of a report is labelled as the report was
    key         of ids, which stay the same each time
    source      45 CFR 164.528(b)(2): date, recipient, what in brief, purpose;
                https://profiles.ihe.net/ITI/BALP/, privacy disclosure at the source
    """
    places: Counter[str] = Counter()
    for at, row in rows:
        place = str(places[row.subject])
        places[row.subject] += 1
        identity = derive(key, "account", row.source, row.subject, place)
        yield _event(at, row, identity, source, kind)


def apart(count: int) -> Resource:
    """What an account says of rows that are not of whom the record tells now."""
    text = (
        f"{count} more under this id: the record told of another person when that was sent, or was expunged"
        " since. They are no part of this person's account; former=true lists them alone, and at=, with the"
        " time of one of them, that person's."
    )
    return {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "information", "code": "informational", "details": {"text": text}}],
    }


def _event(at: str, row: Accounted, identity: str, source: Tenant, kind: Kind) -> Resource:
    types = dict.fromkeys(sorted(name.partition("/")[0] for name in row.disclosed))
    meta: dict[str, Any] = {"profile": [_PROFILE]}
    if kind == "cps-report":
        meta["security"] = LABELS
    decision = [{"url": "rule", "valueString": row.rule}]
    decision += [{"url": "basis", "valueString": one} for one in row.basis]
    return {
        "resourceType": "AuditEvent",
        "id": identity,
        "meta": meta,
        "extension": [{"url": _DECISION, "extension": decision}],
        "type": {"system": _DICOM, "code": "110106", "display": "Export"},
        "subtype": [
            {
                "system": "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle",
                "code": "disclose",
            }
        ],
        "action": "R",
        "recorded": at,
        "outcome": "0",
        "purposeOfEvent": [
            {
                "coding": [
                    {"system": f"{CANONICAL}/CodeSystem/exchange-purpose", "code": row.purpose}
                ]
            }
        ],
        "agent": [
            _agent("110153", {**_tenant(source.id), "display": source.name}),
            _agent(
                "110152",
                {**_tenant(row.recipient.partition("/")[0]), "display": row.recipient_name},
            ),
            _agent("110150", {"display": row.caller}, asked=not row.requester),
            *([_human(row.requester)] if row.requester else []),
        ],
        "source": {"observer": {"display": "Kinbridge"}},
        "entity": [
            _entity({"reference": row.subject}, kind="1", role="1"),
            _entity(
                {"identifier": tracking(row.exchange)},
                kind="2",
                role="3",
            ),
            # in brief: the copies themselves stand on a shelf that is not this reader's
            *(_entity({"type": name, "display": name}, kind="2", role="3") for name in types),
        ],
    }


def _tenant(identity: str) -> Resource:
    return {"identifier": {"system": BY_TENANT, "value": identity}}


def _agent(code: str, who: Resource, *, asked: bool = False) -> Resource:
    kind = {"coding": [{"system": _DICOM, "code": code}]}
    return {"type": kind, "who": who, "requestor": asked}


def _human(requester: str) -> Resource:
    """Who asked for it: the one who referred or reported, or who wrote."""
    author = {"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "AUT"}
    return {"type": {"coding": [author]}, "who": {"reference": requester}, "requestor": True}


def _entity(what: Resource, *, kind: str, role: str) -> Resource:
    return {
        "what": what,
        "type": {"system": _ENTITY, "code": kind},
        "role": {"system": _ROLE, "code": role},
    }
