"""SMART Backend Services: a client signs who it is, and gets a token that opens its shelf for a while."""

import base64
import json
import time
from datetime import timedelta
from urllib.parse import urlencode

import httpx2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from exchange import basic, refused
from typer.testing import CliRunner

from app import assertions
from app.cli import app as cli
from app.sandbox import family

TOKEN = "https://exchange.localhost/clinic/chart/token"
SIGNED = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def base64url(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def number(value, size):
    return base64url(value.to_bytes(size, "big"))


DEEP = f"{base64url(b'[' * 8000)}.e30.e30"


class Elliptic:
    """P-384 and ES384 as RFC 7518 has them, by another library than the service reads them with."""

    algorithm = "ES384"

    def __init__(self, kid="k1"):
        self.key = ec.generate_private_key(ec.SECP384R1())
        at = self.key.public_key().public_numbers()
        self.public = {
            "kty": "EC", "crv": "P-384", "kid": kid, "x": number(at.x, 48), "y": number(at.y, 48),
        }  # fmt: skip

    def sign(self, said):
        r, s = utils.decode_dss_signature(self.key.sign(said, ec.ECDSA(hashes.SHA384())))
        return r.to_bytes(48, "big") + s.to_bytes(48, "big")


class Rsa:
    """The same with RS384."""

    algorithm = "RS384"

    def __init__(self, kid="k1", size=2048):
        self.key = rsa.generate_private_key(65537, size)
        at = self.key.public_key().public_numbers()
        self.public = {
            "kty": "RSA", "kid": kid, "n": number(at.n, size // 8), "e": number(at.e, 3),
        }  # fmt: skip

    def sign(self, said):
        return self.key.sign(said, padding.PKCS1v15(), hashes.SHA384())


def assertion(exchange, key, *, head=None, **claims):
    """What a client signs; a claim of None is left out."""
    now = int(exchange.now.timestamp())
    said = {
        "iss": "ehr",
        "sub": "ehr",
        "aud": TOKEN,
        "exp": now + 240,
        "jti": str(time.monotonic_ns()),
    }
    said = {name: value for name, value in {**said, **claims}.items() if value is not None}
    header = {"alg": key.algorithm, "kid": key.public["kid"], "typ": "JWT", **(head or {})}
    parts = ".".join(base64url(json.dumps(one).encode()) for one in (header, said))
    return f"{parts}.{base64url(key.sign(parts.encode()))}"


def post(
    exchange,
    shelf="clinic/chart",
    *,
    kind="application/x-www-form-urlencoded",
    headers=None,
    **form,
):
    form = {"grant_type": "client_credentials", **form}
    form = {name: value for name, value in form.items() if value is not None}
    return exchange.call(
        "POST", f"{shelf}/token", urlencode(form).encode(), Content_Type=kind, **(headers or {})
    )


def by(exchange, signed, **form):
    return post(exchange, client_assertion_type=SIGNED, client_assertion=signed, **form)


def bearer(answer):
    assert answer.status_code == 200, answer.text
    return f"Bearer {answer.json()['access_token']}"


def said_no(answer, error, status=400):
    """The text of a refusal as OAuth has it."""
    assert answer.status_code == status, answer.text
    assert answer.json()["error"] == error
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()["error_description"]


def enroll(
    exchange, keys, client="ehr", shelf="clinic/chart", scopes=("system/*.rs", "system/Task.cu")
):
    """Register a client that signs, as an administrator does."""
    arguments = [client, shelf, *scopes, "--keys", str(keys), "--database", exchange.database_url]
    return CliRunner().invoke(cli, ["client", "add", *arguments])


@pytest.fixture
def key():
    return Elliptic()


@pytest.fixture
def ehr(exchange, patient, key):
    """A client that signs with its key, from a file."""
    file = exchange.folder / "keys.json"
    file.write_text(json.dumps({"keys": [key.public]}), encoding="utf-8")
    done = enroll(exchange, file)
    assert done.exit_code == 0, done.output
    assert "secret" not in done.output
    return key


@pytest.mark.parametrize("kind", [Elliptic, Rsa])
def test_a_client_that_signs_enters_its_shelf(exchange, patient, kind):
    """The assertion is exchanged for a token, and the token reads; both algorithms of the standard."""
    key = kind()
    file = exchange.folder / "keys.json"
    file.write_text(json.dumps(key.public), encoding="utf-8")
    enroll(exchange, file)

    answer = by(exchange, assertion(exchange, key), scope="system/*.rs")

    assert {**answer.json(), "access_token": ""} == {
        "access_token": "", "token_type": "bearer", "expires_in": 300, "scope": "system/*.rs",
    }  # fmt: skip
    assert answer.headers["cache-control"] == "no-store"
    read = exchange.get("clinic/chart/fhir/Patient/rosa", Authorization=bearer(answer))
    assert read.status_code == 200
    refused(exchange.get("clinic/chart/fhir/Patient/rosa"), 401, "login")


def test_keys_are_read_where_the_client_keeps_them(exchange, patient):
    """A client that has registered a URL changes its keys by itself."""
    old, new = Elliptic("k1"), Elliptic("k2")
    url = "https://ehr.example.org/jwks.json"
    assert enroll(exchange, url).exit_code == 0
    exchange.network.answers = [
        httpx2.Response(200, json={"keys": [old.public]}),
        httpx2.Response(200, json={"keys": [new.public, {"kty": "oct", "kid": "k3"}]}),
        httpx2.Response(200, json={"keys": [new.public]}),
        httpx2.Response(404),
        httpx2.Response(200, text="no JSON"),
    ]

    bearer(by(exchange, assertion(exchange, old)))
    bearer(by(exchange, assertion(exchange, new)))
    said_no(by(exchange, assertion(exchange, old)), "invalid_client")
    for _ in range(2):
        assert "cannot be read" in said_no(by(exchange, assertion(exchange, new)), "invalid_client")
    assert {one for one, _ in exchange.network.sent} == {url}


DOUBTFUL = {
    "another endpoint": ({"aud": "https://exchange.localhost/agency/intake/token"}, "aud"),
    "no audience": ({"aud": None}, "aud"),
    "past": ({"exp": 1_000_000}, "exp"),
    "for a day": ({"exp": 2_000_000_000}, "exp"),
    "no end": ({"exp": None}, "exp"),
    "an end in words": ({"exp": "tomorrow"}, "exp"),
    "not yet": ({"nbf": 2_000_000_000}, "nbf"),
    "another subject": ({"sub": "other"}, "iss and sub"),
    "no id": ({"jti": None}, "jti"),
    "nobody": ({"iss": "nobody", "sub": "nobody"}, "no such client"),
    "another key": ({"head": {"kid": "k9"}}, "kid"),
    "another algorithm": ({"head": {"alg": "ES256"}}, "ES384"),
    "no algorithm": ({"head": {"alg": "none"}}, "ES384"),
    "the algorithm of another key": ({"head": {"alg": "RS384"}}, "kid"),
}


@pytest.mark.parametrize("case", DOUBTFUL)
def test_what_is_doubtful_about_an_assertion_is_said(exchange, ehr, case):
    """Each is refused, and an integrator learns which claim it is."""
    changed, names = DOUBTFUL[case]

    answer = by(exchange, assertion(exchange, ehr, **changed))

    assert names in said_no(answer, "invalid_client")


def test_nobody_signs_for_somebody_else(exchange, ehr):
    """A key that is not the client's, its public key as a shared secret, and a signature that was changed."""
    assert "signature" in said_no(by(exchange, assertion(exchange, Elliptic())), "invalid_client")
    good = assertion(exchange, ehr)
    head, _, signature = good.split(".")
    other = assertion(exchange, ehr, sub="x", iss="ehr").split(".")[1]
    said_no(by(exchange, f"{head}.{other}.{signature}"), "invalid_client")
    claims = good.split(".")[1]
    shared = assertions.sealed(json.dumps(ehr.public).encode(), {"iss": "ehr", "sub": "ehr"})
    said_no(by(exchange, shared), "invalid_client")
    said_no(by(exchange, f"{head}.{claims}."), "invalid_client")


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "é.é.é", "." * 50, DEEP, "e30.e30.e30"])
def test_what_is_no_assertion_is_refused(exchange, ehr, text):
    """Whatever it is, it is an answer of 400 and no fault of the service."""
    answer = by(exchange, text)

    assert answer.status_code == 400, answer.text
    assert answer.json()["error"] in {"invalid_client", "invalid_request"}


def test_an_assertion_opens_once(exchange, ehr):
    """Who listens in cannot use it again; what can be said no more is forgotten."""
    signed = assertion(exchange, ehr)
    bearer(by(exchange, signed))

    assert "jti" in said_no(by(exchange, signed), "invalid_client")

    exchange.now += timedelta(minutes=10)
    bearer(by(exchange, assertion(exchange, ehr)))
    assert len(exchange.rows("SELECT * FROM assertion")) == 1


def test_a_token_opens_one_shelf_for_what_it_was_given_for(exchange, ehr):
    """It is narrower than the client, and no other shelf is there for it."""
    token = bearer(by(exchange, assertion(exchange, ehr), scope="system/Task.write openid"))

    made = {"resourceType": "Task", "status": "draft", "intent": "order"}
    sent = exchange.call("POST", "clinic/chart/fhir/Task", made, Authorization=token)
    assert sent.status_code == 201
    refused(exchange.get("clinic/chart/fhir/Patient/rosa", Authorization=token), 403)
    refused(exchange.get("clinic/reports/fhir/Patient/rosa", Authorization=token), 404)
    at_the_other = post(
        exchange, "clinic/reports", client_assertion_type=SIGNED,
        client_assertion=assertion(exchange, ehr, aud=TOKEN.replace("chart", "reports")),
    )  # fmt: skip
    said_no(at_the_other, "invalid_client")


def test_a_token_ends(exchange, ehr):
    """After five minutes another one is needed, and the answer says so."""
    token = bearer(by(exchange, assertion(exchange, ehr)))
    assert exchange.get("clinic/chart/fhir/Patient/rosa", Authorization=token).status_code == 200

    exchange.now += timedelta(seconds=301)
    time.sleep(0.3)  # who may call is remembered for a moment

    answer = exchange.get("clinic/chart/fhir/Patient/rosa", Authorization=token)
    refused(answer, 401, "login")
    assert 'Bearer realm="kinbridge", error="invalid_token"' in answer.headers["www-authenticate"]


def test_a_token_goes_with_its_client(exchange, ehr, register):
    """Removed, and registered anew under the same name: what was given before opens nothing."""
    token = bearer(by(exchange, assertion(exchange, ehr)))
    register("other", "clinic/chart", "system/*.r")
    url = exchange.database_url

    CliRunner().invoke(cli, ["client", "remove", "ehr", "--database", url])

    refused(exchange.get("clinic/chart/fhir/Patient/rosa", Authorization=token), 401)
    register("ehr", "clinic/chart", "system/*.cruds")
    refused(exchange.get("clinic/chart/fhir/Patient/rosa", Authorization=token), 401)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é", DEEP])
def test_what_is_no_token_opens_nothing(exchange, ehr, token):
    """Nor one that another service has sealed."""
    other = assertions.sealed(
        b"k" * 32, {"sub": "ehr", "since": "", "exp": 9e9, "scope": "system/*.r"}
    )
    for one in (token, other):
        sent = f"Bearer {one}".encode()
        refused(exchange.get("clinic/chart/fhir/Patient/rosa", Authorization=sent), 401, "login")


def test_a_client_with_a_secret_gets_a_token_too(exchange, patient, register):
    """By HTTP Basic or in the form, for clients that know OAuth and no signatures."""
    said = register("ehr", "clinic/chart", "system/*.rs")
    client, secret = base64.b64decode(said.removeprefix("Basic ")).decode().split(":")

    for answer in (
        post(exchange, headers={"Authorization": said}),
        post(exchange, client_id=client, client_secret=secret),
    ):
        read = exchange.get("clinic/chart/fhir/Patient/rosa", Authorization=bearer(answer))
        assert read.status_code == 200
    wrong = post(exchange, headers={"Authorization": basic("ehr", "guess")})
    said_no(wrong, "invalid_client", 401)
    assert wrong.headers["www-authenticate"].startswith("Basic")
    said_no(post(exchange, client_id="nobody", client_secret="guess"), "invalid_client")
    said_no(post(exchange), "invalid_client")


def test_a_client_that_signs_has_no_secret(exchange, ehr):
    """The empty one is none."""
    for secret in ("", "x"):
        said_no(post(exchange, client_id="ehr", client_secret=secret), "invalid_client")
        answer = exchange.get("clinic/chart/fhir/Patient/rosa", Authorization=basic("ehr", secret))
        refused(answer, 401)


def test_what_is_asked_wrongly_is_said_as_oauth_has_it(exchange, ehr):
    """Each with its code; a shelf that is not there is none of those."""
    signed = assertion(exchange, ehr)
    said_no(by(exchange, signed, scope="patient/*.read launch"), "invalid_scope")
    said_no(by(exchange, assertion(exchange, ehr), scope="kinbridge/refer"), "invalid_scope")
    said_no(by(exchange, signed, grant_type="password"), "unsupported_grant_type")
    said_no(by(exchange, signed, grant_type=None), "unsupported_grant_type")
    said_no(post(exchange, client_assertion=signed), "invalid_request")
    said_no(by(exchange, signed, kind="application/json"), "invalid_request", 415)
    said_no(by(exchange, "x" * 20_000), "invalid_request", 413)
    twice = b"grant_type=client_credentials&scope=a&scope=b"
    form = "application/x-www-form-urlencoded"
    said_no(
        exchange.call("POST", "clinic/chart/token", twice, Content_Type=form), "invalid_request"
    )
    said_no(post(exchange, "clinic/none", client_id="a", client_secret="b"), "invalid_request", 404)
    refused(exchange.get("clinic/chart/token"), 405)


def test_a_client_learns_where_to_ask(exchange):
    """By the well-known document and the CapabilityStatement, before it has a token."""
    found = exchange.get("clinic/chart/fhir/.well-known/smart-configuration").json()

    assert found["token_endpoint"] == TOKEN
    assert "private_key_jwt" in found["token_endpoint_auth_methods_supported"]
    assert found["token_endpoint_auth_signing_alg_values_supported"] == ["ES384", "RS384"]
    assert "client-confidential-asymmetric" in found["capabilities"]
    security = exchange.get("clinic/chart/fhir/metadata").json()["rest"][0]["security"]
    codes = {one["coding"][0]["code"] for one in security["service"]}
    assert codes == {"SMART-on-FHIR", "Basic"}
    refused(exchange.get("clinic/none/fhir/.well-known/smart-configuration"), 404)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: {"keys": [assertions.fresh()]}, "private key"),
        (lambda: {"keys": []}, "no key in it will do"),
        (lambda: {"keys": [{**Elliptic().public, "kid": None}]}, "no key in it will do"),
        (lambda: {"keys": [Rsa(size=1024).public]}, "no key in it will do"),
        (lambda: {"keys": [{"kty": "EC", "crv": "P-384", "kid": "a", "x": "AA", "y": "AA"}]}, "no JWKS"),
        (lambda: ["x"], "no JWKS"),
        (lambda: "x", "no JWKS"),
    ],
)  # fmt: skip
def test_keys_that_cannot_sign_are_not_registered(exchange, made, said):
    """A private key least of all: who has it could be the client."""
    file = exchange.folder / "keys.json"
    file.write_text(json.dumps(made()), encoding="utf-8")

    done = enroll(exchange, file)

    assert done.exit_code == 2
    assert said in done.output


def test_a_referral_is_sent_with_a_token(exchange, patient, key):
    """Acts are scopes of their own, for a token as for a secret; the accounting names the client."""
    file = exchange.folder / "keys.json"
    file.write_text(json.dumps({"keys": [key.public]}), encoding="utf-8")
    enroll(exchange, file, scopes=("system/*.cruds", "kinbridge/refer"))
    made = family.referral("ServiceRequest/none", consented=True)
    reads = bearer(by(exchange, assertion(exchange, key), scope="system/*.cruds"))
    refers = bearer(by(exchange, assertion(exchange, key)))

    refused(exchange.call("POST", "clinic/chart/fhir/$refer", made, Authorization=reads), 403)
    sent = exchange.call("POST", "clinic/chart/fhir/$refer", made, Authorization=refers)

    assert sent.status_code == 200
    assert exchange.rows("SELECT caller FROM ledger") == [("ehr",)]
