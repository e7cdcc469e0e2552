"""A Condition is proposed to the clinician, and never asserted: unconfirmed, a concern, and hers to decide."""

import copy
import json

import pytest
from exchange import resources

from app.sandbox import family

CHART = "clinic/chart/fhir"
SUBMIT = f"{CHART}/$submit-screening"
QR = f"{CHART}/QuestionnaireResponse"
VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
SNOMED = "http://snomed.info/sct"


def form(canonical, answers, **more):
    return {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": f"http://loinc.org/q/{canonical}",
        "status": "completed",
        "subject": {"reference": "Patient/rosa"},
        "authored": "2026-11-23T09:15:00Z",
        "item": [
            {
                "linkId": question,
                "answer": [{"valueCoding": {"system": "http://loinc.org", "code": answer}}],
            }
            for question, answer in answers.items()
        ],
        **more,
    }


def conditions(exchange):
    """Those that stand, by code."""
    rows = exchange.rows("SELECT body FROM resource WHERE type = 'Condition'")
    found = [json.loads(bytes(body)) for (body,) in rows]
    return {one["code"]["coding"][0]["code"]: one for one in found}


def verified(condition):
    return condition["verificationStatus"]["coding"][0]["code"]


@pytest.mark.parametrize(
    ("canonical", "answers", "expected"),
    [
        ("88121-9", {"88122-7": "LA6729-3", "88123-5": "LA28398-8"}, {"733423003"}),
        ("88121-9", {"88122-7": "LA28398-8", "88123-5": "LA28398-8"}, set()),
        ("88121-9", {"88122-7": "LA15775-2"}, set()),
        ("96777-8", {"71802-3": "LA31995-6", "88122-7": "LA28397-0"}, {"32911000", "733423003"}),
        ("96777-8", {"71802-3": "LA31994-9"}, set()),  # worried, and the spec has no code for it
        ("96777-8", {"96780-2": "LA31982-4"}, set()),  # wants help to keep work: is not unemployed
        ("93025-5", {"71802-3": "LA30190-5", "67875-5": "LA17956-6"}, {"32911000", "73438004"}),
        ("93025-5", {"93031-3": "LA30125-1"}, set()),  # nobody has signed that rule off
        ("93025-5", {"67875-5": "LA30122-8"}, set()),
    ],
    ids=lambda value: str(sorted(value)) if isinstance(value, set) else str(value),
)
def test_a_need_that_somebody_answers_for_proposes_its_condition(
    exchange, patient, canonical, answers, expected
):
    """Only an answer with a verdict, and a code that the guide has for just that, proposes one."""
    exchange.call("POST", SUBMIT, form(canonical, answers))

    found = conditions(exchange)
    assert found.keys() == expected
    for one in found.values():
        assert verified(one) == "unconfirmed"
        assert {coding["system"] for coding in one["code"]["coding"]} == {SNOMED}
        categories = [each["coding"][0]["code"] for each in one["category"]]
        assert categories[:2] == ["health-concern", "sdoh"]
        assert len(categories) == 3
        assert "asserter" not in one
        assert "onsetDateTime" not in one


def test_two_answers_speak_for_one_condition(exchange, patient):
    """Both food questions of AHC-HRSN are evidence of one concern, and not two concerns."""
    made = resources(
        exchange.call("POST", SUBMIT, form("96777-8", dict.fromkeys(("88122-7", "88123-5"), "LA28397-0")))
    )  # fmt: skip

    (concern,) = [one for one in made if one["resourceType"] == "Condition"]
    answers = [
        f"Observation/{one['id']}"
        for one in made
        if one.get("code", {}).get("coding", [{}])[0].get("code") in {"88122-7", "88123-5"}
    ]
    assert [one["reference"] for one in concern["evidence"][0]["detail"]] == answers


def test_an_answer_taken_back_takes_its_proposal_back(exchange, patient):
    """Corrected, the concern was entered in error; said again, it is proposed again."""
    sent = form("93025-5", {"71802-3": "LA30190-5"}, id="f")
    exchange.call("PUT", f"{QR}/f", sent)
    housed = form("93025-5", {"71802-3": "LA30189-7"}, id="f", status="amended")

    exchange.call("PUT", f"{QR}/f", housed)

    gone = conditions(exchange)["32911000"]
    assert verified(gone) == "entered-in-error"
    assert "clinicalStatus" not in gone  # con-5
    exchange.call("PUT", f"{QR}/f", {**sent, "status": "amended"})
    assert verified(conditions(exchange)["32911000"]) == "unconfirmed"


@pytest.mark.parametrize("decided", ["confirmed", "refuted"])
def test_what_a_clinician_has_decided_stays_hers(exchange, patient, decided):
    """Confirmed or refuted, no later form changes it or takes it back."""
    sent = form("93025-5", {"71802-3": "LA30190-5"}, id="f")
    exchange.call("PUT", f"{QR}/f", sent)
    mine = copy.deepcopy(conditions(exchange)["32911000"])
    mine["verificationStatus"] = {"coding": [{"system": VERIFICATION, "code": decided}]}
    mine["asserter"] = {"reference": "Practitioner/dr-lin"}
    del mine["extension"]
    exchange.call("PUT", f"{CHART}/Condition/{mine['id']}", mine)
    before = conditions(exchange)

    for answer in ("LA30189-7", "LA30190-5"):
        again = form("93025-5", {"71802-3": answer}, id="f", status="amended")
        assert exchange.call("PUT", f"{QR}/f", again).status_code == 200

    assert conditions(exchange) == before


def test_rows_that_come_one_by_one_add_to_the_evidence(exchange, patient):
    """A second answer that says the same is added; a row reopened keeps what was made of it."""
    coding = {"system": "http://loinc.org", "code": "LA28397-0"}
    for question in ("71802-3", "88122-7", "88123-5"):
        code = {"coding": [{"system": "http://loinc.org", "code": question}]}
        answer = {**coding, "code": "LA31993-1"} if question == "71802-3" else coding
        row = {
            "resourceType": "Observation", "id": question, "status": "final", "code": code,
            "subject": {"reference": "Patient/rosa"}, "effectiveDateTime": "2026-11-23T09:15:00Z",
            "valueCodeableConcept": {"coding": [answer]},
        }  # fmt: skip
        exchange.call("PUT", f"{CHART}/Observation/{question}", row)

    hunger = conditions(exchange)["733423003"]
    assert len(hunger["evidence"][0]["detail"]) == 2
    exchange.call("PUT", f"{CHART}/Observation/88123-5", {**row, "status": "preliminary"})
    assert verified(conditions(exchange)["733423003"]) == "unconfirmed"


def test_no_condition_reaches_an_agency_by_itself(exchange, patient):
    """It stands on the chart, is never a problem by itself, and nothing is sent of it."""
    exchange.call("POST", SUBMIT, family.screening("hunger-vital-sign", ["food-insecurity"]))

    assert [*conditions(exchange)] == ["733423003"]
    assert exchange.rows("SELECT shelf FROM resource WHERE type = 'Condition'") == [
        ("clinic/chart",)
    ]
    assert exchange.rows("SELECT * FROM outbox") == exchange.rows("SELECT * FROM ledger") == []
    found = exchange.call("GET", f"{CHART}/Condition?category=problem-list-item").json()
    assert found.get("entry", []) == []
