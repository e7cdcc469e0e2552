"""Bad input at each door for rows and forms: its own words, its own place, and nothing else of the batch lost."""

import copy

import pytest
from exchange import refused

CHART = "clinic/chart/fhir"
SUBMIT = f"{CHART}/$submit-screening"
LOINC = "http://loinc.org"
SURVEY = "http://terminology.hl7.org/CodeSystem/observation-category"


def said(*codes):
    return {"valueCodeableConcept": {"coding": [{"system": LOINC, "code": one} for one in codes]}}


def row(name, question, answer, **more):
    made = {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "category": [{"coding": [{"system": SURVEY, "code": "survey"}]}],
        "code": {"coding": [{"system": LOINC, "code": question}]},
        "subject": {"reference": "Patient/rosa"},
        "effectiveDateTime": "2026-11-23T09:15:00Z",
        **answer,
        **more,
    }
    return {key: value for key, value in made.items() if value is not None}


GOOD = row("good", "88123-5", said("LA28397-0"))
ROWS = {
    "outside the list": (row("bad", "88122-7", said("LA33-6")), ""),
    "wrong type": (row("bad", "88122-7", {"valueBoolean": True}), ""),
    "wrong type of a number": (row("bad", "63512-8", {"valueString": "many"}), ""),
    "two answers": (row("bad", "88122-7", said("LA28397-0", "LA28398-8")), ""),
    "future": (row("bad", "88122-7", said("LA28397-0"), effectiveDateTime="2031-01-01"), ".effective"),
    "a year": (row("bad", "88122-7", said("LA28397-0"), effectiveDateTime="2026"), ".effective"),
    "no time": (row("bad", "88122-7", said("LA28397-0"), effectiveDateTime=None), ".effective"),
    "no subject": (row("bad", "88122-7", said("LA28397-0"), subject=None), ".subject"),
    "a group as subject": (
        row("bad", "88122-7", said("LA28397-0"), subject={"reference": "Group/g"}), ".subject"),
    "a patient that is not there": (
        row("bad", "88122-7", said("LA28397-0"), subject={"reference": "Patient/who"}), ".subject"),
    "no question": (row("bad", "", said("LA28397-0"), code={"text": ""}), ".code"),
}  # fmt: skip
STRUCTURE = {"no question"}  # an empty text is no FHIR: refused at every door


def bundle(kind, *held):
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"Observation/{one['id']}"}}
        for one in copy.deepcopy(held)
    ]
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


def places(issues):
    return {place for one in issues for place in one.get("expression", ())}


def answers(exchange):
    rows = exchange.rows("SELECT count(*) FROM resource WHERE type = 'Provenance'")
    return rows[0][0]


@pytest.mark.parametrize("kind", ROWS)
def test_a_bad_row_refuses_a_strict_whole_and_is_named(exchange, patient, kind):
    """At the operation nothing of the Bundle is stored, and the row is named where it stands."""
    bad, place = ROWS[kind]

    answer = exchange.call("POST", SUBMIT, bundle("transaction", GOOD, bad))

    issues = refused(answer, 400 if kind in STRUCTURE else 422)
    assert any(one.startswith(f"Bundle.entry[1].resource{place}") for one in places(issues))
    assert exchange.rows("SELECT count(*) FROM resource") == [(1,)]


@pytest.mark.parametrize("kind", ROWS)
def test_a_bad_row_takes_nothing_else_of_a_strict_batch(exchange, patient, kind):
    """In a batch the good row is made, whatever stands beside it."""
    bad, place = ROWS[kind]

    answer = exchange.call("POST", SUBMIT, bundle("batch", bad, GOOD)).json()

    status = [one["response"]["status"][:3] for one in answer["entry"]]
    assert status == ["400" if kind in STRUCTURE else "422", "200"]
    found = places(answer["entry"][0]["response"]["outcome"]["issue"])
    assert any(one.startswith(f"Bundle.entry[0].resource{place}") for one in found)
    assert answers(exchange) == 1


@pytest.mark.parametrize("kind", [one for one in ROWS if one not in STRUCTURE])
@pytest.mark.parametrize("door", ["alone", "batch", "transaction"])
def test_a_bad_row_is_kept_and_warned_of_at_the_plain_doors(exchange, patient, kind, door):
    """What came is stored as it came, the sender is told, and the good row is read."""
    bad, place = ROWS[kind]
    wanted = {"Prefer": "return=OperationOutcome"}

    if door == "alone":
        exchange.call("PUT", f"{CHART}/Observation/good", GOOD)
        answer = exchange.call("PUT", f"{CHART}/Observation/bad", bad, **wanted)
        issues, at = answer.json()["issue"], "Observation"
    else:
        answer = exchange.call("POST", CHART, bundle(door, bad, GOOD), **wanted)
        entry = answer.json()["entry"][0]
        issues, at = entry["response"]["outcome"]["issue"], "Bundle.entry[0].resource"

    assert answer.status_code in {200, 201}, answer.text
    warned = [one for one in issues if one["severity"] == "warning"]
    assert any(one.startswith(f"{at}{place}") for one in places(warned))
    assert exchange.get(f"{CHART}/Observation/bad").status_code == 200
    assert answers(exchange) == 1


def test_each_kind_has_its_own_words(exchange, patient):
    """No two faults of rows are told alike, so that each says what to do."""
    told = {}
    for kind, (bad, _) in ROWS.items():
        issues = refused(
            exchange.call("POST", SUBMIT, bundle("transaction", bad)),
            400 if kind in STRUCTURE else 422,
        )
        told[kind] = issues[0]["details"]["text"]

    assert len(set(told.values())) == len(told), told
