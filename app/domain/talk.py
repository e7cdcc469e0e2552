"""The two sides of one referral: what is said on the one is copied to the other, once, and accounted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from app import fhir
from app.domain import disclosed, disclosure, feedback, graph, parties, progress
from app.domain.case import Case
from app.domain.change import Entry
from app.domain.disclosure import Rule
from app.domain.graph import About
from app.domain.plan import Answer, Exchange, Plan, Receipt, derive, put, together
from app.errors import Conflict, Invalid, Issue
from app.fhir import Resource


@dataclass(frozen=True, slots=True)
class Sides:
    """
    here        the shelf on which it is said
    names       {Type/id here: Type/id there}
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
    outward = {**exchange.copies, **exchange.terms.talk}
    if case.shelf.key == exchange.source:
        return Sides(exchange, exchange.source, exchange.recipient, outward)
    inward = {theirs: ours for ours, theirs in outward.items()}
    return Sides(exchange, exchange.recipient, exchange.source, inward)


def said(case: Case, both: Sides, resource: Resource, *, due: float = 0.0) -> Plan:
    """
    The resource as it stands here, and its copy over there.

    due         UNIX seconds when its answer is overdue, 0 for never
    raises      Invalid: no rule permits it, such as a consent that was withdrawn
    """
    exchange, name = both.exchange, fhir.name(resource)
    rule = _rule(case, exchange)
    stored = case.loaded.resource(both.here, name)
    puts = put(resource, stored, shelf=both.here, now=case.now, exchange=exchange.id)
    subject = _subject(case, both)
    place = graph.placed(case.key, recipient=both.there, exchange=exchange.id, source=both.here)
    known = {one: other for one, other in both.names.items() if one != name}
    places = both.names.get(name, "").split("/")[-1]
    made = graph.copies(
        [resource],
        rule,
        case.find,
        about=About(subject),
        known=known,
        place=lambda source: places if places and source == name else place(source),
    )
    copy = made.resources[0]
    seen = case.loaded.resource(both.there, fhir.name(copy))
    theirs = put(copy, seen, shelf=both.there, now=case.now, exchange=exchange.id)
    answer = Answer((name,), frozenset({name} if stored is None else ()))
    if not theirs:
        return Plan(answer, puts)
    pair = (name, fhir.name(copy)) if both.outward else (fhir.name(copy), name)
    talked = replace(exchange.terms, talk={**exchange.terms.talk, pair[0]: pair[1]})
    first = min(one for one in (due, exchange.due) if one) if due or exchange.due else 0.0
    after = replace(exchange, terms=talked, due=first)
    steps = () if after == exchange else (after,)
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
    told = Plan(answer, theirs, exchanges=steps, owed=owed, accounted=(row,))
    return together([Plan(answer, puts), told], answer)


def known(case: Case, entry: Entry) -> str:
    """What the same words under the same identifier of their writer became; "" for none."""
    mark = _mark(case, entry, "")
    before = case.loaded.receipt(case.shelf.key, mark.key) if mark else None
    return before.result if before else ""


def once(case: Case, entry: Entry, plan: Plan) -> Plan:
    """The plan, with the mark by which it is known when its words come again."""
    mark = _mark(case, entry, entry.name)
    return replace(plan, receipts=(mark,)) if mark else plan


def again(name: str) -> Plan:
    """The answer to what was said before; nobody reads it twice."""
    note = Issue("information", "duplicate", "This was said before; here is how it stands.")
    return Plan(Answer((name,), issues=(note,)))


def _mark(case: Case, entry: Entry, result: str) -> Receipt | None:
    """None where its writer gave it no identifier: then the same words may be meant twice."""
    if entry.method != "POST" or not fhir.numbers(entry.said.get("identifier")):
        return None
    made = case.receipt(entry, result)
    return replace(made, key=derive(case.key, "said", made.key, made.digest))


def _rule(case: Case, exchange: Exchange) -> Rule:
    facts = frozenset({"own-exchange", *progress.consent(case, exchange)})
    decision = disclosure.decide(
        case.mappings.rules, kind=exchange.kind, direction="conversation", facts=facts
    )
    if decision.rule is None or not decision.permitted:
        raise disclosure.refusal(decision, case.mappings.advice, at="Communication")
    return decision.rule


def _subject(case: Case, both: Sides) -> str:
    task = case.loaded.resource(both.here, both.task)
    return str(((task.resource if task else {}).get("for") or {}).get("reference", ""))


_NOBODY: Final = frozenset({
    "CareTeam", "Device", "Endpoint", "Group", "HealthcareService", "Location", "Organization",
})  # fmt: skip


def person(case: Case, reference: Resource | None, at: str) -> Resource:
    """
    A reference that names the human whom it leads to.

    raises      Invalid: it names nobody
    """
    reference = reference or {}
    kind = str(reference.get("reference", "")).split("/", 1)[0] or str(reference.get("type", ""))
    if kind in _NOBODY:
        raise Invalid("A person speaks here: name the one who does.", expression=at)
    found = case.find(str(reference.get("reference", ""))) if reference.get("reference") else None
    role = ((found or {}).get("practitioner") or {}).get("display")
    display = reference.get("display") or role or parties.written(parties.human(case, reference))
    if not display:
        raise Invalid("Name the person: a role or practitioner, or a display.", expression=at)
    return {**reference, "display": display}
