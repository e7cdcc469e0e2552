"""Both sides talk about a referral: questions with an answer, messages, and whether they were read."""

from datetime import timedelta

import pytest
from exchange import refused

from app.sandbox import family

KINBRIDGE = family.KINBRIDGE
WORKER = {
    "resourceType": "PractitionerRole", "id": "desk", "practitioner": {"display": "Sam Porter"},
    "telecom": [{"system": "phone", "value": "555-0142"}],
}  # fmt: skip
LIN = {"reference": "PractitionerRole/dr-lin-pediatrics"}
QUESTION = {
    "coding": [{"system": f"{KINBRIDGE}/CodeSystem/cps-question", "code": "child-location"}]
}


def coded(system, code):
    return {"coding": [{"system": f"{KINBRIDGE}/CodeSystem/{system}", "code": code}]}


def held(exchange, shelf, kind):
    """What of a type stands on a shelf, as it is read there."""
    found = exchange.rows(f"SELECT id FROM resource WHERE shelf = '{shelf}' AND type = '{kind}'")
    return [exchange.get(f"{shelf}/fhir/{kind}/{row[0]}").json() for row in found]


def questions(exchange, shelf):
    return [one for one in held(exchange, shelf, "Task") if "partOf" in one]


@pytest.fixture
def asked(exchange, reported):
    """Intake asks where the child is."""
    _, theirs = reported
    record = f"agency/intake/fhir/Task/{theirs['id']}/$record-event"
    owner = {"name": "Sam Porter", "phone": "555-0142"}
    assert exchange.call("POST", record, {"event": "received", "owner": owner}).status_code == 200
    body = {
        "event": "awaiting-information",
        "question": "child-location",
        "due": "2026-11-24T15:00:00Z",
    }
    assert exchange.call("POST", record, body).status_code == 200
    return reported


def test_a_question_reaches_the_clinician(exchange, asked):
    """Where is the child? The clinic's Task waits, and the question stands beside it with its due time."""
    task, _ = asked

    child = questions(exchange, "clinic/reports")[0]

    assert child["partOf"] == [{"reference": f"Task/{task['id']}"}]
    assert child["status"] == "requested"
    assert child["input"][0]["valueCodeableConcept"]["text"] == "Where is the child now?"
    assert child["restriction"]["period"]["end"] == "2026-11-24T15:00:00Z"
    assert child["requester"]["display"] == "Sam Porter"
    parent = exchange.get(f"clinic/reports/fhir/Task/{task['id']}").json()
    assert parent["businessStatus"]["coding"][0]["code"] == "awaiting-information"
    assert parent["status"] == "received"


def test_the_answer_reaches_the_caseworker(exchange, asked):
    """One PUT by the clinic, and intake reads the answer on its own Task."""
    child = questions(exchange, "clinic/reports")[0]
    answer = [{"type": coded("task-output", "answer"), "valueString": "On ward 3 until Friday."}]

    done = exchange.call(
        "PUT",
        f"clinic/reports/fhir/Task/{child['id']}",
        {**child, "status": "completed", "output": answer},
    )

    assert done.status_code == 200
    theirs = questions(exchange, "agency/intake")[0]
    assert theirs["status"] == "completed"
    assert theirs["output"][0]["valueString"] == "On ward 3 until Friday."
    refused(
        exchange.call(
            "PUT", f"clinic/reports/fhir/Task/{child['id']}", {**child, "status": "in-progress"}
        ),
        409,
    )


def test_a_question_is_not_answered_without_an_answer(exchange, asked):
    """`completed` says what; else it is declined."""
    child = questions(exchange, "clinic/reports")[0]

    refused(
        exchange.call(
            "PUT", f"clinic/reports/fhir/Task/{child['id']}", {**child, "status": "completed"}
        ),
        422,
    )


def test_who_asked_does_not_answer(exchange, asked):
    """The agency can withdraw its question, and not answer in the clinic's place."""
    theirs = questions(exchange, "agency/intake")[0]
    path = f"agency/intake/fhir/Task/{theirs['id']}"

    refused(exchange.call("PUT", path, {**theirs, "status": "accepted"}), 403)
    assert exchange.call("PUT", path, {**theirs, "status": "cancelled"}).status_code == 200

    assert questions(exchange, "clinic/reports")[0]["status"] == "cancelled"


def test_a_clinician_asks_back(exchange, reported):
    """Questions go both ways: the clinic posts a Task that is part of its report's."""
    task, _ = reported
    asked = {
        "resourceType": "Task", "status": "requested", "intent": "order",
        "code": coded("task-code", "info-needed"), "partOf": [{"reference": f"Task/{task['id']}"}],
        "requester": LIN,
        "input": [{"type": coded("task-input", "question"), "valueCodeableConcept": coded("cps-question", "call-back")}],
    }  # fmt: skip

    made = exchange.call("POST", "clinic/reports/fhir/Task", asked)

    assert made.status_code == 201, made.text
    theirs = questions(exchange, "agency/intake")[0]
    assert theirs["input"][0]["valueCodeableConcept"]["coding"][0]["code"] == "call-back"
    role = exchange.get(f"agency/intake/fhir/{theirs['requester']['reference']}").json()
    assert role["practitioner"]["reference"].startswith("Practitioner/")


def test_a_question_needs_a_code(exchange, reported):
    """A question without one of the codes is refused, and the codes are named."""
    task, _ = reported
    asked = {
        "resourceType": "Task", "status": "requested", "intent": "order",
        "code": coded("task-code", "info-needed"), "partOf": [{"reference": f"Task/{task['id']}"}],
        "requester": LIN, "input": [{"type": {"text": "x"}, "valueString": "?"}],
    }  # fmt: skip

    issues = refused(exchange.call("POST", "clinic/reports/fhir/Task", asked), 422)

    assert "child-location" in issues[0]["details"]["text"]


def answer(exchange, output):
    """The clinic answers the question of `asked` so."""
    (mine,) = questions(exchange, "clinic/reports")
    done = {**mine, "status": "completed", "output": [{"type": {"text": "answer"}, **output}]}
    return exchange.call("PUT", f"clinic/reports/fhir/Task/{mine['id']}", done)


@pytest.mark.parametrize(
    "output",
    [{"valueReference": {"reference": "DocumentReference/file"}}, {"valueReference": {"display": "file"}},
     {"valueReference": {"reference": "Patient/rosa"}}, {"valueBoolean": True}],
)  # fmt: skip
def test_an_answer_that_would_say_nothing_is_refused(exchange, asked, output):
    """A record does not go with an answer: who points at one is told, and intake is not sent an empty answer."""
    file = {"resourceType": "DocumentReference", "id": "file", "status": "current",
            "content": [{"attachment": {"title": "file"}}]}  # fmt: skip
    exchange.call("PUT", "clinic/reports/fhir/DocumentReference/file", file)

    said = refused(answer(exchange, output), 422, "invalid")

    assert "valueString" in said[0]["details"]["text"]
    assert said[0]["expression"] == ["Task.output"]
    assert [one["status"] for one in questions(exchange, "agency/intake")] == ["requested"]


def test_an_answer_may_point_at_a_message(exchange, asked):
    """It leads to the copy that stands on the other side."""
    task, _ = asked
    said = message(task["focus"]["reference"], LIN, "She is on ward 3.")
    sent = exchange.call("POST", "clinic/reports/fhir/Communication", said).json()

    assert (
        answer(
            exchange, {"valueReference": {"reference": f"Communication/{sent['id']}"}}
        ).status_code
        == 200
    )

    (told,) = questions(exchange, "agency/intake")
    (copy,) = held(exchange, "agency/intake", "Communication")
    assert told["output"][0]["valueReference"] == {"reference": f"Communication/{copy['id']}"}


def message(request, sender, text, **more):
    return {
        "resourceType": "Communication", "status": "completed", "basedOn": [{"reference": request}],
        "sender": sender, "payload": [{"contentString": text}], **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("shelves", "kind"),
    [
        (("clinic/reports", "agency/intake"), "reported"),
        (("clinic/chart", "agency/support"), "referred"),
    ],
)
def test_messages_go_both_ways(exchange, request, shelves, kind):
    """A message of either side is on the other's shelf, with who wrote it, and a mark once it is read."""
    task, theirs = request.getfixturevalue(kind)
    here, there = shelves
    exchange.call("PUT", f"{there}/fhir/PractitionerRole/desk", WORKER)

    sent = exchange.call("POST", f"{here}/fhir/Communication",
                         message(task["focus"]["reference"], LIN, "The lab result is due at six."))  # fmt: skip
    assert sent.status_code == 201, sent.text
    arrived = held(exchange, there, "Communication")[0]
    assert arrived["payload"] == [{"contentString": "The lab result is due at six."}]
    assert arrived["sender"] == theirs["requester"]
    assert arrived["basedOn"] == [theirs["focus"]]

    back = message(theirs["focus"]["reference"], {"reference": "PractitionerRole/desk"}, "Thank you.",
                   inResponseTo=[{"reference": f"Communication/{arrived['id']}"}])  # fmt: skip
    assert exchange.call("POST", f"{there}/fhir/Communication", back).status_code == 201
    own = held(exchange, here, "Communication")
    reply = next(one for one in own if one["payload"][0]["contentString"] == "Thank you.")
    assert reply["inResponseTo"] == [{"reference": f"Communication/{sent.json()['id']}"}]
    assert reply["sender"] == {"display": "Sam Porter"}

    read = {**arrived, "received": "2026-11-23T16:00:00Z"}
    assert (
        exchange.call("PUT", f"{there}/fhir/Communication/{arrived['id']}", read).status_code == 200
    )
    mine = exchange.get(f"{here}/fhir/Communication/{sent.json()['id']}").json()
    assert mine["received"] == "2026-11-23T16:00:00Z"
    rules = exchange.rows("SELECT DISTINCT rule FROM ledger WHERE rule LIKE 'conversation%'")
    assert len(rules) == 1


@pytest.mark.parametrize("said", ["message", "question"])
def test_what_is_sent_twice_is_read_once(exchange, referred, said):
    """The network was slow, and the case system sends its message again: the clinician has it once."""
    _, theirs = referred
    shelf, kind = "agency/support", {"message": "Communication", "question": "Task"}[said]
    number = {"identifier": [{"system": "urn:case-system", "value": "m-1"}]}
    made = message(theirs["focus"]["reference"], {"display": "Kim"}, "Which language?", **number)
    if said == "question":
        made = {
            "resourceType": "Task", "status": "requested", "intent": "order", **number,
            "code": coded("task-code", "info-needed"), "requester": {"display": "Kim"},
            "partOf": [{"reference": f"Task/{theirs['id']}"}],
            "input": [{"type": coded("task-input", "question"), "valueCodeableConcept": QUESTION}],
        }  # fmt: skip
    before = len(held(exchange, "clinic/chart", kind))

    first, second = (exchange.call("POST", f"{shelf}/fhir/{kind}", made) for _ in range(2))

    assert first.status_code == 201, first.text
    assert second.status_code == 200, second.text
    assert second.json()["id"] == first.json()["id"]
    assert len(held(exchange, "clinic/chart", kind)) == before + 1
    other = {**made, "identifier": [{"system": "urn:case-system", "value": "m-2"}]}
    assert exchange.call("POST", f"{shelf}/fhir/{kind}", other).status_code == 201
    assert len(held(exchange, "clinic/chart", kind)) == before + 2


def test_a_message_says_who_speaks(exchange, reported):
    """Nobody hears from an organization: a message names a person."""
    task, _ = reported

    issues = refused(
        exchange.call("POST", "clinic/reports/fhir/Communication",
                      message(task["focus"]["reference"], {"reference": "Device/bot"}, "Hello.")), 422
    )  # fmt: skip

    assert issues[0]["expression"] == ["Communication.sender"]


def test_a_sent_message_is_not_rewritten(exchange, reported):
    """What was said stays said."""
    task, _ = reported
    sent = exchange.call("POST", "clinic/reports/fhir/Communication",
                         message(task["focus"]["reference"], LIN, "First.")).json()  # fmt: skip

    refused(
        exchange.call("PUT", f"clinic/reports/fhir/Communication/{sent['id']}",
                      {**sent, "payload": [{"contentString": "Second."}]}), 403
    )  # fmt: skip


@pytest.mark.parametrize(("answered", "status"), [(True, 422), (False, 409)])
def test_a_withdrawn_consent_ends_the_conversation(exchange, referred, answered, status):
    """After the family withdraws, no message about a voluntary referral passes."""
    task, theirs = referred
    if answered:
        accepted = {**theirs, "status": "accepted"}
        exchange.call("PUT", f"agency/support/fhir/Task/{theirs['id']}", accepted)
    consent = exchange.get("clinic/chart/fhir/Consent/rosa-food").json()
    exchange.call("PUT", "clinic/chart/fhir/Consent/rosa-food", {**consent, "status": "inactive"})

    refused(
        exchange.call("POST", "clinic/chart/fhir/Communication",
                      message(task["focus"]["reference"], LIN, "Hello.")), status
    )  # fmt: skip

    assert held(exchange, "agency/support", "Communication") == []


def test_an_expunge_takes_the_conversation(exchange, asked):
    """Messages and questions go with what they were about."""
    task, theirs = asked
    exchange.call("POST", "clinic/reports/fhir/Communication",
                  message(task["focus"]["reference"], LIN, "Zanzibar words."))  # fmt: skip

    exchange.call(
        "POST", f"agency/intake/fhir/Task/{theirs['id']}/$record-event", {"event": "expunged"}
    )

    for table in ("resource", "version"):
        assert not [
            row for row in exchange.rows(f"SELECT body FROM {table}") if b"Zanzibar" in row[0]
        ]


def question(task):
    return {
        "resourceType": "Task", "status": "requested", "intent": "order",
        "partOf": [{"reference": f"Task/{task}"}], "requester": {"display": "Dr. Lin"},
        "code": coded("task-code", "info-needed"),
        "input": [{"type": coded("task-input", "question"), "valueCodeableConcept": QUESTION}],
    }  # fmt: skip


def test_of_an_expunged_report_nothing_more_is_said(exchange, asked):
    """Neither side can write, ask or answer beside a tombstone; nothing new stands there."""
    task, theirs = asked
    mine = questions(exchange, "clinic/reports")[0]
    written = message(theirs["focus"]["reference"], {"display": "Sam"}, "She has moved.")
    record = f"agency/intake/fhir/Task/{theirs['id']}/$record-event"
    assert exchange.call("POST", record, {"event": "expunged"}).status_code == 200
    before = exchange.rows("SELECT count(*) FROM resource")
    answered = {**mine, "status": "completed", "output": [{"valueString": "On ward 3."}]}

    for method, path, body in (
        ("POST", "clinic/reports/fhir/Task", question(task["id"])),
        ("POST", "agency/intake/fhir/Task", question(theirs["id"])),
        ("PUT", f"clinic/reports/fhir/Task/{mine['id']}", answered),
        ("POST", "agency/intake/fhir/Communication", written),
    ):
        refused(exchange.call(method, path, body), 409, "conflict")
    assert exchange.rows("SELECT count(*) FROM resource") == before
    assert all(
        one["status"] == "entered-in-error" for one in held(exchange, "clinic/reports", "Task")
    )


def test_a_question_on_a_referral_sent_in_error_ends_with_it(exchange, referred):
    """What the clinic asked on a referral that it takes back is asked no more."""
    task, _ = referred
    assert exchange.call("POST", "clinic/chart/fhir/Task", question(task["id"])).status_code == 201

    mine = exchange.get(f"clinic/chart/fhir/Task/{task['id']}").json()
    wrong = {**mine, "status": "entered-in-error"}
    assert exchange.call("PUT", f"clinic/chart/fhir/Task/{task['id']}", wrong).status_code == 200

    assert questions(exchange, "clinic/chart")[0]["status"] == "cancelled"
    refused(exchange.call("POST", "clinic/chart/fhir/Task", question(task["id"])), 409)


def test_a_question_on_a_referral_that_is_taken_back_ends_on_both_sides(exchange, referred):
    """Nobody is asked for an answer about a family that has said no."""
    task, theirs = referred
    assert (
        exchange.call("POST", "agency/support/fhir/Task", question(theirs["id"])).status_code == 201
    )

    exchange.call("PUT", f"clinic/chart/fhir/Task/{task['id']}", {**task, "status": "cancelled"})

    for shelf in ("clinic/chart", "agency/support"):
        assert [one["status"] for one in questions(exchange, shelf)] == ["cancelled"]


def test_an_unanswered_question_on_a_referral_is_raised(exchange, referred):
    """The clinician is told of it once, and nothing of it says that there was a report."""
    _, theirs = referred
    asked = {**question(theirs["id"]), "requester": {"display": "Sam"},
             "restriction": {"period": {"end": "2026-11-23T16:00:00Z"}}}  # fmt: skip
    assert exchange.call("POST", "agency/support/fhir/Task", asked).status_code == 201

    exchange.now += timedelta(days=30)
    raised = exchange.until(lambda: [
        one for one in held(exchange, "clinic/chart", "Task") if "overdue" in str(one.get("code"))
    ])  # fmt: skip

    assert [one["code"]["text"].partition(";")[0] for one in raised] == [
        "A question of the agency is not answered in time"
    ]
    assert "security" not in raised[0]["meta"]
    assert raised[0]["owner"]["display"] == "Dr. Ada Lin"


LETTER = {
    "resourceType": "Communication", "status": "completed", "sent": "2026-11-23T15:00:00Z",
    "payload": [{"contentString": "Please come on Friday."}],
}  # fmt: skip


def letter(exchange, side, reported, *whom):
    """A word of one side to these recipients, about the report; those of a type are found there."""
    task, theirs = reported
    shelf, about = {"clinic": ("clinic/reports", task), "agency": ("agency/intake", theirs)}[side]
    own = {"resourceType": "Practitioner", "id": "own", "name": [{"family": "Own"}]}
    exchange.call("PUT", f"{shelf}/fhir/Practitioner/own", own)
    there = {"Practitioner": "Practitioner/own", "Patient": about["for"]["reference"]}
    named = [{"reference": there.get(one, one)} if isinstance(one, str) else one for one in whom]
    body = {**LETTER, "basedOn": [about["focus"]], "sender": {"display": "Dr. Lin"}}
    made = exchange.call(
        "POST", f"{shelf}/fhir/Communication", {**body, "recipient": named} if named else body
    )
    assert made.status_code == 201, made.text
    other = {"clinic": "agency/intake", "agency": "clinic/reports"}[side]
    return [one["payload"][0]["contentString"] for one in held(exchange, other, "Communication")]


@pytest.mark.parametrize("side", ["clinic", "agency"])
@pytest.mark.parametrize("whom", [("Patient",), ("Practitioner",), ("Patient", "Practitioner")])
def test_a_letter_to_the_family_is_theirs(exchange, reported, side, whom):
    """Neither side reads what the other writes to the family, or to its own people, of the report."""
    assert letter(exchange, side, reported, *whom) == []


@pytest.mark.parametrize("side", ["clinic", "agency"])
@pytest.mark.parametrize("whom", [(), ({"display": "whom it may concern"},), ("Patient", {"display": "intake"})])  # fmt: skip
def test_a_message_to_more_than_the_family_goes(exchange, reported, side, whom):
    """To nobody in particular, or to somebody beside the family: the other side has it."""
    assert letter(exchange, side, reported, *whom) == ["Please come on Friday."]
