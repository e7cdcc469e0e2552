"""A page in a browser calls the service: only where its origin is set, with a token, and with what FHIR's headers say."""

import re

import pytest
from exchange import refused
from shelves import CHART

from app import settings
from app.sandbox import family

APP = "https://app.example.org"
PATIENT = f"{CHART}/Patient/rosa"


def preflight(
    exchange, origin=APP, method="PUT", headers="authorization,content-type,if-match,prefer"
):
    """What a browser asks before it lets a page write."""
    asked = {"Origin": origin, "Access-Control-Request-Method": method,
             "Access-Control-Request-Headers": headers}  # fmt: skip
    return exchange.call("OPTIONS", PATIENT, None, **asked)


def grants(answer):
    return {name for name in answer.headers if name.startswith("access-control-")}


def test_without_the_setting_no_page_reads_anything(exchange, patient):
    """As it comes, the service says nothing to browsers, and a page of elsewhere gets nothing."""
    assert grants(preflight(exchange)) == set()
    assert grants(exchange.get(PATIENT, Origin=APP)) == set()
    assert "cors" not in exchange.get(f"{CHART}/metadata").json()["rest"][0]["security"]


class TestSet:
    """An origin is set."""

    @pytest.fixture
    def origins(self):
        return (APP,)

    def test_a_page_reads_and_writes(self, exchange, patient):
        """A SMART app reads a child's record and updates it under the version that it has read."""
        read = exchange.get(PATIENT, Origin=APP)

        assert read.headers["access-control-allow-origin"] == APP
        assert "access-control-allow-credentials" not in read.headers
        assert "Origin" in read.headers["vary"]
        seen = set(re.split(", *", read.headers["access-control-expose-headers"]))
        assert seen >= {"ETag", "Location", "Content-Location", "Last-Modified", "X-Request-Id"}
        assert read.headers["etag"]
        assert preflight(exchange).status_code == 200
        written = exchange.call(
            "PUT", PATIENT, {**patient, "active": True}, Origin=APP, If_Match=read.headers["etag"]
        )
        assert written.status_code == 200
        assert written.headers["access-control-allow-origin"] == APP

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"])
    def test_a_preflight_needs_no_token(self, exchange, register, method):
        """The browser asks before it sends the token, and of any resource, also of one that is not there."""
        register("app", "clinic/chart", "system/*.cruds")

        answer = preflight(exchange, method=method)

        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == APP
        assert method in answer.headers["access-control-allow-methods"]
        assert answer.headers["x-request-id"]

    def test_a_refusal_is_read_by_the_page(self, exchange, register):
        """What is wrong, such as a token that has ended, or a chart that is not there, is told the page too."""
        known = register("app", "clinic/chart", "system/*.rs")

        nobody = exchange.get(PATIENT, Origin=APP)
        refused(nobody, 401)
        gone = exchange.get(PATIENT, Origin=APP, Authorization=known)
        refused(gone, 404)
        large = exchange.call(
            "POST", f"{CHART}/Patient", b" " * 300_000, Origin=APP, Authorization=known
        )
        refused(large, 413)

        assert {one.headers["access-control-allow-origin"] for one in (nobody, gone, large)} == {
            APP
        }

    @pytest.mark.parametrize("origin", ["https://elsewhere.example", "http://app.example.org", "null",
                                        "https://app.example.org.elsewhere.example", f"{APP}:8443"])  # fmt: skip
    @pytest.mark.usefixtures("patient")
    def test_a_page_of_elsewhere_reads_nothing(self, exchange, origin):
        """The browser keeps from it what it is answered, and does not write for it."""
        assert "access-control-allow-origin" not in exchange.get(PATIENT, Origin=origin).headers
        asked = preflight(exchange, origin)
        assert asked.status_code == 400
        assert "access-control-allow-origin" not in asked.headers

    @pytest.mark.usefixtures("patient")
    def test_others_are_answered_as_ever(self, exchange):
        """Who is no browser sends no origin, and OPTIONS says what a path takes."""
        assert grants(exchange.get(PATIENT)) == set()
        assert "PUT" in exchange.call("OPTIONS", PATIENT).headers["allow"]
        assert exchange.get(f"{CHART}/metadata").json()["rest"][0]["security"]["cors"] is True


class TestEveryone:
    """Every origin is set, plainly."""

    @pytest.fixture
    def origins(self):
        return ("*",)

    def test_any_page_with_a_token(self, exchange, register):
        """A service for apps of everybody: who has no token reads nothing."""
        known = register("app", "clinic/chart", "system/*.cruds")
        exchange.call("PUT", PATIENT, family.PATIENT, Authorization=known)

        refused(exchange.get(PATIENT, Origin=APP), 401)
        read = exchange.get(PATIENT, Origin=APP, Authorization=known)

        assert read.status_code == 200
        assert read.headers["access-control-allow-origin"] == "*"

    @pytest.mark.usefixtures("patient")
    def test_without_clients_no_page_reads_it(self, exchange):
        """Nobody is registered, so that no token is needed: a page of any site would read the charts."""
        refused(exchange.get(PATIENT, Origin=APP), 403)

        assert exchange.get(PATIENT).status_code == 200


@pytest.mark.parametrize("said", [
    "app.example.org", "https://app.example.org/", "https://app.example.org/app", "https://App.example.org",
    "https://app.example.org:443", "http://app.example.org", "null", "https://*.example.org", "",
    "https://user@app.example.org", "https://app.example.org?x", "ftp://app.example.org",
])  # fmt: skip
def test_an_origin_that_no_browser_sends_stops_the_start(said):
    """It would let nobody in, and nobody would know why: the start names the key, and how it is written."""
    with pytest.raises(settings.SettingsError) as refusal:
        settings.read(cors_origins=[APP, said])

    assert "cors_origins" in str(refusal.value)
    assert "https" in str(refusal.value)


def test_every_origin_stands_alone():
    """Beside others it would make them mean nothing."""
    with pytest.raises(settings.SettingsError, match="stands alone"):
        settings.read(cors_origins=["*", APP])


@pytest.mark.parametrize("said", [f"{APP},http://localhost:3000", f"{APP} http://localhost:3000"])
def test_a_variable_has_them_in_one_line(monkeypatch, said):
    """As an operator writes it in a container."""
    monkeypatch.setenv("KINBRIDGE_CORS_ORIGINS", said)

    assert settings.read().cors_origins == (APP, "http://localhost:3000")
