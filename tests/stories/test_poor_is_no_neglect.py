"""To be poor is no neglect: by whichever door it comes, a family's need alone makes no report."""

import json

import pytest
from exchange import refused, resources
from shelves import CHILD, REPORT, coded, held, of, put, seen
from test_report import socially_poor
from test_what_leaves import LOINC

from app.sandbox import family

FACT = f"{family.KINBRIDGE}/CodeSystem/cps-observation"
ICD = "http://hl7.org/fhir/sid/icd-10-cm"
SNOMED = "http://snomed.info/sct"
REPORTS = "clinic/reports/fhir"


def need(value, kind="present-condition", **more):
    """A need of the family, written down as if it were something that was seen of the child."""
    code = {**coded(FACT, kind), "text": "need"}
    return seen("need", code=code, valueString=None, valueCodeableConcept=value, **more)


NEEDS = {
    "hunger as a diagnosis": need(coded(ICD, "Z59.41")),
    "no home": need(coded(SNOMED, "32911000")),
    "no work": need(coded(ICD, "Z56.0")),
    "no water": need(coded(ICD, "Z58.6")),
    "an answer to a screening": seen(
        "need", valueString="often true",
        code={"coding": [*coded(FACT, "caregiver-statement")["coding"], *coded(LOINC, "88122-7")["coding"]],
              "text": "need"}),
    "a row of social history": need(
        {"text": "no food at home"},
        category=[coded("http://hl7.org/fhir/us/core/CodeSystem/us-core-category", "sdoh")]),
}  # fmt: skip


def poor(fact):
    """A report of nothing but a need."""
    made, request = socially_poor()
    made["entry"].append(
        {"fullUrl": "https://ehr.example.org/fhir/Observation/need", "resource": fact}
    )
    request["supportingInfo"] = [{"reference": "Observation/need"}]
    return made


def intake(exchange):
    return exchange.rows("SELECT id FROM resource WHERE shelf = 'agency/intake'")


@pytest.mark.parametrize("fact", NEEDS.values(), ids=NEEDS.keys())
def test_a_need_is_no_ground_for_a_report(exchange, fact):
    """However a need is coded, the report waits for a typed reason of the one who reports."""
    issues = refused(exchange.call("POST", REPORT, poor(fact)), 422, "business-rule")

    assert "need help instead" in issues[0]["details"]["text"]
    assert intake(exchange) == []
    said = exchange.call("POST", f"{REPORTS}/$check-referral", poor(fact)).json()
    assert "T0-7" in [one.get("valueCode") for one in said["parameter"] if one["name"] == "failed"]


@pytest.mark.parametrize("fact", NEEDS.values(), ids=NEEDS.keys())
def test_a_need_does_not_go_beside_a_finding(exchange, fact):
    """Where something was seen the report goes, and the need stays."""
    made = family.report(by_device=False)
    made["entry"].append(
        {"fullUrl": "https://ehr.example.org/fhir/Observation/need", "resource": fact}
    )
    of(made, "ServiceRequest").setdefault("supportingInfo", []).append({"reference": "Observation/need"})  # fmt: skip

    assert resources(exchange.call("POST", REPORT, made), "Task")

    assert "need" not in [one["code"].get("text") for one in held(exchange, "agency/intake", "Observation")]  # fmt: skip


def test_a_finding_that_is_a_need_too_goes(exchange):
    """A child who starves is ill, whatever else her chart calls it: that is seen, and goes."""
    both = {"coding": [*coded(ICD, "E43")["coding"], *coded(ICD, "Z59.41")["coding"]]}

    assert resources(exchange.call("POST", REPORT, poor(need(both))), "Task")

    assert "E43" in json.dumps(held(exchange, "agency/intake", "Observation"))


def entries(made):
    """The same as a transaction, in which a Task of the EHR's own sends it."""
    return [
        {
            "fullUrl": one["fullUrl"],
            "resource": one["resource"],
            "request": {
                "method": "PUT", "url": f"{one['resource']['resourceType']}/{one['resource']['id']}",
            },
        }
        for one in made["entry"] if one["resource"]["resourceType"] != "Task"
    ]  # fmt: skip


def own_task(**more):
    return {
        "resourceType": "Task", "id": "own", "status": "requested", "intent": "order",
        "code": coded("http://hl7.org/fhir/CodeSystem/task-code", "fulfill"), "for": CHILD,
        "focus": {"reference": "ServiceRequest/report"}, "authoredOn": "2026-11-23T15:00:00Z",
        "owner": {"identifier": {"system": f"{family.KINBRIDGE}/sid/tenant", "value": "agency"}}, **more,
    }  # fmt: skip


DOORS = ["transaction", "one by one", "a draft that is released", "a patch", "siblings"]


@pytest.mark.parametrize("door", DOORS)
def test_no_door_is_wider(exchange, door):
    """As an EHR's own Task, in a transaction, released later, by a patch, beside a sibling: it is the same door."""
    made = poor(NEEDS["hunger as a diagnosis"])
    task = own_task()
    written = entries(made)
    url = "https://ehr.example.org/fhir/Task/own"
    sends = {"fullUrl": url, "resource": task, "request": {"method": "PUT", "url": "Task/own"}}
    if door == "transaction":
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [*written, sends]}
        answer = exchange.call("POST", REPORTS, bundle)
    elif door == "siblings":
        other = family.another_report("brother", "agency")
        both = [{"resource": one} for one in (other, made)]
        answer = exchange.call("POST", REPORT, {"resourceType": "Bundle", "type": "collection", "entry": both})  # fmt: skip
    else:
        for one in written:
            put(exchange, REPORTS, one["resource"])
        if door == "one by one":
            answer = put(exchange, REPORTS, task)
        elif door == "a patch":
            put(exchange, REPORTS, {**task, "status": "draft"})
            patch = [{"op": "replace", "path": "/status", "value": "requested"}]
            answer = exchange.call("PATCH", f"{REPORTS}/Task/own", patch,
                                   Content_Type="application/json-patch+json")  # fmt: skip
        else:
            put(exchange, REPORTS, {**task, "status": "draft"})
            answer = put(exchange, REPORTS, task)

    refused(answer, 422)
    assert intake(exchange) == []


def test_a_referral_for_help_does_not_become_a_report(exchange, patient):
    """Its order is patched to the category of a report, on the chart or on its copy: nothing is reported."""
    sent = exchange.call("POST", "clinic/chart/fhir/$refer", family.referral("ServiceRequest/none", consented=True))  # fmt: skip
    (task,) = resources(sent, "Task")
    name = task["focus"]["reference"]
    category = [coded(f"{family.KINBRIDGE}/CodeSystem/cps-purpose", "cps-report")]
    patch = [{"op": "add", "path": "/category", "value": category}]
    exchange.call("PATCH", f"clinic/chart/fhir/{name}", patch, Content_Type="application/json-patch+json")  # fmt: skip

    own = {**own_task(id="again"), "focus": {"reference": name}}
    put(exchange, "clinic/chart/fhir", own)
    put(exchange, REPORTS, own)
    put(exchange, REPORTS, exchange.get(f"clinic/chart/fhir/{name}").json())
    put(exchange, REPORTS, {**own, "id": "third"})

    assert intake(exchange) == []
    codes = [one["category"] for one in held(exchange, "agency/support", "ServiceRequest")]
    assert "cps-report" not in json.dumps(codes)
