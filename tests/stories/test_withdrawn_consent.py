"""A family takes its consent back: what was sent under it goes no further, however the clinic writes it down."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from exchange import refused
from shelves import CHART, REFER, TENANT, held, of, put
from test_backup import kinbridge
from test_corrections import refer
from test_delivery import settled

from app.sandbox import family

AGENCY = "agency/support/fhir"
EHR = "https://ehr.example.org/fhir"
ROUNDS = 15


@pytest.fixture
def given(exchange, referred):
    """The consent of the referral, as it stands on the chart."""
    return exchange.get(f"{CHART}/Consent/rosa-food").json()


def withdraw(exchange, consent, how):
    """The consent stands no more, as a clinic writes that."""
    path = f"{CHART}/Consent/{consent['id']}"
    if how == "DELETE":
        return exchange.call("DELETE", path, Prefer="return=OperationOutcome")
    answer = put(exchange, CHART, changed(consent, how), Prefer="return=OperationOutcome")
    assert "is taken back" in answer.text
    return answer


def changed(consent, how):
    provision = consent["provision"]
    (actor,) = provision["actor"]
    pantry = {"identifier": {"system": TENANT, "value": "pantry"}, "display": "Food pantry"}
    changes = {
        "inactive": {"status": "inactive"},
        "an error": {"status": "entered-in-error"},
        "denied": {"provision": {**provision, "type": "deny"}},
        "another agency": {"provision": {**provision, "actor": [{**actor, "reference": pantry}]}},
        "ended before today": {"provision": {**provision, "period": {"end": "2026-11-20"}}},
        "another child's": {"patient": {"reference": "Patient/leo"}},
        "a limit": {"provision": {**provision, "purpose": [{"code": "TREAT"}]}},
        "not agreed yet": {"status": "proposed"},
    }
    return {**consent, **changes[how]}


HOW = [
    "inactive",
    "an error",
    "denied",
    "DELETE",
    "another agency",
    "ended before today",
    "another child's",
    "a limit",
    "not agreed yet",
]


@pytest.mark.parametrize("how", HOW)
def test_before_anybody_answered_nothing_of_the_family_is_left(exchange, referred, given, how):
    """No caseworker has taken it up: the agency keeps a cancelled Task, and nobody's name, in no version."""
    task, theirs = referred
    names = [f"{one['resourceType']}/{one['id']}" for one in held(exchange, "agency/support")]
    put(exchange, CHART, {"resourceType": "Patient", "id": "leo", "name": [{"family": "Other"}]})

    assert withdraw(exchange, given, how).status_code in {200, 204}

    assert exchange.get(f"{CHART}/Task/{task['id']}").json()["status"] == "cancelled"
    (left,) = held(exchange, "agency/support")
    assert (left["id"], left["status"]) == (theirs["id"], "cancelled")
    for name in set(names) - {f"Task/{theirs['id']}"}:
        assert exchange.get(f"{AGENCY}/{name}").status_code == 410, name
        assert exchange.get(f"{AGENCY}/{name}/_history/1").status_code in {404, 410}, name
    everything = json.dumps(exchange.get(f"{AGENCY}/_history").json())
    for word in (family.PATIENT["name"][0]["family"], "12 Sample Street", "food"):
        assert word not in everything


def test_what_is_not_delivered_yet_is_not_delivered_any_more(exchange, undelivered):
    """The agency's server was down when the family changed its mind: it never gets the record."""
    given = exchange.get(f"{CHART}/Consent/rosa-food").json()

    put(exchange, CHART, {**given, "status": "inactive"})
    before = len(exchange.network.sent)
    exchange.network.answers.clear()
    exchange.now += timedelta(days=1)  # however often it was tried before
    settled(exchange, "delivered", 2)

    later = [
        one["resource"]
        for _, bundle in exchange.network.sent[before + 1 :]
        for one in bundle["entry"]
    ]
    assert {one["resourceType"] for one in later} == {"Task"}
    assert later[-1]["status"] == "cancelled"


def test_what_is_delivered_after_the_consents_day_is_held_back(exchange, undelivered):
    """The agency's server comes back when the consent has run out: nothing goes, until the family agrees longer."""
    given = exchange.get(f"{CHART}/Consent/rosa-food").json()
    path = f"{CHART}/Consent/rosa-food"
    day = {**given, "provision": {**given["provision"], "period": {"end": "2026-11-24"}}}
    assert exchange.call("PUT", path, day).status_code == 200

    exchange.now = exchange.now.replace(day=26)

    assert {row[0] for row in settled(exchange, "failed", 2)} == {"agency/support"}
    assert "suppressed" in {row[0] for row in exchange.rows("SELECT codes FROM attempt")}
    exchange.network.answers.clear()
    sent = len(exchange.network.sent)
    longer = {**given, "provision": {**given["provision"], "period": {"end": "2126-11-24"}}}
    assert exchange.call("PUT", path, longer).status_code == 200
    for push in exchange.rows("SELECT id FROM outbox WHERE state = 'failed' ORDER BY id"):
        done = kinbridge(exchange, "outbox", "resend", push[0])
        assert done.exit_code == 0, done.output
    exchange.now = max(exchange.now, datetime.now(UTC))  # the command has no clock but the real one
    settled(exchange, "failed", 0)
    settled(exchange, "owed", 0)
    kinds = {
        one["resource"]["resourceType"]
        for _, bundle in exchange.network.sent[sent:]
        for one in bundle["entry"]
    }
    assert {"Patient", "Task"} <= kinds


@pytest.fixture
def undelivered(exchange):
    """A referral to an agency whose server does not answer."""
    exchange.network.answers += [503] * 10_000
    exchange.call("PUT", f"{CHART}/Patient/rosa", family.PATIENT)
    assert exchange.call("POST", REFER, family.referral("ServiceRequest/none", consented=True))
    exchange.network.arrived.wait(5)


@pytest.fixture
def endpoints(request):
    """The agency's own server, for the stories in which it is down."""
    down = "undelivered" in request.fixturenames
    return {"agency/support": "https://agency.example.org/fhir"} if down else {}


@pytest.mark.parametrize("how", HOW)
def test_an_agency_that_has_taken_it_up_keeps_its_record(exchange, referred, given, how):
    """It has begun to help: it stops, reads why, and can still say what it has done."""
    task, theirs = referred
    exchange.call("PUT", f"{AGENCY}/Task/{theirs['id']}", {**theirs, "status": "accepted"})

    withdraw(exchange, given, how)

    assert exchange.get(f"{CHART}/Task/{task['id']}").json()["status"] == "cancelled"
    kinds = {one["resourceType"]: one for one in held(exchange, "agency/support")}
    assert kinds["Task"]["status"] == "cancelled"
    assert kinds["ServiceRequest"]["status"] == "revoked"
    assert kinds["Consent"]["status"] in {"inactive", "entered-in-error"}
    assert kinds["Patient"]["name"] == family.PATIENT["name"]
    later = {**kinds["Task"], "status": "completed"}
    refused(exchange.call("PUT", f"{AGENCY}/Task/{theirs['id']}", later), 409)


def test_who_has_asked_has_taken_it_up(exchange, referred, given):
    """A caseworker wrote to the clinic before she accepted: she keeps what she wrote about."""
    _, theirs = referred
    message = {
        "resourceType": "Communication", "status": "completed", "basedOn": [theirs["focus"]],
        "sender": {"display": "Kim"}, "payload": [{"contentString": "Which language do they speak?"}],
    }  # fmt: skip
    assert exchange.call("POST", f"{AGENCY}/Communication", message).status_code == 201

    put(exchange, CHART, {**given, "status": "inactive"})

    assert {"Communication", "Patient"} <= {
        one["resourceType"] for one in held(exchange, "agency/support")
    }


def test_a_change_that_leaves_it_covered_takes_nothing_back(exchange, referred, given):
    """A later end, a signed form: it is the same consent, and the agency reads it."""
    task, _ = referred
    provision = {**given["provision"], "period": {"end": "2027-11-20"}}

    put(exchange, CHART, {**given, "provision": provision})

    assert exchange.get(f"{CHART}/Task/{task['id']}").json()["status"] == "requested"
    (copy,) = held(exchange, "agency/support", "Consent")
    assert copy["provision"]["period"] == {"end": "2027-11-20"}


def test_a_note_on_a_consent_that_has_run_out_takes_nothing_back(exchange, referred, given):
    """Nobody withdrew it: its day was over, and what the clinic writes about it later is no withdrawal."""
    task, _ = referred
    provision = {**given["provision"], "period": {"end": "2026-11-24"}}
    put(exchange, CHART, {**given, "provision": provision})
    exchange.now = exchange.now.replace(day=27)

    put(exchange, CHART, {**given, "provision": provision, "dateTime": "2026-11-22"})

    assert exchange.get(f"{CHART}/Task/{task['id']}").json()["status"] == "requested"


def test_another_agencys_referral_of_the_same_child_goes_on(exchange, patient):
    """Two referrals, two consents: who withdraws the one has not withdrawn the other."""
    refer(exchange, 1, "agency")
    refer(exchange, 2, "pantry")
    first = exchange.get(f"{CHART}/Consent/c1").json()

    put(exchange, CHART, {**first, "status": "inactive"})

    assert [one["status"] for one in held(exchange, "agency/support", "Task")] == ["cancelled"]
    assert [one["status"] for one in held(exchange, "pantry/support", "Task")] == ["requested"]
    assert len(held(exchange, "pantry/support", "Patient")) == 1


def test_whoever_agrees_again_is_referred_again(exchange, referred, given):
    """The family changes its mind a second time: a new consent, a new referral, the record is there."""
    put(exchange, CHART, {**given, "status": "inactive"})

    refer(exchange, 7, "agency")

    found = {one["status"] for one in held(exchange, "agency/support", "Task")}
    assert found == {"cancelled", "requested"}
    assert len(held(exchange, "agency/support", "Patient")) == 1


def alone(number):
    """A referral whose patient and consent stand on the chart already; and the consent."""
    made = family.referral("ServiceRequest/none", consented=True)
    request, consent = of(made, "ServiceRequest"), of(made, "Consent")
    consent |= {"id": f"c{number}", "identifier": [{"system": "urn:c", "value": str(number)}]}
    request |= {"id": f"r{number}", "identifier": [{"system": "urn:r", "value": str(number)}],
                "supportingInfo": [{"reference": f"Consent/c{number}"}]}  # fmt: skip
    made["entry"] = [
        {"fullUrl": f"{EHR}/{one['resourceType']}/{one['id']}", "resource": one}
        for one in (entry["resource"] for entry in made["entry"])
        if one["resourceType"] not in {"Consent", "Patient"}
    ]
    return made, consent


@pytest.mark.parametrize("how", ["inactive", "DELETE", "another agency"])
def test_a_withdrawal_at_the_very_moment_is_not_passed_by(exchange, patient, how):
    """The family says no while the order is on its way: it is refused or taken back, never left to stand."""
    standing = []

    def withdrawn(consent):
        if how == "DELETE":
            return exchange.call("DELETE", f"{CHART}/Consent/{consent['id']}")
        return put(exchange, CHART, changed(consent, how))

    with ThreadPoolExecutor(2) as both:
        for number in range(ROUNDS):
            made, consent = alone(number)
            put(exchange, CHART, consent)
            sent = both.submit(exchange.call, "POST", REFER, made)
            gone = both.submit(withdrawn, consent)
            assert gone.result().status_code in {200, 204}, gone.result().text
            assert sent.result().status_code in {200, 422}, sent.result().text
            standing += [
                one
                for one in held(exchange, "agency/support", "Task")
                if one["status"] != "cancelled"
            ]

    assert standing == []
    assert held(exchange, "agency/support", "Patient") == []


def test_a_message_at_the_very_moment_does_not_stay_alone(exchange, patient):
    """The clinic writes to the agency while the family says no: no word of theirs is left where all else is gone."""
    with ThreadPoolExecutor(2) as both:
        for number in range(ROUNDS):
            made, consent = alone(number)
            put(exchange, CHART, consent)
            assert exchange.call("POST", REFER, made).status_code == 200
            words = {
                "resourceType": "Communication", "status": "completed", "sender": {"display": "Dr. Lin"},
                "basedOn": [{"reference": f"ServiceRequest/r{number}"}],
                "payload": [{"contentString": f"word {number}"}],
            }  # fmt: skip
            said = both.submit(exchange.call, "POST", f"{CHART}/Communication", words)
            gone = both.submit(put, exchange, CHART, changed(consent, "inactive"))
            assert gone.result().status_code == 200, gone.result().text
            assert said.result().status_code in {201, 409, 422}, said.result().text

    orders = {f"ServiceRequest/{one['id']}" for one in held(exchange, "agency/support", "ServiceRequest")}  # fmt: skip
    left = held(exchange, "agency/support", "Communication")
    assert all(one["basedOn"][0]["reference"] in orders for one in left)


def test_what_is_corrected_as_the_consent_is_deleted_stays(exchange, referred, patient, given):
    """One transaction deletes the consent and has the family's new address: the agency does not learn it."""
    put(exchange, AGENCY, {**referred[1], "status": "accepted"})
    moved = {**patient, "address": [{"text": "where nobody finds us"}]}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [
        {"resource": moved, "request": {"method": "PUT", "url": "Patient/rosa"}},
        {"request": {"method": "DELETE", "url": f"Consent/{given['id']}"}},
    ]}  # fmt: skip

    assert exchange.call("POST", CHART, bundle).status_code == 200

    assert "where nobody finds us" not in json.dumps(held(exchange, "agency/support"))
    (theirs,) = held(exchange, "agency/support", "Task")
    assert theirs["status"] == "cancelled"


@pytest.fixture
def agreed(exchange, patient):
    """A referral whose patient and consent stand on the chart, not sent yet; and the consent."""
    made = family.referral("ServiceRequest/none", consented=True)
    consent = of(made, "Consent")
    assert put(exchange, CHART, consent).status_code == 201
    return made, exchange.get(f"{CHART}/Consent/{consent['id']}").json()


def refusal(consent, **said):
    """What the family said another day: no."""
    said = {"id": "no", "dateTime": "2026-11-23T12:00:00Z", **said}
    kept = {name: value for name, value in consent.items() if name != "meta"}
    return {**kept, "provision": {**consent["provision"], "type": "deny"}, **said}


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"dateTime": "2026-11-23"},
        {"status": "rejected"},
        {"provision": {"type": "deny"}},
        {"provision": {"type": "deny", "purpose": [{"code": "TREAT"}]}},
    ],
)
def test_nothing_goes_where_the_family_has_said_no_since(exchange, agreed, said):
    """An older consent is at hand, and a form of later that refuses: what was said last counts."""
    made, consent = agreed
    assert put(exchange, CHART, refusal(consent, **said)).status_code == 201

    answer = exchange.call("POST", REFER, made)

    assert answer.status_code == 422, answer.text
    assert any("not older" in one["details"]["text"] for one in answer.json()["issue"])
    assert held(exchange, "agency/support") == []
    assert exchange.rows("SELECT id FROM ledger") == []


def test_nothing_goes_where_the_refusal_comes_along(exchange, agreed):
    """One Bundle has the order, the consent and the refusal."""
    made, consent = agreed
    made["entry"].append({"resource": refusal(consent), "fullUrl": "urn:uuid:no"})

    assert exchange.call("POST", REFER, made).status_code == 422
    assert held(exchange, "agency/support") == []


@pytest.mark.parametrize(
    "said",
    [
        {"dateTime": "2026-01-05T10:00:00Z"},
        {"status": "entered-in-error"},
        {"status": "inactive", "dateTime": ""},
        {"patient": {"reference": "Patient/another"}},
        {"provision": {"type": "deny", "period": {"end": "2026-11-22"}}},
        {"scope": {"coding": [{"system": "urn:x", "code": "research"}]}},
    ],
)
def test_a_refusal_of_before_or_of_another_matter_keeps_nobody_from_help(exchange, agreed, said):
    """The family has agreed since, or never said no to this."""
    made, consent = agreed
    put(exchange, CHART, {"resourceType": "Patient", "id": "another"})
    no = refusal(consent, **said)
    assert put(exchange, CHART, {k: v for k, v in no.items() if v}).status_code == 201

    assert exchange.call("POST", REFER, made).status_code == 200


def test_a_refusal_to_another_agency_keeps_nobody_from_help(exchange, agreed):
    """They do not want the county to know; the agency is not the county."""
    made, consent = agreed
    county = {"system": "https://kinbridge.example.org/fhir/sid/tenant", "value": "county"}
    actor = {**consent["provision"]["actor"][0], "reference": {"identifier": county}}
    no = refusal(consent, provision={"type": "deny", "actor": [actor]})
    assert put(exchange, CHART, no).status_code == 201

    assert exchange.call("POST", REFER, made).status_code == 200


def test_who_agrees_again_with_a_later_consent_is_referred(exchange, agreed):
    """Yes, no, and yes again: the last word counts."""
    made, consent = agreed
    put(exchange, CHART, refusal(consent))
    again = of(made, "Consent")
    again |= {"id": "yes", "dateTime": "2026-11-23T15:00:00Z"}
    of(made, "ServiceRequest")["supportingInfo"] = [{"reference": "Consent/yes"}]

    answer = exchange.call("POST", REFER, made)

    assert answer.status_code == 200, answer.text


def test_a_refusal_at_the_very_moment_is_not_passed_by(exchange, patient):
    """The form with the no is written while the order is on its way: nothing goes, or whoever referred is told."""
    with ThreadPoolExecutor(2) as both:
        for number in range(ROUNDS):
            made, consent = alone(number)
            consent["dateTime"] = f"2026-11-23T{number:02}:00:00Z"
            put(exchange, CHART, consent)
            no = refusal(consent, id=f"no{number}", dateTime=f"2026-11-23T{number:02}:30:00Z")
            sent = both.submit(exchange.call, "POST", REFER, made)
            said = both.submit(put, exchange, CHART, no)
            assert said.result().status_code == 201, said.result().text
            assert sent.result().status_code in {200, 422}, sent.result().text
            if sent.result().status_code == 200:
                told = [
                    one for one in held(exchange, CHART[:-5], "Task") if f"no{number}" in str(one)
                ]
                assert "not-followed" in str(told)
