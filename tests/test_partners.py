"""The HTTP client's one door, on httpx2 and on httpx alike (decision 0001)."""

import asyncio
import json

import httpx
import httpx2
import pytest

from app.partners import Partners, Reply
from app.settings import Endpoint

BUNDLE = {"resourceType": "Bundle", "type": "transaction", "entry": []}


@pytest.fixture(params=[httpx2, httpx], ids=["httpx2", "httpx"])
def http(request):
    return request.param


def push(http, answer, endpoint=None, now=0.0, **bounds):
    """Push to a partner that answers so; what it got, and the reply."""
    got = []

    def network(request):
        got.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def run():
        partners = Partners(http=http, transport=http.MockTransport(network), **bounds)
        try:
            target = endpoint or Endpoint(url="https://partner.example.org/fhir")
            return await partners.transaction(target, BUNDLE, now=now)
        finally:
            await partners.close()

    return got, asyncio.run(run())


def test_a_bundle_is_posted_as_fhir(http):
    """The partner gets FHIR JSON at its base."""
    got, reply = push(http, http.Response(200))

    assert reply == Reply(200)
    assert reply.delivered
    assert str(got[0].url) == "https://partner.example.org/fhir"
    assert got[0].headers["content-type"] == "application/fhir+json"
    assert json.loads(got[0].content) == BUNDLE


def test_credentials_go_by_basic(http):
    """A partner that asks for a password gets the one from the settings."""
    endpoint = Endpoint(url="https://partner.example.org", username="u", password="p")

    got, _ = push(http, http.Response(200), endpoint)

    assert got[0].headers["authorization"] == "Basic dTpw"


@pytest.mark.parametrize("name", ["ConnectError", "ReadTimeout", "RemoteProtocolError"])
def test_no_answer_is_worth_a_retry(http, name):
    """A partner that does not answer is asked again."""
    _, reply = push(http, getattr(http, name)("gone"))

    assert reply.status == 0
    assert reply.worth_retrying
    assert not reply.delivered


@pytest.mark.parametrize(("status", "again"), [(408, True), (425, True), (429, True), (500, True),
                                               (503, True), (400, False), (404, False), (422, False),
                                               (301, False)])  # fmt: skip
def test_only_what_may_pass_is_repeated(http, status, again):
    """Timeouts, throttling and server faults are repeated; refusals are a person's to read."""
    _, reply = push(http, http.Response(status))

    assert reply.worth_retrying is again
    assert not reply.delivered


@pytest.mark.parametrize(("header", "seconds"), [("7", 7), ("Thu, 01 Jan 1970 00:00:09 GMT", 9),
                                                 ("soon", 0), ("999999999", 86400), ("-5", 0)])  # fmt: skip
def test_retry_after_is_read_in_both_forms(http, header, seconds):
    """Seconds or a date, a day at most, and nonsense is none."""
    _, reply = push(http, http.Response(503, headers={"Retry-After": header}))

    assert reply.wait_seconds == seconds


@pytest.mark.parametrize(
    ("body", "codes"),
    [
        (
            b'{"resourceType":"OperationOutcome","issue":[{"code":"invalid"},{"code":"conflict"}]}',
            "conflict invalid",
        ),
        (b'{"resourceType":"OperationOutcome","issue":[{"code":7}]}', "7"),
        (b'{"resourceType":"OperationOutcome"}', ""),
        (b"<html>", ""),
        (b"[" * 100_000, ""),
        (b"\xff", ""),
    ],
)
def test_of_an_outcome_only_codes_are_kept(http, body, codes):
    """Texts of a partner could quote a child's name; whatever it sends, nothing breaks."""
    _, reply = push(http, http.Response(400, content=body))

    assert reply.codes == codes


def test_a_partner_that_answers_a_byte_at_a_time_is_cut_off(http):
    """A push has an end, however slowly a partner answers."""

    async def drip():
        while True:
            await asyncio.sleep(0.02)
            yield b"x"

    _, reply = push(http, http.Response(200, content=drip()), seconds=0.2)

    assert reply.status == 0
    assert reply.worth_retrying
