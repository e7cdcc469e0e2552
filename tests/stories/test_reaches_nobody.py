"""What is written where nobody would read it is refused and kept, so that no sender believes that it was sent."""

import json

import pytest
from exchange import refused, resources
from shelves import CHART, REPORT, REPORTS, held, of, put
from test_conversation import LIN
from test_poor_is_no_neglect import own_task
from test_unsent import drafts, written

from app.sandbox import family


def posted(exchange, shelf, bundle, kind):
    """As an EHR sends it that takes Bundle for a type like any other."""
    return exchange.call(
        "POST", f"{shelf}/Bundle", {**bundle, "resourceType": "Bundle", "type": kind}
    )


def referral():
    return family.referral("ServiceRequest/none", consented=True)


@pytest.mark.parametrize("kind", ["batch", "collection", "document", "message", "transaction"])
def test_a_report_that_is_posted_as_a_bundle_is_kept(exchange, kind):
    """It is refused, whom to call is said, and what was written is there."""
    answer = posted(exchange, REPORTS, family.report(by_device=False), kind)

    refused(answer, 422)
    assert "555-0100" in answer.text
    assert "$report" in answer.text
    (draft,) = held(exchange, "clinic/reports", "Task")
    assert draft["status"] == "draft"
    assert draft["id"] in answer.text
    kept = exchange.get(f"{REPORTS}/{draft['input'][0]['valueReference']['reference']}").json()
    assert of(kept, "ServiceRequest")["id"] == "report"
    assert held(exchange, "agency/intake") == []


def test_it_is_the_draft_that_is_sent_then(exchange):
    """The same report comes again by the right door: its draft is done."""
    posted(exchange, REPORTS, family.report(by_device=False), "collection")

    assert resources(exchange.call("POST", REPORT, family.report(by_device=False)), "Task")

    statuses = sorted(one["status"] for one in held(exchange, "clinic/reports", "Task"))
    assert statuses == ["completed", "requested"]


def test_the_draft_that_was_kept_may_be_mended(exchange):
    """Whoever completes what was kept stores it, and is told that it is not sent yet."""
    posted(exchange, REPORTS, family.report(by_device=False), "collection")
    (kept,) = held(exchange, "clinic/reports", "Bundle")
    of(kept, "ServiceRequest")["note"] = [{"text": "more"}]

    answer = put(exchange, REPORTS, kept, Prefer="return=OperationOutcome")

    assert answer.status_code == 200, answer.text
    assert "Nobody has this report" in answer.text


def test_siblings_in_bundles_are_kept(exchange):
    """Two children in one envelope: neither is lost."""
    inner = {"resource": family.report(by_device=False)}

    refused(posted(exchange, REPORTS, {"entry": [inner]}, "collection"), 422)

    assert len(held(exchange, "clinic/reports", "Bundle")) == 1


def test_a_record_of_what_was_sent_is_a_record(exchange, reported):
    """A document of a report that the agency has is stored as any other."""
    answer = posted(exchange, REPORTS, family.report(by_device=False), "collection")

    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("kind", ["collection", "message", "transaction"])
def test_a_referral_that_is_posted_as_a_bundle_is_refused(exchange, patient, kind):
    """A family that asked for help is not left waiting."""
    answer = posted(exchange, CHART, referral(), kind)

    refused(answer, 422, "not-supported")
    assert "$refer" in answer.text
    assert held(exchange, "clinic/chart", "Bundle") == []


def test_any_other_bundle_is_stored(exchange, patient):
    """A document of the chart is the clinic's own."""
    bundle = {"resourceType": "Bundle", "entry": [{"resource": patient}]}

    assert posted(exchange, CHART, bundle, "collection").status_code == 201


@pytest.mark.parametrize("shelf", ["clinic/chart/fhir", "agency/intake/fhir"])
def test_what_a_bundle_asks_is_not_stored_in_place_of_done(exchange, shelf):
    """The answer of a case system that missed the base by a word is no answer."""
    asks = {"entry": [{"resource": {"resourceType": "Basic", "code": {"text": "x"}},
                       "request": {"method": "POST", "url": "Basic"}}]}  # fmt: skip

    refused(posted(exchange, shelf, asks, "transaction"), 422, "not-supported")


@pytest.mark.parametrize("how", ["alone", "a bundle", "$refer", "$report"])
def test_a_report_on_the_chart_is_refused(exchange, patient, how):
    """It would lie where nobody sends it and a portal may read it."""
    if how == "alone":
        answer = put(exchange, CHART, of(family.report(by_device=False), "ServiceRequest"))
    elif how == "a bundle":
        answer = posted(exchange, CHART, family.report(by_device=False), "collection")
    else:
        answer = exchange.call("POST", f"{CHART}/{how}", family.report(by_device=False))

    refused(answer, 422)
    assert "555-0100" in answer.text
    assert held(exchange, "clinic/chart", "ServiceRequest") == []


# ---- named by number


NUMBER = {"system": "https://ehr.example.org/mrn", "value": "100-42"}


def order_number():
    return of(family.report(by_device=False), "ServiceRequest")["identifier"][0]


def by_number(task, **more):
    """The Task of an EHR that knows its order by number alone."""
    number = order_number()
    focus = {"identifier": {name: number[name] for name in ("system", "value")}}
    return {**task, "focus": focus, **more}


@pytest.mark.parametrize("kind", [{}, {"type": "ServiceRequest"}])
def test_an_order_that_is_named_by_its_number_is_sent(exchange, kind):
    """The EHR's Task gives the order's number and no address."""
    written(exchange)
    task = by_number(own_task())

    answer = put(exchange, REPORTS, {**task, "focus": {**task["focus"], **kind}})

    assert answer.status_code == 201, answer.text
    assert answer.json()["focus"]["reference"] == "ServiceRequest/report"
    assert len(held(exchange, "agency/intake", "Task")) == 1
    assert [one["status"] for one in drafts(exchange)] == ["completed"]


@pytest.mark.parametrize("several", [False, True])
def test_a_number_that_does_not_lead_to_one_order_is_kept(exchange, several):
    """Nothing or two carry it: it says so, and whom to call; the draft stands."""
    request = written(exchange)
    task = by_number(own_task())
    if several:
        put(exchange, REPORTS, {**request, "id": "other"})
    else:
        task["focus"]["identifier"]["value"] = "no-such"

    answer = put(exchange, REPORTS, task)

    issues = refused(answer, 422)
    assert ["Task.focus"] in [one.get("expression") for one in issues]
    assert "555-0100" in answer.text
    assert "no-such" not in answer.text
    assert held(exchange, "agency/intake", "Task") == []


def test_a_child_who_is_named_by_number_is_reported(exchange):
    """The order knows the child by record number alone, as some EHRs write it."""
    made = family.report(by_device=False)
    of(made, "ServiceRequest")["subject"] = {"identifier": NUMBER}
    of(made, "Patient")["identifier"] = [NUMBER]

    (task,) = resources(exchange.call("POST", REPORT, made), "Task")

    (child,) = held(exchange, "agency/intake", "Patient")
    (copy,) = held(exchange, "agency/intake", "ServiceRequest")
    assert copy["subject"] == {"reference": f"Patient/{child['id']}"}
    assert task["for"]["reference"] == "Patient/rosa"
    assert resources(exchange.call("POST", REPORT, made), "Task")[0]["id"] == task["id"]


def test_so_is_one_whose_order_stands(exchange):
    """Written in pieces, the order is found by its Task, and the child by the order."""
    request = written(exchange)
    provenance = of(family.report(by_device=False), "Provenance")
    rosa = of(family.report(by_device=False), "Patient")
    put(exchange, REPORTS, {**rosa, "identifier": [NUMBER]})
    put(exchange, REPORTS, {**request, "subject": {"identifier": NUMBER}})
    put(exchange, REPORTS, {**provenance, "recorded": "2026-11-23T15:30:00Z"})

    assert put(exchange, REPORTS, by_number(own_task())).status_code == 201

    (copy,) = held(exchange, "agency/intake", "ServiceRequest")
    (child,) = held(exchange, "agency/intake", "Patient")
    assert copy["subject"] == {"reference": f"Patient/{child['id']}"}


def versioned(request):
    """As clients of HAPI's write it that note which version they have read."""
    made = dict(request)
    for element in ("subject", "requester"):
        made[element] = {"reference": f"{request[element]['reference']}/_history/1"}
    return made


@pytest.mark.parametrize("door", ["$report", "Task"])
def test_who_is_named_by_version_is_who_stands(exchange, door):
    """A report that names a version of the child's record goes, and so does what is corrected later."""
    request, task = written(exchange), own_task()
    made = family.report(by_device=False)
    rosa, attested = of(made, "Patient"), of(made, "Provenance")
    if door == "Task":
        put(exchange, REPORTS, versioned(request))
        put(exchange, REPORTS, {**attested, "recorded": "2026-11-23T15:30:00Z"})
        whom = {"for": {"reference": "Patient/rosa/_history/1"}}
        answer = put(exchange, REPORTS, {**task, **whom})
    else:
        of(made, "ServiceRequest").update(versioned(request))
        for one in made["entry"]:
            one["resource"].setdefault("meta", {})["versionId"] = "1"
        answer = exchange.call("POST", REPORT, made)
    assert answer.is_success, answer.text

    own = resources(answer, "Task")[0] if door == "$report" else answer.json()
    assert own["for"] == {"reference": "Patient/rosa"}
    (copy,) = held(exchange, "agency/intake", "ServiceRequest")
    (child,) = held(exchange, "agency/intake", "Patient")
    assert copy["subject"] == {"reference": f"Patient/{child['id']}"}
    assert "_history" not in str(held(exchange, "agency/intake"))
    assert exchange.rows("SELECT subject FROM ledger") == [("Patient/rosa",)]

    put(exchange, REPORTS, {**rosa, "address": [{"text": "3 New Road"}]})
    (child,) = held(exchange, "agency/intake", "Patient")
    assert child["address"] == [{"text": "3 New Road"}]


@pytest.mark.parametrize("whom", ["Patient/rosa", "Patient/rosa/_history/1"])
def test_so_is_who_is_referred(exchange, patient, whom):
    """With the family's consent, also by a version of it; the agency's answer comes back."""
    made = referral()
    request = of(made, "ServiceRequest")
    request.update(versioned(request))
    consent = request["supportingInfo"][0]["reference"]
    request["supportingInfo"] = [{"reference": f"{consent}/_history/1"}]
    of(made, "Consent")["patient"] = {"reference": "Patient/rosa/_history/1"}
    for one in made["entry"]:
        put(exchange, CHART, one["resource"])
    owner = request["performer"][0]
    task = {"resourceType": "Task", "id": "own", "status": "requested", "intent": "order", "owner": owner,
            "code": {"coding": [{"system": "http://hl7.org/fhir/CodeSystem/task-code", "code": "fulfill"}]},
            "focus": {"reference": f"ServiceRequest/{request['id']}/_history/1"},
            "for": {"reference": whom}}  # fmt: skip
    answer = put(exchange, CHART, task)
    assert answer.status_code == 201, answer.text
    assert answer.json()["for"] == {"reference": "Patient/rosa"}

    (theirs,) = held(exchange, "agency/support", "Task")
    assert put(exchange, "agency/support/fhir", {**theirs, "status": "accepted"}).is_success
    assert exchange.get(f"{CHART}/Task/own").json()["status"] == "accepted"
    assert "_history" not in str(exchange.rows("SELECT subject FROM ledger"))


@pytest.mark.parametrize("count", [0, 2])
def test_a_number_of_no_child_or_of_two_reports_neither(exchange, count):
    """Two children with one number: nobody guesses, and the report is kept."""
    made = family.report(by_device=False)
    of(made, "ServiceRequest")["subject"] = {"identifier": {**NUMBER, "value": "no-such"}}
    for number in range(count):
        twin = {"resourceType": "Patient", "id": f"twin-{number}", "name": [{"family": "Twin"}],
                "identifier": [{**NUMBER, "value": "no-such"}]}  # fmt: skip
        put(exchange, REPORTS, twin)

    answer = exchange.call("POST", REPORT, made)

    issues = refused(answer, 422)
    assert "ServiceRequest.subject" in json.dumps(issues)
    assert "555-0100" in answer.text
    assert "no-such" not in answer.text
    assert [one["status"] for one in held(exchange, "clinic/reports", "Task")] == ["draft"]
    assert held(exchange, "agency/intake") == []


def test_two_records_of_one_child_are_one(exchange):
    """Both carry the number and are linked: the record that stands is reported."""
    made = family.report(by_device=False)
    of(made, "ServiceRequest")["subject"] = {"identifier": NUMBER}
    of(made, "Patient")["identifier"] = [NUMBER]
    old = {"resourceType": "Patient", "id": "old", "active": False, "identifier": [NUMBER],
           "link": [{"other": {"reference": "Patient/rosa"}, "type": "replaced-by"}]}  # fmt: skip
    put(exchange, REPORTS, of(made, "Patient"))
    put(exchange, REPORTS, old)

    assert resources(exchange.call("POST", REPORT, made), "Task")


@pytest.mark.parametrize(("number", "status"), [("100-42", 201), ("another", 422)])
def test_a_referrals_task_is_for_whom_its_number_means(exchange, patient, number, status):
    """The Task says by number whose referral it is; another's number sends nothing."""
    rosa = {**patient, "identifier": [NUMBER]}
    put(exchange, CHART, rosa)
    bundle = referral()
    for one in bundle["entry"]:
        if one["resource"]["resourceType"] != "Patient":
            put(exchange, CHART, one["resource"])
    request = of(bundle, "ServiceRequest")
    task = {"resourceType": "Task", "id": "mine", "status": "requested", "intent": "order",
            "focus": {"reference": f"ServiceRequest/{request['id']}"}, "owner": request["performer"][0],
            "for": {"identifier": {**NUMBER, "value": number}}}  # fmt: skip

    answer = put(exchange, CHART, task)

    assert answer.status_code == status, answer.text
    assert len(held(exchange, "agency/support", "Task")) == (status == 201)
    if status == 201:
        assert answer.json()["for"]["reference"] == "Patient/rosa"


def test_a_referrals_order_that_nothing_carries_is_said(exchange, patient):
    """A Task for the agency whose order cannot be found is not stored without a word."""
    task = {"resourceType": "Task", "id": "mine", "status": "requested", "intent": "order",
            "focus": {"identifier": {"system": "urn:x", "value": "gone"}},
            "owner": family.AGENCY, "for": {"reference": "Patient/rosa"}}  # fmt: skip

    issues = refused(put(exchange, CHART, task), 422)

    assert issues[0]["expression"] == ["Task.focus"]


# ---- messages


def message(**more):
    return {"resourceType": "Communication", "status": "completed", "sender": LIN,
            "payload": [{"contentString": "Please call."}], **more}  # fmt: skip


def said(exchange, shelf, what):
    return exchange.call("POST", f"{shelf}/Communication", what)


def test_a_message_that_names_its_order_by_number_goes(exchange, reported):
    """The EHR knows its order by number."""
    answer = said(exchange, REPORTS, message(basedOn=[{"identifier": order_number()}]))

    assert answer.status_code == 201, answer.text
    assert len(held(exchange, "agency/intake", "Communication")) == 1


def test_a_message_to_the_agency_about_nothing_is_refused(exchange, reported):
    """Nobody would get it; a note of the clinic's own is stored."""
    lost = said(exchange, REPORTS, message(recipient=[family.AGENCY]))

    refused(lost, 422)
    assert said(exchange, REPORTS, message()).status_code == 201
