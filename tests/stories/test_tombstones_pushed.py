"""What was expunged or taken back is so on a partner's own server too: each Task there says it, questions and reminders as well."""

from datetime import timedelta

import pytest
from exchange import COUNTY
from shelves import CHART, held, put

from app.sandbox import family

KINBRIDGE = family.KINBRIDGE
HOSTS = {"agency/support": "support", "agency/intake": "intake", "clinic/reports": "reports"}


@pytest.fixture
def endpoints():
    return {shelf: f"https://{host}.example.org/fhir" for shelf, host in HOSTS.items()}


@pytest.fixture
def tenants(tenants):
    """Besides a second authority."""
    return [*tenants, COUNTY]


def there(exchange, host):
    """The Tasks on a partner's server, by what they are, once nothing is owed any more: their status."""
    exchange.until(lambda: not exchange.rows("SELECT id FROM outbox WHERE state = 'owed'"))
    tasks = {}
    for url, bundle in exchange.network.sent:
        for entry in bundle["entry"] if host in url else ():
            if entry["resource"]["resourceType"] == "Task":
                request = entry["request"]
                key = request.get("ifNoneExist") or request["url"].partition("?")[2]
                tasks[key] = entry["resource"]
    return sorted((one["status"], str(one.get("input"))) for one in tasks.values())


def asks(exchange, shelf, task, words):
    question = {"system": f"{KINBRIDGE}/CodeSystem/cps-question", "code": "other"}
    detail = {"coding": [{"system": f"{KINBRIDGE}/CodeSystem/task-input", "code": "detail"}]}
    asked = {
        "resourceType": "Task", "status": "requested", "intent": "order", "requester": {"display": "Sam"},
        "partOf": [{"reference": f"Task/{task['id']}"}],
        "code": {"coding": [{"system": f"{KINBRIDGE}/CodeSystem/task-code", "code": "info-needed"}]},
        "input": [{"type": {"text": "question"}, "valueCodeableConcept": {"coding": [question]}},
                  {"type": detail, "valueString": words}],
    }  # fmt: skip
    assert exchange.call("POST", f"{shelf}/fhir/Task", asked).status_code == 201


def test_an_expunge_is_told_of_each_task(exchange, reported):
    """The EHR has the report's Task, a reminder to call the hotline, and a question: none of them stays open."""
    own, theirs = reported
    exchange.now += timedelta(days=1)
    exchange.until(lambda: len(held(exchange, "clinic/reports", "Task")) == 2)
    asks(exchange, "agency/intake", theirs, "Did Rosa say who did it?")
    asks(exchange, "clinic/reports", own, "Is Rosa safe?")
    assert len(there(exchange, "reports")) == 3
    (half,) = [
        one for one in held(exchange, "agency/intake", "Task") if "Is Rosa safe?" in str(one)
    ]
    said = [{"type": {"text": "answer"}, "valueString": "She is with her aunt."}]
    put(exchange, "agency/intake/fhir", {**half, "status": "completed", "output": said})
    assert len(there(exchange, "reports")) == 4

    record = f"agency/intake/fhir/Task/{theirs['id']}/$record-event"
    assert exchange.call("POST", record, {"event": "expunged"}).status_code == 200

    assert there(exchange, "reports") == [("entered-in-error", "None")] * 4
    assert there(exchange, "intake") == [("entered-in-error", "None")] * 2


def test_an_expunge_by_who_took_a_report_over_is_told(exchange, reported):
    """The EHR has a Task of what went on to the county, as it was made, and nothing came after it."""
    _, theirs = reported
    for said in ({"event": "received"}, {"event": "transferred", "to": "county"}):
        record = f"agency/intake/fhir/Task/{theirs['id']}/$record-event"
        assert exchange.call("POST", record, said).status_code == 200
    assert "requested" in dict(there(exchange, "reports"))
    (taken,) = held(exchange, "county/intake", "Task")

    record = f"county/intake/fhir/Task/{taken['id']}/$record-event"
    assert exchange.call("POST", record, {"event": "expunged"}).status_code == 200

    assert "requested" not in dict(there(exchange, "reports"))
    assert "entered-in-error" in dict(there(exchange, "reports"))


def test_a_question_on_a_referral_that_was_sent_in_error_is_taken_back(exchange, referred):
    """The agency's server had the clinic's question, with the family's name in it."""
    own, _ = referred
    asks(exchange, "clinic/chart", own, "Have the Examples come?")
    assert "Examples" in str(there(exchange, "support"))

    put(exchange, CHART, {**own, "status": "entered-in-error"})

    assert [status for status, asked in there(exchange, "support") if asked != "None"] == []
    assert "entered-in-error" in dict(there(exchange, "support"))
