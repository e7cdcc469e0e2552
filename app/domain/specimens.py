"""
Specimens of what the service makes of a referral and of a report, held before anybody is served.

The planners are run over one made-up family, with each code and wording of the mappings; nothing is
stored. Left out: what is made of a screening, which making.py holds; the PractitionerRole of an
owner and a Patient known by an identifier, which say only what a caller said; and what is taken
back or transferred, which says what is held here in other words of the same mappings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import Final, TypeVar

from app import fhir
from app.conformance import Definitions
from app.domain import conformity, draft, expunge, outcome, overdue, question, referral, report
from app.domain.case import Case
from app.domain.change import Caller, Change, Entry
from app.domain.disclosure import Rule
from app.domain.event import EXPUNGED, OUTPUT, QUESTION, REASON, Event, Output
from app.domain.jurisdiction import Class, Feedback
from app.domain.loaded import Loaded, NotLoaded, Want
from app.domain.mappings import Mappings
from app.domain.outcome import Mark
from app.domain.plan import Answer, Exchange, Plan, Purge, Put, Stored
from app.domain.sending import Sending
from app.domain.steps import Step
from app.errors import Invalid, MappingError, Refusal
from app.fhir import Resource, concept
from app.settings import Audience, Settings, Tenant

_T = TypeVar("_T")
_NOW: Final = datetime(2026, 11, 24, 9, 15, tzinfo=UTC)
_LATE: Final = _NOW + timedelta(days=30)
_SAID: Final = "specimen"  # an id, a name, a secret
_OURS: Final = frozenset({"Bundle", "Task"})
_PERSON: Final = {"reference": f"PractitionerRole/{_SAID}"}
_NAMED: Final = {**_PERSON, "display": "Example"}
_SENT: Final[tuple[Resource, ...]] = (
    {
        "resourceType": "ServiceRequest",
        "id": _SAID,
        "identifier": [{"system": "urn:specimen", "value": "1"}],
        "status": "active",
        "intent": "order",
        "priority": "stat",
        "subject": {"reference": f"Patient/{_SAID}"},
        "requester": _PERSON,
    },
    {
        "resourceType": "Patient",
        "id": _SAID,
        "identifier": [{"system": "urn:specimen", "value": "2"}],
        "generalPractitioner": [_PERSON],
    },
    {
        "resourceType": "PractitionerRole",
        "id": _SAID,
        "practitioner": {"reference": f"Practitioner/{_SAID}", "display": "Example"},
    },
    {
        "resourceType": "Practitioner",
        "id": _SAID,
        "identifier": [{"system": "urn:specimen", "value": "3"}],
        "name": [{"family": "Example"}],
    },
)
_CLINIC: Final = {
    "id": "clinic",
    "name": "Clinic",
    "shelves": [
        {"id": "chart", "kind": "family-support", "role": "source"},
        {"id": "reports", "kind": "cps-report", "role": "source"},
        *(
            {
                "id": audience, "kind": "cps-report", "role": "source", "audience": audience,
                "person": "urn:specimen|3",
            }
            for audience in ("reporter", "treating")
        ),
    ],
}  # fmt: skip
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
_Made = Iterator[tuple[str, str, "_House", Plan]]


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


class _House:
    """What stands while specimens are made, which is what was made before, and whose turn it is."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self._exchanges: list[Exchange] = []

    @property
    def exchange(self) -> Exchange:
        """As the last plan left it."""
        return self._exchanges[-1]

    def at(self, shelf: str) -> Case:
        change = replace(self.case.change, shelf=self.case.settings.shelves[shelf])
        return replace(self.case, change=change)

    def run(self, planner: Callable[[], _T]) -> _T:
        """What it gives; what it asks to see and was not made does not stand."""
        while True:
            try:
                return planner()
            except NotLoaded as asked:
                self.case.loaded.seen.update(dict.fromkeys(asked.wants))

    def stands(self, plan: Plan) -> None:
        for one in plan.puts:
            stored = Stored(one.resource, one.expected + 1, one.exchange)
            self.case.loaded.seen[Want("resource", one.shelf, fhir.name(one.resource))] = stored
        self._exchanges += plan.exchanges

    def standing(self, shelf: str, name: str) -> Stored:
        found: Stored = self.case.loaded.seen[Want("resource", shelf, name)]
        return found

    def ours(self, plan: Plan) -> Iterator[Put]:
        """What of a plan the service has made, and neither was sent nor is a copy of what was."""
        others = {fhir.name(one) for one in _SENT}
        others |= {copy for one in self._exchanges for copy in one.copies.values()}
        for one in plan.puts:
            if one.resource["resourceType"] in _OURS or fhir.name(one.resource) not in others:
                yield one


def made(mappings: Mappings, definitions: Definitions) -> _Made:
    """Every one; what depends on where a report goes, for each jurisdiction."""
    opened = _open(mappings)
    agencies = [_agency(index, place) for index, place in enumerate(mappings.jurisdictions)]
    settings = Settings(tenants=(Tenant.model_validate(_CLINIC), *agencies))
    sends = {one.kind for one in mappings.rules if one.direction == "outward"}
    for agency in agencies if "cps-report" in sends else ():
        house = _House(_case("clinic/reports", settings, opened, definitions))
        if agency is agencies[0]:
            yield from _refused(house)
        yield from _report(house, agency)
        if agency is agencies[0]:
            yield from _answers(house)
            yield from _questions(house)
        file, received = _file(agency), opened.outcomes.event("cps-report", "received")
        if received:  # whom to call is of the agency, else of its jurisdiction
            yield file, "hotline", house, house.run(partial(_answered, house, received, {}))
    if "family-support" not in sends:
        return
    house = _House(_case("clinic/chart", settings, opened, definitions))
    sent = house.run(lambda: _sending(house, agencies[0]))
    house.stands(sent)
    yield "disclosure.toml", f"rules.{_rule(house.case).id}", house, sent
    yield from _answers(house)
    yield from _questions(house)


def _agency(index: int, jurisdiction: str) -> Tenant:
    shelves = [
        {"id": "support", "kind": "family-support", "role": "recipient"},
        {"id": "intake", "kind": "cps-report", "role": "recipient"},
    ]
    said = {"id": f"agency-{index}", "name": "Agency", "jurisdiction": jurisdiction}
    return Tenant.model_validate({**said, "shelves": shelves})


def _file(agency: Tenant) -> str:
    return f"jurisdictions/{agency.jurisdiction}.toml"


def _case(shelf: str, settings: Settings, mappings: Mappings, definitions: Definitions) -> Case:
    entries = tuple(
        Entry("PUT", one, one["id"], f"urn:specimen:{one['resourceType']}", said=one)
        for one in _SENT
    )
    change = Change(
        settings.shelves[shelf], Caller(_SAID), "refer", entries, settings.base_url, _SAID
    )
    return Case(change, Loaded(), settings, mappings, definitions, _SAID.encode(), _NOW, entries)


def _open(mappings: Mappings) -> Mappings:
    """As if everything were permitted and signed that stands on file, all of it in each jurisdiction."""
    rows = [row for place in mappings.jurisdictions.values() for row in place.feedback]
    told: dict[Audience, dict[Class, None]] = {}
    for row in rows:
        told.setdefault(row.audience, {}).update(dict.fromkeys((*row.classes, *row.elsewhere)))
    opened = tuple(
        Feedback(audience=audience, classes=tuple(classes), statute=_SAID, signed_off=_SAID)
        for audience, classes in told.items()
    )
    places = {
        name: place.model_copy(update={"feedback": opened})
        for name, place in mappings.jurisdictions.items()
    }
    rules = tuple(one.model_copy(update={"requires": ()}) for one in mappings.rules)
    return replace(mappings, jurisdictions=places, rules=rules)


def _sending(house: _House, agency: Tenant) -> Plan:
    case, request = house.case, _SENT[0]
    kind = case.shelf.kind
    return Sending(
        case=case,
        sent=case.entries[0],
        task=referral.sent_task(case, request, None, agency, {}),
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


def _refused(house: _House) -> _Made:
    """A report that is not sent, as the draft that is kept of it."""
    case = house.case
    sent = house.run(lambda: draft.submitted(case))
    measured = draft.measured(case, sent, "")
    kept = house.run(
        lambda: report.keep(case, Invalid(""), sent=case.entries[0], measured=measured).plan
    )
    house.stands(kept)
    yield "completeness.toml", "bands", house, kept


def _report(house: _House, agency: Tenant) -> _Made:
    """A report, sent, and not acknowledged in time."""
    file, case = _file(agency), house.case
    sent = house.run(lambda: _sending(house, agency))
    house.stands(sent)
    due = tuple(one for one in sent.puts if "partOf" in one.resource)
    told = tuple(one for one in sent.puts if one not in due)
    yield "disclosure.toml", f"rules.{_rule(case).id}", house, replace(sent, puts=told)
    yield file, "written", house, replace(sent, puts=due)
    yield file, "hotline", house, house.run(lambda: _overdue(house))


def _overdue(house: _House) -> Plan:
    exchange, case = house.exchange, house.case
    name = exchange.source_task
    case.loaded.seen[Want("exchange", case.shelf.key, name)] = exchange
    entry = Entry("PUT", {"resourceType": "Task", "id": name[len("Task/") :]}, name[len("Task/") :])
    return overdue.plan(replace(case, now=_LATE, entries=(entry, *case.entries)))


def _answers(house: _House) -> _Made:
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


def _answered(house: _House, event: Event, said: Resource) -> Plan:
    """An event after the first that it may follow."""
    exchange = house.exchange
    case, state = house.at(exchange.recipient), next(iter(event.after), "submitted")
    stored = house.standing(exchange.recipient, exchange.recipient_task)
    before = case.mappings.outcomes.event(exchange.kind, state)
    stored = replace(stored, resource=before.sets(stored.resource) if before else stored.resource)
    owner = {"owner": _NAMED} if exchange.kind == "cps-report" else {}
    exchange = replace(exchange, state=state)
    return outcome.answered(
        case, exchange, stored, {**stored.resource, **owner, **said}, Step(event, "applied"), Mark()
    )


def _buried(house: _House) -> Plan:
    exchange = house.exchange
    tasks = {
        exchange.source: exchange.source_task,
        exchange.recipient: exchange.recipient_task,
        **exchange.terms.inboxes,
    }
    puts = [
        one
        for shelf, name in tasks.items()
        for one in expunge.buried(
            house.standing(shelf, name), Purge(shelf, name, exchange.id), _NOW
        )
    ]
    return Plan(Answer(()), tuple(puts))


def _questions(house: _House) -> _Made:
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


def _asked(house: _House, shelf: str, code: str) -> Plan:
    task: Resource = {
        "resourceType": "Task",
        "id": "asked",
        "requester": _NAMED,
        "restriction": {"period": {"end": "2026-11-25"}},
        "input": [
            {
                "type": concept(question.INPUT, "question"),
                "valueCodeableConcept": concept(QUESTION, code),
            },
            {"type": concept(question.INPUT, "detail"), "valueString": "Example"},
        ],
    }
    return question.asked(house.at(shelf), Entry("POST", task, "asked"), house.exchange)


def _told(house: _House) -> Plan:
    """The clinic's answer to the question that stands."""
    exchange = house.exchange
    name = next(one for one, other in exchange.terms.talk.items() if other == "Task/asked")
    case = house.at(exchange.source)
    stored = house.standing(exchange.source, name)
    said = {"output": [{"type": concept(OUTPUT, "answer"), "valueString": "Example"}]}
    task = {**stored.resource, "status": "completed", **said}
    return question.answered(case, Entry("PUT", task, task["id"]), exchange, stored)
