"""What a clinic corrects of what it sent: the agency's copy follows by itself, and no further than it may."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from exchange import resources
from shelves import CHILD, REFER, REPORT, TENANT, attached, coded, held, of, one, put, seen
from test_index import undo as as_owner

from app.sandbox import family

CHART = "clinic/chart/fhir"
REPORTS = "clinic/reports/fhir"
MOVED = [{"line": ["9 New Street"], "city": "Riverside"}]


def ledger(exchange):
    return exchange.rows("SELECT recipient, rule, purpose, disclosed FROM ledger ORDER BY id")


@pytest.fixture
def child(exchange, reported):
    """The child as the clinic reported it."""
    return exchange.get(f"{REPORTS}/Patient/rosa").json()


def test_a_new_address_reaches_intake(exchange, child):
    """The family has moved; the caseworker goes to the right door."""
    before = one(exchange, "agency/intake", "Patient")
    corrected = {
        **child,
        "address": MOVED,
        "photo": [{"data": "aW1hZ2U="}],
        "maritalStatus": {"text": "single"},
    }

    answer = put(exchange, REPORTS, corrected, Prefer="return=OperationOutcome")

    assert any("copy follows" in issue["details"]["text"] for issue in answer.json()["issue"])
    after = one(exchange, "agency/intake", "Patient")
    assert after["address"] == MOVED
    assert (before["meta"]["versionId"], after["meta"]["versionId"]) == ("1", "2")
    same = {"address", "meta"}
    assert {name: after[name] for name in after if name not in same} == {
        name: before[name] for name in before if name not in same
    }
    assert after["meta"]["security"] == before["meta"]["security"]
    recipient, rule, purpose, disclosed = ledger(exchange)[-1]
    assert (recipient, rule, purpose) == ("agency/intake", "report-with-attestation", "RPT-M")
    assert json.loads(disclosed) == [f"Patient/{after['id']}"]


def test_a_patch_follows_too(exchange, child):
    """However the EHR says it."""
    patch = [{"op": "replace", "path": "/address", "value": MOVED}]
    exchange.call(
        "PATCH", f"{REPORTS}/Patient/rosa", patch, Content_Type="application/json-patch+json"
    )

    assert one(exchange, "agency/intake", "Patient")["address"] == MOVED


def test_what_the_rule_does_not_show_makes_no_new_version(exchange, child):
    """Of what it was never told, the agency does not even learn that it changed."""
    rows = len(ledger(exchange))
    put(exchange, REPORTS, {**child, "maritalStatus": {"text": "single"}})

    assert one(exchange, "agency/intake", "Patient")["meta"]["versionId"] == "1"
    assert len(ledger(exchange)) == rows


def test_a_closed_case_is_not_reopened_by_a_correction(exchange, reported, child):
    """What comes after the end is a new act of a human."""
    _, theirs = reported
    event = f"agency/intake/fhir/Task/{theirs['id']}/$record-event"
    for said in ({"event": "received"}, {"event": "screened-out", "reason": "duplicate"}):
        assert exchange.call("POST", event, said).status_code == 200

    put(exchange, REPORTS, {**child, "address": MOVED})

    assert one(exchange, "agency/intake", "Patient")["address"] != MOVED


def test_what_was_expunged_stays_so(exchange, reported, child):
    """A correction brings nothing back."""
    _, theirs = reported
    exchange.call(
        "POST", f"agency/intake/fhir/Task/{theirs['id']}/$record-event", {"event": "received"}
    )
    exchange.call(
        "POST", f"agency/intake/fhir/Task/{theirs['id']}/$record-event", {"event": "expunged"}
    )

    put(exchange, REPORTS, {**child, "address": MOVED})

    assert held(exchange, "agency/intake", "Patient") == []


@pytest.mark.parametrize(
    "change", [{"status": "entered-in-error"}, {"subject": {"reference": "Patient/leo"}}]
)
def test_a_fact_that_never_was_is_said_to_be_an_error(exchange, change):
    """Entered in error, or in the wrong child's chart: the caseworker reads that it is none."""
    assert resources(
        exchange.call("POST", REPORT, attached(family.report(by_device=False), seen("bruise"))),
        "Task",
    )

    put(exchange, REPORTS, {**seen("bruise", valueString="something new"), **change})

    (copy,) = (
        one for one in held(exchange, "agency/intake", "Observation") if one["code"].get("text")
    )
    assert copy["status"] == "entered-in-error"
    assert copy["valueString"] == "said of bruise"
    assert copy["id"] in json.loads(ledger(exchange)[-1][-1])[0]


def test_a_record_that_was_made_one_with_another_is_the_same_child(exchange):
    """An EHR merges two records and moves the findings: they are the child's as before, and go on to be."""
    made = attached(family.report(by_device=False), seen("bruise"))
    assert resources(exchange.call("POST", REPORT, made), "Task")
    put(
        exchange,
        REPORTS,
        {"resourceType": "Patient", "id": "other", "name": [{"family": "Example"}]},
    )
    mine = exchange.get(f"{REPORTS}/Patient/rosa").json()
    link = {"other": {"reference": "Patient/other"}, "type": "replaced-by"}
    put(exchange, REPORTS, {**mine, "active": False, "link": [link]})
    other = {"reference": "Patient/rosa"}
    put(exchange, REPORTS, {"resourceType": "Patient", "id": "other", "name": [{"family": "Example"}],
                            "link": [{"other": other, "type": "replaces"}]})  # fmt: skip

    for said in ("larger", "larger still"):
        put(
            exchange,
            REPORTS,
            seen("bruise", subject={"reference": "Patient/other"}, valueString=said),
        )

        (copy,) = (
            each
            for each in held(exchange, "agency/intake", "Observation")
            if each["code"].get("text")
        )
        assert (copy["status"], copy["valueString"]) == ("final", said)
        assert copy["subject"] == {
            "reference": f"Patient/{one(exchange, 'agency/intake', 'Patient')['id']}"
        }


def test_a_subject_that_names_no_record_is_no_error(exchange):
    """A name alone does not say that the finding was another child's."""
    exchange.call("POST", REPORT, attached(family.report(by_device=False), seen("bruise")))

    put(
        exchange,
        REPORTS,
        seen("bruise", subject={"display": "the girl"}, valueString="other words"),
    )

    (copy,) = (
        each for each in held(exchange, "agency/intake", "Observation") if each["code"].get("text")
    )
    assert (copy["status"], copy["valueString"]) == ("final", "said of bruise")


def test_a_refuted_condition_is_said_to_be_an_error(exchange):
    """The same of a diagnosis, which says it in another element."""
    condition = {
        "resourceType": "Condition",
        "id": "fracture",
        "subject": CHILD,
        "code": {"text": "fracture"},
        "clinicalStatus": coded(
            "http://terminology.hl7.org/CodeSystem/condition-clinical", "active"
        ),
    }
    exchange.call("POST", REPORT, attached(family.report(by_device=False), condition))
    ended = {name: value for name, value in condition.items() if name != "clinicalStatus"}

    put(exchange, REPORTS, {**ended, "verificationStatus": coded(
        "http://terminology.hl7.org/CodeSystem/condition-ver-status", "entered-in-error")})  # fmt: skip

    copy = one(exchange, "agency/intake", "Condition")
    assert copy["verificationStatus"]["coding"][0]["code"] == "entered-in-error"
    assert "clinicalStatus" not in copy


@pytest.mark.parametrize("code", ["42CFRPart2", "PSYTHPN"])
def test_a_label_that_came_later_holds_the_correction_back(exchange, code):
    """What may not leave any more does not leave by a correction; the clinic is told."""
    exchange.call("POST", REPORT, attached(family.report(by_device=False), seen("note")))
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": code}

    answer = put(
        exchange, REPORTS, seen("note", valueString="secret", meta={"security": [label]}),
        Prefer="return=OperationOutcome",
    )  # fmt: skip

    assert "stays as it was" in answer.text
    assert "secret" not in json.dumps(held(exchange, "agency/intake"))


def test_a_correction_takes_no_new_fact_along(exchange, child):
    """Whom the corrected fact now points to was not sent, and is not sent by that."""
    exchange.call("POST", REPORT, attached(family.report(by_device=False), seen("bruise")))
    put(
        exchange,
        REPORTS,
        {
            "resourceType": "RelatedPerson",
            "id": "aunt",
            "patient": CHILD,
            "name": [{"text": "Aunt"}],
        },
    )

    put(
        exchange,
        REPORTS,
        seen("bruise", focus=[{"reference": "RelatedPerson/aunt"}], valueString="hers"),
    )

    assert held(exchange, "agency/intake", "RelatedPerson") == []
    assert "hers" not in json.dumps(held(exchange, "agency/intake"))


def refer(exchange, number, agency):
    made = family.referral("ServiceRequest/none", consented=True)
    request, agreed = of(made, "ServiceRequest"), of(made, "Consent")
    organization = {"identifier": {"system": TENANT, "value": agency}}
    request |= {"id": f"r{number}", "identifier": [{"system": "urn:r", "value": str(number)}],
                "performer": [organization], "supportingInfo": [{"reference": f"Consent/c{number}"}]}  # fmt: skip
    agreed |= {"id": f"c{number}", "identifier": [{"system": "urn:c", "value": str(number)}]}
    agreed["provision"]["actor"] = [
        {**agreed["provision"]["actor"][0], "reference": {**organization, "display": agency}}
    ]
    for entry in made["entry"]:
        entry["fullUrl"] = (
            f"https://ehr.example.org/fhir/{entry['resource']['resourceType']}/{entry['resource']['id']}"
        )
    return resources(exchange.call("POST", REFER, made), "Task")[0]


def test_every_open_referral_of_the_child_follows(exchange, patient):
    """Five referrals, two agencies: each has the new telephone, and each is accounted for."""
    for number in range(5):
        refer(exchange, number, "agency" if number % 2 else "pantry")
    rows = len(ledger(exchange))

    put(exchange, CHART, {**patient, "telecom": [{"system": "phone", "value": "555-0199"}]})

    copies = held(exchange, "agency/support", "Patient") + held(
        exchange, "pantry/support", "Patient"
    )
    assert [one["telecom"][0]["value"] for one in copies] == ["555-0199"] * 5
    assert len(ledger(exchange)) == rows + 5


@pytest.fixture
def often(exchange, patient):
    """Seventy open referrals of one clinician to two agencies, one that has ended; the number open."""
    for number in range(71):
        refer(exchange, number, "agency" if number % 2 else "pantry")
    ended = held(exchange, "agency/support", "Task")[0]
    put(exchange, "agency/support/fhir", {**ended, "status": "rejected"})
    return 70


def numbers(exchange, kind):
    """How many of the agencies' copies have which first telephone."""
    copies = held(exchange, "agency/support", kind) + held(exchange, "pantry/support", kind)
    return Counter(one.get("telecom", [{}])[0].get("value") for one in copies)


@pytest.mark.parametrize("kind", ["Patient", "PractitionerRole"])
def test_however_often_it_was_sent_a_correction_reaches_everyone(exchange, often, kind):
    """Of a child, or of a clinician whom dozens of open referrals name: each agency has the new telephone."""
    (mine,) = held(exchange, "clinic/chart", kind)
    rows = len(ledger(exchange))
    new = [{"system": "phone", "value": "555-0199"}]

    answer = put(exchange, CHART, {**mine, "telecom": new}, Prefer="return=OperationOutcome")

    assert "follow within" in answer.text
    assert numbers(exchange, kind)["555-0199"] >= 64
    exchange.until(lambda: numbers(exchange, kind)["555-0199"] == often)
    assert len(ledger(exchange)) == rows + often
    exchange.until(lambda: exchange.rows("SELECT * FROM copied WHERE due <> 0") == [])


def test_a_record_that_was_deleted_and_written_again_is_followed(exchange, referred, patient):
    """An EHR deletes a record and writes it anew under its name: the agency has what it says now."""
    exchange.call("DELETE", f"{CHART}/Patient/rosa")

    put(exchange, CHART, {**patient, "address": MOVED})

    assert one(exchange, "agency/support", "Patient")["address"] == MOVED


def test_what_was_written_while_it_was_sent_follows(exchange, patient):
    """The family's address is corrected at the very moment when the order goes: it is not passed by."""
    with ThreadPoolExecutor(2) as both:
        for number in range(12):
            sent = both.submit(refer, exchange, number, "agency")
            moved = {**patient, "address": [{"text": f"house {number}"}]}
            assert both.submit(put, exchange, CHART, moved).result().status_code == 200
            sent.result()

    def agree():
        mine = exchange.get(f"{CHART}/Patient/rosa").json()["address"]
        copies = held(exchange, "agency/support", "Patient")
        return [copy["address"] for copy in copies] == [mine] * 12

    exchange.until(agree)


@pytest.mark.parametrize("begun", ["2026-11-23T15:00:01.000Z", "2026-11-23T14:59:59.000Z"])
def test_a_correction_that_was_planned_before_follows(exchange, referred, patient, begun):
    """Whoever wrote without having seen the referral, and is on the disk after it, is looked for, whoever began first."""
    moved = {**patient, "address": MOVED}
    exchange.network.answers.clear()
    body = json.dumps({**moved, "meta": {"versionId": "2", "lastUpdated": begun}})
    as_owner(
        exchange.database_url,
        f"UPDATE resource SET version = 2, updated = '{begun}',"
        f" body = {body_of(exchange, body)} WHERE shelf = 'clinic/chart' AND type = 'Patient'",
    )

    exchange.until(lambda: one(exchange, "agency/support", "Patient").get("address") == MOVED)


def body_of(exchange, text):
    postgres = exchange.database_url.startswith("postgresql")
    return f"convert_to('{text}', 'UTF8')" if postgres else f"CAST('{text}' AS BLOB)"


def test_an_organization_that_a_consent_names_is_not_renamed_unheard(exchange, referred):
    """The clinic gives its record of the agency another number: it is told what that means for a family."""
    number = {"system": TENANT, "value": "agency"}
    exchange.call("PUT", f"{CHART}/Organization/north", {
        "resourceType": "Organization", "id": "north", "name": "North", "identifier": [number]})  # fmt: skip
    consent = exchange.get(f"{CHART}/Consent/rosa-food").json()
    (actor,) = consent["provision"]["actor"]
    named = {**actor, "reference": {"reference": "Organization/north"}}
    put(exchange, CHART, {**consent, "provision": {**consent["provision"], "actor": [named]}})
    organization = exchange.get(f"{CHART}/Organization/north").json()

    for change, told in (
        ({"name": "North Street"}, False),
        ({"identifier": [{**number, "value": "pantry"}]}, True),
    ):
        answer = put(exchange, CHART, {**organization, **change}, Prefer="return=OperationOutcome")
        assert ("A consent names this organization" in answer.text) is told


def test_many_records_are_corrected_at_once(exchange, referred, patient):
    """An EHR sends all its patients of the day anew; the one who was referred follows."""

    def transaction(**more):
        people = [{"resourceType": "Patient", "id": f"p{number}", "name": [{"family": "Example"}]}
                  for number in range(210)]  # fmt: skip
        entries = [{"resource": {**one, **more}, "request": {"method": "PUT", "url": f"Patient/{one['id']}"}}
                   for one in (*people, patient)]  # fmt: skip
        return {"resourceType": "Bundle", "type": "transaction", "entry": entries}

    assert exchange.call("POST", CHART, transaction()).status_code == 200

    answer = exchange.call(
        "POST", CHART, transaction(telecom=[{"system": "phone", "value": "555-0199"}])
    )

    assert answer.status_code == 200, answer.text[:300]
    assert one(exchange, "agency/support", "Patient")["telecom"][0]["value"] == "555-0199"


def test_many_records_are_parted_at_once(exchange, referred, patient):
    """An EHR undoes a day's wrong merges in one transaction: all of it is written."""

    def transaction(*, merged=False):
        people = [
            {"resourceType": "Patient", "id": f"p{number}", "name": [{"family": "Example"}],
             **({"link": [{"other": {"reference": f"Patient/old{number}"}, "type": "replaced-by"}]}
                if merged else {})} for number in range(110)
        ]  # fmt: skip
        return {"resourceType": "Bundle", "type": "transaction", "entry": [
            {"resource": one, "request": {"method": "PUT", "url": f"Patient/{one['id']}"}}
            for one in people
        ]}  # fmt: skip

    for made in (transaction(), transaction(merged=True), transaction()):
        answer = exchange.call("POST", CHART, made)
        assert answer.status_code == 200, answer.text[:300]


def test_a_correction_on_the_chart_does_not_reach_intake(exchange, patient, child):
    """The two purposes are two records of the child."""
    put(exchange, CHART, {**patient, "address": MOVED})

    assert one(exchange, "agency/intake", "Patient")["address"] != MOVED


def test_an_amended_screening_corrects_what_the_agency_has(exchange, patient):
    """The family answers anew; the answer that went along says so."""
    form = {**family.screening("hunger-vital-sign", []), "id": "form"}
    put(exchange, CHART, form)
    answer = next(
        one for one in held(exchange, "clinic/chart", "Observation")
        if one["code"]["coding"][0]["code"] == "88122-7"
    )  # fmt: skip
    made = family.referral("ServiceRequest/none", consented=True)
    of(made, "ServiceRequest")["reasonReference"] = [{"reference": f"Observation/{answer['id']}"}]
    assert resources(exchange.call("POST", REFER, made), "Task")
    before = one(exchange, "agency/support", "Observation")
    never = {"valueCoding": {"system": "http://loinc.org", "code": "LA28398-8"}}
    items = [
        {**item, "answer": [never]} if item["linkId"] == "/88122-7" else item
        for item in form["item"]
    ]

    put(exchange, CHART, {**form, "status": "amended", "item": items})

    after = one(exchange, "agency/support", "Observation")
    assert before["valueCodeableConcept"]["coding"][0]["code"] != "LA28398-8"
    assert after["valueCodeableConcept"]["coding"][0]["code"] == "LA28398-8"
    assert after["status"] == "corrected"


def test_a_consent_that_covers_it_no_more_lets_no_correction_out(exchange, referred, patient):
    """Its day is over: what is new about the family stays at the clinic, which is told."""
    given = exchange.get(f"{CHART}/Consent/rosa-food").json()
    period = {"start": "2026-01-01", "end": "2026-11-24"}
    put(exchange, CHART, {**given, "provision": {**given["provision"], "period": period}})
    exchange.now = exchange.now.replace(day=27)

    answer = put(exchange, CHART, {**patient, "address": MOVED}, Prefer="return=OperationOutcome")

    assert "consent does not cover it" in answer.text
    assert one(exchange, "agency/support", "Patient").get("address") != MOVED
    assert one(exchange, "agency/support", "Consent")["provision"]["period"] == period


@pytest.mark.parametrize(
    "change",
    [{"modifierExtension": [{"url": "urn:x", "valueBoolean": True}]}, {"name": [{"use": "usual"}]}],
)
def test_a_clinic_may_write_what_cannot_leave(exchange, referred, patient, change):
    """Its own record is its own; the agency's stays as it was, and that is said."""
    answer = put(exchange, CHART, {**patient, **change}, Prefer="return=OperationOutcome")

    assert "stays as it was" in answer.text
    assert one(exchange, "agency/support", "Patient")["name"] == patient["name"]


def test_the_same_message_with_a_new_address_corrects(exchange, reported):
    """An EHR that sends the whole report again: what it corrects is taken, and not believed to be sent twice."""
    made = family.report(by_device=False)
    of(made, "Patient")["address"] = MOVED
    made["entry"].append(
        {"fullUrl": "https://ehr.example.org/fhir/Observation/late", "resource": seen("late")}
    )

    answer = exchange.call("POST", REPORT, made)

    assert exchange.rows("SELECT count(*) FROM exchange") == [(1,)]
    assert one(exchange, "agency/intake", "Patient")["address"] == MOVED
    assert exchange.get(f"{REPORTS}/Observation/late").status_code == 200
    assert "said of late" not in json.dumps(held(exchange, "agency/intake"))
    issues = resources(answer, "OperationOutcome")[0]["issue"]
    assert any(
        issue["severity"] == "warning" and issue["expression"] == ["Observation"]
        for issue in issues
    )
