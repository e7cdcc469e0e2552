"""The planner `answer`: an agency's Task moves one step, and the clinic learns what a rule permits."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from app import fhir
from app.domain import disclosure
from app.domain.case import Case
from app.domain.disclosure import Copies, Rule
from app.domain.event import STATUS, Event
from app.domain.plan import (
    Accounted,
    Answer,
    Entry,
    Exchange,
    Owed,
    Plan,
    Put,
    Stored,
    put,
)
from app.errors import Conflict, Invalid, Issue, NotSupported, Stale
from app.fhir import Resource, concept, listed
from app.settings import CANONICAL, Kind

OUTPUT: Final = f"{CANONICAL}/CodeSystem/task-output"
_MAY_CHANGE: Final[dict[Kind, frozenset[str]]] = {
    # SDOH Clinical Care 3.0.0: an owner may change only these
    "family-support": frozenset({"status", "statusReason", "output"}),
    "cps-report": frozenset({
        "businessStatus", "executionPeriod", "note", "output", "owner", "status", "statusReason",
    }),
}  # fmt: skip
_OURS: Final = frozenset({"id", "identifier", "lastModified", "meta", "resourceType", "text"})


def plan(case: Case, entry: Entry, exchange: Exchange) -> Plan:
    """
    The agency's PUT of its Task, taken as the difference to what it may change.

    raises      NotSupported: a change of the sender's own Task
                Conflict: a step that may not follow; it says which may
                Stale: the version in If-Match is not the current one
    source      SDOH Clinical Care 3.0.0, referral workflow; mappings/outcomes.toml
    """
    shelf, name = case.shelf.key, fhir.name(entry.resource)
    if shelf != exchange.recipient:
        raise NotSupported(
            "A sent referral is followed on this Task; it can't be changed here yet."
        )
    stored = case.loaded.resource(shelf, name)
    if stored is None or entry.if_match not in (None, stored.version):
        raise Stale("The Task has changed since; read it again.")
    event = _event(case, entry.resource, exchange)
    task, ignored = _taken(entry.resource, stored.resource, exchange.kind)
    moved = event is not None and event.id != exchange.state
    if event is None:
        event = case.mappings.event(exchange.kind, exchange.state)
    task = event.sets(task) if event else {**task, "status": stored.resource["status"]}
    if fhir.encode(task) != fhir.encode(stored.resource):
        task = {**task, "lastModified": fhir.instant(case.now)}
    puts = put(task, stored, shelf=shelf, now=case.now)
    if event is None or not puts:
        return Plan(Answer((name,), issues=ignored), puts)
    step = replace(
        exchange, state=event.id, sequence=exchange.sequence + 1 if moved else exchange.sequence
    )
    told, accounted, owed = _told(case, exchange, event, task)
    return Plan(
        Answer((name,), issues=ignored),
        puts=(*puts, *told),
        exchanges=(step,),
        owed=owed,
        accounted=accounted,
    )


def _event(case: Case, task: Resource, exchange: Exchange) -> Event | None:
    """
    The event that a Task's status and business status tell of; None where nothing has moved.

    raises      Invalid: no event has this status
                Conflict: it may not follow the present state
    """
    status = task.get("status")
    codes = {
        coding.get("code")
        for coding in listed((task.get("businessStatus") or {}).get("coding"))
        if coding.get("system") == STATUS
    }
    kind = exchange.kind
    if kind == "family-support":
        codes = set()
        if status == "received":  # SDOHCC forbids it and its reference clients send it: taken in
            status = "requested"
    if status in {"requested", "draft"}:
        if exchange.state == "submitted":
            return None
        raise _step_refused(case, exchange)
    events = [one for one in case.mappings.events if one.kind == kind and one.status == status]
    told = [one for one in events if one.business_status in codes] if codes else events
    current = [one for one in told if one.id == exchange.state]
    following = [one for one in told if exchange.state in one.after]
    if not events or not told:
        raise Invalid(
            "No step of this referral has this status and business status.",
            expression="Task.status" if not events else "Task.businessStatus",
        )
    if not current and not following:
        raise _step_refused(case, exchange)
    return (current or following)[0]


def _step_refused(case: Case, exchange: Exchange) -> Conflict:
    allowed = [
        f"{one.id} (status {one.status})"
        for one in case.mappings.events
        if one.kind == exchange.kind and exchange.state in one.after
    ]
    ways = ", ".join(allowed) or "nothing"
    return Conflict(f"From {exchange.state} may follow: {ways}.", expression="Task.status")


def _taken(task: Resource, stored: Resource, kind: Kind) -> tuple[Resource, tuple[Issue, ...]]:
    """The stored Task with what the agency may change, and a word on what was not taken."""
    may = _MAY_CHANGE[kind]
    changed = {
        name for name in (task.keys() | stored.keys()) - _OURS if task.get(name) != stored.get(name)
    }
    taken = {name: value for name, value in stored.items() if name not in may}
    taken |= {name: task[name] for name in sorted(may) if name in task}
    ignored = tuple(
        Issue("warning", "business-rule", "The agency can't change this; it stays.", f"Task.{name}")
        for name in sorted(changed - may)
        if not (kind == "family-support" and name == "businessStatus")
    )
    return taken, ignored


def _told(
    case: Case, exchange: Exchange, event: Event, task: Resource
) -> tuple[tuple[Put, ...], tuple[Accounted, ...], tuple[Owed, ...]]:
    """What the clinic's Task now says: nothing at all, not even a new version, unless a rule permits."""
    facts = frozenset({"own-exchange", *_consent(case, exchange)})
    decision = disclosure.decide(
        case.mappings.rules, kind=exchange.kind, direction="return", facts=facts
    )
    rule = decision.rule
    if rule is None or not decision.permitted or event.outcome_class not in rule.classes:
        return (), (), ()
    seen = case.loaded.resource(exchange.source, exchange.source_task)
    if seen is None:
        return (), (), ()
    copies = _copies(case, exchange, rule, task)
    shown = _shown(case, exchange, rule, event, task, seen, copies)
    puts: tuple[Put, ...] = ()
    if shown != {**seen.resource, "lastModified": shown["lastModified"]}:
        puts = put(shown, seen, shelf=exchange.source, now=case.now)
    for resource in copies.resources:
        stored = case.loaded.resource(exchange.source, fhir.name(resource))
        puts += put(resource, stored, shelf=exchange.source, now=case.now, exchange=exchange.id)
    if not puts:
        return (), (), ()
    source = case.settings.shelves[exchange.source]
    versions = {fhir.name(one.resource): one.expected + 1 for one in puts}
    owed = (Owed(exchange.source, exchange.id, versions),) if source.endpoint else ()
    accounted = Accounted(
        exchange=exchange.id,
        source=exchange.recipient,
        recipient=exchange.source,
        recipient_name=case.settings.tenant(source.tenant).name,
        subject=str((seen.resource.get("for") or {}).get("reference", "")),
        purpose=rule.purpose,
        rule=rule.id,
        basis=rule.basis,
        caller=case.change.caller.id,
        disclosed=tuple(versions),
    )
    return puts, (accounted,), owed


def _consent(case: Case, exchange: Exchange) -> set[str]:
    """The facts about the consent under which a referral was made, as it stands now."""
    if not exchange.consent:
        return set()
    consent = case.loaded.resource(exchange.source, exchange.consent)
    task = case.loaded.resource(exchange.source, exchange.source_task)
    if consent is None or task is None:
        return set()
    recipient = case.settings.tenant(case.settings.shelves[exchange.recipient].tenant)

    def find(name: str) -> Resource | None:
        stored = case.loaded.resource(exchange.source, name)
        return stored.resource if stored and stored.stands else None

    return disclosure.consent_facts(
        consent.resource,
        patient=str((task.resource.get("for") or {}).get("reference", "")),
        recipient=lambda actor: bool(disclosure.organization(actor, find) & recipient.names),
        now=fhir.instant(case.now),
    )


def _copies(case: Case, exchange: Exchange, rule: Rule, task: Resource) -> Copies:
    """What the Task's outputs point at, trimmed for the clinic; the Task itself is no copy."""
    known = {copied: original for original, copied in exchange.copies.items()}
    known[fhir.name(task)] = exchange.source_task
    targets = [
        target
        for output in _outputs(task, rule, exchange.kind)
        for reference in fhir.references(output)
        if (target := case.find(reference["reference"]))
        and target["resourceType"] in rule.shows
        and fhir.name(target) not in known
    ]
    place = disclosure.placed(
        case.key, recipient=exchange.source, exchange=exchange.id, source=exchange.recipient
    )
    subject = str((task.get("for") or {}).get("reference", ""))
    targets = [one for one in targets if disclosure.goes(one, rule, subject)]
    return disclosure.copies(targets, rule, case.find, subject=subject, known=known, place=place)


# An intake number is a number: what reads as a sentence is none.
_INTAKE_NUMBER: Final = re.compile(r"(?=.*\d)[A-Za-z0-9./#-]{1,32}")


def _outputs(task: Resource, rule: Rule, kind: Kind) -> list[Any]:
    """The outputs that the clinic may see, each with the one code by which it may."""
    shown = []
    for output in listed(task.get("output")):
        codes = [one.split("|", 1) for one in rule.outputs]
        code = next((one for one in codes if fhir.has_code(output.get("type"), *one)), None)
        value = {name: said for name, said in output.items() if name in _VALUES[kind]}
        number = value.get("valueString", "1")
        if code and value and _INTAKE_NUMBER.fullmatch(number):
            shown.append({"type": concept(*code), **value})
    return shown


_VALUES: Final[dict[Kind, frozenset[str]]] = {
    "family-support": frozenset({"valueReference", "valueCodeableConcept"}),
    "cps-report": frozenset({"valueString"}),
}


def _shown(  # noqa: PLR0913 — what the clinic sees depends on all of these
    case: Case,
    exchange: Exchange,
    rule: Rule,
    event: Event,
    task: Resource,
    seen: Stored,
    copies: Copies,
) -> Resource:
    """The clinic's Task after the event: its own, with the elements that the rule shows."""
    known = {copied: original for original, copied in exchange.copies.items()} | copies.names
    partial = {**task, "output": _outputs(task, rule, exchange.kind)}
    trimmed = disclosure.trimmed(partial, rule, known)
    kept = {name: value for name, value in seen.resource.items() if name not in rule.shows["Task"]}
    shown = event.sets({**kept, **trimmed})
    if exchange.kind == "cps-report":
        told = [one for one in listed(seen.resource.get("output")) if "valueContactDetail" in one]
        contact = {
            "type": concept(OUTPUT, "named-contact", "Whom to call"),
            "valueContactDetail": _contact(case, exchange, task),
        }
        # whom to call is told once: who works on it later is of another class
        later = event.id != "received" and bool(told)
        shown["output"] = [*listed(shown.get("output")), *(told if later else [contact])]
    return {**shown, "lastModified": fhir.instant(case.now)}


def _contact(case: Case, exchange: Exchange, task: Resource) -> Resource:
    """Whom the clinic calls: the Task's owner where it has a telecom, else the agency's desk."""
    owner = str((task.get("owner") or {}).get("reference", ""))
    found = case.find(owner) if owner.startswith("PractitionerRole/") else None
    phones = [
        {"system": one["system"], "value": one["value"]}
        for one in listed((found or {}).get("telecom"))
        if one.get("system") == "phone" and one.get("value")
    ]
    if found and phones:
        name = (found.get("practitioner") or {}).get("display") or task["owner"].get("display")
        return {"name": name, "telecom": phones} if name else {"telecom": phones}
    agency = case.settings.tenant(case.settings.shelves[exchange.recipient].tenant)
    if agency.contact:
        desk = {"system": "phone", "value": agency.contact.phone}
        return {"name": agency.contact.name, "telecom": [desk]}
    place = case.mappings.jurisdictions.get(agency.jurisdiction)
    if place is None:
        return {"name": agency.name}
    return {"name": place.name, "telecom": [{"system": "phone", "value": place.hotline}]}
