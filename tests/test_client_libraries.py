"""Python's clients, unchanged, against the running server."""

import asyncio

import fhirpy
import pytest
from fhirpy.base.exceptions import MultipleResourcesFound, OperationOutcome, ResourceNotFound

MRN = "http://fhirpy.example.org"


def test_fhirclient(base):
    """SMART's Python client: searches and what is included, every write, a refusal it understands."""
    client = pytest.importorskip("fhirclient.client", reason="the extra `demo` is not installed")
    from fhirclient.models.patient import Patient
    from fhirclient.models.task import Task
    from fhirclient.server import FHIRNotFoundException

    server = client.FHIRClient({"app_id": "test", "api_base": base}).server
    found = Task.where({"patient": "rosa", "status": "requested", "_sort": "-_lastUpdated"})
    assert [one.id for one in found.perform_resources(server)] == ["t3", "t0"]
    assert Patient.read("rosa", server).name[0].family == "Example"
    assert len(list(Task.where({"_count": "1"}).perform_resources_iter(server))) == 4
    included = Task.where({"_id": "t0"}).include("owner").perform_resources(server)
    assert sorted(one.resource_type for one in included) == ["Organization", "Task"]

    child = Patient({"name": [{"family": "Client"}]})
    child.id = child.create(server)["id"]
    child.gender = "female"
    assert child.update(server)["meta"]["versionId"] == "2"
    assert Patient.read(child.id, server).gender == "female"
    assert child.delete(server) is None
    with pytest.raises(FHIRNotFoundException):
        Patient.read("nobody", server)


async def _searches(client):
    tasks = client.resources("Task")
    assert await tasks.search(status__not="completed").count() == 3
    assert await tasks.search(owner__Organization__name="nor").count() == 4
    assert {one.id for one in await tasks.limit(1).fetch_all()} == {"t0", "t1", "t2", "t3"}
    assert (await tasks.sort("-_lastUpdated").first()).id == "t3"
    assert [one.id for one in await tasks.sort("_id").limit(2).fetch()] == ["t0", "t1"]
    bundle = await tasks.search(_id="t0").include("Task", "owner").fetch_raw()
    assert {one.resource.resource_type for one in bundle.entry} == {"Task", "Organization"}
    bundle = await client.resources("Patient").revinclude("Task", "subject").fetch_raw()
    assert [one.resource.id for one in bundle.entry if one.search.mode == "include"]
    held = client.resources("Patient").search(_id="rosa").has("Task", "patient", status="accepted")
    assert await held.count() == 1
    task = await client.reference("Task", "t0").to_resource()
    assert (await task["owner"].to_resource())["name"] == "North"
    with pytest.raises(MultipleResourcesFound):
        await tasks.search(status="requested").get()
    with pytest.raises(ResourceNotFound):
        await client.get("Task", "none")
    with pytest.raises(OperationOutcome):
        await tasks.search(colour="red").fetch()


async def _writes(client):
    child = client.resource("Patient", name=[{"family": "Fhirpy", "given": ["Luz"]}])
    await child.create()
    child["gender"] = "female"
    await child.update()
    assert (child["meta"]["versionId"], child["gender"]) == ("2", "female")
    await child.patch(birthDate="2020-01-05", gender=None)
    assert (child["birthDate"], child.get("gender")) == ("2020-01-05", None)
    child["active"] = True
    await child.save(fields=["active"])
    assert (child["meta"]["versionId"], child["active"]) == ("4", True)
    again = await client.reference("Patient", child.id).patch(gender="other")
    assert (again["gender"], again["birthDate"]) == ("other", "2020-01-05")
    await child.refresh()  # with If-None-Match: 4, without quotes
    await child.refresh()
    assert (child["gender"], await child.is_valid()) == ("other", True)
    past = await client.execute(f"Patient/{child.id}/_history", method="get")
    assert [one["resource"]["meta"]["versionId"] for one in past["entry"]] == list("54321")
    await child.delete()
    with pytest.raises(ResourceNotFound):
        await client.get("Patient", child.id)


async def _conditions(client):
    named = [{"system": MRN, "value": "1"}]
    wanted = client.resource("Patient", identifier=named)
    search = client.resources("Patient").search(identifier=f"{MRN}|1")
    made, created = await search.get_or_create(wanted)
    again, twice = await search.get_or_create(wanted)
    assert (created, twice, again["id"]) == (True, False, made["id"])
    changed, new = await search.update(
        client.resource("Patient", identifier=named, gender="female")
    )
    assert (changed["id"], changed["gender"], new) == (made["id"], "female", False)
    assert (await search.patch(gender="male"))["gender"] == "male"
    assert (await search.get())["gender"] == "male"
    await search.delete()
    assert await search.count() == 0


def test_fhirpy(base):
    """fhirpy: chains, includes and pages, every write with its patch, and what is conditional."""

    async def use():
        client = fhirpy.AsyncFHIRClient(base)
        await _searches(client)
        await _writes(client)
        await _conditions(client)

    asyncio.run(use())


def test_fhirpy_without_async(base):
    """The same client as scripts use it."""
    client = fhirpy.SyncFHIRClient(base)

    assert {one.id for one in client.resources("Task").limit(3)} == {"t0", "t1", "t2", "t3"}
    made = client.resource("Organization", name="Sync")
    made.save()
    made.patch(active=True)
    assert client.resources("Organization").search(name="sync").get()["active"] is True
    made.delete()
    assert client.resources("Organization").search(name="sync").count() == 0
