"""What a caseworker needs to know from a report, and how much of it is there; mappings/completeness.toml."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, model_validator

from app import fhir, fhirpath
from app.domain.submission import Submission
from app.errors import Invalid, Issue
from app.fhir import Resource, listed
from app.fhirpath import (
    BudgetError,
    Environment,
    EvaluationError,
    Expression,
    ExpressionError,
)
from app.settings import CANONICAL

SCORE: Final = f"{CANONICAL}/StructureDefinition/cps-completeness"
_FLAG: Final = "juris:"
_RULES: Final = f"{CANONICAL}/completeness"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Set(_Model):
    name: str
    says: str
    is_: str

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        return {("is_" if key == "is" else key): value for key, value in data.items()}


class Rule(_Model):
    """What a report must have; without a hard one nothing is sent."""

    id: str
    hard: bool
    says: str
    at: str
    holds: str

    def issue(self) -> Issue:
        """For a person; the rule's id and page with it."""
        url = f"{_RULES}/{self.id}"
        return Issue("error", "business-rule", self.says, self.at, rule=self.id, url=url)


class Element(_Model):
    id: str
    label: str
    tier: str
    weight: int
    applies: tuple[str, ...]
    gap: str
    met: str
    known: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """
    completeness, known     percent, rounded half up
    failed                  ids of structural rules that do not hold
    gaps                    elements that are not met, heaviest first; those that are shown
    """

    completeness: int
    known: int
    band: str
    failed: tuple[Rule, ...]
    gaps: tuple[Element, ...]

    def parameters(self) -> Resource:
        """As $check-referral answers."""
        return {
            "resourceType": "Parameters",
            "parameter": [
                {"name": "completeness", "valueInteger": self.completeness},
                {"name": "known", "valueInteger": self.known},
                {"name": "band", "valueCode": self.band},
                *({"name": "failed", "valueCode": one.id} for one in self.failed),
                *(
                    {
                        "name": "gap",
                        "part": [
                            {"name": "id", "valueCode": one.id},
                            {"name": "text", "valueString": one.gap},
                        ],
                    }
                    for one in self.gaps
                ),
            ],
        }

    def extension(self) -> Resource:
        """As it stands with the Task, for both sides."""
        return {
            "url": SCORE,
            "extension": [
                {"url": "completeness", "valueInteger": self.completeness},
                {"url": "known", "valueInteger": self.known},
                {"url": "band", "valueCode": self.band},
                *({"url": "gap", "valueString": f"{one.id}: {one.gap}"} for one in self.gaps),
            ],
        }


class Standard(_Model):
    """The file, compiled once; its head says what each key means."""

    bands: dict[str, int]
    shown_gaps: int
    allegations: str
    urls: dict[str, str]
    sets: tuple[Set, ...]
    structure: tuple[Rule, ...]
    elements: tuple[Element, ...]

    @model_validator(mode="after")
    def _compiles(self) -> Self:
        try:
            self._compiled  # noqa: B018 — an expression that cannot be compiled stops the start
        except ExpressionError as error:
            raise ValueError(str(error)) from None
        return self

    @cached_property
    def _compiled(self) -> _Compiled:
        return _Compiled(
            tuple((one.name, fhirpath.compile(one.is_)) for one in self.sets),
            tuple((one, fhirpath.compile(one.holds)) for one in self.structure),
            tuple((one, fhirpath.compile(one.met), self._known(one)) for one in self.elements),
            fhirpath.compile(self.allegations),
        )

    def _known(self, element: Element) -> Expression | None:
        """None where it is known as soon as it is met: the same is said, and not of facts."""
        said = element.known or element.met
        of_facts = any(name.startswith("fact:") for name in _QUOTED.findall(said))
        return fhirpath.compile(said) if element.known or of_facts else None

    @cached_property
    def flags(self) -> frozenset[str]:
        """What a jurisdiction's form may ask for beside what all ask."""
        asked = (one for element in self.elements for one in element.applies)
        return frozenset(one.removeprefix(_FLAG) for one in asked if one.startswith(_FLAG))

    def measure(self, submission: Submission, *, flags: frozenset[str]) -> Measured:
        """
        The two numbers of a submission, and what is missing.

        flags       of the jurisdiction, such as race
        raises      Invalid: it is too large to be looked at
        """
        try:
            return self._measure(submission, flags)
        except (BudgetError, EvaluationError):
            text = "This is more than can be looked at; send what the report needs, for one child."
            raise Invalid(text, expression="Bundle.entry") from None

    def _measure(self, submission: Submission, flags: frozenset[str]) -> Measured:
        compiled = self._compiled
        sight = _Sight(submission, dict(self.urls))
        for name, expression in compiled.sets:
            found = sight.gives(expression)
            sight.bound[name] = found
            if name in _BY_ROLE:
                sight.bound |= self._by(_BY_ROLE[name], found, _roles)
        failed = tuple(rule for rule, test in compiled.structure if not sight.holds(test))
        applies = {str(getattr(one, "value", one)) for one in sight.gives(compiled.allegations)}
        applies |= {f"{_FLAG}{flag}" for flag in flags}
        elements = [
            one for one in compiled.elements if not one[0].applies or applies & set(one[0].applies)
        ]
        sight.bound |= self._by("fact:", sight.bound["answered"], self._codes_of)
        met = {one.id: sight.holds(test) for one, test, _ in elements}
        sight.bound |= self._by("fact:", sight.bound["known"], self._codes_of)
        known = {
            one.id: met[one.id] if test is None else sight.holds(test) for one, _, test in elements
        }
        total = sum(one.weight for one, _, _ in elements)
        completeness, share = (
            _percent(sum(one.weight for one, _, _ in elements if counted[one.id]), total)
            for counted in (met, known)
        )
        gaps = [one for one, _, _ in elements if not met[one.id]]
        gaps.sort(key=lambda one: (-one.weight, one.tier, one.id))
        band = next(name for name, least in self.bands.items() if completeness >= least)
        return Measured(completeness, share, band, failed, tuple(gaps[: self.shown_gaps]))

    def _by(
        self, prefix: str, nodes: list[Any], names: Callable[[Resource], set[str]]
    ) -> dict[str, list[Any]]:
        """Nodes by name; each name that an expression asks for is there, if only empty."""
        found: dict[str, list[Any]] = {
            name: []
            for name in self._asked
            if name.startswith(prefix) and (prefix or ":" not in name)
        }
        for node in nodes:
            for name in names(node.value):
                found.setdefault(prefix + name, []).append(node)
        return found

    def _codes_of(self, observation: Resource) -> set[str]:
        codings = listed((observation.get("code") or {}).get("coding"))
        system = self.urls["observation"]
        return {str(one.get("code")) for one in codings if one.get("system") == system}

    @cached_property
    def _asked(self) -> frozenset[str]:
        texts = [one.is_ for one in self.sets]
        texts += [text for one in self.elements for text in (one.met, one.known)]
        return frozenset(name for text in texts for name in _QUOTED.findall(text))


_BY_ROLE: Final = {"party": "party:", "namedParty": "named:"}
_QUOTED: Final = re.compile("%`([^`]+)`")


def _roles(party: Resource) -> set[str]:
    return {
        value
        for part in fhir.extensions(party, "role")
        for name, value in part.items()
        if name.startswith("value") and isinstance(value, str)
    }


class _Sight:
    """One submission, and what is bound while it is looked at."""

    def __init__(self, submission: Submission, bound: dict[str, Any]) -> None:
        self.bound = {**bound, "resources": _RESOURCES.items(submission.bundle)}
        self._world = Environment(resolve=submission.resolve)

    def gives(self, expression: Expression) -> list[Any]:
        return expression.items(_NOTHING, variables=self.bound, environment=self._world)

    def holds(self, expression: Expression) -> bool:
        found = self.gives(expression)
        return len(found) == 1 and getattr(found[0], "value", found[0]) is True


_RESOURCES: Final = fhirpath.compile("Bundle.entry.resource")
# no expression starts from it, and resolve() finds nothing in it but asks the submission
_NOTHING: Final = {"resourceType": "Bundle"}


@dataclass(frozen=True, slots=True)
class _Compiled:
    sets: tuple[tuple[str, Expression], ...]
    structure: tuple[tuple[Rule, Expression], ...]
    elements: tuple[tuple[Element, Expression, Expression | None], ...]
    allegations: Expression


def _percent(part: int, whole: int) -> int:
    """Rounded half up."""
    return (200 * part + whole) // (2 * whole)
