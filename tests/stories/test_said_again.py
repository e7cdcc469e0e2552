"""What people say to each other on a referral: each word once, however often it comes, and however much is said."""

from datetime import timedelta

import pytest
from exchange import refused
from shelves import CHART, REPORTS, put
from test_conversation import LIN, QUESTION, WORKER, coded, held, message, questions
from test_labels import label

SAM = {"display": "Sam Porter"}
SUPPORT = "agency/support/fhir"
INTAKE = "agency/intake/fhir"


def say(exchange, shelf, made):
    return exchange.call("POST", f"{shelf}/Communication", made)


def record(exchange, task, **event):
    answer = exchange.call("POST", f"{INTAKE}/Task/{task['id']}/$record-event", event)
    assert answer.status_code == 200, answer.text
    return answer


def test_a_message_without_a_number_that_is_sent_again_is_read_once(exchange, referred):
    """The answer was lost on its way: the same words some minutes later are the same message."""
    _, theirs = referred
    made = message(theirs["focus"]["reference"], SAM, "Please call.")

    first = say(exchange, SUPPORT, made)
    exchange.now += timedelta(minutes=9)
    second = say(exchange, SUPPORT, made)

    assert (first.status_code, second.status_code) == (201, 200), second.text
    assert second.json()["id"] == first.json()["id"]
    assert len(held(exchange, "clinic/chart", "Communication")) == 1


def test_the_same_words_on_another_day_are_another_message(exchange, referred):
    """Nobody has called: the caseworker asks again, and the clinic has it twice."""
    _, theirs = referred
    made = message(theirs["focus"]["reference"], SAM, "Please call.")

    for _ in range(2):
        assert say(exchange, SUPPORT, made).status_code == 201
        exchange.now += timedelta(minutes=11)

    assert len(held(exchange, "clinic/chart", "Communication")) == 2


def test_what_says_when_it_was_sent_is_known_for_good(exchange, referred):
    """A queue of the EHR goes on after a night: what it had sent before is no second message."""
    assert referred
    request = f"ServiceRequest/{held(exchange, 'clinic/chart', 'ServiceRequest')[0]['id']}"
    made = message(request, LIN, "She is home.", sent="2026-11-23T15:00:00Z")

    first = say(exchange, CHART, made)
    exchange.now += timedelta(hours=14)
    second = say(exchange, CHART, made)

    assert (first.status_code, second.status_code) == (201, 200), second.text
    later = {**made, "sent": "2026-11-23T15:00:01Z"}
    assert say(exchange, CHART, later).status_code == 201
    assert len(held(exchange, "agency/support", "Communication")) == 2


def test_however_much_is_said_the_referral_stays_small(exchange, reported):
    """A long case: what the exchange keeps of it does not grow with each word."""
    task, theirs = reported
    put(exchange, INTAKE, WORKER)
    here, there = task["focus"]["reference"], theirs["focus"]["reference"]
    sizes = []

    for number in range(12):
        say(exchange, REPORTS, message(here, LIN, f"To you, {number}"))
        say(exchange, INTAKE, message(there, SAM, f"To us, {number}"))
        sizes.append(len(exchange.rows("SELECT terms FROM exchange")[0][0]))

    assert sizes[-1] == sizes[0]
    first = next(
        one for one in held(exchange, "agency/intake", "Communication")
        if one["payload"][0]["contentString"] == "To you, 0"
    )  # fmt: skip
    put(exchange, INTAKE, {**first, "received": "2026-11-23T16:00:00Z"})
    read = [one for one in held(exchange, "clinic/reports", "Communication") if "received" in one]
    assert [one["payload"][0]["contentString"] for one in read] == ["To you, 0"]


def test_a_message_answers_another(exchange, reported):
    """What it is the answer to is the other side's own message there."""
    task, theirs = reported
    asked = say(exchange, INTAKE, message(theirs["focus"]["reference"], SAM, "Where is she?"))
    (seen,) = held(exchange, "clinic/reports", "Communication")

    reply = message(task["focus"]["reference"], LIN, "On ward 3.",
                    inResponseTo=[{"reference": f"Communication/{seen['id']}"}])  # fmt: skip
    assert say(exchange, REPORTS, reply).status_code == 201

    (arrived,) = (one for one in held(exchange, "agency/intake", "Communication") if "inResponseTo" in one)  # fmt: skip
    assert arrived["inResponseTo"] == [{"reference": f"Communication/{asked.json()['id']}"}]


def test_a_message_about_a_version_of_the_order_goes_too(exchange, reported):
    """An EHR that names the version which it has read means the order: the message was kept and went nowhere."""
    task, _ = reported
    request = f"{task['focus']['reference']}/_history/1"

    assert say(exchange, REPORTS, message(request, LIN, "She is home.")).status_code == 201

    assert len(held(exchange, "agency/intake", "Communication")) == 1


def test_a_second_question_is_a_second_question(exchange, reported):
    """Intake asks where the child is, then what was found: the clinician reads both, and each is answered."""
    _, theirs = reported
    record(exchange, theirs, event="received", owner={"name": "Sam Porter", "phone": "555-0142"})

    record(exchange, theirs, event="awaiting-information", question="child-location")
    record(exchange, theirs, event="awaiting-information", question="injury-detail")

    asked = questions(exchange, "clinic/reports")
    codes = {one["input"][0]["valueCodeableConcept"]["coding"][0]["code"] for one in asked}
    assert codes == {"child-location", "injury-detail"}


def test_a_question_that_is_sent_again_does_not_take_its_answer_back(exchange, reported):
    """The clinician was quicker than the network: the answer stands, and nothing is asked twice."""
    _, theirs = reported
    record(exchange, theirs, event="received", owner={"name": "Sam Porter", "phone": "555-0142"})
    ask = {"event": "awaiting-information", "question": "child-location"}
    record(exchange, theirs, **ask)
    (child,) = questions(exchange, "clinic/reports")
    answer = [{"type": coded("task-output", "answer"), "valueString": "On ward 3."}]
    put(exchange, REPORTS, {**child, "status": "completed", "output": answer})

    record(exchange, theirs, **ask)

    (asked,) = questions(exchange, "agency/intake")
    assert (asked["status"], asked["output"][0]["valueString"]) == ("completed", "On ward 3.")
    exchange.now += timedelta(hours=1)
    record(exchange, theirs, **ask)
    assert sorted(one["status"] for one in questions(exchange, "clinic/reports")) == [
        "completed", "requested",
    ]  # fmt: skip


@pytest.mark.parametrize("code", ["42CFRPart2", "PSYTHPN"])
def test_what_is_labelled_is_not_said_on_a_report(exchange, reported, code):
    """What follows a report is no report: treatment records stay, and who writes of them is told."""
    task, _ = reported
    made = message(task["focus"]["reference"], LIN, "Her mother is in treatment.")

    issues = refused(say(exchange, REPORTS, {**made, "meta": {"security": [label(code)]}}), 422)

    assert (issues[0]["code"], issues[0]["expression"]) == (
        "suppressed", ["Communication.meta.security"],
    )  # fmt: skip
    assert held(exchange, "agency/intake", "Communication") == []


@pytest.mark.parametrize("shelf", ["clinic/chart", "agency/support"])
def test_what_is_labelled_is_not_said_on_a_referral(exchange, referred, shelf):
    """The family agreed to help with food; neither side writes of an addiction under that."""
    task, theirs = referred
    about = task if shelf == "clinic/chart" else theirs
    made = message(about["focus"]["reference"], SAM, "She drinks.", meta={"security": [label("ETHUD")]})  # fmt: skip

    refused(say(exchange, f"{shelf}/fhir", made), 422, "suppressed")

    for place in ("clinic/chart", "agency/support"):
        assert held(exchange, place, "Communication") == []


def test_a_labelled_question_or_answer_stays(exchange, reported):
    """The same of what is asked and answered."""
    task, _ = reported
    secret = {"meta": {"security": [label("42CFRPart2")]}}
    asked = {
        "resourceType": "Task", "status": "requested", "intent": "order", "requester": LIN,
        "code": coded("task-code", "info-needed"), "partOf": [{"reference": f"Task/{task['id']}"}],
        "input": [{"type": coded("task-input", "question"), "valueCodeableConcept": QUESTION}],
    }  # fmt: skip

    refused(exchange.call("POST", f"{REPORTS}/Task", {**asked, **secret}), 422, "suppressed")
    assert exchange.call("POST", f"{REPORTS}/Task", asked).status_code == 201
    (child,) = questions(exchange, "agency/intake")
    answer = [{"type": coded("task-output", "answer"), "valueString": "In treatment."}]
    labels = {"security": [*child["meta"]["security"], label("42CFRPart2")]}
    said = {**child, "status": "completed", "output": answer, "meta": {**child["meta"], **labels}}

    refused(put(exchange, INTAKE, said), 422, "suppressed")

    assert questions(exchange, "clinic/reports")[0]["status"] == "requested"


def test_what_an_agency_labels_does_not_come_back(exchange, referred):
    """Its programme treats addictions: a Procedure with that label stays there, and the answer says so."""
    _, theirs = referred
    procedure = {
        "resourceType": "Procedure", "id": "helped", "status": "completed", "subject": theirs["for"],
        "code": {"text": "Counselling"}, "meta": {"security": [label("42CFRPart2")]},
    }  # fmt: skip
    put(exchange, SUPPORT, procedure)
    put(exchange, SUPPORT, {**theirs, "status": "accepted"})
    output = [{
        "type": {"coding": [{
            "system": "http://hl7.org/fhir/us/sdoh-clinicalcare/CodeSystem/SDOHCC-CodeSystemTemporaryCodes",
            "code": "resulting-activity"}]},
        "valueReference": {"reference": "Procedure/helped"},
    }]  # fmt: skip
    task = exchange.get(f"{SUPPORT}/Task/{theirs['id']}").json()

    answer = put(exchange, SUPPORT, {**task, "status": "completed", "output": output},
                 Prefer="return=OperationOutcome")  # fmt: skip

    assert answer.status_code == 200, answer.text
    assert "does not go to the clinic" in answer.text
    assert held(exchange, "clinic/chart", "Procedure") == []


def stands(exchange, shelf):
    (one,) = held(exchange, shelf, "Communication")
    return one


@pytest.mark.parametrize("kind", ["referred", "reported"])
def test_a_message_to_the_wrong_family_is_taken_back(exchange, request, kind):
    """It was written on the wrong referral: the agency reads that it was an error; of help for a family no word stays."""
    task, _ = request.getfixturevalue(kind)
    here, there = {
        "referred": ("clinic/chart", "agency/support"),
        "reported": ("clinic/reports", "agency/intake"),
    }[kind]
    say(exchange, f"{here}/fhir", message(task["focus"]["reference"], LIN, "Leo has scabies."))
    mine = stands(exchange, here)

    answer = put(exchange, f"{here}/fhir", {**mine, "status": "entered-in-error"})

    assert answer.status_code == 200, answer.text
    assert stands(exchange, here)["status"] == "entered-in-error"
    copy = stands(exchange, there)
    assert copy["status"] == "entered-in-error"
    assert ("payload" in copy) == (kind == "reported")
    past = exchange.get(f"{there}/fhir/Communication/{copy['id']}/_history")
    assert ("scabies" in past.text) == (kind == "reported")
    assert "received" not in copy


def test_only_its_writer_takes_a_message_back(exchange, referred):
    """Who was written to cannot say that it was an error, nor does a copy of before revive it."""
    task, _ = referred
    say(exchange, CHART, message(task["focus"]["reference"], LIN, "She is home."))
    mine, copy = stands(exchange, "clinic/chart"), stands(exchange, "agency/support")

    refused(put(exchange, SUPPORT, {**copy, "status": "entered-in-error"}), 403)
    put(exchange, CHART, {**mine, "status": "entered-in-error"})
    put(exchange, CHART, mine)

    assert stands(exchange, "clinic/chart")["status"] == "entered-in-error"
    assert stands(exchange, "agency/support")["status"] == "entered-in-error"


def test_a_message_that_its_writer_puts_again_is_not_read_by_that(exchange, referred):
    """An EHR writes all that it has once more at night: nobody at the agency has read a word."""
    task, _ = referred
    say(exchange, CHART, message(task["focus"]["reference"], LIN, "She is home."))

    assert put(exchange, CHART, stands(exchange, "clinic/chart")).status_code == 200

    assert "received" not in stands(exchange, "clinic/chart")
    assert "received" not in stands(exchange, "agency/support")


def test_a_message_about_another_child_does_not_go(exchange, referred):
    """It says itself that it is about a brother: it is not put beside his sister's referral."""
    task, theirs = referred
    put(exchange, CHART, {"resourceType": "Patient", "id": "leo", "name": [{"family": "Other"}]})
    made = message(task["focus"]["reference"], LIN, "He limps.", subject={"reference": "Patient/leo"})  # fmt: skip

    issues = refused(say(exchange, CHART, made), 422, "invalid")

    assert issues[0]["expression"] == ["Communication.subject"]
    assert held(exchange, "agency/support", "Communication") == []
    for shelf, subject in ((CHART, task["for"]), (SUPPORT, theirs["for"])):
        about = task if shelf == CHART else theirs
        own = message(about["focus"]["reference"], SAM, f"From {shelf}", subject=subject)
        assert say(exchange, shelf, own).status_code == 201


@pytest.mark.parametrize("status", ["preparation", "on-hold", "not-done"])
def test_a_message_that_is_being_written_is_not_sent(exchange, referred, status):
    """The caseworker saves a draft: the clinic reads it when it is finished, and not before."""
    _, theirs = referred
    made = message(theirs["focus"]["reference"], SAM, "We think", status=status)

    draft = say(exchange, SUPPORT, made)

    assert draft.status_code == 201, draft.text
    assert held(exchange, "clinic/chart", "Communication") == []
    done = {**draft.json(), "status": "completed", "payload": [{"contentString": "We call."}]}
    assert put(exchange, SUPPORT, done).status_code == 200
    assert stands(exchange, "clinic/chart")["payload"] == [{"contentString": "We call."}]


def test_what_is_no_text_in_a_message_is_said_to_stay(exchange, reported):
    """A photograph beside the words: the words go, and who wrote them knows that the picture did not."""
    task, _ = reported
    made = message(task["focus"]["reference"], LIN, "See the photo.")
    made["payload"].append({"contentAttachment": {"contentType": "image/png", "data": "aGk="}})

    answer = exchange.call(
        "POST", f"{REPORTS}/Communication", made, Prefer="return=OperationOutcome"
    )

    assert "was not sent" in answer.text
    assert stands(exchange, "agency/intake")["payload"] == [{"contentString": "See the photo."}]


@pytest.mark.parametrize(
    ("event", "at"),
    [
        ({"event": "awaiting-information", "detail": "Where is she?"}, "question"),
        ({"event": "received", "intakeNumber": "The father did it"}, "intakeNumber"),
        ({"event": "received", "custodian": {"name": "Aunt", "phone": "ask her"}}, "custodian"),
        ({"event": "received", "question": "child-location"}, "owner"),
    ],
)
def test_what_would_reach_nobody_is_refused(exchange, reported, event, at):
    """It was taken, kept, and told to nobody: now who says it hears what to write."""
    _, theirs = reported
    path = f"{INTAKE}/Task/{theirs['id']}/$record-event"

    issues = refused(exchange.call("POST", path, event), 422)

    assert issues[0]["expression"] == [at]
    assert exchange.get(f"{INTAKE}/Task/{theirs['id']}").json()["status"] == "requested"


def test_a_status_without_its_business_status_is_told_what_may_follow(exchange, reported):
    """A caseworker at five o'clock: the refusal says which steps there are, and how to write them."""
    _, theirs = reported

    issues = refused(put(exchange, INTAKE, {**theirs, "status": "completed"}), 422)

    assert "received (status received)" in issues[0]["details"]["text"]
    assert "code of businessStatus" in issues[0]["details"]["text"]


@pytest.mark.parametrize("code", [
    {"coding": [{"code": "linked-to-open-case"}]}, {"text": "Linked to open case"},
    {"coding": [{"system": "urn:agency", "code": "L"}]},
], ids=["no system", "text", "its own"])  # fmt: skip
@pytest.mark.parametrize("status", ["accepted", "requested"])
def test_a_business_status_in_other_words_is_no_step(exchange, reported, status, code):
    """A case system links the report to an open case, in its own words: nobody records that it was screened in."""
    _, theirs = reported

    issues = refused(
        put(exchange, INTAKE, {**theirs, "status": status, "businessStatus": code}), 422
    )

    assert issues[0]["expression"] == ["Task.businessStatus"]
    assert "CodeSystem/cps-task-status" in issues[0]["details"]["text"]
    assert exchange.get(f"{INTAKE}/Task/{theirs['id']}").json()["status"] == "requested"
