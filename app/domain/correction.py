"""What a sender corrects of what it sent: the copies on open exchanges follow, by the same rules."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from msgspec.structs import replace

from app import fhir
from app.domain import consents, identity, patients, progress, reminder, retold, turns
from app.domain.case import Case, at_once
from app.domain.change import Entry
from app.domain.feedback import owed
from app.domain.following import ANOTHER, Correction, is_untouched, person
from app.domain.loaded import MOST_COPIES
from app.domain.plan import Answer, Exchange, Following, Plan, Put, Stored, put, together
from app.domain.steps import OPEN
from app.errors import Issue
from app.fhir import Resource, listed

# What says something of the person, or of who works at the clinic. A request is taken back or stands as it
# was sent; so do its Task and who attests it.
_FOLLOW: Final = frozenset({
    "Condition", "Consent", "DiagnosticReport", "DocumentReference", "Location", "Media", "Observation",
    "Organization", "Patient", "Practitioner", "PractitionerRole", "RelatedPerson",
})  # fmt: skip
_SETTLED: Final = 5.1  # seconds; what was owed when it was sent is due by then


def followed(case: Case, made: Plan) -> Plan:
    """
    The plan, with what its changes on the sender's shelf mean to those who were sent what it changes.

    A consent that is withdrawn, or changed so that it covers its referral no more, takes it back; anything
    else is copied anew where the rule still lets it out. What the agency was not sent stays so.
    """
    if case.shelf.role != "source":
        return _with(made, retold.followed(case, made))
    changed = [one for one in made.puts if _follows(one, case.shelf.key)]
    if not changed:
        return made
    if case.change.act in {"link", "unlink"}:  # what came with it says nothing
        entries = [Entry("PUT", one.resource, one.resource["id"]) for one in changed]
        case = replace(case, entries=tuple(entries))
    opened = {step.id for step in made.exchanges if step.version == 0}
    if len(opened) < len(made.exchanges):
        said = tuple(one for one in made.puts if one.exchange)
        case = turns.after(case, [replace(made, puts=said)])  # by the same change, or taken back
    shelf = case.shelf.key
    before = at_once(lambda one: case.loaded.resource(shelf, fhir.name(one.resource)), changed)
    stood = [(one, stored) for one, stored in zip(changed, before, strict=True) if stored]
    sent = at_once(lambda pair: _sent(case, fhir.name(pair[0].resource)), stood)
    each = [
        Correction(case, exchange, one, stored)
        for (one, stored), exchanges in zip(stood, sent, strict=True)
        for exchange in exchanges
        if exchange.id not in opened
    ]
    each += [one for one in _parted(case, stood) if one.exchange.id not in opened]
    each += [one for one in _joined(case, changed, stood) if one.exchange.id not in opened]
    once = {(one.exchange.id, one.name): one for one in each}  # both halves of a link were changed
    plans = [
        *at_once(_corrected, once.values()),
        *_renamed(case, stood),
        *_renewed(case, stood, {step.id for step in made.exchanges}),
        *_others(case, stood, changed),
        *_replaced(case, stood),
    ]
    return _in_turn(case, stood, _with(made, plans))


def _corrected(one: Correction) -> Plan:
    """The copy as its original is to stand; that it is another person's now is told where somebody looks."""
    made, case = one.plan(), one.case
    if not any(issue.text.endswith(ANOTHER) for issue in made.answer.issues):
        return made
    return together([_unheard(case, one.exchange, one.whose, ANOTHER), made], made.answer)


def again(case: Case) -> Plan:
    """
    The copies of one exchange that are to be brought up to date, as what they are copies of now stands.

    Those that are due since it was sent are looked at only where something was written at about that moment:
    a write has the time at which it began, and may be on the disk after one that began later.
    """
    named, due = case.change.said
    exchange = case.loaded.opened(case.shelf.key, named)
    nothing = Plan(Answer(()))
    if exchange is None or not _standing(case, [exchange]):
        return nothing
    case.loaded.expect(case.shelf.key, list(due))
    opened = fhir.moment(exchange.opened)
    sent, before = opened.timestamp(), fhir.instant(opened - timedelta(seconds=_SETTLED))
    found = {
        name: stored
        for name, at in due.items()
        if name in exchange.copies and name.partition("/")[0] in _FOLLOW
        for stored in [case.loaded.resource(case.shelf.key, name)]
        if stored and stored.stands
        if stored.updated > before or at > sent + _SETTLED
    }
    if exchange.person in found:
        found = {**_strayed(case, exchange), **found}
    corrections = [
        Correction(case, exchange, Put(case.shelf.key, stored.resource, stored.version), stored)
        for stored in found.values()
    ]
    between = at_once(Correction.is_between, corrections)
    corrections = [one for one, was in zip(corrections, between, strict=True) if not was]
    return together(at_once(_of_what_stands, corrections), nothing.answer)


def _strayed(case: Case, exchange: Exchange) -> dict[str, Stored]:
    """What was sent as this person's and stands on a record that is not theirs any more, by name."""
    records = patients.records(case, exchange.person)
    shelf, names = case.shelf.key, list(exchange.copies)
    case.loaded.expect(shelf, names)
    facts = {name: case.loaded.resource(shelf, name) for name in names}
    return {
        name: one
        for name, one in facts.items()
        if one and one.stands and (person(one.resource) or records[0]) not in records
    }


def _of_what_stands(one: Correction) -> Plan:
    """The copy as its original stands; whoever writes that at this moment has the last word."""
    made = one.plan()
    stays = [issue.text for issue in made.answer.issues if issue.code == "suppressed"]
    if stays:
        another = stays[0].endswith(ANOTHER)
        return _unheard(one.case, one.exchange, one.whose if another else one.name, stays[0])
    own = ("resource", one.put.shelf, one.name)
    return replace(made, stands=(own, *made.stands)) if made.puts else made


def _unheard(case: Case, exchange: Exchange, name: str, why: str) -> Plan:
    """
    Nobody reads an answer of the worker: whoever referred is told on their own shelf, once.

    name        Type/id of what does not follow
    """
    what = "another" if why.endswith(ANOTHER) else "stays"
    nothing = Plan(Answer(()))
    parent = case.loaded.resource(exchange.source, exchange.source_task)
    if parent is None or not parent.stands:
        return nothing
    to, kind = parent.resource["requester"], name.partition("/")[0]
    task = reminder.task(
        case, exchange.id, parent.resource, f"{what}-{name.replace('/', '-')}", to=to,
        text=f"{kind}: {why} Call the agency where that matters.", system=reminder.STAYS,
    )  # fmt: skip
    if case.loaded.resource(exchange.source, fhir.name(task)) is not None:
        return nothing
    puts = put(task, None, shelf=exchange.source, now=case.now, exchange=exchange.id)
    return Plan(Answer(()), puts, owed=owed(case, exchange.source, exchange, puts))


def _in_turn(case: Case, stood: list[tuple[Put, Stored]], made: Plan) -> Plan:
    """Nothing was sent under a consent, at this moment, that its change has not seen."""
    shelf = case.shelf.key
    names = [
        fhir.name(one.resource) for one, _ in stood if one.resource["resourceType"] == "Consent"
    ]
    turns = tuple(consents.turn(shelf, name) for name in names)
    stands = tuple(("copied", shelf, name) for name in names)
    if not names:
        return made
    return replace(made, absent=(*made.absent, *turns), stands=(*made.stands, *stands))


def _others(case: Case, stood: list[tuple[Put, Stored]], changed: list[Put]) -> list[Plan]:
    """What more was sent to than can follow at once follows by and by."""
    names = [
        fhir.name(one.resource) for one, _ in stood if one.resource["resourceType"] != "Consent"
    ]
    linked = at_once(lambda stored: _linked(case, fhir.name(stored.resource)), _unlinked(stood))
    linked += _in_place_of(case, changed, stood)
    names = list(dict.fromkeys([*names, *(one for found in linked for one in found)]))
    sent = [(name, case.loaded.copied(case.shelf.key, name)) for name in names]
    more = [
        Following(case.shelf.key, name, found[MOST_COPIES - 1].id)
        for name, found in sent
        if len(found) > MOST_COPIES
    ]
    if not more:
        return []
    text = "This was sent so often that some copies follow within the next minutes."
    issue = Issue("information", "informational", text)
    return [Plan(Answer((), issues=(issue,)), following=tuple(more))]


def _renewed(case: Case, stood: list[tuple[Put, Stored]], passed: set[str]) -> list[Plan]:
    """
    What agencies have said while a consent had run out, now that the family has renewed it.

    passed      ids of exchanges on which the same change does something else
    """
    given = {
        fhir.name(one.resource): one.resource
        for one, _ in stood
        if one.resource["resourceType"] == "Consent" and one.method != "DELETE"
    }
    each = at_once(lambda name: case.loaded.copied(case.shelf.key, name), given)
    under = [
        one
        for found in each
        for one in found
        if one.id not in passed and one.consent in given and one.recipient in case.settings.shelves
    ]
    return at_once(lambda one: _caught_up(case, one, given[one.consent]), under)


def _caught_up(case: Case, exchange: Exchange, consent: Resource) -> Plan:
    """The clinic's Task as the agency's has it, where this consent covers it; nothing where it says so already."""
    nothing = Plan(Answer(()))
    event = case.mappings.outcomes.event(exchange.kind, exchange.state)
    theirs = case.loaded.resource(exchange.recipient, exchange.recipient_task)
    if event is None or theirs is None:
        return nothing
    if not progress.consent(case, exchange, consent) >= consents.WHOLE:
        return nothing
    there = case.on(case.settings.shelves[exchange.recipient])
    made = progress.told(there, exchange, event, theirs.resource, given=consent)
    return replace(made, answer=nothing.answer)


def _renamed(case: Case, stood: list[tuple[Put, Stored]]) -> list[Plan]:
    """A word to who gives an organization other numbers: whoever it was, a consent may name it."""
    shelf = case.shelf.key
    changed = [
        fhir.name(one.resource)
        for one, stored in stood
        if one.resource["resourceType"] == "Organization"
        and fhir.numbers(one.resource.get("identifier"))
        != fhir.numbers(stored.resource.get("identifier"))
    ]
    named = at_once(lambda name: case.loaded.meeting(shelf, f"Consent?actor={name}"), changed)
    if not any(named):
        return []
    text = (
        "A consent names this organization. Where it was sent something under it and is another one now,"
        " nothing more goes either way; take that referral back, or refer anew."
    )
    at = "Organization.identifier"
    return [Plan(Answer((), issues=(Issue("warning", "business-rule", text, at),)))]


def _replaced(case: Case, stood: list[tuple[Put, Stored]]) -> list[Plan]:
    """Whoever sent a record that one replaces which is not here is told: what is corrected there does not follow."""
    people = [one for one in stood if one[0].resource["resourceType"] == "Patient"]
    names = [
        fhir.name(one.resource)
        for one, stored in people
        if _replacing(one.resource) - _replacing(stored.resource)
    ]
    gone = [fhir.name(one.resource) for one, _ in people if one.method == "DELETE"]
    for one in at_once(lambda name: patients.replaced(case, name), gone):
        names += [each for each in one if case.find(each)]
    each = zip(names, at_once(lambda name: _sent(case, name), names), strict=True)
    return at_once(
        lambda pair: _unheard(case, pair[1], pair[0], _REPLACED),
        [
            (name, one)
            for name, found in each
            for one in found
            if one.person == name and patients.survivor(case, name) is None
        ],
    )


_REPLACED: Final = "This record was replaced by another that is not here; what is corrected there does not follow to the agency."


def _replacing(patient: Resource) -> set[str]:
    links = listed(patient.get("link"))
    return {fhir.literal(one.get("other")) for one in links if one.get("type") == "replaced-by"}


def _follows(one: Put, shelf: str) -> bool:
    """Whether it may change what was sent: it stood before, or takes the place of a record that did."""
    if one.shelf != shelf or one.resource["resourceType"] not in _FOLLOW:
        return False
    return bool(one.expected) or (
        one.resource["resourceType"] == "Patient" and "link" in one.resource
    )


def _with(made: Plan, plans: list[Plan]) -> Plan:
    """The plan and what it leads to; each word is said once."""
    if not plans:
        return made
    issues = dict.fromkeys(issue for one in (made, *plans) for issue in one.answer.issues)
    both = turns.settled([made, *plans])
    whole = together(both, replace(made.answer, issues=tuple(issues)))
    return replace(whole, absent=made.absent)


def _sent(case: Case, name: str) -> list[Exchange]:
    """The exchanges whose recipient has a copy of this (Type/id) that follows now."""
    sent = case.loaded.copied(case.shelf.key, name)
    if name.startswith("Consent/"):
        open_ones = _standing(case, sent)
        return [one for one in sent if one in open_ones or is_untouched(one)]
    known = [one for one in sent[:MOST_COPIES] if one.recipient in case.settings.shelves]
    return _standing(case, known)


def _standing(case: Case, exchanges: list[Exchange]) -> list[Exchange]:
    """Those on which the recipient still works."""
    tasks = at_once(lambda one: case.loaded.resource(one.recipient, one.recipient_task), exchanges)
    return [
        one
        for one, task in zip(exchanges, tasks, strict=True)
        if task and task.stands and task.resource["status"] in OPEN
    ]


def _joined(case: Case, changed: list[Put], stood: list[tuple[Put, Stored]]) -> list[Correction]:
    """
    The records that were sent, and in whose place one stands, or stood, that is changed: it follows as theirs.

    One that is deleted is as it was sent.
    """
    shelf = case.shelf.key
    names = list({one: None for found in _in_place_of(case, changed, stood) for one in found})
    case.loaded.expect(shelf, names)
    stands = [(name, one) for name in names if (one := case.loaded.resource(shelf, name))]
    sent = at_once(lambda pair: _sent(case, pair[0]), stands)
    theirs = [
        (name, one, exchange)
        for (name, one), exchanges in zip(stands, sent, strict=True)
        for exchange in exchanges
        if exchange.person == name
    ]
    said = at_once(lambda each: case.find(each[0]) or identity.sent(case, each[2], each[0]), theirs)
    return [
        Correction(case, exchange, Put(shelf, record, one.version), one)
        for (_, one, exchange), record in zip(theirs, said, strict=True)
        if record
    ]


def _in_place_of(
    case: Case, changed: list[Put], stood: list[tuple[Put, Stored]]
) -> list[list[str]]:
    """The records in whose place each of these stands, or has stood until now by its own word."""
    people = [one for one in changed if one.resource["resourceType"] == "Patient"]
    return [
        *at_once(lambda one: patients.replaced(case, fhir.name(one.resource)), people),
        *(patients.replacing(stored.resource) for stored in _unlinked(stood)),
    ]


def _parted(case: Case, stood: list[tuple[Put, Stored]]) -> list[Correction]:
    """
    The facts that were sent as this person's, and stand on a record that is theirs no more.

    Two records were taken for one child; they are two, and what was told of the one was the other's. That one
    is gone does not say so.
    """
    changed = {fhir.name(one.resource) for one, _ in stood}
    parted = _unlinked([one for one in stood if one[0].method != "DELETE"])
    each = at_once(lambda stored: _lost(case, fhir.name(stored.resource), changed), parted)
    return [one for found in each for one in found]


def _unlinked(stood: list[tuple[Put, Stored]]) -> list[Stored]:
    """The records of persons whose links have changed, as they stood before."""
    return [
        stored
        for one, stored in stood
        if one.resource["resourceType"] == "Patient"
        and stored.stands
        and one.resource.get("link") != stored.resource.get("link")
    ]


def _lost(case: Case, record: str, changed: set[str]) -> list[Correction]:
    """The same of one record (Type/id) whose links have changed, but for what is changed beside it."""
    # as it stands itself, and as one that only another's link leads to
    behind = case.loaded.found(case.shelf.key, f"Patient?link={record}")
    linked = at_once(lambda name: _linked(case, name), [record, *behind])
    before = list(dict.fromkeys(name for one in linked for name in one))
    sent = at_once(lambda name: _sent(case, name), before)
    found = []
    for exchange in {one.id: one for each in sent for one in each}.values():
        lost = set(before) - set(patients.records(case, exchange.person))
        shelf, names = case.shelf.key, [one for one in exchange.copies if one not in changed]
        case.loaded.expect(shelf, names)
        facts = [case.loaded.resource(shelf, one) for one in names]
        found += [
            Correction(case, exchange, Put(shelf, fact.resource, fact.version), fact)
            for fact in facts
            if fact and fact.stands and person(fact.resource) in lost
        ]
    return found


def _linked(case: Case, name: str) -> list[str]:
    """The records that were one person with this one before the change, itself first."""
    found = [name]
    for one in found:
        stored = case.loaded.resource(case.shelf.key, one)
        found += patients.further(stored.resource if stored else {}, found)
    return found
