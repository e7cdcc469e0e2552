"""What follows a correction by and by, since it was sent too often to follow at once: it is whole, and it is heard."""

import pytest
from exchange import resources
from shelves import CHART, CHILD, REFER, coded, held, of, put, seen
from test_corrections import often  # noqa: F401 — a fixture
from test_labels import label

from app.sandbox import family

LINK = [{"other": {"reference": "Patient/old"}, "type": "replaces"}]


def reminders(exchange):
    return [one for one in held(exchange, "clinic/chart", "Task") if "not-followed" in str(one)]


@pytest.mark.usefixtures("often")
def test_what_stays_behind_later_is_said_to_who_referred(exchange):
    """A clinician's record is closed by a label: of those whose copies stay later each sender has a Task."""
    exchange.until(lambda: exchange.rows("SELECT * FROM copied WHERE due <> 0") == [])
    (mine,) = held(exchange, "clinic/chart", "PractitionerRole")
    new = [{"system": "phone", "value": "555-0199"}]
    closed = {**mine, "telecom": new, "meta": {"security": [label("SUD")]}}

    answer = put(exchange, CHART, closed, Prefer="return=OperationOutcome")

    assert "stays as it was" in answer.text
    exchange.until(lambda: len(reminders(exchange)) == 70 - 64)
    (one, *_) = reminders(exchange)
    assert one["owner"]["reference"] == f"PractitionerRole/{mine['id']}"
    assert one["partOf"][0]["reference"].startswith("Task/")
    assert "stays as it was" in one["code"]["text"]
    done = put(exchange, CHART, {**one, "status": "completed"})
    assert done.status_code == 200, done.text
    put(exchange, CHART, {**closed, "telecom": [{"system": "phone", "value": "555-0198"}]})
    exchange.until(lambda: exchange.rows("SELECT * FROM copied WHERE due <> 0") == [])
    assert len(reminders(exchange)) == 70 - 64


def test_records_that_are_parted_are_parted_in_every_referral(exchange, patient):
    """Two children were taken for one in seventy referrals: what was told of the other is an error in each."""
    old = {"resourceType": "Patient", "id": "old", "name": [{"family": "Example"}],
           "link": [{"other": CHILD, "type": "replaced-by"}]}  # fmt: skip
    put(exchange, CHART, old)
    put(exchange, CHART, {**patient, "link": LINK})
    put(exchange, CHART, seen("his", id="his", subject={"reference": "Patient/old"}, valueString=None,
                              valueCodeableConcept=coded("urn:x", "yes")))  # fmt: skip
    for number in range(70):
        made = family.referral("ServiceRequest/none", consented=True)
        request, consent = of(made, "ServiceRequest"), of(made, "Consent")
        consent |= {"id": f"c{number}", "identifier": [{"system": "urn:c", "value": str(number)}]}
        request |= {
            "id": f"r{number}", "identifier": [{"system": "urn:r", "value": str(number)}],
            "supportingInfo": [{"reference": f"Consent/c{number}"}, {"reference": "Observation/his"}],
        }  # fmt: skip
        made["entry"] = [
            {"fullUrl": f"https://ehr.example.org/fhir/{one['resourceType']}/{one['id']}", "resource": one}
            for one in (entry["resource"] for entry in made["entry"]) if one["resourceType"] != "Patient"
        ]  # fmt: skip
        assert resources(exchange.call("POST", REFER, made), "Task")

    def stands():
        found = [one["status"] for one in held(exchange, "agency/support", "Observation")]
        return {status: found.count(status) for status in set(found)}

    assert stands() == {"final": 70}

    put(exchange, CHART, {name: one for name, one in patient.items() if name != "link"})

    assert stands()["entered-in-error"] >= 64
    exchange.until(lambda: stands() == {"entered-in-error": 70})
