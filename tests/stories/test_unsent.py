"""A report that an EHR writes down and does not send is not lost: it goes, or somebody reads that nobody has it."""

import json

import pytest
from exchange import refused, resources
from test_conversation import held
from test_corrections import REPORTS, put
from test_poor_is_no_neglect import entries, own_task
from test_report_contained import of
from test_what_leaves import REPORT, coded

from app.sandbox import family


def written(exchange, *, but=()):
    """The report as EHRs write it that know one resource at a time; its request."""
    made = family.report(by_device=False)
    for one in entries(made):
        if one["resource"]["resourceType"] not in {*but, "Task"}:
            assert put(exchange, REPORTS, one["resource"]).status_code == 201
    return of(made, "ServiceRequest")


def drafts(exchange):
    return [
        one for one in held(exchange, "clinic/reports", "Task") if "Nobody has this" in str(one)
    ]


def test_a_report_that_is_only_written_leaves_a_draft(exchange):
    """The last call never came: on the shelf stands that nobody has the report, and whom to call."""
    written(exchange, but=["ServiceRequest"])
    request = of(family.report(by_device=False), "ServiceRequest")

    answer = put(exchange, REPORTS, request, Prefer="return=OperationOutcome")

    assert "Nobody has this report yet" in answer.text
    assert "555-0100" in answer.text
    (draft,) = drafts(exchange)
    assert (draft["status"], draft["focus"]) == ("draft", {"reference": "ServiceRequest/report"})
    assert "555-0100" in draft["note"][0]["text"]
    put(exchange, REPORTS, {**request, "priority": "stat"})
    assert len(drafts(exchange)) == 1
    assert held(exchange, "agency/intake", "Task") == []


def test_a_transaction_without_a_task_leaves_a_draft(exchange):
    """The EHR sent it all and no Task: it is answered 200, and was sent to nobody."""
    bundle = {"resourceType": "Bundle", "type": "transaction",
              "entry": entries(family.report(by_device=False))}  # fmt: skip

    assert exchange.call("POST", REPORTS, bundle).status_code == 200

    assert len(drafts(exchange)) == 1


def test_what_is_sent_after_all_is_no_draft(exchange):
    """The Task comes at last, with all that stands on the shelf; the attestation stands there too."""
    written(exchange)

    answer = put(exchange, REPORTS, own_task())

    assert answer.status_code == 201, answer.text
    (draft,) = drafts(exchange)
    assert draft["status"] == "completed"
    assert draft["output"][0]["valueReference"] == {"reference": "Task/own"}
    assert len(held(exchange, "agency/intake", "Provenance")) == 1
    (theirs,) = held(exchange, "agency/intake", "Task")
    exchange.call("POST", f"agency/intake/fhir/Task/{theirs['id']}/$record-event", {"event": "expunged"})  # fmt: skip
    assert drafts(exchange) == []


def test_the_operation_ends_the_draft_too(exchange):
    """It was written first and reported then."""
    written(exchange)

    assert resources(exchange.call("POST", REPORT, family.report(by_device=False)), "Task")

    assert [one["status"] for one in drafts(exchange)] == ["completed"]


def test_the_draft_itself_can_be_sent(exchange):
    """Somebody sees the draft, names the agency, and releases it."""
    written(exchange)
    (draft,) = drafts(exchange)
    owner = own_task()["owner"]
    code = coded("http://hl7.org/fhir/CodeSystem/task-code", "fulfill")

    answer = put(exchange, REPORTS, {**draft, "status": "requested", "owner": owner, "code": code})

    assert answer.status_code == 200, answer.text
    assert len(held(exchange, "agency/intake", "Task")) == 1


@pytest.mark.parametrize("status", ["revoked", "entered-in-error"])
def test_a_report_that_is_not_to_go_has_no_draft(exchange, status):
    """The clinician thinks better of it before it is sent."""
    request = written(exchange)

    put(exchange, REPORTS, {**request, "status": status})

    assert [one["status"] for one in drafts(exchange)] == ["cancelled"]


def test_what_was_attested_is_what_is_sent(exchange):
    """The order was changed after the clinician attested it: it asks for another attestation."""
    request = written(exchange)
    put(exchange, REPORTS, {**request, "note": [{"text": "Another story, by somebody else."}]})

    issues = refused(put(exchange, REPORTS, own_task()), 422, "business-rule")

    assert issues[0]["expression"] == ["Provenance.agent"]
    provenance = of(family.report(by_device=False), "Provenance")
    put(exchange, REPORTS, {**provenance, "recorded": "2026-11-23T15:30:00Z"})
    assert put(exchange, REPORTS, own_task()).status_code == 201


@pytest.mark.parametrize("owner", [None, {"display": "Child protection"},
                                   {"identifier": {"system": "urn:x", "value": "nobody"}}])  # fmt: skip
def test_a_task_that_names_nobody_known_goes_to_whom_the_order_names(exchange, owner):
    """The EHR leaves the owner out or writes its name: the order's performer is who gets it."""
    written(exchange)
    task = {name: one for name, one in {**own_task(), "owner": owner}.items() if one}

    answer = put(exchange, REPORTS, task)

    assert answer.status_code == 201, answer.text
    assert len(held(exchange, "agency/intake", "Task")) == 1


def test_a_task_that_leads_to_nobody_is_refused(exchange):
    """Neither names an authority: it is not stored without a word, and whom to call is said."""
    request = written(exchange)
    put(exchange, REPORTS, {name: one for name, one in request.items() if name != "performer"})
    provenance = of(family.report(by_device=False), "Provenance")
    put(exchange, REPORTS, {**provenance, "recorded": "2026-11-23T15:30:00Z"})
    task = {name: one for name, one in own_task().items() if name != "owner"}

    answer = put(exchange, REPORTS, task)

    assert "Name a registered partner" in json.dumps(refused(answer, 422))
    assert "555-0100" in answer.text


@pytest.mark.parametrize("more", [
    {"owner": {"reference": "Practitioner/dr-lin"}}, {"code": {"text": "Call the mother"}},
    {"status": "in-progress"},
])  # fmt: skip
def test_a_task_of_the_clinics_own_is_its_own(exchange, more):
    """A nurse is to call the mother: that reports nothing."""
    written(exchange)
    task = {name: one for name, one in own_task().items() if name != "owner"}

    assert put(exchange, REPORTS, {**task, **more}).status_code == 201

    assert held(exchange, "agency/intake", "Task") == []


def test_an_order_that_an_order_led_to_is_one(exchange):
    """Some EHRs call what they send an original order."""
    written(exchange)

    assert put(exchange, REPORTS, {**own_task(), "intent": "original-order"}).status_code == 201

    assert len(held(exchange, "agency/intake", "Task")) == 1
