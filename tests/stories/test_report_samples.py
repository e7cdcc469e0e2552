"""A report goes whatever its profile asks; only T0-1 to T0-6 keep one from leaving."""

import json

import pytest
from exchange import SHARED, agency_task, refused, resources
from shelves import of

from app.sandbox import family

REPORT = "clinic/reports/fhir/$report"
SAMPLES = SHARED / "spec/data/reports"
SOFT = {"T0-7"}
OVERRIDE = {
    "url": f"{family.KINBRIDGE}/StructureDefinition/cps-override",
    "extension": [
        {"url": "rule", "valueCode": "T0-7"},
        {"url": "reason", "valueString": "I saw what I cannot code."},
    ],
}
AGENCY = {"system": f"{family.KINBRIDGE}/sid/tenant", "value": "agency"}


def names():
    return sorted(one.name for one in SAMPLES.glob("*.json") if one.name != "expected.json")


def addressed(bundle):
    """The sample, sent to an agency that is registered, in spite of T0-7."""
    for entry in bundle["entry"]:
        one = entry["resource"]
        if one["resourceType"] == "ServiceRequest":
            one["performer"] = [{"identifier": AGENCY}]
            one.setdefault("extension", []).append(OVERRIDE)
        if one["resourceType"] == "Task":
            one["owner"] = {"identifier": AGENCY}
    return bundle


def faults(answer):
    """The issues beside a report that went."""
    found = resources(answer, "OperationOutcome")
    return [issue for one in found for issue in one["issue"]]


@pytest.mark.shared
@pytest.mark.parametrize("name", names())
def test_a_sample_arrives_unless_a_hard_rule_fails(exchange, name):
    """Each sample is at intake with its warnings, or refused with its draft and the hotline."""
    expected = json.loads((SAMPLES / "expected.json").read_bytes())[name]
    sample = addressed(json.loads((SAMPLES / name).read_bytes()))

    answer = exchange.call("POST", REPORT, sample)

    if set(expected["t0"]) - SOFT:
        texts = [one["details"]["text"] for one in refused(answer, 422)]
        assert any("the draft Task/" in one for one in texts)
        assert any("555-0100" in one for one in texts)
        assert exchange.rows("SELECT * FROM resource WHERE shelf = 'agency/intake'") == []
        return
    task = agency_task(exchange, "intake", resources(answer, "Task")[0])
    assert task["status"] == "requested"
    said = faults(answer)
    assert {one["severity"] for one in said} <= {"information", "warning"}
    assert all(one["expression"] and one["details"]["coding"]
               for one in said if one["severity"] == "warning")  # fmt: skip


@pytest.mark.shared
def test_a_party_who_is_only_described_arrives(exchange):
    """What a reporter says of somebody without a record is the report, and goes as it was said."""
    sample = addressed(json.loads((SAMPLES / "teen-disclosure.json").read_bytes()))

    assert exchange.call("POST", REPORT, sample).status_code == 200

    held = exchange.rows(
        "SELECT body FROM resource WHERE shelf = 'agency/intake' AND type = 'ServiceRequest'"
    )
    assert b"maternal uncle" in held[0][0]


def thin(name="Rosa, about five"):
    """A thin report of a child whose name was only heard."""
    made = family.thin_report()
    for entry in made["entry"]:
        if entry["resource"]["resourceType"] == "Patient":
            entry["resource"]["name"] = [{"text": name}]
    return addressed(made)


def test_a_child_known_by_a_spoken_name_is_not_lost(exchange):
    """The report arrives; the answer has the place and the rule, and not the name."""
    answer = exchange.call("POST", REPORT, thin())

    warned = [one for one in faults(answer) if one["severity"] == "warning"]
    assert warned
    assert all("Bundle.entry[" in one["expression"][0] for one in warned)
    assert "about five" not in json.dumps(warned)
    held = exchange.rows(
        "SELECT body FROM resource WHERE type = 'Patient' AND shelf = 'agency/intake'"
    )
    assert b"about five" in held[0][0]


def test_siblings_known_by_spoken_names_go_together(exchange):
    """What holds for one child holds for each of two."""
    second = json.loads(json.dumps(thin("Her brother")))
    text = json.dumps(second)
    for kind, name in [("Patient", "rosa"), ("ServiceRequest", "report"),
                       ("Provenance", "report-attested")]:  # fmt: skip
        text = text.replace(f'{kind}/{name}"', f'{kind}/{name}-2"')
        text = text.replace(f'"id": "{name}"', f'"id": "{name}-2"')
    text = text.replace('"value": "report"', '"value": "report-2"')
    entries = [{"resource": thin()}, {"resource": json.loads(text)}]

    both = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    answer = exchange.call("POST", REPORT, both)

    assert len(resources(answer, "Task")) == 2
    assert {one["severity"] for one in faults(answer)} <= {"information", "warning"}


def test_a_party_whose_record_stays_behind_keeps_no_report_back(exchange):
    """A reference that leads out and says nothing arrives as masked, without its address."""
    made = thin()
    request = next(one["resource"] for one in made["entry"]
                   if one["resource"]["resourceType"] == "ServiceRequest")  # fmt: skip
    party = {"reference": "https://other.example.org/fhir/RelatedPerson/1"}
    request["extension"].append({
        "url": f"{family.KINBRIDGE}/StructureDefinition/cps-involved-party",
        "extension": [
            {"url": "party", "valueReference": party},
            {"url": "role", "valueCode": "household-member"},
        ],
    })  # fmt: skip

    assert exchange.call("POST", REPORT, made).status_code == 200

    held = exchange.rows(
        "SELECT body FROM resource WHERE shelf = 'agency/intake' AND type = 'ServiceRequest'"
    )
    assert b"masked" in held[0][0]
    assert b"other.example.org" not in held[0][0]


def dangling(made):
    of(made, "ServiceRequest")["supportingInfo"] = [{"reference": "Observation/lost"}]


def unknown_diagnosis(made):
    of(made, "ServiceRequest")["reasonReference"] = [{"reference": "Condition/lost"}]


def own_priority(made):
    of(made, "ServiceRequest")["priority"] = "now"


def signed_by_nobody(made):
    code = {"system": "urn:iso-astm:E1762-95:2013", "code": "1.2.840.10065.1.12.1.1"}
    signer = {"reference": "Practitioner/lost"}
    of(made, "Provenance")["signature"] = [
        {"type": [code], "when": "2026-11-23T15:00:00Z", "who": signer}
    ]


@pytest.mark.parametrize("wrong", [dangling, unknown_diagnosis, own_priority, signed_by_nobody])
def test_what_is_wrong_beside_the_report_keeps_it_not_back(exchange, wrong):
    """A record that was never sent, a word of the EHR's own, a signature of nobody: intake has the report."""
    made = family.report(by_device=False)
    wrong(made)

    answer = exchange.call("POST", REPORT, made)

    task = agency_task(exchange, "intake", resources(answer, "Task")[0])
    assert task["status"] == "requested"
    assert faults(answer) or wrong is signed_by_nobody
    held = exchange.rows("SELECT body FROM resource WHERE shelf = 'agency/intake'")
    assert b"lost" not in b"".join(row[0] for row in held)
