"""An authority expunges a report at the moment at which the same child is reported again: the second one is whole."""

import asyncio
import dataclasses
from functools import partial

import loaded
import pytest
from exchange import resources
from overtaken import entry, overtaken
from shelves import REPORT
from test_expunge import second_report

from app import settings
from app.api.entries import collected
from app.domain import statement
from app.domain.plan import Purge
from app.flows import purge
from app.main import open_service
from app.storage import purges
from app.storage.database import QUEUE

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


class Scrubbing:
    """A database in which something happens just after the file was made anew."""

    def __init__(self, database, by):
        self.database, self.by = database, by

    def __getattr__(self, name):
        return getattr(self.database, name)

    async def scrub(self):
        await self.database.scrub()
        await self.by()


def test_what_is_expunged_while_the_file_is_made_anew_is_still_to_be_taken_from_it(exchange):
    """Two reports are expunged at once, and the process dies: the next start takes the other from the file, too."""
    read = settings.read(database_url=exchange.database_url, tenants=exchange.tenants)

    async def run():
        service = await open_service(read, clock=exchange.clock, **loaded.stand_ins())

        async def expunged(name, at):
            gone = (Purge("agency/intake", f"Task/{name}", name),)
            note = partial(purges.purge, purged=gone, times={"agency/intake": at})
            await service.database.write(note, shelves=("agency/intake", *QUEUE))

        await expunged("one", "2026-11-23T15:00:00.020Z")
        # planned before, by a hair, and written after
        between = Scrubbing(service.database, lambda: expunged("other", "2026-11-23T15:00:00.010Z"))
        await purge.scrub(dataclasses.replace(service, database=between))
        await service.database.close()

    asyncio.run(run())

    assert exchange.rows("SELECT id FROM purge WHERE scrubbed = 0") == [("other",)]


def reminded(exchange):
    """How often somebody is told that a change does not follow: of the second report alone."""
    tasks = resources(exchange.get("clinic/reports/fhir/Task"), "Task")
    return sum(one["code"]["coding"][0]["code"] == "not-followed" for one in tasks if "code" in one)


def test_a_reminder_that_is_raised_as_its_report_is_expunged_goes_with_it(
    exchange, reported, second
):
    """The child's record is given to another, and the clinic told that this does not follow: nothing of that stays."""
    resources(exchange.call("POST", REPORT, second), "Task")  # the record is hers too, so it stays
    task = entry({"resourceType": "Task", "id": reported[1]["id"]})

    def tasks():
        return resources(exchange.get("clinic/reports/fhir/Task"), "Task")

    def given_away():
        before, other = len(tasks()), {"name": [{"family": "Baker", "given": ["Tim"]}]}
        child = exchange.get(CHILD).json() | other | {"birthDate": "2014-05-06", "gender": "male"}
        child["identifier"] = [{"system": "https://ehr.example.org/mrn", "value": "2"}]
        assert exchange.call("PUT", CHILD, child).is_success
        exchange.until(lambda: len(tasks()) > before)

    done = overtaken(
        exchange, "agency/intake", [task], "record-event", said=statement.said({"event": "expunged"}),
        by=given_away,
    )  # fmt: skip

    assert done
    assert reminded(exchange) == 1


def test_nobody_is_reminded_of_what_is_expunged_at_that_moment(exchange, reported, second):
    """The same, and the report is gone before the clinic would be told."""
    resources(exchange.call("POST", REPORT, second), "Task")
    child = exchange.get(CHILD).json()
    child |= {"name": [{"family": "Baker", "given": ["Tim"]}], "birthDate": "2014-05-06", "gender": "male"}  # fmt: skip
    child["identifier"] = [{"system": "https://ehr.example.org/mrn", "value": "2"}]

    overtaken(
        exchange, "clinic/reports", [entry(child)], "store", by=lambda: expunge(exchange, reported[1])
    )  # fmt: skip

    assert reminded(exchange) == 1
