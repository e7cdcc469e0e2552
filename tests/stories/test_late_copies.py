"""Whole copies that come late or wrong: the difference to what was read is taken, and nothing is lost."""

import pytest
from exchange import agency_task, refused, resources

from app.sandbox import family

KINBRIDGE = family.KINBRIDGE
REPORT = "clinic/reports/fhir/$report"
STATUS = f"{KINBRIDGE}/CodeSystem/cps-task-status"
ACTIVITY = {"coding": [{"system": family.DOMAIN, "code": "resulting-activity"}]}


def state(code):
    return {"coding": [{"system": STATUS, "code": code}]}


def output(code, value):
    return {"type": {"coding": [{"system": f"{KINBRIDGE}/CodeSystem/task-output", "code": code}]},
            "valueString": value}  # fmt: skip


def outputs(task):
    return {one["type"]["coding"][0]["code"]: one["valueString"] for one in task.get("output", [])}


def put(exchange, shelf, task):
    """As a real client does: whole, without If-Match."""
    return exchange.call("PUT", f"{shelf}/fhir/Task/{task['id']}", task)


def event(exchange, task, name, **more):
    path = f"agency/intake/fhir/Task/{task['id']}/$record-event"
    answer = exchange.call("POST", path, {"event": name, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_late_note_moves_nothing_back(exchange, reported):
    """A worker who opened the Task yesterday adds a number; the decision of today and its words stay."""
    own, read = reported
    event(exchange, read, "received", intakeNumber="26-1")
    today = event(exchange, read, "screened-in", track="investigation")

    late = put(exchange, "agency/intake", {**read, "output": [output("case-file", "F-9")]})

    assert late.status_code == 200
    stands = late.json()
    assert stands["businessStatus"] == today["businessStatus"]
    assert len(stands["output"]) == len(today["output"]) + 1
    assert exchange.rows("SELECT count(*) FROM event") == [(2,)]
    assert exchange.get(f"clinic/reports/fhir/Task/{own['id']}").json()["status"] == "received"


def test_two_workers_who_read_the_same_lose_nothing(exchange, reported):
    """Each adds to the Task as it was when both opened it; what both have said stands."""
    _, read = reported
    first = {**read, "status": "received", "businessStatus": state("received"),
             "output": [output("intake-number", "26-1")]}  # fmt: skip
    second = {**read, "note": [{"text": "called the ward"}], "output": [output("case-file", "F-9")]}

    assert put(exchange, "agency/intake", first).status_code == 200
    assert put(exchange, "agency/intake", second).status_code == 200

    task = exchange.get(f"agency/intake/fhir/Task/{read['id']}").json()
    assert outputs(task) == {"intake-number": "26-1", "case-file": "F-9"}
    assert task["status"] == "received"
    assert task["note"][0]["text"] == "called the ward"


def test_what_is_taken_away_is_taken_away(exchange, reported):
    """An output that its reader has left out is gone; one that it never saw is not."""
    _, read = reported
    numbered = put(
        exchange, "agency/intake", {**read, "output": [output("case-file", "F-9")]}
    ).json()
    event(exchange, read, "received", intakeNumber="26-1")

    without = {name: value for name, value in numbered.items() if name != "output"}
    task = put(exchange, "agency/intake", without).json()

    assert outputs(task) == {"intake-number": "26-1"}


def test_a_late_copy_of_a_referral_steps_nothing_back(exchange, referred):
    """An agency that accepted, and writes an old copy with a word added, has still accepted."""
    own, read = referred
    assert put(exchange, "agency/support", {**read, "status": "accepted"}).status_code == 200
    reason = {"text": "A place is free from Monday."}

    late = put(exchange, "agency/support", {**read, "statusReason": reason})

    assert late.status_code == 200
    assert late.json()["status"] == "accepted"
    mine = exchange.get(f"clinic/chart/fhir/Task/{own['id']}").json()
    assert (mine["status"], mine["statusReason"]) == ("accepted", reason)


def test_the_clinic_writes_back_what_it_read(exchange, reported):
    """An EHR that stores its old copy once more has said nothing; one that changes it is refused."""
    own, theirs = reported
    event(exchange, theirs, "received", intakeNumber="26-1")

    assert put(exchange, "clinic/reports", own).status_code == 200
    refused(put(exchange, "clinic/reports", {**own, "priority": "stat"}), 422)

    stands = exchange.get(f"clinic/reports/fhir/Task/{own['id']}").json()
    assert stands["status"] == "received"


def test_what_was_wrong_in_a_report_stops_no_outcome(exchange):
    """A report goes with its warnings; whoever answers it later has not said them."""
    made = family.report(by_device=False)
    request = next(one["resource"] for one in made["entry"]
                   if one["resource"]["resourceType"] == "ServiceRequest")  # fmt: skip
    backwards = {"start": "2026-11-24", "end": "2026-11-20"}
    made["entry"].append({"resource": {
        "resourceType": "Task", "id": "mine", "status": "requested", "intent": "order",
        "code": {"text": "Take it in"}, "focus": {"reference": f"ServiceRequest/{request['id']}"},
        "for": request["subject"], "executionPeriod": backwards,
    }})  # fmt: skip
    own = resources(exchange.call("POST", REPORT, made), "Task")[0]
    theirs = agency_task(exchange, "intake", own)

    event(exchange, theirs, "received", intakeNumber="26-1")
    late = put(exchange, "agency/intake", {**theirs, "note": [{"text": "called"}]})

    assert late.status_code == 200
    stands = exchange.get(f"clinic/reports/fhir/Task/{own['id']}").json()
    assert stands["status"] == "received"
    assert stands["output"]


def test_an_agencys_fault_is_told_to_the_agency(exchange, referred):
    """A reason without words fits no profile: 422, the place, and what is stored stays as it was."""
    own, theirs = referred
    coded = {"coding": [{"system": "https://agency.example.org", "code": "full"}]}

    answer = put(
        exchange, "agency/support", {**theirs, "status": "rejected", "statusReason": coded}
    )

    issues = refused(answer, 422)
    assert issues[0]["expression"] == ["Task.statusReason"]
    assert exchange.get(f"clinic/chart/fhir/Task/{own['id']}").json()["status"] == "requested"


def test_an_agencys_faulty_record_is_told_to_the_agency(exchange, referred):
    """What came of a referral is held to its profile when it goes back; the fault has its place."""
    _, theirs = referred
    done = {
        "resourceType": "Procedure", "id": "box", "status": "handed-over", "subject": theirs["for"],
        "code": {"text": "Food box"}, "performedDateTime": "2026-11-24",
    }  # fmt: skip
    exchange.call("PUT", "agency/support/fhir/Procedure/box", done)
    put(exchange, "agency/support", {**theirs, "status": "accepted"})
    came = [{"type": ACTIVITY, "valueReference": {"reference": "Procedure/box"}}]
    task = {**theirs, "status": "completed", "output": came}

    issues = refused(put(exchange, "agency/support", task), 422)

    assert any(one["expression"][0].startswith("Procedure.") for one in issues)
    exchange.call("PUT", "agency/support/fhir/Procedure/box", {**done, "status": "completed"})
    assert put(exchange, "agency/support", task).status_code == 200


@pytest.mark.parametrize(
    "element", ["contained", "extension", "modifierExtension", "implicitRules"]
)
def test_what_an_agency_may_not_change_stays(exchange, reported, element):
    """Nothing is smuggled onto the Task; the answer says that it was not taken."""
    _, theirs = reported
    said = {
        "contained": [{"resourceType": "Patient", "id": "x"}],
        "extension": [{"url": "urn:x", "valueString": "y"}],
        "modifierExtension": [{"url": "urn:x", "valueBoolean": True}],
        "implicitRules": "urn:x",
    }[element]

    answer = exchange.call(
        "PUT", f"agency/intake/fhir/Task/{theirs['id']}", {**theirs, element: said},
        Prefer="return=OperationOutcome",
    )  # fmt: skip

    assert answer.status_code == 200
    assert any(f"Task.{element}" in one.get("expression", []) for one in answer.json()["issue"])
    stands = exchange.get(f"agency/intake/fhir/Task/{theirs['id']}").json()
    assert stands.get(element) == theirs.get(element)
