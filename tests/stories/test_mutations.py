"""Every message of the loop with something wrong in it: refused whole or taken whole, never a 5xx."""

import copy
import os
import random

import pytest

from app.sandbox import family

WRONG = ["x", 5, None, True, [], {}, ["x"], [5], [None], [[]], {"a": "x"}, [{"a": 5}],
         {"reference": 5}, {"reference": {}}, {"reference": "urn:uuid:none"}, {"coding": "x"},
         {"coding": ["x"]}, {"coding": {"system": 5}}, [{"coding": ["x"]}], "\x00", "2026-02-30"]  # fmt: skip
EACH = None if os.environ.get("KINBRIDGE_SOAK") else 250  # of some three thousand a door
TASK = {
    "resourceType": "Task", "status": "requested", "intent": "order",
    "identifier": [{"system": "urn:x", "value": "1"}],
    "focus": {"reference": "ServiceRequest/food-help"}, "for": {"reference": "Patient/rosa"},
    "requester": {"reference": "PractitionerRole/dr-lin-pediatrics"}, "owner": family.AGENCY,
    "businessStatus": {"coding": [{"system": "urn:x", "code": "y"}]}, "output": [{"type": {"text": "x"}, "valueString": "y"}],
}  # fmt: skip


def transaction():
    entries = family.referral("ServiceRequest/none", consented=True)["entry"]
    for number, one in enumerate(entries):
        one["fullUrl"] = f"urn:uuid:{number}"
        kind = one["resource"]["resourceType"]
        one["request"] = {
            "method": "PUT",
            "url": f"{kind}/{one['resource']['id']}",
            "ifMatch": 'W/"1"',
        }
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


DOORS = {
    "clinic/chart/fhir/$submit-screening": lambda: family.screening("prapare", ["stress"]),
    "clinic/chart/fhir/QuestionnaireResponse": lambda: family.screening("prapare", ["stress"]),
    "clinic/chart/fhir/$refer": lambda: family.referral("ServiceRequest/none", consented=True),
    "clinic/reports/fhir/$report": lambda: family.report(by_device=False),
    "clinic/reports/fhir/$check-referral": lambda: family.report(by_device=False),
    "clinic/chart/fhir/Task": lambda: copy.deepcopy(TASK),
    "agency/support/fhir/Task": lambda: copy.deepcopy(TASK),
    "clinic/chart/fhir": transaction,
}


def places(node, path=()):
    """Every place in a message."""
    pairs = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    for key, child in pairs:
        yield (*path, key)
        yield from places(child, (*path, key))


def mutated(message, place, value):
    holder = message
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = copy.deepcopy(value)
    return message


@pytest.mark.parametrize("door", DOORS)
def test_a_wrong_value_anywhere_is_refused_or_kept_and_never_breaks(exchange, door):
    """A wrong value at any place of any message ends in an answer that says what to do."""
    tries = [(place, value) for place in places(DOORS[door]()) for value in WRONG]
    chosen = tries if EACH is None else random.Random(7).sample(tries, min(EACH, len(tries)))

    for place, value in chosen:
        answer = exchange.call("POST", door, mutated(DOORS[door](), place, value))

        assert answer.status_code < 500, (place, value, answer.text)
        if answer.status_code >= 400:
            assert answer.json()["resourceType"] == "OperationOutcome", (place, value)
    assert exchange.rows("SELECT count(*) FROM exchange") == exchange.rows(
        "SELECT count(DISTINCT exchange) FROM ledger WHERE source LIKE 'clinic/%'"
    )
