"""A search parameter that is loaded later: `kinbridge reindex`, while the service runs."""

import json
import signal
import subprocess
import sys
import time

import anyio
import pytest
from exchange import refused
from starlette.testclient import TestClient
from typer.testing import CliRunner

from app import conformance, main, settings
from app.cli import app as cli
from app.storage import connection, reindex
from app.storage.parameters import Parameters

CHART = "clinic/chart/fhir"
SHADE = "http://example.org/StructureDefinition/shade"
CUSTOM = {
    "resourceType": "SearchParameter", "url": "http://example.org/SearchParameter/shade",
    "name": "Shade", "status": "active", "description": "x", "code": "shade", "base": ["Patient"],
    "type": "string",
    "expression": f"Patient.extension.where(url = '{SHADE}').value.ofType(string)",
}  # fmt: skip
CHILDREN = 250  # some batches


def child(number, shade):
    """A child; one in a hundred has so many numbers that neither they nor it come with the others."""
    made = {"resourceType": "Patient", "id": f"c{number}",
            "extension": [{"url": SHADE, "valueString": shade}]}  # fmt: skip
    if number % 100 == 7:
        made["identifier"] = [{"system": "urn:many", "value": f"{number}-{n}"} for n in range(400)]
    return made


@pytest.fixture
def stored(exchange):
    """Children that came before the parameter."""
    for start in range(0, CHILDREN, 125):
        entry = [
            {"resource": child(number, "blue" if number % 2 else "green"),
             "request": {"method": "PUT", "url": f"Patient/c{number}"}}
            for number in range(start, start + 125)
        ]  # fmt: skip
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entry}
        assert exchange.call("POST", CHART, bundle).status_code == 200
    return exchange


@pytest.fixture
def asked(stored, request, monkeypatch):
    """The settings of a deployer who has added the parameter."""
    packages = stored.folder / "packages"
    packages.mkdir()
    file = stored.folder / "shade.json"
    file.write_text(json.dumps(CUSTOM))
    monkeypatch.setenv("KINBRIDGE_PACKAGES", str(packages))
    done = CliRunner().invoke(cli, ["profiles", "add", str(file)])
    assert done.exit_code == 0, done.output
    if stored.database_url.startswith("postgresql"):
        monkeypatch.setenv("KINBRIDGE_OWNER_URL", request.getfixturevalue("postgres").url("owner"))
    return settings.read(
        database_url=stored.database_url, public_url="https://exchange.localhost",
        tenants=stored.tenants, packages=packages,
    )  # fmt: skip


@pytest.fixture
def served(stored, asked):
    """The service, started anew with the parameter; built where it runs."""

    async def build(scope, receive, send):
        if not made:
            made.append(await main.build(asked, clock=stored.clock))
        await made[0](scope, receive, send)

    made = []
    with TestClient(build, raise_server_exceptions=False) as client:
        yield client


def ids(client, query):
    bundle = client.get(f"/{CHART}/Patient?{query}&_count=1000").json()
    return {one["resource"]["id"] for one in bundle.get("entry", [])}


def blue(*, but=()):
    return {f"c{number}" for number in range(1, CHILDREN, 2)} - set(but)


def test_a_parameter_that_is_loaded_later_is_refused_until_it_is_indexed(served, asked):
    """Until then a search would miss what stood before; afterwards it finds it, without a new start."""
    issues = refused(served.get(f"/{CHART}/Patient?shade=blue"), 400)
    assert "shade" in issues[0]["details"]["text"]
    assert "kinbridge reindex" in issues[0]["details"]["text"]

    done = CliRunner().invoke(cli, ["reindex", "--database", asked.database_url])

    assert done.exit_code == 0, done.output
    assert f"{CHILDREN} resources" in done.output
    assert ids(served, "shade=BLUE") == blue()
    assert ids(served, "shade:missing=true") == set()
    again = CliRunner().invoke(cli, ["reindex", "--database", asked.database_url])
    assert "0 resources were new" in again.output


def test_a_condition_finds_what_was_indexed_since(served, asked):
    """Who writes by the parameter before anybody has searched by it."""
    green = child(0, "green")
    asked_by = f"/{CHART}/Patient?shade=green&_id=c0"
    refused(served.put(asked_by, json=green), 400)

    done = CliRunner().invoke(cli, ["reindex", "--database", asked.database_url])

    assert done.exit_code == 0, done.output
    assert served.put(asked_by, json={**green, "active": True}).status_code == 200


def run(asked, told):
    """`kinbridge reindex`, with what it calls after each batch."""

    async def use():
        opened = connection.connect(asked.owner_url or asked.database_url)
        try:
            parameters = Parameters(conformance.load(asked.packages))
            return await reindex.run(opened, parameters, asked.shelves, told=told)
        finally:
            await opened.close()

    return anyio.run(use)


class Stopped(Exception):  # noqa: N818
    """The power went."""


def test_a_run_that_is_stopped_goes_on_where_it_was(served, asked):
    """What was done is not done again, and until all is done nothing is answered by half."""
    steps = []

    def stop(done, _total):
        if done:  # a shelf with nothing on it comes before
            steps.append(done)
            raise Stopped

    with pytest.raises(Stopped):
        run(asked, stop)
    refused(served.get(f"/{CHART}/Patient?shade=blue"), 400)

    changed = run(asked, lambda done, _total: steps.append(done))

    assert 0 < steps[0] < CHILDREN
    assert changed == CHILDREN - steps[0]
    assert ids(served, "shade=blue") == blue()


def test_writes_go_on_meanwhile(served, asked):
    """What is written, changed or deleted during a run is found as it stands afterwards."""
    turns = iter(range(100))

    def write(done, _total):
        if not done or next(turns):
            return
        for number, shade in ((0, "blue"), (1, "red"), (248, "blue"), (249, "red"), (999, "blue")):
            sent = served.put(f"/{CHART}/Patient/c{number}", json=child(number, shade))
            assert sent.status_code in {200, 201}
        for number in (3, 247):
            assert served.delete(f"/{CHART}/Patient/c{number}").status_code == 204

    run(asked, write)

    assert ids(served, "shade=blue") == blue(but=("c1", "c3", "c247", "c249")) | {
        "c0", "c248", "c999",
    }  # fmt: skip
    assert ids(served, "shade=red") == {"c1", "c249"}


def test_a_run_that_is_killed_loses_nothing(served, asked, stored):
    """Killed by -9 in the middle, then once more: every child is found, once."""
    url = asked.database_url
    command = [sys.executable, "-m", "app.cli", "reindex", "--database", url]
    killed = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    until = time.monotonic() + 60
    while killed.poll() is None and time.monotonic() < until:
        if stored.rows("SELECT 1 FROM indexed WHERE package = ''"):
            break
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait(30)

    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=90)

    assert done.returncode == 0, done.stderr
    assert ids(served, "shade=blue") == blue()
    assert ids(served, "shade=green") == {f"c{number}" for number in range(0, CHILDREN, 2)}
