"""
Screening Observations as EHRs emit them: group rows, answers, one by one or together.

What was observed of one patient at one moment is one screening; a row that comes later joins it.
The EHR's Observations stay as they came: ours are new ones, derived from them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from msgspec.structs import replace

from app import fhir
from app.domain import answered, patients, reading, screening, showing, standing
from app.domain.answered import Read
from app.domain.case import Case, at_once
from app.domain.change import Entry
from app.domain.instrument import HELP_WISH, Instrument
from app.domain.making import SCREENING, Who
from app.domain.patients import Subject
from app.domain.plan import Answer, Plan, Receipt, Waiting, derive
from app.domain.reading import OBSERVATION
from app.domain.standing import Made
from app.errors import Issue
from app.fhir import Resource, listed

_CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"
_SDOH: Final = "http://hl7.org/fhir/us/core/CodeSystem/us-core-category"
_TELLING: Final = {"final", "amended", "corrected"}
_WITHDRAWN: Final = {"cancelled", "entered-in-error"}


@dataclass(slots=True)
class Session:
    """One screening: what of it came in now, and all that it consists of."""

    id: str
    entries: list[Entry] = field(default_factory=list)


def is_row(case: Case, observation: Resource) -> bool:
    """Whether an Observation may be an answer to a screening, and is not one of ours."""
    if str(observation.get("meta", {}).get("source", "")).startswith(SCREENING):
        return False
    categories = observation.get("category")
    if categories is not None:
        return fhir.has_code(categories, _CATEGORY, "survey") or fhir.has_code(
            categories, _SDOH, "sdoh"
        )
    codes = reading.codings(observation.get("code"))
    known = case.mappings.forms
    return any(known.knows(one) or one == (OBSERVATION, HELP_WISH) for one in codes)


def plans(case: Case, entries: Iterable[Entry]) -> list[Plan]:
    """What the Observations that came in come to: a plan for each screening that they belong to."""
    came = [*entries]
    told = at_once(lambda one: _told_by_response(case, one.resource), came)
    rows = [one for one, said in zip(came, told, strict=True) if not said]
    coming = _Coming.of(rows)
    once = case.loaded.once
    belong = at_once(
        lambda one: once("session", one.name, _session, case, one.resource, coming), rows
    )
    sessions: dict[str, Session] = {}
    for entry, (identity, _) in zip(rows, belong, strict=True):
        sessions.setdefault(identity, Session(identity)).entries.append(entry)
    receipts = [mark for _, mark in belong if mark]
    made = at_once(partial(_plan, case), sessions.values())
    return [*made, Plan(Answer(()), receipts=tuple(receipts))] if receipts else made


def again(case: Case, name: str) -> Plan:
    """A row that stands, read anew with its screening."""
    stored = case.loaded.resource(case.shelf.key, name)
    if stored is None or not stored.stands:
        return Plan(Answer((name,)), worklist=(standing.nothing(case, name),))
    identity, _ = _session(case, stored.resource, _NONE)
    entry = Entry("PUT", stored.resource, name.partition("/")[2])
    return _plan(case, Session(identity, [entry]))


def withdrawn(case: Case, entry: Entry) -> list[Plan]:
    """A row that is deleted: nothing is derived from it any more."""
    stored = case.loaded.resource(case.shelf.key, entry.name)
    if stored is None or not stored.stands or not is_row(case, stored.resource):
        return []
    gone = {**stored.resource, "status": "entered-in-error"}
    identity, _ = _session(case, gone, _NONE)
    return [_plan(case, Session(identity, [replace(entry, resource=gone)]))]


def older(case: Case, entry: Entry) -> bool:
    """Whether what came was issued before what stands, by the source's own times."""
    stored = case.loaded.resource(case.shelf.key, entry.name)
    if stored is None or not stored.stands:
        return False
    earlier, later = entry.resource.get("issued"), stored.resource.get("issued")
    if not isinstance(earlier, str) or not isinstance(later, str):
        return False
    return earlier != later and not fhir.not_after(later, earlier)


def shown(case: Case, name: str) -> tuple[str, ...]:
    """The names of what was made of the screening that a row belongs to."""
    mark = case.loaded.receipt(case.shelf.key, _mark(case, name))
    return standing.shown(case, mark.result) if mark else ()


def _told_by_response(case: Case, observation: Resource) -> bool:
    """Whether a response says the same, and we read it: an EHR may send both."""
    said = (
        one.get("reference")
        for one in listed(observation.get("derivedFrom"))
        if isinstance(one, dict)
    )
    names = (str(one) for one in said if str(one).startswith("QuestionnaireResponse/"))
    # thirty rows of one screening all name the same response
    return any(case.loaded.once("read", one, _is_read, case, one) for one in names)


def _is_read(case: Case, name: str) -> bool:
    response = case.find(name)
    return response is not None and screening.is_known(case, response)


def _mark(case: Case, name: str) -> str:
    return derive(case.key, "row", name)


@dataclass(frozen=True, slots=True)
class _Coming:
    """
    The rows that come together.

    rows        by their names
    holders     the first of them that holds a name as its member
    """

    rows: dict[str, Entry]
    holders: dict[str, str]

    @classmethod
    def of(cls, rows: Iterable[Entry]) -> _Coming:
        made = cls({one.name: one for one in rows}, {})
        for name, entry in made.rows.items():
            for member in _members(entry.resource):
                made.holders.setdefault(member, name)
        return made

    def heading(self, name: str) -> str:
        """The outermost row that holds this one."""
        for _ in self.rows:
            if name not in self.holders:
                return name
            name = self.holders[name]
        return name


_NONE: Final = _Coming({}, {})


def _session(case: Case, observation: Resource, coming: _Coming) -> tuple[str, Receipt | None]:
    """The screening of a row, and the mark that keeps it there if it is new and its patient is known."""
    shelf, name = case.shelf.key, fhir.name(observation)
    key = _mark(case, name)
    new = name in coming.rows and coming.rows[name].method == "POST"  # chance has just made its id
    if not new and (before := case.loaded.receipt(shelf, key)):
        return before.result, None
    heading = coming.heading(name)
    of = coming.rows[heading].resource if heading in coming.rows else observation
    known = patients.subject(case, observation).reference
    whom = _whom(case, observation if known else of)
    identity = derive(case.key, shelf, "observed", whom, reading.start_of(of))
    return identity, Receipt(shelf, key, "", identity) if known else None


def is_moved(case: Case, entry: Entry) -> bool:
    """Whether a row that was read as one patient's names another."""
    stored = case.loaded.resource(case.shelf.key, entry.name)
    if stored is None or not stored.stands or not is_row(case, stored.resource):
        return False
    known = case.loaded.receipt(case.shelf.key, _mark(case, entry.name))
    return known is not None and _whom(case, stored.resource) != _whom(case, entry.resource)


def _whom(case: Case, observation: Resource) -> str:
    """Type/id of its patient; where that is not known, what is said of them."""
    subject = patients.subject(case, observation).reference or observation.get("subject") or {}
    return str(subject.get("reference") or fhir.encode(subject).decode())


def _members(observation: Resource) -> list[str]:
    return [
        fhir.literal(one) for one in listed(observation.get("hasMember")) if isinstance(one, dict)
    ]


def _plan(case: Case, session: Session) -> Plan:
    """All rows of a screening read together, those that came now in place of what stood."""
    arrived = {one.name: one for one in session.entries}
    known = [name for name in standing.sources(case, session.id) if name not in arrived]
    case.loaded.expect(case.shelf.key, known)
    stored = {name: one for name in known if (one := case.find(name))}
    every = {**stored, **{name: one.resource for name, one in arrived.items()}}
    issues: list[Issue] = []
    sound: dict[str, Resource] = {}
    subject = Subject()
    waiting: list[Waiting] = []
    for name, one in every.items():
        if one.get("status") not in _TELLING:
            continue
        found = patients.subject(case, one)
        faults = [found.issue] if found.issue else []
        faults += reading.faults_of_frame(one, "effective", fhir.instant(case.now))
        if name in arrived:
            issues += screening.placed(faults, arrived[name])
        if found.waiting:
            waiting.append(patients.wait_for(name, found.waiting))
        if not faults:
            sound[name] = one
            subject = found
    read = _read(case, sound)
    told = [one for one in read.issues if _of(one.expression, arrived)]
    who = Who(session.id, subject.reference or {})
    more: list[Issue] = []
    resources = showing.resources(case, read, who, more) if subject.reference else {}
    _keep_waiting(case, session.id, every, resources)
    at = {name: entry.at or entry.type for name, entry in arrived.items()}

    def place(path: str) -> str:
        name, _, rest = path.partition("\x1f")
        return at.get(name, "Observation") + rest

    issues += [replace(one, expression=place(one.expression)) for one in (*told, *more)]
    waiting += read.waiting
    issues += _empty(arrived)
    made = Made(
        session.id,
        subject if subject.reference else Subject(),
        resources,
        tuple(every),
        issues=tuple(issues),
        waiting=tuple(waiting),
        fates=tuple(replace(one, at=place(one.at)) for one in read.fates if _of(one.at, arrived)),
    )
    return standing.carried(case, made, puts=(), name="")


def _of(path: str, arrived: dict[str, Entry]) -> bool:
    return path.partition("\x1f")[0] in arrived


def _empty(arrived: dict[str, Entry]) -> Iterable[Issue]:
    """A row that asks nothing and answers nothing, and is no group either."""
    for entry in arrived.values():
        if not entry.resource.get("hasMember") and not reading.codings(entry.resource.get("code")):
            text = "An answer belongs to a question: give the Observation its code."
            if not str((entry.resource.get("code") or {}).get("text") or ""):
                yield Issue("error", "required", text, f"{entry.at or entry.type}.code")


def _read(case: Case, sound: dict[str, Resource]) -> Read:
    """Answers of all rows; a location holds the row's name, so that it can be put back in its place."""
    known = case.mappings.forms
    headings: list[Instrument] = []
    members: dict[str, set[str]] = defaultdict(set)
    for name, one in sound.items():
        for key in reading.codings(one.get("code")):
            for instrument in known.headings.get(key, ()):
                headings.append(instrument)
                members[instrument.id] |= _below(name, sound)
    rows = [
        row for name, one in sound.items() for row in reading.of_observation(one, f"{name}\x1f")
    ]
    return answered.read(
        rows, known, lambda keys: screening.look(case, keys), named=headings, members=members
    )


def _below(name: str, sound: dict[str, Resource]) -> set[str]:
    """Every row that a heading holds, at whatever depth."""
    found: set[str] = set()
    queue = [name]
    while queue:
        for one in _members(sound.get(queue.pop(), {})):
            if one not in found:
                found.add(one)
                queue.append(one)
    return found


def _keep_waiting(
    case: Case, identity: str, every: dict[str, Resource], resources: dict[str, Resource]
) -> None:
    """What was made of a row that is being worked on again stays until it is final."""
    reopened = {
        name for name, one in every.items() if one.get("status") not in _TELLING | _WITHDRAWN
    }
    if not reopened:
        return
    for name in standing.shown(case, identity):  # answers stand before what leans on them
        stored = case.loaded.resource(case.shelf.key, name)
        if stored is None or not stored.stands or name in resources:
            continue
        leans = {one["reference"] for one in fhir.references(_ground(stored.resource))}
        if leans & reopened and not fhir.in_error(stored.resource):
            resources[name] = stored.resource
            reopened.add(name)


def _ground(resource: Resource) -> list[Any]:
    """What it was made of: an Observation of its sources, a proposal or Condition of Observations."""
    return [resource.get(name) for name in ("derivedFrom", "evidence", "reasonReference")]
