"""What a source says, row by row: a QuestionnaireResponse's answers, an EHR's screening Observations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from app import fhir
from app.conformance import answers
from app.domain.instrument import HELP_WISH, LOINC, items, segment
from app.errors import Issue
from app.fhir import Resource, listed
from app.settings import CANONICAL

ABSENT: Final = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
OBSERVATION: Final = f"{CANONICAL}/CodeSystem/observation"
_ABSENT_URL: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
# https://hl7.org/fhir/R4/cm-data-absent-reason-v3.html
_NULL: Final = "http://terminology.hl7.org/CodeSystem/v3-NullFlavor"
_FLAVORS: Final = {"ASKU": "asked-unknown", "MSK": "masked", "NASK": "not-asked", "UNK": "unknown"}
_DAY: Final = len("2026-01-31")
# The OIDs: https://hl7.org/fhir/R4/terminologies-systems.html; the rest is how EHRs misspell a url.
_NAMES: Final = {
    **dict.fromkeys(
        ["http://loinc.org/", "http://www.loinc.org", "https://loinc.org", "https://loinc.org/",
         "https://www.loinc.org", "urn:oid:2.16.840.1.113883.6.1"],
        LOINC,
    ),
    "urn:oid:2.16.840.1.113883.6.96": "http://snomed.info/sct",
}  # fmt: skip
# us-core-observation-screening-assessment.performer; a Device is none of them
_PERFORMERS: Final = frozenset(
    ["CareTeam", "Organization", "Patient", "Practitioner", "PractitionerRole", "RelatedPerson"]
)


@dataclass(frozen=True, slots=True)
class Row:
    """
    One answer, or one Observation.

    at          FHIRPath of it in what came
    item        what the answers of one item share
    codes       (system, code) by which the question may be known, the surest first
    words       the question as text; "" where it has none
    kind, value as in value[x]; ("", None) where there is none
    absent      code of the data-absent-reason, "" where none is said
    source      Type/id of what it stands in
    frame       what its Observation has of its source: encounter, effective, performer, derivedFrom
    wish        whether it is the item that is our own
    """

    at: str
    item: str
    codes: tuple[tuple[str, str], ...]
    words: str
    kind: str
    value: Any
    absent: str
    source: str
    frame: Resource = field(repr=False)
    wish: bool = False


def value(holder: Resource) -> tuple[str, Any]:
    """Type and value of a value[x]: ("Coding", {...}); ("", None) where it has none, or spaces alone."""
    for name, content in holder.items():
        if name.startswith("value") and not (isinstance(content, str) and not content.strip()):
            return name.removeprefix("value"), content
    return "", None


def faults_of_frame(source: Resource, effective: str, now_text: str) -> Iterator[Issue]:
    """When it was said: to the day at least, and not after now."""
    kind = source["resourceType"]
    start = source.get("authored") if kind == "QuestionnaireResponse" else start_of(source)
    if not isinstance(start, str) or not start:
        yield Issue("error", "required", "Say when it was answered.", f"{kind}.{effective}")
    elif len(start) < _DAY:
        text = "Say when it was answered, to the day at least."
        yield Issue("error", "value", text, f"{kind}.{effective}")
    elif not fhir.not_after(start, now_text):
        text = "This was answered in the future; mend the date."
        yield Issue("error", "business-rule", text, f"{kind}.{effective}")


def _effective(observation: Resource) -> tuple[str, Any]:
    for name in ("effectiveDateTime", "effectivePeriod", "effectiveInstant"):
        if observation.get(name):
            return name, observation[name]
    return "effectiveDateTime", None


def start_of(observation: Resource) -> str:
    """When an Observation was made, as its session is known; "" where it does not say."""
    moment = _effective(observation)[1]
    found = moment.get("start") or moment.get("end") if isinstance(moment, dict) else moment
    return found if isinstance(found, str) else ""


def frame_of(source: Resource) -> Resource:
    """What the Observations of a source have of it, whatever they say."""
    frame: Resource = {}
    encounter = _carried(source.get("encounter"))
    if encounter:
        frame["encounter"] = encounter
    if source["resourceType"] == "QuestionnaireResponse":
        frame["effectiveDateTime"] = source["authored"]
        if "T" in source["authored"]:
            frame["issued"] = source["authored"]
        performers = [_performer(source.get("author")) or _performer(source.get("source"))]
    else:
        name, moment = _effective(source)
        frame["effectivePeriod" if name == "effectivePeriod" else "effectiveDateTime"] = moment
        if isinstance(source.get("issued"), str):
            frame["issued"] = source["issued"]
        performers = [_performer(one) for one in listed(source.get("performer"))]
    if any(performers):
        frame["performer"] = [one for one in performers if one]
    frame["derivedFrom"] = [fhir.reference(source)]
    return frame


def _carried(reference: Any) -> Resource | None:
    """A reference as another resource may have it: what is contained cannot be pointed at."""
    if not isinstance(reference, dict) or not reference:
        return None
    if fhir.literal(reference).startswith("#"):
        bare = {name: reference[name] for name in ("identifier", "display") if name in reference}
        return bare or None
    return reference


def _performer(reference: Any) -> Resource | None:
    found = _carried(reference)
    kind = fhir.literal(found)
    kind = kind.rsplit("/", 2)[-2] if kind.count("/") else str((found or {}).get("type", ""))
    return found if found and (not kind or kind in _PERFORMERS) else None


def of_response(
    response: Resource, form: dict[str, Resource] | None, issues: list[Issue]
) -> Iterator[Row]:
    """
    One row for each answer of a response.

    form        {linkId: item} of its Questionnaire, None where it is not at hand
    issues      takes what keeps an answer from being read
    """
    frame, source = frame_of(response), fhir.name(response)
    canonical = str(response.get("questionnaire", "")).split("|", 1)[0]
    for path, item, above in _within(response):
        link_id = item.get("linkId")
        given = [(n, one) for n, one in enumerate(listed(item.get("answer")))]
        said_absent = _absent(item)
        if not given and not said_absent:
            continue
        if not isinstance(link_id, str):
            text = "An answer belongs to a question: give the item its linkId."
            issues.append(Issue("error", "required", text, path))
            continue
        asked = (form or {}).get(link_id, {})
        if not answers.enabled(asked, above):
            text = "This item is not enabled by what is answered elsewhere; take its answer out."
            issues.append(Issue("error", "business-rule", text, path))
            continue
        codes = _codes_of(asked, link_id, canonical)
        wish = segment(link_id) == HELP_WISH or (OBSERVATION, HELP_WISH) in codes
        words = str(item.get("text") or asked.get("text") or "")
        if not given:
            yield Row(path, path, codes, words, "", None, said_absent, source, frame, wish)
        for number, answer in given:
            here = f"{path}.answer[{number}]"
            if not isinstance(answer, dict):
                issues.append(Issue("error", "structure", "An answer is an object.", here))
                continue
            kind, content = value(answer)
            absent = _absent(answer) or said_absent
            if kind or absent:
                yield Row(here, path, codes, words, kind, content, absent, source, frame, wish)
            elif "item" not in answer:
                issues.append(Issue("error", "required", "An answer has a value.", here))


def _within(response: Resource) -> Iterator[tuple[str, Resource, tuple[Any, ...]]]:
    """Every item with its location and what contains it, the nearest first."""
    above: dict[str, tuple[Any, ...]] = {}
    for path, item in items(response):
        holder = path.rsplit(".item[", 1)[0]
        chain = above.get(holder)
        if chain is None and holder.rsplit(".", 1)[-1].startswith("answer["):
            outer, _, number = holder.rpartition(".answer[")
            asked = above[outer][0]
            chain = (asked["answer"][int(number[:-1])], *above[outer])
            above[holder] = chain
        chain = chain if chain is not None else (response,)
        above[path] = (item, *chain)
        yield path, item, chain


def _codes_of(asked: Resource, link_id: str, canonical: str) -> tuple[tuple[str, str], ...]:
    """The Questionnaire's codes of an item; else its linkId, whole and its last segment."""
    codes = codings({"coding": asked.get("code")})
    local = [(canonical, link_id)] if canonical else []
    return (*codes, *local) if codes else (("", link_id), ("", segment(link_id)), *local)


def _absent(holder: Resource) -> str:
    """The data-absent-reason that an item, an answer or its value carries."""
    holders = [holder, *(one for name, one in holder.items() if name.startswith("_value"))]
    for one in holders:
        for extension in listed(one.get("extension")) if isinstance(one, dict) else []:
            if isinstance(extension, dict) and extension.get("url") == _ABSENT_URL:
                return str(extension.get("valueCode", ""))
    return ""


def reason(codes: Iterable[tuple[str, str]]) -> str:
    """Why there is no answer, as FHIR's code or HL7 v3's null flavor says; "" where none says it."""
    for system, code in codes:
        if system == ABSENT:
            return code
        if system == _NULL and code in _FLAVORS:
            return _FLAVORS[code]
    return ""


def of_observation(observation: Resource, at: str) -> Iterator[Row]:
    """One row for what an Observation says, and one for each of its components that says anything."""
    frame, source = frame_of(observation), fhir.name(observation)
    places = [(at, observation)]
    places += [
        (f"{at}.component[{number}]", one)
        for number, one in enumerate(listed(observation.get("component")))
        if isinstance(one, dict)
    ]
    for here, holder in places:
        code = holder["code"] if isinstance(holder.get("code"), dict) else {}
        codes = codings(code)
        kind, content = value(holder)
        absent = reason(codings(holder.get("dataAbsentReason")))
        if kind or absent:
            words = str(code.get("text") or "")
            item = f"{source}{here.removeprefix(at)}"
            wish = (OBSERVATION, HELP_WISH) in codes
            yield Row(here, item, codes, words, kind, content, absent, source, frame, wish)


def codings(concept: Any) -> tuple[tuple[str, str], ...]:
    """(system, code) of each coding of a CodeableConcept."""
    found = concept.get("coding") if isinstance(concept, dict) else None
    return tuple(
        (str(one.get("system", "")), str(one["code"])) for one in coded_in(found) if one.get("code")
    )


def coded_in(found: Any) -> list[Resource]:
    """Codings, with the name that FHIR gives to a code system which came under another of its names."""
    return [
        {**one, "system": name} if (name := _NAMES.get(str(one.get("system")))) else one
        for one in listed(found)
        if isinstance(one, dict)
    ]
