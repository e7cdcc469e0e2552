"""What leaves a shelf conforms to the profile of its purpose, and so does what the service makes."""

from __future__ import annotations

import asyncio
import shutil

import pytest
from exchange import refused
from starlette.testclient import TestClient

from app import settings
from app.domain import mappings
from app.errors import MappingError
from app.main import build, open_service
from app.sandbox import family

REFER = "clinic/chart/fhir/$refer"
CHILD = "clinic/chart/fhir/Patient/rosa"


def bundle():
    return family.referral("ServiceRequest/none", consented=True)


def without(resource, *names):
    return {name: value for name, value in resource.items() if name not in names}


def test_what_does_not_conform_does_not_leave(exchange):
    """A child without a name is stored, and its referral refused with what is missing and where."""
    exchange.call("PUT", CHILD, without(family.PATIENT, "name"))
    sent = bundle()
    sent["entry"] = [one for one in sent["entry"] if one["resource"].get("id") != "rosa"]

    issues = refused(exchange.call("POST", REFER, sent), 422)

    assert exchange.get(CHILD).status_code == 200
    assert {one["expression"][0] for one in issues} == {"Patient"}
    assert "name" in issues[0]["details"]["text"]
    assert exchange.rows("SELECT body FROM resource WHERE shelf = 'agency/support'") == []
    assert exchange.rows("SELECT * FROM exchange") == []


def test_a_fault_is_named_where_the_message_has_it(exchange, patient):
    """The place is that of the entry in the Bundle that was sent."""
    sent = bundle()
    (at,) = [
        index
        for index, entry in enumerate(sent["entry"])
        if entry["resource"]["resourceType"] == "ServiceRequest"
    ]
    sent["entry"][at]["resource"].pop("category")

    answer = exchange.call("POST", REFER, sent)

    issues = refused(answer, 422)
    assert {one["expression"][0].partition(".resource")[0] for one in issues} == {
        f"Bundle.entry[{at}]"
    }


def test_what_conforms_leaves(exchange, patient):
    """The same child with a name is referred."""
    assert exchange.call("POST", REFER, bundle()).status_code == 200


def changed(tmp_path, old, new, file="profiles.toml"):
    """The mappings that come with the service, with one line of one file changed."""
    folder = tmp_path / "mappings"
    shutil.copytree(settings.folder("mappings"), folder)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))
    return folder


@pytest.mark.parametrize(
    ("new", "word"),
    [
        ("https://kinbridge.example.org/fhir/StructureDefinition/none", "not loaded"),
        ("http://hl7.org/fhir/us/core/StructureDefinition/us-core-encounter", "of the type"),
    ],
)
def test_a_profile_that_cannot_be_held_to_stops_the_start(tmp_path, new, word):
    """A deployer who names a profile that is not there, or of another type, learns it at once."""
    old = "https://kinbridge.example.org/fhir/StructureDefinition/family-support-task"
    read = settings.read(
        database_url=f"sqlite:///{tmp_path / 'x.db'}", mappings=changed(tmp_path, old, new)
    )

    with pytest.raises(MappingError, match=word):
        asyncio.run(open_service(read))


def test_a_key_that_nobody_knows_stops_the_start(tmp_path):
    """An unknown key or role in profiles.toml is named with its file."""
    with pytest.raises(MappingError, match=r"profiles\.toml"):
        mappings.load(changed(tmp_path, 'role = "recipient"', 'role = "nobody"'))


def test_what_a_rule_shows_is_held_to_something(tmp_path):
    """A type that a disclosure rule lets out, and that no line names, stops the start."""
    row = 'role = "recipient"\ntype = "Location"'
    folder = changed(tmp_path, row, 'role = "source"\ntype = "Location"')

    with pytest.raises(MappingError, match="Location"):
        mappings.load(folder)


def test_what_the_service_makes_wrong_is_its_own_fault(tmp_path, definitions):
    """A proposal that fails its profile is a 500, says which rule, and nothing is stored."""
    old = "https://kinbridge.example.org/fhir/StructureDefinition/help-proposal"
    held = changed(tmp_path, old, old.replace("help-proposal", "family-support-request"))
    read = settings.read(database_url=f"sqlite:///{tmp_path / 'x.db'}", mappings=held)
    answers = family.screening("hunger-vital-sign", ["food-insecurity"])
    app = asyncio.run(build(read, definitions=definitions))

    with TestClient(app, raise_server_exceptions=False) as http:
        http.put(f"/{CHILD}", json=family.PATIENT)
        answer = http.post("/clinic/chart/fhir/$submit-screening", json=answers)
        stored = http.get("/clinic/chart/fhir/Observation/_history").json()

    issues = refused(answer, 500)
    assert [one["code"] for one in issues] == ["exception"]
    assert "ServiceRequest" in issues[0]["details"]["text"]
    assert stored["total"] == 0


def test_a_report_that_the_service_makes_wrong_is_kept(tmp_path, definitions):
    """Our own fault, a copy cut too short, sends nothing; draft and hotline are in the answer."""
    shown = '"code", "extension", "intent", "note"'
    held = changed(tmp_path, shown, shown.replace('"intent", ', ""), "disclosure.toml")
    read = settings.read(database_url=f"sqlite:///{tmp_path / 'x.db'}", mappings=held)
    app = asyncio.run(build(read, definitions=definitions))

    with TestClient(app, raise_server_exceptions=False) as http:
        answer = http.post("/clinic/reports/fhir/$report", json=family.report(by_device=False))
        drafts = http.get("/clinic/reports/fhir/Task?status=draft").json()

    texts = [one["details"]["text"] for one in refused(answer, 500)]
    assert any("555-0100" in one for one in texts)
    assert drafts["total"] == 1
