"""A screening becomes Observations; what the family wants help with becomes a proposal."""

import copy
import json

import pytest
from exchange import SHARED, refused, resources
from fhir.resources.R4B import get_fhir_model_class

from app.sandbox import family

SUBMIT = "clinic/chart/fhir/$submit-screening"
QR = "clinic/chart/fhir/QuestionnaireResponse"


def codes(resource):
    return {coding["code"] for one in resource["category"] for coding in one["coding"]}


def test_a_screening_becomes_observations_and_a_proposal(exchange, patient):
    """Two answers and a wish make two answers, their result, a panel, a wish, and what they lead to."""
    response = family.screening("hunger-vital-sign", ["food-insecurity"])

    made = resources(exchange.call("POST", SUBMIT, response))

    assert [one["resourceType"] for one in made] == [
        "QuestionnaireResponse", *["Observation"] * 5, "ServiceRequest", "Condition", "Provenance",
    ]  # fmt: skip
    panel, worry, last, risk, wish, proposal, concern, record = made[1:]
    assert panel["code"]["coding"][0]["code"] == "88121-9"
    assert panel["hasMember"] == [
        {"reference": f"Observation/{one['id']}"} for one in (worry, last, risk)
    ]
    assert codes(worry) == {"survey", "sdoh", "food-insecurity"}
    assert worry["interpretation"][0]["coding"][0]["code"] == "POS"
    assert "interpretation" not in last
    assert risk["valueCodeableConcept"]["coding"][0]["code"] == "LA19952-3"
    assert "performer" not in risk
    assert record["entity"][0]["what"] == {"reference": f"QuestionnaireResponse/{made[0]['id']}"}
    assert wish["valueCodeableConcept"]["coding"][0]["code"] == "food-insecurity"
    assert proposal["intent"] == "proposal"
    assert {"reference": f"Observation/{wish['id']}"} in proposal["reasonReference"]
    assert concern["evidence"] == [{"detail": [{"reference": f"Observation/{risk['id']}"}]}]


def test_what_is_made_parses_as_fhir(exchange, patient):
    """Everything that a screening makes is read by a library that we did not write."""
    made = resources(exchange.call("POST", SUBMIT, family.screening("prapare", ["stress"])))

    parsed = [get_fhir_model_class(one["resourceType"]).model_validate(one) for one in made]

    assert len(parsed) == len(made) == 12


def test_a_need_without_a_wish_makes_no_proposal(exchange, patient):
    """A family that did not ask for help is not offered to anybody."""
    made = resources(exchange.call("POST", SUBMIT, family.screening("hunger-vital-sign", [])))

    assert not [one for one in made if one["resourceType"] == "ServiceRequest"]


def test_a_declined_answer_is_declined_and_not_negative(exchange, patient):
    """A wish not to answer is kept as just that."""
    made = resources(exchange.call("POST", SUBMIT, family.screening("prapare", [])), "Observation")

    stress = next(one for one in made if one["code"]["coding"][0]["code"] == "93038-8")
    assert stress["dataAbsentReason"]["coding"][0]["code"] == "asked-declined"
    assert "valueCodeableConcept" not in stress


def test_an_unsigned_rule_gives_no_verdict(exchange, patient):
    """Only what the guide itself calls a need is marked; an analyst's reading waits for a clinician."""
    made = resources(exchange.call("POST", SUBMIT, family.screening("prapare", [])), "Observation")

    marked = {one["code"]["coding"][0]["code"] for one in made if "interpretation" in one}
    assert marked == {"67875-5"}


def test_a_screening_sends_nothing(exchange, patient):
    """Whatever a family answers, the agency's shelves, the outbox and the accounting stay empty."""
    for instrument in ("hunger-vital-sign", "prapare"):
        wishes = ["food-insecurity", "stress", "intimate-partner-violence"]
        exchange.call("POST", SUBMIT, family.screening(instrument, wishes))

    assert exchange.rows("SELECT * FROM resource WHERE shelf NOT LIKE 'clinic/chart'") == []
    assert exchange.rows("SELECT * FROM outbox") == exchange.rows("SELECT * FROM ledger") == []


def test_the_same_screening_twice_makes_nothing_new(exchange, patient):
    """An EHR that did not hear the answer and sends again does no harm."""
    response = family.screening("hunger-vital-sign", ["food-insecurity"])
    first = resources(exchange.call("POST", SUBMIT, response))
    before = exchange.rows("SELECT shelf, type, id, version FROM resource")

    again = resources(exchange.call("POST", SUBMIT, response))

    assert again == first
    assert exchange.rows("SELECT shelf, type, id, version FROM resource") == before


def test_a_known_identifier_with_other_content_is_a_conflict(exchange, patient):
    """Two different forms under one number are not mixed up."""
    response = family.screening("hunger-vital-sign", [])
    exchange.call("POST", SUBMIT, response)

    answer = exchange.call("POST", SUBMIT, {**response, "authored": "2026-11-24T09:15:00Z"})

    refused(answer, 409, "conflict")


def test_the_plain_door_does_the_same_work(exchange, patient):
    """POST QuestionnaireResponse, which is all that most EHRs can do, makes the Observations too."""
    answer = exchange.call("POST", QR, family.screening("hunger-vital-sign", ["food-insecurity"]))

    assert answer.status_code == 201
    made = exchange.rows("SELECT type, count(*) FROM resource GROUP BY type ORDER BY type")
    assert made == [
        ("Condition", 1),
        ("Observation", 5),
        ("Patient", 1),
        ("Provenance", 1),
        ("QuestionnaireResponse", 1),
        ("ServiceRequest", 1),
    ]


def test_a_corrected_response_corrects_its_observations(exchange, patient):
    """A changed answer corrects its Observation; one that was taken back becomes entered in error."""
    response = {**family.screening("hunger-vital-sign", []), "id": "form-1"}
    exchange.call("PUT", f"{QR}/form-1", response)
    corrected = copy.deepcopy(response)
    corrected["status"] = "amended"
    corrected["item"][0]["answer"][0]["valueCoding"]["code"] = "LA28398-8"
    del corrected["item"][1]

    answer = exchange.call("PUT", f"{QR}/form-1", corrected)

    assert answer.status_code == 200
    bodies = [
        json.loads(row[0])
        for row in exchange.rows("SELECT body FROM resource WHERE type = 'Observation'")
    ]
    stands = {one["code"]["coding"][0]["code"]: one for one in bodies}
    assert stands["88122-7"]["status"] == "corrected"
    assert "interpretation" not in stands["88122-7"]
    assert stands["88123-5"]["status"] == "entered-in-error"


def test_a_response_in_progress_waits(exchange, patient):
    """Nothing is read out of a form that is not finished."""
    answer = exchange.call("POST", QR, {**family.screening("prapare", []), "status": "in-progress"})

    assert answer.status_code == 201
    assert exchange.rows("SELECT * FROM resource WHERE type = 'Observation'") == []


def test_an_unknown_instrument_is_refused_and_the_known_ones_are_named(exchange, patient):
    """Who sends a form that nobody knows is told which are known."""
    unknown = {
        **family.screening("prapare", []),
        "questionnaire": "urn:none",
        "item": [{"linkId": "x"}],
    }

    issues = refused(exchange.call("POST", SUBMIT, unknown), 422, "not-supported")

    assert "Hunger Vital Sign" in issues[0]["details"]["text"]
    assert "PRAPARE" in issues[0]["details"]["text"]
    assert exchange.rows("SELECT * FROM resource WHERE type = 'QuestionnaireResponse'") == []


def test_an_unknown_instrument_is_kept_at_the_plain_door(exchange, patient):
    """What nobody can read yet is not lost, and the sender is told."""
    unknown = {
        **family.screening("prapare", []),
        "questionnaire": "urn:none",
        "item": [{"linkId": "x"}],
    }

    answer = exchange.call("POST", QR, unknown, Prefer="return=OperationOutcome")

    assert answer.status_code == 201
    assert answer.json()["issue"][0]["severity"] == "warning"
    assert len(exchange.rows("SELECT * FROM resource WHERE type = 'QuestionnaireResponse'")) == 1


@pytest.mark.parametrize(
    ("fault", "expression"),
    [
        (lambda one: one.pop("subject"), "QuestionnaireResponse.subject"),
        (lambda one: one.pop("authored"), "QuestionnaireResponse.authored"),
        (lambda one: one["item"][0]["answer"][0]["valueCoding"].update(code="LA32-8"),
         "QuestionnaireResponse.item[0].answer[0]"),
        (lambda one: one["item"][1]["answer"].__setitem__(0, {"valueBoolean": True}),
         "QuestionnaireResponse.item[1].answer[0]"),
        (lambda one: one["item"][2]["answer"][0]["valueCoding"].update(code="money"),
         "QuestionnaireResponse.item[2].answer[0]"),
    ],
)  # fmt: skip
def test_a_fault_is_named_at_its_place(exchange, patient, fault, expression):
    """A form with a fault is refused whole, and the place of the fault is named."""
    response = family.screening("hunger-vital-sign", ["food-insecurity"])
    fault(response)

    issues = refused(exchange.call("POST", SUBMIT, response), 422)

    assert [issue["expression"] for issue in issues] == [[expression]]
    assert exchange.rows("SELECT * FROM resource WHERE type <> 'Patient'") == []


def test_sensitive_answers_are_labelled(exchange, patient):
    """An answer about a partner is kept from shared summaries and from the patient's portal."""
    response = family.screening("prapare", [])
    coding = {"system": "http://loinc.org", "code": "LA33-6"}
    response["item"].append({"linkId": "/93039-6/76501-6", "answer": [{"valueCoding": coding}]})

    made = resources(exchange.call("POST", SUBMIT, response), "Observation")

    afraid = next(one for one in made if one["code"]["coding"][0]["code"] == "76501-6")
    assert [label["code"] for label in afraid["meta"]["security"]] == ["SDV", "NOPAT"]


@pytest.mark.shared
@pytest.mark.parametrize(("name", "observations"), [("HungerVitalSign", 4), ("PRAPARE", 24)])
def test_the_guides_own_responses_go_through(exchange, patient, name, observations):
    """The guide's own QuestionnaireResponses come in unchanged and become Observations."""
    file = f"QuestionnaireResponse-SDOHCC-QuestionnaireResponse{name}Example.json"
    response = json.loads((SHARED / "examples/sdohcc-3.0.0" / file).read_bytes())
    child = (SHARED / "examples/sdohcc-3.0.0/Patient-pat-53234.json").read_bytes()
    exchange.call("PUT", "clinic/chart/fhir/Patient/pat-53234", child)

    made = resources(exchange.call("POST", SUBMIT, response))

    observed = [one for one in made if one["resourceType"] == "Observation"]
    assert len(observed) == observations
    assert all({"survey", "sdoh"} <= codes(one) for one in observed)
    for one in made:
        assert get_fhir_model_class(one["resourceType"]).model_validate(one)


def test_a_screening_on_an_agencys_shelf_makes_nothing(exchange):
    """What an agency stores is no worklist: no Observation and no proposal is made there."""
    response = family.screening("hunger-vital-sign", ["food-insecurity"])

    assert (
        exchange.call("POST", "agency/support/fhir/QuestionnaireResponse", response).status_code
        == 201
    )

    assert exchange.rows("SELECT type FROM resource") == [("QuestionnaireResponse",)]


def test_a_response_does_not_move_to_another_child(exchange, patient):
    """One child's answers never become another's by a correction."""
    exchange.call("PUT", "clinic/chart/fhir/Patient/other", {**family.PATIENT, "id": "other"})
    response = {**family.screening("hunger-vital-sign", []), "id": "form-1"}
    exchange.call("PUT", f"{QR}/form-1", response)

    moved = {**response, "subject": {"reference": "Patient/other"}}

    refused(exchange.call("PUT", f"{QR}/form-1", moved), 409)


def test_a_stale_correction_loses(exchange, patient):
    """If-Match holds for screenings too."""
    response = {**family.screening("hunger-vital-sign", []), "id": "form-1"}
    exchange.call("PUT", f"{QR}/form-1", response)
    exchange.call("PUT", f"{QR}/form-1", {**response, "status": "amended"})

    refused(exchange.call("PUT", f"{QR}/form-1", response, If_Match='W/"1"'), 412)
