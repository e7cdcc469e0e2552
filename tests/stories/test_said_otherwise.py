"""What an EHR or a case system says in another way than the exchange knows: it is told so, or somebody is."""

import pytest
from exchange import refused
from shelves import CHART, REPORTS, of, one, put
from test_conversation import LIN
from test_merged import not_followed
from test_unsent import drafts

from app.sandbox import family

SUPPORT = "agency/support/fhir"
INTAKE = "agency/intake/fhir"


def post(exchange, shelf, resource):
    return exchange.call("POST", f"{shelf}/{resource['resourceType']}", resource)


def asks(**more):
    return {"resourceType": "CommunicationRequest", "status": "active", "requester": LIN,
            "payload": [{"contentString": "Where is the child?"}], **more}  # fmt: skip


@pytest.mark.parametrize("side", ["clinic", "agency"])
@pytest.mark.parametrize("how", ["its order", "its Task", "its partner"])
def test_a_request_to_tell_something(exchange, referred, side, how):
    """It is not how one asks here: who asks so is told how, and does not wait for an answer."""
    task, theirs = referred
    shelf, mine = {"clinic": (CHART, task), "agency": (SUPPORT, theirs)}[side]
    whom = {"clinic": family.AGENCY, "agency": mine["requester"]}[side]
    more = {"its order": {"basedOn": [mine["focus"]]},
            "its Task": {"about": [{"reference": f"Task/{mine['id']}"}]},
            "its partner": {"recipient": [whom]}}[how]  # fmt: skip

    issues = refused(post(exchange, shelf, asks(**more)), 422, "not-supported")

    assert "info-needed" in issues[0]["details"]["text"]


def test_of_a_report_with_whom_to_call(exchange, reported):
    """A clinician asks intake: the hotline is said."""
    task, _ = reported

    answer = post(exchange, REPORTS, asks(basedOn=[task["focus"]]))

    refused(answer, 422)
    assert "555-0100" in answer.text


@pytest.mark.parametrize("more", [{}, {"status": "draft"}, {"status": "completed"},
                                  {"recipient": [{"reference": "Patient/rosa"}]}])  # fmt: skip
def test_one_of_the_clinics_own_is_stored(exchange, referred, more):
    """A reminder to call the family, about the same order, is the clinic's."""
    task, _ = referred
    of_it = {"basedOn": [task["focus"]]} if more else {}

    assert post(exchange, CHART, asks(**of_it, **more)).status_code == 201


@pytest.mark.parametrize("shelf", [CHART, INTAKE])
def test_a_subscription_that_nobody_serves(exchange, shelf):
    """A case system that waits for notices would wait for ever: it is told how it hears of what is new."""
    made = {"resourceType": "Subscription", "status": "requested", "reason": "news", "criteria": "Task?status=requested",
            "channel": {"type": "rest-hook", "endpoint": "https://agency.example.org/hook"}}  # fmt: skip

    issues = refused(post(exchange, shelf, made), 422, "not-supported")

    assert "_lastUpdated" in issues[0]["details"]["text"]
    assert post(exchange, shelf, {**made, "status": "off"}).status_code == 201


@pytest.mark.parametrize("category", [None, [{"text": "CPS report"}]])
def test_a_report_of_another_category(exchange, category):
    """It stands on the shelf for reports, is for an authority, and was sent to nobody: the draft and the hotline say so."""
    made = family.report(by_device=False)
    put(exchange, REPORTS, of(made, "Patient"))
    request = {**of(made, "ServiceRequest"), "category": category}
    request = {name: each for name, each in request.items() if each is not None}

    answer = put(exchange, REPORTS, request, Prefer="return=OperationOutcome")

    assert answer.status_code == 201, answer.text
    assert "555-0100" in answer.text
    assert [each["status"] for each in drafts(exchange)] == ["draft"]

    put(exchange, REPORTS, {**request, "status": "revoked"})
    assert [each["status"] for each in drafts(exchange)] == ["cancelled"]


# ---- a consent of its own


def consent(exchange, **more):
    """The family's consent as an EHR writes it anew, under a name of its own."""
    given = one(exchange, "clinic/chart", "Consent")
    kept = {name: each for name, each in given.items() if name not in {"id", "identifier", "meta"}}
    return {**kept, "dateTime": "2026-11-24", **more}


def denied(made):
    return {**made, "provision": {**made["provision"], "type": "deny"}}


@pytest.mark.usefixtures("referred")
@pytest.mark.parametrize(
    "how", ["denied", "rejected", "inactive", "undated", "of everybody", "later"]
)
def test_a_refusal_that_is_a_consent_of_its_own(exchange, how):
    """The family does not agree any more, and the EHR writes a second consent: whoever referred is told, once."""
    made = {
        "denied": lambda: denied(consent(exchange)),
        "rejected": lambda: consent(exchange, status="rejected"),
        "inactive": lambda: consent(exchange, status="inactive"),
        "undated": lambda: denied({**consent(exchange), "dateTime": None}),
        "of everybody": lambda: consent(exchange, provision={"type": "deny"}),
        "later": lambda: consent(exchange),
    }[how]()
    made = {**{name: each for name, each in made.items() if each is not None}, "id": "second"}

    assert put(exchange, CHART, made).status_code == 201
    if how == "later":
        assert not_followed(exchange, "clinic/chart") == []
        assert put(exchange, CHART, denied(made)).status_code == 200
    put(exchange, CHART, {**made, "status": "rejected", "language": "en"})

    (told,) = not_followed(exchange, "clinic/chart")
    assert "does not agree" in told["code"]["text"]
    assert one(exchange, "agency/support", "Task")["status"] == "requested"


@pytest.mark.usefixtures("referred")
@pytest.mark.parametrize(
    "how", ["old", "ended once", "for research", "to another", "an error", "agreed"]
)
def test_one_that_says_nothing_of_it(exchange, how):
    """Of before, of something else, or to somebody else: nobody is bothered."""
    pantry = {"identifier": {"system": f"{family.KINBRIDGE}/sid/tenant", "value": "pantry"}}
    whole = consent(exchange)
    actor = [{**whole["provision"]["actor"][0], "reference": pantry}]
    scope = {
        "coding": [
            {"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "research"}
        ]
    }
    made = {
        "old": {**denied(whole), "dateTime": "2025-01-01"},
        "ended once": {
            **{name: each for name, each in whole.items() if name != "dateTime"},
            "status": "inactive",
        },
        "for research": {**denied(whole), "scope": scope},
        "to another": denied({**whole, "provision": {**whole["provision"], "actor": actor}}),
        "an error": {**whole, "status": "entered-in-error"},
        "agreed": whole,
    }[how]

    assert post(exchange, CHART, made).status_code == 201

    assert not_followed(exchange, "clinic/chart") == []
