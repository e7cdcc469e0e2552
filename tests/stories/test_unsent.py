"""A report that an EHR writes down and does not send is not lost: it goes, or somebody reads that nobody has it."""

import json
import time
from urllib.parse import quote

import pytest
from exchange import refused, resources
from shelves import REPORT, REPORTS, coded, of, put
from test_conversation import held
from test_poor_is_no_neglect import entries, own_task

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


class TestOwnServer:
    """The EHR has a server of its own, and its people look there alone."""

    @pytest.fixture
    def endpoints(self):
        return {"clinic/reports": "https://ehr.example.org/fhir"}

    def test_the_draft_is_pushed_there(self, exchange):
        """Nobody has the report: it stands where somebody looks, once; it is done when the report goes."""
        written(exchange)
        (draft,) = self.pushed(exchange, 1)
        sent = draft["resource"]
        assert (sent["status"], "555-0100" in str(sent)) == ("draft", True)
        tag = sent["meta"]["tag"][-1]
        known = "_tag=" + quote(f"{tag['system']}|{tag['code']}", safe="")
        assert draft["request"] == {"method": "POST", "url": "Task", "ifNoneExist": known}

        put(exchange, REPORTS, own_task())

        later = {"method": "PUT", "url": f"Task?{known}"}
        (done,) = [one for one in self.pushed(exchange, 3) if one["request"] == later]
        assert done["resource"]["status"] == "completed"

    def pushed(self, exchange, count):
        """The entries of so many pushes."""
        until = time.monotonic() + 20
        while len(exchange.network.sent) < count and time.monotonic() < until:
            time.sleep(0.02)
        return [entry for _, body in exchange.network.sent for entry in body["entry"]]


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


def test_whom_it_was_attested_of_is_who_is_reported(exchange):
    """Written in pieces, and before the last one the EHR gave the child's record to another: nobody is reported for her."""
    written(exchange)
    child = of(family.report(by_device=False), "Patient")
    moved = {**child, "address": [{"text": "9 New Street"}]}
    other = {**child, "name": [{"family": "Baker", "given": ["Tim"]}], "birthDate": "2014-05-06",
             "identifier": [{**child["identifier"][0], "value": "2"}]}  # fmt: skip
    put(exchange, REPORTS, other)

    issues = refused(put(exchange, REPORTS, own_task()), 422, "business-rule")

    assert issues[0]["expression"] == ["Provenance.agent"]
    assert "555-0100" in str(issues)
    put(exchange, REPORTS, moved)
    assert put(exchange, REPORTS, own_task()).status_code == 201


def test_the_attestation_is_found_among_many(exchange):
    """The EHR keeps a record of who looked at the order each time; the one that attests it counts."""
    request = written(exchange, but=["Provenance"])
    put(exchange, REPORTS, {**request, "priority": "stat"})
    provenance = of(family.report(by_device=False), "Provenance")
    for number in range(4):
        agents = [{**one, "who": {"display": "Front desk"}} for one in provenance["agent"]]
        put(exchange, REPORTS, {**provenance, "id": f"a{number}", "agent": agents})
    put(exchange, REPORTS, {**provenance, "id": "z"})
    for number in range(4):
        put(exchange, REPORTS, {**provenance, "id": f"b{number}", "agent": agents})

    assert put(exchange, REPORTS, own_task()).status_code == 201


def test_an_attestation_of_before_the_last_change_hides_none(exchange):
    """It was attested, changed, attested, changed and attested: the last one counts."""
    request = written(exchange)
    provenance = of(family.report(by_device=False), "Provenance")
    for number in range(3):
        put(exchange, REPORTS, {**request, "note": [*request["note"], {"text": f"more {number}"}]})
        put(exchange, REPORTS, {**provenance, "id": f"again-{number}"})

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


def mistyped(exchange, how):
    """A report with one wrong word in it."""
    made = family.report(by_device=False)
    if how == "an element":
        of(made, "Observation")["foo"] = "x"
    elif how == "a date":
        of(made, "Patient")["birthDate"] = "31.12.2020"
    else:
        of(made, "ServiceRequest")["subject"] = {
            "reference": "urn:uuid:00000000-0000-4000-8000-000000000000"
        }
    return exchange.call("POST", REPORT, made)


@pytest.mark.parametrize("how", ["an element", "a date", "a urn"])
def test_a_report_with_one_wrong_word_is_kept_as_it_came(exchange, how):
    """It cannot be read, so it cannot be sent; what the clinician wrote is there, and whom to call is said."""
    answer = mistyped(exchange, how)

    refused(answer, 400)
    assert "555-0100" in answer.text
    (draft,) = held(exchange, "clinic/reports", "Task")
    assert draft["id"] in answer.text
    name = draft["input"][0]["valueReference"]["reference"]
    kept = exchange.get(f"{REPORTS}/{name}", Accept="*/*")
    assert "ServiceRequest" in kept.text
    assert held(exchange, "agency/intake", "Task") == []
    refused(mistyped(exchange, how), 400)
    assert len(held(exchange, "clinic/reports", "Task")) == 1


def test_a_long_report_with_one_wrong_word_is_kept_too(exchange):
    """What is large goes another way through the house, and comes to the same."""
    made = family.report(by_device=False)
    of(made, "Observation")["note"] = [{"text": "x" * 140_000}]
    of(made, "Observation")["foo"] = "x"

    answer = exchange.call("POST", REPORT, made)

    refused(answer, 400)
    assert "555-0100" in answer.text
    assert len(held(exchange, "clinic/reports", "Task")) == 1


def test_what_was_mended_is_sent_and_its_draft_is_done(exchange):
    """And an expunge takes what was kept along."""
    mistyped(exchange, "an element")
    (draft,) = held(exchange, "clinic/reports", "Task")
    kept = f"{REPORTS}/{draft['input'][0]['valueReference']['reference']}"
    assert exchange.get(kept, Accept="*/*").status_code == 200

    assert resources(exchange.call("POST", REPORT, family.report(by_device=False)), "Task")

    statuses = sorted(one["status"] for one in held(exchange, "clinic/reports", "Task"))
    assert statuses == ["completed", "requested"]
    (theirs,) = held(exchange, "agency/intake", "Task")
    exchange.call("POST", f"agency/intake/fhir/Task/{theirs['id']}/$record-event", {"event": "expunged"})  # fmt: skip
    assert exchange.get(kept, Accept="*/*").status_code == 410


@pytest.mark.parametrize("body", [b"{", b'{"resourceType": "Bundle", "type": "document", "entry": []}',
                                  b'{"resourceType": "Bundle", "type": "collection"' + b" " * 200_001 + b"}"])  # fmt: skip
def test_whatever_is_no_report_says_whom_to_call(exchange, body):
    """Half a message, one of another kind, one that is too large: nobody is left without a number."""
    answer = exchange.call("POST", REPORT, body)

    assert answer.status_code in {400, 413, 422}
    assert "555-0100" in answer.text


def test_a_transaction_that_is_refused_says_whom_to_call(exchange):
    """So does a report that an EHR sends as a transaction, or by its Task."""
    sent = entries(family.report(by_device=False))
    sent[0]["resource"]["foo"] = 1
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": sent}

    assert "555-0100" in exchange.call("POST", REPORTS, bundle).text
    assert "555-0100" in put(exchange, REPORTS, {**own_task(), "foo": 1}).text


def test_who_may_not_report_leaves_no_draft(exchange, register):
    """A client without the scope fills no shelf."""
    client = register("ehr", "clinic/reports", "system/*.crus")
    made = family.report(by_device=False)
    of(made, "Observation")["foo"] = "x"

    answer = exchange.call("POST", REPORT, made, Authorization=client)

    assert answer.status_code == 400
    assert exchange.rows("SELECT * FROM resource WHERE type = 'Task'") == []
