"""What was read of a screening, as resources: panels, answers, results and totals, wishes, what they lead to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app import fhir
from app.domain import making, reading, scores
from app.domain.answered import Answered, Read
from app.domain.case import Case
from app.domain.instrument import CATEGORY, Proposed
from app.domain.making import Templates, Who
from app.domain.plan import derive
from app.errors import Issue
from app.fhir import Resource

Conditions = dict[str, tuple[Proposed, list[Resource]]]  # with the Observations that speak for each


def resources(case: Case, read: Read, who: Who, issues: list[Issue]) -> dict[str, Resource]:
    """What was read, as resources: panels, answers, results and totals, wishes, proposals, Conditions."""
    templates, known = case.mappings.templates, case.mappings.forms

    def identity(*parts: str) -> str:
        return derive(case.key, case.shelf.key, "made", who.screening, *parts)

    made: list[Resource] = []
    panels: dict[tuple[str, str], list[Resource]] = {}
    given: scores.Given = {}
    proposed: Conditions = {}
    recorded = fhir.instant(case.now)
    for one in read.answers:
        if not one.question.observed:
            continue
        template = templates.answer(one.instrument, one.question, one.option)
        key = identity(template.part, *_part(one))
        observed = making.observation(
            template, who, key, one.row.frame, one.said, verdict=one.verdict
        )
        made.append(observed)
        if one.verdict and one.option:
            _propose(one.option.condition, observed, proposed)
        panel = one.question.panel or one.instrument.panels[0].code
        panels.setdefault((one.instrument.id, panel), []).append(observed)
        given.setdefault((one.instrument.id, one.question.code), []).append((one, observed))
    for instrument, what, found in scores.found(read, given, known, issues):
        template = templates.computed(instrument, what)
        computed = making.observation(
            template, who, identity(template.part), found.frame, found.said, verdict=found.verdict
        )
        made.append(computed)
        if found.verdict:
            _propose(found.condition, computed, proposed)
        panels.setdefault((instrument.id, instrument.panels[0].code), []).append(computed)
    headed = []
    for (instrument_id, panel), members in panels.items():
        template = templates.panel(known.by_id[instrument_id], panel)
        frame = {**_frame_of(members), "hasMember": [fhir.reference(one) for one in members]}
        headed.append(
            making.observation(template, who, identity(template.part), frame, {}, verdict=False)
        )
    wishes, proposals = _wanted(read, who, made, templates, identity)
    conditions = [
        making.condition(one, who, identity("condition", one.code), recorded, evidence)
        for one, evidence in proposed.values()
    ]
    return {fhir.name(one): one for one in (*headed, *made, *wishes, *proposals, *conditions)}


def _propose(condition: Proposed | None, observed: Resource, proposed: Conditions) -> None:
    """What shows a need speaks for its Condition; several answers may speak for one."""
    if condition:
        proposed.setdefault(condition.code, (condition, []))[1].append(observed)


def _wanted(
    read: Read,
    who: Who,
    made: list[Resource],
    templates: Templates,
    identity: Callable[..., str],
) -> tuple[list[Resource], list[Resource]]:
    """What the family wants help with, and the proposals for it."""
    wishes, proposals = [], []
    for category, row in read.wishes.items():
        template = templates.wish(category)
        wish = making.observation(
            template, who, identity(template.part), row.frame, {}, verdict=False
        )
        reasons = [wish, *(one for one in made if _reason(one, category))]
        wishes.append(wish)
        proposals.append(
            making.proposal(
                category,
                who,
                identity("proposal", category),
                reading.start_of(wish),
                [fhir.reference(one) for one in reasons],
            )
        )
    return wishes, proposals


def _part(one: Answered) -> tuple[str, ...]:
    """What tells an answer from others to its question: of a response the answer, else its source."""
    source = () if one.row.source.startswith("QuestionnaireResponse/") else (one.row.source,)
    if not one.question.repeats:
        return source
    return (*source, one.option.code if one.option else repr(one.said))


def _reason(observation: Resource, category: str) -> bool:
    """Whether an answer speaks to a domain, and may stand in a request that others will read."""
    sensitive = observation["meta"].get("security")
    return not sensitive and fhir.has_code(observation["category"], CATEGORY, category)


def _frame_of(members: Sequence[Resource]) -> Resource:
    """What a panel shares with its members: when and where, and all that they are derived from."""
    first = members[0]
    names = ("encounter", "effectiveDateTime", "effectivePeriod", "issued", "performer")
    ours = {fhir.name(one) for one in members}
    sources = {one["reference"]: one for member in members for one in member["derivedFrom"]}
    derived = [one for name, one in sources.items() if name not in ours]
    return {**{name: first[name] for name in names if name in first}, "derivedFrom": derived}
