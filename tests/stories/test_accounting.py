"""Who received what about this child, when, why and by which rule: the privacy officer can tell."""

import pytest
from test_backup import kinbridge

from app.sandbox import family


def account(exchange, shelf, subject, *options):
    done = kinbridge(exchange, "policy", "account", shelf, subject, *options)
    assert done.exit_code == 0, done.output
    return [line.split("\t") for line in done.output.splitlines()]


def test_every_disclosure_about_a_child_is_accounted_for(exchange, reported):
    """A report and a message to intake are two rows, each with its purpose, its rule and its law."""
    task, _ = reported
    message = {
        "resourceType": "Communication", "status": "completed", "basedOn": [task["focus"]],
        "sender": {"display": "Dr. Lin"}, "payload": [{"contentString": "She is on ward 3."}],
    }  # fmt: skip
    assert exchange.call("POST", "clinic/reports/fhir/Communication", message).status_code == 201

    *rows, last = account(exchange, "clinic/reports", "Patient/rosa")

    assert last == ["2 disclosures"]
    assert [row[1:4] for row in rows] == [
        ["Agency", "RPT-M", "report-with-attestation"],
        ["Agency", "CPS-FU", "conversation-on-report"],
    ]
    assert "45 CFR 164.512(b)(1)(ii)" in rows[0][4]
    assert {"Patient", "ServiceRequest", "Task"} <= {*rows[0][5].split(", ")}
    assert "ward 3" not in str(rows)


def test_an_agency_accounts_for_the_child_as_it_knows_it(exchange, reported, referred):
    """What it told a clinic is found under its own record of the child, whichever way it was told."""
    _, theirs = reported
    path = f"agency/intake/fhir/Task/{theirs['id']}/$record-event"
    assert exchange.call("POST", path, {"event": "received"}).status_code == 200
    message = {
        "resourceType": "Communication", "status": "completed", "basedOn": [theirs["focus"]],
        "sender": {"display": "Kim"}, "payload": [{"contentString": "Which ward?"}],
    }  # fmt: skip
    assert exchange.call("POST", "agency/intake/fhir/Communication", message).status_code == 201
    _, voluntary = referred
    accepted = {**voluntary, "status": "accepted"}
    exchange.call("PUT", f"agency/support/fhir/Task/{voluntary['id']}", accepted)

    *told, _ = account(exchange, "agency/intake", theirs["for"]["reference"])
    *helped, _ = account(exchange, "agency/support", voluntary["for"]["reference"])

    assert [row[3] for row in told] == ["receipt", "conversation-on-report"]
    assert [row[3] for row in helped] == ["progress-with-consent"]


@pytest.mark.parametrize("status", ["cancelled", "entered-in-error"])
def test_that_it_is_taken_back_is_told_and_accounted(exchange, referred, status):
    """The family has changed its mind: what the agency is told of that is a row as well."""
    task, _ = referred
    path = f"clinic/chart/fhir/Task/{task['id']}"
    assert exchange.call("PUT", path, {**task, "status": status}).status_code == 200

    *_, row, _ = account(exchange, "clinic/chart", "Patient/rosa")

    assert row[1] == "Agency"
    assert row[3:5] == ["taken-back", "45 CFR 164.508(b)(5); 45 CFR 164.530(f)"]
    assert "Task" in row[5]


def test_a_message_that_is_taken_back_is_accounted(exchange, reported):
    """By the agency as by the clinic: each in its own accounting."""
    _, theirs = reported
    message = {
        "resourceType": "Communication", "id": "m", "status": "completed", "basedOn": [theirs["focus"]],
        "sender": {"display": "Kim"}, "payload": [{"contentString": "Which ward?"}],
    }  # fmt: skip
    path = "agency/intake/fhir/Communication/m"
    assert exchange.call("PUT", path, message).status_code == 201
    written = exchange.get(path).json()
    assert exchange.call("PUT", path, {**written, "status": "entered-in-error"}).status_code == 200

    *rows, _ = account(exchange, "agency/intake", theirs["for"]["reference"])

    assert [row[3] for row in rows] == ["conversation-on-report", "taken-back"]


def test_of_another_shelf_or_child_nothing_is_said(exchange, patient, reported):
    """The chart has disclosed nothing, and neither has anybody about another child."""
    other = {"resourceType": "Patient", "id": "ben"}
    assert exchange.call("PUT", "clinic/reports/fhir/Patient/ben", other).status_code == 201

    assert account(exchange, "clinic/chart", "Patient/rosa") == [["0 disclosures"]]
    assert account(exchange, "clinic/reports", "Patient/ben") == [["0 disclosures"]]


@pytest.mark.parametrize(
    ("shelf", "subject"),
    [
        ("clinic/report", "Patient/rosa"),
        ("clinic/reports", "rosa"),
        ("reports", "Patient/rosa"),
        ("clinic/reports", "Patient/rosaa"),
        ("clinic/chart", "Patient/rosa"),
    ],
)
def test_an_account_of_nobody_is_not_an_empty_one(exchange, reported, shelf, subject):
    """A shelf or a person that was written wrongly must not read as nothing disclosed."""
    done = kinbridge(exchange, "policy", "account", shelf, subject)

    assert done.exit_code == 2
    assert "disclosure" not in done.output


def test_an_expunge_leaves_the_accounting(exchange, reported):
    """That something was disclosed stays on record for six years; what it said is gone."""
    _, theirs = reported
    before = account(exchange, "clinic/reports", "Patient/rosa")
    path = f"agency/intake/fhir/Task/{theirs['id']}/$record-event"

    assert exchange.call("POST", path, {"event": "expunged"}).status_code == 200

    assert account(exchange, "clinic/reports", "Patient/rosa") == before
    assert family.PATIENT["name"][0]["family"] not in str(before)
