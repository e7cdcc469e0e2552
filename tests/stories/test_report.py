"""A named human reports suspected maltreatment; the clinic learns that it was received, and no more."""

import json

import pytest
from exchange import refused, resources
from test_backup import kinbridge

from app.sandbox import family

REPORT = "clinic/reports/fhir/$report"
STATUS = f"{family.KINBRIDGE}/CodeSystem/cps-task-status"


def bundle(drop=(), **changes):
    made = family.report(by_device=False)
    made["entry"] = [one for one in made["entry"] if one["resource"]["resourceType"] not in drop]
    request = next(one["resource"] for one in made["entry"] if one["resource"]["id"] == "report")
    for name, value in changes.items():
        if value is None:
            request.pop(name, None)
        else:
            request[name] = value
    return made


def step(exchange, task, status, business_status, **more):
    stands = exchange.get(f"agency/intake/fhir/Task/{task['id']}").json()
    code = {"coding": [{"system": STATUS, "code": business_status}]}
    changed = {**stands, "status": status, "businessStatus": code, **more}
    return exchange.call("PUT", f"agency/intake/fhir/Task/{task['id']}", changed)


def test_a_report_reaches_intake_with_its_attestation(exchange, reported):
    """Intake gets the child, the reporter with a call-back number, the basis and the attestation."""
    _, task = reported

    request = exchange.get(f"agency/intake/fhir/{task['focus']['reference']}").json()
    held = dict(
        exchange.rows(
            "SELECT type, count(*) FROM resource WHERE shelf = 'agency/intake' GROUP BY type"
        )
    )
    assert request["note"][0]["text"].startswith("Seen today")
    assert held == {"Observation": 1, "Patient": 1, "Practitioner": 1, "PractitionerRole": 1, "Provenance": 1,
                    "ServiceRequest": 1, "Task": 1}  # fmt: skip


def test_every_copy_of_a_report_is_labelled(exchange, reported):
    """Each resource of a report is very restricted and hidden from the patient's portal."""
    held = [
        json.loads(row[0])
        for row in exchange.rows("SELECT body FROM resource WHERE shelf = 'agency/intake'")
    ]

    for one in held:
        assert {"V", "NOPAT", "VIO"} <= {label["code"] for label in one["meta"]["security"]}


def test_a_device_cannot_report(exchange):
    """No rule engine makes a report; the refusal says who can, and whom to call."""
    issues = refused(
        exchange.call("POST", REPORT, family.report(by_device=True)), 422, "business-rule"
    )

    assert "device" in issues[0]["details"]["text"]
    assert "555-0100" in issues[-1]["details"]["text"]
    assert exchange.rows("SELECT * FROM exchange") == []


@pytest.mark.parametrize(
    ("made", "expression"),
    [
        (bundle(drop={"Provenance"}), "Provenance.agent"),
        (bundle(reasonCode=None), "ServiceRequest.reasonCode"),
        (bundle(note=[{"text": "  "}]), "ServiceRequest.note"),
        (bundle(subject=None), "ServiceRequest.subject"),
        (bundle(category=None), "Bundle.entry"),
        (bundle(requester={"reference": "PractitionerRole/nobody"}), "ServiceRequest.requester"),
    ],
)
def test_an_incomplete_report_is_refused_with_the_hotline(exchange, made, expression):
    """Without attestation, allegation, basis, child or reporter nothing is sent, and the hotline is named."""
    issues = refused(exchange.call("POST", REPORT, made), 422, "business-rule")

    assert expression in {issue.get("expression", [""])[0] for issue in issues}
    assert "555-0100" in issues[-1]["details"]["text"]


def test_two_children_are_two_reports(exchange):
    """A report with two children is refused: siblings are sent one by one."""
    made = bundle()
    made["entry"].append({"resource": {"resourceType": "Patient", "id": "sibling"}})

    refused(exchange.call("POST", REPORT, made), 422, "business-rule")


def test_screening_answers_do_not_go_into_a_report(exchange):
    """What a family answered to get help is no evidence against it."""
    category = {"system": "http://hl7.org/fhir/us/core/CodeSystem/us-core-category", "code": "sdoh"}
    answer = {
        "resourceType": "Observation", "id": "hungry", "status": "final",
        "category": [{"coding": [category]}], "code": {"text": "x"},
        "subject": {"reference": "Patient/rosa"},
    }  # fmt: skip
    made = bundle(supportingInfo=[{"reference": "Observation/hungry"}])
    made["entry"].append({"resource": answer})

    sent = exchange.call("POST", REPORT, made)

    assert resources(sent, "OperationOutcome")[0]["issue"][0]["code"] == "suppressed"
    kept = exchange.rows(
        "SELECT body FROM resource WHERE shelf = 'agency/intake' AND type = 'Observation'"
    )
    assert len(kept) == 1
    assert b"injury-finding" in kept[0][0]


def test_the_reporter_learns_received_and_whom_to_call(exchange, reported):
    """The receipt has the intake number and a person with a telephone."""
    task, theirs = reported
    worker = {
        "resourceType": "PractitionerRole", "id": "desk", "practitioner": {"display": "Sam Porter"},
        "telecom": [{"system": "phone", "value": "555-0142"}],
    }  # fmt: skip
    exchange.call("PUT", "agency/intake/fhir/PractitionerRole/desk", worker)
    code = {"system": f"{family.KINBRIDGE}/CodeSystem/task-output", "code": "intake-number"}
    output = [{"type": {"coding": [code]}, "valueString": "26-0042"}]

    step(
        exchange,
        theirs,
        "received",
        "received",
        owner={"reference": "PractitionerRole/desk"},
        output=output,
    )

    seen = exchange.get(f"clinic/reports/fhir/Task/{task['id']}").json()
    assert seen["status"] == "received"
    assert seen["output"][0]["valueString"] == "26-0042"
    contact = seen["output"][1]["valueContactDetail"]
    assert contact == {"name": "Sam Porter", "telecom": [{"system": "phone", "value": "555-0142"}]}


def test_nothing_after_the_receipt_reaches_the_clinic(exchange, reported):
    """Screening decision, worker and finding leave no trace: no version, no time, no push, no row."""
    task, theirs = reported
    step(exchange, theirs, "received", "received")
    before = exchange.get(f"clinic/reports/fhir/Task/{task['id']}")
    accounted = exchange.rows("SELECT * FROM ledger")

    assert step(exchange, theirs, "accepted", "screened-in").status_code == 200
    cora = {"resourceType": "PractitionerRole", "id": "cora", "practitioner": {"display": "Cora"}}
    exchange.call("PUT", "agency/intake/fhir/PractitionerRole/cora", cora)
    owner = {"reference": "PractitionerRole/cora"}
    assert step(exchange, theirs, "accepted", "assigned", owner=owner).status_code == 200
    finding = {"type": {"text": "disposition"}, "valueString": "substantiated"}
    assert step(exchange, theirs, "completed", "disposition", output=[finding]).status_code == 200

    after = exchange.get(f"clinic/reports/fhir/Task/{task['id']}")
    assert after.content == before.content
    assert after.headers["etag"] == before.headers["etag"]
    assert exchange.rows("SELECT * FROM ledger") == accounted


def test_a_note_after_the_receipt_reaches_nobody(exchange, reported):
    """An agency's own note on a received report makes no new version of the clinic's Task."""
    task, theirs = reported
    step(exchange, theirs, "received", "received")
    before = exchange.get(f"clinic/reports/fhir/Task/{task['id']}").content

    step(exchange, theirs, "received", "received", note=[{"text": "called the school"}])

    assert exchange.get(f"clinic/reports/fhir/Task/{task['id']}").content == before


def test_an_event_that_nobody_knows_is_refused(exchange, reported):
    """A status and business status that do not belong together are not guessed at."""
    _, theirs = reported

    refused(step(exchange, theirs, "completed", "screened-in"), 422)


def test_the_report_is_accounted_for_with_its_basis(exchange, reported):
    """The privacy officer finds the disclosure with its legal basis."""
    rows = exchange.rows("SELECT purpose, rule, basis FROM ledger")

    assert rows[0][:2] == ("RPT-M", "report-with-attestation")
    assert "164.512(b)(1)(ii)" in rows[0][2]


def test_the_chart_does_not_know_of_the_report(exchange, reported):
    """Who may read the chart cannot find the report, its Task or its request there."""
    task, _ = reported

    for name in (f"Task/{task['id']}", "ServiceRequest/report", "Provenance/report-attested"):
        refused(exchange.get(f"clinic/chart/fhir/{name}"), 404)


@pytest.mark.parametrize(
    "change",
    [
        lambda made: made["entry"][2]["resource"].pop("practitioner"),
        lambda made: made["entry"][2]["resource"].update(
            practitioner={"display": "Rule engine v3"}
        ),
        lambda made: made["entry"][2]["resource"].update(active=False),
        lambda made: made["entry"][1]["resource"].pop("name"),
        lambda made: made["entry"][-1]["resource"].pop("recorded"),
        lambda made: made["entry"][-1]["resource"]["agent"][0].update(
            onBehalfOf={"reference": "Device/rules"}
        ),
        lambda made: made["entry"][-1]["resource"]["agent"][0].update(who={"display": "Dr. Lin"}),
    ],
)
def test_only_a_named_human_attests(exchange, change):
    """No name, no role in force, no time, a machine behind it: not a report."""
    made = bundle()
    change(made)

    refused(exchange.call("POST", REPORT, made), 422, "business-rule")

    assert exchange.rows("SELECT * FROM exchange") == []


@pytest.mark.parametrize(
    "value",
    [
        {"valueCodeableConcept": {"text": "Substantiated"}},
        {"valueString": "Substantiated physical abuse by stepfather"},
        {"valueString": "substantiated"},
        {"valueIdentifier": {"value": "26-0042", "assigner": {"display": "Substantiated"}}},
    ],
)
def test_a_receipt_carries_a_number_and_no_finding(exchange, reported, value):
    """Whatever an agency writes into the intake number, only a number reaches the clinic."""
    task, theirs = reported
    code = {"system": f"{family.KINBRIDGE}/CodeSystem/task-output", "code": "intake-number"}
    kind = {"coding": [code, {"code": "prior-finding"}], "text": "substantiated"}

    step(exchange, theirs, "received", "received", output=[{"type": kind, **value}])

    seen = exchange.get(f"clinic/reports/fhir/Task/{task['id']}")
    assert seen.json()["status"] == "received"
    assert "ubstantiated" not in seen.text
    assert "prior-finding" not in seen.text


def test_the_worker_of_a_later_step_is_not_told(exchange, reported):
    """When a report cannot be completed, the clinic keeps the contact of the receipt."""
    task, theirs = reported
    step(exchange, theirs, "received", "received")
    before = exchange.get(f"clinic/reports/fhir/Task/{task['id']}").json()["output"]
    worker = {
        "resourceType": "PractitionerRole", "id": "cw", "practitioner": {"display": "Sam Caseworker"},
        "telecom": [{"system": "phone", "value": "555-0177"}],
    }  # fmt: skip
    exchange.call("PUT", "agency/intake/fhir/PractitionerRole/cw", worker)
    step(exchange, theirs, "accepted", "screened-in", owner={"reference": "PractitionerRole/cw"})
    step(exchange, theirs, "failed", "unable-to-complete")

    seen = exchange.get(f"clinic/reports/fhir/Task/{task['id']}")

    assert seen.json()["output"] == before
    assert "555-0177" not in seen.text


def test_a_survey_answer_by_any_category_stays_behind(exchange):
    """A domain category without `sdoh` is a screening answer all the same."""
    coding = {"system": family.DOMAIN, "code": "food-insecurity"}
    answer = {
        "resourceType": "Observation", "id": "o", "status": "final", "category": [{"coding": [coding]}],
        "code": {"text": "hungry"}, "subject": {"reference": "Patient/rosa"},
    }  # fmt: skip
    made = bundle(supportingInfo=[{"reference": "Observation/o"}])
    made["entry"].append({"resource": answer})

    exchange.call("POST", REPORT, made)

    held = exchange.rows("SELECT body FROM resource WHERE shelf = 'agency/intake'")
    assert held
    assert not [row for row in held if b"hungry" in row[0]]


def draft_of(exchange, issues):
    """The draft Task that a refusal names."""
    text = next(one["details"]["text"] for one in issues if "draft" in one["details"]["text"])
    return exchange.get(f"clinic/reports/fhir/{text.split()[-1].rstrip('.')}").json()


def test_a_refused_report_is_kept_as_a_draft(exchange):
    """What a tired clinician wrote is not lost: it is kept whole, and a second try is the same draft."""
    made = bundle(note=[{"text": " "}])

    issues = refused(exchange.call("POST", REPORT, made), 422)

    draft = draft_of(exchange, issues)
    assert (draft["status"], draft["intent"]) == ("draft", "order")
    written = exchange.get(
        f"clinic/reports/fhir/{draft['input'][0]['valueReference']['reference']}"
    ).json()
    assert [one["resource"] for one in written["entry"]] == [
        one["resource"] for one in made["entry"]
    ]
    assert exchange.rows("SELECT * FROM resource WHERE shelf = 'agency/intake'") == []
    again = draft_of(exchange, refused(exchange.call("POST", REPORT, bundle(reasonCode=None)), 422))
    assert again["id"] == draft["id"]
    bare = {name: value for name, value in again.items() if name != "authoredOn"}
    exchange.call("PUT", f"clinic/reports/fhir/Task/{draft['id']}", bare)
    refused(exchange.call("POST", REPORT, made), 422)  # as the EHR has saved it, which is no 500

    sent = exchange.call("POST", REPORT, bundle())

    assert resources(sent, "Task")
    after = exchange.get(f"clinic/reports/fhir/Task/{draft['id']}").json()
    assert after["status"] == "completed"


def socially_poor():
    """A report of nothing that anybody saw."""
    made = bundle()
    made["entry"] = [
        one for one in made["entry"] if one["resource"]["resourceType"] != "Observation"
    ]
    request = next(one["resource"] for one in made["entry"] if one["resource"]["id"] == "report")
    del request["supportingInfo"]
    return made, request


def test_social_risk_alone_stops_softly(exchange):
    """Where nothing of the child was seen the report waits for a typed reason, and then it goes."""
    made, request = socially_poor()
    issues = refused(exchange.call("POST", REPORT, made), 422, "business-rule")
    assert "need help instead" in issues[0]["details"]["text"]

    request["extension"] = [{"url": f"{family.KINBRIDGE}/StructureDefinition/cps-override", "extension": [
        {"url": "rule", "valueCode": "T0-7"}, {"url": "reason", "valueString": "  "}]}]  # fmt: skip
    refused(exchange.call("POST", REPORT, made), 422, "business-rule")
    request["extension"][0]["extension"][1]["valueString"] = "The mother called me from the car."
    sent = exchange.call("POST", REPORT, made)

    task = resources(sent, "Task")[0]
    held = exchange.rows("SELECT body FROM resource WHERE shelf = 'agency/intake'")
    assert task["status"] == "requested"
    assert not [row for row in held if b"from the car" in row[0]]


def test_each_override_is_counted_and_can_be_listed(exchange):
    """Who watches for fairness sees how often and where the soft stop was overridden, and no reason."""
    made, request = socially_poor()
    override = {"url": f"{family.KINBRIDGE}/StructureDefinition/cps-override", "extension": [
        {"url": "rule", "valueCode": "T0-7"}, {"url": "reason", "valueString": "from the car"}]}  # fmt: skip
    request["extension"] = [override]
    resources(exchange.call("POST", REPORT, made))
    needless = family.another_report("needless", "agency")
    other = next(one["resource"] for one in needless["entry"]
                 if one["resource"]["resourceType"] == "ServiceRequest")  # fmt: skip
    other.setdefault("extension", []).append(override)
    resources(exchange.call("POST", REPORT, needless))

    done = kinbridge(exchange, "policy", "overrides")

    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[-1] == "1 of 2 reports"
    assert lines[0].split("\t")[1:] == ["T0-7", "clinic/reports", "ServiceRequest/report", "to agency/intake"]  # fmt: skip
    assert "car" not in done.output
    counted = exchange.get("metrics").text
    assert 'kinbridge_sent_total{kind="cps-report",override="T0-7"} 1.0' in counted
    assert 'kinbridge_sent_total{kind="cps-report",override="none"} 1.0' in counted


def test_the_score_goes_with_the_report(exchange, reported):
    """Caseworker and clinician see the same numbers and the same gaps."""
    task, theirs = reported

    own, copied = ([one for one in each["extension"] if one["url"].endswith("cps-completeness")]
                   for each in (task, theirs))  # fmt: skip
    assert own == copied
    assert {"completeness", "known", "band", "gap"} == {one["url"] for one in own[0]["extension"]}


def sibling(number):
    """The same report for another child of the family."""
    text = json.dumps(bundle())
    for one in ("Patient/rosa", "Observation/injury-finding", "ServiceRequest/report"):
        kind, name = one.split("/")
        text = text.replace(f'{one}"', f'{kind}/{name}-{number}"')
        text = text.replace(f'"id": "{name}"', f'"id": "{name}-{number}"')
    text = text.replace("report-attested", f"report-attested-{number}")
    made = json.loads(text)
    request = next(one["resource"] for one in made["entry"]
                   if one["resource"]["resourceType"] == "ServiceRequest")  # fmt: skip
    request["identifier"][0]["value"] = f"report-{number}"
    return {"resource": made}


def test_siblings_go_in_one_act(exchange):
    """Two children of one family are two reports with one requisition, sent together."""
    both = {"resourceType": "Bundle", "type": "collection", "entry": [sibling(1), sibling(2)]}

    sent = exchange.call("POST", REPORT, both)

    requests = resources(sent, "ServiceRequest")
    assert len(resources(sent, "Task")) == 2
    assert requests[0]["requisition"] == requests[1]["requisition"]
    assert exchange.rows("SELECT count(*) FROM exchange") == [(2,)]


def test_siblings_go_all_or_none(exchange):
    """What keeps one sibling's report back keeps both, and both are kept as drafts."""
    first, second = sibling(1), sibling(2)
    request = next(one["resource"] for one in second["resource"]["entry"]
                   if one["resource"]["resourceType"] == "ServiceRequest")  # fmt: skip
    del request["note"]
    both = {"resourceType": "Bundle", "type": "collection", "entry": [first, second]}

    issues = refused(exchange.call("POST", REPORT, both), 422)

    assert [one for one in issues if one.get("expression", [""])[0].startswith(
        "Bundle.entry[1].resource.entry[") and one["expression"][0].endswith(".resource.note")]  # fmt: skip
    assert exchange.rows("SELECT count(*) FROM exchange") == [(0,)]
    drafts = exchange.rows("SELECT body FROM resource WHERE type = 'Task'")
    assert len(drafts) == 2


@pytest.mark.parametrize(
    ("fault", "status", "place"),
    [
        ({"type": "message"}, 422, "type"),
        ({"entry": [{"resource": {"resourceType": "Child"}}]}, 404, "entry[0].resource"),
        ({"entry": [{"resource": {"resourceType": "Patient", "child": 1}}]}, 400, "entry[0].resource.child"),
        ({"entry": [{"fullUrl": 5}]}, 400, "entry[0].fullUrl"),
    ],
)  # fmt: skip
def test_it_is_said_which_siblings_report_is_wrong(exchange, fault, status, place):
    """A place in the second child's Bundle is one in the Bundle of both."""
    second = {"resource": {**sibling(2)["resource"], **fault}}
    both = {"resourceType": "Bundle", "type": "collection", "entry": [sibling(1), second]}

    (issue, *_, line) = refused(exchange.call("POST", REPORT, both), status)

    assert issue["expression"] == [f"Bundle.entry[1].resource.{place}"]
    assert "555-0100" in line["details"]["text"]


def test_a_report_that_does_not_fit_its_profile_goes_with_a_warning(exchange):
    """What a profile asks beyond T0-1 to T0-6 keeps no report from leaving; the answer says it."""
    made = bundle()
    attested = next(one["resource"] for one in made["entry"]
                    if one["resource"]["resourceType"] == "Provenance")  # fmt: skip
    attested.pop("reason")

    sent = exchange.call("POST", REPORT, made)

    (said,) = resources(sent, "OperationOutcome")
    assert {one["severity"] for one in said["issue"]} <= {"information", "warning"}
    (warned,) = [one for one in said["issue"] if one["severity"] == "warning"]
    assert warned["details"]["coding"][0]["code"] == "slice-min"
    assert warned["expression"][0].startswith("Bundle.entry[")
    assert exchange.rows("SELECT count(*) FROM exchange") == [(1,)]
