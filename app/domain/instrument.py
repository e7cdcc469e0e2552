"""Screening instruments as data, mappings/instruments/*.toml: what is asked and what an answer says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from functools import cached_property
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from app.fhir import Resource, listed

LOINC: Final = "http://loinc.org"
CATEGORY: Final = (
    "http://hl7.org/fhir/us/sdoh-clinicalcare/CodeSystem/SDOHCC-CodeSystemTemporaryCodes"
)
HELP_WISH: Final = "help-wish"  # linkId, or its last segment, of the item that is our own
CATEGORIES: Final = frozenset(
    """
    digital-access digital-literacy educational-attainment elder-abuse employment-status
    financial-insecurity food-insecurity health-insurance-coverage-status homelessness
    housing-instability inadequate-housing incarceration-status intimate-partner-violence
    language-access material-hardship medical-cost-burden personal-health-literacy
    protective-factor sdoh-category-unspecified social-connection stress transportation-insecurity
    utility-insecurity veteran-status
    """.split()
)  # SDOHCC-ValueSetSDOHCategory, SDOH Clinical Care 3.0.0

Need = Literal["yes", "no", "unknown", "declined"]
Evidence = Literal["guide", "crosswalk", "authors", "analyst"]


def _domain(code: str) -> str:
    if code not in CATEGORIES:
        message = f"{code} is no domain of SDOHCC-ValueSetSDOHCategory"
        raise ValueError(message)
    return code


Category = Annotated[str, AfterValidator(_domain)]
Code = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^\S+( \S+)*$")]


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SignOff(_Data):
    """Who answers for a rule, since when."""

    by: str = Field(min_length=1)
    on: date


class _Rule(_Data):
    need: Need | None = None
    evidence: Evidence | None = None
    signed_off: SignOff | None = None

    @property
    def verdict(self) -> bool:
        """Whether it shows a need, by a rule that somebody answers for."""
        return self.need == "yes" and (self.evidence != "analyst" or self.signed_off is not None)

    @model_validator(mode="after")
    def _founded(self) -> _Rule:
        if self.need == "yes" and self.evidence is None:
            message = "a need has evidence: guide, crosswalk, authors or analyst"
            raise ValueError(message)
        return self


class Proposed(_Data):
    """A Condition that a clinician may confirm: a code of the domain's value set, with a source."""

    system: str = "http://snomed.info/sct"
    code: Code
    label: str


class AnswerOption(_Rule):
    """
    One answer that a question offers, and what it says.

    label       our own, and what is matched where an answer comes as text
    score       what it adds to a total
    boolean     the true or false that means it
    condition   proposed where this answer shows a need
    """

    code: Code
    system: str = ""  # "": the question's
    label: str = ""
    categories: tuple[Category, ...] = ()
    score: int | None = None
    boolean: bool | None = None
    wish: bool = False  # the family wants help in the question's categories
    condition: Proposed | None = None

    @model_validator(mode="after")
    def _needed(self) -> AnswerOption:
        if self.condition and self.need != "yes":
            message = f"{self.code}: a Condition is proposed by an answer that shows a need"
            raise ValueError(message)
        return self


class Question(_Data):
    """
    One question.

    panel       "": the instrument's first
    shared      instruments that are not here ask it too: ours only where this one is named
    observed    false: stays in the response, no Observation is made
    """

    code: Code
    system: str = ""  # "": the instrument's
    label: str
    panel: str = ""
    categories: tuple[Category, ...] = ()
    type: Literal["choice", "integer", "decimal", "string", "boolean", "date"] = "choice"
    unit: str = ""  # UCUM, of a number
    repeats: bool = False
    sensitive: bool = False  # partner violence: never on a shared summary
    shared: bool = False
    observed: bool = True
    never_a_need: bool = False  # recorded, and no rule on it can be signed off
    why_off: str = ""  # why its analyst's rules are switched off
    answers: tuple[AnswerOption, ...] = ()

    @cached_property
    def options(self) -> dict[tuple[str, str], AnswerOption]:
        """By system and code."""
        return {(one.system, one.code): one for one in self.answers}

    @cached_property
    def words(self) -> dict[str, AnswerOption]:
        """By what an EHR may send as text: label and code, without case and double spaces."""
        found = {plain(one.label): one for one in self.answers if one.label}
        return {**found, **{plain(one.code): one for one in self.answers}}

    @model_validator(mode="after")
    def _explained(self) -> Question:
        codes = [(one.system, one.code) for one in self.answers]
        if len(set(codes)) != len(codes):
            message = f"{self.code} has an answer twice"
            raise ValueError(message)
        if (self.type == "choice") != bool(self.answers):
            message = f"{self.code}: a choice has answers, and nothing else has"
            raise ValueError(message)
        if any(one.evidence == "analyst" for one in self.answers) and not self.why_off:
            message = f"{self.code}: say in why_off why the analyst's rules are switched off"
            raise ValueError(message)
        if self.never_a_need and any(one.verdict for one in self.answers):
            message = f"{self.code} is never a need, and a rule on it says so"
            raise ValueError(message)
        return self


class Result(_Data):
    """
    A coded result of several questions.

    at_risk     when any answer shows a need
    no_risk     when each answer is there and is "no"; else there is no result
    """

    code: Code
    label: str
    categories: tuple[Category, ...] = ()
    sensitive: bool = False
    of: tuple[Code, ...]
    at_risk: AnswerOption
    no_risk: AnswerOption


class Total(_Rule):
    """
    The sum of the scores of several questions; one that is missing makes no total.

    at_least    from here on it shows a need
    """

    code: Code
    label: str
    categories: tuple[Category, ...] = ()
    sensitive: bool = False
    of: tuple[Code, ...]
    at_least: int
    need: Need | None = "yes"
    condition: Proposed | None = None


class Panel(_Data):
    code: Code
    system: str = ""  # "": the instrument's
    label: str


class Instrument(_Data):
    """
    One instrument; docs/add-an-instrument.md explains every key of its file.

    system      of its codes, where nothing nearer says another
    groups      codes of rows that hold answers and say nothing themselves
    """

    id: Code
    name: str
    system: str = LOINC
    panels: tuple[Panel, ...]
    groups: tuple[Code, ...] = ()
    canonicals: tuple[str, ...] = ()
    questions: tuple[Question, ...]
    results: tuple[Result, ...] = ()
    totals: tuple[Total, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _systems(cls, data: Any) -> Any:
        """Each question and answer with the system that is its own or stands above it."""
        if not isinstance(data, dict):
            return data
        system = data.get("system", LOINC)

        def within(one: Any, above: str) -> Any:
            if not isinstance(one, dict):
                return one
            own = one.get("system") or above
            made = {**one, "system": own}
            if isinstance(one.get("answers"), list):
                made["answers"] = [within(answer, own) for answer in one["answers"]]
            return made

        def result(one: Any) -> Any:
            ends = {"at_risk", "no_risk"}
            return {
                key: within(value, system) if key in ends else value for key, value in one.items()
            }

        questions, results = data.get("questions"), data.get("results")
        panels = data.get("panels")
        return {
            **data,
            **({"panels": [within(one, system) for one in panels]} if panels else {}),
            **({"questions": [within(one, system) for one in questions]} if questions else {}),
            **({"results": [result(one) for one in results]} if results else {}),
        }

    @model_validator(mode="after")
    def _whole(self) -> Instrument:
        codes = [one.code for one in self.questions]
        made = [one.code for one in self.made]
        panels = {one.code for one in self.panels}
        if len(set(codes + made)) != len(codes + made):
            message = "a question, result or total stands twice"
            raise ValueError(message)
        for one in self.made:
            if unknown := set(one.of) - set(codes):
                message = f"{one.code} is of {', '.join(sorted(unknown))}, which is no question"
                raise ValueError(message)
        for total in self.totals:
            scored = [one for one in self.questions if one.code in total.of]
            if any(answer.score is None for one in scored for answer in one.answers):
                message = f"{total.code} adds answers that have no score"
                raise ValueError(message)
        if not panels or {one.panel for one in self.questions} - panels - {""}:
            message = "a question names a panel that is not among panels"
            raise ValueError(message)
        return self

    @property
    def made(self) -> tuple[Result | Total, ...]:
        """What is made of other answers, and not given by a person."""
        return (*self.results, *self.totals)

    @cached_property
    def computed(self) -> dict[str, Result | Total]:
        """The same, by code."""
        return {one.code: one for one in self.made}

    @cached_property
    def headings(self) -> frozenset[tuple[str, str]]:
        """System and code of panels and groups."""
        groups = ((self.system, one) for one in self.groups)
        return frozenset({*((one.system, one.code) for one in self.panels), *groups})

    def says(self, *, sensitive: bool) -> Iterator[tuple[str, str]]:
        """System and code of all that is asked, computed or proposed; sensitive: of that alone."""
        if not sensitive:
            yield from self.headings
        for question in self.questions:
            if question.sensitive or not sensitive:
                yield question.system, question.code
                for option in question.answers:
                    yield from _proposed(option.condition)
        for made in self.made:
            if made.sensitive or not sensitive:
                yield self.system, made.code
                verdict = made.at_risk if isinstance(made, Result) else made
                yield from _proposed(verdict.condition)

    @model_validator(mode="after")
    def _no_invented_code(self) -> Instrument:
        """https://loinc.org/kb/users-guide: digits, a hyphen, and a check digit by Luhn's sum."""
        asked = [*self.headings, *((one.system, one.code) for one in self.questions)]
        asked += [(self.system, one.code) for one in self.made]
        answers = [one for question in self.questions for one in question.answers]
        answers += [end for one in self.results for end in (one.at_risk, one.no_risk)]
        for system, code in asked:
            if system == LOINC and not _is_loinc(code):
                message = f"{code} is no LOINC code; give it the system that it is of"
                raise ValueError(message)
        for one in answers:
            if one.system == LOINC and not _ANSWER.fullmatch(one.code):
                message = f"{one.code} is no LOINC answer; give it the system that it is of"
                raise ValueError(message)
        return self


_ANSWER: Final = re.compile(r"LA\d+-\d")
_QUESTION: Final = re.compile(r"\d{1,7}-\d")


def _is_loinc(code: str) -> bool:
    if not _QUESTION.fullmatch(code):
        return False
    digits, check = code.split("-")
    doubled = [int(one) * (2 - at % 2) for at, one in enumerate(reversed(digits))]
    return (sum(map(int, "".join(map(str, doubled)))) + int(check)) % 10 == 0


def plain(text: str) -> str:
    """Text as it is compared: exactly, but for case and spaces."""
    return " ".join(text.split()).casefold()


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


def _proposed(condition: Proposed | None) -> Iterator[tuple[str, str]]:
    if condition is not None:
        yield condition.system, condition.code
