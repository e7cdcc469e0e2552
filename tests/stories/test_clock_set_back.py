"""Clocks that differ, and one that is set back, keep no report and no referral from being sent."""

from datetime import timedelta

import pytest
from shelves import REPORT, REPORTS, held, put
from test_poor_is_no_neglect import own_task
from test_unsent import drafts, written

from app.sandbox import family

AHEAD = "2026-11-23T15:05:00Z"


def test_a_report_that_was_only_written_goes_though_the_clock_was_set_back(exchange):
    """Its draft says when it was written, by the clock of then; the Task that sends it is taken all the same."""
    written(exchange)

    exchange.now -= timedelta(minutes=30)
    answer = put(exchange, REPORTS, own_task())

    assert answer.status_code == 201, answer.text
    assert len(held(exchange, "agency/intake", "Task")) == 1
    assert [one["status"] for one in drafts(exchange)] == ["completed"]


def test_a_report_that_was_refused_goes_though_the_clock_was_set_back(exchange):
    """It was kept as a draft; tried again it is kept again, and whole it goes."""
    whole, lacking = (family.report(by_device=False) for _ in range(2))
    lacking["entry"] = [
        one for one in lacking["entry"] if one["resource"]["resourceType"] != "Provenance"
    ]
    assert exchange.call("POST", REPORT, lacking).status_code == 422

    exchange.now -= timedelta(minutes=30)
    assert exchange.call("POST", REPORT, lacking).status_code == 422
    exchange.now -= timedelta(minutes=30)
    answer = exchange.call("POST", REPORT, whole)

    assert answer.status_code == 200, answer.text
    assert len(held(exchange, "agency/intake", "Task")) == 1


@pytest.mark.parametrize("more", [{}, {"lastModified": AHEAD}])
def test_a_task_whose_clock_is_ahead_is_sent(exchange, more):
    """The EHR's clock is five minutes ahead of ours, or ours behind: intake has the report now."""
    written(exchange)

    answer = put(exchange, REPORTS, {**own_task(), "authoredOn": AHEAD, **more})

    assert answer.status_code == 201, answer.text
    (task,) = held(exchange, "agency/intake", "Task")
    assert task["authoredOn"] == AHEAD
