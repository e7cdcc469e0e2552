"""What was expunged is gone: from every shelf, version, row and file, and again after a restore."""

import asyncio
import json
from contextlib import ExitStack
from datetime import timedelta

import everything
import loaded
import pytest
from exchange import Exchange, refused, resources
from starlette.testclient import TestClient
from test_backup import kinbridge
from typer.testing import CliRunner

from app import settings
from app.cli import app as cli
from app.flows import purge
from app.main import build, open_service
from app.sandbox import family

REPORT = "clinic/reports/fhir/$report"
SECRETS = ("Zanzibar", "Unique-Rosa-Name", "substantiated", "2021-05-04")


@pytest.fixture
def tenants(endpoints, strict):
    """A clinic with the reporter's inbox, an agency with a rule on file."""
    npi = "http://hl7.org/fhir/sid/us-npi|1234567893"
    inbox = {
        "id": "dr-lin",
        "kind": "cps-report",
        "role": "source",
        "audience": "reporter",
        "person": npi,
    }

    def shelf(key, kind, role):
        made = {"id": key.split("/")[1], "kind": kind, "role": role}
        return {**made, "endpoint": {"url": endpoints[key]}} if key in endpoints else made

    return [
        {"id": "clinic", "name": "Clinic", "shelves": [
            shelf("clinic/chart", "family-support", "source"),
            shelf("clinic/reports", "cps-report", "source"), inbox,
        ]},
        {"id": "agency", "name": "Agency", "jurisdiction": "fairview", "shelves": [
            shelf("agency/support", "family-support", "recipient"),
            shelf("agency/intake", "cps-report", "recipient"),
        ]},
    ]  # fmt: skip


def record(exchange, task, event, **more):
    path = f"agency/intake/fhir/Task/{task}/$record-event"
    return exchange.call("POST", path, {"event": event, **more})


@pytest.fixture
def determined(exchange):
    """A report of an unmistakable note, refused once, sent, and determined."""
    made = family.report(by_device=False)
    for one in made["entry"]:
        if one["resource"]["resourceType"] == "ServiceRequest":
            one["resource"]["note"] = [{"text": "Zanzibar: what was seen."}]
        if one["resource"]["resourceType"] == "Patient":
            one["resource"]["name"] = [{"family": "Unique-Rosa-Name", "given": ["Rosa"]}]
    unattested = {**made, "entry": [one for one in made["entry"]
                                    if one["resource"]["resourceType"] != "Provenance"]}  # fmt: skip
    refused(exchange.call("POST", REPORT, unattested), 422)
    task = resources(exchange.call("POST", REPORT, made), "Task")[0]
    theirs = exchange.rows("SELECT recipient_task FROM exchange")[0][0].split("/")[1]
    owner = {"name": "Sam of Zanzibar", "phone": "555-0142"}
    for event, more in (("received", {"intakeNumber": "26-1", "owner": owner}),
                        ("awaiting-information", {"question": "other", "detail": "Zanzibar?"}),
                        ("screened-in", {}),
                        ("disposition", {"disposition": "1", "note": "Zanzibar again"})):  # fmt: skip
        assert record(exchange, theirs, event, **more).status_code == 200
    talked(exchange, task)
    return task["id"], theirs


def talked(exchange, task):
    """The clinic answers the question, and writes a message; both are on both shelves."""
    rows = exchange.rows(
        "SELECT body FROM resource WHERE shelf = 'clinic/reports' AND type = 'Task'"
    )
    (asked,) = [one for one in (json.loads(row[0]) for row in rows)
                if one["code"].get("text") == "Information needed"]  # fmt: skip
    answer = {**asked, "status": "completed", "output": [{"type": {"text": "answer"}, "valueString": "Zanzibar!"}]}  # fmt: skip
    path = f"clinic/reports/fhir/Task/{asked['id']}"
    assert exchange.call("PUT", path, answer).status_code == 200
    message = {
        "resourceType": "Communication", "status": "completed", "basedOn": [task["focus"]],
        "sender": {"display": "Dr. Zanzibar"}, "payload": [{"contentString": "Zanzibar, once more"}],
    }  # fmt: skip
    assert exchange.call("POST", "clinic/reports/fhir/Communication", message).status_code == 201


def tables(exchange):
    if exchange.database_url.startswith("postgresql"):
        found = exchange.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    else:
        found = exchange.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
    return [row[0] for row in found]


def every_row(exchange):
    return "\n".join(
        repr(row) for table in tables(exchange) for row in exchange.rows(f"SELECT * FROM {table}")
    )


def every_answer(exchange):
    """Whatever any shelf answers: reads, versions, histories, searches, refusals."""
    return "\n".join(everything.of(exchange, one) for one in ("clinic", "agency"))


def file_bytes(exchange):
    path = exchange.folder / "exchange.db"
    return b"".join(
        one.read_bytes() for one in path.parent.glob("exchange.db*") if "partial" not in one.name
    )


def nowhere(exchange):
    """No answer, no row and, on SQLite, no byte of the file has any of the secrets."""
    answers, rows = every_answer(exchange), every_row(exchange)
    for secret in SECRETS:
        assert secret not in answers
        assert secret not in rows
        if exchange.database_url.startswith("sqlite"):
            assert secret.encode() not in file_bytes(exchange)


def test_nothing_of_it_is_left(exchange, determined):
    """No answer, no row and, on SQLite, no byte of the file holds the child, the words or the finding."""
    task, theirs = determined
    before = every_row(exchange), every_answer(exchange)
    assert all(secret in held for held in before for secret in SECRETS)
    assert before[0].count("Zanzibar") > 20
    if exchange.database_url.startswith("sqlite"):
        assert all(secret.encode() in file_bytes(exchange) for secret in SECRETS)

    assert record(exchange, theirs, "expunged").status_code == 200

    nowhere(exchange)
    for path in (f"clinic/reports/fhir/Task/{task}", f"agency/intake/fhir/Task/{theirs}"):
        left = exchange.get(path).json()
        assert left["status"] == "entered-in-error"
        assert left["businessStatus"]["coding"][0]["code"] == "expunged"
        assert left["lastModified"]
    gone = exchange.get("clinic/reports/fhir/ServiceRequest/report")
    assert gone.status_code == 410
    assert "still has" not in gone.text
    assert exchange.rows("SELECT count(*) FROM purge WHERE scrubbed = 0") == [(0,)]
    assert exchange.rows("SELECT count(*) FROM ledger")[0][0] > 0


def second_report():
    """Of the same child, under ids and a number of its own."""
    other = family.report(by_device=False)
    for one in other["entry"]:
        resource = one["resource"]
        if resource["resourceType"] in {"ServiceRequest", "Provenance"}:
            resource["id"] += "-2"
            one["fullUrl"] += "-2"
        if resource["resourceType"] == "ServiceRequest":
            resource["identifier"][0]["value"] = "second"
        if resource["resourceType"] == "Provenance":
            resource["target"] = [{"reference": "ServiceRequest/report-2"}]
    return other


def test_the_child_of_another_report_stays(exchange, determined):
    """What a second report, not expunged, tells of too is not taken from the clinic."""
    _, theirs = determined
    other = second_report()
    resources(exchange.call("POST", REPORT, other), "Task")

    record(exchange, theirs, "expunged")

    assert exchange.get("clinic/reports/fhir/Patient/rosa").status_code == 200
    assert exchange.get("clinic/reports/fhir/ServiceRequest/report-2").status_code == 200


def test_what_was_said_of_an_expunged_child_goes_with_no_other(exchange, determined):
    """Another child is written under the same id, and reported: a finding from before stays at the clinic."""
    _, theirs = determined
    finding = {
        "resourceType": "Observation", "id": "older", "status": "final", "code": {"text": "seen"},
        "subject": {"reference": "Patient/rosa"}, "valueString": "Zebra",
    }  # fmt: skip
    assert exchange.call("PUT", "clinic/reports/fhir/Observation/older", finding).is_success
    record(exchange, theirs, "expunged")
    tim = {"resourceType": "Patient", "name": [{"family": "Baker", "given": ["Tim"]}], "id": "rosa"}
    tim |= {
        "birthDate": "2014-05-06",
        "gender": "male",
        "identifier": [{"system": "urn:x", "value": "2"}],
    }
    assert exchange.call("PUT", "clinic/reports/fhir/Patient/rosa", tim).is_success
    other = second_report()
    for one in other["entry"]:
        if one["resource"]["resourceType"] == "Patient":
            one["resource"] = tim
        if one["resource"]["resourceType"] == "ServiceRequest":
            one["resource"]["supportingInfo"] = [{"reference": "Observation/older"}]

    resources(exchange.call("POST", REPORT, other), "Task")

    assert exchange.get("clinic/reports/fhir/Observation/older").json()["valueString"] == "Zebra"
    held = everything.of(exchange, "agency")
    assert "Baker" in held
    assert "Zebra" not in held


def test_after_an_expunge_nothing_follows(exchange, determined):
    """An expunged case takes no further event; the answer says so."""
    _, theirs = determined
    record(exchange, theirs, "expunged")

    refused(record(exchange, theirs, "closed"), 409)


def test_a_changed_finding_leaves_no_old_one(exchange, determined):
    """A finding that was overturned is gone from the reporter's inbox, its versions too."""
    _, theirs = determined
    record(exchange, theirs, "disposition-amended", disposition="5")

    held = exchange.get("clinic/dr-lin/fhir/_history?_count=500").text

    assert '"unsubstantiated"' in held
    assert '"substantiated"' not in held
    rows = exchange.rows("SELECT body FROM version WHERE shelf = 'clinic/dr-lin'")
    assert not [row for row in rows if b'"substantiated"' in row[0]]


def test_a_start_goes_through_what_came_back_alone(exchange, determined, monkeypatch):
    """However much was ever purged, a start writes nothing of what is purged still."""
    _, theirs = determined
    record(exchange, theirs, "expunged")
    exchange.http.__exit__(None, None, None)
    begun = []
    monkeypatch.setattr(purge, "_again", lambda *_, purged, **__: begun.append(purged))

    with started(exchange):
        assert exchange.get("health/ready").status_code == 200

    assert begun == []
    exchange.http.__enter__()


def test_a_restore_purges_again(exchange, determined, tmp_path):
    """A backup from before brings nothing back: it is purged before the service is ready."""
    task, theirs = determined
    assert kinbridge(exchange, "backup", tmp_path / "before").exit_code == 0
    record(exchange, theirs, "expunged")
    exchange.http.__exit__(None, None, None)

    done = kinbridge(exchange, "restore", tmp_path / "before", "--force")

    assert done.exit_code == 0, done.output
    assert "Zanzibar" in every_row(exchange)
    with started(exchange):
        assert exchange.get("health/ready").status_code == 200
        nowhere(exchange)
        left = exchange.get(f"clinic/reports/fhir/Task/{task}").json()
        assert left["status"] == "entered-in-error"
        refused(record(exchange, theirs, "closed"), 409)
    exchange.http.__enter__()


def test_two_that_start_at_once_purge_again(exchange, determined, tmp_path):
    """Two processes start on what was restored: what one of them has purged, the other finds gone."""
    _, theirs = determined
    assert kinbridge(exchange, "backup", tmp_path / "before").exit_code == 0
    record(exchange, theirs, "expunged")
    exchange.http.__exit__(None, None, None)
    assert kinbridge(exchange, "restore", tmp_path / "before", "--force").exit_code == 0

    async def start():
        read = settings.read(database_url=exchange.database_url, tenants=exchange.tenants)
        opened = await open_service(read, **loaded.stand_ins())
        await opened.database.close()

    async def both():
        await asyncio.gather(start(), start())

    asyncio.run(both())

    with started(exchange):
        nowhere(exchange)
    exchange.http.__enter__()


def test_what_was_an_error_already_is_purged_again(exchange, determined, tmp_path):
    """A finding and a message that were taken back before the backup are no tombstones: they have their words."""
    _, theirs = determined
    ((message,),) = exchange.rows(
        "SELECT id FROM resource WHERE shelf = 'clinic/reports' AND type = 'Communication'"
    )
    for name in ("Observation/injury-finding", f"Communication/{message}"):
        path = f"clinic/reports/fhir/{name}"
        said = {**exchange.get(path).json(), "status": "entered-in-error"}
        if name.startswith("Observation"):
            said["note"] = [{"text": "Zanzibar, by mistake"}]
        done = exchange.call("PUT", path, said)
        assert done.status_code == 200, done.text
    assert kinbridge(exchange, "backup", tmp_path / "before").exit_code == 0
    record(exchange, theirs, "expunged")
    exchange.http.__exit__(None, None, None)
    assert kinbridge(exchange, "restore", tmp_path / "before", "--force").exit_code == 0

    with started(exchange):
        assert exchange.get("health/ready").status_code == 200
        nowhere(exchange)
    exchange.http.__enter__()


def test_what_was_amended_and_then_expunged_is_expunged(exchange, determined, tmp_path):
    """A backup from between the two: the list has the later as well, and nothing of the finding comes back."""
    _, theirs = determined
    record(exchange, theirs, "disposition-amended", disposition="5")
    assert kinbridge(exchange, "backup", tmp_path / "between").exit_code == 0
    assert record(exchange, theirs, "expunged").status_code == 200
    exchange.http.__exit__(None, None, None)

    assert kinbridge(exchange, "restore", tmp_path / "between", "--force").exit_code == 0

    with started(exchange):
        assert exchange.get("health/ready").status_code == 200
        answers, rows = every_answer(exchange), every_row(exchange)
        assert [word for word in SECRETS if word in answers + rows] == []
    exchange.http.__enter__()


def test_the_same_child_can_be_reported_again(exchange, determined):
    """What was expunged on the clinic's own shelf is theirs to write anew, and stays through every start."""
    _, theirs = determined
    assert record(exchange, theirs, "expunged").status_code == 200
    exchange.now += timedelta(days=1)

    (task, *_) = resources(
        exchange.call("POST", REPORT, family.another_report("next", "agency")), "Task"
    )

    assert task["status"] == "requested"
    child = exchange.get("clinic/reports/fhir/Patient/rosa").json()
    moved = {**child, "address": [{"city": "Springfield"}]}
    assert exchange.call("PUT", "clinic/reports/fhir/Patient/rosa", moved).status_code == 200
    exchange.http.__exit__(None, None, None)
    with started(exchange):
        past = exchange.get("clinic/reports/fhir/Patient/rosa/_history").json()["entry"]
        assert [one["request"]["method"] for one in past] == ["PUT", "PUT", "DELETE"]
    exchange.http.__enter__()


def started(exchange: Exchange) -> ExitStack:
    """The service once more, on the same database."""
    read = settings.read(
        database_url=exchange.database_url, public_url="https://exchange.localhost",
        tenants=exchange.tenants,
    )  # fmt: skip

    class Late:
        app = None

        async def __call__(self, scope, receive, send):
            if self.app is None:
                self.app = await build(read, clock=exchange.clock, **loaded.stand_ins())
            await self.app(scope, receive, send)

    stack = ExitStack()
    exchange.http = stack.enter_context(TestClient(Late(), raise_server_exceptions=False))
    return stack


def test_a_new_machine_is_told_what_was_purged(exchange, determined, tmp_path):
    """The list of what was purged is kept apart from the backups, and given to the restore."""
    _, theirs = determined
    assert kinbridge(exchange, "backup", tmp_path / "before").exit_code == 0
    record(exchange, theirs, "expunged")
    assert kinbridge(exchange, "purges", tmp_path / "purges.json").exit_code == 0
    elsewhere = f"sqlite:///{tmp_path / 'new' / 'exchange.db'}"

    env = {"KINBRIDGE_DATABASE_URL": elsewhere, "KINBRIDGE_OWNER_URL": ""}
    done = CliRunner().invoke(
        cli,
        ["restore", str(tmp_path / "before"), "--purges", str(tmp_path / "purges.json")],
        env=env,
    )

    assert done.exit_code == 0, done.output
    listed = json.loads((tmp_path / "purges.json").read_text())
    assert len(listed) > 5
    assert "Zanzibar" not in str(listed)
