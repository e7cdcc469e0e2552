"""What is not answered in time goes to a named person; a report finds the authority that takes it."""

import json
from datetime import timedelta

import pytest
from exchange import refused
from test_outcome import SAYS, sent, tenants  # noqa: F401 — the same clinic and agencies

from app.sandbox import family

REPORT = "clinic/reports/fhir/$report"


def raised(exchange, words, **how):
    """The Task to a person that says this, once the worker has found it."""

    def told():
        found = exchange.rows(
            "SELECT body FROM resource WHERE shelf = 'clinic/reports' AND type = 'Task'"
        )
        tasks = [json.loads(row[0]) for row in found]
        return [one for one in tasks if words in one.get("code", {}).get("text", "")]

    return exchange.until(told, **how)


def asks(exchange, told, end):
    """The agency asks, and wants its answer by then."""
    question = {
        "resourceType": "Task", "status": "requested", "intent": "order", "requester": {"display": "Sam"},
        "partOf": [{"reference": f"Task/{told.theirs['id']}"}], "restriction": {"period": {"end": end}},
        "code": {"coding": [{"system": f"{family.KINBRIDGE}/CodeSystem/task-code", "code": "info-needed"}]},
        "input": [{"type": {"text": "question"}, "valueCodeableConcept": {"coding": [
            {"system": f"{family.KINBRIDGE}/CodeSystem/cps-question", "code": "call-back"}]}}],
    }  # fmt: skip
    return exchange.call("POST", f"{told.agency}/intake/fhir/Task", question)


def test_an_unacknowledged_report_goes_back_to_the_reporter(exchange):
    """Quarter of an hour without an answer: the clinician who reported is told to call, once."""
    told = sent(exchange)
    exchange.at += timedelta(minutes=20)

    tasks = raised(exchange, "Not confirmed", woken=False)  # the worker looks by itself

    assert len(tasks) == 1
    assert "555-0101" in tasks[0]["code"]["text"]
    assert tasks[0]["owner"]["display"] == "Dr. Ada Lin"
    assert tasks[0]["partOf"] == [{"reference": f"Task/{told.task['id']}"}]
    assert exchange.rows("SELECT due FROM exchange") == [(0.0,)]


def waits(exchange, time):
    """Whether something is due after this time only."""
    ((due,),) = exchange.rows("SELECT due FROM exchange")
    return due > (exchange.now + time).timestamp()


@pytest.mark.parametrize("ahead", [timedelta(days=400), timedelta(hours=1)])
def test_a_report_that_was_sent_while_the_clock_was_ahead(exchange, ahead):
    """The machine's clock is set right: the clinician is told after a quarter of an hour, not in a year."""
    exchange.now += ahead
    sent(exchange)
    exchange.now -= ahead
    quarter = timedelta(minutes=16)
    exchange.until(lambda: not waits(exchange, quarter))

    exchange.now += quarter

    assert len(raised(exchange, "Not confirmed")) == 1


def test_who_has_called_is_not_told_again(exchange):
    """Intake asked and did not acknowledge: when its question is late too, the call that was made stays made."""
    told = sent(exchange)
    assert asks(exchange, told, "2026-11-23T17:00:00Z").status_code == 201
    exchange.now += timedelta(minutes=20)
    (call,) = raised(exchange, "Not confirmed")
    path = f"clinic/reports/fhir/Task/{call['id']}"
    assert exchange.call("PUT", path, {**call, "status": "completed"}).status_code == 200
    exchange.now += timedelta(hours=2)

    raised(exchange, "not answered in time")

    assert exchange.get(path).json()["status"] == "completed"


def test_a_question_that_came_before_the_receipt_is_still_due(exchange):
    """Intake asks first and acknowledges then: its question is raised to a person all the same."""
    told = sent(exchange)
    assert asks(exchange, told, "2026-11-23T16:00:00Z").status_code == 201
    assert told.record("received", **SAYS["received"]).status_code == 200
    exchange.now += timedelta(hours=2)

    assert len(raised(exchange, "not answered in time")) == 1


def test_an_acknowledged_report_is_not_overdue(exchange):
    """Intake has said received: nobody is called."""
    told = sent(exchange)
    told.record("received", **SAYS["received"])

    assert exchange.rows("SELECT due FROM exchange") == [(0.0,)]


def test_an_unanswered_question_goes_to_the_backup_contact(exchange):
    """A question past its time is raised to a second clinician, reachable day and night."""

    def backup(made):
        made["entry"].append({"fullUrl": "https://ehr.example.org/fhir/PractitionerRole/night", "resource": {
            "resourceType": "PractitionerRole", "id": "night", "practitioner": {"display": "Dr. Noor"},
            "telecom": [{"system": "phone", "value": "555-0199"}], "availableTime": [{"allDay": True}]}})  # fmt: skip

    told = sent(exchange, change=backup)
    told.record("received", **SAYS["received"])
    asked = told.record("awaiting-information", question="child-location", due="2026-11-23T16:00:00Z",
                        owner={"name": "Sam", "phone": "555-0142"})  # fmt: skip
    assert asked.status_code == 200, asked.text
    exchange.now += timedelta(hours=2)

    tasks = raised(exchange, "not answered in time")

    assert tasks[0]["owner"]["display"] == "Dr. Noor"


def test_a_question_that_is_due_in_a_month_is_due_at_its_end(exchange):
    """The agency's Task says a month and no day: it is raised when the month is over."""
    told = sent(exchange)
    told.record("received", **SAYS["received"])
    assert asks(exchange, told, "2026-11").status_code == 201
    exchange.now += timedelta(days=8)

    assert len(raised(exchange, "not answered in time")) == 1


def test_a_transferred_report_goes_on(exchange):
    """Another authority gets the report as it was sent; the clinic has a new Task and whom to call."""
    told = sent(exchange)
    told.record("received", **SAYS["received"])

    done = told.record("transferred", to="elsewhere")

    assert done.status_code == 200, done.text
    held = exchange.rows(
        "SELECT body FROM resource WHERE shelf = 'elsewhere/intake' AND type = 'ServiceRequest'"
    )
    assert len(held) == 1
    tasks = [json.loads(row[0]) for row in exchange.rows(
        "SELECT body FROM resource WHERE shelf = 'clinic/reports' AND type = 'Task'")]  # fmt: skip
    old = next(one for one in tasks if one["id"] == told.task["id"])
    new = next(one for one in tasks if one.get("partOf") == [{"reference": f"Task/{old['id']}"}])
    assert (old["status"], old["businessStatus"]["coding"][0]["code"]) == (
        "cancelled",
        "transferred",
    )
    assert (new["status"], new["owner"]["display"]) == ("requested", "elsewhere")
    contact = next(one for one in old["output"] if "valueContactDetail" in one)[
        "valueContactDetail"
    ]
    assert contact["name"] == "elsewhere"
    assert contact["telecom"][0]["value"] == "555-0100"
    ruled = exchange.rows("SELECT rule FROM ledger WHERE recipient = 'elsewhere/intake'")
    assert ruled == [("report-with-attestation",)]
    theirs = exchange.rows(
        "SELECT recipient_task FROM exchange WHERE recipient = 'elsewhere/intake'"
    )[0][0]
    answer = exchange.call("POST", f"elsewhere/intake/fhir/{theirs}/$record-event",
                           {"event": "received", "intakeNumber": "E-1"})  # fmt: skip
    assert answer.status_code == 200
    assert exchange.get(f"clinic/reports/fhir/Task/{new['id']}").json()["status"] == "received"


def test_who_is_contained_goes_on_too(exchange):
    """The clinician inside the report is known by name to the next authority as well."""

    def inside(made):
        human = {"resourceType": "Practitioner", "id": "dr", "name": [{"text": "Dr. Inside"}]}
        for one in made["entry"]:
            if one["resource"]["resourceType"] == "ServiceRequest":
                one["resource"].update(contained=[human], requester={"reference": "#dr"})

    told = sent(exchange, change=inside)
    told.record("received", **SAYS["received"])

    assert told.record("transferred", to="elsewhere").status_code == 200

    (body,) = exchange.rows(
        "SELECT body FROM resource WHERE shelf = 'elsewhere/intake' AND type = 'Task'"
    )
    asks = json.loads(body[0])["requester"]["reference"]
    person = exchange.get(f"elsewhere/intake/fhir/{asks}").json()
    assert person["name"] == [{"text": "Dr. Inside"}]


def test_a_transfer_to_nobody_is_refused(exchange):
    """A report does not leave the one authority for none."""
    told = sent(exchange)
    told.record("received", **SAYS["received"])

    refused(told.record("transferred", to="nobody"), 422)


def test_the_childs_place_proposes_the_authority(exchange):
    """A report that names no registered authority is told which one takes it, and goes nowhere by itself."""
    made = family.report(by_device=False)
    for one in made["entry"]:
        if one["resource"]["resourceType"] == "ServiceRequest":
            one["resource"]["performer"] = [{"display": "Intake, please"}]
        if one["resource"]["resourceType"] == "Patient":
            one["resource"]["address"] = [{"line": ["1 Sample Street"], "state": "FV"}]

    issues = refused(exchange.call("POST", REPORT, made), 422)

    texts = [one["details"]["text"] for one in issues]
    assert any("agency takes this report" in text and "tenant|agency" in text for text in texts)
    assert not any("elsewhere takes" in text for text in texts)
    assert exchange.rows("SELECT count(*) FROM exchange") == [(0,)]
