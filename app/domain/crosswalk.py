"""A tenant's own codes and words for questions and answers, test and production apart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.domain.instrument import Instrument, plain
from app.errors import MappingError

_BETWEEN: Final = "\x1f"


class _From(BaseModel):
    """What an EHR sends: a code, or words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: str = ""
    code: str = ""
    text: str = ""

    @model_validator(mode="after")
    def _said(self) -> _From:
        if bool(self.code) == bool(self.text):
            message = "give a code with its system, or a text"
            raise ValueError(message)
        return self


class QuestionRow(_From):
    """For an item that has a linkId and no code, system is the Questionnaire's url, code the linkId."""

    instrument: str
    question: str

    @property
    def key(self) -> str:
        return question_key(self.system, self.code, self.text)

    @property
    def target(self) -> str:
        return f"{self.instrument}|{self.question}"


class AnswerRow(_From):
    """An answer to one question of one instrument."""

    instrument: str
    question: str
    answer: str

    @property
    def key(self) -> str:
        return answer_key(self.instrument, self.question, (self.system, self.code), self.text)

    @property
    def target(self) -> str:
        return self.answer


class Crosswalk(BaseModel):
    """One file of mappings/crosswalks/, or what `kinbridge map load` brings into the database."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant: str
    environment: str = "production"
    questions: tuple[QuestionRow, ...] = ()
    answers: tuple[AnswerRow, ...] = Field(default=())

    def rows(self, instruments: Iterable[Instrument]) -> dict[str, str]:
        """
        {key: target}.

        raises      MappingError: a target that no loaded instrument has, a key that stands twice
        """
        known = {one.id: one for one in instruments}
        found: dict[str, str] = {}
        rows: list[QuestionRow | AnswerRow] = [*self.questions, *self.answers]
        for row in rows:
            instrument = known.get(row.instrument)
            asked = [] if instrument is None else instrument.questions
            question = next((one for one in asked if one.code == row.question), None)
            computed = instrument.computed if instrument else {}
            if question is None and not (isinstance(row, QuestionRow) and row.question in computed):
                raise MappingError(f"no loaded {row.instrument} asks {row.question}")
            if isinstance(row, AnswerRow) and row.answer not in {
                one.code for one in (question.answers if question else ())
            }:
                raise MappingError(f"{row.question} has no answer {row.answer}")
            if found.setdefault(row.key, row.target) != row.target:
                raise MappingError(f"two rows say where one code or text leads: {row.target}")
        return found


def question_key(system: str, code: str, text: str = "") -> str:
    return _BETWEEN.join(("question", system, code, plain(text)))


def answer_key(instrument: str, question: str, coding: tuple[str, str], text: str = "") -> str:
    return _BETWEEN.join(("answer", instrument, question, *coding, plain(text)))


def coded(key: str) -> tuple[str, str] | None:
    """System and code that the key of a question is of; None for words, and for an answer's key."""
    kind, *parts = key.split(_BETWEEN)
    return (parts[0], parts[1]) if kind == "question" and parts[1] else None
