"""Each rule of each profile of SDOH Clinical Care, broken alone, is found where it is broken."""

from __future__ import annotations

import copy
from typing import Any

import constrained
import pytest

from app import fhir

pytestmark = pytest.mark.shared

GUIDE = "http://hl7.org/fhir/us/sdoh-clinicalcare/StructureDefinition/"
# A defect that breaks an invariant of the profile as well, because the two say the same.
ALSO = {"Condition.extension:asserterDevice": "SDOH-Con-1"}
CODES = "http://hl7.org/fhir/us/sdoh-clinicalcare/CodeSystem/SDOHCC-CodeSystemTemporaryCodes"
TEMPORARY = "http://hl7.org/fhir/uv/sdc/CodeSystem/temp"


@pytest.fixture(scope="module")
def examples(shared) -> dict[str, dict[str, Any]]:
    """Profile to an example that claims it, without its narrative."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((shared / "examples" / "sdohcc-3.0.0").glob("*.json")):
        one = fhir.decode(path.read_bytes())
        one.pop("text", None)
        for url in one.get("meta", {}).get("profile", ()):
            found.setdefault(url.partition("|")[0], one)
    return found


@pytest.fixture(scope="module")
def profiles(definitions):
    """The profiles that a resource can claim."""
    return [
        entry.url
        for package, entry in definitions.entries("StructureDefinition")
        if entry.url.startswith(GUIDE)
        and entry.type != "Extension"
        and not package.read(entry).get("abstract")
    ]


def test_every_profile_has_an_example(profiles, examples):
    """No profile is left out."""
    assert len(profiles) > 20
    assert set(profiles) <= set(examples)


@pytest.fixture(scope="module")
def said(definitions, now):
    def said(resource, url=""):
        found = definitions.check(
            resource, now=now, profiles=(url,) if url else (), claims=bool(url)
        )
        return [(one.severity, one.rule, one.expression) for one in found]

    return said


def planted(planter, said, url, example):
    """The defects of a profile that are none of base R4; those are planted elsewhere."""
    root = planter.root(url)
    made = list(constrained.forbidden(root, example, planter))
    for row, whole, spot in planter.spots(root, example):
        if not [one for one in said(spot.resource, url) if one[0] == "error"]:
            made += constrained.defects(row, whole, spot, planter)
    for one in made:
        if all(
            rule in one.rules for severity, rule, _ in said(one.resource) if severity == "error"
        ):
            yield one


def is_found(one, found):
    errors = [(rule, path) for severity, rule, path in found if severity == "error"]
    errors = [error for error in errors if error[0] != ALSO.get(one.row)]
    if one.severity != "error":
        return not errors and any((one.severity, rule, one.path) in found for rule in one.rules)
    return bool(errors) and all(rule in one.rules and path == one.path for rule, path in errors)


def test_every_rule_of_every_profile_is_held(definitions, examples, profiles, said):
    """One defect gives the error that it is, at its place, and no other."""
    planter = constrained.Planter(definitions)
    counts: dict[str, int] = {}
    wrong = []
    for url in profiles:
        for one in planted(planter, said, url, examples[url]):
            counts[one.kind] = counts.get(one.kind, 0) + 1
            found = said(one.resource, url)
            if not is_found(one, found):
                wrong.append((url, one.kind, one.row, one.path, found))

    assert not wrong
    assert sum(counts.values()) > 550
    assert len(counts) == 9
    assert min(counts.values()) >= 8


def coded(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def without(*names):
    return lambda one: [one.pop(name, None) for name in names]


def put(**more):
    return lambda one: one.update(more)


def each(*changes):
    return lambda one: [change(one) for change in changes]


SDOH = coded("http://hl7.org/fhir/us/core/CodeSystem/us-core-category", "sdoh")
SURVEY = coded("http://terminology.hl7.org/CodeSystem/observation-category", "survey")
PRACTITIONER = {"reference": "Practitioner/1"}
ABSENT = coded("http://terminology.hl7.org/CodeSystem/data-absent-reason", "unknown")
FORM = {"type": coded(TEMPORARY, "questionnaire"), "valueCanonical": "http://example.org/a"}
PDF = {
    "type": coded(TEMPORARY, "questionnaire-pdf"),
    "valueReference": {"reference": "DocumentReference/1"},
}


def task(code: str, system: str = CODES):
    return each(without("input", "output"), put(code=coded(system, code), description="text"))


BROKEN = [
    ("SDOHCC-Condition", "SDOH-Con-1", "Condition", put(
        asserter=PRACTITIONER,
        extension=[{
            "url": GUIDE + "SDOHCC-ExtensionConditionAsserter",
            "valueReference": {"reference": "Device/1"},
        }],
    )),
    ("SDOHCC-Condition", "SDOH-Con-2", "Condition", put(category=[SDOH, SURVEY])),
    ("SDOHCC-ObservationAssessment", "SDOH-Obs-4", "Observation", put(category=[SURVEY])),
    ("SDOHCC-ObservationAssessment", "us-core-2", "Observation", without(
        "valueBoolean", "valueCodeableConcept", "valueString", "valueQuantity", "valueDateTime", "component"
    )),
    ("SDOHCC-ObservationGenderIdentity", "SDOH-Obs-3", "Observation", without(
        "performer", "derivedFrom"
    )),
    ("SDOHCC-ObservationGenderIdentity", "SDOH-Obs-1", "Observation.subject", put(
        subject={"display": "text"}
    )),
    ("SDOHCC-ObservationEthnicityOMB", "SDOH-Ethnicity-1", "Observation", put(
        dataAbsentReason=ABSENT
    )),
    ("SDOHCC-ObservationRaceOMB", "SDOH-Race-1", "Observation", put(dataAbsentReason=ABSENT)),
    ("SDOHCC-ObservationScreeningResponse", "us-core-1",
     "Observation.effective.ofType(dateTime)", put(effectiveDateTime="2026-01")),
    ("SDOHCC-Procedure", "us-core-7", "Procedure", each(
        put(status="completed"), without("performedDateTime", "performedPeriod")
    )),
    ("SDOHCC-practitionerrole", "pd-1", "PractitionerRole", without("telecom", "endpoint")),
    ("SDOHCC-TaskForPatient", "SDOH-Task-1", "Task", each(
        task("complete-questionnaire", TEMPORARY), put(input=[FORM])
    )),
    ("SDOHCC-TaskForPatient", "SDOH-Task-2", "Task", each(
        task("general-information"), without("description")
    )),
    ("SDOHCC-TaskForPatient", "SDOH-Task-4", "Task", task("make-contact")),
    ("SDOHCC-TaskForPatient", "SDOH-Task-5", "Task", each(
        task("general-information"),
        put(input=[FORM], output=[{
            "type": coded(CODES, "general-information-response"), "valueMarkdown": "text"
        }]),
    )),
    ("SDOHCC-TaskForPatient", "SDOH-Task-6", "Task", each(
        task("general-information"),
        put(input=[PDF], output=[{
            "type": coded(CODES, "general-information-response"), "valueMarkdown": "text"
        }]),
    )),
    ("SDOHCC-TaskForPatient", "SDOH-Task-7", "Task", each(
        task("make-contact"), without("description"), put(input=[{
            "type": coded(CODES, "contact-entity"), "valueReference": {
                "reference": "HealthcareService/1"
            },
        }]),
    )),
]  # fmt: skip

# Invariants that cannot be broken alone, and why.
UNREACHABLE = {
    "SDOH-Obs-2": "subject is required beside it",
    "SDOH-Task-3": "what is referred to has to be at hand; in its own test",
    "SDOH-Con-3": "a slice of the category, which is required, says the same",
    "us-core-13": "the practitioner is required beside it",
    "us-core-3": "the profile's Quantity has its system fixed as well",
}


@pytest.mark.parametrize(("name", "key", "path", "change"), BROKEN)
def test_each_invariant_is_held(definitions, now, examples, name, key, path, change):
    """A resource that breaks one invariant of its profile is told of that one alone."""
    broken = copy.deepcopy(examples[GUIDE + name])
    change(broken)

    found = definitions.check(broken, now=now, profiles=(GUIDE + name,))

    assert [(one.rule, one.expression) for one in found if one.severity == "error"] == [(key, path)]


def test_no_invariant_is_forgotten(definitions, profiles):
    """Every invariant that a profile of the guide adds is broken above, or it is said why not."""
    told = {key for _, key, *_ in BROKEN} | set(UNREACHABLE)
    stated = set()
    for url in profiles:
        one = definitions.profiles.get(url)
        nodes = [one.root]
        while nodes:
            node = nodes.pop()
            stated |= {rule.key for rule in node.constraints}
            nodes += [*node.children.values(), *node.slices.values()]

    assert stated <= told
    assert len(stated) > 15


def test_what_a_task_refers_to_is_asked_where_it_is_at_hand(definitions, now, examples):
    """Material to review is a document, if what the Task refers to can be seen."""
    url = GUIDE + "SDOHCC-TaskForPatient"
    broken = copy.deepcopy(examples[url])
    task("review-material")(broken)
    broken["focus"] = {"reference": "Basic/1"}

    def resolve(_: str) -> dict[str, Any]:
        return {"resourceType": "Basic", "id": "1", "code": {"text": "text"}}

    unseen = definitions.check(broken, now=now, profiles=(url,))
    seen = definitions.check(broken, now=now, profiles=(url,), resolve=resolve)

    assert "SDOH-Task-3" not in {one.rule for one in unseen}
    assert "SDOH-Task-3" in {one.rule for one in seen}
