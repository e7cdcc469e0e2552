"""The planner `receive`: a screening becomes Observations, and proposals where help is wanted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from app import fhir
from app.domain import instrument as instruments
from app.domain.case import Case
from app.domain.instrument import HELP_WISH, LOINC, AnswerOption, Instrument, Question
from app.domain.plan import Answer, Entry, Plan, Put, Stored, derive, put
from app.errors import Conflict, Invalid, Issue, NotSupported
from app.fhir import Resource, concept, listed
from app.settings import CANONICAL

CATEGORY: Final = (
    "http://hl7.org/fhir/us/sdoh-clinicalcare/CodeSystem/SDOHCC-CodeSystemTemporaryCodes"
)
_PROFILE: Final = "http://hl7.org/fhir/us/sdoh-clinicalcare/StructureDefinition"
_TERMINOLOGY: Final = "http://terminology.hl7.org/CodeSystem"
_SDOH: Final = concept("http://hl7.org/fhir/us/core/CodeSystem/us-core-category", "sdoh")
_SURVEY: Final = concept(f"{_TERMINOLOGY}/observation-category", "survey")
_POSITIVE: Final = concept(f"{_TERMINOLOGY}/v3-ObservationInterpretation", "POS")
_DECLINED: Final = concept(f"{_TERMINOLOGY}/data-absent-reason", "asked-declined")
# SNOMED CT, as in the guide's examples: http://snomed.info/sct
_SOCIAL_SERVICE: Final = concept("http://snomed.info/sct", "410606002", "Social service procedure")
_SENSITIVE: Final = (
    {"system": f"{_TERMINOLOGY}/v3-ActCode", "code": "SDV"},
    {"system": f"{_TERMINOLOGY}/v3-ActCode", "code": "NOPAT"},
)
_TELLING: Final = {"completed", "amended"}  # a response in another status waits
CATEGORIES: Final = frozenset(
    [
        "sdoh-category-unspecified",
        "food-insecurity",
        "housing-instability",
        "homelessness",
        "inadequate-housing",
        "transportation-insecurity",
        "financial-insecurity",
        "material-hardship",
        "educational-attainment",
        "employment-status",
        "veteran-status",
        "stress",
        "social-connection",
        "intimate-partner-violence",
        "elder-abuse",
        "personal-health-literacy",
        "health-insurance-coverage-status",
        "medical-cost-burden",
        "digital-literacy",
        "digital-access",
        "utility-insecurity",
        "incarceration-status",
        "language-access",
        "protective-factor",
    ]
)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A response and what its resources need: ids, and when it was said."""

    response: Resource
    instrument: Instrument
    key: bytes
    shelf: str

    def id(self, *parts: str) -> str:
        return derive(self.key, self.shelf, "screening", self.response["id"], *parts)


def plan(case: Case, entry: Entry) -> Plan:
    """
    A QuestionnaireResponse, the Observations it shows, and a proposal for each wish.

    raises      NotSupported: at $submit-screening, an instrument that nobody knows
                Invalid: at $submit-screening, any fault; every fault is named
    """
    shelf, key, now = case.shelf.key, case.key, case.now
    response, known = entry.resource, case.mappings.instruments
    stored = case.loaded.resource(shelf, fhir.name(response))
    instrument = instruments.of(response, known)
    strict = case.change.act == "submit-screening"
    if instrument is None and strict:
        names = ", ".join(f"{one.name} ({one.canonicals[0]})" for one in known)
        raise NotSupported(
            f"No known instrument asks these questions. Known are: {names}.",
            expression="QuestionnaireResponse.questionnaire",
        )
    faults = _faults(response, instrument)
    subject = _subject(response)
    if subject and case.find(str(subject["reference"])) is None:
        text = "This patient is not on the shelf; send the Patient too."
        faults = (*faults, _issue(text, "QuestionnaireResponse.subject", code="not-found"))
    if strict and any(issue.severity == "error" for issue in faults):
        raise Invalid(issues=faults)

    told = stored.resource.get("subject", response.get("subject")) if stored else None
    if stored and stored.stands and told != response.get("subject"):
        raise Conflict(
            "A response does not move to another patient; send it anew, and withdraw this one.",
            expression="QuestionnaireResponse.subject",
        )
    made = _made(response, instrument, key=key, shelf=shelf)
    before = _made(stored.resource, instrument, key=key, shelf=shelf) if stored else {}
    case.loaded.expect(shelf, [*made, *before])
    puts = put(response, stored, shelf=shelf, now=now, method=entry.method)
    for name, resource in made.items():
        puts += _put(resource, case.loaded.resource(shelf, name), shelf, now)
    for name in before.keys() - made.keys():
        puts += _retract(case.loaded.resource(shelf, name), shelf, now)
    warned = tuple(replace(issue, severity="warning") for issue in faults)
    created = frozenset(fhir.name(one.resource) for one in puts if one.expected == 0)
    return Plan(Answer((fhir.name(response), *made), created, warned), puts)


def shown(case: Case, name: str) -> tuple[str, ...]:
    """The names of what an earlier response became."""
    response = case.find(name)
    if response is None:
        return ()
    instrument = instruments.of(response, case.mappings.instruments)
    return tuple(_made(response, instrument, key=case.key, shelf=case.shelf.key))


def _put(resource: Resource, stored: Stored | None, shelf: str, now: datetime) -> tuple[Put, ...]:
    """A new Observation is final; one that stood there and now says something else is corrected."""
    if stored and stored.stands and resource["resourceType"] == "Observation":
        as_it_was = {**resource, "status": stored.resource["status"]}
        if put(as_it_was, stored, shelf=shelf, now=now):
            return put({**resource, "status": "corrected"}, stored, shelf=shelf, now=now)
        return ()
    if stored:
        return ()  # a proposal may have been taken up since; it is made once
    return put(resource, None, shelf=shelf, now=now)


def _retract(stored: Stored | None, shelf: str, now: datetime) -> tuple[Put, ...]:
    """What an earlier version of the response showed and this one does not."""
    if stored is None or not stored.stands:
        return ()
    return put({**stored.resource, "status": "entered-in-error"}, stored, shelf=shelf, now=now)


def _made(
    response: Resource, instrument: Instrument | None, *, key: bytes, shelf: str
) -> dict[str, Resource]:
    """
    What a response shows: {Type/id: resource}; the panel first, then items, wishes, proposals.

    source      SDC observation-based extraction, https://hl7.org/fhir/uv/sdc/extraction.html
    """
    if instrument is None or response.get("status") not in _TELLING:
        return {}
    if not _subject(response) or not response.get("authored"):
        return {}
    asked = _Asked(response, instrument, key, shelf)
    answered = [
        _observation(asked, question, answer, index)
        for _, item in instruments.items(response)
        if (question := instrument.question(str(item.get("linkId", "")))) and question.observed
        for index, answer in enumerate(listed(item.get("answer")))
        if isinstance(answer, dict) and _fault(question, answer, "") is None
    ]
    wished = [_wish(asked, category) for category in _wishes(response)]
    made = [*answered, *wished]
    if answered:
        panel = _base(asked, "panel", concept(LOINC, instrument.panel, instrument.name), ())
        panel["hasMember"] = [fhir.reference(one) for one in answered]
        made.insert(0, panel)
    proposals = [_proposal(asked, wish, answered) for wish in wished]
    return {fhir.name(resource): resource for resource in [*made, *proposals]}


def _base(
    asked: _Asked, part: str, code: Resource, categories: tuple[str, ...], *, index: int = 0
) -> Resource:
    """The part that all Observations of a screening share: SDOHCC-ObservationScreeningResponse."""
    response = asked.response
    base: Resource = {
        "resourceType": "Observation",
        "id": asked.id(part, str(index)),
        "meta": {"profile": [f"{_PROFILE}/SDOHCC-ObservationScreeningResponse"]},
        "status": "final",
        "category": [_SURVEY, _SDOH, *(concept(CATEGORY, one) for one in categories)],
        "code": code,
        "subject": _subject(response),
    }
    if response.get("encounter"):
        base["encounter"] = response["encounter"]
    base["effectiveDateTime"] = response["authored"]
    if "T" in response["authored"]:
        base["issued"] = response["authored"]
    performer = response.get("author") or response.get("source")
    if performer:
        base["performer"] = [performer]
    base["derivedFrom"] = [fhir.reference(response)]
    return base


def _observation(asked: _Asked, question: Question, answer: Resource, index: int) -> Resource:
    kind, value = instruments.value(answer)
    option = question.option(value["code"]) if kind == "Coding" else None
    category = (option and option.category) or question.category
    made = _base(
        asked,
        question.code,
        concept(LOINC, question.code, question.label),
        (category,) if category else (),
        index=index,
    )
    if question.computed:
        made.pop("performer", None)
    if question.sensitive:
        made["meta"] = {**made["meta"], "security": list(_SENSITIVE)}
    return {**made, **_said(question, option, kind, value)}


def _said(question: Question, option: AnswerOption | None, kind: str, value: object) -> Resource:
    if option and option.need == "declined":
        return {"dataAbsentReason": _DECLINED}
    if option:
        said: Resource = {"valueCodeableConcept": {"coding": [value]}}
        return {**said, "interpretation": [_POSITIVE]} if option.verdict else said
    if question.unit:
        unit = {"system": "http://unitsofmeasure.org", "code": question.unit, "unit": question.unit}
        return {"valueQuantity": {"value": value, **unit}}
    return {f"value{kind}": value}


def _wishes(response: Resource) -> list[str]:
    """The domains in which the family wants help, by the item that is our own."""
    found = [
        str(value.get("code"))
        for _, item in instruments.items(response)
        if instruments.segment(str(item.get("linkId", ""))) == HELP_WISH
        for answer in listed(item.get("answer"))
        for kind, value in [instruments.value(answer)]
        if kind == "Coding" and value.get("system") == CATEGORY and value.get("code") in CATEGORIES
    ]
    return list(dict.fromkeys(found))


def _wish(asked: _Asked, category: str) -> Resource:
    """What the family said that it wants help with; a fact of its own, no verdict."""
    code = concept(f"{CANONICAL}/CodeSystem/observation", HELP_WISH, "Wants help")
    made = _base(asked, f"{HELP_WISH}/{category}", code, (category,))
    del made["meta"]  # the guide's profile takes LOINC codes only
    return {**made, "valueCodeableConcept": concept(CATEGORY, category)}


def _proposal(asked: _Asked, wish: Resource, answered: list[Resource]) -> Resource:
    """SDOHCC-ServiceRequest with intent proposal: nothing is sent before a clinician orders."""
    category = wish["valueCodeableConcept"]["coding"][0]
    reasons = [wish, *(one for one in answered if fhir.has_code(one["category"], **category))]
    return {
        "resourceType": "ServiceRequest",
        "id": asked.id("proposal", category["code"]),
        "meta": {"profile": [f"{_PROFILE}/SDOHCC-ServiceRequest"]},
        "status": "active",
        "intent": "proposal",
        "category": [_SDOH, {"coding": [category]}],
        "code": _SOCIAL_SERVICE,
        "subject": _subject(asked.response),
        "authoredOn": asked.response["authored"],
        "reasonReference": [fhir.reference(one) for one in reasons],
    }


def _subject(response: Resource) -> Resource | None:
    subject = response.get("subject")
    if isinstance(subject, dict) and str(subject.get("reference", "")).startswith("Patient/"):
        return subject
    return None


def _faults(response: Resource, instrument: Instrument | None) -> tuple[Issue, ...]:
    """What keeps a response, or a part of it, from being understood; each with its location."""
    found: list[Issue] = []
    if instrument is None:
        text = "No known instrument asks these questions: stored, and no Observation is made."
        found.append(_issue(text, "QuestionnaireResponse.questionnaire", code="not-supported"))
    if response.get("status") not in _TELLING | {"in-progress", "entered-in-error", "stopped"}:
        found.append(_issue("Give a status of the standard's.", "QuestionnaireResponse.status"))
    if _subject(response) is None:
        text = "Name the patient as Patient/id of this shelf."
        found.append(_issue(text, "QuestionnaireResponse.subject"))
    if not isinstance(response.get("authored"), str):
        text = "Say when it was answered."
        found.append(_issue(text, "QuestionnaireResponse.authored", code="required"))
    for path, item in instruments.items(response):
        link_id = str(item.get("linkId", ""))
        for index, answer in enumerate(listed(item.get("answer"))):
            here = f"{path}.answer[{index}]"
            fault = None
            if not isinstance(answer, dict):
                fault = _issue("An answer is an object.", here)
            elif instruments.segment(link_id) == HELP_WISH:
                fault = _wish_fault(answer, here)
            elif instrument and (question := instrument.question(link_id)):
                fault = _fault(question, answer, here)
            found.extend([fault] if fault else [])
    return tuple(found)


def _wish_fault(answer: Resource, path: str) -> Issue | None:
    kind, value = instruments.value(answer)
    none = f"{CANONICAL}/CodeSystem/help-wish"
    if kind == "Coding" and isinstance(value, dict):
        if value.get("system") == CATEGORY and value.get("code") in CATEGORIES:
            return None
        if value.get("system") == none and value.get("code") == "no-help-wanted":
            return None
    return _issue(f"Answer with a coding of {CATEGORY}, or no-help-wanted of {none}.", path)


_TYPES: Final = {
    "choice": ("Coding",),
    "integer": ("Integer",),
    "decimal": ("Decimal", "Integer"),
    "string": ("String",),
}


def _fault(question: Question, answer: Resource, path: str) -> Issue | None:
    kind, value = instruments.value(answer)
    if kind not in _TYPES[question.type]:
        return _issue(f"Question {question.code} takes a {question.type} as its answer.", path)
    if question.type != "choice":
        return None
    known = isinstance(value, dict) and value.get("system") == LOINC
    if not known or question.option(str(value.get("code"))) is None:
        text = f"Question {question.code} takes one of: "
        return _issue(text + ", ".join(one.code for one in question.answers) + ".", path)
    return None


def _issue(text: str, expression: str, *, code: str = "value") -> Issue:
    return Issue("error", code, text, expression)
