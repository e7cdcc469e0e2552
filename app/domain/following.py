"""One change of what was sent, and one exchange whose recipient has a copy of it: the copy follows, by its rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from app import fhir
from app.domain import (
    conformity,
    consents,
    disclosed,
    disclosure,
    graph,
    identity,
    making,
    parties,
    patients,
    progress,
    whose,
    withdrawal,
)
from app.domain.case import Case
from app.domain.disclosure import Rule
from app.domain.feedback import owed
from app.domain.graph import About
from app.domain.plan import (
    Accounted,
    Answer,
    Exchange,
    Plan,
    Purge,
    Put,
    Stored,
    put,
    together,
)
from app.errors import Conflict, Invalid, Issue
from app.fhir import Resource


def is_untouched(exchange: Exchange) -> bool:
    """Whether it was cancelled before anybody at the agency had answered, and stands there still."""
    alone = exchange.sequence <= 1 and exchange.terms.silent
    return exchange.state == "cancelled" and alone and withdrawal.is_undone(exchange)


def person(resource: Resource) -> str:
    """Type/id of whom a resource says that it is about, "" where it names no record."""
    return fhir.target(fhir.about(resource))


def _practitioner(role: Resource) -> Resource:
    who: Resource = role.get("practitioner") or {}
    return who


@dataclass(frozen=True, slots=True)
class Correction:
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
        copy = self.exchange.copies.get(self.name)
        there = self.case.loaded.resource(self.exchange.recipient, copy) if copy else None
        there = there if there and there.stands else None
        if self._withdraws():
            return self._taken_back(there)
        if there is None or is_untouched(self.exchange) or self._recipient_left:
            return _NOTHING  # where it has ended, what its consent lets out is no matter any more
        if self.put.method == "DELETE":
            return _NOTHING  # that a record is gone does not say that it was wrong
        return self._copied(there)

    @property
    def name(self) -> str:
        return fhir.name(self.put.resource)

    @property
    def _recipient_left(self) -> bool:
        """Whether who has the copy takes no part any more; what is withdrawn is taken back all the same."""
        return self.exchange.recipient not in self.case.settings.shelves

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
        if self._recipient_left:
            return False
        return progress.consent(self.case, self.exchange, consent) >= consents.WHOLE

    def _taken_back(self, there: Stored | None) -> Plan:
        """
        Nobody works on, and the agency's copy says that the consent stands no more.

        Where nobody there has said a word yet, nothing of the family is left there.
        """
        if is_untouched(self.exchange):
            return withdrawal.emptied(self.case, self.exchange)
        unanswered = self.exchange.state == "submitted" and self.exchange.terms.silent
        try:
            made = withdrawal.plan(self.case, self.exchange, wholly=unanswered)
        except Conflict:  # the agency has done its part
            made = _NOTHING
            if there is None:
                return made
        else:
            text = "This consent does not cover its referral any more, which is taken back."
            note = Issue("information", "informational", text, self._kind)
            made = replace(made, answer=Answer((), issues=(note,)))
            if unanswered or there is None:
                return made
        status = self.put.resource.get("status")
        ended = {**there.resource, "status": status if status in consents.WITHDRAWN else "inactive"}
        puts = self._puts(ended, there)
        due = owed(self.case, self.exchange.recipient, self.exchange, puts)
        told = disclosed.taken_back(self.case, self.exchange, puts)
        return together([made, Plan(Answer(()), puts, owed=due, accounted=told)], made.answer)

    def _copied(self, there: Stored) -> Plan:
        """The copy made anew, as the rule shows it; what cannot go stays as it was, and that is said."""
        case, exchange, about = self.case, self.exchange, self._about()
        rule = self._rule()
        if rule is None:
            return self._stays("The consent does not cover it any more.")
        resource = self.put.resource
        if self._is_own:
            resource = patients.whole(case, resource)
        if fhir.in_error(resource):
            copy = _as_error(there.resource)
        elif self._is_rewritten():
            return self._restored(there, rule, about)
        elif _is_anothers(resource, about):
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
        row = self._row(rule, about, puts)
        due = owed(case, exchange.recipient, exchange, puts)
        note = Issue("information", "informational", "The agency's copy follows.", self._kind)
        # whoever gives the record to another at this moment is not passed by
        told = fhir.about(resource) and not fhir.in_error(resource)
        person = self.exchange.person if told else ""
        theirs = (("resource", exchange.source, person),) if person not in {"", self.name} else ()
        stands = (*theirs, *progress.agreed(exchange))
        return Plan(Answer((), issues=(note,)), puts, owed=due, accounted=(row,), stands=stands)

    @property
    def whose(self) -> str:
        """Type/id of the record that says of whom this is: of a clinician their own."""
        if self._kind == "PractitionerRole":
            return fhir.target(_practitioner(self.put.resource)) or self.name
        return self.name if self._kind == "Practitioner" else self.exchange.person

    def is_between(self) -> bool:
        """Whether what stands was written while the record was another's, whose it is no more."""
        was = whose.was_anothers(self.case, self.exchange, self.put.resource)
        return was and not self._is_rewritten()

    def _is_rewritten(self) -> bool:
        """Whether whom it is of is somebody else now than when it was sent: the child, or a clinician."""
        if self._kind == "PractitionerRole":
            return self._is_anothers_role()
        before, now = self._sent(self.whose), self.put.resource
        if before is None:
            return False
        if self._kind == "Practitioner":
            return identity.is_another_clinician(before, now)
        if self._is_own:
            instead = patients.survivor(self.case, self.name)
            return any(identity.is_another(before, one) for one in (now, instead) if one)
        if not fhir.about(now):
            return False
        names = {self.exchange.person, *({person(now)} & self._about().records)}
        return any(self._tells_of_another(before, one) for one in sorted(names))

    def _tells_of_another(self, before: Resource, name: str) -> bool:
        """Whether a record (Type/id) tells of somebody else; one that is deleted, as it stood last."""
        record = self.case.find(name)
        if record is None and whose.is_lost(self.case, self.exchange, name):
            return True
        at = self.put.resource["meta"]["lastUpdated"]
        record = record or self.case.loaded.past(self.put.shelf, name, at)
        return record is not None and identity.is_another(before, record)

    @property
    def _is_own(self) -> bool:
        """Whether this is the record of the one whom it was sent of."""
        return self.name == self.exchange.person

    def _is_anothers_role(self) -> bool:
        """A role is another's where it names another, or where the one whom it names is another."""
        before, who = self._sent(self.name), _practitioner(self.put.resource)
        was = _practitioner(before) if before else {}
        name = fhir.target(who)
        if name != fhir.target(was):
            return bool(name and was.get("reference"))
        stands = fhir.is_relative(name)
        now, known = (self.case.find(name), self._sent(name)) if stands else (None, None)
        if now and known:
            return identity.is_another_clinician(known, now)
        return identity.is_another_name(str(was.get("display", "")), str(who.get("display", "")))

    def _sent(self, name: str) -> Resource | None:
        return identity.sent(self.case, self.exchange, name)

    def _restored(self, there: Stored, rule: Rule, about: About) -> Plan:
        """
        The agency's copy stays; where the record was rewritten piece by piece, and the copy followed it up to
        where that could be seen, it is as it was sent, and so is its past.
        """
        stays, before = self._stays(ANOTHER), self._sent(self.exchange.person)
        now, told = self.put.resource, there.resource
        if not self._is_own or before is None:
            return stays
        if identity.is_doubtful(now, told) or not identity.is_doubtful(before, told):
            return stays
        puts = self._puts(self._trimmed(before, rule, about), there)
        shelf, name = self.exchange.recipient, fhir.name(told)
        purges = (Purge(shelf, name, self.exchange.id, "amended"),)
        due = owed(self.case, shelf, self.exchange, puts)
        return Plan(
            stays.answer, puts, owed=due, accounted=(self._row(rule, about, puts),), purges=purges
        )

    @property
    def _kind(self) -> str:
        return str(self.put.resource["resourceType"])

    def _row(self, rule: Rule, about: About, puts: tuple[Put, ...]) -> Accounted:
        exchange = self.exchange
        return disclosed.row(
            self.case, exchange.id, rule, source=exchange.source, recipient=exchange.recipient,
            subject=about.subject, puts=puts,
        )  # fmt: skip

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
        agreed = progress.consent(self.case, self.exchange, given) if given else set()
        facts = stands | agreed
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
        """Of whom it was sent; by the record, too, that this names, and that has, and had, a number of theirs."""
        subject, named = self.exchange.person, person(self.put.resource)
        about = patients.about(self.case, subject, consent=self.exchange.consent)
        if not fhir.is_relative(named) or named in about.records:
            return about
        before, record = self._sent(subject), self.case.find(named)
        if not before or not record or not identity.has_a_number_of(before, record):
            return about
        shelf, at = self.put.shelf, self.put.resource["meta"]["lastUpdated"]
        then = self.case.loaded.past(shelf, named, at)
        known = self.case.loaded.expunged(shelf, named) < at
        if not known or (then and not identity.has_a_number_of(before, then)):
            return about
        return About(subject, about.numbers, about.consent, about.records | {named})

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
            place=lambda name: self.exchange.copies[name].split("/", 1)[1],
        )
        return made.resources[0]


_NOTHING: Final = Plan(Answer(()))
ANOTHER: Final = "This record tells of another person now, and the agency has it of the one before."


def _is_anothers(resource: Resource, about: About) -> bool:
    """Whether it says of whom it is, by record or by number, and that is somebody else."""
    said = fhir.about(resource)
    tells = bool(person(resource) or fhir.numbers(said.get("identifier")))
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
