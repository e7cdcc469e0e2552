"""After an older backup was put back, what was sent since is sent again: nothing doubled, nothing lost."""

import asyncio
import contextlib
import time

import httpx2
import loaded
import pytest
from exchange import COUNTY, Late, Network, refused, resources
from orders import QUESTION
from shelves import of
from starlette.testclient import TestClient
from test_backup import kinbridge
from test_same_words import transaction, without_numbers
from test_two_processes import together

from app import settings
from app.main import build
from app.partners import Partners
from app.sandbox import family
from app.sandbox.server import Store

INTAKE = "agency/intake/fhir"
WAIT_SECONDS = 20


@pytest.fixture
def endpoints():
    """The authority has a server of its own, and so has the EHR; the pantry reads its shelf here."""
    return {
        "agency/intake": "https://agency.example.org/fhir",
        "clinic/chart": "https://ehr.example.org/fhir",
    }


@pytest.fixture
def tenants(tenants):
    """Besides a second authority, which reads its shelf."""
    return [*tenants, COUNTY]


class Second(Network):
    """The partners' own servers, which lose nothing when ours does."""

    def __init__(self, folder):
        super().__init__()
        self.stores = {
            one: Store(folder / f"{one}.db") for one in ("agency.example.org", "ehr.example.org")
        }

    def __call__(self, request):
        answer = super().__call__(request)
        url, bundle = self.sent[-1]
        store = self.stores[httpx2.URL(url).host]
        store.write(bundle["entry"])
        return answer

    def held(self, host, kind, query=""):
        return self.stores[host].search(kind, query)

    def everything(self):
        """Names of all that the partners hold."""
        kinds = (
            "Observation",
            "Patient",
            "PractitionerRole",
            "Provenance",
            "ServiceRequest",
            "Task",
        )
        return sorted((host, kind, one["id"]) for host in self.stores for kind in kinds
                      for one in self.held(host, kind))  # fmt: skip


def report(number, *, order=""):
    """A child's report by urn, each time another; with the number of its order, where it has one."""
    made = without_numbers(family.report(by_device=False), number)
    if order:
        of(made, "ServiceRequest")["identifier"] = [{"system": "urn:ehr", "value": order}]
    return made


def siblings():
    """Two children in one act, whose orders have neither number nor requisition."""
    both = [{"resource": report(number)} for number in ("sister", "brother")]
    return {"resourceType": "Bundle", "type": "collection", "entry": both}


def referral(number):
    return without_numbers(family.referral("ServiceRequest/none", consented=True), number)


def sent(exchange, path, body):
    answer = exchange.call("POST", path, body)
    assert answer.status_code == 200, answer.text
    return answer


def opened(exchange):
    """What was sent, by its numbers and by what the agency calls each: all that has to come again."""
    rows = exchange.rows("SELECT id, recipient, recipient_task, state FROM exchange ORDER BY id")
    stand = exchange.rows(
        "SELECT shelf, type, id, exchange FROM resource WHERE shelf NOT LIKE 'clinic/%' ORDER BY shelf, id"
    )
    return rows, stand


def record(exchange, task, event, **more):
    path = f"{task}/$record-event"
    return exchange.call("POST", path, {"event": event, **more})


def settled(exchange):
    """Wait, within a bound, until nothing is owed."""
    until = time.monotonic() + WAIT_SECONDS
    while exchange.rows("SELECT 1 FROM outbox WHERE state = 'owed'"):
        assert time.monotonic() < until, exchange.rows("SELECT * FROM outbox")
        time.sleep(0.02)
    assert not exchange.rows("SELECT * FROM outbox WHERE state = 'failed'")


@pytest.fixture
def partners(exchange, tmp_path):
    """Their servers; the service that the other stories use is not running."""
    exchange.http.__exit__(None, None, None)
    yield Second(tmp_path)
    exchange.http = TestClient(lambda: None)


@contextlib.contextmanager
def serving(exchange, partners, *, deliver=True):
    """The service, as `kinbridge serve` starts it, or `kinbridge serve --no-worker`."""
    read = settings.read(
        database_url=exchange.database_url, public_url="https://exchange.localhost",
        retry_first_seconds=0.01, retry_longest_seconds=0.02, tenants=exchange.tenants,
    )  # fmt: skip

    async def made():
        told = Partners(transport=httpx2.MockTransport(partners))
        ours = {"deliver": deliver, "partners": told, "clock": exchange.clock}
        return await build(read, **ours, **loaded.stand_ins())

    with TestClient(Late(made), raise_server_exceptions=False) as client:
        exchange.http = client
        yield


def restored(exchange, tmp_path):
    """The database is lost, and the backup takes its place."""
    done = kinbridge(exchange, "restore", tmp_path / "backup", "--force")
    assert done.exit_code == 0, done.output


def backed_up(exchange, tmp_path):
    assert kinbridge(exchange, "backup", tmp_path / "backup").exit_code == 0


MESSAGES = [
    ("clinic/reports/fhir/$report", lambda: report("2")),
    ("clinic/reports/fhir/$report", lambda: report("2", order="17")),
    ("clinic/reports/fhir/$report", siblings),
    ("clinic/chart/fhir/$refer", lambda: referral("2")),
    ("clinic/chart/fhir", lambda: transaction(referral("3"))),
]


def test_what_was_sent_since_comes_again_under_its_numbers(exchange, partners, tmp_path):
    """Each partner has each message once, the agencies' answers meet it, and nothing is set back."""
    with serving(exchange, partners):
        before = opened(exchange)
        sent(exchange, "clinic/reports/fhir/$report", report("1"))
        ((_, _, first, _),) = opened(exchange)[0]
        said = [(f"{INTAKE}/{first}", {"event": "received", "identifier": "a", "sequence": 1})]
        assert record(exchange, said[0][0], **said[0][1]).status_code == 200
        settled(exchange)
        backed_up(exchange, tmp_path)

        for path, made in MESSAGES:
            sent(exchange, path, made())
        settled(exchange)
        for one in partners.held(
            "agency.example.org", "Task"
        ):  # they work on it in their own system
            partners.stores["agency.example.org"].put({**one, "status": "in-progress"})
        said.append(
            (f"{INTAKE}/{first}", {"event": "screened-in", "identifier": "a", "sequence": 2})
        )
        for number, shelf, task, state in opened(exchange)[0]:
            if state == "submitted":
                event = "received" if shelf == "agency/intake" else "accepted"
                told = {"event": event, "identifier": number, "sequence": 1}
                said.append((f"{shelf}/fhir/{task}", told))
        for path, told in said[1:]:
            assert record(exchange, path, **told).status_code == 200
        settled(exchange)
        before, theirs = opened(exchange), partners.everything()
    restored(exchange, tmp_path)

    with serving(exchange, partners, deliver=False):
        assert len(opened(exchange)[0]) == 1
        for path, made in MESSAGES:
            sent(exchange, path, made())
        for path, told in said:
            assert record(exchange, path, **told).status_code == 200
        assert opened(exchange) == before
    with serving(exchange, partners):
        settled(exchange)
        for path, made in MESSAGES:
            sent(exchange, path, made())
        assert opened(exchange) == before

    assert partners.everything() == theirs
    tasks = partners.held("agency.example.org", "Task")
    assert [one["status"] for one in tasks] == ["in-progress"] * 5
    assert len(exchange.rows("SELECT * FROM ledger WHERE source LIKE 'clinic/%'")) == 7


def test_a_report_that_was_handed_on_since_is_handed_on_under_its_numbers(
    exchange, partners, tmp_path
):
    """The other authority has it once too, after report and transfer were said again."""
    with serving(exchange, partners):
        backed_up(exchange, tmp_path)
        before = handed_on(exchange)
    restored(exchange, tmp_path)

    with serving(exchange, partners):
        again = handed_on(exchange)

    assert [row[1] for row in before[0]].count("county/intake") == 1
    assert again == before


def handed_on(exchange):
    sent(exchange, "clinic/reports/fhir/$report", report("1"))
    ((_, _, task, _),) = opened(exchange)[0]
    for event in ({"event": "received"}, {"event": "transferred", "to": "county"}):
        assert record(exchange, f"{INTAKE}/{task}", **event).status_code == 200
    return opened(exchange)


DOORS = [
    ("clinic/chart/fhir/$refer", lambda: referral("1")),
    ("clinic/chart/fhir", lambda: transaction(referral("1"))),
]


def named(answer):
    """The names that a clinic was told: of an operation, or of a transaction."""
    entries = answer.json()["entry"]
    said = [one.get("fullUrl") or one.get("response", {}).get("location", "") for one in entries]
    return sorted({url.partition("/fhir/")[2].partition("/_history")[0] for url in said} - {""})


@pytest.mark.parametrize(("path", "made"), DOORS)
def test_an_order_is_taken_back_by_the_name_that_was_told(exchange, partners, tmp_path, path, made):
    """What the clinic was told that its order is called, it is called again: else nobody heard it."""
    with serving(exchange, partners):
        backed_up(exchange, tmp_path)
        told = named(sent(exchange, path, made()))
    restored(exchange, tmp_path)

    with serving(exchange, partners):
        assert named(sent(exchange, path, made())) == told
        order = next(name for name in told if name.startswith("ServiceRequest/"))
        standing = exchange.get(f"clinic/chart/fhir/{order}").json()
        back = exchange.call("PUT", f"clinic/chart/fhir/{order}", {**standing, "status": "revoked"})

        assert back.status_code == 200
        (theirs,) = resources(exchange.get("agency/support/fhir/Task"))
        assert theirs["status"] == "cancelled"


@pytest.mark.parametrize(("path", "made"), DOORS)
def test_what_came_again_and_was_corrected_stays_corrected(exchange, partners, path, made):
    """The family moved, and the EHR's queue plays its first message again: there is one child, at the new address."""
    with serving(exchange, partners):
        told = named(sent(exchange, path, made()))
        child = exchange.get("clinic/chart/fhir/Patient").json()["entry"][0]["resource"]
        moved = {**child, "address": [{"text": "moved"}]}
        exchange.call("PUT", f"clinic/chart/fhir/Patient/{child['id']}", moved)

        again = named(sent(exchange, path, made()))

        assert again == told
        for shelf in ("clinic/chart", "agency/support"):
            (one,) = resources(exchange.get(f"{shelf}/fhir/Patient"))
            assert one["address"] == moved["address"]


def spoken(exchange):
    """The report, a word of the clinic's, one of the agency's, and a question; what both sides then hold."""
    told = resources(sent(exchange, "clinic/reports/fhir/$report", report("1")))
    order = next(one for one in told if one["resourceType"] == "ServiceRequest")
    ((_, _, task, _),) = opened(exchange)[0]
    theirs = exchange.get(f"{INTAKE}/{task}").json()["focus"]
    for shelf, about in (("clinic/reports", {"reference": f"ServiceRequest/{order['id']}"}),
                         ("agency/intake", theirs)):  # fmt: skip
        said = {
            "resourceType": "Communication", "status": "completed", "basedOn": [about],
            "sent": "2026-11-23T14:30:00Z", "sender": {"display": "Dr. Lin"},
            "payload": [{"contentString": f"From {shelf}"}],
        }  # fmt: skip
        assert exchange.call("POST", f"{shelf}/fhir/Communication", said).status_code == 201
    asks = {**QUESTION, "partOf": [{"reference": task}], "authoredOn": "2026-11-23T14:31:00Z"}
    assert exchange.call("POST", f"{INTAKE}/Task", asks).status_code == 201
    stand = "SELECT shelf, type, id FROM resource WHERE type IN ('Communication', 'Task')"
    return sorted(exchange.rows(stand))


def test_what_was_said_since_is_read_once(exchange, partners, tmp_path):
    """Messages and questions that are sent again are the same ones, on both sides and at the agency's server."""
    with serving(exchange, partners):
        backed_up(exchange, tmp_path)
        before = spoken(exchange)
        settled(exchange)
        theirs = partners.everything()
    restored(exchange, tmp_path)

    with serving(exchange, partners):
        again = spoken(exchange)
        settled(exchange)

    assert [row[1] for row in before].count("Communication") == 4
    assert again == before
    assert partners.everything() == theirs


def corrected(exchange):
    """The report of a child who then moves."""
    sent(exchange, "clinic/reports/fhir/$report", report("1"))
    (child,) = resources(exchange.get("clinic/reports/fhir/Patient"))
    moved = {**child, "address": [{"text": "moved"}]}
    path = f"clinic/reports/fhir/Patient/{child['id']}"
    assert exchange.call("PUT", path, moved).status_code == 200


def test_what_was_corrected_since_ends_as_it_was(exchange, partners, tmp_path):
    """Report and correction come again: at the agency's own server there is one child, at the new address."""
    with serving(exchange, partners):
        backed_up(exchange, tmp_path)
        corrected(exchange)
        settled(exchange)
    restored(exchange, tmp_path)

    with serving(exchange, partners, deliver=False):
        corrected(exchange)
    with serving(exchange, partners):
        settled(exchange)

    (child,) = partners.held("agency.example.org", "Patient")
    assert child["address"] == [{"text": "moved"}]


def test_another_child_never_takes_the_place_of_one_who_was_lost(exchange, partners, tmp_path):
    """The EHR gives the lost order's number to another child: the agency's record of the first one stays."""
    with serving(exchange, partners):
        backed_up(exchange, tmp_path)
        sent(exchange, "clinic/reports/fhir/$report", report("1", order="17"))
        settled(exchange)
        first = {one["id"]: one for one in partners.held("agency.example.org", "Patient")}
    restored(exchange, tmp_path)

    with serving(exchange, partners):
        sent(exchange, "clinic/reports/fhir/$report", report("2", order="17"))
        settled(exchange)

    both = {one["id"]: one for one in partners.held("agency.example.org", "Patient")}
    assert len(both) == 2
    assert both.items() >= first.items()


def test_what_was_expunged_since_is_not_taken_in_again(exchange, partners, tmp_path):
    """The list of what was purged knows it by its number; a new report of the same child goes, and stays."""
    with serving(exchange, partners):
        backed_up(exchange, tmp_path)
        sent(exchange, "clinic/reports/fhir/$report", report("1"))
        ((_, _, task, _),) = opened(exchange)[0]
        assert record(exchange, f"{INTAKE}/{task}", "expunged").status_code == 200
        settled(exchange)
        theirs = partners.everything()
    restored(exchange, tmp_path)

    with serving(exchange, partners):
        refused(exchange.call("POST", "clinic/reports/fhir/$report", report("1")), 409)
        assert not exchange.rows("SELECT id FROM resource WHERE shelf <> 'clinic/reports'")
        settled(exchange)
        assert partners.everything() == theirs

        sent(exchange, "clinic/reports/fhir/$report", report("1", order="18"))
        assert [row[3] for row in opened(exchange)[0]] == ["submitted"]
    with serving(exchange, partners):
        assert len(resources(exchange.get(f"{INTAKE}/Task"))) == 1


def test_one_message_to_both_at_once_is_one_referral(url):
    """A client that heard no answer sends it to the other process: it is sent once, under one number."""

    async def story(one, other):
        order = family.referral("ServiceRequest/none", consented=True)
        sent = [each.refer(without_numbers(order, "Rosa")) for each in (one, other) * 4]
        made = await asyncio.gather(*sent)

        assert len({one.answer.names[0] for one in made}) == 1
        assert sum(bool(one.answer.created) for one in made) == 1

    together(url, story)
