"""What a row gives as its answer: answers of a list, a number, text, true or false, a date, or none and why."""

from __future__ import annotations

from typing import Any, Final

from app.domain import crosswalk, reading
from app.domain.forms import Asked
from app.domain.instrument import AnswerOption, Question, plain
from app.domain.reading import ABSENT, Row, coded_in
from app.fhir import Resource

_INTEGERS: Final = 2**31  # https://hl7.org/fhir/R4/datatypes.html#integer
_NUMBERS: Final = {"integer", "decimal"}


def fits(row: Row, question: Question) -> bool:
    """Whether what was answered is on the question's list, or of its type."""
    if row.absent and not row.kind:
        return True
    if question.type == "choice":
        return bool(options(row, question))
    return plain_value(row, question) is not None


def options(row: Row, question: Question) -> list[AnswerOption]:
    """The answers of the list that a row gives, by coding, words, true or false, or score."""
    content = row.value
    if row.kind == "Coding" and (told := question.options.get(_key(content))):
        return [told]  # as nearly all are
    if row.kind == "Boolean":
        return [one for one in question.answers if one.boolean is content]
    if row.kind in {"Integer", "Decimal", "Quantity"}:
        vague = isinstance(content, dict) and "comparator" in content  # less than 3 is not 3
        number = content.get("value") if isinstance(content, dict) else content
        return [] if vague else _scored(number, question)
    if row.kind == "String":
        said = plain(str(content))
        found = question.words.get(said)
        return [found] if found else _scored(int(said) if said.isdecimal() else None, question)
    codes = codings_of(row)
    coded_options = {
        option.code: option for one in codes if (option := question.options.get(_key(one)))
    }
    lists = {one.system for one in question.answers}
    if coded_options or any(one.get("system") in lists for one in codes):
        return list(coded_options.values())
    return _worded(row, codes, question)


def _key(coding: Resource) -> tuple[str, str]:
    return str(coding.get("system", "")), str(coding.get("code", ""))


def _scored(number: Any, question: Question) -> list[AnswerOption]:
    found = [one for one in question.answers if one.score is not None and one.score == number]
    return found if len(found) == 1 else []


def _worded(row: Row, codes: list[Resource], question: Question) -> list[AnswerOption]:
    """
    The one answer that a concept names in words: as its text, or as what is shown of its codes.

    A code without a system counts as a word; two words for two answers are none.
    """
    words = [str(one.get("code", "")) for one in codes if not one.get("system")]
    words += [str(one.get("display", "")) for one in codes]
    if row.kind == "CodeableConcept":
        words.append(str(row.value.get("text", "")))
    found = {option.code: option for one in words if (option := question.words.get(plain(one)))}
    return list(found.values()) if len(found) == 1 else []


def codings_of(row: Row) -> list[Resource]:
    """The codings of a coded answer, with or without a system."""
    if row.kind == "Coding":
        return coded_in([row.value])
    if row.kind == "CodeableConcept" and isinstance(row.value, dict):
        return coded_in(row.value.get("coding"))
    return []


def words(row: Row) -> str:
    """A coded answer's text, or a text that is the answer."""
    if row.kind == "String":
        return str(row.value)
    if row.kind == "CodeableConcept" and isinstance(row.value, dict) and row.value.get("text"):
        return str(row.value["text"])
    shown = [str(one["display"]) for one in codings_of(row) if one.get("display")]
    return shown[0] if shown and not any(one.get("code") for one in codings_of(row)) else ""


def keys(row: Row, asked: Asked) -> list[str]:
    """What a crosswalk may have of an answer: its codes, then its words."""
    instrument, question = asked
    found = [
        crosswalk.answer_key(instrument.id, question.code, _key(one))
        for one in codings_of(row)
        if one.get("code")
    ]
    if text := words(row):
        found.append(crosswalk.answer_key(instrument.id, question.code, ("", ""), text))
    return found


def crossed(row: Row, asked: Asked, mapped: dict[str, str]) -> list[AnswerOption]:
    """The answer that the crosswalk leads to."""
    for key in keys(row, asked):
        if found := mapped.get(key):
            return [one for one in asked[1].answers if one.code == found]
    return []


def reason_said(row: Row) -> str:
    """Why there is no answer, beside it or in its place; "" where there is one."""
    return row.absent or reading.reason(map(_key, codings_of(row)))


def reason(code: str) -> Resource:
    return {"coding": [{"system": ABSENT, "code": code}]}


def coded(row: Row, option: AnswerOption) -> Resource:
    """The answer of the list, and beside it what was sent."""
    if option.need == "declined":
        return {"dataAbsentReason": reason("asked-declined")}
    ours = {"system": option.system, "code": option.code}
    codes = codings_of(row)
    mine = [one for one in codes if _key(one) == (option.system, option.code)]
    beside = [one for one in codes if one.get("system") not in ("", None, option.system)]
    said: Resource = {"coding": [*(mine[:1] or [ours]), *beside]}
    text = row.value.get("text") if row.kind == "CodeableConcept" else None
    if row.kind == "String":
        text = row.value
    return {"valueCodeableConcept": {**said, "text": text} if text else said}


def plain_value(row: Row, question: Question) -> Resource | None:
    """A number, text, boolean or date as its question has it; None where it is of another type."""
    content = row.value
    if question.type in _NUMBERS:
        return _numbered(_number(row, question), question)
    if question.type == "string":
        text = words(row) if row.kind != "String" else content
        return {"valueString": text} if isinstance(text, str) and text else None
    if question.type == "boolean":
        return {"valueBoolean": content} if isinstance(content, bool) else None
    dated = row.kind in {"Date", "DateTime"} and isinstance(content, str)
    return {"valueDateTime": content} if dated else None


def _numbered(number: Any, question: Question) -> Resource | None:
    if number is None:
        return None
    if question.type == "integer" and not question.unit:
        return {"valueInteger": number} if abs(number) < _INTEGERS else None
    unit = {"code": question.unit, "unit": question.unit} if question.unit else {"code": "1"}
    quantity = {"value": number, "system": "http://unitsofmeasure.org", **unit}
    return {"valueQuantity": quantity}  # an Observation has no valueDecimal


def _number(row: Row, question: Question) -> Any:
    content = row.value
    if row.kind == "Quantity" and isinstance(content, dict):
        if content.get("code") not in (None, "1", question.unit) or "comparator" in content:
            return None
        content = content.get("value")
    elif row.kind == "String":
        content = int(content) if str(content).strip().isdecimal() else None
    elif row.kind not in {"Decimal", "Integer"}:
        return None  # a range, a ratio, true or false
    if content is None or question.type != "integer":
        return content
    return int(content) if content == int(content) else None
