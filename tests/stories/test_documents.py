"""Photographs, results and documents that a reporter attaches: they go with the report, as the law lets them."""

import json

import pytest
from exchange import resources

from app.sandbox import family

REPORT = "clinic/reports/fhir/$report"
CLINIC = "https://exchange.localhost/clinic/reports/fhir"
PICTURE = "aW1hZ2UtYnl0ZXM="


def about(resource, child):
    """The resource, about the child where it says nothing else."""
    made = {"subject": child, **resource}
    return {name: value for name, value in made.items() if value is not None}


def attached(*documents):
    """A report with these among what supports it."""
    made = family.report(by_device=False)
    request = next(one["resource"] for one in made["entry"]
                   if one["resource"]["resourceType"] == "ServiceRequest")  # fmt: skip
    for one in documents:
        made["entry"].append({"fullUrl": f"https://ehr.example.org/fhir/{one['resourceType']}/{one['id']}",
                              "resource": about(one, request["subject"])})  # fmt: skip
        name = {"reference": f"{one['resourceType']}/{one['id']}"}
        request.setdefault("supportingInfo", []).append(name)
    return made


def arrived(exchange, kind):
    rows = exchange.rows(
        f"SELECT body FROM resource WHERE shelf = 'agency/intake' AND type = '{kind}'"
    )
    return [json.loads(row[0]) for row in rows]


def document(**more):
    return {
        "resourceType": "DocumentReference", "id": "arm", "status": "current", "type": {"text": "Photograph"},
        "content": [{"attachment": {"contentType": "image/jpeg", "data": PICTURE, "url": f"{CLINIC}/Binary/b1",
                                    "title": "left arm"}}],
        "context": {"encounter": [{"reference": "Encounter/e1"}]}, **more,
    }  # fmt: skip


def test_a_photograph_goes_with_the_report(exchange):
    """Intake has the picture and what it shows, and no address on the clinic's shelf."""
    assert resources(exchange.call("POST", REPORT, attached(document())), "Task")

    (found,) = arrived(exchange, "DocumentReference")

    attachment = found["content"][0]["attachment"]
    assert attachment == {"contentType": "image/jpeg", "data": PICTURE, "title": "left arm"}
    assert "context" not in found
    assert {"NOPAT", "V"} <= {one["code"] for one in found["meta"]["security"]}
    assert b"Binary/b1" not in b"".join(
        row[0] for row in exchange.rows("SELECT body FROM resource WHERE shelf = 'agency/intake'")
    )


def test_a_picture_that_is_kept_can_be_asked_for(exchange):
    """Without its data the agency learns that there is one, and of what."""
    image = {"contentType": "image/jpeg", "url": "Binary/b1", "title": "body map"}
    media = {"resourceType": "Media", "id": "map", "status": "completed", "content": image}

    assert resources(exchange.call("POST", REPORT, attached(media)), "Task")

    assert arrived(exchange, "Media")[0]["content"] == {
        "contentType": "image/jpeg",
        "title": "body map",
    }


def test_a_result_goes_with_the_report(exchange):
    """What a test has shown, or that it is pending, is what a caseworker asks for."""
    result = {
        "resourceType": "DiagnosticReport", "id": "clot", "status": "registered",
        "code": {"text": "Clotting screen"}, "conclusion": "Expected on Friday.",
    }  # fmt: skip

    assert resources(exchange.call("POST", REPORT, attached(result)), "Task")

    assert arrived(exchange, "DiagnosticReport")[0]["conclusion"] == "Expected on Friday."


@pytest.mark.parametrize("code", ["42CFRPart2", "PSYTHPN"])
def test_records_that_the_law_holds_back_stay(exchange, code):
    """Of a treatment program or a psychotherapist typed facts may go; the records themselves do not."""
    labels = [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": code}]

    sent = exchange.call("POST", REPORT, attached(document(meta={"security": labels})))

    assert resources(sent, "Task")
    assert arrived(exchange, "DocumentReference") == []


def test_a_siblings_picture_stays(exchange):
    """What is about another child is not part of this child's report."""
    brother = {"resourceType": "Patient", "id": "brother", "name": [{"family": "Foyle"}]}
    exchange.call("PUT", "clinic/reports/fhir/Patient/brother", brother)

    sent = exchange.call(
        "POST", REPORT, attached(document(subject={"reference": "Patient/brother"}))
    )

    assert resources(sent, "Task")
    assert arrived(exchange, "DocumentReference") == []


US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition"


def with_origins():
    """A report of a child whose race and tribe are said."""
    made = family.report(by_device=False)
    child = next(one["resource"] for one in made["entry"]
                 if one["resource"]["resourceType"] == "Patient")  # fmt: skip
    nation = {"url": "tribalAffiliation", "valueCodeableConcept": {"text": "Example Nation"}}
    child["extension"] = [
        {
            "url": f"{US_CORE}/us-core-race",
            "extension": [{"url": "text", "valueString": "as said"}],
        },
        {"url": f"{US_CORE}/us-core-tribal-affiliation", "extension": [nation]},
        {"url": "https://ehr.example.org/vip", "valueBoolean": True},
    ]
    return made


@pytest.fixture(params=["ny", "example"])
def jurisdiction(request, tenants):
    """Where the agency is: one state's form asks for race, the other's does not."""
    tenants[1]["jurisdiction"] = request.param
    return request.param


def test_origins_go_as_the_form_asks(jurisdiction, exchange):
    """The tribe is asked for everywhere; race only where the state's form has it; nothing else goes."""
    assert resources(exchange.call("POST", REPORT, with_origins()), "Task")

    found = {one["url"].rsplit("/", 1)[1] for one in arrived(exchange, "Patient")[0]["extension"]}
    asked = {"us-core-race"} if jurisdiction == "ny" else set()
    assert found == {"us-core-tribal-affiliation"} | asked
