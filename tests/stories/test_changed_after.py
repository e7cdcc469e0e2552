"""What is changed in an order after it was sent goes to nobody by itself; somebody at the clinic is told so."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from shelves import CHART, REPORT, REPORTS, held, of, put
from test_overdue import raised
from test_same_words import transaction, without_numbers

from app.sandbox import family

LEO = {"resourceType": "Patient", "id": "leo", "name": [{"family": "Other"}]}


def told(exchange, shelf):
    return [
        one
        for one in held(exchange, shelf, "Task")
        if "not-followed" in [code["code"] for code in one.get("code", {}).get("coding", [])]
    ]


def request_of(exchange, shelf, task):
    return exchange.get(f"{shelf}/{task['focus']['reference']}").json()


def test_a_report_that_is_amended_tells_who_reported(exchange, reported):
    """The clinician writes a new finding into the order: it stays here, and she learns it, once."""
    task, _ = reported
    request = request_of(exchange, REPORTS, task)
    for word in ("a burn", "another burn"):
        assert put(exchange, REPORTS, {**request, "note": [{"text": word}]}).status_code == 200

    (one,) = told(exchange, "clinic/reports")

    assert "changed after it was sent" in one["code"]["text"]
    assert one["owner"]["display"] == "Dr. Ada Lin"
    assert one["partOf"] == [{"reference": f"Task/{task['id']}"}]
    put(exchange, REPORTS, {**one, "status": "completed"})
    put(exchange, REPORTS, {**request, "note": [{"text": "a third"}]})
    assert [each["status"] for each in told(exchange, "clinic/reports")] == ["requested"]


def test_a_report_of_the_wrong_child_tells_who_reported(exchange, reported):
    """The order is moved to the right chart after it was sent: the agency still looks for the other child."""
    task, _ = reported
    put(exchange, REPORTS, LEO)
    request = request_of(exchange, REPORTS, task)

    put(exchange, REPORTS, {**request, "subject": {"reference": "Patient/leo"}})

    (one,) = told(exchange, "clinic/reports")
    assert "another person now" in one["code"]["text"]


def test_so_does_a_referral(exchange, referred):
    """The order asks for something else now."""
    task, _ = referred
    request = request_of(exchange, CHART, task)

    put(exchange, CHART, {**request, "note": [{"text": "Please call after six."}]})

    assert len(told(exchange, "clinic/chart")) == 1
    assert told(exchange, "agency/support") == []


@pytest.mark.parametrize(
    "more", [{"authoredOn": "2026-11-24T09:00:00+09:00"}, {"status": "completed"}, {}]
)
def test_what_is_the_clinics_book_keeping_tells_nobody(exchange, reported, more):
    """An EHR that saves its orders each night raises no alarm."""
    task, _ = reported
    request = request_of(exchange, REPORTS, task)

    put(exchange, REPORTS, {**request, "identifier": [{"system": "urn:x", "value": "2"}], **more})

    assert told(exchange, "clinic/reports") == []


def test_it_is_expunged_with_its_case(exchange, reported):
    """What says that there was a report goes with it."""
    task, theirs = reported
    put(exchange, REPORTS, {**request_of(exchange, REPORTS, task), "note": [{"text": "new"}]})

    exchange.call(
        "POST", f"agency/intake/fhir/Task/{theirs['id']}/$record-event", {"event": "expunged"}
    )

    assert told(exchange, "clinic/reports") == []


@pytest.mark.parametrize("door", ["operation", "transaction"])
@pytest.mark.parametrize("numbered", [True, False])
def test_one_report_from_two_nodes_is_one(exchange, door, numbered):
    """Both nodes of the EHR's engine send it within a second, with urns of their own."""
    bundle = family.report(by_device=False)

    def send(_):
        made = without_numbers(bundle, "Abel")
        if numbered:
            of(made, "ServiceRequest")["identifier"] = [{"system": "urn:ehr", "value": "1"}]
        path, made = (REPORT, made) if door == "operation" else (REPORTS, transaction(made))
        return exchange.call("POST", path, made)

    with ThreadPoolExecutor(4) as nodes:
        answers = list(nodes.map(send, range(4)))

    assert [one.status_code for one in answers] == [200] * 4, [one.text for one in answers]
    assert len(held(exchange, "agency/intake", "Task")) == 1


class TestNoJurisdiction:
    """An agency whose jurisdiction nobody has put on file."""

    @pytest.fixture
    def tenants(self, tenants):
        return [
            {name: one for name, one in each.items() if name != "jurisdiction"} for each in tenants
        ]

    @pytest.mark.usefixtures("reported")
    def test_a_report_that_is_not_acknowledged_is_raised(self, exchange):
        """No law says how long; the clinician is told to call all the same."""
        exchange.now += timedelta(minutes=20)

        (one,) = raised(exchange, "Not confirmed")

        assert "Call them" in one["code"]["text"]
