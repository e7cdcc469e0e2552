"""What says a time that has not come: a report is never lost for a wrong clock, a consent is none before it is given."""

import pytest
from exchange import resources
from shelves import CHART, REPORT, held, of, put

from app.sandbox import family


def warned(answer):
    return [
        issue
        for outcome in resources(answer, "OperationOutcome")
        for issue in outcome["issue"]
        if issue.get("expression") == ["Provenance.recorded"]
    ]


@pytest.mark.parametrize(("recorded", "told"), [
    ("2026-11-23T14:05:00Z", False), ("2026-11-23T15:06:00Z", False), ("2026-11-23T20:05:00Z", True),
    ("2031-01-01T00:00:00Z", True),
])  # fmt: skip
def test_a_report_goes_whatever_its_clock_says(exchange, recorded, told):
    """Hours ahead, by a wrong time zone, or years: intake has it now, and the clinic is told."""
    made = family.report(by_device=False)
    of(made, "Provenance")["recorded"] = recorded

    answer = exchange.call("POST", REPORT, made)

    assert bool(warned(answer)) is told
    (task,) = held(exchange, "agency/intake", "Task")
    assert task["status"] == "requested"
    assert held(exchange, "agency/intake", "Provenance")[0]["recorded"] == recorded
    ((at,),) = exchange.rows("SELECT at FROM ledger")
    assert str(at).startswith("2026-11-23")


def test_a_consent_that_is_to_be_given_later_takes_the_referral_back(exchange, referred):
    """The clinic corrects the day on which the family signs: it has not, and nobody works on."""
    given = exchange.get(f"{CHART}/Consent/rosa-food").json()

    put(exchange, CHART, {**given, "dateTime": "2026-12-01"})

    assert held(exchange, "agency/support", "Task")[0]["status"] == "cancelled"
    assert held(exchange, "agency/support", "Patient") == []
