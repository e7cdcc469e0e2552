"""An event that an agency's case system records in a few words, as the Task that says the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import count
from typing import Any, Final

from msgspec.structs import replace
from pydantic.alias_generators import to_camel

from app import fhir
from app.domain import outcome, parties, question, steps, talk, transfer
from app.domain.case import Case
from app.domain.change import Entry
from app.domain.event import EXPUNGED, OUTPUT, REASON, TRANSFERRED, Event, Output
from app.domain.outcome import Mark
from app.domain.plan import Answer, Exchange, Plan, Put, derive, put, together
from app.domain.statement import Person, Said
from app.domain.steps import Step
from app.errors import Conflict, Invalid, Issue, NotFound, NotSupported
from app.fhir import Resource, concept, listed

_OUTPUTS: Final = {
    "intake_number": "intake-number", "linked_case": "linked-case", "track": "track",
    "closed_date": "closed-date", "first_contact_date": "first-contact-date",
    "placement_date": "placement-date", "disposition": "disposition", "services": "service-category",
    "custodian": "custodian", "consent_authority": "consent-authority",
}  # fmt: skip
_DATED: Final = {
    "first-contact": "first_contact_date",
    "closed": "closed_date",
    "placement-changed": "placement_date",
}


def plan(case: Case) -> Plan:
    """
    The event, recorded once.

    raises      NotFound: no such Task is on this shelf
                Conflict: it may not follow, or another event was recorded under its number
                Invalid: nobody knows the event, or it lacks what it needs
    """
    entry, told = case.entries[0], case.change.said
    stored = case.loaded.resource(case.shelf.key, entry.name)
    exchange = (
        case.loaded.exchange(case.shelf.key, entry.name) if stored and stored.exchange else None
    )
    if stored is None or exchange is None:
        raise NotFound("There is no referral's Task of this id on this shelf.")
    if case.shelf.key != exchange.recipient:
        raise NotSupported("Events are recorded by the agency, on its own Task.")
    if exchange.state == EXPUNGED:
        return outcome.expunged(case, exchange, again=told.event == EXPUNGED)
    written = told.model_dump_json(exclude_defaults=True)
    mark = Mark(told.identifier, told.sequence, hashlib.sha256(written.encode()).hexdigest())
    if again := _again(case, exchange, mark, entry.name):
        return again
    if outcome.is_tombstone(stored.resource):
        return outcome.expunged(case, exchange, again=False)
    event = case.mappings.outcomes.event(exchange.kind, told.event)
    if event is None:
        known = ", ".join(one.id for one in case.mappings.outcomes.of(exchange.kind))
        raise Invalid(f"The events of this Task are: {known}.", expression="event")
    _known(case, exchange, event, told)
    _taken(exchange, told)
    before = str(stored.resource["status"])
    if told.sequence and told.sequence < exchange.terms.heard:
        step = Step(event, "late")
    else:
        step = steps.judged(case, exchange, [event], before)
    task, owner = _task(case, exchange, stored.resource, event, told)
    onward = Plan(Answer(()))
    if event.id == TRANSFERRED and told.to and step.standing == "applied":
        tenant, shelf = transfer.authority(case, exchange, told.to)
        onward = transfer.plan(case, exchange, tenant, shelf)
        desk = parties.desk(case, tenant)
        # a hotline is the state's; who calls it asks for this authority
        task = _calling(task, desk if tenant.contact else {**desk, "name": tenant.name})
    elif told.contact:
        (output,) = _said_outputs(told.contact, "named-contact")
        task = _calling(task, output["valueContactDetail"])
    outcome.reached(exchange, step, task)
    arriving = tuple(Entry("PUT", one.resource, one.resource["id"]) for one in owner)
    case = replace(case, entries=(*case.entries, *arriving))
    made = outcome.answered(case, exchange, stored, task, step, mark)
    made = together([Plan(made.answer, owner), made, onward], made.answer)
    return _asking(case, exchange, task, told, made) if told.question else made


def _known(case: Case, exchange: Exchange, event: Event, told: Said) -> None:
    """
    The codes are some that can be told: what is misspelled would be kept and never reach anybody.

    raises      Invalid: it names those that are known
    """
    faults = []
    if (told.detail or told.due) and not told.question:
        known = ", ".join(sorted(case.mappings.outcomes.questions))
        text = f"Nobody would read this without a question; say which: {known}."
        faults.append(Issue("error", "required", text, "question"))
    if (told.to or told.contact) and event.id != TRANSFERRED:
        text = "This says where a report has gone; it goes with the event transferred."
        faults.append(Issue("error", "business-rule", text, "to" if told.to else "contact"))
    for name, spec in _forms(case):
        said = getattr(told, name)
        if said and not _is_told(case, said, spec):
            faults.append(Issue("error", "value", _FORMS[spec.form], to_camel(name)))
    for spec in case.mappings.outcomes.outputs:
        at = {"disposition": "disposition", "service-category": "services"}.get(spec.code)
        codes = getattr(told, at) if at else ()
        for code in (codes,) if isinstance(codes, str) else codes:
            output = {"valueCode": code}
            if code and not case.mappings.outcomes.value(output, spec, case.mappings.concept_maps):
                known = ", ".join(sorted(spec.codes))
                text = f"Say one of NCANDS's codes, or one of ours: {known}."
                faults.append(Issue("error", "code-invalid", text, at or ""))
    reasons = case.mappings.outcomes.reasons.get(event.id, {})
    if exchange.kind == "cps-report" and told.reason and reasons and told.reason not in reasons:
        text = f"The reasons of this event are: {', '.join(sorted(reasons))}."
        faults.append(Issue("error", "code-invalid", text, "reason"))
    if faults:
        raise Invalid(issues=tuple(dict.fromkeys(faults)))


_FORMS: Final = {
    "number": "Write the number alone: letters, digits and ./#- with a digit, 32 at most. Words go into note.",
    "contact": "Write a telephone number alone: digits, spaces and +()-.x, from 3 to 32.",
}  # fmt: skip


def _forms(case: Case) -> Iterator[tuple[str, Output]]:
    """The members that hold a number or a person, and what of them can be told."""
    for at, code in _OUTPUTS.items():
        for spec in case.mappings.outcomes.outputs:
            if spec.code == code and spec.form in _FORMS:
                yield at, spec


def _is_told(case: Case, said: str | Person, spec: Output) -> bool:
    """Whether all of it has a form that can be told: else it would be kept, and reach nobody."""
    (output,) = _said_outputs(said, spec.code)
    value = case.mappings.outcomes.value(output, spec, case.mappings.concept_maps)
    if value is None or isinstance(said, str):
        return value is not None
    return not said.phone or "telecom" in value["valueContactDetail"]


# of a voluntary referral: SDOH Clinical Care lets the one who does it change status and reason
_OF_A_REFERRAL: Final = frozenset(
    {"detail", "due", "event", "identifier", "question", "reason", "sequence"}
)


def _taken(exchange: Exchange, told: Said) -> None:
    """
    Everything that is said is kept.

    raises      Invalid: a part that a voluntary referral has no place for
    """
    if exchange.kind == "cps-report":
        return
    more = [
        name
        for name, field in Said.model_fields.items()
        if name not in _OF_A_REFERRAL and getattr(told, name) != field.default
    ]
    text = "A voluntary referral's Task has no place for this; write a Communication, or put an output."
    if more:
        raise Invalid(issues=tuple(
            Issue("error", "not-supported", text, str(Said.model_fields[one].alias)) for one in more
        ))  # fmt: skip


def _calling(task: Resource, contact: Resource) -> Resource:
    """The agency's Task with whom the sender is to call from now on."""
    others = [
        one
        for one in listed(task.get("output"))
        if not fhir.has_code(one.get("type"), OUTPUT, "named-contact")
    ]
    told = {"type": concept(OUTPUT, "named-contact"), "valueContactDetail": contact}
    return {**task, "output": [*others, told]}


def _asking(case: Case, exchange: Exchange, task: Resource, told: Said, made: Plan) -> Plan:
    """The question that goes with `awaiting-information`, as a Task of its own."""
    if told.question not in case.mappings.outcomes.questions:
        known = ", ".join(sorted(case.mappings.outcomes.questions))
        raise Invalid(f"The questions are: {known}.", expression="question")
    step = made.exchanges[0] if made.exchanges else exchange
    both = talk.sides(case, step)
    identity = _asks(case, exchange, told)
    if not identity:
        issues = (*made.answer.issues, *talk.again("").answer.issues)
        return replace(made, answer=replace(made.answer, issues=issues))
    asked = question.made_task(
        case,
        both,
        identity,
        codes=[told.question],
        detail=told.detail,
        end=told.due,
        requester=_asker(case, task),
    )
    child = talk.said(case, both, asked, due=question.due(told.due))
    whole = replace(made, exchanges=()) if child.exchanges else made
    return together([whole, child], made.answer)


def _asker(case: Case, task: Resource) -> Resource:
    """Raises Invalid: the Task has no owner whom the clinic could ask back."""
    try:
        return talk.person(case, task.get("owner"), "owner")
    except Invalid:
        text = "Say who asks: add owner {name, phone} to this event."
        raise Invalid(text, expression="owner") from None


def _asks(case: Case, exchange: Exchange, told: Said) -> str:
    """
    The id of a question, in these words; "" where it waits for its answer already, or is sent again.

    Another question is another Task, and so is the same one after its answer.
    """
    words = (told.question, told.detail, told.due, told.identifier, str(told.sequence))
    for number in count():
        identity = derive(case.key, "question", exchange.id, *words, str(number))
        stored = case.loaded.resource(exchange.recipient, f"Task/{identity}")
        if stored is None:
            return identity
        if stored.resource.get("status") in steps.OPEN or talk.is_recent(case, stored.resource):
            return ""
    raise AssertionError  # there is always a number that is free


def _again(case: Case, exchange: Exchange, mark: Mark, name: str) -> Plan | None:
    """The answer to an event that was recorded before."""
    if not (mark.identifier or mark.sequence):
        return None
    key = outcome.event_key(case, exchange, mark)
    before = case.loaded.recorded(exchange.recipient, exchange.id, key)
    if before is None:
        return None
    if before.digest != mark.digest:
        raise Conflict(
            "Another event was recorded under this identifier and sequence.", expression="sequence"
        )
    note = Issue("information", "duplicate", "This was recorded before; here is how it stands.")
    return Plan(Answer((name,), issues=(note,)))


def _task(
    case: Case, exchange: Exchange, task: Resource, event: Event, told: Said
) -> tuple[Resource, tuple[Put, ...]]:
    """The agency's Task with what was said added to it, and the role of a new owner."""
    if exchange.kind == "family-support":
        return ({**task, "statusReason": {"text": told.reason}} if told.reason else task), ()
    values = {name: getattr(told, name) for name in _OUTPUTS}
    if told.date and event.id in _DATED and not values[_DATED[event.id]]:
        values[_DATED[event.id]] = told.date[:10]
    outputs = list(listed(task.get("output")))
    for name, code in _OUTPUTS.items():
        new = _said_outputs(values[name], code)
        if new:
            others = [one for one in outputs if not fhir.has_code(one.get("type"), OUTPUT, code)]
            outputs = [*others, *new]
    made = {**task, **({"output": outputs} if outputs else {})}
    if told.reason:
        made["statusReason"] = concept(REASON, told.reason)
    if told.note:
        note = {"time": fhir.instant(case.now), "text": told.note}
        made["note"] = [*listed(task.get("note")), note]
    if told.owner is None:
        return made, ()
    role = _role(case, exchange, told.owner)
    made["owner"] = {**fhir.reference(role), "display": told.owner.name}
    stored = case.loaded.resource(case.shelf.key, fhir.name(role))
    # a part of the case: expunged with it
    return made, put(role, stored, shelf=case.shelf.key, now=case.now, exchange=exchange.id)


def _said_outputs(value: Any, code: str) -> list[Resource]:
    kind = concept(OUTPUT, code)
    if isinstance(value, tuple):
        return [{"type": kind, "valueCode": one} for one in value]
    if isinstance(value, Person):
        phone = [{"system": "phone", "value": value.phone}] if value.phone else []
        contact = {"name": value.name, **({"telecom": phone} if phone else {})}
        return [{"type": kind, "valueContactDetail": contact}]
    if not value:
        return []
    if code.endswith("-date"):
        return [{"type": kind, "valueDate": value[:10]}]
    if code in {"track", "disposition"}:
        return [{"type": kind, "valueCode": value}]
    return [{"type": kind, "valueString": value}]


def _role(case: Case, exchange: Exchange, owner: Person) -> Resource:
    """A named human of the agency, for this exchange; the same person is the same role."""
    identity = derive(case.key, "owner", exchange.id, owner.name, owner.phone)
    role: Resource = {
        "resourceType": "PractitionerRole",
        "id": identity,
        "practitioner": {"display": owner.name},
    }
    if owner.phone:
        role["telecom"] = [{"system": "phone", "value": owner.phone}]
    return role
