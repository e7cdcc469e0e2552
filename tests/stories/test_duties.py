"""What the law and the agency's people still ask of a named person: written reports, owners, reminders."""

from datetime import timedelta

import pytest
from exchange import refused
from test_outcome import SAYS, sent, tenants  # noqa: F401 — the same clinic and agencies

from app.sandbox import family

KINBRIDGE = family.KINBRIDGE
STATUS = f"{KINBRIDGE}/CodeSystem/cps-task-status"


@pytest.fixture
def californian(tenants):  # noqa: F811 — those of the fixture, one of them elsewhere
    """The agency takes reports under a law that asks for a written one within 36 hours."""
    tenants[1]["jurisdiction"] = "ca"
    return tenants


def called(when):
    """A report that says when the hotline was called."""

    def change(made):
        for one in made["entry"]:
            if one["resource"]["resourceType"] == "ServiceRequest":
                parts = [{"url": "made", "valueCode": "yes"}, {"url": "when", "valueDateTime": when},
                         {"url": "hotlineReference", "valueString": "H-1"}]  # fmt: skip
                url = f"{KINBRIDGE}/StructureDefinition/cps-oral-report"
                kept = [each for each in one["resource"].get("extension", []) if each["url"] != url]
                one["resource"]["extension"] = [*kept, {"url": url, "extension": parts}]

    return change


def owed(exchange):
    """The Tasks that say what the law still asks of the reporter."""
    system = f"{KINBRIDGE}/sid/duty"
    found = exchange.get(f"clinic/reports/fhir/Task?identifier={system}|").json()
    return [one["resource"] for one in found.get("entry", [])]


def test_a_written_report_is_owed_so_many_hours_after_the_call(californian, exchange):
    """Where the law wants paper, the reporter has a Task with the hours of the state, counted from the call."""
    told = sent(exchange, change=called("2026-11-23T06:00:00-08:00"))

    (task,) = owed(exchange)

    assert task["restriction"]["period"]["end"] == "2026-11-25T02:00:00.000Z"
    assert task["owner"]["display"] == "Dr. Ada Lin"
    assert task["partOf"] == [{"reference": f"Task/{told.task['id']}"}]
    assert "36 hours" in task["code"]["text"]
    assert {"NOPAT", "V"} <= {one["code"] for one in task["meta"]["security"]}
    assert exchange.rows("SELECT count(*) FROM resource WHERE shelf = 'agency/intake' AND type = 'Task'") == [(1,)]  # fmt: skip


@pytest.mark.parametrize("when", ["2026-11-23", "2030-01-01T00:00:00Z"])
def test_a_call_that_cannot_be_placed_counts_from_now(californian, exchange, when):
    """A day without an hour, or a time to come: the hours run from now."""
    sent(exchange, change=called(when))

    (task,) = owed(exchange)

    assert task["restriction"]["period"]["end"].startswith("2026-11-25T03:00:00")


def test_where_an_electronic_report_is_enough_nothing_more_is_owed(exchange):
    """No Task that nobody needs."""
    sent(exchange)
    sent_elsewhere = family.another_report("elsewhere", "elsewhere")
    assert exchange.call("POST", "clinic/reports/fhir/$report", sent_elsewhere).status_code == 200

    assert owed(exchange) == []


def test_what_was_asked_of_a_person_can_be_ticked_off(californian, exchange):
    """The clinician says that it is done, and by whom; what was asked stays as it was."""
    sent(exchange, change=called("2026-11-23T06:00:00-08:00"))
    (task,) = owed(exchange)
    path = f"clinic/reports/fhir/Task/{task['id']}"
    done = {**task, "status": "completed", "note": [{"text": "form SS 8572 faxed"}],
            "code": {"text": "nothing to do"}}  # fmt: skip

    answer = exchange.call("PUT", path, done)

    assert answer.status_code == 200, answer.text
    stands = exchange.get(path).json()
    assert (stands["status"], stands["code"]) == ("completed", task["code"])
    assert stands["note"] == done["note"]
    refused(exchange.call("PUT", path, {**stands, "status": "requested"}), 409)
    assert exchange.call("PUT", path, task).status_code == 200  # an old copy says nothing
    assert exchange.get(path).json()["status"] == "completed"


def test_a_copy_without_a_status_ends_nothing(californian, exchange):
    """An EHR leaves the status out: what was asked stands as before, and can be ticked off after it."""
    sent(exchange, change=called("2026-11-23T06:00:00-08:00"))
    (task,) = owed(exchange)
    path = f"clinic/reports/fhir/Task/{task['id']}"
    bare = {name: value for name, value in task.items() if name != "status"}

    assert exchange.call("PUT", path, bare).json()["status"] == "requested"

    done = exchange.call("PUT", path, {**task, "status": "completed"})
    assert done.json()["status"] == "completed", done.text
    assert exchange.call("PUT", path, bare).json()["status"] == "completed"


def test_a_reminder_of_an_overdue_report_can_be_closed(exchange):
    """Whoever was told to call says that they have called."""
    from test_overdue import raised

    sent(exchange)
    exchange.now += timedelta(minutes=20)
    (task,) = raised(exchange, "Not confirmed")
    path = f"clinic/reports/fhir/Task/{task['id']}"

    assert exchange.call("PUT", path, {**task, "status": "completed"}).status_code == 200

    assert exchange.get(path).json()["status"] == "completed"


def test_what_is_owed_goes_with_an_expunge(californian, exchange):
    """Of an expunged report nobody owes paper; the Task says that it was expunged."""
    told = sent(exchange)
    told.record("expunged")

    (task,) = [exchange.get(f"clinic/reports/fhir/Task/{row[0]}").json() for row in exchange.rows(
        "SELECT id FROM resource WHERE shelf = 'clinic/reports' AND type = 'Task'")
        if row[0] != told.task["id"]]  # fmt: skip

    assert task["status"] == "entered-in-error"
    assert "restriction" not in task


def state(code):
    return {"coding": [{"system": STATUS, "code": code}]}


@pytest.mark.parametrize("owner", [
    None,
    {"type": "Organization", "display": "Agency"},
    {"reference": "PractitionerRole/nobody", "display": "Cora Fields"},
    {"reference": "CareTeam/night", "display": "Night team"},
    {"display": "Cora Fields"},
])  # fmt: skip
def test_a_case_is_assigned_to_a_person(exchange, owner):
    """An organization, a team or somebody without a record is no caseworker whom one can call."""
    told = sent(exchange)
    for event in ("received", "screened-in"):
        told.record(event)
    path = f"agency/intake/fhir/Task/{told.theirs['id']}"
    task = exchange.get(path).json()
    assigned = {**task, "status": "accepted", "businessStatus": state("assigned")}
    if owner:
        assigned["owner"] = owner

    issues = refused(exchange.call("PUT", path, assigned), 422, "business-rule")

    assert issues[0]["expression"] == ["Task.owner"]
    refused(told.record("assigned"), 422, "business-rule")
    assert exchange.get(path).json()["businessStatus"] == task["businessStatus"]


def test_a_case_stays_with_a_person(exchange):
    """Once somebody has it, it can go to another person and not back to the organization."""
    told = sent(exchange)
    for event in ("received", "screened-in", "assigned"):
        told.record(event, **SAYS[event])
    path = f"agency/intake/fhir/Task/{told.theirs['id']}"
    task = exchange.get(path).json()
    exchange.call("PUT", "agency/intake/fhir/PractitionerRole/noor", {
        "resourceType": "PractitionerRole", "id": "noor", "practitioner": {"display": "Ben Noor"},
        "telecom": [{"system": "phone", "value": "555-0188"}]})  # fmt: skip

    refused(exchange.call("PUT", path, {**task, "owner": told.theirs["owner"]}), 422)
    noor = {"reference": "PractitionerRole/noor", "display": "Ben Noor"}
    assert exchange.call("PUT", path, {**task, "owner": noor}).status_code == 200

    assert exchange.get(path).json()["owner"] == noor


def test_a_new_caseworker_is_told_where_that_is_open(exchange):
    """The reporter's inbox has the new name and number, accounted; the shared shelf learns of nothing."""
    told = sent(exchange)
    for event in ("received", "screened-in", "assigned"):
        told.record(event, **SAYS[event])
    shared = exchange.get(f"clinic/reports/fhir/Task/{told.task['id']}")
    rows = exchange.rows("SELECT count(*) FROM ledger")[0][0]

    told.record("assigned", owner={"name": "Ben Noor", "phone": "555-0188"})

    contact = next(one for one in told.seen("dr-lin")[3]["output"]
                   if one["type"]["coding"][0]["code"] == "named-contact")  # fmt: skip
    assert contact["valueContactDetail"]["name"] == "Ben Noor"
    assert exchange.rows("SELECT count(*) FROM ledger")[0][0] == rows + 1
    after = exchange.get(f"clinic/reports/fhir/Task/{told.task['id']}")
    assert (after.content, after.headers["etag"]) == (shared.content, shared.headers["etag"])
    assert "Noor" not in exchange.get("clinic/reports/fhir/_history?_count=500").text


def test_where_it_is_closed_the_contact_stays_whom_the_receipt_named(exchange):
    """Without a rule on file a reassignment leaves no trace; a question of the new worker names them."""
    told = sent(exchange, "elsewhere")
    for event in ("received", "screened-in"):
        told.record(event, **SAYS[event])
    before = [told.seen(shelf) for shelf in ("reports", "dr-lin", "dr-pcp")]

    told.record("assigned", **SAYS["assigned"])
    told.record("assigned", owner={"name": "Ben Noor", "phone": "555-0188"})

    assert [told.seen(shelf) for shelf in ("reports", "dr-lin", "dr-pcp")] == before
    found = exchange.get(f"elsewhere/intake/fhir/Task/{told.theirs['id']}").json()
    asked = {
        "resourceType": "Task", "status": "requested", "intent": "order", "requester": found["owner"],
        "partOf": [{"reference": f"Task/{found['id']}"}],
        "code": {"coding": [{"system": f"{KINBRIDGE}/CodeSystem/task-code", "code": "info-needed"}]},
        "input": [{"type": {"text": "question"}, "valueCodeableConcept": {"coding": [
            {"system": f"{KINBRIDGE}/CodeSystem/cps-question", "code": "call-back"}]}}],
    }  # fmt: skip
    assert exchange.call("POST", "elsewhere/intake/fhir/Task", asked).status_code == 201
    mine = exchange.get(f"clinic/reports/fhir/Task?part-of=Task/{told.task['id']}").json()
    assert mine["entry"][0]["resource"]["requester"]["display"] == "Ben Noor"
