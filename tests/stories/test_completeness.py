"""What a report lacks is said before it is sent; it never stops one, and the family never sees it."""

import json
import time

import pytest
from exchange import SHARED, refused

from app import settings
from app.domain import mappings
from app.domain.submission import Part, submission

CHECK = "clinic/reports/fhir/$check-referral"
SAMPLES = SHARED / "spec" / "data" / "reports"
EXPECTED = json.loads((SAMPLES / "expected.json").read_text()) if SHARED.is_dir() else {}
KINBRIDGE = "https://kinbridge.example.org/fhir"


def sample(name):
    return json.loads((SAMPLES / name).read_text())


def said(answer):
    """Parameters as the numbers, the band, the failed rules and the gaps."""
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["resourceType"] == "Parameters"
    named = {name: [one for one in body["parameter"] if one["name"] == name]
             for name in ("completeness", "known", "band", "failed", "gap")}  # fmt: skip
    gaps = [{part["name"]: part for part in one["part"]} for one in named["gap"]]
    assert all(one["text"]["valueString"].endswith((".", "not neglect.")) for one in gaps)
    return {
        "completeness": named["completeness"][0]["valueInteger"],
        "known": named["known"][0]["valueInteger"],
        "band": named["band"][0]["valueCode"],
        "t0": [one["valueCode"] for one in named["failed"]],
        "gaps": [one["id"]["valueCode"] for one in gaps],
    }


@pytest.mark.shared
def test_every_sample_gives_its_numbers(exchange):
    """A thin report, a full one, one that says unknown everywhere: each is told what it is worth."""
    for name, expected in EXPECTED.items():
        flags = "&".join(f"flag={flag}" for flag in expected.get("flags", []))

        found = said(exchange.call("POST", f"{CHECK}?{flags}", sample(name)))

        assert found == {key: expected[key] for key in found}, name


@pytest.mark.shared
def test_nothing_is_written_by_a_check(exchange):
    """A clinician who only looks has sent nothing and stored nothing."""
    exchange.call("POST", CHECK, sample("full.json"))

    for table in ("resource", "exchange", "ledger", "outbox", "receipt"):
        assert exchange.rows(f"SELECT * FROM {table}") == []


@pytest.mark.shared
def test_scoring_is_quick():
    """Scoring one report takes no more than five milliseconds of CPU, so that it may run live."""
    standard = mappings.load(settings.folder("mappings")).completeness
    parts = [Part(one["fullUrl"], one["resource"]) for one in sample("full.json")["entry"]]

    def once():
        begun = time.process_time()
        made = submission(parts, shelf={}.get, base="http://here")
        standard.measure(made, flags=frozenset())
        return time.process_time() - begun

    assert min(once() for _ in range(200)) <= 0.005


def test_an_unknown_jurisdiction_is_said(exchange):
    """A jurisdiction that is not on file is not passed over in silence."""
    bundle = {"resourceType": "Bundle", "type": "collection"}

    issues = refused(exchange.call("POST", f"{CHECK}?jurisdiction=atlantis", bundle), 422)

    assert "example" in issues[0]["details"]["text"]


@pytest.mark.parametrize(
    ("query", "status", "named"),
    [
        ("flag=rase", 422, "race"),
        ("flags=race", 400, "flag"),
        ("jurisdicton=ca", 400, "jurisdiction"),
    ],
)
def test_a_question_that_is_not_understood_is_not_passed_over(exchange, query, status, named):
    """A slip of the pen would give other numbers than those that were asked for."""
    bundle = {"resourceType": "Bundle", "type": "collection"}

    issues = refused(exchange.call("POST", f"{CHECK}?{query}", bundle), status)

    assert named in issues[0]["details"]["text"]


def test_an_empty_bundle_is_measured_too(exchange):
    """Nothing at all is no child, no reporter, no basis; and no error of ours."""
    found = said(exchange.call("POST", CHECK, {"resourceType": "Bundle", "type": "collection"}))

    assert found["completeness"] == 0
    assert found["t0"] == [f"T0-{number}" for number in range(1, 8)]


REPORT = {
    "resourceType": "ServiceRequest", "status": "active", "intent": "order",
    "category": [{"coding": [{"system": f"{KINBRIDGE}/CodeSystem/cps-purpose", "code": "cps-report"}]}],
    "subject": {"reference": "Patient/sam"}, "requester": {"reference": "Practitioner/lin"},
}  # fmt: skip
LIN = {"resourceType": "Practitioner", "id": "lin", "name": [{"family": "Lin"}]}
SAM = {"resourceType": "Patient", "id": "sam", "birthDate": "2020"}


def bundle(*entries):
    return {"resourceType": "Bundle", "type": "transaction", "entry": [
        {"fullUrl": url, "resource": one, "request": {"method": "POST", "url": one["resourceType"]}}
        for url, one in entries
    ]}  # fmt: skip


def urn(number):
    return f"urn:uuid:00000000-0000-4000-8000-00000000000{number}"


def test_what_stands_on_the_senders_shelf_is_loaded_first(exchange):
    """An EHR that has sent child and clinician before refers to them, and they count."""
    for one in (SAM, LIN):
        exchange.call("PUT", f"clinic/reports/fhir/{one['resourceType']}/{one['id']}", one)

    found = said(exchange.call("POST", CHECK, bundle((urn(1), REPORT))))

    assert not {"T0-1", "T0-2", "T0-3"} & set(found["t0"])


def test_an_entrys_id_is_no_address(exchange):
    """Under a urn a relative reference means nothing in the Bundle, whatever ids stand there."""
    sent = bundle((urn(1), REPORT), (urn(2), SAM), (urn(3), LIN))

    assert {"T0-2", "T0-3"} <= set(said(exchange.call("POST", CHECK, sent))["t0"])


def test_another_servers_clinician_is_another(exchange):
    """Two servers may both have a Practitioner/lin; a reference means the one beside it."""
    sent = bundle(
        ("https://a.example.org/fhir/ServiceRequest/1", REPORT),
        ("https://a.example.org/fhir/Patient/sam", SAM),
        ("https://b.example.org/fhir/Practitioner/lin", LIN),
    )

    found = said(exchange.call("POST", CHECK, sent))

    assert "T0-2" not in found["t0"]
    assert "T0-3" in found["t0"]
    sent["entry"][2]["fullUrl"] = "https://a.example.org/fhir/Practitioner/lin"
    assert "T0-3" not in said(exchange.call("POST", CHECK, sent))["t0"]


def test_a_second_child_on_the_shelf_does_not_come_in(exchange):
    """A relative's own chart, reached by a reference, does not make it a report of two children."""
    for one in (SAM, LIN, {"resourceType": "Patient", "id": "sister"}):
        exchange.call("PUT", f"clinic/reports/fhir/{one['resourceType']}/{one['id']}", one)
    kin = {"resourceType": "RelatedPerson", "patient": {"reference": "Patient/sister"}}

    found = said(exchange.call("POST", CHECK, bundle((urn(1), REPORT), (urn(2), kin))))

    assert "T0-1" not in found["t0"]
