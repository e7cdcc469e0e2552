"""The planner `answer`: an agency's Task moves one step, and the clinic learns what a rule permits."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Literal

from msgspec.structs import replace

from app import fhir
from app.domain import (
    another,
    copied,
    expunge,
    feedback,
    parties,
    patients,
    progress,
    report,
    steps,
    withdrawal,
)
from app.domain.case import Case
from app.domain.change import Entry
from app.domain.event import EXPUNGED, OUTPUT, STATUS, TRANSFERRED, Event, contact
from app.domain.plan import (
    Answer,
    Exchange,
    Plan,
    Recorded,
    Stored,
    derive,
    put,
    same,
    together,
    touched,
)
from app.domain.steps import Step
from app.errors import Invalid, Issue, NotSupported, Stale
from app.fhir import Resource, listed
from app.settings import CANONICAL, Kind

_MAY_CHANGE: Final[dict[Kind, frozenset[str]]] = {
    # SDOH Clinical Care 3.0.0: an owner may change only these
    "family-support": frozenset({"status", "statusReason", "output"}),
    "cps-report": frozenset({
        "businessStatus", "executionPeriod", "note", "output", "owner", "status", "statusReason",
    }),
}  # fmt: skip
_ASSIGNED: Final = "assigned"
_SUBMITTED: Final = "submitted"
LATE: Final = Issue(
    "information", "informational",
    "The case is beyond this event: it was noted, and nothing was set back.", "Task.status",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mark:
    """
    By what an event is known when it is said again.

    identifier, sequence    the agency's; "" and 0 where it names none
    digest                  of what was said
    """

    identifier: str = ""
    sequence: int = 0
    digest: str = ""


def plan(case: Case, entry: Entry, exchange: Exchange) -> Plan:
    """
    The agency's PUT of its Task, taken as the difference to what it may change.

    raises      NotSupported: a change of the sender's own Task
                Conflict: a step that may not follow; it says which may
                Stale: the version in If-Match is not the current one
    source      SDOH Clinical Care 3.0.0, referral workflow; mappings/outcomes.toml
    """
    shelf, name = case.shelf.key, fhir.name(entry.resource)
    stored = case.loaded.resource(shelf, name)
    if shelf != exchange.recipient:
        return _of_the_sender(case, entry, exchange, stored)
    if stored is None or not entry.meets(stored.version):
        raise Stale("The Task has changed since; read it again.")
    if is_tombstone(stored.resource):
        return expunged(case, exchange, again=is_tombstone(entry.resource))
    read = copied.read(case, entry.resource, stored)
    step = _said(case, entry.resource, exchange, stored.resource, read)
    task, ignored = copied.taken(entry.resource, stored.resource, read, _MAY_CHANGE[exchange.kind])
    reached(exchange, step, task)
    return answered(case, exchange, stored, task, step, Mark(), ignored)


def _of_the_sender(case: Case, entry: Entry, exchange: Exchange, stored: Stored | None) -> Plan:
    """The sender follows its Task; the one thing that it may say is that it takes it back."""
    if stored and not entry.meets(stored.version):
        raise Stale("The Task has changed since; read it again.")
    status = entry.resource.get("status")
    wholly = status == "entered-in-error"
    ended = {EXPUNGED} if wholly else {"cancelled", EXPUNGED}
    if status in withdrawal.CANCELLED and exchange.state not in ended:
        return withdrawal.plan(case, exchange, wholly=wholly)
    came = entry.resource
    if stored and patients.about(case, exchange.person, consent="").means(came.get("for")):
        came = {**came, "for": stored.resource["for"]}  # the child, by another record or number
    if stored and same(copied.read(case, entry.resource, stored), came):
        return Plan(Answer((entry.name,)))
    mark = case.receipt(entry, exchange.source_task)
    if case.loaded.receipt(mark.shelf, mark.key) == mark:
        if other := another.asked(case, entry, exchange.source_task):
            raise (
                report.unfit(case, other, another=True) if exchange.kind == "cps-report" else other
            )
        note = Issue("information", "duplicate", "This was sent before; here is how it stands.")
        return Plan(Answer((entry.name,), issues=(note,)))
    if stored and status in withdrawal.CANCELLED and status == stored.resource.get("status"):
        text = "This is taken back already; here is how it stands."
        note = Issue("information", "duplicate", text, "Task.status")
        return Plan(Answer((entry.name,), issues=(note,)))
    text = (
        "A sent Task can be cancelled, and nothing else of it changed, here; write a Communication."
    )
    raise NotSupported(text)


def answered(  # noqa: PLR0913 — what an answer consists of
    case: Case,
    exchange: Exchange,
    stored: Stored,
    task: Resource,
    step: Step,
    mark: Mark,
    issues: tuple[Issue, ...] = (),
) -> Plan:
    """
    The agency's Task as it now stands, the exchange's step, and what the clinic learns of it.

    task        with what the agency said of it; its state is set here
    """
    event = step.event
    if event and event.id == EXPUNGED and step.standing == "applied":
        gone = expunge.plan(case, exchange)
        mine = _recorded(case, exchange, event, step, mark)
        return together([gone, Plan(gone.answer, recorded=(mine,))], gone.answer)
    applied = event if step.standing == "applied" else None
    _owned(case, exchange, applied, task, stored.resource)
    task = (
        applied.sets(task) if applied else _kept(task, stored.resource, "status", "businessStatus")
    )
    if fhir.encode(task) != fhir.encode(stored.resource):
        task = touched(task, case.now)
    puts = put(task, stored, shelf=exchange.recipient, now=case.now)
    answer = Answer((fhir.name(task),), issues=issues if applied or not event else (*issues, LATE))
    moved = applied is not None and (applied.id != exchange.state or bool(mark.sequence))
    recorded = (_recorded(case, exchange, event, step, mark),) if event and (puts or moved) else ()
    if step.standing == "late" and event and not recorded:
        recorded = (_recorded(case, exchange, event, step, mark),)
    if not puts and not moved and not recorded:
        return Plan(answer)
    after = replace(
        exchange,
        state=applied.id if applied else exchange.state,
        sequence=exchange.sequence + (1 if recorded else 0),
        due=_due(exchange, applied),
        terms=feedback.terms(case, exchange, task, mark.sequence),
    )
    told = _told(case, exchange, after, event, task, late=applied is None)
    ends = stored.resource["status"] in steps.OPEN and task["status"] not in steps.OPEN
    ended = (exchange.id,) if ends else ()
    own = Plan(answer, puts, exchanges=(after,), recorded=recorded, ended=ended)
    return together([own, told], replace(answer, issues=(*answer.issues, *told.answer.issues)))


def _due(exchange: Exchange, applied: Event | None) -> float:
    """A receipt is awaited no more; what a question that is open waits for is looked at then."""
    asked = any(name.startswith("Task/") for name in exchange.terms.talk)
    return 0.0 if applied and exchange.state == "submitted" and not asked else exchange.due


def _owned(
    case: Case, exchange: Exchange, event: Event | None, task: Resource, before: Resource
) -> None:
    """
    A report that is assigned has a named human as owner, and keeps one.

    raises      Invalid: it would be an organization's alone
    source      the guide's rule cps-task-2
    """
    assigned = event is not None and event.id == _ASSIGNED
    kept = parties.personal(before.get("owner")) and task.get("owner") != before.get("owner")
    if exchange.kind != "cps-report" or not (assigned or kept):
        return
    if not parties.named(case, task.get("owner")):
        text = (
            "Name the caseworker: Task.owner leads to a PractitionerRole here whose practitioner has a"
            " display or a name; $record-event takes owner {name, phone}."
        )
        url = f"{CANONICAL}/StructureDefinition/cps-report-task"
        issue = Issue("error", "business-rule", text, "Task.owner", rule="cps-task-2", url=url)
        raise Invalid(issues=(issue,))


def reached(exchange: Exchange, step: Step, task: Resource) -> None:
    """
    Of a report that goes on to another authority whoever reported learns who has the report now, where that is outside of this exchange too.

    raises      Invalid: nobody is named whom they could call
    """
    goes = step.event is not None and step.event.id == TRANSFERRED != exchange.state
    if step.standing != "applied" or not goes:
        return
    said = (one.get("valueContactDetail") for one in listed(task.get("output")) if _calls(one))
    if any("telecom" in (contact(one) or {}).get("valueContactDetail", {}) for one in said):
        return
    text = (
        "Say who has this report now, so that whoever reported can call: $record-event takes `to`, a"
        " registered authority, or `contact` {name, phone}; in a Task it is an output named-contact,"
        " with a telephone."
    )
    raise Invalid(text, expression="Task.output")


def _calls(output: Resource) -> bool:
    return fhir.has_code(output.get("type"), OUTPUT, "named-contact")


def is_tombstone(task: Resource) -> bool:
    """Whether a referral's Task says that it was expunged, or taken back after its end."""
    return task.get("status") == "entered-in-error"


def expunged(case: Case, exchange: Exchange, *, again: bool) -> Plan:
    """Nothing follows, and nothing is written onto a tombstone; said again, it is so already."""
    if again:
        return Plan(Answer((exchange.recipient_task,)))
    raise steps.refused(case, exchange, "entered-in-error")


def _told(  # noqa: PLR0913 — as above
    case: Case,
    before: Exchange,
    after: Exchange,
    event: Event | None,
    task: Resource,
    *,
    late: bool,
) -> Plan:
    """What the sender learns; an event that changes nothing of the state tells what else it says."""
    nothing = Plan(Answer(()))
    overtaken = late and event is not None
    event = event or case.mappings.outcomes.event(before.kind, before.state)
    if event is None:
        return nothing
    if before.kind == "family-support":
        return nothing if overtaken else progress.told(case, before, event, task)
    first = before.state == _SUBMITTED
    return feedback.told(case, after, event, task, late=late, first=first)


def _recorded(case: Case, exchange: Exchange, event: Event, step: Step, mark: Mark) -> Recorded:
    standing: Literal["applied", "late"] = "late" if step.standing == "late" else "applied"
    key = event_key(case, exchange, mark)
    digest = mark.digest or hashlib.sha256(event.id.encode()).hexdigest()
    return Recorded(exchange.id, exchange.recipient, key, mark.sequence, event.id, digest, standing)


def event_key(case: Case, exchange: Exchange, mark: Mark) -> str:
    """The agency's own identifier and sequence, hashed; ours where it names none."""
    if mark.identifier or mark.sequence:
        return derive(case.key, "event", exchange.id, mark.identifier, str(mark.sequence))
    return f"step-{exchange.sequence + 1}"


def _kept(task: Resource, stored: Resource, *elements: str) -> Resource:
    """The Task with these elements as they stood."""
    made = {name: value for name, value in task.items() if name not in elements}
    return made | {name: stored[name] for name in elements if name in stored}


def _said(case: Case, task: Resource, exchange: Exchange, stands: Resource, read: Resource) -> Step:
    """
    The event that a Task's status and business status tell of.

    read        the version that the caller has read; an older one that says the same tells of nothing
    raises      Invalid: no event has this status
                Conflict: it may not follow the present state
    """
    status = task.get("status")
    before = str(stands["status"])
    if read is not stands and _state(task) == _state(read):
        return Step(None, "none")
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
    if kind == "cps-report" and task.get("businessStatus") and not codes:
        text = f"Name the step by a code of {STATUS}."
        raise Invalid(
            f"{text} {steps.ways(case, exchange, before)}", expression="Task.businessStatus"
        )
    if status in {"requested", "draft"} and not codes - {"submitted"}:
        if exchange.state == "submitted":
            return Step(None, "none")
        if kind == "cps-report":
            return Step(None, "none")  # an old copy, written back: late, and says nothing
        raise steps.refused(case, exchange, before)
    events = [one for one in case.mappings.outcomes.of(kind) if status == one.brings(before)]
    told = [one for one in events if one.business_status in codes] if codes else events
    if not events or not told:
        text = "No step of this referral has this status and business status."
        raise Invalid(
            f"{text} {steps.ways(case, exchange, before)}",
            expression="Task.status" if not events else "Task.businessStatus",
        )
    current = [one for one in told if one.id == exchange.state]
    return steps.judged(case, exchange, current or told, before)


def _state(task: Resource) -> tuple[object, object]:
    return task.get("status"), task.get("businessStatus")
