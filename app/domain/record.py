"""An event that an agency's case system records in a few words, as the Task that says the same."""

from __future__ import annotations

import hashlib
import re
from datetime import date
from itertools import count
from typing import Annotated, Any, Final, Literal

from msgspec.structs import replace
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from app import fhir
from app.domain import outcome, question, steps, talk, transfer
from app.domain.case import Case
from app.domain.change import Entry
from app.domain.event import EXPUNGED, OUTPUT, REASON, Event
from app.domain.outcome import Mark
from app.domain.plan import Answer, Exchange, Plan, Put, derive, put, together
from app.domain.steps import Step
from app.errors import Conflict, Invalid, Issue, Malformed, NotFound, NotSupported
from app.fhir import Resource, concept, listed

_SHORT: Final = 80


def _day(said: str) -> str:
    """Raises ValueError: no day of the calendar."""
    if said and not re.fullmatch(r"\d{4}-\d\d-\d\d", said):
        raise ValueError("write a day as YYYY-MM-DD")
    return str(date.fromisoformat(said)) if said else ""


def _moment(said: str) -> str:
    """Raises ValueError: neither a day nor a time with its zone."""
    if "T" not in said:
        return _day(said)
    if not re.fullmatch(r"[-0-9]{10}T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", said):
        raise ValueError("write a day, or a time as YYYY-MM-DDThh:mm:ss with its zone")
    fhir.moment(said)
    return said


# without control characters, which no FHIR string may hold; blank is nothing
Text = Annotated[
    str, StringConstraints(strip_whitespace=True, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f]*$")
]
Line = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=_SHORT, pattern=r"^[^\x00-\x1f]*$")
]
Named = Annotated[Line, Field(min_length=1)]
Code = Annotated[str, StringConstraints(max_length=_SHORT, pattern=r"^([^\s]+( [^\s]+)*)?$")]
Day = Annotated[str, AfterValidator(_day)]
Moment = Annotated[str, AfterValidator(_moment)]
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


class Person(BaseModel):
    """A name and a telephone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Named
    phone: Line = ""


class Said(BaseModel):
    """
    The body of $record-event.

    event       as in mappings/outcomes.toml, which says what may follow what
    identifier, sequence    the agency's own for this event, by which a repetition is known
    date        of what happened, where the event has one
    disposition, services   in NCANDS's codes or ours
    to          identifier (system|value) of the authority that a report is transferred to
    question, detail, due   what is asked of the clinic, with awaiting-information
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True
    )

    event: Line
    identifier: Line = ""
    sequence: int = Field(default=0, ge=0, le=2**31 - 1)
    date: Moment = ""
    intake_number: Line = ""
    linked_case: Line = ""
    track: Literal["", "investigation", "alternative-response"] = ""
    reason: Code = ""
    disposition: Code = ""
    services: tuple[Annotated[Code, Field(min_length=1)], ...] = ()
    closed_date: Day = ""
    first_contact_date: Day = ""
    placement_date: Day = ""
    custodian: Person | None = None
    consent_authority: Person | None = None
    owner: Person | None = None
    note: Annotated[Text, Field(max_length=4000)] = ""
    to: Annotated[Line, Field(max_length=400)] = ""
    question: Code = ""
    detail: Annotated[Text, Field(max_length=1000)] = ""
    due: Moment = ""


def said(body: Any) -> Said:
    """
    What was sent, as Parameters or as plain JSON.

    raises      Malformed: each part that is not understood, by its name
    """
    if not isinstance(body, dict):
        raise Malformed("Send Parameters, or an object with an event.")
    if body.get("resourceType") == "Parameters":
        body = _parameters(body)
    try:
        return Said.model_validate(body)
    except ValidationError as error:
        known = {name for name, field in Said.model_fields.items()} | {
            str(field.alias) for field in Said.model_fields.values()
        }
        raise Malformed(
            issues=tuple(
                Issue("error", "structure", _text(fault), _place(fault["loc"], known))
                for fault in error.errors(include_input=False, include_url=False)
            )
        ) from None


def _text(fault: Any) -> str:
    if fault["type"] == "extra_forbidden":
        known = ", ".join(str(field.alias) for field in Said.model_fields.values())
        return f"A member here is not known; known are {known}."
    return f"{fault['msg']}."


def _place(location: tuple[int | str, ...], known: set[str]) -> str:
    """Where it is at fault; a name that nobody knows is the sender's own word and is not repeated."""
    first = str(location[0]) if location else "body"
    return first if first in known else "body"


def _parameters(body: Resource) -> Resource:
    found: dict[str, Any] = {}
    for one in listed(body.get("parameter")):
        if not isinstance(one, dict) or not isinstance(one.get("name"), str):
            raise Malformed("A parameter has a name.", expression="Parameters.parameter")
        name = to_camel(one["name"].replace("-", "_"))
        value = _parameter(one)
        if name == "services":
            found.setdefault(name, []).append(value)
        else:
            found[name] = value
    return found


def _parameter(parameter: Resource) -> Any:
    if "part" in parameter:
        parts = [one for one in listed(parameter["part"]) if isinstance(one, dict)]
        return {str(one.get("name")): _parameter(one) for one in parts}
    return next((value for name, value in parameter.items() if name.startswith("value")), None)


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
    if event.id == "transferred" and told.to and step.standing == "applied":
        tenant, shelf = transfer.authority(case, exchange, told.to)
        onward = transfer.plan(case, exchange, tenant, shelf)
        task = _calling(task, transfer.contact(case, tenant))
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
    for spec in case.mappings.outcomes.outputs:
        at = {"disposition": "disposition", "service-category": "services"}.get(spec.code)
        said = getattr(told, at) if at else ()
        for code in (said,) if isinstance(said, str) else said:
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
        requester=talk.person(case, task.get("owner"), "owner"),
    )
    child = talk.said(case, both, asked, due=question.due(told.due))
    whole = replace(made, exchanges=()) if child.exchanges else made
    return together([whole, child], made.answer)


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
