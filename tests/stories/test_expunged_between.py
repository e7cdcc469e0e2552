"""An authority expunges a report at the moment at which the same child is reported again: the second one is whole."""

import pytest
from exchange import resources
from overtaken import entry, overtaken
from shelves import REPORT
from test_expunge import second_report

from app.api.entries import collected
from app.domain import statement

CHILD = "clinic/reports/fhir/Patient/rosa"
FINDING = "clinic/reports/fhir/Observation/injury-finding"


@pytest.fixture
def second(exchange, reported):
    """Of the same child, with the same finding."""
    return second_report()


def expunge(exchange, theirs):
    path = f"agency/intake/fhir/Task/{theirs['id']}/$record-event"
    return exchange.call("POST", path, {"event": "expunged"})


def test_what_is_reported_again_as_it_is_expunged_stays(exchange, reported, second):
    """The second report is there first: the child's record is not taken from the clinic."""
    task = entry({"resourceType": "Task", "id": reported[1]["id"]})
    said = statement.said({"event": "expunged"})

    done = overtaken(
        exchange, "agency/intake", [task], "record-event", said=said,
        by=lambda: resources(exchange.call("POST", REPORT, second), "Task"),
    )  # fmt: skip

    assert done
    assert exchange.get(CHILD).status_code == 200
    assert exchange.get(FINDING).status_code == 200


def test_what_is_expunged_as_it_is_reported_again_comes_with_the_second(exchange, reported, second):
    """The first is gone before: the second brings the child's record itself."""
    done = overtaken(
        exchange, "clinic/reports", collected(second), "report",
        by=lambda: expunge(exchange, reported[1]),
    )  # fmt: skip

    assert done
    assert exchange.get(CHILD).status_code == 200
    assert exchange.get(FINDING).status_code == 200


def test_what_only_stood_is_expunged(exchange, reported, second):
    """The second report names the child alone, and the first, with whom she came, is gone: nothing is sent."""
    alone = [one for one in second["entry"] if one["resource"]["resourceType"] not in {"Patient", "Observation"}]  # fmt: skip

    done = overtaken(
        exchange, "clinic/reports", collected({**second, "entry": alone}), "report",
        by=lambda: expunge(exchange, reported[1]),
    )  # fmt: skip

    assert done is None
    (states,) = exchange.rows("SELECT state FROM exchange")
    assert states == ("expunged",)


def test_two_that_are_expunged_at_once_leave_nothing(exchange, reported, second):
    """Each shares the child with the other, which is gone by then: nobody keeps her record for them."""
    resources(exchange.call("POST", REPORT, second), "Task")
    tasks = exchange.rows("SELECT recipient_task FROM exchange")
    (other,) = {one for (one,) in tasks} - {f"Task/{reported[1]['id']}"}
    theirs = {"id": other.partition("/")[2]}
    task = entry({"resourceType": "Task", "id": reported[1]["id"]})

    done = overtaken(
        exchange, "agency/intake", [task], "record-event", said=statement.said({"event": "expunged"}),
        by=lambda: expunge(exchange, theirs),
    )  # fmt: skip

    assert done
    assert exchange.get(CHILD).status_code == 410
    assert exchange.get(FINDING).status_code == 410
