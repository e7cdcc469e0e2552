"""Each row of the specification's table of answers gives the verdict that it states, and no other."""

import csv
from itertools import groupby

import pytest
from exchange import SHARED, resources

SUBMIT = "clinic/chart/fhir/$submit-screening"
TABLE = SHARED / "spec/data/screening_answers.csv"
CANONICALS = {
    "HVS": "http://loinc.org/q/88121-9",
    "AHC-HRSN": "http://loinc.org/q/96777-8",
    "PRAPARE": "http://loinc.org/q/93025-5",
}
COMPUTED = {"88124-3", "95614-4"}  # made of other answers, below


def rows(instrument, *, founded):
    """The rows whose evidence is an authority's, or those that are an analyst's."""
    with TABLE.open(encoding="utf-8") as file:
        return [
            row
            for row in csv.DictReader(file)
            if row["instrument"] == instrument
            and row["answer_code"]
            and row["item_loinc"] not in COMPUTED
            and ("analyst" not in row["evidence"]) is founded
            and "UNVERIFIED" not in row["evidence"]
        ]


def answered(instrument, pairs):
    """A response with one answer for each question."""
    return {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": CANONICALS[instrument],
        "status": "completed",
        "subject": {"reference": "Patient/rosa"},
        "authored": "2026-11-23T09:15:00Z",
        "item": [
            {
                "linkId": question,
                "answer": [{"valueCoding": {"system": "http://loinc.org", "code": answer}}],
            }
            for question, answer in pairs
        ],
    }


def observed(exchange, instrument, row):
    """The one Observation of the row's question."""
    said = answered(instrument, [(row["item_loinc"], row["answer_code"])])
    made = resources(exchange.call("POST", SUBMIT, said), "Observation")
    (found,) = [one for one in made if one["code"]["coding"][0]["code"] == row["item_loinc"]]
    return found


def domains(observation):
    return {
        coding["code"]
        for one in observation["category"]
        for coding in one["coding"]
        if "TemporaryCodes" in coding["system"]
    }


@pytest.mark.shared
@pytest.mark.parametrize("instrument", CANONICALS)
def test_each_founded_row_gives_its_verdict(exchange, patient, instrument):
    """A need is marked where an authority says so; "no", "unknown" and "declined" never are."""
    table = rows(instrument, founded=True)
    assert table

    for row in table:
        found = observed(exchange, instrument, row)

        place = (row["item_loinc"], row["answer_code"])
        positive = "interpretation" in found
        assert positive is (row["need"] == "Y"), place
        assert ("dataAbsentReason" in found) is (row["need"] == "D"), place
        assert domains(found) <= set(row["sdohcc_category"].split("|")), place
        assert bool(domains(found)) is bool(row["sdohcc_category"]), place


@pytest.mark.shared
@pytest.mark.parametrize("instrument", ["PRAPARE"])
def test_no_analysts_row_gives_a_verdict(exchange, patient, instrument):
    """What nobody has signed off is recorded, and not judged."""
    table = rows(instrument, founded=False)
    assert len(table) > 20

    for row in table:
        assert "interpretation" not in observed(exchange, instrument, row), row


@pytest.mark.shared
def test_unverified_instruments_do_not_ship(exchange, patient):
    """An instrument whose answers nobody could check is not offered."""
    with TABLE.open(encoding="utf-8") as file:
        every = sorted(csv.DictReader(file), key=lambda row: row["instrument"])
    shipped = {
        name
        for name, group in groupby(every, key=lambda row: row["instrument"])
        if any("UNVERIFIED" not in row["evidence"] for row in group)
    }

    assert "WellRx" not in shipped
    unknown = answered("HVS", [("93668-2", "LA33-6")])
    del unknown["questionnaire"]
    assert exchange.call("POST", SUBMIT, unknown).status_code == 422


@pytest.mark.parametrize(
    ("answers", "result", "positive"),
    [
        (["LA28398-8", "LA28398-8"], "LA19983-8", False),
        (["LA28398-8", "LA6729-3"], "LA19952-3", True),
        (["LA28397-0", "LA15775-2"], "LA19952-3", True),
        (["LA28397-0"], "LA19952-3", True),
        (["LA28398-8", "LA15775-2"], None, False),
        (["LA28398-8"], None, False),
    ],
)
def test_hunger_is_at_risk_by_one_and_not_by_both(exchange, patient, answers, result, positive):
    """One positive answer is a risk; only two plain "never" are none; else nothing is said."""
    said = answered("HVS", zip(["88122-7", "88123-5"], answers, strict=False))

    made = resources(exchange.call("POST", SUBMIT, said), "Observation")

    found = [one for one in made if one["code"]["coding"][0]["code"] == "88124-3"]
    codes = [one["valueCodeableConcept"]["coding"][0]["code"] for one in found]
    assert codes == ([result] if result else [])
    assert any("interpretation" in one for one in found) is positive


@pytest.mark.parametrize(
    ("answers", "total", "positive"),
    [
        (["LA6270-8", "LA6270-8", "LA6270-8", "LA6270-8"], 4, False),
        (["LA10082-8", "LA10082-8", "LA10066-1", "LA10066-1"], 10, False),
        (["LA10082-8", "LA10082-8", "LA10082-8", "LA10066-1"], 11, True),
        (["LA6482-9", "LA6482-9", "LA6482-9"], None, False),
    ],
)
def test_hits_is_the_sum_of_all_four(exchange, patient, answers, total, positive):
    """Eleven is a need; one question left out, and there is no total; none of it is for a summary."""
    questions = ["95618-5", "95617-7", "95616-9", "95615-1"]
    said = answered("AHC-HRSN", zip(questions, answers, strict=False))

    made = resources(exchange.call("POST", SUBMIT, said), "Observation")

    found = [one for one in made if one["code"]["coding"][0]["code"] == "95614-4"]
    assert [one["valueInteger"] for one in found] == ([total] if total else [])
    assert any("interpretation" in one for one in found) is positive
    items = [one for one in made if one["code"]["coding"][0]["code"] in questions]
    assert not any("interpretation" in one for one in items)
    for one in (*found, *items):
        assert [label["code"] for label in one["meta"]["security"]] == ["SDV", "NOPAT"]
