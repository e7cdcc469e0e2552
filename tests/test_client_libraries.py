"""Clients that nobody here wrote, unchanged, against the running server."""

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path

import httpx2
import pytest
from serving import free_port, ready, start

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kinbridge-tests"
FHIR_KIT = "fhir-kit-client@2.0.3"
TASKS = [
    {
        "resourceType": "Task", "id": f"t{number}", "status": status, "intent": "order",
        "for": {"reference": "Patient/rosa"}, "owner": {"reference": "Organization/north"},
    }
    for number, status in enumerate(["requested", "accepted", "completed", "requested"])
]  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A service with a child, an agency and four Tasks."""
    port = free_port()
    process = start(tmp_path_factory.mktemp("served"), "--port", str(port))
    try:
        ready(f"http://127.0.0.1:{port}")
        url = f"http://127.0.0.1:{port}/clinic/chart/fhir"
        for one in (
            {"resourceType": "Patient", "id": "rosa", "name": [{"family": "Example"}]},
            {"resourceType": "Organization", "id": "north", "name": "North"},
            *TASKS,
        ):
            name = f"{one['resourceType']}/{one['id']}"
            sent = httpx2.put(
                f"{url}/{name}", json=one, headers={"Content-Type": "application/fhir+json"}
            )
            assert sent.status_code == 201
        yield url
    finally:
        process.terminate()
        process.wait(30)


def test_fhirclient(base):
    """SMART's Python client: search with a condition and a sort, read, and what is included."""
    client = pytest.importorskip("fhirclient.client", reason="the extra `demo` is not installed")
    from fhirclient.models.patient import Patient
    from fhirclient.models.task import Task

    server = client.FHIRClient({"app_id": "test", "api_base": base}).server
    found = Task.where({"patient": "rosa", "status": "requested", "_sort": "-_lastUpdated"})

    assert [one.id for one in found.perform_resources(server)] == ["t3", "t0"]
    assert Patient.read("rosa", server).name[0].family == "Example"
    assert len(list(Task.where({"_count": "1"}).perform_resources_iter(server))) == 4


def test_fhirpy(base):
    """fhirpy: searches, chains, includes, counts, pages, get-or-create and update."""
    fhirpy = pytest.importorskip("fhirpy", reason="fhirpy is not installed: pip install fhirpy")

    async def use():
        client = fhirpy.AsyncFHIRClient(base)
        tasks = client.resources("Task")
        assert await tasks.search(status__not="completed").count() == 3
        assert await tasks.search(owner__Organization__name="nor").count() == 4
        assert {one.id async for one in tasks.limit(1)} == {"t0", "t1", "t2", "t3"}
        bundle = await tasks.search(_id="t0").include("Task", "owner").fetch_raw()
        kinds = {one.resource.resource_type for one in bundle.entry}
        assert kinds == {"Task", "Organization"}
        named = {"system": "http://x.example.org", "value": "1"}
        child = client.resource("Patient", identifier=[named])
        search = client.resources("Patient").search(identifier="http://x.example.org|1")
        made, created = await search.get_or_create(child)
        again, twice = await search.get_or_create(child)
        assert (created, twice, again["id"]) == (True, False, made["id"])
        assert await search.count() == 1
        made["gender"] = "female"
        await made.save()
        assert (await search.get())["gender"] == "female"

    asyncio.run(use())


def test_fhir_kit_client(base):
    """fhir-kit-client from npm: CapabilityStatement, search by GET and POST, next pages."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        pytest.skip("node is not at hand")
    if not (CACHE / "node_modules" / "fhir-kit-client").is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        install = [npm, "install", "--silent", "--no-audit", "--prefix", str(CACHE), FHIR_KIT]
        try:
            subprocess.run(install, check=True, timeout=120, capture_output=True)
        except (subprocess.SubprocessError, OSError):
            pytest.skip("npm cannot fetch fhir-kit-client now")
    script = CACHE / f"use-{os.getpid()}.mjs"  # where its modules are found
    script.write_text(f"""
import {{ Client }} from "fhir-kit-client";
(async () => {{
  const client = new Client({{ baseUrl: "{base}" }});
  const stated = await client.capabilityStatement();
  const asked = {{ resourceType: "Task", searchParams: {{ status: "requested", _count: "1" }} }};
  const first = await client.search(asked);
  const second = await client.nextPage({{ bundle: first }});
  const posted = await client.search({{ ...asked, options: {{ postSearch: true }} }});
  const read = await client.read({{ resourceType: "Patient", id: "rosa" }});
  const held = await client.compartmentSearch({{
    resourceType: "Task", compartment: {{ resourceType: "Patient", id: "rosa" }} }});
  console.log(JSON.stringify([stated.fhirVersion, first.entry[0].resource.id,
    second.entry[0].resource.id, posted.entry[0].resource.id, read.id, held.entry.length]));
}})();
""")

    done = subprocess.run([node, script], capture_output=True, timeout=60, check=False)
    script.unlink()

    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == ["4.0.1", "t3", "t0", "t3", "rosa", 4]
