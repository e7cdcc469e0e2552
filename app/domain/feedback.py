"""What those who reported learn of a report: its receipt, and beyond it what a statute on file opens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from msgspec.structs import replace

from app import fhir
from app.domain import disclosure, graph, parties
from app.domain.case import Case
from app.domain.event import AMENDED, OUTPUT, REASON, Event, Output, contact
from app.domain.jurisdiction import RECEIPT
from app.domain.plan import (
    Accounted,
    Answer,
    Exchange,
    Owed,
    Plan,
    Purge,
    Put,
    Terms,
    put,
    together,
    touched,
)
from app.domain.report import LABELS
from app.fhir import Resource, concept, listed
from app.settings import Audience

_CONTACT: Final = "named-contact"
_RECEIVED: Final = "received"
_PURPOSE: Final = {"organization": "OUT-R", "reporter": "OUT-R", "treating": "OUT-T"}
_HELD_RESPONSIBLE: Final = frozenset({"substantiated", "indicated"})


@dataclass(frozen=True, slots=True)
class Viewer:
    """
    Somebody who follows a report.

    classes     of outcome that are open to them in this case
    rule        id and basis of what opens more than the receipt; "" for the receipt alone
    """

    shelf: str
    task: str
    audience: Audience
    classes: frozenset[str]
    rule: str
    basis: tuple[str, ...]


def terms(case: Case, exchange: Exchange, task: Resource, sequence: int) -> Terms:
    """What the agency's Task says of the case: its track, and how far its events are heard."""
    spec = next(one for one in case.mappings.outcomes.outputs if one.code == "track")
    track = exchange.terms.track
    for output in _of(task, "track"):
        value = case.mappings.outcomes.value(output, spec, case.mappings.concept_maps)
        if value:
            track = str(value["valueCodeableConcept"]["coding"][0]["code"])
    return replace(exchange.terms, track=track, heard=max(exchange.terms.heard, sequence))


def told(  # noqa: PLR0913 — as `_to`
    case: Case, exchange: Exchange, event: Event, task: Resource, *, late: bool, first: bool = False
) -> Plan:
    """
    Their Tasks as they now read; no new version where nothing more may be said.

    late        the state stays: only what the event says beside it is told
    first       nothing was heard of it before: to whom this may not be told, it is told as the receipt
    """
    receipt = case.mappings.outcomes.event(exchange.kind, _RECEIVED) if first and not late else None
    plans = []
    for one in viewers(case, exchange):
        opened = event.outcome_class in one.classes
        heard = event if opened or receipt is None else receipt
        plans.append(_to(case, exchange, one, heard, task, late=late))
    return together(plans, Answer(()))


def viewers(case: Case, exchange: Exchange) -> Iterator[Viewer]:
    """The sender's shelf, and the inboxes of those to whom the law may open more."""
    place = case.mappings.jurisdictions.get(exchange.terms.jurisdiction)
    followed = {exchange.source: exchange.source_task, **exchange.terms.inboxes}
    for shelf, task in followed.items():
        if shelf not in case.settings.shelves:
            continue  # whose it was has left
        audience = case.settings.shelves[shelf].audience
        found = place.rule(audience) if place else None
        opened = (
            found.opens(
                mandated=exchange.terms.mandated,
                wanted=exchange.terms.wanted,
                track=exchange.terms.track,
            )
            if found
            else frozenset()
        )
        rule = f"feedback-{exchange.terms.jurisdiction}-{audience}" if opened else ""
        basis = (found.statute,) if found else ()
        yield Viewer(shelf, task, audience, RECEIPT | opened, rule, basis)


def _to(  # noqa: PLR0913 — what is told depends on all of these
    case: Case, exchange: Exchange, viewer: Viewer, event: Event, task: Resource, *, late: bool
) -> Plan:
    nothing = Plan(Answer(()))
    seen = case.loaded.resource(viewer.shelf, viewer.task)
    if seen is None or not seen.stands or event.outcome_class not in viewer.classes:
        return nothing
    shown = _shown(case, viewer, event, task, seen.resource, late=late)
    if shown == {**seen.resource, "lastModified": shown["lastModified"]}:
        return nothing
    puts = put(shown, seen, shelf=viewer.shelf, now=case.now, exchange=exchange.id)
    amended = event.id == AMENDED and not late
    purges = (Purge(viewer.shelf, viewer.task, exchange.id, "amended"),) if amended and puts else ()
    puts += _aftercare(case, exchange, viewer, event, shown)
    return Plan(
        Answer(()),
        puts,
        owed=owed(case, viewer.shelf, exchange, puts),
        accounted=(accounted(case, exchange, viewer, task, puts),) if puts else (),
        purges=purges,
    )


def owed(case: Case, shelf: str, exchange: Exchange, puts: tuple[Put, ...]) -> tuple[Owed, ...]:
    known = case.settings.shelves.get(shelf)
    if not puts or known is None or not known.endpoint:
        return ()
    versions = {fhir.name(one.resource): one.expected + 1 for one in puts}
    return (Owed(shelf, exchange.id, versions),)


def accounted(
    case: Case, exchange: Exchange, viewer: Viewer, task: Resource, puts: tuple[Put, ...]
) -> Accounted:
    """
    What the agency disclosed, in its own accounting: about the child as it stands on its shelf.

    task        the agency's
    """
    receipt = disclosure.decide(
        case.mappings.rules,
        kind="cps-report",
        direction="return",
        facts=frozenset({"own-exchange"}),
    ).rule
    rule, basis = (receipt.id, receipt.basis) if receipt and not viewer.rule else (viewer.rule, ())
    tenant = case.settings.shelves[viewer.shelf].tenant
    return Accounted(
        exchange=exchange.id,
        source=exchange.recipient,
        recipient=viewer.shelf,
        recipient_name=case.settings.tenant(tenant).name,
        subject=fhir.literal(task.get("for")),
        purpose=_PURPOSE[viewer.audience],
        rule=rule,
        basis=basis or viewer.basis,
        caller=case.change.caller.id,
        disclosed=tuple(fhir.name(one.resource) for one in puts),
    )


def _shown(  # noqa: PLR0913 — as above
    case: Case, viewer: Viewer, event: Event, task: Resource, seen: Resource, *, late: bool
) -> Resource:
    """The viewer's Task after the event: what it said before, and what it may say now."""
    shown = seen if late else event.sets(seen, says=True)
    shown = {**shown, "output": _outputs(case, viewer, event, task, seen, late=late)}
    if not late:
        shown = {name: value for name, value in shown.items() if name != "statusReason"}
        reason = _reason(case, event, task)
        if reason and event.outcome_class in viewer.classes:
            shown["statusReason"] = reason
    if not shown["output"]:
        del shown["output"]
    return touched(shown, case.now)


def _outputs(  # noqa: PLR0913 — as above
    case: Case, viewer: Viewer, event: Event, task: Resource, seen: Resource, *, late: bool
) -> list[Resource]:
    """
    What is told of each thing that a Task may say: the newest, else what was told before.

    A finding that was changed is told anew or not at all.
    """
    told: list[Resource] = []
    for spec in case.mappings.outcomes.outputs:
        before = _of(seen, spec.code)
        if spec.outcome_class not in viewer.classes:
            continue
        tells = event.id in spec.told_by or not spec.told_by
        now = [value for one in _of(task, spec.code) if (value := _value(case, one, spec))]
        if event.id == AMENDED and spec.outcome_class == event.outcome_class:
            before = []
        told += now if now and (tells or before) else before
    contact = _contact(case, task, viewer, event, late=late) or _of(seen, _CONTACT)
    return [*told, *contact]


def _value(case: Case, output: Resource, spec: Output) -> Resource | None:
    value = case.mappings.outcomes.value(output, spec, case.mappings.concept_maps)
    return {"type": concept(OUTPUT, spec.code), **value} if value else None


def _of(task: Resource, code: str) -> list[Any]:
    return [
        one for one in listed(task.get("output")) if fhir.has_code(one.get("type"), OUTPUT, code)
    ]


def _reason(case: Case, event: Event, task: Resource) -> Resource | None:
    """Why, in one of the words that the agency may use to the outside."""
    known = case.mappings.outcomes.reasons.get(event.id, {})
    for coding in listed((task.get("statusReason") or {}).get("coding")):
        if coding.get("system") == REASON and coding.get("code") in known:
            return concept(REASON, coding["code"], known[coding["code"]])
    return None


def _contact(
    case: Case, task: Resource, viewer: Viewer, event: Event, *, late: bool
) -> list[Resource]:
    """Whom to call: told with the receipt; who works on it later is of a class of its own."""
    worker = "C" in viewer.classes and event.id != _RECEIVED and _person(case, task)
    if event.id not in {_RECEIVED, "transferred"} and not worker:
        return []
    if late and not worker:
        return []
    said = [contact(one.get("valueContactDetail")) for one in _of(task, _CONTACT)]
    onward = next((one for one in said if one and event.id == "transferred"), None)
    agency = case.settings.tenant(case.shelf.tenant)
    who = onward or {"valueContactDetail": _person(case, task) or parties.desk(case, agency)}
    return [{"type": concept(OUTPUT, _CONTACT, "Whom to call"), **who}]


def _person(case: Case, task: Resource) -> Resource | None:
    """The Task's owner, where it is a role of somebody with a telephone."""
    owner = fhir.literal(task.get("owner"))
    found = case.find(owner) if owner.startswith("PractitionerRole/") else None
    phones = [
        {"system": one["system"], "value": one["value"]}
        for one in listed((found or {}).get("telecom"))
        if one.get("system") == "phone" and one.get("value")
    ]
    if not found or not phones:
        return None
    name = (found.get("practitioner") or {}).get("display") or task["owner"].get("display")
    return {"name": name, "telecom": phones} if name else {"telecom": phones}


def _aftercare(
    case: Case, exchange: Exchange, viewer: Viewer, event: Event, shown: Resource
) -> tuple[Put, ...]:
    """
    At the end of a case, help for the family is suggested: a draft that a human may take up.

    To whom no finding is told, it is suggested after every case: else it would tell the finding.
    No label on the child: it stands beside the report's Task, on the same shelf.
    """
    found = [
        coding.get("code")
        for one in _of(shown, "disposition")
        for coding in one["valueCodeableConcept"]["coding"]
    ]
    ends = event.id == "closed" or (event.id == "screened-out" and "B" in viewer.classes)
    subject = shown.get("for")
    if not ends or _HELD_RESPONSIBLE & set(found) or not subject:
        return ()
    suggestion: Resource = {
        "resourceType": "ServiceRequest",
        "id": graph.placed(
            case.key, recipient=viewer.shelf, exchange=exchange.id, source=exchange.recipient
        )("aftercare"),
        "meta": {"security": listed((shown.get("meta") or {}).get("security")) or LABELS},
        "status": "draft",
        "intent": "proposal",
        "code": {"text": "Follow-up with the family, and help if they want it"},
        "subject": subject,
        "authoredOn": fhir.instant(case.now),
        "note": [{"text": "Nothing is sent. If the family wants help, refer them with their consent, on"
                          " the chart. This says nothing about the child and is no diagnosis."}],
    }  # fmt: skip
    stored = case.loaded.resource(viewer.shelf, fhir.name(suggestion))
    if stored is not None:
        return ()
    return put(suggestion, None, shelf=viewer.shelf, now=case.now, exchange=exchange.id)
