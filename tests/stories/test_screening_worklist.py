"""What maps nowhere yet is kept, listed, and completed when it is mapped; and whom it is about."""

import contextlib
import json
import shutil
import time

import pytest
from exchange import Late, resources
from starlette.testclient import TestClient
from typer.testing import CliRunner

from app import settings
from app.cli import app as cli
from app.main import build

CHART = "clinic/chart/fhir"
SUBMIT = f"{CHART}/$submit-screening"
QR = f"{CHART}/QuestionnaireResponse"
LOCAL = "https://clinic.example.org/flowsheet"
CROSSWALK = f"""
tenant = "clinic"
[[questions]]
system = "{LOCAL}"
code = "food-1"
instrument = "hunger-vital-sign"
question = "88122-7"
[[answers]]
instrument = "hunger-vital-sign"
question = "88122-7"
text = "oft"
answer = "LA28397-0"
"""
HOUSE = f"""
id = "house"
name = "House form"
system = "{LOCAL}"
panels = [{{ code = "house", label = "House form" }}]
[[questions]]
code = "heat"
label = "Heating"
categories = ["inadequate-housing"]
answers = [
  {{ code = "works", label = "Works", need = "no", evidence = "authors" }},
  {{ code = "broken", label = "Broken", need = "yes", evidence = "authors" }},
]
"""


def hunger(answer, link="/88122-7", **more):
    return {
        "resourceType": "QuestionnaireResponse",
        "status": "completed",
        "subject": {"reference": "Patient/rosa"},
        "authored": "2026-11-23T09:15:00Z",
        "item": [{"linkId": link, "answer": [answer]}],
        **more,
    }


def row(code, text, **more):
    survey = "http://terminology.hl7.org/CodeSystem/observation-category"
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"system": survey, "code": "survey"}]}],
        "code": {"coding": [{"system": LOCAL, "code": code}]},
        "subject": {"reference": "Patient/rosa"},
        "effectiveDateTime": "2026-11-23T09:15:00Z",
        "valueString": text,
        **more,
    }


def ours(exchange):
    """What we made and stands, by its question."""
    found = {}
    for (body,) in exchange.rows("SELECT body FROM resource WHERE type = 'Observation'"):
        one = json.loads(bytes(body))
        if one["meta"].get("source", "").startswith("https://kinbridge.example.org/"):
            found[one["code"]["coding"][0]["code"]] = one
    return found


def waiting(exchange):
    """(kind, system, code, text) of what is listed."""
    said = exchange.get(f"{CHART}/$unmapped").json().get("parameter", [])
    parts = [{part["name"]: part.get("valueString") for part in one["part"]} for one in said]
    return [tuple(one.get(name) for name in ("kind", "system", "code", "text")) for one in parts]


def load(exchange, text=CROSSWALK):
    """Brings a crosswalk in beside the running service, as an informaticist does."""
    file, config = exchange.folder / "crosswalk.toml", exchange.folder / "kinbridge.toml"
    file.write_text(text)
    config.write_text("")
    options = ["--database", exchange.database_url, "--config", str(config)]
    done = CliRunner().invoke(cli, ["map", "load", str(file), *options])
    assert done.exit_code == 0, done.output
    return done.output


def test_words_that_nobody_knows_are_kept_without_a_verdict(exchange, patient):
    """An answer in other words is recorded as it was said, judged by nobody, and listed."""
    resources(exchange.call("POST", SUBMIT, hunger({"valueString": "oft"})))

    said = ours(exchange)["88122-7"]
    assert said["valueCodeableConcept"] == {"text": "oft"}
    assert "interpretation" not in said
    assert "88124-3" not in ours(exchange)
    assert waiting(exchange) == [("answer", None, None, "oft")]


def test_the_crosswalk_completes_what_waited_and_makes_nothing_twice(exchange, patient):
    """Once the words are mapped, the same Observation says so, with its verdict and result."""
    resources(exchange.call("POST", SUBMIT, hunger({"valueString": " Oft"})))
    before = ours(exchange)["88122-7"]

    assert "1 of 1" in load(exchange)

    after = ours(exchange)["88122-7"]
    assert after["id"] == before["id"]
    assert after["valueCodeableConcept"]["coding"][0]["code"] == "LA28397-0"
    assert after["valueCodeableConcept"]["text"] == " Oft"
    assert "interpretation" in after
    assert ours(exchange)["88124-3"]["valueCodeableConcept"]["coding"][0]["code"] == "LA19952-3"
    assert waiting(exchange) == []
    count = exchange.rows("SELECT type, count(*) FROM resource GROUP BY type ORDER BY type")
    assert "0 of 0" in load(exchange)
    again = exchange.rows("SELECT type, count(*) FROM resource GROUP BY type ORDER BY type")
    assert again == count


@pytest.fixture
def restarted(exchange, definitions, parameters):
    """Starts the service again on the same database, with these mappings beside those that ship."""

    @contextlib.contextmanager
    def start(**files):
        folder = exchange.folder / "mappings"
        shutil.copytree(settings.folder("mappings"), folder, dirs_exist_ok=True)
        for name, text in files.items():
            place = folder / name / "house.toml"
            place.parent.mkdir(exist_ok=True)
            place.write_text(text)
        read = settings.read(
            database_url=exchange.database_url, tenants=exchange.tenants, mappings=folder
        )
        stand_ins = {"definitions": definitions, "parameters": parameters, "clock": exchange.clock}
        with TestClient(Late(lambda: build(read, **stand_ins))) as client:
            client.get("/health/live")
            yield client

    return start


def settles(exchange, count):
    """Waits until as many are on the worklist; half a minute at most."""
    until = time.monotonic() + 30
    while exchange.rows("SELECT count(*) FROM worklist") != [(count,)]:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_crosswalk_among_the_mappings_completes_what_waited_by_itself(
    exchange, patient, restarted
):
    """Who adds a file and starts again has nothing else to do, and a second start makes nothing new."""
    exchange.call("POST", QR, hunger({"valueString": "oft"}))
    exchange.call("POST", f"{CHART}/Observation", row("food-1", "oft"))
    exchange.call("POST", f"{CHART}/Observation", row("nobody-knows", "oft"))
    assert "88124-3" not in ours(exchange)
    settles(exchange, 3)

    with restarted(crosswalks=CROSSWALK):
        settles(exchange, 1)  # the row that no crosswalk has

    counted = "SELECT type, count(*), sum(version) FROM resource GROUP BY type ORDER BY type"
    made = exchange.rows(counted)
    assert ("Condition", 2, 2) in made
    bodies = exchange.rows("SELECT body FROM resource WHERE type = 'Observation'")
    assert (
        sum(b"LA19952-3" in bytes(body) for (body,) in bodies) == 2
    )  # at risk, in each of the two
    with restarted(crosswalks=CROSSWALK) as client:
        assert client.get("/health/ready").status_code == 200
    assert exchange.rows(counted) == made


def test_an_instrument_that_comes_later_reads_what_waited_for_it(exchange, patient, restarted):
    """A question of a house form waits until somebody says what it asks."""
    exchange.call("POST", f"{CHART}/Observation", row("heat", "broken"))
    assert ours(exchange) == {}

    with restarted(instruments=HOUSE):
        settles(exchange, 0)

    assert ours(exchange)["heat"]["valueCodeableConcept"]["coding"][0]["code"] == "broken"


def test_a_flowsheet_row_completes_with_the_crosswalk(exchange, patient):
    """A local code that maps nowhere makes nothing; mapped, the row that stands is read."""
    exchange.call("POST", f"{CHART}/Observation", row("food-1", "Often true"))
    assert ours(exchange) == {}
    assert waiting(exchange) == [("question", LOCAL, "food-1", None)]

    load(exchange)

    assert set(ours(exchange)) == {"88121-9", "88122-7", "88124-3"}
    assert waiting(exchange) == []


def test_what_is_mapped_is_read_at_once(exchange, patient):
    """With the crosswalk loaded, the next row needs nobody."""
    load(exchange)

    exchange.call("POST", f"{CHART}/Observation", row("food-1", "oft"))

    assert "interpretation" in ours(exchange)["88122-7"]


def test_another_environment_is_another_crosswalk(exchange, patient):
    """The codes of a test system say nothing about those of the real one."""
    file = exchange.folder / "crosswalk.toml"
    file.write_text(
        CROSSWALK.replace('tenant = "clinic"', 'tenant = "clinic"\nenvironment = "test"')
    )
    options = ["--database", exchange.database_url]

    done = CliRunner().invoke(cli, ["map", "load", str(file), *options])

    assert done.exit_code == 2
    assert "no chart in test" in done.output
    exchange.call("POST", f"{CHART}/Observation", row("food-1", "oft"))
    assert ours(exchange) == {}


def test_a_crosswalk_to_nowhere_is_refused(exchange, patient):
    """A row that leads to no loaded question or answer is named, and nothing is loaded."""
    file = exchange.folder / "crosswalk.toml"
    file.write_text(CROSSWALK.replace("LA28397-0", "LA33-6"))

    done = CliRunner().invoke(cli, ["map", "load", str(file), "--database", exchange.database_url])

    assert done.exit_code == 2
    assert "88122-7 has no answer LA33-6" in done.output


def test_the_codes_of_a_form_on_the_shelf_are_its_items(exchange, patient):
    """A house form's linkIds say nothing; its Questionnaire on the shelf does."""
    url = "https://clinic.example.org/forms/intake"
    item = {
        "linkId": "q7",
        "type": "choice",
        "code": [{"system": "http://loinc.org", "code": "88122-7"}],
    }
    exchange.call("PUT", f"{CHART}/Questionnaire/intake", {
        "resourceType": "Questionnaire", "id": "intake", "url": url, "status": "active",
        "item": [{"linkId": "g", "type": "group", "item": [item]}],
    })  # fmt: skip
    answer = {"valueCoding": {"system": "http://loinc.org", "code": "LA28397-0"}}

    resources(exchange.call("POST", SUBMIT, hunger(answer, "q7", questionnaire=url)))

    assert "interpretation" in ours(exchange)["88122-7"]


def test_a_contained_form_says_what_its_items_ask(exchange, patient):
    """A response that brings its form along needs nothing else."""
    item = {
        "linkId": "q7",
        "type": "choice",
        "code": [{"system": "http://loinc.org", "code": "88122-7"}],
    }
    form = {"resourceType": "Questionnaire", "id": "f", "status": "active", "item": [item]}
    answer = {"valueCoding": {"system": "http://loinc.org", "code": "LA28398-8"}}

    said = hunger(answer, "q7", questionnaire="#f", contained=[form])
    resources(exchange.call("POST", SUBMIT, said))

    assert "88122-7" in ours(exchange)


def test_a_patient_is_matched_by_identifier(exchange, patient):
    """An EHR that knows its number alone finds the child that the shelf has."""
    number = {"system": "https://ehr.example.org/mrn", "value": "100-42"}
    answer = {"valueCoding": {"system": "http://loinc.org", "code": "LA28397-0"}}

    resources(exchange.call("POST", SUBMIT, hunger(answer, subject={"identifier": number})))

    assert ours(exchange)["88122-7"]["subject"] == {"reference": "Patient/rosa"}


def test_a_patient_that_nobody_has_is_made_once(exchange):
    """Two forms about one unknown number make one patient."""
    number = {"system": "https://ehr.example.org/mrn", "value": "9"}
    for code in ("LA28397-0", "LA28398-8"):
        answer = {"valueCoding": {"system": "http://loinc.org", "code": code}}
        resources(exchange.call("POST", SUBMIT, hunger(answer, subject={"identifier": number})))

    made = exchange.rows("SELECT id FROM resource WHERE type = 'Patient'")
    assert len(made) == 1
    assert ours(exchange)["88122-7"]["subject"] == {"reference": f"Patient/{made[0][0]}"}


def test_a_message_about_an_unknown_patient_waits_for_it(exchange):
    """A form that comes before its patient is kept, and read when the patient comes."""
    answer = {"valueCoding": {"system": "http://loinc.org", "code": "LA28397-0"}}
    assert exchange.call("POST", QR, hunger(answer)).status_code == 201
    assert ours(exchange) == {}
    assert waiting(exchange)[0][0] == "patient"

    exchange.call("PUT", f"{CHART}/Patient/rosa", {"resourceType": "Patient", "id": "rosa"})

    assert "interpretation" in ours(exchange)["88122-7"]
    assert waiting(exchange) == []


def test_two_patients_that_are_one_are_linked_and_parted_again(exchange, patient):
    """Of two records with one number nothing is guessed; linked, what waited is read; and undone."""
    number = [{"system": "https://ehr.example.org/mrn", "value": "100-42"}]
    twin = {"resourceType": "Patient", "id": "twin", "identifier": number}
    exchange.call("PUT", f"{CHART}/Patient/twin", twin)
    answer = {"valueCoding": {"system": "http://loinc.org", "code": "LA28397-0"}}
    exchange.call("POST", QR, hunger(answer, subject={"identifier": number[0]}))
    assert ours(exchange) == {}
    both = {"resourceType": "Parameters", "parameter": [
        {"name": "source", "valueReference": {"reference": "Patient/twin"}},
        {"name": "target", "valueReference": {"reference": "Patient/rosa"}},
    ]}  # fmt: skip

    resources(exchange.call("POST", f"{CHART}/Patient/$link", both))

    assert ours(exchange)["88122-7"]["subject"] == {"reference": "Patient/rosa"}
    linked = exchange.get(f"{CHART}/Patient/twin").json()
    assert linked["link"] == [{"other": {"reference": "Patient/rosa"}, "type": "replaced-by"}]
    assert linked["active"] is False

    resources(exchange.call("POST", f"{CHART}/Patient/$unlink", both))

    assert "link" not in exchange.get(f"{CHART}/Patient/twin").json()
    assert "link" not in exchange.get(f"{CHART}/Patient/rosa").json()
