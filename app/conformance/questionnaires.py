"""
A QuestionnaireResponse held against its Questionnaire, https://hl7.org/fhir/R4/questionnaireresponse.html.

What one answer may be stands in `answers`; here is which items are there, where, and how often.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from app.conformance import answers
from app.conformance.checks import Check
from app.conformance.findings import Findings, finding

if TYPE_CHECKING:
    from app.conformance.scope import Scope
    from app.conformance.terminology import Terminology
    from app.errors import Issue
    from app.fhir import Resource

Read = Callable[[str, str], "Resource | None"]

CONTEXT: Final = "QuestionnaireResponse"
MAX_FORMS: Final = 256  # canonicals come from resources
MAX_DEPTH: Final = 64  # of groups in groups; no form has ten


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a Questionnaire, with those below it."""

    link: str
    type: str
    text: str
    raw: Resource
    below: dict[str, Item]
    answer: answers.Answer


@dataclass(frozen=True, slots=True)
class Form:
    """
    A Questionnaire, read once.

    links       every linkId, at whatever depth
    """

    below: dict[str, Item]
    links: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Walk:
    """One response against one form; `severity` is that of what is missing."""

    form: Form
    severity: str
    scope: Scope


class Questionnaires:
    """
    The check of responses; forms are read when they are first needed.

    read        canonical, resource type ("" for any): the definition that is loaded, or None
    """

    def __init__(self, read: Read, terminology: Terminology) -> None:
        self._read = read
        self._terminology = terminology
        self._forms: dict[str, Form | None] = {}
        self.check = Check(
            lambda value, scope: next(self._issues(value, "", scope), None) is None, self._walk
        )

    def _walk(self, value: Any, path: str, scope: Scope, found: Findings, _: Any) -> None:
        for one in self._issues(value, path, scope):
            found.add(one)

    def _issues(self, value: Any, path: str, scope: Scope) -> Iterator[Issue]:
        canonical = value.get("questionnaire")
        if not isinstance(canonical, str):
            return
        form = self._form(canonical, scope)
        if form is None:
            place = f"{path}.questionnaire"
            if canonical[:1] != "#" and self._read(canonical, "") is not None:
                text = "What this names is loaded, and it is no Questionnaire; name the form."
                yield finding("questionnaire", place, text)
            else:
                text = "The Questionnaire is not loaded, so the answers are not checked against it."
                yield finding("questionnaire", place, text, severity="warning")
            return
        severity = "warning" if value.get("status") == "in-progress" else "error"
        walk = _Walk(form, severity, scope)
        yield from _items(walk, form.below, value, path, (value,))

    def _form(self, canonical: str, scope: Scope) -> Form | None:
        if canonical[:1] == "#":
            inside = scope.contained.get(canonical[1:])
            return self._made(inside) if inside and "item" in inside else None
        kept = self._forms
        if canonical not in kept:
            if len(kept) >= MAX_FORMS:
                kept = self._forms = {}
            found = self._read(canonical, "Questionnaire")
            kept[canonical] = self._made(found) if found else None
        return kept[canonical]

    def _made(self, questionnaire: Resource) -> Form:
        below = self._below(questionnaire, questionnaire, 0)
        links: set[str] = set()
        queue = [below]
        while queue:
            items = queue.pop()
            links |= items.keys()
            queue += [item.below for item in items.values()]
        return Form(below, frozenset(links))

    def _below(self, raw: Resource, form: Resource, depth: int) -> dict[str, Item]:
        found: dict[str, Item] = {}
        for one in raw.get("item", ()) if depth < MAX_DEPTH else ():
            link = one.get("linkId")
            if isinstance(link, str):
                found[link] = Item(
                    link,
                    one.get("type", ""),
                    one.get("text", ""),
                    one,
                    self._below(one, form, depth + 1),
                    answers.of(one, form, self._terminology),
                )
        return found


Above = tuple[Any, ...]


def _items(
    walk: _Walk, below: dict[str, Item], parent: Any, path: str, above: Above
) -> Iterator[Issue]:
    """The items of a response, a group or an answer against those that the form has there."""
    grouped: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    order = {link: at for at, link in enumerate(below)}
    last = -1
    for index, item in enumerate(parent.get("item", ())):
        link = item.get("linkId")
        if link not in below:
            elsewhere = link in walk.form.links
            text = (
                "This item stands elsewhere in the Questionnaire; move it to its group."
                if elsewhere
                else "The Questionnaire has no item with this linkId; mend it or take the item out."
            )
            rule = "questionnaire-place" if elsewhere else "questionnaire-link"
            yield finding(rule, f"{path}.item[{index}]" if elsewhere else path, text)
            continue
        if order[link] < last:
            text = "The items are in another order than in the Questionnaire; sort them as there."
            yield finding("questionnaire-place", f"{path}.item[{index}]", text)
        last = max(last, order[link])
        grouped[link].append((index, item))
    for link, item in below.items():
        there = grouped.get(link)
        if there or item.raw.get("required"):
            yield from _item(walk, item, there or [], path, above)


def _item(
    walk: _Walk, item: Item, there: list[tuple[int, Any]], path: str, above: Above
) -> Iterator[Issue]:
    enabled = answers.enabled(item.raw, above)
    if not there:
        if enabled:
            text = "The Questionnaire requires an item that is not here; answer it."
            yield finding("questionnaire-required", path, text, severity=walk.severity)
        return
    first = f"{path}.item[{there[0][0]}]"
    if not enabled and any("answer" in one or "item" in one for _, one in there):
        text = "This item is not enabled by what is answered elsewhere; take its answer out."
        yield finding("questionnaire-enabled", first, text)
        return
    if len(there) > 1 and not (item.type == "group" and item.raw.get("repeats")):
        text = "An item with this linkId may be here once; put its answers into one item."
        yield finding("questionnaire-repeats", f"{path}.item[{there[1][0]}]", text)
    for index, one in there:
        place = f"{path}.item[{index}]"
        said = one.get("text")
        if said and item.text and " ".join(said.split()) != " ".join(item.text.split()):
            text = "The item's text is another than the Questionnaire has for it; mend it."
            yield finding("questionnaire-text", place, text)
        if item.type == "group":
            yield from _group(walk, item, one, place, above)
        else:
            yield from _question(walk, item, one, place, above)


def _group(walk: _Walk, item: Item, one: Any, place: str, above: Above) -> Iterator[Issue]:
    if "answer" in one:
        text = "A group has items and no answers; take the answers out."
        yield finding("questionnaire-type", place, text)
    elif "item" not in one and item.raw.get("required"):
        text = "The Questionnaire requires this group, and it is empty; answer its items."
        yield finding("questionnaire-required", place, text, severity=walk.severity)
    else:
        yield from _items(walk, item.below, one, place, (one, *above))


def _question(walk: _Walk, item: Item, one: Any, place: str, above: Above) -> Iterator[Issue]:
    given = one.get("answer", ())
    if item.type == "display":
        if given:
            text = "The item is for display and cannot be answered; take the answers out."
            yield finding("questionnaire-type", place, text)
        return
    if not given and item.raw.get("required") and answers.enabled(item.raw, above):
        text = "The Questionnaire requires an answer to this item; give it."
        yield finding("questionnaire-required", place, text, severity=walk.severity)
    if "item" in one:
        text = "What is asked below a question stands in its answer; move it there."
        yield finding("questionnaire-place", place, text)
    most, least = item.answer.most, item.answer.least
    if most is not None and len(given) > most:
        text = f"The Questionnaire allows {most} answers at most; take some out."
        yield finding("questionnaire-repeats", place, text)
    if given and len(given) < least:
        text = f"The Questionnaire asks for {least} answers at least; give more."
        yield finding("questionnaire-required", place, text, severity=walk.severity)
    for index, answer in enumerate(given):
        where = f"{place}.answer[{index}]"
        for rule, severity, text, value in item.answer.problems(answer, walk.scope):
            yield finding(rule, where + value, text, severity=severity)
        yield from _items(walk, item.below, answer, where, (answer, one, *above))
