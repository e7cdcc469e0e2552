"""An order for an agency that stands on the chart and was sent to nobody: somebody can see that it was not."""

import pytest
from exchange import refused, resources
from shelves import CHART, REFER, TENANT, held, of, put

from app.sandbox import family


def order(**more):
    made = of(family.referral("ServiceRequest/none", consented=True), "ServiceRequest")
    made.pop("basedOn")
    return {**made, **more}


def drafts(exchange, status="draft"):
    return [
        one
        for one in held(exchange, "clinic/chart", "Task")
        if one["status"] == status and "Nobody has this" in str(one.get("code"))
    ]


def test_an_order_without_a_task_leaves_a_draft(exchange, patient):
    """The EHR orders help of the agency and knows no Tasks: the chart says that nobody has it, once."""
    answer = put(exchange, CHART, order(), Prefer="return=OperationOutcome")

    assert "Nobody has this referral yet" in answer.text
    (draft,) = drafts(exchange)
    assert draft["focus"] == {"reference": f"ServiceRequest/{order()['id']}"}
    assert "555-0100" not in answer.text
    assert held(exchange, "agency/support") == []
    put(exchange, CHART, order(priority="urgent"))
    assert len(drafts(exchange)) == 1


def test_a_draft_stands_with_the_childs_tasks(exchange, patient):
    """Who opens the child's chart sees that nobody has the referral; moved to another child, it is theirs."""
    put(exchange, CHART, {"resourceType": "Patient", "id": "ben"})

    for child in (patient["id"], "ben"):
        put(exchange, CHART, order(subject={"reference": f"Patient/{child}"}))

        (found,) = resources(exchange.get(f"{CHART}/Task?patient={child}"))
        assert found["focus"] == {"reference": f"ServiceRequest/{order()['id']}"}
        assert len(drafts(exchange)) == 1


MISTYPED = {"identifier": {"system": TENANT, "value": "agencie"}, "display": "Agency"}
GUIDE = (
    "http://hl7.org/fhir/us/sdoh-clinicalcare/StructureDefinition/SDOHCC-TaskForReferralManagement"
)


def asks(owner, **more):
    return {"resourceType": "Task", "id": "own", "status": "requested", "intent": "order",
            "focus": {"reference": f"ServiceRequest/{order()['id']}"}, "for": order()["subject"],
            "owner": owner, **more}  # fmt: skip


@pytest.mark.parametrize("contained", [False, True])
def test_a_task_to_an_agency_that_is_not_there_is_refused(exchange, patient, contained):
    """The agency's number of this exchange is mistyped, or the agency has left: the family is not left waiting."""
    put(exchange, CHART, order(performer=[MISTYPED]))
    owner = MISTYPED
    if contained:
        agency = {"resourceType": "Organization", "id": "a", "identifier": [MISTYPED["identifier"]]}
        put(exchange, CHART, agency)
        owner = {"reference": "Organization/a"}

    issues = refused(put(exchange, CHART, asks(owner)), 422)

    assert "registered partner" in issues[0]["details"]["text"]
    assert exchange.get(f"{CHART}/Task/own").status_code == 404


def test_an_order_to_an_agency_that_is_not_there_leaves_a_draft(exchange, patient):
    """It is written and no Task comes: the chart says that nobody has it."""
    put(exchange, CHART, order(performer=[MISTYPED]))

    assert len(drafts(exchange)) == 1


@pytest.mark.parametrize(
    "owner", [{"display": "Food pantry"}, {"identifier": {"system": "urn:x", "value": "1"}}]
)
def test_a_guides_task_to_somebody_else_says_that_nobody_is_sent_it(exchange, patient, owner):
    """It may go another way, so that it is stored; who relies on this exchange reads that it does not."""
    put(exchange, CHART, order())
    task = asks(owner, meta={"profile": [GUIDE]})

    answer = put(exchange, CHART, task, Prefer="return=OperationOutcome")

    assert answer.status_code == 201
    assert "sends it to nobody" in answer.text
    other = put(exchange, CHART, {**asks(owner), "id": "lab"}, Prefer="return=OperationOutcome")
    assert "sends it to nobody" not in other.text


@pytest.mark.parametrize("how", ["operation", "Task", "Bundle of the EHR"])
def test_it_is_done_when_the_order_goes(exchange, patient, how):
    """The same order is sent, a second or a day later."""
    made = family.referral("ServiceRequest/none", consented=True)
    of(made, "ServiceRequest").pop("basedOn")
    for one in made["entry"]:
        put(exchange, CHART, one["resource"])
    assert len(drafts(exchange)) == 1
    request = of(made, "ServiceRequest")
    task = {"resourceType": "Task", "id": "own", "status": "requested", "intent": "order",
            "focus": {"reference": f"ServiceRequest/{request['id']}"}, "for": request["subject"],
            "owner": request["performer"][0]}  # fmt: skip

    if how == "operation":
        assert resources(exchange.call("POST", REFER, made), "Task")
    elif how == "Task":
        assert put(exchange, CHART, task).status_code == 201
    else:
        entries = [{"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
                   for one in (request, task)]  # fmt: skip
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        assert exchange.call("POST", CHART, bundle).status_code == 200

    assert drafts(exchange) == []
    (done,) = drafts(exchange, "completed")
    assert done["output"][0]["valueReference"]["reference"].startswith("Task/")
    assert len(held(exchange, "agency/support", "Task")) == 1


def test_an_order_that_is_sent_at_once_leaves_none(exchange, referred):
    """Nothing waits, so nothing is said."""
    assert drafts(exchange) + drafts(exchange, "completed") == []


@pytest.mark.parametrize("more", [
    {"status": "draft"}, {"intent": "proposal"}, {"intent": "plan"}, {"performer": [{"display": "The lab"}]},
    {"performer": [{"identifier": {"system": TENANT, "value": "clinic"}}]}, {"performer": []},
])  # fmt: skip
def test_what_is_for_nobody_here_leaves_none(exchange, patient, more):
    """A proposal, or an order for the clinic's own people."""
    made = {name: value for name, value in order(**more).items() if value}

    assert put(exchange, CHART, made).status_code == 201

    assert held(exchange, "clinic/chart", "Task") == []


def test_an_order_that_is_taken_back_waits_no_more(exchange, patient):
    """The family changed its mind before anybody sent it."""
    put(exchange, CHART, order())

    put(exchange, CHART, order(status="revoked"))

    assert drafts(exchange) == []
    assert len(drafts(exchange, "cancelled")) == 1


def test_an_order_that_is_deleted_waits_no_more(exchange, patient):
    """It was entered by mistake and is gone; so is the reminder."""
    put(exchange, CHART, order())

    exchange.call("DELETE", f"{CHART}/ServiceRequest/{order()['id']}")

    assert drafts(exchange) == []


class TestOwnServer:
    """The EHR has a server of its own."""

    @pytest.fixture
    def endpoints(self):
        return {"clinic/chart": "https://ehr.example.org/fhir"}

    @pytest.mark.usefixtures("patient")
    def test_the_draft_is_not_pushed(self, exchange):
        """EHRs write an order and its Task a second apart: a push of each would teach to overlook them."""
        put(exchange, CHART, order())

        assert len(drafts(exchange)) == 1
        assert exchange.rows("SELECT * FROM outbox") == []
