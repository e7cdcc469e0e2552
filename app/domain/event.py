"""What an agency may record and in which order, and what of it has a form that can be told; outcomes.toml."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.domain.concept_map import ConceptMaps
from app.fhir import Resource, concept, listed
from app.settings import CANONICAL, Kind

STATUS: Final = f"{CANONICAL}/CodeSystem/cps-task-status"
OUTPUT: Final = f"{CANONICAL}/CodeSystem/task-output"
REASON: Final = f"{CANONICAL}/CodeSystem/cps-status-reason"
QUESTION: Final = f"{CANONICAL}/CodeSystem/cps-question"
EXPUNGED: Final = "expunged"
AMENDED: Final = "disposition-amended"
TRANSFERRED: Final = "transferred"

# Task.status never steps back; of one rank, the events say what may follow what.
_RANK: Final = {
    "draft": 0, "requested": 0, "received": 1, "accepted": 2, "in-progress": 3, "on-hold": 3,
    "rejected": 4, "completed": 4, "failed": 4, "cancelled": 4, "entered-in-error": 5,
}  # fmt: skip
_NUMBER: Final = re.compile(r"(?=.*\d)[A-Za-z0-9./#-]{1,32}")  # what reads as a sentence is none
_DATE: Final = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")
_PHONE: Final = re.compile(r"[+()0-9. x-]{3,32}")
_NAME: Final = re.compile(r"[^\n<>]{1,80}")


Sentence = Annotated[str, Field(pattern=r"\S")]  # what a person reads is not blank


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Event(_Model):
    """A step that an agency may record."""

    id: str
    kind: Kind
    status: str
    business_status: str = ""
    outcome_class: str = Field(alias="class")
    says: str = ""
    after: tuple[str, ...]

    def brings(self, status: str) -> str:
        """The Task.status that it leads to; one without its own happens in or after the work."""
        return self.status or ("completed" if status == "completed" else "in-progress")

    def sets(self, task: Resource, *, says: bool = False) -> Resource:
        """The Task in this state; with what a clinician reads, where it says so."""
        task = {**task, "status": self.brings(task["status"])}
        if self.business_status:
            text = self.says if says else ""
            task["businessStatus"] = concept(STATUS, self.business_status, text)
        return task

    def follows(self, state: str, status: str) -> bool:
        """Whether it may come next, after a state of that Task.status."""
        allowed = state in self.after or ("*" in self.after and state != self.id)
        return allowed and _RANK[self.brings(status)] >= _RANK[status]


class Output(_Model):
    """One thing that a report's Task may say, and the form in which it holds no narrative."""

    code: str
    outcome_class: str = Field(alias="class")
    form: Literal["number", "date", "code", "contact"]
    told_by: tuple[str, ...] = ()
    system: str = ""
    codes: dict[str, Sentence] = {}


class Outcomes(_Model):
    """
    The file as a whole.

    reasons     {event: {code: what a clinician reads}}
    questions   {code: what is asked}
    """

    events: tuple[Event, ...]
    outputs: tuple[Output, ...]
    reasons: dict[str, dict[str, Sentence]]
    questions: dict[str, Sentence]

    def event(self, kind: Kind, state: str) -> Event | None:
        return self._events.get((kind, state))

    def of(self, kind: Kind) -> tuple[Event, ...]:
        return tuple(one for one in self.events if one.kind == kind)

    def beyond(self, kind: Kind, event: str, state: str) -> bool:
        """Whether a case in this state has left the event behind: it would come late."""
        return state in self._after[kind, event]

    @cached_property
    def _events(self) -> dict[tuple[Kind, str], Event]:
        return {(one.kind, one.id): one for one in self.events}

    @cached_property
    def _after(self) -> dict[tuple[Kind, str], frozenset[str]]:
        """Every state that can be reached from an event."""
        nexts = {
            (one.kind, one.id): {
                other.id
                for other in self.of(one.kind)
                if one.id in other.after or "*" in other.after
            }
            for one in self.events
        }
        reached: dict[tuple[Kind, str], frozenset[str]] = {}
        for kind, event in nexts:
            found: set[str] = set()
            ahead = [event]
            while ahead:
                new = nexts[kind, ahead.pop()] - found
                found |= new
                ahead += new
            reached[kind, event] = frozenset(found)
        return reached

    def value(self, output: Resource, spec: Output, concept_maps: ConceptMaps) -> Resource | None:
        """The value in the form that can be told; None where it has none."""
        values = [value for name, value in output.items() if name.startswith("value")]
        value = values[0] if len(values) == 1 else None
        if spec.form == "code":
            return _code(value, spec, concept_maps)
        if spec.form == "contact":
            return contact(value)
        text = str(value)
        if spec.form == "date":
            return {"valueDate": text[:10]} if _DATE.fullmatch(text[:10]) else None
        return {"valueString": text} if isinstance(value, str) and _NUMBER.fullmatch(text) else None


def _code(value: Any, spec: Output, concept_maps: ConceptMaps) -> Resource | None:
    """One of the codes that can be told, from its own system or one that our ConceptMaps know."""
    said = value if isinstance(value, dict) else {"code": str(value)}
    for coding in listed(said.get("coding")) or [said]:
        code = str(coding.get("code", ""))
        if coding.get("system") or code not in spec.codes:
            code = concept_maps.into(spec.system, coding)
        if code in spec.codes:
            told = {**concept(spec.system, code), "text": spec.codes[code]}
            return {"valueCodeableConcept": told}
    return None


def contact(value: Any) -> Resource | None:
    """A name and a telephone, and nothing beside them."""
    said = value if isinstance(value, dict) else {}
    name = str(said.get("name") or said.get("display") or "").strip()
    phones = [
        {"system": "phone", "value": one["value"]}
        for one in listed(said.get("telecom"))
        if one.get("system") == "phone" and _PHONE.fullmatch(str(one.get("value", "")))
    ]
    if not _NAME.fullmatch(name):
        return None
    return {"valueContactDetail": {"name": name, **({"telecom": phones[:1]} if phones else {})}}
