"""Results and totals of several answers: computed where all that they need is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app import fhir
from app.domain.answered import Answered, Read
from app.domain.forms import Forms
from app.domain.given import codings_of
from app.domain.instrument import AnswerOption, Instrument, Proposed, Result, Total
from app.domain.plan import Fate
from app.domain.reading import Row
from app.errors import Issue
from app.fhir import Resource

Given = dict[tuple[str, str], list[tuple[Answered, Resource]]]  # by instrument id and question


@dataclass(frozen=True, slots=True)
class Found:
    """
    What a result or total says, and what its Observation has beside.

    condition   proposed where the verdict is that there is a need
    """

    said: Resource
    verdict: bool
    frame: Resource
    condition: Proposed | None = None


def found(
    read: Read, given: Given, known: Forms, issues: list[Issue]
) -> Iterator[tuple[Instrument, Result | Total, Found]]:
    """
    Each result and total that can be told.

    A computed one stands against one that was sent. One that was sent is taken where none of its
    questions came with it; where some did and some are missing, there is none.
    """
    ids = {one for one, _ in (*given, *read.sent)}
    for instrument in known.instruments:
        if instrument.id not in ids:
            continue
        for what in instrument.made:
            parts = [given.get((instrument.id, code), []) for code in what.of]
            sent = read.sent.get((instrument.id, what.code))
            if not any(parts):
                if sent and (one := _taken(sent, what, issues)):
                    read.fates.append(
                        Fate(sent.at, "taken", "as it was sent: no item came with it")
                    )
                    yield instrument, what, one
                continue
            computed = _total(what, parts) if isinstance(what, Total) else _result(what, parts)
            if computed:
                yield instrument, what, computed
            if sent:
                _compare(sent, what, computed, issues)
                read.fates.append(Fate(sent.at, "ignored", "computed from its items instead"))


def _total(what: Total, parts: list[list[tuple[Answered, Resource]]]) -> Found | None:
    scored = [part[0][0].option.score for part in parts if len(part) == 1 and part[0][0].option]
    numbers = [one for one in scored if one is not None]
    if len(numbers) < len(parts):
        return None
    value = sum(numbers)
    return _added(value, what, _frame(parts))


def _result(what: Result, parts: list[list[tuple[Answered, Resource]]]) -> Found | None:
    options = [[one.option for one, _ in part] for part in parts]
    if any(option and option.verdict for part in options for option in part):
        return _coded(what.at_risk, _frame(parts))
    if all(part and all(one and one.need == "no" for one in part) for part in options):
        return _coded(what.no_risk, _frame(parts))
    return None


def _coded(option: AnswerOption, frame: Resource) -> Found:
    said = {"valueCodeableConcept": fhir.concept(option.system, option.code)}
    return Found(said, option.verdict, frame, option.condition)


def _added(value: int, what: Total, frame: Resource) -> Found:
    verdict = what.verdict and value >= what.at_least
    return Found({"valueInteger": value}, verdict, frame, what.condition)


def _frame(parts: list[list[tuple[Answered, Resource]]]) -> Resource:
    """When and where as its items, derived from them and from what they are derived from."""
    items = [observed for part in parts for _, observed in part]
    first = items[0]
    names = ("encounter", "effectiveDateTime", "effectivePeriod", "issued")
    responses = {
        one["reference"]: one
        for item in items
        for one in item["derivedFrom"]
        if one["reference"].startswith("QuestionnaireResponse/")
    }
    derived = [*responses.values(), *map(fhir.reference, items)]
    return {**{name: first[name] for name in names if name in first}, "derivedFrom": derived}


def _sent_value(sent: Row, what: Result | Total) -> Any:
    """The number or the code that was sent; None where it is no such thing."""
    if isinstance(what, Total):
        content = sent.value.get("value") if isinstance(sent.value, dict) else sent.value
        if isinstance(sent.value, dict) and "comparator" in sent.value:
            return None  # at least 11 is no total
        if isinstance(content, str) and content.strip().isdecimal():
            return int(content)
        return (
            content if isinstance(content, (int, float)) or hasattr(content, "as_tuple") else None
        )
    ends = {one.code for one in (what.at_risk, what.no_risk)}
    codes = [one.get("code") for one in codings_of(sent)]
    return next((one for one in codes if one in ends), None)


def _is_whole(number: Any) -> bool:
    """Whether FHIR's integer holds it: 32 bits."""
    return bool(number == int(number) and abs(number) < 2**31)


def _taken(sent: Row, what: Result | Total, issues: list[Issue]) -> Found | None:
    value = _sent_value(sent, what)
    frame = {name: one for name, one in sent.frame.items() if name != "performer"}
    if isinstance(what, Total) and value is not None and _is_whole(value):
        return _added(int(value), what, frame)
    if isinstance(what, Result) and value is not None:
        return _coded(what.at_risk if value == what.at_risk.code else what.no_risk, frame)
    text = (
        f"{what.code} takes a whole number."
        if isinstance(what, Total)
        else (f"{what.code} takes one of: {what.at_risk.code}, {what.no_risk.code}.")
    )
    issues.append(Issue("error", "value", text, sent.at))
    return None


def _compare(sent: Row, what: Result | Total, computed: Found | None, issues: list[Issue]) -> None:
    """A computed one stands; one that was sent and differs stays where it is, and both are named."""
    if computed is None:
        text = f"{what.code} was sent, and an item that it is made of is missing: none is made."
        issues.append(Issue("warning", "business-rule", text, sent.at))
        return
    value = _sent_value(sent, what)
    said = computed.said
    ours = said.get("valueInteger")
    if ours is None:
        ours = said["valueCodeableConcept"]["coding"][0]["code"]
    if value != ours:
        items = ", ".join(what.of)
        text = (
            f"{what.code} was sent, and differs from the one computed of {items}:"
            " the computed one stands, the one that was sent stays in what was sent."
        )
        issues.append(Issue("warning", "business-rule", text, sent.at))
