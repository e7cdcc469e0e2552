"""What the doors of a chart refuse, warn of, show beforehand, and never do."""

import json
import random
import tomllib
from pathlib import Path

import pytest
from exchange import refused, resources
from pydantic import ValidationError
from typer.testing import CliRunner

from app.cli import app as cli
from app.domain import drafting
from app.domain.instrument import Instrument
from app.sandbox import family

CHART = "clinic/chart/fhir"
SUBMIT = f"{CHART}/$submit-screening"
QR = f"{CHART}/QuestionnaireResponse"
ROOT = Path(__file__).parents[2]
LOINC = "http://loinc.org"
DOMAIN = "http://hl7.org/fhir/us/sdoh-clinicalcare/CodeSystem/SDOHCC-CodeSystemTemporaryCodes"


def item(link, *codes):
    return {
        "linkId": link,
        "answer": [{"valueCoding": {"system": LOINC, "code": one}} for one in codes],
    }


def form(*items, canonical="http://loinc.org/q/88121-9", **more):
    return {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": canonical,
        "status": "completed",
        "subject": {"reference": "Patient/rosa"},
        "authored": "2026-11-23T09:15:00Z",
        "item": list(items),
        **more,
    }


GOOD = item("/88123-5", "LA28397-0")
DEPENDS = {
    "resourceType": "Questionnaire", "id": "f", "status": "active",
    "item": [
        {"linkId": "/88123-5", "type": "choice"},
        {"linkId": "/88122-7", "type": "choice", "enableWhen": [
            {"question": "/88123-5", "operator": "=",
             "answerCoding": {"system": LOINC, "code": "LA28398-8"}}]},
    ],
}  # fmt: skip
WORRIED = item("/88122-7", "LA28397-0")
FAULTS = {
    "outside the list": (form(item("/88122-7", "LA33-6"), GOOD), "item[0].answer[0]"),
    "wrong type": (
        form({"linkId": "/88122-7", "answer": [{"valueBoolean": True}]}, GOOD), "item[0].answer[0]"),
    "two answers": (form(item("/88122-7", "LA28397-0", "LA28398-8"), GOOD), "item[0].answer[0]"),
    "not enabled": (form(WORRIED, GOOD, canonical="#f", contained=[DEPENDS]), "item[0]"),
    "future": (form(WORRIED, GOOD, authored="2031-01-01T00:00:00Z"), "authored"),
    "no subject": ({key: value for key, value in form(WORRIED, GOOD).items() if key != "subject"},
                   "subject"),
    "a group as subject": (form(WORRIED, GOOD, subject={"reference": "Group/g"}), "subject"),
    "no question": (form(item("/99999-9", "LA33-6"), GOOD), "item[0].answer[0]"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_has_its_own_refusal_at_the_strict_door(exchange, patient, kind):
    """What is wrong is named at its place, and nothing is made."""
    sent, place = FAULTS[kind]

    issues = refused(exchange.call("POST", SUBMIT, sent), 422)

    places = {one for issue in issues for one in issue.get("expression", [])}
    assert f"QuestionnaireResponse.{place}" in places
    assert exchange.rows("SELECT count(*) FROM resource WHERE type <> 'Patient'") == [(0,)]


def test_each_fault_has_its_own_words(exchange, patient):
    """No two kinds of fault are told alike."""
    said = {
        kind: exchange.call("POST", SUBMIT, sent).json()["issue"][0]["details"]["text"]
        for kind, (sent, _) in FAULTS.items()
    }

    assert len(set(said.values())) == len(said)


@pytest.mark.parametrize("kind", FAULTS)
def test_a_plain_door_keeps_it_warns_and_makes_what_is_sound(exchange, patient, kind):
    """What came is stored whole; the good answer beside the bad one is read where it can be."""
    sent, place = FAULTS[kind]

    answer = exchange.call("POST", QR, sent, Prefer="return=OperationOutcome")

    assert answer.status_code == 201
    warned = [one for one in answer.json()["issue"] if one["severity"] == "warning"]
    assert f"QuestionnaireResponse.{place}" in {one["expression"][0] for one in warned}
    made = exchange.rows("SELECT count(*) FROM resource WHERE type = 'Observation'")[0][0]
    # the panel, the good answer and its result; without a time or a patient there is nothing
    assert made == (0 if kind in {"future", "no subject", "a group as subject"} else 3)


def test_a_batch_loses_nothing_for_one_bad_screening(exchange, patient):
    """In a batch each stands for itself, at the operation and at the base."""
    entries = [
        {"resource": one, "request": {"method": "POST", "url": "QuestionnaireResponse"}}
        for one in (FAULTS["outside the list"][0], form(GOOD))
    ]
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": entries}

    answer = exchange.call("POST", SUBMIT, bundle).json()

    assert [one["response"]["status"][:3] for one in answer["entry"]] == ["422", "200"]
    assert len(answer["entry"][1]["resource"]["entry"]) == 6


def test_a_score_that_was_sent_and_differs_is_named(exchange, patient):
    """The computed one stands; the one that was sent stays in the form, with a warning."""
    answer = exchange.call("POST", SUBMIT, form(WORRIED, item("/88124-3", "LA19983-8")))

    made = resources(answer)
    result = next(
        one for one in made if one.get("code", {}).get("coding", [{}])[0].get("code") == "88124-3"
    )
    assert result["valueCodeableConcept"]["coding"][0]["code"] == "LA19952-3"
    (issue,) = made[-1]["issue"]
    assert issue["severity"] == "warning"
    assert issue["expression"] == ["QuestionnaireResponse.item[1].answer[0]"]


def test_a_dry_run_shows_everything_and_writes_nothing(exchange, patient):
    """Each field with its fate, each resource with its check, and the database as it was."""
    before = exchange.rows("SELECT count(*) FROM resource")
    sent = form(WORRIED, {"linkId": "/88123-5", "answer": [{"valueString": "oft"}]},
                item("help-wish"), language="en")  # fmt: skip
    sent["item"][2]["answer"] = [{"valueCoding": {"system": DOMAIN, "code": "food-insecurity"}}]

    for door in (SUBMIT, QR):
        answer = exchange.call("POST", f"{door}?dry-run=true", sent)

        seen = resources(answer)
        lines = {
            issue["expression"][0]: issue["details"]["coding"][0]["code"]
            for issue in seen[0]["issue"]
            if issue["details"].get("coding", [{}])[0].get("code")
            in {"taken", "ignored", "unmapped"}
        }
        assert lines["QuestionnaireResponse.item[0].answer[0]"] == "taken"
        assert lines["QuestionnaireResponse.item[1].answer[0]"] == "unmapped"
        assert lines["QuestionnaireResponse.item[2].answer[0]"] == "taken"
        assert lines["QuestionnaireResponse.subject"] == "taken"
        assert lines["QuestionnaireResponse.language"] == "ignored"
        kinds = [one["resourceType"] for one in seen[1:]]
        assert kinds.count("Observation") == 5
        assert kinds.count("ServiceRequest") == 1
        kept = [one for one in seen[0]["issue"] if one["details"]["text"].startswith("Keeps ")]
        assert len(kept) == len(kinds)
    assert exchange.rows("SELECT count(*) FROM resource") == before
    assert exchange.rows("SELECT * FROM worklist") == exchange.rows("SELECT * FROM receipt") == []


def positives():
    """Every way in for every instrument, all answers that could be a need, and every wish."""
    chance = random.Random(9)
    loaded = [
        tomllib.loads(path.read_text())
        for path in sorted((ROOT / "mappings/instruments").glob("*.toml"))
    ]
    ways = [(one, way) for one in loaded for way in ("response", "rows", "row")]
    for number in range(500):
        instrument, way = ways[number % len(ways)]
        asked = [one for one in instrument["questions"] if one.get("answers")]
        picked = [
            (one["code"], chance.choice([each["code"] for each in one["answers"]
                                         if each.get("need") == "yes" or each.get("score")] or ["LA33-6"]))
            for one in chance.sample(asked, 1 if way == "row" else min(3, len(asked)))
        ]  # fmt: skip
        when = f"2026-{1 + number % 11:02}-{1 + number % 28:02}T09:{number % 60:02}:00Z"
        wish = {"system": DOMAIN, "code": "food-insecurity"}
        if way == "response":
            items = [item(code, answer) for code, answer in picked]
            items.append({"linkId": "help-wish", "answer": [{"valueCoding": wish}]})
            yield (
                "QuestionnaireResponse",
                form(*items, canonical=instrument["canonicals"][0], authored=when),
            )
        else:
            category = "http://terminology.hl7.org/CodeSystem/observation-category"
            rows = [
                {"resourceType": "Observation", "status": "final", "effectiveDateTime": when,
                 "category": [{"coding": [{"system": category, "code": "survey"}]}],
                 "subject": {"reference": "Patient/rosa"},
                 "code": {"coding": [{"system": LOINC, "code": code}]},
                 "valueCodeableConcept": {"coding": [{"system": LOINC, "code": answer}]}}
                for code, answer in picked
            ]  # fmt: skip
            yield ("Observation", rows[0]) if way == "row" else ("rows", rows)


def test_five_hundred_positives_reach_no_agency(exchange, patient):
    """Whatever families answer and wish, by every way in, child welfare sees nothing of it."""
    for kind, sent in positives():
        if kind == "rows":
            entries = [
                {"resource": one, "request": {"method": "POST", "url": "Observation"}}
                for one in sent
            ]
            bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
            assert exchange.call("POST", CHART, bundle).status_code == 200
        else:
            assert exchange.call("POST", f"{CHART}/{kind}", sent).status_code in {200, 201}

    marked = exchange.rows("SELECT body FROM resource WHERE type = 'Observation'")
    assert sum(b"ObservationInterpretation" in bytes(body) for (body,) in marked) > 500
    assert exchange.rows("SELECT count(*) FROM resource WHERE shelf <> 'clinic/chart'") == [(0,)]
    assert exchange.rows("SELECT count(*) FROM resource WHERE type = 'Task'") == [(0,)]
    for table in ("outbox", "attempt", "ledger", "exchange", "event"):
        assert exchange.rows(f"SELECT count(*) FROM {table}") == [(0,)], table
    for shelf in ("agency/support", "agency/intake", "pantry/support", "clinic/reports"):
        assert not exchange.get(f"{shelf}/fhir/_history").json().get("entry"), shelf
    assert exchange.network.sent == []


def test_the_command_line_shows_what_a_file_would_become(tmp_path):
    """An informaticist sees, without a database, what is taken, what not, and what it becomes."""
    file = tmp_path / "form.json"
    file.write_text(
        json.dumps(form(WORRIED, {"linkId": "/88123-5", "answer": [{"valueString": "oft"}]}))
    )

    done = CliRunner().invoke(cli, ["map", str(file)])

    assert done.exit_code == 0, done.output
    assert "taken       QuestionnaireResponse.item[0].answer[0]" in done.output
    assert "unmapped    QuestionnaireResponse.item[1].answer[0]" in done.output
    assert "88124-3  Food insecurity risk" in done.output
    assert "keeps http://hl7.org/fhir/us/sdoh-clinicalcare" in done.output


def test_a_rule_that_is_signed_off_gives_its_verdict(tmp_path):
    """An analyst's rule is off; with a name and a date it is on; what is never a need stays so."""
    import shutil

    folder, file = tmp_path / "mappings", tmp_path / "form.json"
    shutil.copytree(ROOT / "mappings", folder)
    file.write_text(
        json.dumps(form(item("93033-9", "LA33-6"), canonical="http://loinc.org/q/93025-5"))
    )

    def verdicts():
        done = CliRunner().invoke(
            cli, ["map", str(file), "--mappings", str(folder), "--format", "json"]
        )
        return sum("interpretation" in one["resource"] for one in json.loads(done.stdout)["entry"])

    def sign(*rule):
        line = [
            "map",
            "sign-off",
            *rule,
            "--by",
            "Dr. Ada Lin",
            "--on",
            "2026-11-25",
            "--mappings",
            str(folder),
        ]
        return CliRunner().invoke(cli, line)

    assert verdicts() == 0
    assert sign("prapare", "93033-9", "LA33-6").exit_code == 0
    assert verdicts() == 1
    assert sign("prapare", "93033-9", "LA33-6").exit_code == 2
    assert "never a need" in sign("prapare", "82589-3", "LA30191-3").output
    assert sign("prapare", "71802-3", "LA30190-5").exit_code == 2


def test_a_house_form_is_drafted_from_its_questionnaire(tmp_path):
    """Codes, answers and extraction marks become a file that loads; no verdict is guessed."""
    url = "https://clinic.example.org/forms/house"
    extract = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-observationExtract"
    marked = [{"url": extract, "valueBoolean": True}]
    form_ = {
        "resourceType": "Questionnaire", "url": url, "title": "House form", "status": "active",
        "item": [{"linkId": "g", "type": "group", "item": [
            {"linkId": "heat", "text": "Heat", "type": "choice", "extension": marked,
             "answerOption": [{"valueString": "Works"}, {"valueString": "Broken"}]},
            {"linkId": "people", "text": "People", "type": "integer", "extension": marked},
            {"linkId": "note", "text": "Note", "type": "text"},
            {"linkId": "help-wish", "type": "choice", "extension": marked},
        ]}],
    }  # fmt: skip
    import shutil

    text = drafting.draft(form_)
    folder, file = tmp_path / "mappings", tmp_path / "form.json"
    shutil.copytree(ROOT / "mappings", folder)
    (folder / "instruments" / "house-form.toml").write_text(text)
    answer = {"linkId": "heat", "answer": [{"valueString": "broken"}]}
    file.write_text(json.dumps(form(answer, canonical=url)))

    done = CliRunner().invoke(cli, ["map", str(file), "--mappings", str(folder)])

    assert [one["code"] for one in tomllib.loads(text)["questions"]] == ["heat", "people"]
    assert done.exit_code == 0, done.output
    assert (
        "keeps http://hl7.org/fhir/us/core/StructureDefinition/us-core-simple-observation"
        in done.output
    )


def test_a_new_user_comes_from_an_empty_folder_to_a_form_of_the_house(tmp_path, monkeypatch):
    """The steps of docs/add-an-instrument.md, as they stand there; each mistake names file and key."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KINBRIDGE_MAPPINGS", "my-mappings")
    text = (ROOT / "docs/add-an-instrument.md").read_text()
    house = text.split("house-form.toml <<'END'\n")[1].split("END\n")[0]
    file = Path("my-mappings/instruments/house-form.toml")
    url = "https://clinic.example.org/forms/house"
    answers = {"heat": "broken", "want-help": "yes"}
    items = [
        {"linkId": link, "answer": [{"valueCoding": {"system": url, "code": code}}]}
        for link, code in answers.items()
    ]
    Path("response.json").write_text(json.dumps(form(*items, canonical=url)))
    run = CliRunner()

    assert run.invoke(cli, ["map", "copy", "my-mappings"]).exit_code == 0
    assert "it is there already" in run.invoke(cli, ["map", "copy", "my-mappings"]).output
    file.write_text(house)
    done = run.invoke(cli, ["map", "response.json"])

    assert done.exit_code == 0, done.output
    assert "heat  Heating  = broken, POS" in done.output
    assert "help-wish  Wants help  = inadequate-housing" in done.output
    for mistake, told in {
        ('label = "Heating"', 'lable = "Heating"'): "questions.0.lable: nobody knows this key",
        ('evidence = "authors" },\n]', "},\n]"): "house-form.toml: ",
        ('system = "https', '# "https'): "house-form is no LOINC code",
        ('"inadequate-housing"', '"housing"'): "housing is no domain",
        (f'canonicals = ["{url}"]', 'canonicals = ["http://loinc.org/q/93025-5"]'):
            "http://loinc.org/q/93025-5 stands in house-form.toml already",
    }.items():  # fmt: skip
        assert mistake[0] in house
        file.write_text(house.replace(*mistake))
        done = run.invoke(cli, ["map", "response.json"])
        assert done.exit_code == 2, mistake
        assert told in done.output


@pytest.mark.parametrize(
    ("code", "right"), [("93044-6", True), ("88122-7", True), ("88122-8", False), ("heat", False)]
)
def test_no_loinc_code_is_made_up(code, right):
    """A code that is none of LOINC's by its form stops the start; a house form has its own system."""
    data = {
        "id": "x", "name": "x", "panels": [{"code": "88121-9", "label": "x"}],
        "questions": [{"code": code, "label": "x", "type": "string"}],
    }  # fmt: skip

    if right:
        assert Instrument.model_validate(data).questions[0].code == code
    else:
        with pytest.raises(ValidationError, match="no LOINC code"):
            Instrument.model_validate(data)
    own = {**data, "system": "https://clinic.example.org", "panels": [{"code": "p", "label": "x"}]}
    assert Instrument.model_validate(own).panels[0].system == "https://clinic.example.org"


def test_a_draft_makes_up_no_code_of_loinc(tmp_path):
    """Answers and a form that have no code of LOINC's get one of the form's own system."""
    drafted = tomllib.loads(drafting.draft({
        "resourceType": "Questionnaire", "status": "draft", "title": "Awkward", "item": [
            {"linkId": "t", "type": "display", "text": "Welcome"},
            {"linkId": "q", "type": "choice", "code": [{"system": LOINC, "code": "88122-7"}],
             "answerOption": [{"valueString": "Often"}, {"valueReference": {"reference": "A/1"}},
                              {"valueCoding": {"system": LOINC, "code": "LA28397-0"}}]}],
    }))  # fmt: skip

    loaded = Instrument.model_validate(drafted)
    assert [one.system == LOINC for one in loaded.questions[0].answers] == [False, True]
    assert loaded.panels[0].system != LOINC


def test_a_patient_with_many_numbers_is_written(exchange):
    """A record that came together from many systems has hundreds; each is looked for at once."""
    numbers = [{"system": "https://ehr.example.org/mrn", "value": str(one)} for one in range(400)]
    rosa = {"resourceType": "Patient", "id": "many", "identifier": numbers}
    form = family.screening("hunger-vital-sign", ["food-insecurity"])
    form["subject"] = {"reference": "Patient/many"}
    sent = exchange.call("POST", f"{CHART}/QuestionnaireResponse", form)
    assert sent.status_code == 201, sent.text

    assert exchange.get(f"{CHART}/Observation?subject=Patient/many").json()["total"] == 0

    answer = exchange.call("PUT", f"{CHART}/Patient/many", rosa)

    assert answer.status_code == 201, answer.text
    assert exchange.get(f"{CHART}/Observation?subject=Patient/many").json()["total"] > 0
