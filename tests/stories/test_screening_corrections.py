"""What is corrected, withdrawn, repeated or late: what was made of it follows, once."""

import copy
import json

from exchange import refused, resources

SUBMIT = "clinic/chart/fhir/$submit-screening"
QR = "clinic/chart/fhir/QuestionnaireResponse"
FOOD = "http://hl7.org/fhir/us/sdoh-clinicalcare/CodeSystem/SDOHCC-CodeSystemTemporaryCodes"
NEEDS = "/93041-2/93031-3"


def form(*answers, wish=False, **more):
    """PRAPARE's list of needs with these answers, and the wish for help with food."""
    items = [{"linkId": NEEDS, "answer": [
        {"valueCoding": {"system": "http://loinc.org", "code": code}} for code in answers
    ]}]  # fmt: skip
    if wish:
        coding = {"system": FOOD, "code": "food-insecurity"}
        items.append({"linkId": "help-wish", "answer": [{"valueCoding": coding}]})
    return {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": "http://loinc.org/q/93025-5",
        "status": "completed",
        "subject": {"reference": "Patient/rosa"},
        "authored": "2026-11-23T09:15:00Z",
        "item": items,
        **more,
    }


def standing(exchange, kind="Observation"):
    """What we made, by the code of its answer, with its status."""
    found = {}
    for (body,) in exchange.rows(f"SELECT body FROM resource WHERE type = '{kind}'"):
        one = json.loads(bytes(body))
        value = one.get("valueCodeableConcept", one["code"])["coding"][0]["code"]
        found[value] = one["status"]
    return found


def put(exchange, form, **headers):
    return exchange.call("PUT", f"{QR}/form", {**form, "id": "form"}, **headers)


def test_one_of_several_answers_taken_back_leaves_the_others(exchange, patient):
    """Of a list of needs, the one that was ticked by mistake is withdrawn, and no other."""
    put(exchange, form("LA30125-1", "LA30126-9"))

    put(exchange, form("LA30126-9", status="amended"))

    assert standing(exchange) == {
        "LA30125-1": "entered-in-error", "LA30126-9": "final", "93025-5": "corrected",
    }  # fmt: skip


def test_an_answer_given_again_stands_again(exchange, patient):
    """Taken back by mistake and given again: it is there, and corrected."""
    put(exchange, form("LA30125-1", "LA30126-9"))
    put(exchange, form("LA30126-9", status="amended"))

    put(exchange, form("LA30125-1", "LA30126-9", status="amended"))

    assert standing(exchange)["LA30125-1"] == "corrected"


def test_a_withdrawn_response_withdraws_everything(exchange, patient):
    """Entered in error: answers, panel and proposal no longer stand."""
    put(exchange, form("LA30125-1", wish=True))

    put(exchange, form("LA30125-1", wish=True, status="entered-in-error"))

    assert set(standing(exchange).values()) == {"entered-in-error"}
    assert set(standing(exchange, "ServiceRequest").values()) == {"entered-in-error"}


def test_a_deleted_response_withdraws_everything(exchange, patient):
    """Nothing stands that is derived from what is gone."""
    put(exchange, form("LA30125-1", wish=True))

    exchange.call("DELETE", f"{QR}/form")

    assert set(standing(exchange).values()) == {"entered-in-error"}


def test_a_wish_taken_back_takes_its_proposal_back(exchange, patient):
    """A family that changed its mind is offered nothing; the answer stays."""
    put(exchange, form("LA30125-1", wish=True))

    put(exchange, form("LA30125-1", status="amended"))

    assert standing(exchange)["food-insecurity"] == "entered-in-error"
    assert standing(exchange)["LA30125-1"] == "final"
    assert set(standing(exchange, "ServiceRequest").values()) == {"entered-in-error"}


def test_a_proposal_that_was_dealt_with_is_left_to_who_did(exchange, patient):
    """What a clinician has closed is not opened or withdrawn by a form."""
    made = resources(exchange.call("POST", SUBMIT, form("LA30125-1", wish=True, id="form")))
    proposal = next(one for one in made if one["resourceType"] == "ServiceRequest")
    name = f"clinic/chart/fhir/ServiceRequest/{proposal['id']}"
    exchange.call("PUT", name, {**proposal, "status": "completed"})

    put(exchange, form("LA30125-1", status="amended"))

    assert exchange.get(name).json()["status"] == "completed"


def test_a_proposal_without_a_status_is_left_to_who_wrote_it(exchange, patient):
    """An EHR that writes resources in part does not stop the family's next answer."""
    made = resources(exchange.call("POST", SUBMIT, form("LA30125-1", wish=True, id="form")))
    proposal = next(one for one in made if one["resourceType"] == "ServiceRequest")
    name = f"clinic/chart/fhir/ServiceRequest/{proposal['id']}"
    del proposal["status"]
    assert exchange.call("PUT", name, proposal).status_code == 200

    answer = put(exchange, form("LA30125-1", status="amended"))

    assert answer.status_code == 200, answer.text
    assert "status" not in exchange.get(name).json()


def test_a_response_reopened_leaves_what_was_made(exchange, patient):
    """While somebody works on the form again, what it said before still stands."""
    put(exchange, form("LA30125-1"))

    put(exchange, form("LA30126-9", status="in-progress"))

    assert standing(exchange) == {"LA30125-1": "final", "93025-5": "final"}


def test_an_amended_message_with_a_known_identifier_corrects(exchange, patient):
    """An EHR that can only POST corrects by the form's own identifier."""
    number = {"system": "urn:ehr", "value": "7"}
    first = exchange.call("POST", QR, form("LA30125-1", identifier=number)).json()

    answer = exchange.call("POST", QR, form("LA30126-9", identifier=number, status="amended"))

    assert answer.json()["id"] == first["id"]
    assert standing(exchange)["LA30125-1"] == "entered-in-error"
    assert standing(exchange)["LA30126-9"] == "final"
    assert exchange.rows("SELECT count(*) FROM resource WHERE type = 'QuestionnaireResponse'") == [
        (1,)
    ]


def test_a_finished_form_completes_the_one_in_progress(exchange, patient):
    """The same identifier, first half filled in, then done: one form, read once."""
    number = {"system": "urn:ehr", "value": "7"}
    exchange.call("POST", QR, form("LA30125-1", identifier=number, status="in-progress"))

    exchange.call("POST", QR, form("LA30125-1", identifier=number))

    assert standing(exchange) == {"LA30125-1": "final", "93025-5": "final"}


def test_the_first_version_arriving_last_changes_nothing(exchange, patient):
    """Which version is the later one is what the source says, not the order of arrival."""
    number = {"system": "urn:ehr", "value": "7"}
    early = form("LA30125-1", identifier=number, meta={"lastUpdated": "2026-11-23T09:20:00Z"})
    late = form(
        "LA30126-9",
        identifier=number,
        status="amended",
        meta={"lastUpdated": "2026-11-23T10:00:00Z"},
    )
    exchange.call("POST", QR, late)
    before = exchange.rows("SELECT id, version FROM resource ORDER BY id")

    answer = exchange.call("POST", QR, early, Prefer="return=OperationOutcome")

    assert answer.status_code == 200
    assert "later version" in answer.json()["issue"][0]["details"]["text"]
    assert exchange.rows("SELECT id, version FROM resource ORDER BY id") == before


def test_a_put_of_an_older_form_changes_nothing(exchange, patient):
    """PUT is no way round the source's own times."""
    put(exchange, form("LA30126-9", authored="2026-11-23T10:00:00Z", status="amended"))

    answer = put(exchange, form("LA30125-1"))

    assert answer.status_code == 200
    assert standing(exchange) == {"LA30126-9": "final", "93025-5": "final"}


def test_who_read_the_form_and_changes_it_is_not_late(exchange, patient):
    """A client that reads, edits and writes back sends our time along, and is heard."""
    put(exchange, form("LA30125-1"))
    read = exchange.get(f"{QR}/form").json()
    read["item"][0]["answer"][0]["valueCoding"]["code"] = "LA30126-9"
    assert put(exchange, read).status_code == 200
    again = copy.deepcopy(exchange.get(f"{QR}/form").json())
    again["item"][0]["answer"][0]["valueCoding"]["code"] = "LA30124-4"
    del again["meta"]

    put(exchange, again)

    assert standing(exchange)["LA30124-4"] == "final"


def test_a_form_that_says_something_else_is_not_taken_for_a_correction(exchange, patient):
    """Two finished forms under one number are a mistake that a person has to look at."""
    number = {"system": "urn:ehr", "value": "7"}
    exchange.call("POST", QR, form("LA30125-1", identifier=number))

    answer = exchange.call("POST", QR, form("LA30126-9", identifier=number))

    refused(answer, 409, "conflict")
