"""Screening instruments as data, mappings/instruments/*.toml: what is asked and what an answer says."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from app.fhir import Resource, listed

LOINC: Final = "http://loinc.org"
HELP_WISH: Final = "help-wish"  # linkId, or its last segment, of the item that is our own

Need = Literal["yes", "no", "unknown", "declined"]


class AnswerOption(BaseModel):
    """One answer that a question offers, and what it says; see the head of the TOML files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: str
    category: str = ""
    need: Need | None = None
    evidence: Literal["guide", "analyst"] | None = None

    @property
    def verdict(self) -> bool:
        """Whether the answer shows a need, by a rule that somebody answers for."""
        return self.need == "yes" and self.evidence != "analyst"


class Question(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    code: str
    label: str
    category: str = ""
    type: Literal["choice", "integer", "decimal", "string"] = "choice"
    unit: str = ""  # UCUM, of a number
    repeats: bool = False
    computed: bool = False  # derived from other answers, not given by a person
    sensitive: bool = False  # partner violence: never on a shared summary
    observed: bool = True  # false: stays in the response, no Observation is made
    answers: tuple[AnswerOption, ...] = ()

    def option(self, code: str) -> AnswerOption | None:
        return next((answer for answer in self.answers if answer.code == code), None)


class Instrument(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    name: str
    panel: str
    canonicals: tuple[str, ...] = ()
    questions: tuple[Question, ...]

    def question(self, link_id: str) -> Question | None:
        """The question of an item whose linkId, or its last segment, is the question's code."""
        code = segment(link_id)
        return next((question for question in self.questions if question.code == code), None)


def segment(link_id: str) -> str:
    return link_id.rsplit("/", 1)[-1]


def items(response: Resource) -> list[tuple[str, Resource]]:
    """Every item of a QuestionnaireResponse with its FHIRPath location, outermost first."""
    found: list[tuple[str, Resource]] = []

    def walk(holder: Resource, path: str) -> None:
        for index, item in enumerate(listed(holder.get("item"))):
            if isinstance(item, dict):
                here = f"{path}.item[{index}]"
                found.append((here, item))
                walk(item, here)
                for number, answer in enumerate(listed(item.get("answer"))):
                    if isinstance(answer, dict):
                        walk(answer, f"{here}.answer[{number}]")

    walk(response, "QuestionnaireResponse")
    return found


def of(response: Resource, instruments: tuple[Instrument, ...]) -> Instrument | None:
    """
    The instrument that a response answers: by its canonical, else by its items.

    Items that several instruments share belong to the one that has most of the response's items,
    the shorter one where that is even.
    """
    canonical = str(response.get("questionnaire", "")).split("|", 1)[0]
    for instrument in instruments:
        if canonical and canonical in instrument.canonicals:
            return instrument
    answered = {segment(str(item.get("linkId", ""))) for _, item in items(response)}

    def fit(instrument: Instrument) -> tuple[int, int]:
        codes = {question.code for question in instrument.questions}
        return len(codes & answered), -len(codes)

    best = max(instruments, key=fit, default=None)
    return best if best and fit(best)[0] else None


def value(answer: Resource) -> tuple[str, Any]:
    """Type and value of an answer's value[x]: ("Coding", {...}); ("", None) where it has none."""
    for name, content in answer.items():
        if name.startswith("value"):
            return name.removeprefix("value"), content
    return "", None
