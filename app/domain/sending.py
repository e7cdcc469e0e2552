"""A disclosure that was decided, as the plan that carries it out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from app import fhir
from app.domain import (
    again,
    behind,
    consents,
    contained,
    derived,
    disclosed,
    graph,
    inbox,
    parties,
    patients,
    permission,
    reminder,
    report,
    unsent,
)
from app.domain.case import Case, guarded
from app.domain.change import Entry
from app.domain.disclosure import Find, Rule
from app.domain.graph import About, Copies
from app.domain.loaded import Moved
from app.domain.plan import Answer, Exchange, Owed, Plan, Put, Terms, put, tracking
from app.errors import Conflict, Invalid, Issue
from app.fhir import Resource, listed
from app.settings import BY_EXCHANGE, BY_TENANT, CANONICAL, Shelf, Tenant

_FACT: Final = f"{CANONICAL}/CodeSystem/cps-observation"
_ALLEGATION: Final = f"{CANONICAL}/CodeSystem/cps-allegation"
# ICD-10-CM is left out on purpose: a diagnosis is a clinician's to set
_AGENCIES: Final = (
    f"{CANONICAL}/CodeSystem/ncands-maltreatment-type",
    f"{CANONICAL}/CodeSystem/niem-allegation-category",
)
_ALONG: Final = frozenset({"PractitionerRole", "RelatedPerson"})


@dataclass(frozen=True, slots=True)
class Sending:
    """
    A disclosure that was decided, and the one transaction that it is.

    consent     Type/id, "" for a report
    only        names on the sender's shelf beyond which nothing goes, where it was sent before; else empty
    labels      what of it is known by, whose name on the sender's shelf is chance; derived.labels
    override    the rule that stops softly, fails, and was overridden with a typed reason
    """

    case: Case
    sent: Entry
    task: Resource
    request: Resource
    attestation: Resource | None
    consent: str
    tenant: Tenant
    shelf: Shelf
    rule: Rule
    override: str = ""
    only: frozenset[str] = frozenset()
    labels: dict[str, str] = field(default_factory=dict)

    def plan(self) -> Plan:
        """The sender's resources, the copies, the exchange, what is owed and what is accounted."""
        copies, shelf = self._copies(), self.case.shelf.key
        own, theirs, opened = self._own(), self._theirs(copies), self._opened(copies)
        written = {fhir.name(one.resource) for one in own}
        agreed = (self.consent,) if self._agreed else ()
        # what goes unwritten, the consent too, is not withdrawn or expunged at this very moment
        unwritten = dict.fromkeys(one for one in (*opened.copies, *agreed) if one not in written)
        told = disclosed.row(
            self.case, self.exchange, self.rule, source=shelf, recipient=self.shelf.key,
            subject=str(self.request["subject"]["reference"]), puts=theirs,
            requester=contained.alone(self.request)["requester"],
        )  # fmt: skip
        return Plan(
            Answer(
                (fhir.name(self.task), fhir.name(self.request)),
                frozenset(fhir.name(one.resource) for one in own if one.expected == 0),
                (*_left(copies.left), *self._unsaid()),
            ),
            puts=(
                *own,
                *theirs,
                *self._done(),
                *self._inboxes(),
                *self._reminders,
                *self._unsent(),
            ),
            receipts=(
                self.case.receipt(self.sent, fhir.name(self.task)),
                again.whole(self.case, fhir.name(self.task)),
            ),
            exchanges=(opened,),
            owed=(*self._owed(own, theirs), *unsent.owed(self.case, self._unsent())),
            accounted=(told,),
            absent=tuple(consents.turn(shelf, one) for one in agreed),
            stands=(
                *(("resource", shelf, one) for one in unwritten),
                *(permission.heard(self.case, self.request) if self.consent else ()),
            ),
        )

    @property
    def _agreed(self) -> bool:
        """Whether it goes under a consent that stood before."""
        return bool(self.consent and self.case.loaded.resource(self.case.shelf.key, self.consent))

    @property
    def exchange(self) -> str:
        """The id of the exchange, which the Task carries."""
        numbers = self.task["identifier"]
        found = [one["value"] for one in numbers if one.get("system") == BY_EXCHANGE]
        return str(found[-1])

    def _entries(self) -> tuple[Entry, ...]:
        """What came in, with the Task as it is sent."""
        name = fhir.name(self.task)
        others = [one for one in self.case.entries if fhir.name(one.resource) != name]
        return (*others, Entry("PUT", self.task, self.task["id"]))

    def _copies(self) -> Copies:
        place = graph.placed(
            self.case.key,
            recipient=self.shelf.key,
            exchange=self.exchange,
            source=self.case.shelf.key,
        )
        find = self._find()
        starts = [self._ordered(), self._told()]
        starts += [contained.alone(self.attestation)] if self.attestation else []
        about = patients.about(
            self.case, str(self.request["subject"]["reference"]), consent=self.consent
        )
        starts += self._said(about, find)
        rule = self.case.mappings.asked(self.rule, self.tenant.jurisdiction).obeying(self.request)
        made = graph.copies(
            starts,
            rule,
            find,
            about=about,
            known={},
            place=lambda name: place(derived.label(name, self.labels)),
        )
        if faults := self._missing(made, rule):
            raise Invalid(issues=faults)
        return made

    def _unsaid(self) -> tuple[Issue, ...]:
        """What of the order and its Task is said to the agency, by whoever wrote it, and does not go."""
        return tuple(
            Issue("warning", "suppressed", _UNSAID, f"{kind}.{element}")
            for kind, said in (("Task", self.task), ("ServiceRequest", self.request))
            for element in _SAYS[kind]
            if element in said and element not in self.rule.shows[kind]
        )

    def _missing(self, made: Copies, rule: Rule) -> tuple[Issue, ...]:
        """What has to go and is kept behind: nothing is sent without it, and somebody can mend it."""
        lone = contained.alone(self.request)
        needed = {
            "subject": str(lone["subject"]["reference"]),
            "requester": fhir.literal(lone["requester"]),
            "supportingInfo": self.consent,
        }
        at = [name for name, target in needed.items() if target and target not in made.names]
        labelled = rule.kind == "family-support" and graph.withheld(lone, rule)
        at += ["meta.security"] if labelled else []
        return tuple(
            Issue("error", "suppressed", _KEPT, f"ServiceRequest.{element}") for element in at
        )

    def _find(self) -> Find:
        """What the sender has under a name; of the consent, what concerns this recipient."""
        find = contained.apart(replace(self.case, entries=self._entries()).find)

        def found(name: str) -> Resource | None:
            stands = contained.place(name, find)[0]
            if self.only and stands not in {*self.only, fhir.name(self.task)}:
                return None
            resource = find(name)
            if resource and behind.stays(self.case, resource):
                if self.rule.kind == "cps-report":
                    return None  # it goes without; a referral can wait
                raise Invalid(behind.REFUSED, expression=resource["resourceType"])
            if resource and name == self.consent:
                return consents.addressed(resource, self._is_theirs)
            if resource and "link" in resource and resource["resourceType"] == "Patient":
                return patients.whole(self.case, resource)
            return resource

        return found

    def _is_theirs(self, reference: Resource) -> bool:
        """Whether a reference means the agency that receives."""
        return parties.recipient(self.case, reference).tenant is self.tenant

    def _ordered(self) -> Resource:
        """The request; the agency is named in it, though the clinic's record of it stays, and no other."""
        request = contained.alone(self.request)
        number = {"system": BY_TENANT, "value": self.tenant.id}
        known = {"type": "Organization", "identifier": number, "display": self.tenant.name}
        performers = [
            {**known, **one} for one in listed(request.get("performer")) if self._is_theirs(one)
        ]
        return {**request, "performer": performers or [known]}

    def _told(self) -> Resource:
        """The Task as the request has it: for whom, and who asks, by reference though it contains that one."""
        task, known = contained.alone(self.task), parties.requester(self.case, self.request)
        lone = contained.alone(self.request)["requester"]
        asks = known if parties.is_roleless(self.case, lone) else lone
        return {**task, "for": self.request["subject"], "requester": asks}

    def _said(self, about: About, find: Find) -> list[Resource]:
        """What came with a report and says something of the child, or who else can be asked."""
        if self.case.shelf.kind != "cps-report":
            return []
        came = [contained.alone(one.resource) for one in self.case.entries]
        return [
            one
            for one in (*came, *contained.inside(self.request))
            if (one["resourceType"] in _ALONG or fhir.has_code(one.get("code"), _FACT, ""))
            and graph.goes(one, self.rule, about, find)
        ]

    def _own(self) -> tuple[Put, ...]:
        shelf, entries = self.case.shelf.key, self._entries()
        self.case.loaded.expect(shelf, [fhir.name(one.resource) for one in entries])
        puts: tuple[Put, ...] = ()
        for entry in entries:
            stored = self.case.loaded.resource(shelf, fhir.name(entry.resource))
            mark = self.exchange if entry.resource is self.task else ""
            if mark and stored and stored.exchange == mark:
                raise Moved  # by another process, after this one had looked for it
            if mark and stored and stored.exchange:
                raise Conflict("This Task is sent already.", expression="Task.id")
            if not mark:
                guarded(self.case, entry)
            puts += put(
                entry.resource,
                stored,
                shelf=shelf,
                now=self.case.now,
                exchange=mark,
                method=entry.method,
            )
        return puts

    def _theirs(self, copies: Copies) -> tuple[Put, ...]:
        tracked = [
            {**one, "identifier": [*one["identifier"], tracking(self.exchange)]}
            if one["resourceType"] == "Task"
            else self._translated(one)
            for one in copies.resources
        ]
        origins = {copy: name for name, copy in copies.names.items() if contained.is_inside(name)}
        return tuple(
            replace(made, origin=origins.get(fhir.name(one), ""))
            for one in tracked
            for made in put(
                one, None, shelf=self.shelf.key, now=self.case.now, exchange=self.exchange
            )
        )

    def _translated(self, resource: Resource) -> Resource:
        """The request with the allegation in the codes that agencies' systems hold, beside ours."""
        if resource["resourceType"] != "ServiceRequest" or "reasonCode" not in resource:
            return resource
        reasons = [
            {**reason, "coding": [*listed(reason.get("coding")), *added]}
            if (added := self._elsewhere(reason))
            else reason
            for reason in resource["reasonCode"]
        ]
        return {**resource, "reasonCode": reasons}

    def _elsewhere(self, reason: Resource) -> list[Resource]:
        walks = self.case.mappings.concept_maps
        return [
            {"system": target, "code": code}
            for one in listed(reason.get("coding"))
            if one.get("system") == _ALLEGATION
            for target in _AGENCIES
            if (code := walks.code(_ALLEGATION, target, str(one.get("code"))))
        ]

    def _done(self) -> tuple[Put, ...]:
        if self.case.shelf.kind != "cps-report":
            return ()
        return report.sent_after_all(self.case, self.sent, self.task)

    def _unsent(self) -> tuple[Put, ...]:
        """The draft that was left where it was written before it was sent."""
        return unsent.sent(self.case, self.request, self.task, self.exchange)

    def _opened(self, copies: Copies) -> Exchange:
        return Exchange(
            id=self.exchange,
            kind=self.case.shelf.kind,
            source=self.case.shelf.key,
            source_task=fhir.name(self.task),
            source_request=fhir.name(self.request),
            recipient=self.shelf.key,
            recipient_task=copies.names[fhir.name(self.task)],
            consent=self.consent,
            state="submitted",
            sequence=0,
            opened=fhir.instant(self.case.now),
            copies={a: b for a, b in copies.names.items() if not contained.is_inside(a)},
            terms=self._terms(),
            due=self._due(),
        )

    def _terms(self) -> Terms:
        """What the report says of the one who reports, and who besides follows it."""
        if self.case.shelf.kind != "cps-report":
            return Terms(jurisdiction=self.tenant.jurisdiction)
        draft = f"Task/{report.draft_id(self.case, self.sent)}"
        return Terms(
            jurisdiction=self.tenant.jurisdiction,
            mandated=report.mandated(self.request),
            wanted=report.wanted(self.request),
            override=self.override,
            inboxes={one.shelf: fhir.name(one.resource) for one in self._inboxes()},
            draft=draft if self._done() else "",
        )

    def _due(self) -> float:
        """UNIX seconds until which intake has to acknowledge a report."""
        if self.case.shelf.kind != "cps-report":
            return 0.0
        return (
            self.case.now + self.case.mappings.acknowledged(self.tenant.jurisdiction)
        ).timestamp()

    def _inboxes(self) -> tuple[Put, ...]:
        """The report's Task in the inboxes of those whose they are: the reporter, who treats the child."""
        if self.case.shelf.kind != "cps-report":
            return ()
        request = contained.alone(self.request)
        return inbox.tasks(self.case, exchange=self.exchange, request=request, task=self.task)

    @property
    def _reminders(self) -> tuple[Put, ...]:
        """What the law asks of the reporter beside this report, and what of it stays behind."""
        if self.case.shelf.kind != "cps-report":
            return ()
        place = self.case.mappings.jurisdictions.get(self.tenant.jurisdiction)
        duties = reminder.duties(self.case, self.exchange, self.request, self.task, place)
        return (*duties, *behind.told(self.case, self.exchange, self.request, self.task))

    def _owed(self, own: tuple[Put, ...], theirs: tuple[Put, ...]) -> tuple[Owed, ...]:
        """The copies to the agency's server, the Tasks to the EHR's and the inboxes'; where they have one."""
        task = tuple(one for one in own if one.resource["id"] == self.task["id"])
        task += self._reminders
        shelves = self.case.settings.shelves
        inboxes = [(shelves[one.shelf], (one,)) for one in self._inboxes()]
        return tuple(
            Owed(
                shelf.key,
                self.exchange,
                {fhir.name(one.resource): one.expected + 1 for one in puts},
            )
            for shelf, puts in ((self.shelf, theirs), (self.case.shelf, task), *inboxes)
            if shelf.endpoint and puts
        )


# where somebody says something; the rest is book-keeping
_SAYS: Final = {
    "ServiceRequest": ("note", "orderDetail", "patientInstruction", "reasonCode"),
    "Task": ("description", "input", "note", "reasonCode", "restriction"),
}
_UNSAID: Final = (
    "The agency does not get this: the disclosure rule does not show it. Say it in ServiceRequest.note before"
    " you send, or in a message."
)
_KEPT: Final = (
    "The disclosure rule keeps this behind: by a security label, or since it holds what changes the meaning of"
    " the rest (modifierExtension, implicitRules). Nothing goes without it; mend that record, or call."
)


def _left(paths: tuple[str, ...]) -> tuple[Issue, ...]:
    text = "What this points at stays behind: the disclosure rule does not send it."
    return tuple(Issue("information", "suppressed", text, path) for path in dict.fromkeys(paths))
