"""Sent in error, or withdrawn, after the referral had ended already: what the agency was sent goes all the same."""

import json

import pytest
from exchange import refused
from shelves import CHART, held, put

AGENCY = "agency/support/fhir"


def left(exchange):
    return sorted(one["resourceType"] for one in held(exchange, "agency/support"))


def cancelled(exchange, task, _theirs):
    return put(exchange, CHART, {**task, "status": "cancelled"})


def revoked(exchange, task, _theirs):
    request = exchange.get(f"{CHART}/{task['focus']['reference']}").json()
    return put(exchange, CHART, {**request, "status": "revoked"})


def rejected(exchange, _task, theirs):
    return put(exchange, AGENCY, {**theirs, "status": "rejected"})


ENDS = pytest.mark.parametrize("ended", [cancelled, revoked, rejected])


@ENDS
@pytest.mark.parametrize("how", ["Task", "ServiceRequest"])
def test_it_was_the_wrong_family_after_all(exchange, referred, ended, how):
    """A nurse cancels, and sees only then that it was another child: the agency keeps nobody's record."""
    task, theirs = referred
    assert ended(exchange, task, theirs).status_code == 200
    name = f"Task/{task['id']}" if how == "Task" else task["focus"]["reference"]
    own = exchange.get(f"{CHART}/{name}").json()

    for _ in range(2):
        answer = put(exchange, CHART, {**own, "status": "entered-in-error"})
        assert answer.status_code == 200, answer.text

    assert left(exchange) == ["Task"]
    assert "12 Sample Street" not in json.dumps(exchange.get(f"{AGENCY}/_history").json())


@pytest.mark.parametrize("ended", [cancelled, revoked])
def test_the_consent_is_withdrawn_after_the_referral(exchange, referred, ended):
    """First the order is cancelled, then the consent: nobody at the agency had answered, and nothing is left."""
    task, theirs = referred
    assert ended(exchange, task, theirs).status_code == 200
    given = exchange.get(f"{CHART}/Consent/rosa-food").json()

    assert put(exchange, CHART, {**given, "status": "inactive"}).status_code == 200

    assert left(exchange) == ["Task"]


def test_an_agency_that_has_done_its_part_keeps_its_record(exchange, referred):
    """The family was helped: the agency's record of that is its own."""
    task, theirs = referred
    for status in ("accepted", "in-progress", "completed"):
        assert put(exchange, AGENCY, {**theirs, "status": status}).status_code == 200
    own = exchange.get(f"{CHART}/Task/{task['id']}").json()

    refused(put(exchange, CHART, {**own, "status": "entered-in-error"}), 409)

    assert "Patient" in left(exchange)
