"""What a sender corrects of what it sent: the copies on open referrals follow, by the same rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from msgspec.structs import replace

from app import fhir
from app.domain import (
    condition,
    conformity,
    consents,
    disclosed,
    disclosure,
    graph,
    making,
    parties,
    patients,
    progress,
    retold,
    withdrawal,
)
from app.domain.case import Case, at_once
from app.domain.disclosure import Rule
from app.domain.feedback import owed
from app.domain.graph import About
from app.domain.loaded import Want
from app.domain.plan import Answer, Exchange, Plan, Put, Stored, put, tracking
from app.errors import Conflict, Invalid, Issue
from app.fhir import Resource

# What says something of the person. A request is taken back or stands as it was sent, and who works
# at the clinic is known to any number of referrals; neither follows.
_FOLLOW: Final = frozenset({
    "Condition", "Consent", "DiagnosticReport", "DocumentReference", "Media", "Observation", "Patient",
    "RelatedPerson",
})  # fmt: skip
_MOST: Final = 64  # a write reads so often; whoever has more referrals than that has old ones
_OPEN: Final = ("accepted", "in-progress", "on-hold", "received", "requested")
_TRACKING: Final = tracking("")["system"]


def followed(case: Case, made: Plan) -> Plan:
    """
    The plan, with what its changes on the sender's shelf mean to those who were sent what it changes.

    A consent that is withdrawn, or changed so that it covers its referral no more, takes it back; anything
    else is copied anew where the rule still lets it out. What the agency was not sent stays so.
    """
    if case.shelf.role != "source":
        for plan in retold.followed(case, made):
            made = _more(made, plan)
        return made
    moved = {step.id for step in made.exchanges}
    changed = at_once(
        lambda one: (one, case.loaded.resource(case.shelf.key, fhir.name(one.resource))),
        [
            one
            for one in made.puts
            if one.shelf == case.shelf.key and one.expected and _follows(one)
        ],
    )
    stood = [(one, stored) for one, stored in changed if stored and stored.stands]
    under_way = at_once(lambda pair: _under_way(case, pair[1].resource), stood)
    each = [
        _Correction(case, exchange, one, stored)
        for (one, stored), exchanges in zip(stood, under_way, strict=True)
        for exchange in exchanges
        if exchange.id not in moved
    ]
    each += [one for one in _parted(case, stood) if one.exchange.id not in moved]
    once = {(one.exchange.id, one.name): one for one in each}  # both halves of a link were changed
    for plan in at_once(_Correction.plan, once.values()):
        made = _more(made, plan)
    return replace(made, absent=(*made.absent, *_in_turn(case, stood)))


def _in_turn(case: Case, stood: list[tuple[Put, Stored]]) -> list[tuple[str, str]]:
    """Nothing was sent under a consent, at this moment, that its change has not seen."""
    shelf, found = case.shelf.key, []
    for one, stored in stood:
        if one.resource["resourceType"] == "Consent":
            found.append(consents.turn(shelf, fhir.name(one.resource)))
            for person in _people(case, stored.resource):
                tasks = _tasks(case, person)
                if len(tasks) < _MOST:
                    found.append((shelf, _asked(person, _numbers(case, tasks))))
    return found


def _follows(one: Put) -> bool:
    return one.resource["resourceType"] in _FOLLOW


def _more(plan: Plan, other: Plan) -> Plan:
    return replace(
        plan,
        answer=replace(plan.answer, issues=(*plan.answer.issues, *other.answer.issues)),
        puts=(*plan.puts, *other.puts),
        exchanges=(*plan.exchanges, *other.exchanges),
        owed=(*plan.owed, *other.owed),
        accounted=(*plan.accounted, *other.accounted),
        purges=(*plan.purges, *other.purges),
    )


def _under_way(case: Case, resource: Resource) -> list[Exchange]:
    """The open referrals of the person that a resource is about, whose recipient has a copy of it."""
    name = fhir.name(resource)
    people = [name] if name.startswith("Patient/") else _people(case, resource)
    records = [record for one in people for record in patients.records(case, one)]
    return [one for one in _referrals(case, records) if name in one.copies]


def _referrals(case: Case, records: list[str]) -> list[Exchange]:
    """The open referrals and reports of whom these records (Type/id) are."""
    shelf = case.shelf.key
    tasks = [task for found in at_once(lambda one: _tasks(case, one), records) for task in found]
    case.loaded.announce({Want("exchange", shelf, one) for one in tasks})
    sent = [one for task in tasks if (one := case.loaded.exchange(shelf, task))]
    sent = [one for one in sent if one.source == shelf and one.recipient in case.settings.shelves]
    case.loaded.announce({Want("resource", one.recipient, one.recipient_task) for one in sent})
    return [one for one in sent if _is_open(case, one) or _is_untouched(one)]


def _parted(case: Case, stood: list[tuple[Put, Stored]]) -> list[_Correction]:
    """
    The facts that were sent as this person's, and stand on a record that is theirs no more.

    Two records were taken for one child; they are two, and what was told of the one was the other's.
    """
    changed = {fhir.name(one.resource) for one, _ in stood}
    parted = [
        (one, stored)
        for one, stored in stood
        if fhir.name(stored.resource).startswith("Patient/")
        and one.resource.get("link") != stored.resource.get("link")
    ]
    found = []
    for _, stored in parted:
        before = _linked(case, fhir.name(stored.resource))
        for exchange in _referrals(case, before):
            lost = set(before) - set(patients.records(case, exchange.person))
            shelf, names = case.shelf.key, [one for one in exchange.copies if one not in changed]
            case.loaded.expect(shelf, names)
            facts = [(one, case.loaded.resource(shelf, one)) for one in names]
            found += [
                _Correction(case, exchange, Put(shelf, fact.resource, fact.version), fact)
                for _, fact in facts
                if fact and fact.stands and _person(fact.resource) in lost
            ]
    return found


def _linked(case: Case, name: str) -> list[str]:
    """The records that were one person with this one before the change, itself first."""
    found = [name]
    for one in found:
        stored = case.loaded.resource(case.shelf.key, one)
        found += patients.further(stored.resource if stored else {}, found)
    return found


def _is_open(case: Case, exchange: Exchange) -> bool:
    theirs = case.loaded.resource(exchange.recipient, exchange.recipient_task)
    return theirs is not None and theirs.stands and theirs.resource["status"] in _OPEN


def _is_untouched(exchange: Exchange) -> bool:
    """Whether it was cancelled before anybody at the agency had answered, and stands there still."""
    alone = exchange.sequence <= 1 and not exchange.terms.talk
    return exchange.state == "cancelled" and alone and withdrawal.is_undone(exchange)


def _person(resource: Resource) -> str:
    """Type/id of whom a resource says that it is about, "" where it names no record."""
    return fhir.versionless(str(_about(resource).get("reference", "")))


def _people(case: Case, resource: Resource) -> list[str]:
    """Whom a resource is about, as records (Type/id): the one that it names, or those of its number."""
    if person := _person(resource):
        return [person]
    numbers = fhir.numbers(_about(resource).get("identifier"))
    asked = [condition.identifier("Patient", *one.split("|", 1)) for one in sorted(numbers)]
    return [one for each in asked for one in case.loaded.meeting(case.shelf.key, each)]


def _about(resource: Resource) -> Resource:
    about: Resource = resource.get("subject") or resource.get("patient") or {}
    return about


def _tasks(case: Case, person: str) -> list[str]:
    """
    The sender's Tasks of a person, found by their index, the newest first; no more than _MOST.

    A search of a planner answers two: those that were found are left out of the next.
    """
    found: list[str] = []
    while len(found) < _MOST:
        more = case.loaded.meeting(case.shelf.key, _asked(person, _numbers(case, found)))
        new = [one for one in more if one not in found]
        found += new
        if len(more) < 2 or not new:
            break
    return found


def _asked(person: str, but: list[str]) -> str:
    """The search for the sent Tasks of a person, but for those of these numbers (system|value)."""
    asked = {"patient": person, "identifier": f"{_TRACKING}|"}
    return f"Task?{urlencode({**asked, **({'identifier:not': ','.join(but)} if but else {})})}"


def _numbers(case: Case, tasks: list[str]) -> list[str]:
    """The exchanges' numbers (system|value) that these Tasks carry."""
    case.loaded.expect(case.shelf.key, tasks)
    carried = [fhir.numbers((case.find(one) or {}).get("identifier")) for one in tasks]
    return [one for each in carried for one in sorted(each) if one.startswith(f"{_TRACKING}|")]


@dataclass(frozen=True, slots=True)
class _Correction:
    """
    One change, and one referral whose recipient has a copy of what it changes.

    put         the change, on the sender's shelf
    stored      what stood there before
    """

    case: Case
    exchange: Exchange
    put: Put
    stored: Stored

    def plan(self) -> Plan:
        there = self.case.loaded.resource(self.exchange.recipient, self._copy)
        if there is None or not there.stands:
            return _NOTHING
        if self._withdraws():
            return self._taken_back(there)
        if _is_untouched(self.exchange):
            return _NOTHING  # it has ended; what its consent lets out is no matter any more
        if self.put.method == "DELETE":
            return _NOTHING  # that a record is gone does not say that it was wrong
        return self._copied(there)

    @property
    def name(self) -> str:
        return fhir.name(self.put.resource)

    @property
    def _copy(self) -> str:
        return self.exchange.copies[self.name]

    def _withdraws(self) -> bool:
        """
        Whether it is the consent under which this was sent, which stands no more.

        One that has run out covers nothing either, and nobody has withdrawn it.
        """
        if self.name != self.exchange.consent:
            return False
        given = self.put.resource
        if self.put.method == "DELETE" or consents.withdrawn(given):
            return True
        return self._covers(self.stored.resource) and not self._covers(given)

    def _covers(self, consent: Resource) -> bool:
        """Whether this consent would let the referral out now: of this person, to this agency."""
        return progress.consent(self.case, self.exchange, consent) >= consents.WHOLE

    def _taken_back(self, there: Stored) -> Plan:
        """
        Nobody works on, and the agency's copy says that the consent stands no more.

        Where nobody there has said a word yet, nothing of the family is left there.
        """
        if _is_untouched(self.exchange):
            return withdrawal.emptied(self.case, self.exchange)
        unanswered = self.exchange.state == "submitted" and not self.exchange.terms.talk
        try:
            made = withdrawal.plan(self.case, self.exchange, wholly=unanswered)
        except Conflict:  # the agency has done its part
            made = _NOTHING
        else:
            text = "This consent does not cover its referral any more, which is taken back."
            note = Issue("information", "informational", text, self._kind)
            made = replace(made, answer=Answer((), issues=(note,)))
            if unanswered:
                return made
        status = self.put.resource.get("status")
        ended = {**there.resource, "status": status if status in consents.WITHDRAWN else "inactive"}
        puts = self._puts(ended, there)
        due = owed(self.case, self.exchange.recipient, self.exchange, puts)
        return _more(made, Plan(Answer(()), puts, owed=due))

    def _copied(self, there: Stored) -> Plan:
        """The copy made anew, as the rule shows it; what cannot go stays as it was, and that is said."""
        case, exchange, about = self.case, self.exchange, self._about()
        rule = self._rule()
        if rule is None:
            return self._stays("The consent does not cover it any more.")
        resource = self.put.resource
        if fhir.in_error(resource) or _is_anothers(resource, about):
            copy = _as_error(there.resource)
        elif not graph.goes(resource, rule, about, self._find):
            return self._stays("The disclosure rule does not send it.")
        else:
            try:
                copy = self._trimmed(resource, rule, about)
            except Invalid:
                return self._stays("What changes the meaning of the rest is not sent on.")
        puts = self._puts(copy, there) if copy else ()
        if not puts:
            return _NOTHING
        if exchange.kind != "cps-report" and conformity.new_faults(case, puts[0]):
            return self._stays("It does not conform to the profile that it would need to leave.")
        row = disclosed.row(
            case, exchange.id, rule, source=exchange.source, recipient=exchange.recipient,
            subject=about.subject, puts=puts,
        )  # fmt: skip
        due = owed(case, exchange.recipient, exchange, puts)
        note = Issue("information", "informational", "The agency's copy follows.", self._kind)
        return Plan(Answer((), issues=(note,)), puts, owed=due, accounted=(row,))

    @property
    def _kind(self) -> str:
        return str(self.put.resource["resourceType"])

    def _stays(self, why: str) -> Plan:
        text = f"The agency's copy of this stays as it was. {why}"
        return Plan(Answer((), issues=(Issue("warning", "suppressed", text, self._kind),)))

    def _puts(self, copy: Resource, there: Stored) -> tuple[Put, ...]:
        made = put(copy, there, shelf=self.exchange.recipient, now=self.case.now)
        return tuple(replace(one, origin=self.name) for one in made)

    def _rule(self) -> Rule | None:
        """The rule by which it was sent, decided anew by what may have changed: the consent."""
        stands = disclosure.done(mandated=self.exchange.terms.mandated)
        given = self.case.find(self.exchange.consent) if self.exchange.consent else None
        facts = stands | progress.consent(self.case, self.exchange, given)
        decision = disclosure.decide(
            self.case.mappings.rules, kind=self.exchange.kind, direction="outward", facts=facts
        )
        if decision.rule is None or not decision.permitted:
            return None
        copy = self.exchange.copies.get(self.exchange.source_request, "")
        sent = self.case.loaded.resource(self.exchange.recipient, copy) if copy else None
        asked = self.case.mappings.asked(decision.rule, self.exchange.terms.jurisdiction)
        return asked.obeying(sent.resource if sent else {})

    def _about(self) -> About:
        subject = self.exchange.person
        return patients.about(self.case, subject, consent=self.exchange.consent)

    def _find(self, name: str) -> Resource | None:
        """Of what stands on the sender's shelf what this agency was sent."""
        return self.case.find(name) if name in self.exchange.copies else None

    def _trimmed(self, resource: Resource, rule: Rule, about: About) -> Resource:
        """A copy of this alone; what it newly points to is a new fact, and a human's to send."""
        if self.name == self.exchange.consent:
            tenant = self.case.settings.tenant(
                self.case.settings.shelves[self.exchange.recipient].tenant
            )
            resource = consents.addressed(
                resource, lambda actor: parties.recipient(self.case, actor).tenant is tenant
            )
        known = {one: copy for one, copy in self.exchange.copies.items() if one != self.name}
        made = graph.copies(
            [resource],
            rule.model_copy(update={"follows": ()}),
            self._find,
            about=about,
            known=known,
            place=lambda _: self._copy.split("/", 1)[1],
        )
        return made.resources[0]


_NOTHING: Final = Plan(Answer(()))


def _is_anothers(resource: Resource, about: About) -> bool:
    """Whether it says of whom it is, by record or by number, and that is somebody else."""
    said = _about(resource)
    tells = bool(_person(resource) or fhir.numbers(said.get("identifier")))
    return tells and not about.means(said)


def _as_error(copy: Resource) -> Resource | None:
    """A copy that says that it was sent in error; None where its type cannot say so."""
    kind = copy["resourceType"]
    if kind == "Condition":
        kept = {name: value for name, value in copy.items() if name != "clinicalStatus"}
        return {**kept, "verificationStatus": making.ENTERED_IN_ERROR}
    if kind == "RelatedPerson":
        return {**copy, "active": False}
    return {**copy, "status": "entered-in-error"} if "status" in copy else None
