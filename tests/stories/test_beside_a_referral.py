"""What comes along with a referral: it writes over nothing of another's, and takes nothing of another's along."""

import json

import pytest
from exchange import refused, resources
from shelves import CHART, REFER, REPORT, REPORTS, TENANT, attached, coded, held, of, put, seen

from app.sandbox import family

EHR = "https://ehr.example.org/fhir"


def another(made, *beside):
    """The same message under a number of its own, with these beside it."""
    request = of(made, "ServiceRequest")
    before, request["id"] = request["id"], "second"
    request["identifier"] = [{"system": "urn:second", "value": "2"}]
    made = json.loads(json.dumps(made).replace(f"ServiceRequest/{before}", "ServiceRequest/second"))
    made["entry"] += [
        {"fullUrl": f"{EHR}/{one['resourceType']}/{one['id']}", "resource": one} for one in beside
    ]
    return made


@pytest.mark.parametrize("kind", ["Task", "Communication"])
def test_a_referral_does_not_rewrite_what_stands_of_another(exchange, referred, kind):
    """The Task of an earlier referral says what the agency did; nobody makes it say something else."""
    _, theirs = referred
    message = {
        "resourceType": "Communication", "status": "completed", "basedOn": [theirs["focus"]],
        "sender": {"display": "Kim"}, "payload": [{"contentString": "Come on Monday."}],
    }  # fmt: skip
    assert exchange.call("POST", "agency/support/fhir/Communication", message).status_code == 201
    (stands,) = (one for one in held(exchange, "clinic/chart", kind))
    forged = {**stands, "status": "stopped" if kind == "Communication" else "completed"}
    made = another(family.referral("ServiceRequest/none", consented=True), forged)

    refused(exchange.call("POST", REFER, made), 403, "forbidden")

    assert held(exchange, "clinic/chart", kind) == [stands]
    assert len(exchange.rows("SELECT id FROM exchange")) == 1


def test_what_stands_may_come_along_as_it_is(exchange, referred):
    """An EHR that sends the whole chart sends the earlier Task too, unchanged."""
    task, _ = referred
    made = another(family.referral("ServiceRequest/none", consented=True), task)

    assert resources(exchange.call("POST", REFER, made), "Task")

    assert exchange.get(f"clinic/chart/fhir/Task/{task['id']}").json() == task


def test_a_report_that_is_refused_for_it_is_kept(exchange, reported):
    """What a clinician wrote is not lost for a Task that came along."""
    task, _ = reported
    emptied = {name: task[name] for name in ("resourceType", "id", "intent")} | {
        "status": "completed"
    }
    made = another(family.report(by_device=False), emptied)

    said = refused(exchange.call("POST", REPORT, made), 403, "forbidden")

    assert any("kept on this shelf" in one["details"]["text"] for one in said)
    assert any("555-0100" in one["details"]["text"] for one in said)
    assert exchange.get(f"clinic/reports/fhir/Task/{task['id']}").json() == task
    drafts = [one for one in held(exchange, "clinic/reports", "Task") if one["status"] == "draft"]
    assert len(drafts) == 1


def test_another_childs_task_does_not_go_along(exchange, patient):
    """The order points at an earlier referral of the brother; the agency gets one Task, and it is the sister's."""
    text = json.dumps(family.referral("ServiceRequest/none", consented=True))
    brothers = json.loads(text.replace("/rosa", "/leo").replace('"rosa-', '"leo-'))
    of(brothers, "Patient")["id"] = "leo"
    (other,) = resources(exchange.call("POST", REFER, another(brothers)), "Task")
    made = attached(
        family.referral("ServiceRequest/none", consented=True), named=[f"Task/{other['id']}"]
    )

    assert resources(exchange.call("POST", REFER, made), "Task")

    rows = exchange.rows("SELECT recipient_task FROM exchange")
    tasks = {f"Task/{one['id']}" for one in held(exchange, "agency/support", "Task")}
    assert tasks == {row[0] for row in rows}
    assert len(tasks) == 2


LEFT = {
    "Task": {"status": "completed", "intent": "order", "code": {"text": "Leo was placed"}},
    "Provenance": {"target": [{"reference": "Observation/leos"}], "recorded": "2026-11-20T10:00:00Z",
                   "reason": [{"text": "Leo was placed"}],
                   "agent": [{"who": {"reference": "Practitioner/nurse"}}]},
}  # fmt: skip


@pytest.mark.parametrize("kind", LEFT)
def test_a_report_goes_without_the_record_of_another(exchange, kind):
    """Who reported the brother, and what became of it, is not told with the sister's report; that goes."""
    put(exchange, REPORTS, {"resourceType": "Patient", "id": "leo", "name": [{"family": "Other"}]})
    put(
        exchange,
        REPORTS,
        {"resourceType": "Practitioner", "id": "nurse", "name": [{"family": "Nurse"}]},
    )
    put(exchange, REPORTS, seen("leos", subject={"reference": "Patient/leo"}))
    put(exchange, REPORTS, {"resourceType": kind, "id": "other", **LEFT[kind]})
    made = attached(family.report(by_device=False), named=[f"{kind}/other"])

    assert resources(exchange.call("POST", REPORT, made), "Task")

    text = json.dumps(held(exchange, "agency/intake"))
    assert "Leo was placed" not in text
    assert "Nurse" not in text


def test_who_names_two_agencies_is_told_that_one_gets_it(exchange, patient):
    """The pantry is named in the order too; the clinic does not go home believing that it knows."""
    made = family.referral("ServiceRequest/none", consented=True)
    pantry = {"identifier": {"system": TENANT, "value": "pantry"}}
    of(made, "ServiceRequest")["performer"].append(pantry)

    outcome = resources(exchange.call("POST", REFER, made), "OperationOutcome")[0]

    assert [one["severity"] for one in outcome["issue"]] == ["warning"]
    assert outcome["issue"][0]["expression"] == ["ServiceRequest.performer"]
    assert held(exchange, "pantry/support") == []


def test_a_family_that_must_not_be_called_is_not_found_by_its_copy(exchange, patient):
    """The order says that nobody contacts the family: neither address nor telephone go, now or by a correction."""
    made = family.referral("ServiceRequest/none", consented=True)
    of(made, "ServiceRequest")["orderDetail"] = [coded(
        "http://hl7.org/fhir/us/sdoh-clinicalcare/CodeSystem/SDOHCC-CodeSystemTemporaryCodes",
        "contacting-subject-prohibited",
    )]  # fmt: skip
    assert resources(exchange.call("POST", REFER, made), "Task")
    phone = [{"system": "phone", "value": "555-0199"}]

    put(exchange, CHART, {**patient, "telecom": phone, "birthDate": "2019-01-02"})

    (copy,) = held(exchange, "agency/support", "Patient")
    assert copy["birthDate"] == "2019-01-02"
    assert not {"address", "telecom"} & copy.keys()
    assert held(exchange, "agency/support", "PractitionerRole")[0]["telecom"]
