"""What an agency corrects of what it told of a voluntary referral: the clinic's copy follows, by the same rule."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from app import fhir
from app.domain import disclosed, disclosure, feedback, graph, progress
from app.domain.case import Case, at_once
from app.domain.graph import About
from app.domain.plan import Answer, Exchange, Plan, Put, Stored, put
from app.errors import Issue
from app.fhir import Resource

_NOTHING: Final = Plan(Answer(()))


def followed(case: Case, made: Plan) -> list[Plan]:
    """
    What each change on the agency's shelf means to the clinic that was told of it.

    What it was not told stays so; a deletion does not say that it was wrong.
    """
    changed = [
        one
        for one in made.puts
        if one.shelf == case.shelf.key
        and one.expected
        and one.method != "DELETE"
        and one.resource["resourceType"] != "Task"
        and any(one.resource["resourceType"] in rule.shows for rule in _rules(case))
    ]
    return at_once(lambda one: _corrected(case, one), changed)


def _rules(case: Case) -> list[disclosure.Rule]:
    kind = case.shelf.kind
    return [one for one in case.mappings.rules if (one.kind, one.direction) == (kind, "return")]


def _corrected(case: Case, one: Put) -> Plan:
    name = fhir.name(one.resource)
    stored = case.loaded.resource(case.shelf.key, name)
    exchange = _told_of(case, stored) if stored and stored.stands else None
    if exchange is None or not exchange.copies or exchange.source not in case.settings.shelves:
        return _NOTHING
    place = graph.placed(
        case.key, recipient=exchange.source, exchange=exchange.id, source=exchange.recipient
    )
    copy = f"{name.partition('/')[0]}/{place(name)}"
    there = case.loaded.resource(exchange.source, copy)
    if there is None or not there.stands:
        return _NOTHING
    facts = frozenset({"own-exchange", *progress.consent(case, exchange)})
    decision = disclosure.decide(
        case.mappings.rules, kind=exchange.kind, direction="return", facts=facts
    )
    if decision.rule is None or not decision.permitted:
        return _stays(one, "The consent does not cover it any more.")
    about = About(exchange.copies.get(exchange.person, ""))
    if fhir.in_error(one.resource) or not graph.is_about(one.resource, about):
        shown: Resource = {**there.resource, "status": "entered-in-error"}
    elif graph.goes(one.resource, decision.rule, about, case.find):
        known = {copied: original for original, copied in exchange.copies.items()}
        copies = graph.copies(
            [one.resource], decision.rule, case.find, about=about, known=known, place=place
        )
        shown = copies.resources[0]
    else:
        return _stays(one, "The disclosure rule does not send it.")
    made = put(shown, there, shelf=exchange.source, now=case.now, exchange=exchange.id)
    if not made:
        return _NOTHING
    puts = tuple(replace(each, origin=name) for each in made)
    row = disclosed.row(
        case, exchange.id, decision.rule, source=exchange.recipient, recipient=exchange.source,
        subject=about.subject, puts=puts,
    )  # fmt: skip
    due = feedback.owed(case, exchange.source, exchange, puts)
    return Plan(Answer(()), puts, owed=due, accounted=(row,), stands=progress.agreed(exchange))


def _told_of(case: Case, stored: Stored) -> Exchange | None:
    """The referral of the person whom a record of the agency's is about."""
    subject = fhir.literal(stored.resource.get("subject"))
    child = (
        case.loaded.resource(case.shelf.key, fhir.versionless(str(subject))) if subject else None
    )
    return case.loaded.opened(case.shelf.key, child.exchange) if child and child.exchange else None


def _stays(one: Put, why: str) -> Plan:
    text = f"The clinic's copy of this stays as it was. {why}"
    kind = one.resource["resourceType"]
    return Plan(Answer((), issues=(Issue("warning", "suppressed", text, kind),)))
