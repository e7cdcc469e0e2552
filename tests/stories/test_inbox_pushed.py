"""The inbox of a named reporter is pushed as it is pulled, from the first."""

import pytest
from exchange import resources
from shelves import REPORT, REPORTS, held, put
from test_poor_is_no_neglect import own_task
from test_unsent import written

from app.sandbox import family


@pytest.fixture
def tenants(tenants):
    """Dr. Lin has an inbox, on a server of her own."""
    inbox = {"id": "dr-lin", "kind": "cps-report", "role": "source", "audience": "reporter",
             "person": "http://hl7.org/fhir/sid/us-npi|1234567893",
             "endpoint": {"url": "https://lin.example.org/fhir"}}  # fmt: skip
    tenants[0]["shelves"].append(inbox)
    return tenants


def test_who_reported_sees_at_once_that_it_was_sent(exchange):
    """Before intake has said a word her own list has the report, as the inbox here has."""
    assert resources(exchange.call("POST", REPORT, family.report(by_device=False)), "Task")

    exchange.until(lambda: exchange.rows("SELECT id FROM outbox WHERE state = 'delivered'"))

    (stands,) = held(exchange, "clinic/dr-lin", "Task")
    [(_, bundle)] = exchange.network.sent
    (pushed,) = (entry["resource"] for entry in bundle["entry"])
    same = ("businessStatus", "code", "for", "identifier", "intent", "status")
    assert {name: pushed.get(name) for name in same} == {name: stands.get(name) for name in same}


def test_a_task_whose_clock_is_ahead_is_in_the_inbox(exchange):
    """The EHR's clock is five minutes ahead: whoever reported has it in the list all the same."""
    ahead = "2026-11-23T15:05:00Z"
    written(exchange)

    answer = put(exchange, REPORTS, own_task(authoredOn=ahead))

    assert answer.status_code == 201, answer.text
    (stands,) = held(exchange, "clinic/dr-lin", "Task")
    assert (stands["authoredOn"], stands["lastModified"]) == (ahead, ahead)
