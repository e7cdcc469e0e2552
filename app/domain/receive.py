"""What comes onto a clinic's chart: screenings once each, patients that are waited for, the rest stored."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from app import fhir
from app.domain import condition, observed, patients, screening, standing
from app.domain.case import Case, at_once, blamed, guarded
from app.domain.change import Entry
from app.domain.loaded import Want
from app.domain.plan import Answer, Plan, Receipt, derive, put, same
from app.domain.whom import spoken_of
from app.errors import Conflict, Invalid, Issue
from app.fhir import Resource, listed

_CORRECTS: Final = frozenset(["amended", "cancelled", "corrected", "entered-in-error"])
_WAITS: Final = frozenset(["in-progress", "preliminary", "registered", "stopped"])
_URN: Final = re.compile(rb'"reference":"urn:[^"]*"')  # another each time it is sent
Meaning = Callable[[Case, Entry], Plan]


def plans(case: Case, meaning: Meaning) -> tuple[list[Plan], list[Plan]]:
    """
    A plan for each entry, and those that several entries come to together.

    meaning     what an entry means that is no screening
    raises      Invalid: at $submit-screening, any fault; every fault is named
    """
    strict = case.change.act == "submit-screening"
    coming = _Coming(case, meaning)
    came: list[_Came] = at_once(coming.one, case.entries)
    found = [one.plan for one in came]
    more = [plan for one in came for plan in one.more]
    if rows := [one.row for one in came if one.row]:
        more += observed.plans(case, rows)
    issues = [issue for one in (*found, *more) for issue in one.answer.issues]
    if strict and any(one.severity == "error" for one in issues):
        raise Invalid(issues=tuple(issues))
    return [_lenient(one) for one in found], [_lenient(one) for one in more]


@dataclass(frozen=True, slots=True)
class _Came:
    """
    What one entry comes to.

    more    what follows from it elsewhere
    row     what is to be read with other rows
    """

    plan: Plan
    more: tuple[Plan, ...] = ()
    row: Entry | None = None


class _Coming:
    """The entries of a change; what a screening comes to is worked out once, however often it is planned."""

    def __init__(self, case: Case, meaning: Meaning) -> None:
        self._case, self._meaning = case, meaning
        self._first: dict[str, str] = {}  # of those that say the same, by the key of their mark
        for entry in case.entries:
            if entry.method == "POST" and self._screens(entry):
                self._first.setdefault(_known_by(case, entry).mark.key, entry.name)

    def one(self, entry: Entry) -> _Came:
        """What the entry comes to; a refusal names it."""
        return blamed(entry, self._of, entry)

    def _screens(self, entry: Entry) -> bool:
        return entry.type == "QuestionnaireResponse" or (
            entry.type == "Observation" and observed.is_row(self._case, entry.resource)
        )

    def _of(self, entry: Entry) -> _Came:
        case = self._case
        if entry.method == "DELETE":
            return _Came(self._meaning(case, entry), tuple(_deleted(case, entry)))
        if self._screens(entry):
            plan, row = case.loaded.once(
                "received", entry.name, _received, case, entry, self._first
            )
            return _Came(plan, row=row)
        follows = _awaited(case, entry) if entry.type == "Patient" else []
        return _Came(self._meaning(case, entry), tuple(follows))


def _lenient(plan: Plan) -> Plan:
    """What a strict door refuses is a warning at the others."""
    if not plan.answer.issues:
        return plan
    issues = tuple(
        replace(one, severity="warning") if one.severity == "error" else one
        for one in plan.answer.issues
    )
    return replace(plan, answer=replace(plan.answer, issues=issues))


def again(case: Case) -> list[Plan]:
    """What stands on the shelf, read anew: what was mapped since completes it."""
    return at_once(lambda entry: _again(case, entry.name), case.entries)


def _again(case: Case, name: str) -> Plan:
    if name.startswith("QuestionnaireResponse/"):
        return _lenient(screening.again(case, name))
    found = _lenient(observed.again(case, name))
    return replace(found, answer=replace(found.answer, names=(name, *found.answer.names)))


def linked(case: Case) -> Plan:
    """Two patients made one, or two again; what waited because they were two is read anew."""
    source, target = (one.name for one in case.entries)
    act = patients.linked if case.change.act == "link" else patients.unlinked
    plan = act(replace(case, entries=()), source, target)  # the entries name them, and say nothing
    arriving = {fhir.name(put.resource): put.resource for put in plan.puts}
    entries = tuple(
        replace(one, resource=arriving.get(one.name, one.resource)) for one in case.entries
    )
    case = replace(case, entries=entries)
    follows = [one for entry in entries for one in _awaited(case, entry)]
    puts = {(put.shelf, fhir.name(put.resource)): put for one in follows for put in one.puts}
    return replace(
        plan,
        puts=(*plan.puts, *puts.values()),
        worklist=tuple(one for each in follows for one in each.worklist),
    )


def _received(case: Case, entry: Entry, first: dict[str, str]) -> tuple[Plan, Entry | None]:
    """
    A screening, once: its plan, and the row that is to be read with others.

    The same message again is answered with what it became; another with the identifier of one
    that stands corrects it, if it says that it does.
    """
    known = _known_by(case, entry)
    mark = known.mark
    case.loaded.announce(known.wants)
    if entry.method == "POST":
        before = case.loaded.receipt(case.shelf.key, mark.key)
        if before or first[mark.key] != entry.name:
            return _repeated(case, entry, before.result if before else ""), None
        if earlier := _known_by_identifier(case, known):
            entry = _correction(case, entry, earlier)
            if entry.method == "POST":
                return _repeated(case, entry, earlier), None
    stored = guarded(case, entry)
    marks = () if entry.said.get("resourceType") is None else _marks(case, entry, mark)
    sole = stored is None and entry.method == "POST"  # of two at once the second sees the first
    absent = tuple((case.shelf.key, one) for one in known.conditions) if sole else ()
    if entry.type == "QuestionnaireResponse":
        made = screening.plan(case, entry)
        return replace(made, receipts=marks, absent=(*made.absent, *absent)), None
    if observed.is_moved(case, entry):
        raise Conflict(
            "An answer does not move to another patient; send it anew, and withdraw this one.",
            expression="Observation.subject",
        )
    if entry.if_match is None and observed.older(case, entry):
        text = (
            "A later version of this stands already, by the source's own times: nothing is changed."
        )
        issue = Issue("warning", "conflict", text, entry.at or entry.type)
        return Plan(Answer((entry.name, *observed.shown(case, entry.name)), issues=(issue,))), None
    puts = put(entry.resource, stored, shelf=case.shelf.key, now=case.now, method=entry.method)
    new = frozenset({entry.name}) if stored is None or not stored.stands else frozenset()
    return Plan(Answer((entry.name,), new), puts, receipts=marks, absent=absent), entry


@dataclass(frozen=True, slots=True)
class _Known:
    """
    By what a screening is known that came before.

    conditions  that it carries one of its own identifiers
    wants       what is looked up for it, at once and not one after the other
    """

    mark: Receipt
    conditions: tuple[str, ...]
    wants: frozenset[Want]


def _known_by(case: Case, entry: Entry) -> _Known:
    return case.loaded.once("known by", entry.name, _knowing, case, entry)


def _knowing(case: Case, entry: Entry) -> _Known:
    shelf, resource = case.shelf.key, entry.resource
    mark = _receipt(case, entry)
    own = tuple(condition.identifier(entry.type, *one) for one in _own(resource))
    wants = {Want("receipt", shelf, mark.key)}
    if entry.method == "POST":
        wants |= {Want("search", shelf, one) for one in own[:1]}
    subject = resource.get("subject")
    named = fhir.literal(subject) if isinstance(subject, dict) else ""
    if named.startswith("Patient/") and case.arriving(named) is None:
        wants.add(Want("resource", shelf, named))
    form = resource.get("questionnaire")
    if isinstance(form, str) and form[:1] not in ("", "#"):
        url = form.split("|", 1)[0]
        wants.add(Want("search", shelf, condition.canonical("Questionnaire", url)))
    return _Known(mark, own, frozenset(wants))


def _marks(case: Case, entry: Entry, mark: Receipt) -> tuple[Receipt, ...]:
    """The mark of a message that was sent as one, so that its repetition is known."""
    if entry.method != "POST" and not _own(entry.said):
        return ()
    if case.loaded.receipt(case.shelf.key, mark.key):
        return ()
    return (replace(mark, result=entry.name),)


def _receipt(case: Case, entry: Entry) -> Receipt:
    """By what a repetition is known: what it says, and where it has an identifier, which version."""
    said = {name: one for name, one in entry.said.items() if name not in ("id", "meta", "text")}
    version = entry.said.get("meta", {}).get("lastUpdated") if _own(entry.said) else None
    written = fhir.encode([said, version])
    raw = _URN.sub(b'"reference":"urn"', written)
    if raw != written:
        raw += spoken_of(entry.said, case.came)
    digest = hashlib.sha256(raw).hexdigest()
    key = derive(case.key, "said", entry.type, digest)
    return Receipt(case.shelf.key, key, "", entry.name)


def _own(resource: Resource) -> list[tuple[str, str]]:
    return [
        (str(one.get("system", "")), str(one["value"]))
        for one in listed(resource.get("identifier"))
        if isinstance(one, dict) and one.get("value")
    ]


def _known_by_identifier(case: Case, known: _Known) -> str:
    """What stands on the shelf under the message's own identifier; "" where nothing does."""
    for one in known.conditions[:1]:
        for name in case.loaded.meeting(case.shelf.key, one):
            return name
    return ""


def _correction(case: Case, entry: Entry, name: str) -> Entry:
    """
    The PUT that a message means which carries the identifier of one that stands.

    returns     the entry as it was, where it says what stands already
    raises      Conflict: it says something else, and not that it corrects anything
    """
    stored = case.loaded.resource(case.shelf.key, name)
    identity = name.partition("/")[2]
    changed = {**entry.resource, "id": identity}
    if stored is None or not stored.stands:
        return replace(entry, method="PUT", id=identity, resource=changed)
    meta = {**changed.get("meta", {})}
    if same({**stored.resource, "meta": {}}, {**changed, "meta": {}}):
        return entry
    corrects = (
        changed.get("status") in _CORRECTS
        or stored.resource.get("status") in _WAITS
        or ("lastUpdated" in meta and standing.occurred(case, name) != "")
        or screening.is_older(case, replace(entry, id=identity, resource=changed), stored)
    )
    if not corrects:
        raise Conflict(
            "Another message with this identifier was taken in already, and it says something"
            " else. Send a new identifier, or say by its status that it is a correction.",
            expression=f"{entry.type}.identifier",
        )
    return replace(entry, method="PUT", id=identity, resource=changed)


def _repeated(case: Case, entry: Entry, name: str) -> Plan:
    """What an earlier message became; what has been mapped since completes it."""
    name = name or entry.name
    if case.find(name) is None:
        return Plan(Answer((name,)))
    found = _again(case, name)
    return replace(found, answer=replace(found.answer, created=frozenset()))


def _awaited(case: Case, entry: Entry) -> list[Plan]:
    """Screenings that waited for this patient."""
    keys, shelf = patients.keys_of(entry.resource), case.shelf.key
    case.loaded.announce({Want("awaiting", shelf, key) for key in keys})
    waited = [name for key in keys for name in case.loaded.awaiting(shelf, key)]
    if not waited:
        return []
    arriving = {one.name for one in case.entries}
    names = [name for name in dict.fromkeys(waited) if name not in arriving]
    return [
        replace(one, answer=Answer(())) for one in at_once(lambda name: _again(case, name), names)
    ]


def _deleted(case: Case, entry: Entry) -> list[Plan]:
    """What was made of what is deleted is no longer so."""
    stored = case.loaded.resource(case.shelf.key, entry.name)
    if stored is None or not stored.stands:
        return []
    if entry.type == "QuestionnaireResponse":
        made = [screening.withdrawn(case, entry.name)]
    elif entry.type == "Observation":
        made = observed.withdrawn(case, entry)
    else:
        return []
    return [replace(one, answer=Answer((), issues=one.answer.issues)) for one in made]
