"""Several things in one Bundle: together, or each for itself."""

import base64
import json

from asking import CHART, asked, bundle
from exchange import refused

from app.sandbox import family


def test_a_transaction_answers_each_entry_in_its_place(exchange, patient):
    """Create, update, conditional create, patch, delete and read, in one, each answered in order."""
    exchange.call("PUT", f"{CHART}/Patient/old", {"resourceType": "Patient", "id": "old"})
    observed = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": "urn:uuid:a"},
    }
    json_patch = base64.b64encode(
        json.dumps([{"op": "replace", "path": "/gender", "value": "other"}]).encode()
    ).decode()
    sent = bundle(
        "transaction",
        asked("GET", "Patient/rosa"),
        asked("POST", "Observation", observed),
        asked("POST", "Patient", {"resourceType": "Patient"}, fullUrl="urn:uuid:a"),
        asked(
            "PATCH",
            "Patient/rosa",
            {
                "resourceType": "Binary",
                "contentType": "application/json-patch+json",
                "data": json_patch,
            },
        ),
        asked("DELETE", "Patient/old"),
        asked(
            "PUT",
            "Patient?identifier=urn:x|1",
            {"resourceType": "Patient", "identifier": [{"system": "urn:x", "value": "1"}]},
        ),
    )

    answer = exchange.call("POST", CHART, sent)

    assert answer.status_code == 200, answer.text
    entries = answer.json()["entry"]
    assert [one["response"]["status"] for one in entries] == [
        "200 OK",
        "201 Created",
        "201 Created",
        "200 OK",
        "204 No Content",
        "201 Created",
    ]
    assert entries[0]["resource"]["gender"] == "other"
    assert (
        entries[1]["resource"]["subject"]["reference"] == f"Patient/{entries[2]['resource']['id']}"
    )
    refused(exchange.get(f"{CHART}/Patient/old"), 410)


def test_a_transaction_is_all_or_nothing(exchange, patient):
    """One stale entry undoes the others."""
    sent = bundle(
        "transaction",
        asked("PUT", "Patient/other", {"resourceType": "Patient", "id": "other"}),
        asked("PUT", "Patient/rosa", family.PATIENT, request={"ifMatch": 'W/"7"'}),
    )

    refused(exchange.call("POST", CHART, sent), 412)

    refused(exchange.get(f"{CHART}/Patient/other"), 404)


def test_in_a_batch_each_entry_stands_for_itself(exchange, patient):
    """What is refused has its outcome in its place; the others are done."""
    sent = bundle(
        "batch",
        asked("PUT", "Patient/other", {"resourceType": "Patient", "id": "other"}),
        asked("PUT", "Patient/rosa", family.PATIENT, request={"ifMatch": 'W/"7"'}),
        asked("GET", "Patient/none"),
        asked("BREW", "Patient/rosa"),
        asked("GET", "Patient/rosa/_history/1"),
        asked("DELETE", "Patient/rosa"),
    )

    entries = exchange.call("POST", f"{CHART}/", sent).json()["entry"]

    assert [one["response"]["status"][:3] for one in entries] == [
        "201",
        "412",
        "404",
        "422",
        "200",
        "204",
    ]
    assert entries[1]["response"]["outcome"]["issue"][0]["code"] == "conflict"


def test_two_entries_with_one_full_url_are_refused(exchange):
    """A reference could mean either, so neither is stored."""
    one = asked("POST", "Patient", {"resourceType": "Patient"}, fullUrl="urn:uuid:a")

    refused(exchange.call("POST", CHART, bundle("transaction", one, one)), 400)

    assert exchange.rows("SELECT * FROM resource") == []


def test_two_entries_for_one_resource_are_refused(exchange):
    """A transaction that writes one thing twice is not guessed at."""
    one = asked("PUT", "Patient/a", {"resourceType": "Patient", "id": "a"})

    refused(exchange.call("POST", CHART, bundle("transaction", one, one)), 400)


def test_an_empty_transaction_does_nothing(exchange):
    """Nothing asked, nothing done, and said so."""
    answer = exchange.call("POST", CHART, {"resourceType": "Bundle", "type": "transaction"})

    assert answer.json() == {"resourceType": "Bundle", "type": "transaction-response"}
