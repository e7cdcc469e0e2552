"""What a sender corrects of what it sent: the copies on open exchanges follow, by the same rules."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from msgspec.structs import replace

from app import fhir
from app.domain import holders, merged, patients, renewal, retold, turns, unfollowed
from app.domain.case import Case, at_once
from app.domain.change import Entry
from app.domain.following import ANOTHER, Correction, person
from app.domain.loaded import MOST_COPIES
from app.domain.plan import Answer, Exchange, Following, Plan, Put, Stored, together
from app.errors import Issue

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
    if refused := renewal.refused(case, made):
        made = _with(made, refused)
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
    sent = at_once(lambda pair: holders.sent(case, fhir.name(pair[0].resource)), stood)
    each = [
        Correction(case, exchange, one, stored)
        for (one, stored), exchanges in zip(stood, sent, strict=True)
        for exchange in exchanges
        if exchange.id not in opened
    ]
    each += [one for one in merged.parted(case, stood) if one.exchange.id not in opened]
    each += [one for one in merged.joined(case, changed, stood) if one.exchange.id not in opened]
    once = {(one.exchange.id, one.name): one for one in each}  # both halves of a link were changed
    plans = [
        *at_once(_corrected, once.values()),
        *_renamed(case, stood),
        *renewal.caught_up(case, stood, {step.id for step in made.exchanges}),
        *_caught_up(case, stood, {step.id for step in made.exchanges}),
        *_others(case, stood, changed),
        *merged.told(case, stood),
    ]
    return renewal.in_turn(case, stood, _with(made, plans))


def _corrected(one: Correction) -> Plan:
    """The copy as its original is to stand; that it is another person's now is told where somebody looks."""
    made, case = one.plan(), one.case
    if not any(issue.text.endswith(ANOTHER) for issue in made.answer.issues):
        return made
    return together([unfollowed.told(case, one.exchange, one.whose, ANOTHER), made], made.answer)


def again(case: Case) -> Plan:
    """
    The copies of one exchange that are to be brought up to date, as what they are copies of now stands.

    Those that are due since it was sent are looked at only where something was written at about that moment:
    a write has the time at which it began, and may be on the disk after one that began later.
    """
    named, due = case.change.said
    exchange = case.loaded.opened(case.shelf.key, named)
    nothing = Plan(Answer(()))
    if exchange is None or not holders.working(case, [exchange]):
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
    return together(_as_it_stands(case, exchange, found), nothing.answer)


def _caught_up(case: Case, stood: list[tuple[Put, Stored]], passed: set[str]) -> list[Plan]:
    """What was corrected while a consent had run out follows, now that the family has renewed it."""
    shelf, written = case.shelf.key, {fhir.name(one.resource) for one, _ in stood}
    plans = []
    for exchange in holders.working(case, renewal.renewed(case, stood, passed)):
        names = [
            name
            for name in exchange.copies
            if name.partition("/")[0] in _FOLLOW and name not in written
        ]
        case.loaded.expect(shelf, names)
        found = {name: case.loaded.resource(shelf, name) for name in names}
        stands = {name: one for name, one in found.items() if one and one.stands}
        plans += _as_it_stands(case, exchange, stands)
    return plans


def _as_it_stands(case: Case, exchange: Exchange, found: dict[str, Stored]) -> list[Plan]:
    """The copies of one exchange as their originals (by name) stand, of whom it was sent of."""
    if exchange.person in found:
        found = {**_strayed(case, exchange), **found}
    corrections = [
        Correction(case, exchange, Put(case.shelf.key, stored.resource, stored.version), stored)
        for stored in found.values()
    ]
    between = at_once(Correction.is_between, corrections)
    corrections = [one for one, was in zip(corrections, between, strict=True) if not was]
    return at_once(_of_what_stands, corrections)


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
        return unfollowed.told(one.case, one.exchange, one.whose if another else one.name, stays[0])
    own = ("resource", one.put.shelf, one.name)
    return replace(made, stands=(own, *made.stands)) if made.puts else made


def _others(case: Case, stood: list[tuple[Put, Stored]], changed: list[Put]) -> list[Plan]:
    """What more was sent to than can follow at once follows by and by."""
    names = [
        fhir.name(one.resource) for one, _ in stood if one.resource["resourceType"] != "Consent"
    ]
    linked = at_once(
        lambda stored: merged.linked(case, fhir.name(stored.resource)), merged.unlinked(stood)
    )
    linked += merged.in_place_of(case, changed, stood)
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
