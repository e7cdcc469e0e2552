"""What an operation takes comes as it is, or in Parameters, as HAPI's clients send it."""

import pytest
from asking import CHART

from app.sandbox import family

REPORTS = "clinic/reports/fhir"
DOORS = {
    f"{REPORTS}/$report": lambda: family.report(by_device=False),
    f"{REPORTS}/$check-referral": lambda: family.report(by_device=False),
    f"{CHART}/$refer": lambda: family.examples.good("referral"),
    f"{CHART}/$submit-screening": lambda: family.screening("hunger-vital-sign", []),
}


def wrapped(resource, *more):
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": "resource", "resource": resource}, *more],
    }


def drafts(exchange):
    found = exchange.get(f"{REPORTS}/Task?status=draft").json()
    return [one["resource"]["id"] for one in found.get("entry", ())]


@pytest.mark.parametrize("door", DOORS)
def test_parameters_are_what_they_hold(exchange, patient, door):
    """Sent bare after that it is the same message, and answered as what it became."""
    first = exchange.call("POST", door, wrapped(DOORS[door]()))
    again = exchange.call("POST", door, DOORS[door]())

    assert first.status_code == 200, first.text
    assert names(first) == names(again)
    assert drafts(exchange) == []


def names(answer):
    """What was made, each by its type and id; of a check all that it says."""
    said = answer.json()
    made = [one["resource"] for one in said.get("entry", ())]
    kept = [(one["resourceType"], one["id"]) for one in made if "id" in one]
    return sorted(kept) or said["parameter"]


def test_what_is_asked_beside_stands_in_parameters_too(exchange):
    """Of $check-referral jurisdiction and flag, which others send in the URL."""
    report = family.report(by_device=False)
    beside = (
        {"name": "jurisdiction", "valueString": "example"},
        {"name": "flag", "valueString": "race"},
    )
    door = f"{REPORTS}/$check-referral"

    inside = exchange.call("POST", door, wrapped(report, *beside))
    outside = exchange.call("POST", f"{door}?jurisdiction=example&flag=race", report)

    assert inside.status_code == outside.status_code == 200, inside.text
    assert inside.json() == outside.json()


@pytest.mark.parametrize(
    "sent",
    [
        lambda report: wrapped(report, {"name": "urgency", "valueCode": "stat"}),
        lambda report: wrapped(report, {"name": "resource", "resource": report}),
        lambda report: {"resourceType": "Parameters", "parameter": [{"name": "report", "resource": report}]},
        lambda _: {"resourceType": "Parameters", "parameter": [{"name": "resource"}]},
        lambda _: {"resourceType": "Parameters", "parameter": ["resource"]},
    ],
)  # fmt: skip
def test_other_parameters_are_refused_and_kept(exchange, sent):
    """Nothing that is meant as a report is dropped because of how it was wrapped."""
    answer = exchange.call("POST", f"{REPORTS}/$report", sent(family.report(by_device=False)))

    assert answer.status_code in {400, 422}, answer.text
    assert "in danger now, call" in answer.text
    assert len(drafts(exchange)) == 1
    assert exchange.rows("SELECT * FROM exchange") == []
