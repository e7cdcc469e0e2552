"""
Specimens of what the service makes of a referral and of a report, held before anybody is served.

The planners are run over one made-up family, with each code and wording of the mappings; nothing is
stored. Left out: what is made of a screening, which making.py holds; a Patient known by an
identifier, which says only what a caller said; and copies of what a sender said and corrects.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from app import fhir
from app.conformance import Definitions
from app.domain import (
    conformity,
    draft,
    expunge,
    household,
    outcome,
    overdue,
    question,
    record,
    referral,
    report,
    statement,
    withdrawal,
)
from app.domain.case import Case
from app.domain.change import Entry
from app.domain.disclosure import Rule
from app.domain.event import EXPUNGED, OUTPUT, QUESTION, REASON, Event, Output
from app.domain.household import NAMED, NOW, SENT, House
from app.domain.loaded import Want
from app.domain.mappings import Mappings
from app.domain.outcome import Mark
from app.domain.plan import Answer, Plan, Purge, Put
from app.domain.sending import Sending
from app.domain.steps import Step
from app.errors import Invalid, MappingError, Refusal
from app.fhir import Resource, concept
from app.settings import Settings, Tenant

_LATE: Final = NOW + timedelta(days=30)
_VALUES: Final[dict[str, Resource]] = {
    "number": {"valueString": "2026-1"},
    "date": {"valueDate": "2026-11-23"},
    "contact": {
        "valueContactDetail": {
            "name": "Example",
            "telecom": [{"system": "phone", "value": "555-0100"}],
        }
    },
}

# file, key, and what the service puts where it comes to that key
_Made = Iterator[tuple[str, str, House, Plan]]


def hold(mappings: Mappings, definitions: Definitions, folder: Path) -> None:
    """
    Each specimen is what fhir.resources and the profile of mappings/profiles.toml take.

    raises      MappingError: one is not; the text names file, key and place
    """
    try:
        for file, key, house, plan in made(mappings, definitions):
            path = folder / file if (folder / file).exists() else (folder / file).parent
            for one in house.ours(plan):
                _look(one, house.case, f"{path}: {key}")
    except Refusal as refusal:
        text = refusal.issues[0].text
        raise MappingError(f"{folder}: a referral cannot be made of this: {text}") from None


def _look(one: Put, case: Case, where: str) -> None:
    where = f"{where}: a {one.resource['resourceType']} that is made of it is wrong"
    for issue in conformity.faults(case, one.resource, one):
        raise MappingError(f"{where} at {issue.expression}: {issue.text} ({issue.profile})")
    if not _taken(fhir.encode(one.resource)):
        raise MappingError(f"{where}: FHIR's types do not take it")


@lru_cache(maxsize=1024)
def _taken(resource: bytes) -> bool:
    """Whether fhir.resources takes it; of two starts of one process the second asks nothing."""
    from fhir.resources.R4B import get_fhir_model_class  # noqa: PLC0415 — slow to read, wanted once

    made = fhir.decode(resource)
    try:
        get_fhir_model_class(made["resourceType"]).model_validate(made)
    except ValueError:
        return False
    return True


def made(mappings: Mappings, definitions: Definitions) -> _Made:
    """Every one; what depends on where a report goes, for each jurisdiction."""
    opened = household.opened(mappings)
    agencies = [
        household.agency(index, place) for index, place in enumerate(mappings.jurisdictions)
    ]
    settings = Settings(tenants=(Tenant.model_validate(household.CLINIC), *agencies))
    sends = {one.kind for one in mappings.rules if one.direction == "outward"}
    for agency in agencies if "cps-report" in sends else ():
        house = House(household.case("clinic/reports", settings, opened, definitions))
        if agency is agencies[0]:
            yield from _refused(house)
        yield from _report(house, agency)
        if agency is agencies[0]:
            yield from _answers(house)
            yield from _questions(house)
            owner = {"name": "Example", "phone": "555-0100"}
            yield from _recorded(house, "assigned", {"owner": owner})
        if len(agencies) > 1 and agency is agencies[0]:
            yield from _recorded(house, "transferred", {"to": agencies[1].id})
        file, received = _file(agency), opened.outcomes.event("cps-report", "received")
        if received:  # whom to call is of the agency, else of its jurisdiction
            yield file, "hotline", house, house.run(partial(_answered, house, received, {}))
    if "family-support" not in sends:
        return
    house = House(household.case("clinic/chart", settings, opened, definitions))
    sent = house.run(lambda: _sending(house, agencies[0]))
    house.stands(sent)
    yield "disclosure.toml", f"rules.{_rule(house.case).id}", house, sent
    yield from _answers(house)
    yield from _questions(house)
    yield from _withdrawn(house)


def _file(agency: Tenant) -> str:
    return f"jurisdictions/{agency.jurisdiction}.toml"


def _sending(house: House, agency: Tenant) -> Plan:
    case, request = house.case, SENT[0]
    kind = case.shelf.kind
    return Sending(
        case=case,
        sent=case.entries[0],
        task=referral.sent_task(case, request, None, agency, addressed={}, exchange="example"),
        request=request,
        attestation=None,
        consent="",
        tenant=agency,
        shelf=next(one for one in agency.shelves if one.kind == kind),
        rule=_rule(case),
    ).plan()


def _rule(case: Case) -> Rule:
    kind = case.shelf.kind
    return next(
        one for one in case.mappings.rules if (one.kind, one.direction) == (kind, "outward")
    )


def _refused(house: House) -> _Made:
    """A report that is not sent, as the draft that is kept of it."""
    case = house.case
    sent = house.run(lambda: draft.submitted(case))
    measured = draft.measured(case, sent, "")
    kept = house.run(
        lambda: report.keep(case, Invalid(""), sent=case.entries[0], measured=measured).plan
    )
    house.stands(kept)
    yield "completeness.toml", "bands", house, kept


def _report(house: House, agency: Tenant) -> _Made:
    """A report, sent, and not acknowledged in time."""
    file, case = _file(agency), house.case
    sent = house.run(lambda: _sending(house, agency))
    house.stands(sent)
    due = tuple(one for one in sent.puts if "partOf" in one.resource)
    told = tuple(one for one in sent.puts if one not in due)
    yield "disclosure.toml", f"rules.{_rule(case).id}", house, replace(sent, puts=told)
    yield file, "written", house, replace(sent, puts=due)
    yield file, "hotline", house, house.run(lambda: _overdue(house))


def _overdue(house: House) -> Plan:
    exchange, case = house.exchange, house.case
    name = exchange.source_task
    case.loaded.seen[Want("exchange", case.shelf.key, name)] = exchange
    entry = Entry("PUT", {"resourceType": "Task", "id": name[len("Task/") :]}, name[len("Task/") :])
    return overdue.plan(replace(case, now=_LATE, entries=(entry, *case.entries)))


def _answers(house: House) -> _Made:
    """Each event, each reason, and each thing that an agency may say of a case."""
    file, outcomes, kind = "outcomes.toml", house.case.mappings.outcomes, house.case.shelf.kind
    events = {one.id: one for one in outcomes.of(kind)}
    for event in events.values():
        plan = (
            _buried(house)
            if event.id == EXPUNGED
            else house.run(partial(_answered, house, event, {}))
        )
        yield file, f"events.{event.id}", house, plan
    if kind == "family-support":
        return
    for name, reasons in outcomes.reasons.items():
        for code in reasons if name in events else ():
            said: Resource = {"statusReason": concept(REASON, code)}
            plan = house.run(partial(_answered, house, events[name], said))
            yield file, f"reasons.{name}.{code}", house, plan
    for spec in outcomes.outputs:
        tells = [
            one
            for one in events.values()
            if one.id in spec.told_by
            or (not spec.told_by and one.outcome_class == spec.outcome_class)
        ]
        for key, value in _values(spec):
            said = {"output": [{"type": concept(OUTPUT, spec.code), **value}]}
            for event in tells[:1]:
                yield file, key, house, house.run(partial(_answered, house, event, said))


def _values(spec: Output) -> Iterator[tuple[str, Resource]]:
    if spec.form != "code":
        yield f"outputs.{spec.code}", _VALUES[spec.form]
    for code in spec.codes:
        value = {"valueCodeableConcept": concept(spec.system, code)}
        yield f"outputs.{spec.code}.codes.{code}", value


def _answered(house: House, event: Event, said: Resource) -> Plan:
    """An event after the first that it may follow."""
    exchange = house.exchange
    case, state = house.at(exchange.recipient), next(iter(event.after), "submitted")
    stored = house.standing(exchange.recipient, exchange.recipient_task)
    before = case.mappings.outcomes.event(exchange.kind, state)
    stored = replace(stored, resource=before.sets(stored.resource) if before else stored.resource)
    owner = {"owner": NAMED} if exchange.kind == "cps-report" else {}
    exchange = replace(exchange, state=state)
    return outcome.answered(
        case, exchange, stored, {**stored.resource, **owner, **said}, Step(event, "applied"), Mark()
    )


def _recorded(house: House, name: str, said: Resource) -> _Made:
    """An event in a few words: a case's owner is a role of its own, a transfer is a report elsewhere."""
    exchange = house.exchange
    event = house.case.mappings.outcomes.event(exchange.kind, name)
    if event is None:
        return
    case, state = house.at(exchange.recipient), next(iter(event.after), "submitted")
    task = house.standing(exchange.recipient, exchange.recipient_task).resource
    case.loaded.seen[Want("exchange", case.shelf.key, exchange.recipient_task)] = replace(
        exchange, state=state
    )
    change = replace(case.change, act="record-event", said=statement.said({"event": name, **said}))
    case = replace(case, change=change, entries=(Entry("PUT", task, task["id"]),))
    yield "outcomes.toml", f"events.{name}", house, house.run(lambda: record.plan(case))


def _withdrawn(house: House) -> _Made:
    """What is left of a referral that is taken back, and of one that was sent in error."""
    exchange, case = house.exchange, house.at(house.exchange.source)
    case.loaded.seen[Want("held", exchange.recipient, exchange.id)] = sorted(
        exchange.copies.values()
    )
    for wholly in (False, True) if case.mappings.outcomes.event(exchange.kind, "cancelled") else ():
        plan = house.run(partial(withdrawal.plan, case, exchange, wholly=wholly))
        yield "outcomes.toml", "events.cancelled", house, plan


def _buried(house: House) -> Plan:
    exchange = house.exchange
    tasks = {
        exchange.source: exchange.source_task,
        exchange.recipient: exchange.recipient_task,
        **exchange.terms.inboxes,
    }
    puts = [
        one
        for shelf, name in tasks.items()
        for one in expunge.buried(house.standing(shelf, name), Purge(shelf, name, exchange.id), NOW)
    ]
    return Plan(Answer(()), tuple(puts))


def _questions(house: House) -> _Made:
    """
    Each question of the agency on a report, and one of every other side.

    The agency's last is not answered in time, and then is.
    """
    exchange, plan = house.exchange, Plan(Answer(()))
    talk = {one.kind for one in house.case.mappings.rules if one.direction == "conversation"}
    codes = list(house.case.mappings.outcomes.questions) if exchange.kind in talk else []
    each = codes if exchange.kind == "cps-report" else codes[:1]
    asked = [(exchange.source, one) for one in codes[:1]]
    asked += [(exchange.recipient, one) for one in each]
    for shelf, code in asked:
        plan = house.run(partial(_asked, house, shelf, code))
        yield "outcomes.toml", f"questions.{code}", house, plan
    if not asked:
        return
    house.stands(plan)
    yield "outcomes.toml", "questions", house, house.run(lambda: _overdue(house))
    yield "outcomes.toml", "questions", house, house.run(lambda: _told(house))


def _asked(house: House, shelf: str, code: str) -> Plan:
    task: Resource = {
        "resourceType": "Task",
        "id": "asked",
        "requester": NAMED,
        "restriction": {"period": {"end": "2026-11-25"}},
        "input": [
            {
                "type": concept(question.INPUT, "question"),
                "valueCodeableConcept": concept(QUESTION, code),
            },
            {"type": concept(question.INPUT, "detail"), "valueString": "Example"},
        ],
    }
    entry = Entry("POST", task, "asked", said=task)
    return question.asked(house.at(shelf), entry, house.exchange)


def _told(house: House) -> Plan:
    """The clinic's answer to the question that stands."""
    exchange = house.exchange
    name = next(one for one, other in exchange.terms.talk.items() if other == "Task/asked")
    case = house.at(exchange.source)
    stored = house.standing(exchange.source, name)
    said = {"output": [{"type": concept(OUTPUT, "answer"), "valueString": "Example"}]}
    task = {**stored.resource, "status": "completed", **said}
    return question.answered(case, Entry("PUT", task, task["id"]), exchange, stored)
