"""What the service makes, and what it hands over, conforms to the guide."""

import re

import pytest
from exchange import agency_task, resources
from guided import NOW, ROOT, definitions, read

from app import settings
from app.domain import mappings
from app.sandbox import examples

CANONICAL = "https://kinbridge.example.org/fhir"
REFERRAL = {
    "Consent": "family-support-consent",
    "ServiceRequest": "family-support-request",
    "Task": "family-support-task",
}
REPORT = {
    "DocumentReference": "cps-document",
    "Observation": "cps-observation",
    "Patient": "cps-child",
    "Provenance": "cps-attestation",
    "RelatedPerson": "cps-related-person",
    "ServiceRequest": "cps-report-request",
    "Task": "cps-report-task",
}
SHELVES = {
    "clinic/chart": REFERRAL,
    "agency/support": REFERRAL,
    "clinic/reports": REPORT,
    "agency/intake": REPORT,
}


@pytest.fixture
def wrong(loaded):
    """What is wrong with a resource by a profile of ours and by what it claims."""

    def found(resource, profile=""):
        asked = (f"{CANONICAL}/StructureDefinition/{profile}",) if profile else ()
        issues = loaded.check(resource, now=NOW, profiles=asked, known_extensions=True)
        return [(one.rule, one.expression) for one in issues if one.severity in ("error", "fatal")]

    return found


def held(exchange, shelf):
    rows = exchange.rows(f"SELECT type, id FROM resource WHERE shelf = '{shelf}'")
    return [exchange.get(f"{shelf}/fhir/{kind}/{name}").json() for kind, name in rows]


def profile_of(resource, names):
    kind = resource["resourceType"]
    if resource.get("intent") == "proposal":
        return "help-proposal"
    if "help-wish" in str(resource.get("code")):
        return "help-wish"
    if kind == "PractitionerRole" and names is REPORT:
        return "cps-reporter" if "practitioner" in resource else "cps-backup-contact"
    return names.get(kind, "")


def test_everything_on_both_sides_conforms(exchange, patient, wrong):
    """After a screening, a referral and a report, each resource on each shelf is as the guide says."""
    screening = examples.good("screening-hunger-vital-sign")
    resources(exchange.call("POST", "clinic/chart/fhir/$submit-screening", screening))
    resources(exchange.call("POST", "clinic/chart/fhir/$refer", examples.good("referral")))
    full = examples.good("report-full")
    resources(exchange.call("POST", "clinic/reports/fhir/$report", full))

    for shelf, names in SHELVES.items():
        found = held(exchange, shelf)
        assert len(found) > 4
        for one in found:
            assert wrong(one, profile_of(one, names)) == [], (shelf, one["resourceType"])


def test_what_the_clinic_is_told_conforms(exchange, reported, wrong):
    """Received, decided and closed: the Task on either side is as the guide says at each step."""
    task, theirs = reported
    steps = ("received", "screened-in", "assigned", "investigating", "disposition", "closed")
    where = f"agency/intake/fhir/Task/{theirs['id']}"
    assert wrong(task, "cps-outcome-task") == []

    for number, event in enumerate(steps, start=1):
        told = {"event": event, "identifier": "CW-1", "sequence": number}
        if event in {"received", "assigned"}:
            told |= {
                "intakeNumber": "26-0042",
                "owner": {"name": "Sam Porter", "phone": "555-0142"},
            }
        if event == "disposition":
            told |= {"disposition": "unsubstantiated"}
        done = exchange.call(
            "POST", f"{where}/$record-event", told, Content_Type="application/json"
        )
        assert done.status_code == 200, done.text
        at_the_agency = agency_task(exchange, "intake", task)
        assert wrong(at_the_agency, "cps-report-task") == [], event
        at_the_clinic = exchange.get(f"clinic/reports/fhir/Task/{task['id']}").json()
        assert wrong(at_the_clinic, "cps-outcome-task") == [], event


def test_the_completeness_of_the_example_is_its_completeness(exchange, reported):
    """The numbers on the guide's Task are those that the service gives the guide's report."""
    task, _ = reported

    assert examples.good("report-task-submitted")["extension"] == task["extension"]


CODES = {
    found["url"]: {one["code"] for one in found["concept"]} for found in definitions("CodeSystem")
}


def test_the_rules_of_outcomes_are_those_of_the_guide(wrong):
    """Each event that an agency may record makes a Task whose status and business status go together."""
    known = mappings.load(settings.folder("mappings"))
    states = set()

    for event in known.outcomes.events:
        if event.kind == "cps-report" and event.business_status and event.status:
            task = event.sets(examples.good("report-task-submitted"))
            task["owner"] = {"reference": "PractitionerRole/intake-desk"}
            rules = {rule for rule, _ in wrong(task)}
            assert "cps-task-1" not in rules, event.id
            states.add(event.business_status)

    assert states <= CODES[f"{CANONICAL}/CodeSystem/cps-task-status"]


def test_every_code_of_the_mappings_is_in_the_guide():
    """A code of ours in the mappings is a code of the guide's code systems, or all of one."""
    text = "\n".join(
        path.read_text() for path in sorted(settings.folder("mappings").rglob("*.toml"))
    )

    for url, codes in CODES.items():
        for part in text.split(f"{url}|")[1:]:
            assert part.split('"')[0] in codes | {""}, url
    named = set(re.findall(rf"{CANONICAL}/CodeSystem/([a-z0-9-]+)", text))
    assert {f"{CANONICAL}/CodeSystem/{name}" for name in named} <= set(CODES)


def test_maps_are_whole():
    """A concept map has each code of its source once, and only codes that its target has."""
    for found in definitions("ConceptMap"):
        group = found["group"][0]
        assert {one["code"] for one in group["element"]} == CODES[group["source"]], found["id"]
        for one in group["element"]:
            for to in one["target"]:
                assert to.get("code", "") in CODES.get(group["target"], {to.get("code", "")}) | {""}


@pytest.mark.shared
def test_the_crosswalk_is_the_standards():
    """Allegations, NCANDS, NIEM and ICD-10-CM stand beside each other as in the project's table."""
    data = read(ROOT.parent / "shared" / "spec" / "data" / "ncands_niem_codes.json")
    maps = {
        found["id"]: {
            one["code"]: one["target"][0].get("code") for one in found["group"][0]["element"]
        }
        for found in definitions("ConceptMap")
    }

    for code, ncands, niem, icd in data["crosswalk_allegation"]:
        assert maps["allegation-to-ncands"][code] == str(ncands)
        assert maps["allegation-to-niem"][code] == niem
        assert maps["allegation-to-icd10cm"][code] == icd
    assert set(maps["disposition-from-ncands"]) == set(data["reportDisposition"])
    assert maps["disposition-from-ncands"]["6"] == "unsubstantiated"
    assert "6" not in maps["disposition-to-ncands"].values()


def test_a_question_and_a_message_conform(exchange, reported, wrong):
    """The agency asks, the clinic answers by a message: on both sides as the guide says."""
    task, theirs = reported
    record = f"agency/intake/fhir/Task/{theirs['id']}/$record-event"
    owner = {"name": "Sam Porter", "phone": "555-0142"}
    exchange.call("POST", record, {"event": "received", "owner": owner})
    ask = {"event": "awaiting-information", "question": "child-location", "due": "2026-11-24"}
    done = exchange.call("POST", record, ask)
    assert done.status_code == 200, done.text
    message = {**examples.good("message"), "partOf": [{"reference": f"Task/{task['id']}"}]}
    del message["id"]
    said = exchange.call("POST", "clinic/reports/fhir/Communication", message)
    assert said.status_code == 201, said.text

    for shelf in ("clinic/reports", "agency/intake"):
        found = held(exchange, shelf)
        asked = [one for one in found if one["resourceType"] == "Task" and "partOf" in one]
        told = [one for one in found if one["resourceType"] == "Communication"]
        assert [wrong(one, "cps-information-task") for one in asked] == [[]], shelf
        assert [wrong(one, "cps-communication") for one in told] == [[]], shelf
