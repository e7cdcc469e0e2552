"""The dry run: what would be made, by whatever door, and not one row of it written."""

import json

import pytest
from exchange import refused, resources

from app.sandbox import family

CHART = "clinic/chart/fhir"
SUBMIT = f"{CHART}/$submit-screening"
LOINC = "http://loinc.org"


def form(**more):
    return {**family.screening("hunger-vital-sign", ["food-insecurity"]), **more}


def row(name, answer="LA28397-0", **more):
    survey = "http://terminology.hl7.org/CodeSystem/observation-category"
    return {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "category": [{"coding": [{"system": survey, "code": "survey"}]}],
        "code": {"coding": [{"system": LOINC, "code": "88122-7"}]},
        "subject": {"reference": "Patient/rosa"},
        "effectiveDateTime": "2026-11-23T09:15:00Z",
        "valueCodeableConcept": {"coding": [{"system": LOINC, "code": answer}]},
        **more,
    }


def bundle(kind, *held):
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}
         if "id" in one else {"method": "POST", "url": one["resourceType"]}}
        for one in held
    ]  # fmt: skip
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


DOORS = {
    "the operation, a form": (SUBMIT, form()),
    "the operation, a row": (SUBMIT, row("a")),
    "the operation, a batch": (SUBMIT, bundle("batch", row("a"), form())),
    "the operation, a transaction": (SUBMIT, bundle("transaction", row("a"), form())),
    "a form": (f"{CHART}/QuestionnaireResponse", form()),
    "a row": (f"{CHART}/Observation", {k: v for k, v in row("a").items() if k != "id"}),
    "a batch": (CHART, bundle("batch", row("a"), form())),
    "a transaction": (CHART, bundle("transaction", row("a"), form())),
    "a patient that nobody has": (SUBMIT, form(subject={
        "identifier": {"system": "urn:mrn", "value": "77"}})),
    "a code that nobody knows": (f"{CHART}/Observation", row("b", code={
        "coding": [{"system": "urn:local", "code": "1"}]}) | {"id": None}),
}  # fmt: skip


def counted(exchange):
    """How long each table of the database is."""
    tables = (
        "SELECT name FROM sqlite_master WHERE type = 'table'"
        if exchange.database_url.startswith("sqlite")
        else "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    )
    names = sorted(name for (name,) in exchange.rows(tables))
    return {name: exchange.rows(f"SELECT count(*) FROM {name}") for name in names}


@pytest.mark.parametrize("door", DOORS)
def test_a_dry_run_writes_nothing(exchange, patient, door):
    """Every table is as long afterwards as before, and the answer shows what would have been."""
    path, sent = DOORS[door]
    sent = {key: value for key, value in sent.items() if value is not None}
    before = counted(exchange)

    answer = exchange.call("POST", f"{path}?dry-run=true", sent)

    assert answer.status_code == 200, answer.text
    assert counted(exchange) == before
    assert before["resource"] == [(1,)]
    seen = resources(answer)
    if sent.get("type") == "batch":
        assert [one["type"] for one in seen] == ["collection", "collection"]
        seen = [entry["resource"] for one in seen for entry in one["entry"]]
    assert seen[0]["resourceType"] == "OperationOutcome"
    assert [one for one in seen if one["resourceType"] in {"Observation", "QuestionnaireResponse"}]


@pytest.mark.parametrize("path", [CHART, SUBMIT])
def test_of_a_batch_each_is_shown_by_itself(exchange, patient, path):
    """One that would be refused is refused in its place, and the others are shown."""
    sent = bundle("batch", form(), row("a", "LA33-6"), row("b"))

    answer = exchange.call("POST", f"{path}?dry-run=true", sent).json()

    assert answer["type"] == "batch-response"
    status = [one["response"]["status"][:3] for one in answer["entry"]]
    assert status == (["200", "422", "200"] if path == SUBMIT else ["200", "200", "200"])
    kinds = [one["resource"]["resourceType"] for one in answer["entry"][0]["resource"]["entry"]]
    assert kinds.count("Observation") == 5
    assert json.dumps(answer).count('"Bundle"') == 1 + status.count("200")


def test_what_it_shows_is_what_is_made(exchange, patient):
    """What the dry run shows of a form is what stands afterwards, but for ids and times."""
    shown = resources(exchange.call("POST", f"{SUBMIT}?dry-run=true", form()))[1:]
    made = resources(exchange.call("POST", SUBMIT, form()))

    def kinds(found):
        return sorted(
            (one["resourceType"], json.dumps(one.get("code", {}), sort_keys=True))
            for one in found
            if one["resourceType"] != "OperationOutcome"
        )

    assert kinds(shown) == kinds(made)


def test_a_dry_run_of_an_agencys_event_tells_nobody(exchange, reported):
    """What would stand on the agency's shelf is shown, and neither side has changed."""
    task, theirs = reported
    before = counted(exchange)
    path = f"agency/intake/fhir/Task/{theirs['id']}/$record-event?dry-run=true"

    answer = exchange.call("POST", path, {"event": "received", "intakeNumber": "26-0042"})

    shown = [one for one in resources(answer) if one["resourceType"] == "Task"]
    assert "26-0042" in json.dumps(shown)
    assert counted(exchange) == before
    assert exchange.get(f"clinic/reports/fhir/Task/{task['id']}").json() == task


@pytest.mark.parametrize(
    "query", ["dryRun=true", "dryrun=true", "dry_run=true", "dry-run=yes", "dri-run=true"]
)
def test_a_dry_run_that_is_misspelt_sends_nothing(exchange, patient, query):
    """What was meant to be looked at must not reach an agency."""
    sent = family.referral("ServiceRequest/none", consented=True)

    refused(exchange.call("POST", f"{CHART}/$refer?{query}", sent), 400)

    assert exchange.rows("SELECT count(*) FROM exchange") == [(0,)]


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "Patient/rosa"), ("DELETE", "Patient/rosa"), ("POST", "Observation"), ("POST", "")],
)
def test_a_dry_run_that_is_misspelt_writes_nothing(exchange, patient, method, path):
    """At the plain doors too."""
    sent = {**patient, "gender": "male"} if path else bundle("transaction")
    before = counted(exchange)

    refused(exchange.call(method, f"{CHART}/{path}?dryRun=true", sent), 400)

    assert counted(exchange) == before


def test_what_has_no_dry_run_does_nothing_when_asked_for_one(exchange, patient):
    """$work-off says so; it must not be taken for the real thing."""
    issues = refused(exchange.call("POST", f"{CHART}/$work-off?dry-run=true", None), 422)

    assert "$unmapped" in issues[0]["details"]["text"]
