"""
What the service authors of a screening, from templates that were checked when they were loaded.

A template says what never changes; a request fills in who, when and what.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from app import fhir
from app.conformance import Definitions
from app.domain.forms import Forms
from app.domain.halves import Halves
from app.domain.instrument import (
    CATEGORIES,
    CATEGORY,
    HELP_WISH,
    LOINC,
    AnswerOption,
    Instrument,
    Panel,
    Proposed,
    Question,
    Result,
    Total,
)
from app.domain.reading import OBSERVATION
from app.errors import MappingError
from app.fhir import Resource, concept
from app.settings import CANONICAL

SCREENING: Final = f"{CANONICAL}/screening"  # meta.source of all that is made, with #id of which
RESPONSE: Final = (
    "http://hl7.org/fhir/us/sdoh-clinicalcare/StructureDefinition/"
    "SDOHCC-ObservationScreeningResponse"
)
REQUEST: Final = (
    "http://hl7.org/fhir/us/sdoh-clinicalcare/StructureDefinition/SDOHCC-ServiceRequest"
)
WISH: Final = f"{CANONICAL}/StructureDefinition/help-wish"
PROPOSAL: Final = f"{CANONICAL}/StructureDefinition/help-proposal"
# The guide's profile takes LOINC codes alone; a house form's own codes are held against this one.
LOCAL: Final = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-simple-observation"
CONDITION: Final = "http://hl7.org/fhir/us/sdoh-clinicalcare/StructureDefinition/SDOHCC-Condition"
PROVENANCE: Final = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-provenance"
_TERMINOLOGY: Final = "http://terminology.hl7.org/CodeSystem"
_SDOH: Final = concept("http://hl7.org/fhir/us/core/CodeSystem/us-core-category", "sdoh")
_SURVEY: Final = concept(f"{_TERMINOLOGY}/observation-category", "survey")
_POSITIVE: Final = [concept(f"{_TERMINOLOGY}/v3-ObservationInterpretation", "POS")]
# SNOMED CT, as in the guide's examples: http://snomed.info/sct
_SOCIAL_SERVICE: Final = concept("http://snomed.info/sct", "410606002", "Social service procedure")
_SENSITIVE: Final = [
    {"system": f"{_TERMINOLOGY}/v3-ActCode", "code": "SDV"},
    {"system": f"{_TERMINOLOGY}/v3-ActCode", "code": "NOPAT"},
]
_MOMENT: Final = "2026-11-23T09:15:00Z"  # of what templates are tried with
_VIOLENCE: Final = "intimate-partner-violence"
VERIFICATION: Final = f"{_TERMINOLOGY}/condition-ver-status"
ENTERED_IN_ERROR: Final = concept(VERIFICATION, "entered-in-error")
_UNCONFIRMED: Final = concept(VERIFICATION, "unconfirmed")
_ACTIVE: Final = concept(f"{_TERMINOLOGY}/condition-clinical", "active")
_CONCERN: Final = concept(
    "http://hl7.org/fhir/us/core/CodeSystem/condition-category", "health-concern"
)
# Who says so is a program, and nobody else does yet.
_ASSERTED_BY_US: Final = [
    {
        "url": "http://hl7.org/fhir/us/sdoh-clinicalcare/StructureDefinition/"
        "SDOHCC-ExtensionConditionAsserter",
        "valueReference": {"type": "Device", "display": "Kinbridge"},
    }
]


@dataclass(frozen=True, slots=True)
class Template:
    """
    What an Observation always has.

    part        by which its id is told from others of its screening
    """

    part: str
    head: Resource
    meta: Resource


@dataclass(frozen=True, slots=True)
class Who:
    """What all that is made of one screening shares."""

    screening: str
    subject: Resource


class Templates:
    """
    A template for each panel, question, answer's domain, result and total of the loaded instruments.

    raises      MappingError: one that FHIR's types or its profile do not take
    """

    def __init__(self, forms: Forms, definitions: Definitions | None = None) -> None:
        self.halves = Halves()
        self._made: dict[tuple[str, str, tuple[str, ...]], Template] = {}
        for instrument in forms.instruments:
            for panel in instrument.panels:
                self._add(instrument, panel, ())
            for question in instrument.questions:
                self._add(instrument, question, question.categories)
                for option in question.answers:
                    self._add(instrument, question, option.categories or question.categories)
            for made in instrument.made:
                self._add(instrument, made, made.categories)
        self._wishes = {one: _wish(one) for one in CATEGORIES}
        if definitions is not None:
            conditions = [one for each in forms.instruments for one in self._conditions(each)]
            _hold([*self._made.values(), *self._wishes.values()], conditions, definitions)

    def _conditions(self, instrument: Instrument) -> Iterator[tuple[Proposed, Template]]:
        """Each Condition that an instrument proposes, with the template of what speaks for it."""
        for question in instrument.questions:
            for option in question.answers:
                if option.condition:
                    yield option.condition, self.answer(instrument, question, option)
        for result in instrument.results:
            if result.at_risk.condition:
                yield result.at_risk.condition, self.computed(instrument, result)
        for total in instrument.totals:
            if total.condition:
                yield total.condition, self.computed(instrument, total)

    def _add(
        self,
        instrument: Instrument,
        what: Panel | Question | Result | Total,
        categories: tuple[str, ...],
    ) -> None:
        system = what.system if isinstance(what, (Panel, Question)) else instrument.system
        profile = RESPONSE if system == LOINC else LOCAL
        security = _SENSITIVE if getattr(what, "sensitive", False) else []
        self._made[instrument.id, what.code, categories] = Template(
            f"{instrument.id}/{what.code}",
            _head(concept(system, what.code, what.label), categories),
            {"profile": [profile], **({"security": security} if security else {})},
        )

    def answer(
        self, instrument: Instrument, question: Question, option: AnswerOption | None
    ) -> Template:
        categories = (option.categories if option else ()) or question.categories
        return self._made[instrument.id, question.code, categories]

    def panel(self, instrument: Instrument, code: str) -> Template:
        return self._made[instrument.id, code, ()]

    def computed(self, instrument: Instrument, what: Result | Total) -> Template:
        return self._made[instrument.id, what.code, what.categories]

    def wish(self, category: str) -> Template:
        return self._wishes[category]


def _head(code: Resource, categories: tuple[str, ...]) -> Resource:
    return {
        "status": "final",
        "category": [_SURVEY, _SDOH, *(concept(CATEGORY, one) for one in categories)],
        "code": code,
    }


def _wish(category: str) -> Template:
    """What the family said that it wants help with; a fact of its own, no verdict."""
    said = {"valueCodeableConcept": concept(CATEGORY, category)}
    return Template(
        f"{HELP_WISH}/{category}",
        {**_head(concept(OBSERVATION, HELP_WISH, "Wants help"), (category,)), **said},
        {"profile": [WISH], **({"security": _SENSITIVE} if category == _VIOLENCE else {})},
    )


def observation(  # noqa: PLR0913 — what it consists of
    template: Template, who: Who, identity: str, frame: Resource, said: Resource, *, verdict: bool
) -> Resource:
    """One Observation: the template, filled in."""
    made = {
        "resourceType": "Observation",
        "id": identity,
        "meta": {"source": f"{SCREENING}#{who.screening}", **template.meta},
        **template.head,
        "subject": who.subject,
        **frame,
        **said,
    }
    if verdict:
        made["interpretation"] = _POSITIVE
    return made


def proposal(
    category: str, who: Who, identity: str, authored: str, reasons: list[Resource]
) -> Resource:
    """SDOHCC-ServiceRequest with intent proposal: nothing is sent before a clinician orders."""
    meta: Resource = {"source": f"{SCREENING}#{who.screening}", "profile": [REQUEST, PROPOSAL]}
    if category == _VIOLENCE:
        meta["security"] = _SENSITIVE
    return {
        "resourceType": "ServiceRequest",
        "id": identity,
        "meta": meta,
        "status": "active",
        "intent": "proposal",
        "category": [_SDOH, concept(CATEGORY, category)],
        "code": _SOCIAL_SERVICE,
        "subject": who.subject,
        "authoredOn": authored,
        "reasonReference": reasons,
    }


def condition(
    proposed: Proposed, who: Who, identity: str, recorded: str, evidence: list[Resource]
) -> Resource:
    """
    SDOHCC-Condition, unconfirmed: a concern that a clinician may confirm, refute or leave alone.

    evidence    the Observations that speak for it, in whose domains it is
    source      SDOH Clinical Care 3.0.0, Condition; an onset is not told by a screening
    """
    first = evidence[0]
    meta: Resource = {"source": f"{SCREENING}#{who.screening}", "profile": [CONDITION]}
    if any(one["meta"].get("security") for one in evidence):
        meta["security"] = _SENSITIVE
    made = {
        "resourceType": "Condition",
        "id": identity,
        "meta": meta,
        "extension": _ASSERTED_BY_US,
        "clinicalStatus": _ACTIVE,
        "verificationStatus": _UNCONFIRMED,
        "category": [_CONCERN, *(one for one in first["category"] if one != _SURVEY)],
        "code": concept(proposed.system, proposed.code, proposed.label),
        "subject": who.subject,
    }
    if "encounter" in first:
        made["encounter"] = first["encounter"]
    detail = [fhir.reference(one) for one in evidence]
    return {**made, "recordedDate": recorded, "evidence": [{"detail": detail}]}


def provenance(  # noqa: PLR0913 — what it consists of
    who: Who,
    identity: str,
    *,
    targets: list[str],
    sources: list[str],
    recorded: str,
    occurred: str,
    again: bool,
) -> Resource:
    """
    What was made, of what, when.

    occurred    when its source said it, "" where it does not say
    again       whether it was made before and is made anew
    """
    made: Resource = {
        "resourceType": "Provenance",
        "id": identity,
        "meta": {"source": f"{SCREENING}#{who.screening}", "profile": [PROVENANCE]},
        "target": [{"reference": one} for one in targets],
    }
    if occurred:
        made["occurredDateTime"] = occurred
    assembler = concept(f"{_TERMINOLOGY}/provenance-participant-type", "assembler")
    return {
        **made,
        "recorded": recorded,
        "activity": concept(f"{_TERMINOLOGY}/v3-DataOperation", "UPDATE" if again else "CREATE"),
        "agent": [{"type": assembler, "who": {"display": "Kinbridge"}}],
        "entity": [{"role": "source", "what": {"reference": one}} for one in sources],
    }


def _hold(
    templates: list[Template], conditions: list[tuple[Proposed, Template]], definitions: Definitions
) -> None:
    """Each template, filled with somebody, is what fhir.resources and its profile take."""
    from fhir.resources.R4B.condition import Condition  # noqa: PLC0415 — slow to read, wanted once
    from fhir.resources.R4B.observation import Observation  # noqa: PLC0415
    from fhir.resources.R4B.provenance import Provenance  # noqa: PLC0415
    from fhir.resources.R4B.servicerequest import ServiceRequest  # noqa: PLC0415

    who = Who("example", {"reference": "Patient/example"})
    frame: Resource = {"effectiveDateTime": _MOMENT}
    reason: Resource = {
        "dataAbsentReason": concept(f"{_TERMINOLOGY}/data-absent-reason", "unknown")
    }
    now = datetime(2026, 11, 24, tzinfo=UTC)
    filled: list[tuple[Any, Resource]] = [
        (
            Observation,
            observation(
                one,
                who,
                "example",
                frame,
                {} if "valueCodeableConcept" in one.head else reason,
                verdict=False,
            ),
        )
        for one in templates
    ]
    filled += [
        (
            ServiceRequest,
            proposal(one, who, "example", "2026-11-23", [{"reference": "Observation/a"}]),
        )
        for one in CATEGORIES
    ]
    for one, template in conditions:
        shown = observation(template, who, "example", frame, reason, verdict=True)
        filled.append((Condition, condition(one, who, "example", _MOMENT, [shown])))
    targets = ["Observation/a"]
    sources = ["QuestionnaireResponse/a"]
    filled.append(
        (
            Provenance,
            provenance(
                who, "example", targets=targets, sources=sources,
                recorded=_MOMENT, occurred=_MOMENT, again=False,
            ),
        )
    )  # fmt: skip
    for model, resource in filled:
        what = resource.get("code", {}).get("text", resource["resourceType"])
        try:
            model.model_validate(resource)
        except ValueError:
            raise MappingError(f"{what}: FHIR's types do not take what would be made") from None
        for issue in definitions.check(resource, now=now):
            if issue.severity in {"error", "fatal"}:
                raise MappingError(f"{what}: {issue.expression}: {issue.text}")
