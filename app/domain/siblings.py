"""Reports of siblings in one act: a Bundle for each child, one requisition, all of them or none."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from app import fhir
from app.domain import conformity, correction, referral, report, words
from app.domain.arrival import arrived
from app.domain.case import Case
from app.domain.change import Entry
from app.domain.loaded import NotLoaded, Want
from app.domain.plan import Answer, Plan, Put, derive, same, together
from app.domain.receive import Meaning
from app.domain.report import Kept
from app.errors import Invalid, Issue, Malformed, OurFault, Refusal
from app.settings import CANONICAL


def plan(case: Case, meaning: Meaning) -> Plan:
    """
    Every child's report, or none.

    meaning     what an entry means that is said beside a report
    raises      Kept: what keeps one of them from being sent keeps all; a draft of each is kept
                Malformed: two of them say different things of one resource
    """
    requisition = _requisition(case)
    plans: list[tuple[Case, Plan]] = []
    kept: list[Kept] = []
    wants: set[Want] = set()
    for number, entries in enumerate(case.change.siblings):
        change = replace(
            case.change,
            entries=tuple(_shared(one, requisition) for one in entries),
            siblings=(),
            nonce=f"{case.change.nonce}.{number}",
        )
        try:
            one = arrived(replace(case, change=change, entries=(), order=()))
            plans.append((one, _held(one, words.said(one, referral.plan(one, None), meaning))))
        except NotLoaded as asked:
            wants |= asked.wants
        except Kept as refused:
            issues = refused.refusal.issues
            refused.refusal.issues = tuple(_placed(issue, entries) for issue in issues)
            kept.append(refused)
    if wants:
        raise NotLoaded(frozenset(wants))
    if kept:
        raise _none(case, plans, kept)
    if twice := _twice(plans):
        kept = [report.unfit(one, Invalid(_TWICE, expression=_NUMBER)) for one in twice]
        raise _none(case, [pair for pair in plans if pair[0] not in twice], kept)
    return correction.followed(case, _together([one for _, one in plans]))


_NUMBER: Final = "ServiceRequest.identifier"
_TWICE: Final = "Two of these reports come under one number; give each child's a number of its own."


def _twice(plans: list[tuple[Case, Plan]]) -> list[Case]:
    """Those whose message is known by what another one is known by: one of them would be lost."""
    marks = [made.receipts[0].key if made.receipts else "" for _, made in plans]
    return [
        one for (one, _), mark in zip(plans, marks, strict=True) if mark and marks.count(mark) > 1
    ]


def _placed(issue: Issue, entries: tuple[Entry, ...]) -> Issue:
    """An issue of one child's report says in which Bundle it is."""
    kind, dot, rest = issue.expression.partition(".")
    found = [one.at for one in entries if one.type == kind and one.at]
    return replace(issue, expression=found[0] + dot + rest) if len(found) == 1 else issue


def _held(case: Case, made: Plan) -> Plan:
    try:
        return conformity.hold(case, made)
    except Refusal as refusal:
        raise report.unfit(case, refusal) from None


def _requisition(case: Case) -> dict[str, str]:
    """The one that they share; ours where they have none."""
    said = [
        one.resource.get("requisition")
        for entries in case.change.siblings
        for one in entries
        if one.type == "ServiceRequest"
    ]
    given = [one for one in said if one]
    if any(one != given[0] for one in given) or (given and len(given) != len(said)):
        text = "Siblings' reports share one requisition, or have none; here they differ."
        raise Invalid(text, expression="ServiceRequest.requisition")
    own = derive(case.key, case.shelf.key, "siblings", *_marks(case))
    found: dict[str, str] = (
        given[0] if given else {"system": f"{CANONICAL}/sid/siblings", "value": own}
    )
    return found


def _marks(case: Case) -> list[str]:
    """By what each child's report is known before it has the requisition: sent again, they share the same one."""
    marks = []
    for entries in case.change.siblings:
        alone = replace(case, change=replace(case.change, entries=entries, siblings=()))
        for one in entries:
            if one.type == "ServiceRequest":
                mark = alone.receipt(replace(one, said=one.resource), "")
                marks += [mark.key, mark.digest]
    return marks


def _shared(entry: Entry, requisition: dict[str, str]) -> Entry:
    if entry.type != "ServiceRequest" or "requisition" in entry.resource:
        return entry
    return replace(entry, resource={**entry.resource, "requisition": requisition})


def _none(case: Case, plans: list[tuple[Case, Plan]], kept: list[Kept]) -> Kept:
    """A refusal of one is the refusal of all; nothing that was written is lost."""
    waiting = Invalid("A sibling's report was refused, so this one waits as well.")
    for one, made in plans:
        sent = next((entry for entry in one.entries if made.receipts and _sends(entry)), None)
        if sent:
            kept.append(report.keep(one, waiting, sent=sent))
    issues: dict[Issue, None] = {issue: None for one in kept for issue in one.refusal.issues}
    ordered = sorted(issues, key=lambda issue: issue.severity != "error")
    puts = {(put.shelf, fhir.name(put.resource)): put for one in kept for put in one.plan.puts}
    names = tuple(name for one in kept for name in one.plan.answer.names)
    ours = any(isinstance(one.refusal, OurFault) for one in kept)
    refusal = (OurFault if ours else Invalid)(issues=tuple(ordered))
    return Kept(refusal, Plan(Answer(names), tuple(puts.values())), case)


def _sends(entry: Entry) -> bool:
    return entry.type == "ServiceRequest"


def _together(plans: list[Plan]) -> Plan:
    puts: dict[tuple[str, str], Put] = {}
    for put in (put for one in plans for put in one.puts):
        before = puts.setdefault((put.shelf, fhir.name(put.resource)), put)
        if not same(before.resource, put.resource):
            raise Malformed("Two of the reports say different things of one resource.")
    answer = Answer(
        tuple(name for one in plans for name in one.answer.names),
        frozenset().union(*(one.answer.created for one in plans)),
        tuple(issue for one in plans for issue in one.answer.issues),
    )
    return together(plans, answer)
