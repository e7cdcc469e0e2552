"""What is owed to a partner's own server arrives there, once, whatever happens on the way."""

import re
import time
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from typer.testing import CliRunner

from app import fhir
from app.cli import app as cli
from app.domain import push
from app.sandbox import family

WAIT_SECONDS = 10


@pytest.fixture
def endpoints():
    return {
        "agency/support": "https://agency.example.org/fhir",
        "clinic/chart": "https://ehr.example.org/fhir",
    }


def refer(exchange):
    exchange.call("PUT", "clinic/chart/fhir/Patient/rosa", family.PATIENT)
    made = family.referral("ServiceRequest/none", consented=True)
    return exchange.call("POST", "clinic/chart/fhir/$refer", made)


def settled(exchange, state, count):
    """Wait, within a bound, until so many pushes have come to this state."""
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        rows = exchange.rows(
            f"SELECT shelf, attempts FROM outbox WHERE state = '{state}' ORDER BY id"
        )
        if len(rows) == count:
            return rows
        exchange.network.arrived.wait(0.02)
    pytest.fail(f"not {count} {state}: {exchange.rows('SELECT * FROM outbox')}")


def test_a_referral_is_pushed_to_both_sides(exchange):
    """The agency's server gets the copies, the EHR's server gets the Task."""
    refer(exchange)

    assert {row[0] for row in settled(exchange, "delivered", 2)} == {
        "agency/support",
        "clinic/chart",
    }
    sent = dict(exchange.network.sent)
    agency = sent["https://agency.example.org/fhir"]
    assert agency["type"] == "transaction"
    assert {one["resource"]["resourceType"] for one in agency["entry"]} == {
        "Consent", "Patient", "Practitioner", "PractitionerRole", "ServiceRequest", "Task",
    }  # fmt: skip


def leads_elsewhere(bundle):
    return [one["reference"] for one in fhir.references(bundle) if "://" in one["reference"]]


def test_a_server_that_takes_no_reference_to_another_gets_numbers(exchange):
    """As HAPI is by itself; else no EHR on it would ever learn what became of a child."""
    exchange.network.answers = NoReferenceElsewhere(exchange.network)

    refer(exchange)

    assert dict(settled(exchange, "delivered", 2))["clinic/chart"] == 1
    first, second = (one for url, one in exchange.network.sent if "ehr" in url)
    assert leads_elsewhere(first)
    assert not leads_elsewhere(second)
    [task] = [one["resource"] for one in second["entry"]]
    assert task["for"]["identifier"] == {"system": "https://ehr.example.org/mrn", "value": "100-42"}
    assert task["focus"]["identifier"]["system"] == "https://ehr.example.org/orders"
    assert "/clinic/chart/fhir/PractitionerRole/" in task["requester"]["identifier"]["value"]
    assert first["entry"][0]["request"] == second["entry"][0]["request"]


def test_a_number_that_is_old_names_nobody():
    """Nor does one without a system, which is another's at another clinic."""
    known = {"system": "https://ehr.example.org/mrn", "value": "2"}
    others = [{**known, "value": "1", "use": "old"}, {"value": "3"}, {"system": "urn:x"}]

    assert push.number({"identifier": [*others, {**known, "use": "usual"}]}) == known
    assert push.number({"identifier": others}) is None
    assert push.number({}) is None


def test_what_is_refused_for_another_reason_is_refused_as_it_was(exchange):
    """The answer that a person looks at is the one to what we meant to say."""
    refuses = [httpx2.Response(422), httpx2.Response(400, json={"issue": [{"code": "not-found"}]})]
    exchange.network.answers = Each(exchange.network, {"ehr": refuses})

    refer(exchange)

    assert [row[0] for row in settled(exchange, "failed", 1)] == ["clinic/chart"]
    assert exchange.rows("SELECT status FROM attempt WHERE status <> 200") == [(422,)]


def test_a_server_that_fails_at_the_second_word_is_asked_again(exchange):
    """It is tried from the beginning, and not given up for the first answer."""
    exchange.network.answers = Each(exchange.network, {"ehr": [400, 503, 400]})

    refer(exchange)

    assert dict(settled(exchange, "delivered", 2))["clinic/chart"] == 2
    assert not exchange.rows("SELECT * FROM outbox WHERE state = 'failed'")


class Each(list):
    """Answers by the server that is asked, in their order, 200 from then on."""

    def __init__(self, network, answers):
        super().__init__([None])
        self.network, self.by_server = network, answers

    def pop(self, _=0):
        url, bundle = self.network.sent[-1]
        for name, waiting in self.by_server.items():
            if name in url and waiting:
                return waiting.pop(0)
        return self.otherwise(bundle)

    def otherwise(self, _):
        return 200


class NoReferenceElsewhere(Each):
    """Servers that refuse a Bundle that leads to another server."""

    def __init__(self, network):
        super().__init__(network, {})

    def otherwise(self, bundle):
        return 400 if leads_elsewhere(bundle) else 200


def test_a_correction_is_pushed(exchange):
    """Where the family has moved, the agency's own server knows too; it gets that copy and no other."""
    refer(exchange)
    settled(exchange, "delivered", 2)
    before = len(exchange.network.sent)
    moved = {**family.PATIENT, "address": [{"line": ["9 New Street"]}]}

    exchange.call("PUT", "clinic/chart/fhir/Patient/rosa", moved)

    settled(exchange, "delivered", 3)
    ((url, bundle),) = exchange.network.sent[before:]
    assert url == "https://agency.example.org/fhir"
    assert [one["resource"]["address"] for one in bundle["entry"]] == [moved["address"]]


def test_what_is_large_is_pushed_whole(exchange):
    """It goes step by step, in room of its own, and is the copy that stands on the agency's shelf."""
    refer(exchange)
    settled(exchange, "delivered", 2)
    before = len(exchange.network.sent)
    moved = {**family.PATIENT, "address": [{"text": "New Street " * 12_000}]}

    exchange.call("PUT", "clinic/chart/fhir/Patient/rosa", moved)

    settled(exchange, "delivered", 3)
    ((url, bundle),) = exchange.network.sent[before:]
    assert url == "https://agency.example.org/fhir"
    assert [one["resource"]["address"] for one in bundle["entry"]] == [moved["address"]]
    rooms = exchange.http.app.app.rooms
    assert (rooms.way.taken, rooms.work.taken) == (0, 0)


def test_a_push_is_conditional_on_our_own_identifier(exchange):
    """A repeated push updates what the first one made, and never a record of the partner's own."""
    refer(exchange)
    settled(exchange, "delivered", 2)

    for _, bundle in exchange.network.sent:
        for entry in bundle["entry"]:
            asked = entry["request"]
            new = entry["resource"]["resourceType"] == "Task"
            assert asked["method"] == ("POST" if new else "PUT")
            assert (
                "identifier=https%3A%2F%2Fkinbridge.example.org%2Ffhir%2Fsid%2F"
                in asked["ifNoneExist" if new else "url"]
            )
            assert "id" not in entry["resource"]


def test_references_in_a_push_lead_somewhere(exchange):
    """Inside the Bundle by urn, else to the recipient's own shelf; never to another's."""
    refer(exchange)
    settled(exchange, "delivered", 2)

    sent = dict(exchange.network.sent)
    agency, ehr = sent["https://agency.example.org/fhir"], sent["https://ehr.example.org/fhir"]
    task = next(
        one["resource"] for one in agency["entry"] if one["resource"]["resourceType"] == "Task"
    )
    urns = {one["fullUrl"] for one in agency["entry"]}
    assert {
        task["focus"]["reference"],
        task["for"]["reference"],
        task["requester"]["reference"],
    } <= urns
    seen = ehr["entry"][0]["resource"]
    assert seen["for"]["reference"] == "https://exchange.localhost/clinic/chart/fhir/Patient/rosa"
    assert "/clinic/" not in str(agency)


@pytest.mark.parametrize(
    "trouble", [503, 429, 408, httpx2.ConnectError("down"), httpx2.ReadTimeout("slow")]
)
def test_trouble_that_passes_is_waited_out(exchange, trouble):
    """A server that is down, slow or busy gets the same push again until it takes it."""
    exchange.network.answers = [trouble] * 6

    refer(exchange)

    rows = settled(exchange, "delivered", 2)
    assert sum(attempts for _, attempts in rows) == 8
    tries = exchange.rows("SELECT outbox, number, status FROM attempt ORDER BY outbox, number")
    assert len(tries) == 8
    assert next(row[2] for row in tries if row[1] == 1) == (
        trouble if isinstance(trouble, int) else 0
    )


def test_a_refusal_by_the_partner_goes_to_a_person_at_once(exchange):
    """A 4xx is not repeated; its issue codes are kept, its texts are not."""
    outcome = {
        "resourceType": "OperationOutcome",
        "issue": [{"code": "invalid", "details": {"text": "Rosa"}}],
    }
    # the EHR's server is asked once more, without what leads to us; the agency's has no such thing
    exchange.network.answers = [httpx2.Response(422, json=outcome)] * 3

    refer(exchange)

    settled(exchange, "failed", 2)
    assert len(exchange.network.sent) == 3
    assert exchange.rows("SELECT status, codes FROM attempt") == [(422, "invalid")] * 2


def put_off(exchange, seconds):
    """A referral whose two pushes were tried, and are to be tried again in so many seconds."""
    pause = {"Retry-After": str(seconds)}
    exchange.network.answers = [httpx2.Response(503, headers=pause)] * 2
    refer(exchange)
    until = time.monotonic() + WAIT_SECONDS
    while len(exchange.rows("SELECT * FROM attempt")) < 2 and time.monotonic() < until:
        exchange.network.arrived.wait(0.02)


def test_retry_after_is_obeyed(exchange):
    """A partner that asks for a pause gets it."""
    put_off(exchange, 3600)

    due = exchange.rows("SELECT due - owed_at FROM outbox WHERE state = 'owed'")

    assert len(due) == 2
    assert all(row[0] > 3599 for row in due)


def test_what_waits_for_a_time_that_the_clock_was_set_back_from_goes_now(exchange):
    """It was a year ahead when an agency's server was down; nobody waits a year for the next try."""
    exchange.now += timedelta(days=365)
    put_off(exchange, 3600)

    exchange.now -= timedelta(days=365)

    assert len(settled(exchange, "delivered", 2)) == 2


def test_what_waits_a_minute_waits_a_minute_though_the_clock_is_set_back_by_an_hour(exchange):
    """Summer time ends while an agency's server asks for a pause: the referral goes in its time."""
    put_off(exchange, 60)

    exchange.now -= timedelta(hours=1)

    exchange.until(lambda: exchange.rows("SELECT due FROM outbox WHERE state = 'delivered'"))
    exchange.until(lambda: not exchange.rows("SELECT name FROM copied WHERE due > 0"))
    assert len(settled(exchange, "delivered", 2)) == 2


def test_the_order_of_one_referral_is_kept(exchange):
    """A later state does not overtake an earlier one, even when the first push had to be repeated."""
    exchange.network.answers = [503, 503, 503]
    refer(exchange)
    task = exchange.rows("SELECT recipient_task FROM exchange")[0][0]
    path = f"agency/support/fhir/{task}"
    for status in ("accepted", "in-progress"):
        exchange.call("PUT", path, {**exchange.get(path).json(), "status": status})

    settled(exchange, "delivered", 4)

    seen = [
        bundle["entry"][0]["resource"]["status"]
        for url, bundle in exchange.network.sent
        if "ehr." in url
    ]
    order = {"requested": 0, "accepted": 1, "in-progress": 2}
    assert [order[status] for status in seen] == sorted(order[status] for status in seen)
    assert seen[-1] == "in-progress"


def test_no_secret_and_no_body_stands_in_the_outbox(exchange):
    """The outbox names what to push; the content stands on the shelf alone."""
    refer(exchange)

    for row in exchange.rows("SELECT versions FROM outbox"):
        assert "Rosa" not in row[0]
        assert "Example" not in row[0]


def test_a_push_that_was_given_up_can_be_sent_again(exchange):
    """When the partner has mended its server, a person sends the push again, and it arrives."""
    exchange.network.answers = [401, 401]
    refer(exchange)
    settled(exchange, "failed", 2)
    url = exchange.database_url

    listed = CliRunner().invoke(cli, ["outbox", "list", "--database", url])
    # lines of the service's log may stand between
    pushes = re.findall(r"^(\d+)\t", listed.output, re.MULTILINE)
    for number in pushes:
        done = CliRunner().invoke(cli, ["outbox", "resend", number, "--database", url])
        assert done.exit_code == 0, done.output

    assert len(pushes) == 2
    exchange.now = datetime.now(UTC) + timedelta(seconds=1)  # the command has the real time
    settled(exchange, "delivered", 2)
    assert CliRunner().invoke(cli, ["outbox", "resend", "77", "--database", url]).exit_code == 2
