"""The exchange as its callers see it: over HTTP, with a clock that stands and a network that is ours."""

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import accounted
import httpx2
import loaded
import pytest
from exchange import SHARED, Exchange, Late, Network, agency_task, basic, resources, sqlite_rows
from postgres import Postgres
from serving import free_port, ready, start
from starlette.testclient import TestClient
from typer.testing import CliRunner

from app import settings
from app.cli import app as cli
from app.conformance import Definitions
from app.main import build
from app.partners import Partners
from app.sandbox import family
from app.storage import migration
from app.storage.parameters import Parameters


def in_memory() -> str | None:
    """Where files are in memory, if there is room for those of a few workers: a disk costs a story 50 ms."""
    folder = Path("/dev/shm")
    if folder.is_dir() and shutil.disk_usage(folder).free > 4 * 2**30:
        return str(folder)
    return None


def pytest_configure(config):
    """What stories write is written to memory; what faults/ writes, to the disk that it is about."""
    if folder := in_memory():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", folder)


def pytest_collection_modifyitems(items):
    """A test that needs ../shared is skipped, with the reason, where that folder is missing."""
    if not SHARED.is_dir():
        missing = pytest.mark.skip(reason="../shared does not stand beside this checkout")
        for item in items:
            if "shared" in item.keywords:
                item.add_marker(missing)


def _tenants(endpoints: dict[str, str], strict: set[str]) -> list[dict[str, Any]]:
    def shelf(tenant: str, name: str, kind: str, role: str) -> dict[str, Any]:
        made = {"id": name, "kind": kind, "role": role, "strict": f"{tenant}/{name}" in strict}
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


@pytest.fixture
def origins() -> tuple[str, ...]:
    """Whose pages may call from a browser; none unless a story says so."""
    return ()


@pytest.fixture
def strict() -> set[str]:
    """Shelves that are set to strict."""
    return set()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server with the tables in it."""
    server = Postgres.made(within=in_memory())
    yield server
    server.end()


@pytest.fixture
def tenants(endpoints, strict) -> list[dict[str, Any]]:
    """Who takes part; a story may say otherwise."""
    return _tenants(endpoints, strict)


@pytest.fixture(scope="module", autouse=True)
def _stays() -> None:
    loaded.stays()


@pytest.fixture(scope="session")
def definitions() -> Definitions:
    """What comes with the service, compiled once for all stories."""
    return loaded.definitions()


@pytest.fixture(scope="session")
def parameters() -> Parameters:
    """Their search parameters."""
    return loaded.parameters()


@pytest.fixture(scope="session")
def tables(tmp_path_factory) -> Path:
    """A SQLite file with the tables and nothing in them, to be copied."""
    made = tmp_path_factory.mktemp("tables") / "empty.db"
    migration.migrate(f"sqlite:///{made}")
    return made


@pytest.fixture(params=["sqlite", "postgres"])
def exchange(request, tmp_path, tenants, tables, origins) -> Iterator[Exchange]:
    network = Network()
    file = tmp_path / "exchange.db"
    url, rows = f"sqlite:///{file}", partial(sqlite_rows, file)
    if request.param == "sqlite":
        shutil.copyfile(tables, file)
    else:
        server = request.getfixturevalue("postgres")
        server.empty()
        url, rows = server.url(), server.rows
    read = settings.read(
        database_url=url,
        public_url="https://exchange.localhost",
        max_body_bytes=200_000,
        max_binary_bytes=1_000_000,
        retry_first_seconds=0.01,
        retry_longest_seconds=0.02,
        cors_origins=origins,
        tenants=tenants,
    )
    made = Exchange(None, network, tmp_path, url, rows, tenants)  # type: ignore[arg-type]
    partners = Partners(transport=httpx2.MockTransport(network))
    ours = {"partners": partners, "clock": made.clock, "worker": made.worker}
    app = Late(lambda: build(read, **ours, **loaded.stand_ins()))
    with TestClient(app, raise_server_exceptions=False) as client:
        made.http = client
        yield made
    if request.param == "sqlite":  # the other is planned by the same code
        assert accounted.faults(made) == []


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path, tables) -> str:
    """An empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{shutil.copyfile(tables, tmp_path / 'empty.db')}"
    server = request.getfixturevalue("postgres")
    server.empty()
    return server.url()


@pytest.fixture
def patient(exchange) -> dict[str, Any]:
    """A child on the clinic's chart."""
    answer = exchange.call("PUT", "clinic/chart/fhir/Patient/rosa", family.PATIENT)
    assert answer.status_code == 201
    return answer.json()


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


@pytest.fixture
def register(exchange) -> Callable[..., str]:
    """Register a client from the command line, as an administrator does: its Authorization header."""

    def add(client: str, shelf: str, *scopes: str) -> str:
        url = exchange.database_url
        done = CliRunner().invoke(cli, ["client", "add", client, shelf, *scopes, "--database", url])
        assert done.exit_code == 0, done.output
        secret = next(
            line.split()[1] for line in done.output.splitlines() if line.startswith("secret")
        )
        return basic(client, secret)

    return add


@pytest.fixture(scope="session")
def cache() -> Path:
    """Where what was fetched for the tests stays, so that it is fetched once."""
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kinbridge-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Iterator[str]:
    """A chart on a running service, for clients that nobody here wrote: a child, an agency, four Tasks."""
    port = free_port()
    log = tmp_path_factory.mktemp("log") / "served.log"
    process = start(tmp_path_factory.mktemp("served"), "--port", str(port), log=log)
    tasks = [
        {"resourceType": "Task", "id": f"t{number}", "status": status, "intent": "order",
         "for": {"reference": "Patient/rosa"}, "owner": {"reference": "Organization/north"}}
        for number, status in enumerate(["requested", "accepted", "completed", "requested"])
    ]  # fmt: skip
    try:
        ready(f"http://127.0.0.1:{port}")
        url = f"http://127.0.0.1:{port}/clinic/chart/fhir"
        for one in (
            {"resourceType": "Patient", "id": "rosa", "name": [{"family": "Example"}]},
            {"resourceType": "Organization", "id": "north", "name": "North"},
            *tasks,
        ):
            sent = httpx2.put(f"{url}/{one['resourceType']}/{one['id']}", json=one)
            assert sent.status_code == 201
        yield url
    finally:
        process.terminate()
        process.wait(30)
