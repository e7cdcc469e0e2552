"""The two sides of one referral: what is said on the one is copied to the other, once, and accounted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from msgspec.structs import replace

from app import fhir
from app.domain import disclosed, disclosure, feedback, graph, parties, progress
from app.domain.case import Case
from app.domain.change import Entry
from app.domain.disclosure import Rule
from app.domain.graph import About
from app.domain.plan import Answer, Exchange, Plan, Purge, Receipt, Terms, derive, put, together
from app.domain.steps import OPEN
from app.errors import Conflict, Invalid, Issue
from app.fhir import Resource

# clients that hear no answer try again within seconds to minutes
_AGAIN: Final = timedelta(minutes=10)
_SPOKEN: Final = ("Communication/", "Task/")
_ERROR: Final = "entered-in-error"


@dataclass(frozen=True, slots=True)
class Sides:
    """
    here        the shelf on which it is said
    names       {Type/id here: Type/id there} of what was sent; of what was said since, `other` knows
    """

    exchange: Exchange
    here: str
    there: str
    names: dict[str, str]

    @property
    def outward(self) -> bool:
        """Whether the sender of the referral speaks."""
        return self.here == self.exchange.source

    @property
    def task(self) -> str:
        return self.exchange.source_task if self.outward else self.exchange.recipient_task


def sides(case: Case, exchange: Exchange) -> Sides:
    """
    As seen from the caller's shelf.

    raises      Conflict: it was expunged or taken back, or the other side has left; nobody would hear
    """
    if not exchange.copies:
        raise Conflict("This was expunged or taken back; nothing can be added to it. Call instead.")
    if not {exchange.source, exchange.recipient} <= case.settings.shelves.keys():
        raise Conflict("The other side has left this exchange; nothing reaches it. Call instead.")
    if case.shelf.key == exchange.source:
        return Sides(exchange, exchange.source, exchange.recipient, exchange.copies)
    inward = {theirs: ours for ours, theirs in exchange.copies.items()}
    return Sides(exchange, exchange.recipient, exchange.source, inward)


def other(case: Case, both: Sides, name: str) -> str:
    """
    The name there of a message or question that stands here (Type/id); "" where it is none of this referral.

    The copy of what is said has an id that follows from its name, so that no list of all that was ever said
    is kept.
    """
    stored = case.loaded.resource(both.here, name)
    if stored is None or stored.exchange != both.exchange.id or not name.startswith(_SPOKEN):
        return ""
    copy = _copy(case, both, name, outward=True)
    there = case.loaded.resource(both.there, copy)
    if there and there.exchange == both.exchange.id:
        return copy
    said = case.loaded.held(both.there, both.exchange.id)
    originals = (one for one in said if one.startswith(_SPOKEN))
    return next((one for one in originals if _copy(case, both, one, outward=False) == name), "")


def is_own(case: Case, both: Sides, name: str) -> bool:
    """Whether what stands here under this name (Type/id) was said here."""
    return case.loaded.resource(both.there, _copy(case, both, name, outward=True)) is not None


def taken_back(case: Case, both: Sides, message: Resource) -> Plan:
    """
    Its writer says that a message was an error.

    On a voluntary referral the other side keeps that there was one, and not a word of it; on a report the
    authority keeps what it was told.
    source      45 CFR 164.530(f): what was disclosed by mistake is mitigated
    """
    exchange, copy = both.exchange, _copy(case, both, fhir.name(message), outward=True)
    here, there = (case.loaded.resource(*one) for one in ((both.here, fhir.name(message)), (both.there, copy)))  # fmt: skip
    answer = Answer((fhir.name(message),))
    puts = put({**message, "status": _ERROR}, here, shelf=both.here, now=case.now)
    if there is None or not there.stands:
        return Plan(answer, puts)
    wholly = exchange.kind == "family-support"
    kept = {name: one for name, one in there.resource.items() if not (wholly and name == "payload")}
    theirs = put({**kept, "status": _ERROR}, there, shelf=both.there, now=case.now)
    purges = (Purge(both.there, copy, exchange.id, "withdrawn"),) if wholly and theirs else ()
    owed = feedback.owed(case, both.there, exchange, theirs)
    told = disclosed.taken_back(case, exchange, theirs, inward=not both.outward)
    return Plan(answer, (*puts, *theirs), owed=owed, accounted=told, purges=purges)


def _copy(case: Case, both: Sides, name: str, *, outward: bool) -> str:
    """The name of the copy of what stands here, or there."""
    return f"{name.partition('/')[0]}/{_place(case, both, outward=outward)(name)}"


def _place(case: Case, both: Sides, *, outward: bool = True) -> Callable[[str], str]:
    source, recipient = (both.here, both.there) if outward else (both.there, both.here)
    return graph.placed(case.key, recipient=recipient, exchange=both.exchange.id, source=source)


def said(case: Case, both: Sides, resource: Resource, *, due: float = 0.0) -> Plan:
    """
    The resource as it stands here, and its copy over there.

    due         UNIX seconds when its answer is overdue, 0 for never
    raises      Invalid: no rule permits it, such as a consent that was withdrawn
    """
    exchange, name = both.exchange, fhir.name(resource)
    rule = rule_of(case, exchange)
    stored = case.loaded.resource(both.here, name)
    puts = put(resource, stored, shelf=both.here, now=case.now, exchange=exchange.id)
    subject = _subject(case, both)
    known = _known(case, both, resource)
    own = known.pop(name, "").partition("/")[2]
    place = _place(case, both)
    made = graph.copies(
        [resource],
        rule,
        case.find,
        about=About(subject),
        known=known,
        place=lambda source: own if own and source == name else place(source),
    )
    copy = made.resources[0]
    seen = case.loaded.resource(both.there, fhir.name(copy))
    theirs = put(copy, seen, shelf=both.there, now=case.now, exchange=exchange.id)
    theirs = tuple(replace(one, origin=name) for one in theirs)
    answer = Answer((name,), frozenset({name} if stored is None else ()))
    if not theirs:
        return Plan(answer, puts)
    pair = (name, fhir.name(copy)) if both.outward else (fhir.name(copy), name)
    first = min(one for one in (due, exchange.due) if one) if due or exchange.due else 0.0
    after = replace(exchange, terms=_terms(exchange, resource, pair), due=first)
    # what is new meets whoever takes the referral back at this moment at its row
    steps = () if after == exchange and seen is not None else (after,)
    row = disclosed.row(
        case,
        exchange.id,
        rule,
        source=both.here,
        recipient=both.there,
        subject=subject,
        puts=theirs,
        requester=resource.get("sender") or resource.get("requester"),
    )
    owed = feedback.owed(case, both.there, exchange, theirs)
    agreed = progress.agreed(exchange)
    told = Plan(answer, theirs, exchanges=steps, owed=owed, accounted=(row,), stands=agreed)
    return together([Plan(answer, puts), told], answer)


def _known(case: Case, both: Sides, resource: Resource) -> dict[str, str]:
    """The names that a message and what it refers to have there."""
    said = (fhir.versionless(one["reference"]) for one in fhir.references(resource))
    spoken = {fhir.name(resource), *(one for one in said if one.startswith(_SPOKEN))}
    spoken -= both.names.keys()
    found = {one: other(case, both, one) for one in sorted(spoken)}
    return {**both.names, **{one: there for one, there in found.items() if there}}


def _terms(exchange: Exchange, resource: Resource, pair: tuple[str, str]) -> Terms:
    """Something was said; a question is remembered for as long as it waits for its answer."""
    asked = {one: copy for one, copy in exchange.terms.talk.items() if one.startswith("Task/")}
    asked.pop(pair[0], None)
    if resource["resourceType"] == "Task" and resource["status"] in OPEN:
        asked |= dict([pair])
    return replace(exchange.terms, spoken=True, talk=asked)


def known(case: Case, entry: Entry) -> str:
    """What the same words became, when their writer said them before; "" for none, or too long ago."""
    for mark, limited in _marks(case, entry, ""):
        before = case.loaded.receipt(case.shelf.key, mark.key)
        if before is None:
            continue
        stored = case.loaded.resource(case.shelf.key, before.result) if limited else None
        if not limited or (stored and stored.stands and is_recent(case, stored.resource)):
            return before.result
    return ""


def is_recent(case: Case, said: Resource) -> bool:
    """Whether what stands was said so short a time ago that the same words are the same message."""
    return case.now - fhir.moment(said["meta"]["lastUpdated"]) <= _AGAIN


def once(case: Case, entry: Entry, plan: Plan) -> Plan:
    """The plan, with the mark by which it is known when its words come again."""
    marks = _marks(case, entry, entry.name)
    return replace(plan, receipts=(marks[0][0],)) if marks else plan


def again(name: str) -> Plan:
    """The answer to what was said before; nobody reads it twice."""
    text = "This was said before; here is how it stands. Meant again, it needs an identifier of its own."
    note = Issue("information", "duplicate", text)
    return Plan(Answer((name,), issues=(note,)))


def _marks(case: Case, entry: Entry, result: str) -> list[tuple[Receipt, bool]]:
    """
    By what it is known when it comes again, and whether for a while only; the first is the one that is kept.

    Its writer's own identifier, or the second at which it was said, tells it from any other for good. Without
    either the same words are one message for a while: a client that heard no answer sends them again, and a
    person who means them twice says so later.
    """
    if entry.method != "POST":
        return []
    said, made = entry.said, case.receipt(entry, result)

    def mark(*parts: str) -> Receipt:
        return replace(made, key=derive(case.key, "said", made.key, made.digest, *parts))

    at = str(said.get("sent") or said.get("authoredOn") or "")
    if fhir.numbers(said.get("identifier")) or "T" in at:
        return [(mark(), False)]
    now = int(case.now.timestamp() // _AGAIN.total_seconds())
    return [(mark(str(now)), True), (mark(str(now - 1)), True)]


def sayable(case: Case, exchange: Exchange, said: Resource, before: Resource | None = None) -> None:
    """
    A label that keeps a record behind keeps behind what is written of it.

    before      what stands already: its labels are the referral's own
    raises      Invalid: its writer has labelled it so
    source      42 CFR 2.12(c)(6): what follows a report is no report
    """
    old = fhir.listed(((before or {}).get("meta") or {}).get("security"))
    new = [one for one in fhir.listed((said.get("meta") or {}).get("security")) if one not in old]
    labelled: Resource = {"resourceType": said["resourceType"], "meta": {"security": new}}
    if graph.withheld(labelled, rule_of(case, exchange)):
        text = (
            "This carries a security label that keeps it behind, and it was not sent. Leave out what"
            " the label protects, or call."
        )
        at = f"{said['resourceType']}.meta.security"
        raise Invalid(issues=(Issue("error", "suppressed", text, at),))


_UNSAID: Final = (
    "The other side does not get this. What it is to read stands in payload.contentString of a message, or in"
    " an input of the type detail of a question."
)


def unsaid(made: Plan, said: Resource, elements: Iterable[str]) -> Plan:
    """The plan, with a word to who has written something where the other side does not read it."""
    kind = said["resourceType"]
    left = [
        Issue("warning", "suppressed", _UNSAID, f"{kind}.{one}") for one in elements if one in said
    ]
    return replace(made, answer=replace(made.answer, issues=(*made.answer.issues, *left)))


def rule_of(case: Case, exchange: Exchange) -> Rule:
    """
    The rule by which either side writes to the other.

    raises      Invalid: none permits it, such as under a consent that was withdrawn
    """
    facts = frozenset({"own-exchange", *progress.consent(case, exchange)})
    decision = disclosure.decide(
        case.mappings.rules, kind=exchange.kind, direction="conversation", facts=facts
    )
    if decision.rule is None or not decision.permitted:
        raise disclosure.refusal(decision, case.mappings.advice, at="Communication")
    return decision.rule


def _subject(case: Case, both: Sides) -> str:
    task = case.loaded.resource(both.here, both.task)
    return fhir.literal((task.resource if task else {}).get("for"))


_NOBODY: Final = frozenset({
    "CareTeam", "Device", "Endpoint", "Group", "HealthcareService", "Location", "Organization",
})  # fmt: skip


def person(case: Case, reference: Resource | None, at: str) -> Resource:
    """
    A reference that names the human whom it leads to.

    raises      Invalid: it names nobody
    """
    reference = reference or {}
    kind = fhir.literal(reference).split("/", 1)[0] or str(reference.get("type", ""))
    if kind in _NOBODY:
        raise Invalid("A person speaks here: name the one who does.", expression=at)
    found = case.find(fhir.literal(reference)) if reference.get("reference") else None
    role = ((found or {}).get("practitioner") or {}).get("display")
    display = reference.get("display") or role or parties.written(parties.human(case, reference))
    if not display:
        raise Invalid("Name the person: a role or practitioner, or a display.", expression=at)
    return {**reference, "display": display}
