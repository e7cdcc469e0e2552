"""The exchange as its callers see it: over HTTP, with a clock that stands and a network that is ours."""

import json
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from postgres import Postgres
from starlette.testclient import TestClient

from app import settings
from app.main import build
from app.partners import Partners
from app.sandbox import family

SHARED = Path(__file__).parents[2] / "shared"


def pytest_collection_modifyitems(items):
    """A test that needs ../shared is skipped, with the reason, where that folder is missing."""
    if not SHARED.is_dir():
        missing = pytest.mark.skip(reason="../shared does not stand beside this checkout")
        for item in items:
            if "shared" in item.keywords:
                item.add_marker(missing)


@dataclass
class Network:
    """What partners' servers were sent, and how they answer: a status, or an exception to raise."""

    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    arrived: threading.Event = field(default_factory=threading.Event)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.sent.append((str(request.url), json.loads(request.content)))
        answer = self.answers.pop(0) if self.answers else 200
        self.arrived.set()
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx2.Response) else httpx2.Response(answer)


@dataclass
class Exchange:
    """The service, called over HTTP; paths are tenant/shelf/rest."""

    http: TestClient
    network: Network
    folder: Path
    database_url: str
    rows: Callable[[str], list[tuple[Any, ...]]]  # a look into the database, as an auditor takes it
    now: datetime = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)

    def clock(self) -> datetime:
        """A clock that moves a little at each look, so that no two moments are the same."""
        self.now += timedelta(milliseconds=1)
        return self.now

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named.setdefault("Content-Type", "application/fhir+json")
        return self.http.request(
            method, f"/{path}", content=None if body is None else content, headers=named
        )

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return self.call("GET", path, **headers)


def _sqlite_rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


def _tenants(endpoints: dict[str, str]) -> list[dict[str, Any]]:
    def shelf(tenant: str, name: str, kind: str, role: str) -> dict[str, Any]:
        made = {"id": name, "kind": kind, "role": role}
        url = endpoints.get(f"{tenant}/{name}")
        return {**made, "endpoint": {"url": url}} if url else made

    return [
        {"id": "clinic", "name": "Clinic", "shelves": [
            shelf("clinic", "chart", "family-support", "source"),
            shelf("clinic", "reports", "cps-report", "source"),
        ]},
        {"id": "agency", "name": "Agency", "jurisdiction": "example", "shelves": [
            shelf("agency", "support", "family-support", "recipient"),
            shelf("agency", "intake", "cps-report", "recipient"),
        ]},
        {"id": "pantry", "name": "Food pantry", "shelves": [
            shelf("pantry", "support", "family-support", "recipient"),
        ]},
    ]  # fmt: skip


@pytest.fixture
def endpoints() -> dict[str, str]:
    """Partners' own servers, by shelf; none unless a story says so."""
    return {}


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server with the tables in it."""
    server = Postgres.made()
    yield server
    server.end()


@dataclass
class Late:
    """An application that is built where it runs: a pool of connections belongs to one event loop."""

    build: Callable[[], Coroutine[Any, Any, Any]]
    app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.app is None:
            self.app = await self.build()
        await self.app(scope, receive, send)


@pytest.fixture(params=["sqlite", "postgres"])
def exchange(request, tmp_path, endpoints) -> Iterator[Exchange]:
    network = Network()
    url = f"sqlite:///{tmp_path / 'exchange.db'}"
    rows = partial(_sqlite_rows, tmp_path / "exchange.db")
    if request.param == "postgres":
        server = request.getfixturevalue("postgres")
        server.empty()
        url, rows = server.url(), server.rows
    read = settings.read(
        database_url=url,
        public_url="https://exchange.example.org",
        max_body_bytes=200_000,
        retry_first_seconds=0.01,
        retry_longest_seconds=0.02,
        tenants=_tenants(endpoints),
    )
    made = Exchange(None, network, tmp_path, url, rows)  # type: ignore[arg-type]
    partners = Partners(transport=httpx2.MockTransport(network))
    app = Late(lambda: build(read, partners=partners, clock=made.clock))
    with TestClient(app, raise_server_exceptions=False) as client:
        made.http = client
        yield made


@pytest.fixture
def patient(exchange) -> dict[str, Any]:
    """A child on the clinic's chart."""
    answer = exchange.call("PUT", "clinic/chart/fhir/Patient/rosa", family.PATIENT)
    assert answer.status_code == 201
    return answer.json()


def resources(answer: httpx2.Response, kind: str = "") -> list[dict[str, Any]]:
    """The resources of a Bundle that was answered."""
    assert answer.status_code == 200, answer.text
    found = [entry["resource"] for entry in answer.json()["entry"] if "resource" in entry]
    return [one for one in found if kind in {"", one["resourceType"]}]


def refused(answer: httpx2.Response, status: int, code: str = "") -> list[dict[str, Any]]:
    """The issues of a refusal, which is always an OperationOutcome with something to do."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["resourceType"] == "OperationOutcome"
    assert answer.headers["content-type"].startswith("application/fhir+json")
    assert all(issue["details"]["text"] for issue in body["issue"])
    assert code in {"", *(issue["code"] for issue in body["issue"])}
    return body["issue"]


@pytest.fixture
def referred(exchange, patient) -> tuple[dict[str, Any], dict[str, Any]]:
    """A referral that was sent: the clinic's Task, the agency's Task."""
    sent = exchange.call(
        "POST", "clinic/chart/fhir/$refer", family.referral("ServiceRequest/none", consented=True)
    )
    task = resources(sent, "Task")[0]
    return task, agency_task(exchange, "support", task)


@pytest.fixture
def reported(exchange) -> tuple[dict[str, Any], dict[str, Any]]:
    """A report that was sent: the clinic's Task, the agency's Task."""
    sent = exchange.call("POST", "clinic/reports/fhir/$report", family.report(by_device=False))
    task = resources(sent, "Task")[0]
    return task, agency_task(exchange, "intake", task)


def agency_task(exchange: Exchange, shelf: str, task: dict[str, Any]) -> dict[str, Any]:
    """The agency's copy of a clinic's Task, found through the exchange row."""
    found = exchange.rows(
        f"SELECT recipient_task FROM exchange WHERE source_task = 'Task/{task['id']}'"
    )
    return exchange.get(f"agency/{shelf}/fhir/{found[0][0]}").json()
