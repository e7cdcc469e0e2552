"""From rows to answers of known questions: what is taken, what is left and why, what waits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from app.domain import crosswalk, forms, given
from app.domain.forms import Asked, Forms
from app.domain.instrument import (
    CATEGORIES,
    CATEGORY,
    LOINC,
    AnswerOption,
    Instrument,
    Question,
)
from app.domain.plan import Fate, Waiting
from app.domain.reading import Row
from app.errors import Issue
from app.fhir import Resource
from app.settings import CANONICAL

NO_WISH: Final = f"{CANONICAL}/CodeSystem/help-wish"
Look = Callable[[Iterable[str]], dict[str, str]]  # crosswalk keys to their targets


@dataclass(frozen=True, slots=True)
class Answered:
    """
    An answer to a known question.

    option      None for a number, a date, free text, an absent answer, or words that nobody knows
    said        the elements that say it: value[x] or dataAbsentReason
    doubtful    several instruments ask this, nothing tells which, and they would judge differently
    """

    row: Row
    instrument: Instrument
    question: Question
    option: AnswerOption | None
    said: Resource
    doubtful: bool = False

    @property
    def verdict(self) -> bool:
        return bool(self.option and self.option.verdict and not self.doubtful)


@dataclass(slots=True)
class Read:
    """
    Everything that was read of one screening.

    known       whether a loaded instrument asks any of it, well answered or not
    sent        totals and results that came: {(instrument id, code): row}
    wishes      categories of wishes, with the row that says so
    """

    known: bool = False
    answers: list[Answered] = field(default_factory=list)
    sent: dict[tuple[str, str], Row] = field(default_factory=dict)
    wishes: dict[str, Row] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    fates: list[Fate] = field(default_factory=list)


def read(
    rows: Sequence[Row],
    known: Forms,
    look: Look,
    *,
    named: Iterable[Instrument] = (),
    members: Mapping[str, Collection[str]] | None = None,
) -> Read:
    """
    What rows say.

    named       instruments that the source names
    members     of Observations, which alone can be another form's: {instrument id: the sources
                that its panel names}; None of a response, where a question that nobody knows is a fault
    """
    made = Read()
    left = [row for row in rows if not (row.wish and _wished(row, made))]
    mapped = _mapped(left, known, look)
    several = [_asked(row, known, mapped) for row in left]
    if members is not None:
        several = [
            [one for one in asked if not one[1].shared or row.source in members.get(one[0].id, ())]
            for row, asked in zip(left, several, strict=True)
        ]
    found = forms.chosen(several, lambda index, one: given.fits(left[index], one), named)
    made.known = any(asked for asked, _ in found)
    answers = _answers_mapped(left, found, look)
    by_item: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for row, (asked, _) in zip(left, found, strict=True):
        if asked and not asked[1].repeats:
            by_item[row.source, asked[0].id, asked[1].code].add(row.at)
    for row, (asked, rivals) in zip(left, found, strict=True):
        if asked is None:
            _unasked(row, known, mapped, made, strict=members is None)
            continue
        instrument, question = asked
        if len(by_item.get((row.source, instrument.id, question.code), ())) > 1:
            text = f"Question {question.code} takes one answer, and several are given."
            _refuse(made, row, text)
            continue
        _take(row, instrument, question, rivals, answers, made)
    return made


def _mapped(rows: Sequence[Row], known: Forms, look: Look) -> dict[str, str]:
    """The crosswalk's word on questions that no loaded instrument has."""
    keys = [
        key
        for row in rows
        if not any(known.knows(_full(one, known)) for one in row.codes)
        for key in _question_keys(row)
    ]
    return look(dict.fromkeys(keys)) if keys else {}


def _question_keys(row: Row) -> list[str]:
    keys = [crosswalk.question_key(system, code) for system, code in row.codes if system != LOINC]
    return [*keys, crosswalk.question_key("", "", row.words)] if row.words else keys


def _full(key: tuple[str, str], known: Forms) -> tuple[str, str]:
    """A code without a system, as a linkId is, with the system that it is known in."""
    if key[0]:
        return key
    systems = known.codes.get(key[1], ())
    return (next(iter(systems)), key[1]) if len(systems) == 1 else key


def _asked(row: Row, known: Forms, mapped: dict[str, str]) -> list[Asked]:
    for key in row.codes:
        if found := known.asked.get(_full(key, known)):
            return found
    for asked in _question_keys(row):
        instrument, _, code = mapped.get(asked, "").partition("|")
        if instrument in known.by_id:
            one = known.by_id[instrument]
            return [(one, question) for question in one.questions if question.code == code]
    return []


def _unasked(row: Row, known: Forms, mapped: dict[str, str], made: Read, *, strict: bool) -> None:
    """A row that no instrument was chosen for: a total that was sent, or nothing of ours."""
    for key in row.codes:
        for instrument in known.computed.get(_full(key, known), ()):
            made.sent.setdefault((instrument.id, key[1]), row)
            return
        if known.headings.get(_full(key, known)):
            made.fates.append(Fate(row.at, "ignored", "a heading: it holds answers"))
            return
    for asked in _question_keys(row):
        instrument_id, _, code = mapped.get(asked, "").partition("|")
        if instrument_id in known.by_id and code in known.by_id[instrument_id].computed:
            made.sent.setdefault((instrument_id, code), row)
            return
    shared = any(_full(key, known) in known.asked for key in row.codes)
    if shared or any(system == LOINC for system, _ in row.codes):
        made.fates.append(Fate(row.at, "ignored", "belongs to no instrument that is loaded"))
        if strict:
            _unknown_question(row, made)
        return
    wait = _local(row)
    made.waiting.append(wait)
    made.fates.append(Fate(row.at, "unmapped", "no instrument and no crosswalk has this question"))
    if strict:
        _unknown_question(row, made)
    else:
        text = "Nobody knows this question yet: kept, and on the worklist."
        made.issues.append(Issue("warning", "not-supported", text, row.at))


def _unknown_question(row: Row, made: Read) -> None:
    text = "This is an answer without a question: no loaded instrument asks it; map it, or take it out."
    made.issues.append(Issue("error", "not-found", text, row.at))


def _local(row: Row) -> Waiting:
    """The question as a person will map it: its own code, else its words."""
    system, code = next(
        (one for one in row.codes if one[0]), row.codes[0] if row.codes else ("", "")
    )
    words = "" if code else row.words
    key = crosswalk.question_key(system, code, words)
    return Waiting(row.source, "question", key, "", system, code, words or row.words)


def _answers_mapped(
    rows: Sequence[Row], found: Sequence[tuple[Asked | None, list[Asked]]], look: Look
) -> dict[str, str]:
    """The crosswalk's word on answers that are on no list."""
    keys = [
        key
        for row, (asked, _) in zip(rows, found, strict=True)
        if asked and asked[1].type == "choice" and not given.fits(row, asked[1])
        for key in given.keys(row, asked)
    ]
    return look(dict.fromkeys(keys)) if keys else {}


def _take(  # noqa: PLR0913 — a row and all that is known of it
    row: Row,
    instrument: Instrument,
    question: Question,
    rivals: list[Asked],
    mapped: dict[str, str],
    made: Read,
) -> None:
    def taken(option: AnswerOption | None, said: Resource) -> None:
        doubtful = option is not None and any(
            (other := theirs.options.get((option.system, option.code))) is None
            or other.verdict != option.verdict
            for _, theirs in rivals
        )
        if doubtful:
            text = (
                "Several instruments ask this and read it differently; name yours by its canonical."
            )
            made.issues.append(Issue("error", "multiple-matches", text, row.at))
        made.answers.append(Answered(row, instrument, question, option, said, doubtful))
        for category in _wish_of(option, question):
            made.wishes.setdefault(category, row)

    if reason := given.reason_said(row):
        taken(None, {"dataAbsentReason": given.reason(reason)})
        made.fates.append(Fate(row.at, "taken", "as not answered, with the reason"))
        return
    if question.type != "choice":
        said = given.plain_value(row, question)
        if said is None:
            _refuse(made, row, f"Question {question.code} takes a {question.type} as its answer.")
            return
        taken(None, said)
        made.fates.append(Fate(row.at, "taken", "as it came"))
        return
    options = given.options(row, question) or given.crossed(row, (instrument, question), mapped)
    if len(options) > 1 and not question.repeats:
        _refuse(made, row, f"Question {question.code} takes one answer, and several are given.")
        return
    for option in options:
        taken(option, given.coded(row, option))
        made.fates.append(Fate(row.at, "taken", "as an answer of the list"))
    if not options:
        _off_the_list(row, instrument, question, taken, made)


def _off_the_list(
    row: Row,
    instrument: Instrument,
    question: Question,
    taken: Callable[[AnswerOption | None, Resource], None],
    made: Read,
) -> None:
    """Of the list's own system: a fault. Somebody else's code or words: kept, and on the worklist."""
    codes = given.codings_of(row)
    words = given.words(row)
    if row.kind not in {"Coding", "CodeableConcept", "String"}:
        _refuse(made, row, f"Question {question.code} takes a {question.type} as its answer.")
        return
    lists = {one.system for one in question.answers}
    local = [one for one in codes if one.get("code") and one.get("system") not in lists]
    if any(one.get("system") in lists for one in codes) or not (local or words):
        text = f"Question {question.code} takes one of: "
        _refuse(made, row, text + ", ".join(one.code for one in question.answers) + ".")
        return
    said: Resource = {"coding": local} if local else {}
    said |= {"text": words} if words else {}
    taken(None, {"valueCodeableConcept": said})
    first = local[0] if local else {}
    system, code = str(first.get("system", "")), str(first.get("code", ""))
    key = crosswalk.answer_key(instrument.id, question.code, (system, code), "" if code else words)
    asked = f"{instrument.id}|{question.code}"
    made.waiting.append(Waiting(row.source, "answer", key, asked, system, code, words))
    made.fates.append(Fate(row.at, "unmapped", "kept without verdict until it is mapped"))
    text = "Nobody knows this answer yet: kept without a verdict, and on the worklist."
    made.issues.append(Issue("warning", "not-supported", text, row.at))


def _wish_of(option: AnswerOption | None, question: Question) -> Sequence[str]:
    return (option.categories or question.categories) if option and option.wish else ()


def _wished(row: Row, made: Read) -> bool:
    """The item that is our own: the domains in which the family wants help."""
    for one in given.codings_of(row):
        if one.get("system") == CATEGORY and one.get("code") in CATEGORIES:
            made.wishes.setdefault(str(one["code"]), row)
            made.fates.append(Fate(row.at, "taken", "as a wish for help"))
            return True
        if one.get("system") == NO_WISH and one.get("code") == "no-help-wanted":
            made.fates.append(Fate(row.at, "taken", "no help is wanted, and nothing is made"))
            return True
    if row.absent:
        made.fates.append(Fate(row.at, "ignored", "the wish was not answered"))
        return True
    _refuse(made, row, f"Answer with a coding of {CATEGORY}, or no-help-wanted of {NO_WISH}.")
    return True


def _refuse(made: Read, row: Row, text: str) -> None:
    made.issues.append(Issue("error", "value", text, row.at))
    made.fates.append(Fate(row.at, "refused", text))
