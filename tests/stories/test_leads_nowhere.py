"""A message or a question about what is not there, or that nobody was sent: its writer is told, and it is no note."""

import pytest
from exchange import refused, resources
from shelves import CHART, REFER, REPORT, REPORTS, held, of, put
from test_conversation import LIN, WORKER, coded
from test_one_transaction import transaction
from test_poor_is_no_neglect import own_task
from test_reaches_nobody import message, said
from test_report import sibling
from test_unsent import written

from app.sandbox import family

SUPPORT = "agency/support/fhir"
ROSA = {"reference": "Patient/rosa"}
DRAFT = {"resourceType": "ServiceRequest", "id": "later", "status": "draft", "intent": "order",
         "subject": ROSA, "performer": [family.AGENCY]}  # fmt: skip


def messages(exchange, shelf="agency/support"):
    return held(exchange, shelf, "Communication")


@pytest.mark.parametrize("element", ["basedOn", "partOf", "about", "inResponseTo"])
@pytest.mark.parametrize(
    "named",
    ["ServiceRequest/none", "Task/none", "Communication/none", "ServiceRequest?identifier=urn:x|1",
     "https://ehr.example.org/fhir/ServiceRequest/1", "#order"],
)  # fmt: skip
def test_an_order_that_is_not_here(exchange, referred, element, named):
    """A mistyped number: the EHR is told what to name, and no message lies where nobody reads it."""
    inside = [{"resourceType": "ServiceRequest", "id": "order", "status": "active", "intent": "order",
               "subject": ROSA}] if named == "#order" else []  # fmt: skip
    note = message(**{element: [{"reference": named}]}, **({"contained": inside} if inside else {}))

    issues = refused(said(exchange, CHART, note), 422, "not-found")

    assert issues[0]["expression"] == [f"Communication.{element}"]
    assert messages(exchange, "clinic/chart") == []


@pytest.mark.parametrize("kind", [{}, {"type": "ServiceRequest"}, {"type": "Task"}])
def test_a_number_that_nothing_carries(exchange, referred, kind):
    """The order is named by a number of another system."""
    number = {"identifier": {"system": "urn:x", "value": "no-such"}}

    answer = said(exchange, CHART, message(basedOn=[{**number, **kind}]))

    refused(answer, 422, "not-found")
    assert "no-such" not in answer.text


def test_a_report_that_is_not_here_says_whom_to_call(exchange, reported):
    """Who writes to intake about a child is not left without a way."""
    answer = said(exchange, REPORTS, message(basedOn=[{"reference": "ServiceRequest/none"}]))

    refused(answer, 422, "not-found")
    assert "555-0100" in answer.text


def test_an_agency_names_the_clinics_number(exchange, referred):
    """Its case system took the number off the clinic's own copy: it is told, and names its own."""
    task, theirs = referred
    put(exchange, SUPPORT, WORKER)
    note = message(sender={"reference": "PractitionerRole/desk"})

    refused(said(exchange, SUPPORT, {**note, "basedOn": [task["focus"]]}), 422, "not-found")

    assert said(exchange, SUPPORT, {**note, "basedOn": [theirs["focus"]]}).status_code == 201
    assert len(messages(exchange, "clinic/chart")) == 1


@pytest.mark.parametrize("status", ["draft", "active", "on-hold"])
def test_an_order_that_nobody_was_sent(exchange, patient, status):
    """The agency does not have it yet: send it first; what is still being written waits."""
    put(exchange, CHART, {**DRAFT, "status": status})
    note = message(basedOn=[{"reference": "ServiceRequest/later"}])

    refused(said(exchange, CHART, note), 422, "business-rule")

    assert said(exchange, CHART, {**note, "status": "preparation"}).status_code == 201


def test_a_report_that_nobody_was_sent(exchange):
    """The report is written and not sent: whoever adds a word to it is told whom to call."""
    request = written(exchange)
    note = message(basedOn=[{"reference": f"ServiceRequest/{request['id']}"}])

    answer = said(exchange, REPORTS, note)

    refused(answer, 422, "business-rule")
    assert "555-0100" in answer.text


@pytest.mark.parametrize(
    "more",
    [{}, {"subject": ROSA}, {"about": [ROSA]}, {"about": [{"identifier": {"value": "letter 7"}}]},
     {"basedOn": [{"reference": "ServiceRequest/x-ray"}]}, {"basedOn": [{"reference": "CarePlan/none"}]},
     {"basedOn": [{"reference": "ServiceRequest/old"}]}, {"basedOn": [{"display": "what we spoke of"}]},
     {"basedOn": [{"reference": "ServiceRequest/later"}], "recipient": [ROSA]},
     {"basedOn": [{"reference": "ServiceRequest/none"}], "recipient": [ROSA]},
     {"inResponseTo": [{"reference": "Communication/own"}]}],
)  # fmt: skip
def test_a_note_of_the_clinics_own_is_stored(exchange, patient, more):
    """About no referral, one that has ended unsent, or to the family: it is the chart's, and goes to nobody."""
    put(exchange, CHART, DRAFT)
    put(exchange, CHART, {**DRAFT, "id": "old", "status": "completed"})
    put(exchange, CHART, {**DRAFT, "id": "x-ray", "performer": [{"display": "Imaging"}]})
    put(exchange, CHART, {**message(), "id": "own"})

    answer = said(exchange, CHART, message(**more))

    assert answer.status_code == 201, answer.text


def test_a_note_that_stands_may_be_mended(exchange, patient):
    """It was stored when its order stood; that the order is gone by now is no reason to refuse its second version."""
    put(exchange, CHART, {**DRAFT, "id": "x-ray", "performer": [{"display": "Imaging"}]})
    note = {**message(basedOn=[{"reference": "ServiceRequest/x-ray"}]), "id": "note"}
    assert put(exchange, CHART, note).status_code == 201
    exchange.call("DELETE", f"{CHART}/ServiceRequest/x-ray")

    assert put(exchange, CHART, {**note, "priority": "urgent"}).status_code == 200


def test_an_answer_to_a_message_is_of_its_referral(exchange, referred):
    """The clinic's mail client knows what it answers and nothing else: the agency has the answer."""
    _, theirs = referred
    put(exchange, SUPPORT, WORKER)
    asks = message(basedOn=[theirs["focus"]], sender={"reference": "PractitionerRole/desk"})
    first = said(exchange, SUPPORT, asks).json()
    (arrived,) = messages(exchange, "clinic/chart")

    answer = said(
        exchange, CHART, message(inResponseTo=[{"reference": f"Communication/{arrived['id']}"}])
    )

    assert answer.status_code == 201, answer.text
    (copy,) = (one for one in messages(exchange) if one["id"] != first["id"])
    assert copy["inResponseTo"] == [{"reference": f"Communication/{first['id']}"}]


def test_a_word_to_the_clinician_that_names_no_referral(exchange, referred):
    """The agency writes to the one who referred, by the name that she has on its shelf."""
    _, theirs = referred

    refused(said(exchange, SUPPORT, message(recipient=[theirs["requester"]])), 422)


def test_a_task_is_named_by_the_number_of_the_exchange(exchange, referred):
    """Both sides know the referral by one number."""
    task, _ = referred
    number = task["identifier"][-1]

    answer = said(exchange, CHART, message(about=[{"type": "Task", "identifier": number}]))

    assert answer.status_code == 201, answer.text
    assert len(messages(exchange)) == 1


# ---- questions


def question(**more):
    return {"resourceType": "Task", "status": "requested", "intent": "order", "requester": LIN,
            "code": coded("task-code", "info-needed"),
            "input": [{"type": coded("task-input", "question"),
                       "valueCodeableConcept": coded("cps-question", "call-back")}], **more}  # fmt: skip


def asked(exchange, shelf="agency/support"):
    return [one for one in held(exchange, shelf, "Task") if "partOf" in one]


@pytest.mark.parametrize("named", ["nothing", "another", "the order"])
def test_a_question_that_is_part_of_nothing(exchange, referred, named):
    """Nobody would answer it: it is refused, and what it is part of is said."""
    task, _ = referred
    more = {"nothing": {}, "another": {"partOf": [{"reference": "Task/none"}]},
            "the order": {"focus": task["focus"]}}[named]  # fmt: skip

    issues = refused(exchange.call("POST", f"{CHART}/Task", question(**more)), 422)

    assert issues[0]["expression"] == ["Task.partOf"]


def test_a_question_by_the_number_of_the_exchange(exchange, referred):
    """It is part of the Task that carries the number."""
    task, _ = referred

    answer = exchange.call(
        "POST", f"{CHART}/Task", question(partOf=[{"identifier": task["identifier"][-1]}])
    )

    assert answer.status_code == 201, answer.text
    assert len(asked(exchange)) == 1


def test_a_question_that_is_still_being_written_waits(exchange, referred):
    """A draft is nobody's to answer; it goes when it is asked."""
    task, _ = referred
    made = {**question(partOf=[{"reference": f"Task/{task['id']}"}]), "id": "mine"}

    assert put(exchange, CHART, {**made, "status": "draft"}).status_code == 201
    assert asked(exchange) == []

    assert put(exchange, CHART, made).status_code == 200
    assert len(asked(exchange)) == 1


# ---- in one transaction with what they are about


def sending(first):
    """A referral as an EHR writes it in one transaction, with what is said of it first or last."""
    made = family.referral("ServiceRequest/none", consented=True)
    request = of(made, "ServiceRequest")
    task = {"resourceType": "Task", "id": "mine", "status": "requested", "intent": "order",
            "focus": {"reference": f"ServiceRequest/{request['id']}"}, "owner": request["performer"][0],
            "for": ROSA}  # fmt: skip
    said_of_it = [message(basedOn=[task["focus"]]), question(partOf=[{"reference": "Task/mine"}])]
    sent = [*(one["resource"] for one in made["entry"]), task]
    return [*said_of_it, *sent] if first else [*sent, *said_of_it]


@pytest.mark.parametrize("first", [True, False])
def test_a_message_beside_its_referral_goes_with_it(exchange, first):
    """The EHR writes everything in one transaction, in whatever order: the agency has the referral and the words."""
    answer = transaction(exchange, CHART, *sending(first))

    assert answer.status_code == 200, answer.text
    kinds = [one["resource"]["resourceType"] for one in answer.json()["entry"]]
    assert kinds == [one["resourceType"] for one in sending(first)]
    (copy,) = messages(exchange)
    (order,) = held(exchange, "agency/support", "ServiceRequest")
    assert copy["basedOn"] == [{"reference": f"ServiceRequest/{order['id']}"}]
    (asks,) = asked(exchange)
    (theirs,) = (one for one in held(exchange, "agency/support", "Task") if "partOf" not in one)
    assert asks["partOf"] == [{"reference": f"Task/{theirs['id']}"}]
    assert put(exchange, SUPPORT, {**theirs, "status": "accepted"}).status_code == 200
    (mine,) = (one for one in held(exchange, "clinic/chart", "Task") if "partOf" not in one)
    assert mine["status"] == "accepted"


def test_it_comes_again_and_is_read_once(exchange):
    """The EHR heard no answer, and sends the same once more."""
    transaction(exchange, CHART, *sending(first=True))

    assert transaction(exchange, CHART, *sending(first=True)).status_code == 200

    assert len(messages(exchange)) == len(asked(exchange)) == 1


def test_a_message_that_nobody_signs_loses_no_report(exchange):
    """It keeps the transaction from going: what was written is kept, and whom to call is said."""
    made = family.report(by_device=False)
    note = {
        **message(basedOn=[{"reference": "ServiceRequest/report"}]),
        "sender": {"reference": "Device/x"},
    }
    sent = [one["resource"] for one in made["entry"]]

    answer = transaction(exchange, REPORTS, note, *sent, own_task())

    refused(answer, 422)
    assert "555-0100" in answer.text
    assert held(exchange, "agency/intake") == []
    assert [one["status"] for one in held(exchange, "clinic/reports", "Task")] == ["draft"]
    signed = transaction(exchange, REPORTS, {**note, "sender": LIN}, *sent, own_task())
    assert resources(signed, "Task")
    assert len(messages(exchange, "agency/intake")) == 1


def within(bundle, *more):
    """The Bundle of an operation, with these in it."""
    return {**bundle, "entry": [*({"resource": one} for one in more), *bundle["entry"]]}


@pytest.mark.parametrize("identity", [{}, {"id": "word"}])
def test_a_message_in_a_referrals_bundle_goes_with_it(exchange, identity):
    """The EHR puts the clinician's words into what it refers by: the agency reads them, once."""
    made = family.referral("ServiceRequest/none", consented=True)
    order = {"reference": f"ServiceRequest/{of(made, 'ServiceRequest')['id']}"}
    sent = within(made, {**message(basedOn=[order]), **identity})

    for _ in range(2):
        assert resources(exchange.call("POST", REFER, sent), "Task")

    (copy,) = messages(exchange)
    assert copy["payload"] == [{"contentString": "Please call."}]
    assert [
        one["code"]["text"]
        for one in held(exchange, "clinic/chart", "Task")
        if "text" in one["code"]
    ] == []


@pytest.mark.parametrize("signed", [True, False])
def test_a_message_in_a_reports_bundle(exchange, signed):
    """Intake reads it; one that nobody signs stays where it is, and the report does not wait for it."""
    note = message(basedOn=[{"reference": "ServiceRequest/report"}])
    note = note if signed else {**note, "sender": {"reference": "Device/x"}}

    assert resources(
        exchange.call("POST", REPORT, within(family.report(by_device=False), note)), "Task"
    )

    assert len(messages(exchange, "agency/intake")) == signed
    assert len(messages(exchange, "clinic/reports")) == 1


def test_a_message_in_one_siblings_bundle(exchange):
    """Two children of one family, reported in one act: intake reads what is said beside the second one's."""
    first, second = sibling(1), sibling(2)
    note = message(basedOn=[{"reference": "ServiceRequest/report-2"}])
    second = {"resource": within(second["resource"], note)}
    both = {"resourceType": "Bundle", "type": "collection", "entry": [first, second]}

    for _ in range(2):
        assert len(resources(exchange.call("POST", REPORT, both), "Task")) == 2

    (copy,) = messages(exchange, "agency/intake")
    (sent,) = exchange.rows(
        "SELECT copies FROM exchange WHERE source_request = 'ServiceRequest/report-2'"
    )
    assert copy["basedOn"][0]["reference"].split("/")[1] in sent[0]


class TestPushed:
    """The agency has a server of its own."""

    @pytest.fixture
    def endpoints(self):
        return {"agency/support": "https://agency.example.org/fhir"}

    def test_the_referral_is_pushed_before_its_words(self, exchange):
        """Both go, in their order."""
        assert transaction(exchange, CHART, *sending(first=True)).status_code == 200

        exchange.until(lambda: exchange.rows("SELECT id FROM outbox WHERE state = 'owed'") == [])

        pushed = [
            {one["resource"]["resourceType"] for one in body["entry"]}
            for _, body in exchange.network.sent
        ]
        assert "ServiceRequest" in pushed[0]
        assert any("Communication" in one for one in pushed)
