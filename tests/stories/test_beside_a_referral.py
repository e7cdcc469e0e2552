"""What comes along with a referral writes over nothing that is not its sender's to write."""

import json

import pytest
from exchange import refused, resources
from test_report_contained import of
from test_what_leaves import REFER, REPORT, held

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
