"""A message that an EHR sends again: nothing is sent twice, and nothing that it corrects is lost."""

import json
import uuid

import pytest
from exchange import agency_task, refused, resources
from shelves import CHART, REPORT, attached, held, of, put, seen
from test_expunge import record
from test_same_words import without_numbers

from app.sandbox import family


def unnamed(bundle):
    """The message as many EHRs send it: entries without ids, which refer to each other by urn."""
    text = json.dumps(bundle)
    for entry in bundle["entry"]:
        name = f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
        urn = f"urn:uuid:{uuid.uuid4()}"
        text = text.replace(json.dumps(name), json.dumps(urn)).replace(
            json.dumps(entry["fullUrl"]), json.dumps(urn)
        )
    made = json.loads(text)
    for entry in made["entry"]:
        del entry["resource"]["id"]
    return made


def message(*more, **child):
    made = attached(family.report(by_device=False), seen("bruise"), *more)
    of(made, "Patient").update(child)
    return unnamed(made)


def issues(answer):
    return resources(answer, "OperationOutcome")[0]["issue"]


@pytest.fixture
def first(exchange):
    """The report, sent once."""
    assert resources(exchange.call("POST", REPORT, message()), "Task")
    return {shelf: held(exchange, shelf) for shelf in ("clinic/reports", "agency/intake")}


def test_a_message_without_ids_that_comes_again_changes_nothing(exchange, first):
    """The network was slow, the EHR sends it once more, with other urns."""
    answer = exchange.call("POST", REPORT, message())

    assert [one["code"] for one in issues(answer)] == ["duplicate"]
    assert {shelf: held(exchange, shelf) for shelf in first} == first


@pytest.mark.parametrize("times", [1, 2])
def test_a_message_without_ids_corrects_the_child(exchange, first, times):
    """The family has moved, and the EHR sends the whole report again: intake has the new address."""
    for _ in range(times):
        answer = exchange.call("POST", REPORT, message(address=[{"text": "moved"}]))
        assert answer.status_code == 200, answer.text

    for shelf in first:
        (child,) = (one for one in held(exchange, shelf) if one["resourceType"] == "Patient")
        assert child["address"] == [{"text": "moved"}]
        assert len(held(exchange, shelf)) == len(first[shelf])


@pytest.mark.parametrize("broken", [
    {"identifier": [{"system": "https://ehr.example.org/mrn"}]},
    {"name": [{"use": "official"}]},
    {"telecom": [{"system": "phone"}]},
])  # fmt: skip
def test_a_child_without_an_id_who_comes_again_less_whole_is_taken_in(exchange, reported, broken):
    """The EHR lost the value of a number: the clinic has what it says, and the answer is no failure."""
    made = family.report(by_device=False)
    child = of(made, "Patient")
    child.update(broken)
    del child["id"]

    answer = exchange.call("POST", REPORT, made)

    assert answer.status_code == 200, answer.text
    (stands,) = held(exchange, "clinic/reports", "Patient")
    for name, said in broken.items():
        assert stands[name] == said


def test_what_is_new_in_a_message_without_ids_is_kept_and_not_sent(exchange, first):
    """A second finding stands on the clinic's shelf, about the child; that it was not sent is said, and stands there."""
    told = []
    for _ in range(2):
        made = attached(family.report(by_device=False), seen("bruise"))
        url = "https://ehr.example.org/fhir/Observation/burn"
        made["entry"].append({"fullUrl": url, "resource": seen("burn")})
        told.append(issues(exchange.call("POST", REPORT, unnamed(made))))

    assert [one["expression"] for one in told[0] if one["severity"] == "warning"] == [
        ["Observation"]
    ]
    assert [one["code"] for one in told[1]] == ["duplicate"]
    facts = held(exchange, "clinic/reports", "Observation")
    (kept,) = (one for one in facts if one["code"].get("text") == "burn")
    (child,) = held(exchange, "clinic/reports", "Patient")
    assert kept["subject"] == {"reference": f"Patient/{child['id']}"}
    assert "burn" not in json.dumps(held(exchange, "agency/intake"))
    told = [one for one in held(exchange, "clinic/reports", "Task") if "not-followed" in str(one)]
    assert len(told) == 1
    assert len(held(exchange, "clinic/reports")) == len(first["clinic/reports"]) + 2


def as_it_is(bundle):
    return bundle


@pytest.mark.parametrize("shape", [as_it_is, unnamed])
def test_what_was_expunged_is_not_taken_in_again(exchange, shape):
    """An EHR's queue plays the report once more: it is refused, and no word of it stands anywhere."""
    (task,) = resources(
        exchange.call("POST", REPORT, shape(family.report(by_device=False))), "Task"
    )
    theirs = agency_task(exchange, "intake", task)["id"]
    assert record(exchange, theirs, "received").status_code == 200
    assert record(exchange, theirs, "expunged").status_code == 200
    before = {shelf: held(exchange, shelf) for shelf in ("clinic/reports", "agency/intake")}

    again = exchange.call("POST", REPORT, shape(family.report(by_device=False)))

    assert "expunged" in refused(again, 409, "conflict")[0]["details"]["text"]
    assert {shelf: held(exchange, shelf) for shelf in before} == before
    bodies = exchange.rows("SELECT body FROM version") + exchange.rows("SELECT body FROM resource")
    assert family.PATIENT["name"][0]["given"][0] not in str(bodies)


def test_a_referral_that_was_taken_back_comes_again(exchange):
    """The EHR sends the same order with a new address after the consent was withdrawn: it stands as it stood, and whoever asked is told."""
    made = family.referral("ServiceRequest/none", consented=True)
    assert resources(exchange.call("POST", "clinic/chart/fhir/$refer", unnamed(made)), "Task")
    (consent,) = held(exchange, "clinic/chart", "Consent")
    path = f"clinic/chart/fhir/Consent/{consent['id']}"
    assert exchange.call("PUT", path, {**consent, "status": "inactive"}).status_code == 200
    of(made, "Patient")["address"] = [{"text": "moved"}]

    for _ in range(2):
        again = exchange.call("POST", "clinic/chart/fhir/$refer", unnamed(made))
        (task,) = resources(again, "Task")

    assert task["status"] == "cancelled"
    reminders = [
        one for one in held(exchange, "clinic/chart", "Task") if "not-followed" in str(one)
    ]
    assert ["after it had ended" in one["code"]["text"] for one in reminders] == [True]
    assert "moved" not in json.dumps(held(exchange, "agency/support"))


def test_a_late_repetition_takes_no_correction_back(exchange):
    """The family moved; then the EHR's queue plays the first message once more: they do not move back."""
    made = family.report(by_device=False)
    assert resources(exchange.call("POST", REPORT, made), "Task")
    moved = {**of(made, "Patient"), "address": [{"text": "moved"}]}
    assert exchange.call("PUT", "clinic/reports/fhir/Patient/rosa", moved).status_code == 200

    again = exchange.call("POST", REPORT, made)

    assert [one["code"] for one in issues(again)] == ["duplicate"]
    for shelf in ("clinic/reports", "agency/intake"):
        (child,) = held(exchange, shelf, "Patient")
        assert child["address"] == [{"text": "moved"}], shelf


@pytest.mark.parametrize("how", ["inactive", "deny", "DELETE"])
@pytest.mark.parametrize("message", ["the same", "corrected", "another"])
def test_a_message_does_not_revive_a_withdrawn_consent(exchange, referred, how, message):
    """The family said no; a message that still carries the old consent changes nothing, and sends nothing."""
    path = "clinic/chart/fhir/Consent/rosa-food"
    consent = exchange.get(path).json()
    if how == "DELETE":
        exchange.call("DELETE", path)
    elif how == "deny":
        provision = {**consent["provision"], "type": "deny"}
        exchange.call("PUT", path, {**consent, "provision": provision})
    else:
        exchange.call("PUT", path, {**consent, "status": how})
    before = exchange.get(path).content
    made = family.referral("ServiceRequest/none", consented=True)
    if message == "corrected":
        of(made, "Patient")["address"] = [{"text": "moved"}]
    if message == "another":
        request = of(made, "ServiceRequest")
        request |= {"id": "second", "identifier": [{"system": "urn:second", "value": "2"}]}
        for entry in made["entry"]:
            if entry["resource"] is request:
                entry["fullUrl"] = "https://ehr.example.org/fhir/ServiceRequest/second"

    answer = exchange.call("POST", "clinic/chart/fhir/$refer", made)

    if message == "another":
        said = refused(answer, 422, "business-rule")
        assert any("does not revive it" in one["details"]["text"] for one in said)
    else:
        (task,) = resources(answer, "Task")
        assert task["status"] == "cancelled"
        warned = [one["expression"] for one in issues(answer) if one["severity"] == "warning"]
        ended = [["Task.status"]]  # nothing is sent anew, and that is said
        assert warned == ended + ([["Consent.status"]] if message == "corrected" else [])
    assert exchange.get(path).content == before
    assert [one["status"] for one in held(exchange, "agency/support", "Task")] == ["cancelled"]


def test_a_clinic_may_write_that_the_family_agrees_again(exchange, referred):
    """An update of the consent by itself is an act of the clinic; then the next order goes."""
    path = "clinic/chart/fhir/Consent/rosa-food"
    consent = exchange.get(path).json()
    exchange.call("PUT", path, {**consent, "status": "inactive"})
    assert exchange.call("PUT", path, consent).status_code == 200
    made = json.loads(
        json.dumps(family.referral("ServiceRequest/none", consented=True)).replace(
            "food-help", "second"
        )
    )
    of(made, "ServiceRequest")["identifier"] = [{"system": "urn:second", "value": "2"}]

    assert resources(exchange.call("POST", "clinic/chart/fhir/$refer", made), "Task")


def transaction(method, *more, **child):
    """The referral as a plain transaction, its Task created or under an id of the EHR's."""
    made = family.referral("ServiceRequest/none", consented=True)
    request = of(made, "ServiceRequest")
    of(made, "Patient").update(child)
    task = {
        "resourceType": "Task", "id": "t1", "status": "requested", "intent": "order",
        "identifier": [{"system": "urn:t", "value": "1"}], "for": {"reference": "Patient/rosa"},
        "focus": {"reference": f"ServiceRequest/{request['id']}"}, "owner": request["performer"][0],
    }  # fmt: skip
    each = [one["resource"] for one in made["entry"]]
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in (*each, *more)
    ]
    url = "Task" if method == "POST" else "Task/t1"
    entries.append({"resource": task, "request": {"method": method, "url": url}})
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


METHODS = pytest.mark.parametrize("method", ["POST", "PUT"])


@METHODS
def test_a_transaction_that_comes_again_finds_what_became_of_it(exchange, method):
    """The EHR heard no answer and sends all of it once more, before and after the agency has accepted."""
    made = transaction(method)
    assert exchange.call("POST", CHART, made).status_code == 200
    (theirs,) = held(exchange, "agency/support", "Task")

    for status in ("requested", "accepted"):
        put(exchange, "agency/support/fhir", {**theirs, "status": status})
        again = exchange.call("POST", CHART, made, Prefer="return=representation")

        assert again.status_code == 200, again.text
        (task,) = resources(again, "Task")
        assert task["status"] == status
    assert exchange.rows("SELECT count(*) FROM exchange") == [(1,)]


@METHODS
def test_a_late_transaction_takes_no_correction_back(exchange, method):
    """The family moved; the EHR's queue plays the first transaction again; what it then says anew is heard."""
    assert exchange.call("POST", CHART, transaction(method)).status_code == 200
    moved = {**exchange.get(f"{CHART}/Patient/rosa").json(), "address": [{"text": "moved"}]}
    assert put(exchange, CHART, moved).status_code == 200

    for made, stands in (
        (transaction(method), "moved"),
        (transaction(method, address=[{"text": "moved on"}]), "moved on"),
    ):
        assert exchange.call("POST", CHART, made).status_code == 200
        for shelf in ("clinic/chart", "agency/support"):
            (child,) = held(exchange, shelf, "Patient")
            assert child["address"] == [{"text": stands}], shelf


@METHODS
@pytest.mark.parametrize("how", ["inactive", "DELETE"])
@pytest.mark.parametrize("changed", [{}, {"address": [{"text": "moved"}]}])
def test_a_late_transaction_does_not_revive_a_withdrawn_consent(exchange, method, how, changed):
    """The family said no; whatever else the old order brings, the next clinician finds no consent."""
    assert exchange.call("POST", CHART, transaction(method)).status_code == 200
    path = f"{CHART}/Consent/rosa-food"
    if how == "DELETE":
        exchange.call("DELETE", path)
    else:
        put(exchange, CHART, {**exchange.get(path).json(), "status": how})
    before = exchange.get(path).content

    late = transaction(method, **changed)
    answer = exchange.call("POST", CHART, late, Prefer="return=OperationOutcome")

    assert answer.status_code == 200, answer.text
    assert ("does not revive it" in answer.text) is bool(changed)
    assert exchange.get(path).content == before


def test_siblings_without_numbers_that_come_again_are_reported_once(exchange):
    """Their orders have no requisition, and are given one that is the same each time."""

    def both():
        children = (
            without_numbers(family.report(by_device=False), child) for child in ("Ana", "Leo")
        )
        return {"resourceType": "Bundle", "type": "collection",
                "entry": [{"resource": one} for one in children]}  # fmt: skip

    first = resources(exchange.call("POST", REPORT, both()), "Task")
    answer = exchange.call("POST", REPORT, both())

    assert resources(answer, "Task") == first
    assert [one["code"] for one in issues(answer)] == ["duplicate"] * 2
    assert exchange.rows("SELECT count(*) FROM exchange") == [(2,)]
