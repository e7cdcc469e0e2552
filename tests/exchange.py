"""The exchange as a test calls it over HTTP, the network that it calls, and what is looked for."""

import base64
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
from starlette.testclient import TestClient

from app import fhir
from app.flows.deliver import Worker

SHARED = Path(__file__).parents[2] / "shared"
WAIT_SECONDS = 20.0
COUNTY = {  # a second authority that takes reports
    "id": "county", "name": "County", "jurisdiction": "example",
    "shelves": [{"id": "intake", "kind": "cps-report", "role": "recipient"}],
}  # fmt: skip


@dataclass
class Network:
    """What partners' servers were sent, and how they answer: a status, or an exception to raise."""

    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    arrived: threading.Event = field(default_factory=threading.Event)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.sent.append((str(request.url), json.loads(request.content or b"null")))
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
    tenants: list[dict[str, Any]] = field(default_factory=list)
    at: datetime = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
    worker: Worker = field(default_factory=Worker)
    acts: list[tuple[str, str, str]] = field(default_factory=list)  # begun, ended, tenant
    set_back: bool = False
    setting: threading.Lock = field(default_factory=threading.Lock)

    def clock(self) -> datetime:
        """A clock that moves a little at each look, so that no two moments are the same."""
        with self.setting:  # a look of the worker does not undo what a story sets
            self.at += timedelta(milliseconds=1)
            return self.at

    @property
    def now(self) -> datetime:
        """What the clock says; who sets it wakes the worker, which else looks every five real seconds."""
        return self.at

    @now.setter
    def now(self, at: datetime) -> None:
        with self.setting:
            self.set_back |= at < self.at
            self.at = at
        if self.http.portal:
            self.http.portal.call(self.worker.awake.set)

    def until(self, found: Callable[[], Any], *, woken: bool = True) -> Any:
        """What is found, once the worker has come to it, within a bound; the clock goes on meanwhile."""
        until = time.monotonic() + WAIT_SECONDS
        while not (it := found()) and time.monotonic() < until:
            self.at += timedelta(seconds=1)
            if woken:
                self.now = self.at
            time.sleep(0.05)
        assert it, "nothing came of it"
        return it

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named.setdefault("Content-Type", "application/fhir+json")
        begun = fhir.instant(self.at)
        try:
            return self.http.request(
                method, f"/{path}", content=None if body is None else content, headers=named
            )
        finally:
            if method != "GET":
                self.acts.append((begun, fhir.instant(self.at), path.partition("/")[0]))

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return self.call("GET", path, **headers)


@dataclass
class Late:
    """An application that is built where it runs: a pool of connections belongs to one event loop."""

    build: Callable[[], Coroutine[Any, Any, Any]]
    app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.app is None:
            self.app = await self.build()
        await self.app(scope, receive, send)


def basic(client: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client}:{secret}".encode()).decode()


def sqlite_rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


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


def agency_task(exchange: Exchange, shelf: str, task: dict[str, Any]) -> dict[str, Any]:
    """The agency's copy of a clinic's Task, found through the exchange row."""
    found = exchange.rows(
        f"SELECT recipient_task FROM exchange WHERE source_task = 'Task/{task['id']}'"
    )
    return exchange.get(f"agency/{shelf}/fhir/{found[0][0]}").json()
