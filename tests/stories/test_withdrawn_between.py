"""The family withdraws its consent while what it permits is on its way: decided before, and done after, it does not go."""

import json

import pytest
from exchange import agency_task
from overtaken import entry, overtaken
from shelves import CHART, held, put

from app.sandbox import family

AGENCY = "agency/support/fhir"
WORDS = "9 Other Street"
ACTIVITY = {"coding": [{"system": family.DOMAIN, "code": "resulting-activity"}]}


@pytest.fixture
def withdraw(exchange, referred):
    """The clinic writes down that the family agrees no more."""
    given = exchange.get(f"{CHART}/Consent/rosa-food").json()
    return lambda: put(exchange, CHART, {**given, "status": "inactive"})


def says(order):
    return {
        "resourceType": "Communication", "status": "completed", "sender": {"display": "Kim"},
        "basedOn": [order], "payload": [{"contentString": WORDS}],
    }  # fmt: skip


def answer(exchange, task, **changes):
    theirs = agency_task(exchange, "support", task)
    assert put(exchange, AGENCY, {**theirs, **changes}).status_code == 200


def test_an_address_is_not_told(exchange, referred, patient, withdraw):
    """The agency works on it; where the family has moved to is not its business any more."""
    answer(exchange, referred[0], status="accepted")

    moved = entry({**patient, "address": [{"text": WORDS}]})

    done = overtaken(exchange, "clinic/chart", [moved], "update", by=withdraw)

    assert done
    assert WORDS in json.dumps(held(exchange, "clinic/chart", "Patient"))
    assert WORDS not in json.dumps(held(exchange, "agency/support"))


@pytest.mark.parametrize("side", ["clinic", "agency"])
def test_a_message_is_refused(exchange, referred, withdraw, side):
    """What the agency was asked for is done; neither side writes to the other about the family any more."""
    task, theirs = referred
    answer(exchange, task, status="rejected")
    shelf, there = ("clinic/chart", "agency/support")[:: 1 if side == "clinic" else -1]

    message = entry(says((task if side == "clinic" else theirs)["focus"]))

    done = overtaken(exchange, shelf, [message], "create", by=withdraw)

    assert done is None
    assert held(exchange, there, "Communication") == []


def test_what_was_done_is_not_corrected(exchange, referred, withdraw):
    """The agency corrects what it told of its help; the clinic's copy stays as it was."""
    task, theirs = referred
    helped = {
        "resourceType": "Procedure", "id": "helped", "status": "completed", "subject": theirs["for"],
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "467771000124109"}]},
        "category": {"coding": [{"system": family.DOMAIN, "code": "food-insecurity"}]},
        "performedDateTime": "2026-11-22",
    }  # fmt: skip
    put(exchange, AGENCY, helped)
    answer(exchange, task, status="accepted")
    output = [{"type": ACTIVITY, "valueReference": {"reference": "Procedure/helped"}}]
    answer(exchange, task, status="completed", output=output)
    (told,) = held(exchange, "clinic/chart", "Procedure")

    later = entry({**helped, "performedDateTime": "2026-11-23"})

    done = overtaken(exchange, "agency/support", [later], "update", by=withdraw)

    assert done
    assert held(exchange, "clinic/chart", "Procedure") == [told]
