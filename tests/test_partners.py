"""The HTTP client's one door, on httpx2 and on httpx alike (decision 0001)."""

import asyncio
import json
from urllib.parse import parse_qsl

import httpx
import httpx2
import pytest

from app import assertions
from app.errors import NotFound
from app.partners import Partners, Reply, key_of
from app.settings import Endpoint, SettingsError, Smart

BUNDLE = {"resourceType": "Bundle", "type": "transaction", "entry": []}
CONTENT = json.dumps(BUNDLE).encode()


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
            return await partners.transaction(target, CONTENT, now=now)
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


def test_what_is_long_goes_step_by_step(http):
    """With its length said before, and somebody told how far it is."""
    long, told = b'{"x":"' + b"y" * 300_000 + b'"}', []
    got = []

    def network(request):
        got.append(request)
        return http.Response(200)

    async def run():
        partners = Partners(http=http, transport=http.MockTransport(network))
        endpoint = Endpoint(url="https://partner.example.org", username="u", password="p")
        try:
            return await partners.transaction(endpoint, long, now=0.0, moved=told.append)
        finally:
            await partners.close()

    assert asyncio.run(run()).delivered
    assert (got[0].content, got[0].headers["content-length"]) == (long, str(len(long)))
    assert "transfer-encoding" not in got[0].headers
    assert (sum(told), len(told)) == (len(long), 5)


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
                                                 ("soon", 0), ("999999999", 86400), ("-5", 0),
                                                 ("\u00b2", 0)])  # fmt: skip
def test_retry_after_is_read_in_both_forms(http, header, seconds):
    """Seconds or a date, a day at most, and nonsense is none."""
    _, reply = push(http, http.Response(503, headers={"Retry-After": header.encode("latin-1")}))

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


URL = "https://partner.example.org/fhir"
TOKEN = "https://login.example.org/token"


class Partner:
    """A server that knows us by our key, as SMART Backend Services has it."""

    def __init__(self, http, key, **answers):
        self.http, self.key, self.asked = http, key, []
        self.answers = {"configuration": [], "token": [], "push": [], **answers}

    def __call__(self, request):
        path = request.url.path
        what = {"/token": "token", "/fhir": "push"}.get(path, "configuration")
        self.asked.append(what)
        if self.answers[what]:
            answer = self.answers[what].pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        return getattr(self, f"_{what}")(request)

    def _configuration(self, request):
        assert str(request.url) == f"{URL}/.well-known/smart-configuration"
        return self.http.Response(200, json={"token_endpoint": TOKEN})

    def _token(self, request):
        form = dict(parse_qsl(request.content.decode()))
        assert form["grant_type"] == "client_credentials"
        assert form["scope"] == "system/*.cruds"
        public = [assertions.public(self.key)]
        said = assertions.read(form["client_assertion"], public, audience=TOKEN, now=1000.0)
        assert said.client == "kinbridge"
        token = {"access_token": f"t{self.asked.count('token')}", "expires_in": 300}
        return self.http.Response(200, json={**token, "token_type": "bearer", "id": said.id})

    def _push(self, request):
        newest = f"Bearer t{self.asked.count('token')}"
        return self.http.Response(200 if request.headers["authorization"] == newest else 401)

    def pushes(self, folder, *moments, **more):
        """Push at each of these moments; the replies."""
        file = folder / "key.json"
        file.write_text(json.dumps(self.key), encoding="utf-8")
        endpoint = Endpoint(url=URL, smart={"client_id": "kinbridge", "key": file, **more})

        async def run():
            partners = Partners(http=self.http, transport=self.http.MockTransport(self))
            try:
                return [await partners.transaction(endpoint, CONTENT, now=one) for one in moments]
            finally:
                await partners.close()

        return asyncio.run(run())


@pytest.fixture
def key():
    return assertions.fresh()


def test_a_token_is_asked_for_once_and_again_before_it_ends(http, key, tmp_path):
    """Found by the partner's own document, signed with our key, and used for as long as it lives."""
    partner = Partner(http, key)

    replies = partner.pushes(tmp_path, 1000.0, 1001.0, 1050.0)
    assert [one.status for one in replies] == [200, 200, 200]
    assert partner.asked == ["configuration", "token", "push", "push", "push"]

    again = Partner(http, key)
    again.pushes(tmp_path, 1000.0, 1000.0 + 269, token_url=TOKEN)
    assert again.asked == ["token", "push", "push"]


def test_a_token_that_lives_no_longer_than_a_moment_is_used_once(http, key, tmp_path):
    """What a partner says of its life is believed."""
    brief = [http.Response(200, json={"access_token": "t1", "expires_in": 5}) for _ in range(2)]
    partner = Partner(http, key, token=brief, push=[http.Response(200)] * 2)

    partner.pushes(tmp_path, 1000.0, 1001.0, token_url=TOKEN)

    assert partner.asked == ["token", "push"] * 2


def test_a_token_that_was_taken_back_is_asked_for_anew(http, key, tmp_path):
    """A partner that restarted forgets its tokens; that is no refusal of the push."""
    partner = Partner(http, key, push=[http.Response(200), http.Response(401)])

    replies = partner.pushes(tmp_path, 1000.0, 1001.0, token_url=TOKEN)

    assert [one.status for one in replies] == [200, 200]
    assert partner.asked == ["token", "push", "push", "token", "push"]


def test_a_partner_that_refuses_every_token_is_a_persons_to_look_at(http, key, tmp_path):
    """Twice, and not for ever."""
    partner = Partner(http, key, push=[http.Response(401)] * 9)

    (reply,) = partner.pushes(tmp_path, 1000.0, token_url=TOKEN)

    assert (reply.status, reply.worth_retrying) == (401, False)
    assert partner.asked == ["token", "push"] * 2


@pytest.mark.parametrize(
    ("what", "made", "status", "again"),
    [
        ("token", lambda http: http.Response(400, json={"error": "invalid_client"}), 400, False),
        ("token", lambda http: http.Response(503), 503, True),
        ("token", lambda http: http.ConnectError("gone"), 0, True),
        ("token", lambda http: http.Response(200, text="<html>"), 400, False),
        ("token", lambda http: http.Response(200, json={"expires_in": 9}), 400, False),
        ("token", lambda http: http.Response(200, json={"access_token": "a", "expires_in": "x"}), 400, False),
        ("configuration", lambda http: http.Response(404), 404, False),
        ("configuration", lambda http: http.Response(200, text="[]"), 404, False),
        ("configuration", lambda http: http.Response(200, json={"token_endpoint": "http://evil.example.org"}), 404, False),
        ("configuration", lambda http: http.Response(500), 0, True),
        ("configuration", lambda http: http.ConnectError("gone"), 0, True),
    ],
)  # fmt: skip
def test_without_a_token_nothing_is_pushed(http, key, tmp_path, what, made, status, again):
    """What may pass is tried again; what a person must mend is said so at once."""
    partner = Partner(http, key, **{what: [made(http)]})

    (reply,) = partner.pushes(tmp_path, 1000.0)

    assert (reply.status, reply.worth_retrying, reply.codes) == (status, again, "no-token")
    assert "push" not in partner.asked


def test_pushes_at_one_moment_share_a_token(http, key, tmp_path):
    """Ten referrals are one question to the token endpoint."""
    partner = Partner(http, key)
    file = tmp_path / "key.json"
    file.write_text(json.dumps(key), encoding="utf-8")
    endpoint = Endpoint(url=URL, smart={"client_id": "kinbridge", "key": file})

    async def run():
        partners = Partners(http=http, transport=http.MockTransport(partner))
        pushes = (partners.transaction(endpoint, CONTENT, now=1000.0) for _ in range(10))
        replies = await asyncio.gather(*pushes)
        await partners.close()
        return replies

    assert {one.status for one in asyncio.run(run())} == {200}
    assert partner.asked.count("token") == 1


@pytest.mark.parametrize("content", [None, "", "{}", '{"kty":"oct","k":"eA","kid":"1"}', "PUBLIC"])
def test_a_key_that_cannot_sign_stops_the_start(tmp_path, content):
    """The file is named, and not what is in it."""
    file = tmp_path / "key.json"
    if content is not None:
        public = json.dumps(assertions.public(assertions.fresh()))
        file.write_text(public if content == "PUBLIC" else content, encoding="utf-8")

    with pytest.raises(SettingsError, match=r"key\.json"):
        key_of(Smart(client_id="kinbridge", key=file))


def test_a_partner_knows_us_in_one_way():
    """By a password or by a key."""
    with pytest.raises(ValueError, match="not by both"):
        Endpoint(url=URL, username="u", smart={"client_id": "a", "key": "k"})


@pytest.mark.parametrize("url", ["http://agency.example.org/fhir", "http://10.0.0.7:8080/fhir"])
def test_a_record_goes_in_clear_over_no_network_of_others(url):
    """A report of maltreatment can be read by whoever is on the way, unless it is said that nobody is."""
    with pytest.raises(ValueError, match="in clear"):
        Endpoint(url=url)
    with pytest.raises(ValueError, match="in clear"):
        Endpoint(url=URL, smart={"client_id": "a", "key": "k", "token_url": url})
    assert Endpoint(url=url, plain=True).url == url
    for near in ("http://127.0.0.1:8080/fhir", "http://[::1]/fhir", "http://case-system:8080/fhir"):
        assert Endpoint(url=near).url == near


def test_who_asks_at_one_moment_shares_an_answer(http):
    """A flood of assertions in one client's name is one request to where it keeps its keys."""
    got = []

    async def network(request):
        got.append(request)
        await asyncio.sleep(0.05)
        return http.Response(200 if len(got) == 1 else 404, content=b"{}")

    async def run():
        partners = Partners(http=http, transport=http.MockTransport(network))
        asked = (partners.shared("https://ehr.example.org/jwks", most=9) for _ in range(20))
        found = await asyncio.gather(*asked)
        with pytest.raises(NotFound):
            await partners.shared("https://ehr.example.org/jwks", most=9)
        await partners.close()
        return found

    assert asyncio.run(run()) == [b"{}"] * 20
    assert len(got) == 2
