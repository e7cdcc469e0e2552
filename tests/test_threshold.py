"""The last door: whatever planned it, a report by a machine, of two children, unattested, is not let through."""

import copy

import pytest
from msgspec.structs import replace

from app import settings
from app.domain import threshold
from app.domain.plan import Answer, Exchange, Plan, Put
from app.errors import Invalid
from app.sandbox import family

SETTINGS = settings.Settings()
STEP = Exchange("x", "cps-report", "clinic/reports", "Task/1", "ServiceRequest/report", "agency/intake",
                "Task/2", "", "submitted", 0, "2026-11-23T15:00:00Z", {})  # fmt: skip


def plan(resources, **step):
    puts = tuple(Put("agency/intake", one, 0, "x") for one in resources)
    return Plan(Answer(()), puts, exchanges=(replace(STEP, **step),))


@pytest.fixture
def report():
    """What a good report puts onto the agency's shelf."""
    return copy.deepcopy([one["resource"] for one in family.report(by_device=False)["entry"]])


def of(report, kind):
    return next(one for one in report if one["resourceType"] == kind)


def rules(report, **step):
    with pytest.raises(Invalid) as refused:
        threshold.hold(plan(report, **step), SETTINGS)
    return [one.rule for one in refused.value.issues]


def test_a_good_report_passes(report):
    """What the planner makes of an attested report of one child is let through."""
    made = plan(report)

    threshold.hold(made, SETTINGS)

    assert [step.version for step in made.exchanges] == [0]  # it was looked at, as one that opens


def test_a_device_does_not_pass(report):
    """No rule engine is ever the one who reports."""
    of(report, "ServiceRequest")["requester"] = {"reference": "Device/Practitioner-1"}

    assert rules(report) == ["T0-3"]


def test_a_second_child_does_not_pass(report):
    """One child's record goes with one report."""
    assert rules([*report, {"resourceType": "Patient", "id": "sister"}]) == ["T0-1"]


def test_nothing_passes_that_nobody_attests(report):
    """A report without a named human who says so is none."""
    of(report, "Provenance")["agent"][0]["who"] = {"display": "Dr. Lin"}

    assert rules(report) == ["T0-6"]


def test_a_referral_does_not_pass_as_a_report(report):
    """The two purposes are never bridged, whatever a planner says."""
    assert "purpose" in rules(report, kind="family-support", recipient="agency/support")
    of(report, "ServiceRequest")["category"] = []
    assert rules(report) == ["purpose"]


@pytest.mark.parametrize("kind", ["Device", "Practitioner"])
def test_nobody_passes_who_is_contained(report, kind):
    """Who reports stands on the agency's shelf by itself: what is contained was not decided."""
    inside = {"resourceType": kind, "id": "dr", "name": [{"text": "Dr. Lin"}]}
    of(report, "ServiceRequest").update(contained=[inside], requester={"reference": "#dr"})
    of(report, "Provenance").update(contained=[inside])
    of(report, "Provenance")["agent"][0]["who"] = {"reference": "#dr"}

    assert rules(report) == ["T0-3", "T0-6"]
