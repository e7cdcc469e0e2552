"""A Task beside a referral's own: who writes it believes that the other side has it, and is told that it has not."""

import json

import pytest
from exchange import refused
from shelves import TENANT, coded, held, put

CODE = "http://hl7.org/fhir/CodeSystem/task-code"
CLINIC = {"identifier": {"system": TENANT, "value": "clinic"}}
AGENCY = {"identifier": {"system": TENANT, "value": "agency"}}
PANTRY = {"identifier": {"system": TENANT, "value": "pantry"}}


@pytest.fixture(params=["referral", "report"])
def case(request):
    """The shelves of a referral or a report, and its Task on either."""
    own, theirs = request.getfixturevalue("referred" if request.param == "referral" else "reported")
    shelves = ("chart", "support") if request.param == "referral" else ("reports", "intake")
    return f"clinic/{shelves[0]}", f"agency/{shelves[1]}", own, theirs


def beside(**more):
    return {"resourceType": "Task", "intent": "order", "status": "completed", **more}


def told(answer, *words):
    text = json.dumps(refused(answer, 422))
    assert all(word in text for word in words), text


@pytest.mark.parametrize("status", ["accepted", "rejected", "in-progress", "completed", "failed"])
@pytest.mark.parametrize("element", ["basedOn", "focus"])
def test_an_answer_is_given_on_the_referrals_own_task(exchange, case, element, status):
    """The case system makes a Task of its own of the order, and closes that: it learns where to answer."""
    _, agency, _, theirs = case
    asked = [theirs["focus"]] if element == "basedOn" else theirs["focus"]

    answer = exchange.call("POST", f"{agency}/fhir/Task", beside(status=status, **{element: asked}))

    told(answer, f"Task/{theirs['id']}", "partOf")
    assert exchange.get(f"{agency}/fhir/Task/{theirs['id']}").json() == theirs
    assert len(held(exchange, agency, "Task")) == 1


def test_so_it_is_when_the_task_was_planned_first(exchange, case):
    """It was stored as work to do; that it is done is said where the clinic hears it."""
    _, agency, _, theirs = case
    task = {**beside(status="requested"), "id": "own", "focus": theirs["focus"]}
    assert put(exchange, f"{agency}/fhir", task).status_code == 201

    told(put(exchange, f"{agency}/fhir", {**task, "status": "completed"}), f"Task/{theirs['id']}")


def test_work_of_the_agencys_own_is_part_of_its_task(exchange, case):
    """Who visits the family, and when, is the agency's own."""
    clinic, agency, own, theirs = case
    visit = beside(basedOn=[theirs["focus"]], partOf=[{"reference": f"Task/{theirs['id']}"}])

    assert exchange.call("POST", f"{agency}/fhir/Task", visit).status_code == 201

    assert exchange.get(f"{clinic}/fhir/Task/{own['id']}").json() == own


@pytest.mark.parametrize("code", ["abort", "suspend", "resume", "change", "replace"])
@pytest.mark.parametrize("side", ["clinic", "agency"])
def test_to_take_back_is_to_update_the_task_itself(exchange, case, side, code):
    """FHIR knows Tasks that ask to abort another: whoever waits for that is told how it is done here."""
    clinic, agency, own, theirs = case
    shelf, task = (clinic, own) if side == "clinic" else (agency, theirs)
    asks = beside(
        status="requested", code=coded(CODE, code), focus={"reference": f"Task/{task['id']}"}
    )

    told(exchange.call("POST", f"{shelf}/fhir/Task", asks), f"Task/{task['id']}")


@pytest.mark.parametrize("owner", [CLINIC, PANTRY])
def test_an_agency_that_asks_a_partner_by_a_task_is_told_how(exchange, case, owner):
    """The caseworker hands the family on, or asks the clinic, by a Task on the agency's own shelf."""
    _, agency, _, theirs = case
    asks = beside(status="requested", owner=owner, partOf=[{"reference": f"Task/{theirs['id']}"}])

    told(exchange.call("POST", f"{agency}/fhir/Task", asks), "info-needed", "transferred")
    own = {**asks, "owner": AGENCY}
    assert exchange.call("POST", f"{agency}/fhir/Task", own).status_code == 201


def test_an_agency_passes_an_order_of_its_own_on(exchange, case):
    """As a coordination platform does, to those who read its shelf: the order stands in focus."""
    _, agency, _, _ = case
    order = {
        "resourceType": "ServiceRequest", "id": "own", "status": "active", "intent": "filler-order",
        "subject": {"display": "A family"}, "code": {"text": "Food"},
    }  # fmt: skip
    exchange.call("PUT", f"{agency}/fhir/ServiceRequest/own", order)
    asks = beside(status="requested", owner=PANTRY, focus={"reference": "ServiceRequest/own"})

    answer = exchange.call("POST", f"{agency}/fhir/Task", asks)

    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("more", [
    {"basedOn": [{"reference": "ServiceRequest/food-help"}]}, {"focus": {"reference": "Patient/rosa"}}, {},
    {"focus": {"reference": "ServiceRequest/food-help"}, "intent": "unknown"},
])  # fmt: skip
@pytest.mark.parametrize("shelf", ["clinic/chart", "clinic/reports"])
def test_a_task_for_an_agency_that_sends_nothing_is_refused(exchange, patient, shelf, more):
    """The nurse asks the agency by a Task that names the order in another place, or none: nobody would have it."""
    task = {
        **beside(status="requested", owner=AGENCY),
        "for": {"reference": "Patient/rosa"},
        **more,
    }

    answer = exchange.call("POST", f"{shelf}/fhir/Task", task)

    told(answer, "focus")
    assert ("555-0100" in answer.text) is (shelf == "clinic/reports")
    for kept in ({"status": "draft"}, {"intent": "plan"}, {"owner": {"display": "Nurse Kim"}}):
        assert exchange.call("POST", f"{shelf}/fhir/Task", {**task, **kept}).status_code == 201
