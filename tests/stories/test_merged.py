"""An EHR makes two records of a child one: what is mended in the one that stands reaches who has the other."""

import pytest
import test_rewritten
from exchange import refused, resources
from shelves import CHART, REFER, REPORTS, held, of, one, put, seen
from test_account import events
from test_accounting import account
from test_corrections import MOVED, ledger, often  # noqa: F401 — a fixture
from test_rewritten import ANN, BROTHER, TIM, sent
from test_wrong_child import fact

from app import fhir
from app.sandbox import family

RECORD = {**ANN, "resourceType": "Patient", "id": "new",
          "identifier": [{"system": ANN["identifier"][0]["system"], "value": "9"}]}  # fmt: skip
SECOND = {"reference": "Patient/new"}
FIRST = {"reference": "Patient/rosa"}
BY, IN_PLACE_OF = ({"other": SECOND, "type": "replaced-by"}, {"other": FIRST, "type": "replaces"})


def merged(exchange, shelf=REPORTS, *, says="both", survivor=RECORD):
    """Rosa's record is replaced by another; which of them says so."""
    mine = exchange.get(f"{shelf}/Patient/rosa").json()
    link = {"link": [IN_PLACE_OF]} if says in {"both", "second"} else {}
    put(exchange, shelf, {**survivor, **link})
    if says in {"both", "first"}:
        put(exchange, shelf, {**mine, "active": False, "link": [BY]})
    return {**survivor, **link}


def not_followed(exchange, shelf="clinic/reports"):
    return [each for each in held(exchange, shelf, "Task") if "not-followed" in str(each)]


@pytest.mark.parametrize("says", ["both", "first", "second"])
def test_a_new_address_in_the_record_that_stands_reaches_intake(exchange, says):
    """The registrar merged two charts of Ann, and the family has moved since."""
    sent(exchange)
    stands = merged(exchange, says=says)
    before = one(exchange, "agency/intake", "Patient")

    put(exchange, REPORTS, {**stands, "address": MOVED})

    copy = one(exchange, "agency/intake", "Patient")
    assert (copy["id"], copy["address"]) == (before["id"], MOVED)
    assert copy["id"] in ledger(exchange)[-1][-1]
    assert not_followed(exchange) == []


def test_by_the_operation_too(exchange, referred, patient):
    """The clinic joins two records here: the agency has what stands in the one that is left."""
    second = {**patient, "id": "new", "address": MOVED}
    put(exchange, CHART, second)
    both = {"resourceType": "Parameters", "parameter": [
        {"name": "source", "valueReference": FIRST}, {"name": "target", "valueReference": SECOND}]}  # fmt: skip

    assert exchange.call("POST", f"{CHART}/Patient/$link", both).status_code == 200

    assert one(exchange, "agency/support", "Patient")["address"] == MOVED

    assert exchange.call("POST", f"{CHART}/Patient/$unlink", both).status_code == 200

    assert one(exchange, "agency/support", "Patient").get("address") == patient.get("address")


def test_what_only_the_first_record_says_stays(exchange):
    """The record that stands is thin as yet: intake does not lose where the child lives."""
    sent(exchange, child={**ANN, "address": MOVED})

    merged(exchange)

    assert one(exchange, "agency/intake", "Patient")["address"] == MOVED


def test_what_comes_late_for_the_first_record_takes_nothing_back(exchange):
    """The EHR sends the old record once more, as it was."""
    sent(exchange, child={**ANN, "address": [{"text": "the old house"}]})
    stands = merged(exchange)
    put(exchange, REPORTS, {**stands, "address": MOVED})
    mine = exchange.get(f"{REPORTS}/Patient/rosa").json()

    put(exchange, REPORTS, {**mine, "telecom": [{"system": "phone", "value": "555-0777"}]})

    assert one(exchange, "agency/intake", "Patient")["address"] == MOVED


def test_a_brothers_record_is_none_of_hers(exchange):
    """Two charts were merged by mistake: not a word of him goes, and whoever reported is told, once."""
    sent(exchange)
    stands = merged(exchange, survivor={**BROTHER, "id": "new"})

    put(exchange, REPORTS, {**stands, "address": MOVED})

    copy = one(exchange, "agency/intake", "Patient")
    assert copy["name"] == ANN["name"]
    assert copy["address"] != MOVED
    assert len(not_followed(exchange)) == 1


def test_a_merge_that_is_undone_is_undone_at_the_agency(exchange):
    """The address was the other child's: intake has hers again."""
    sent(exchange, child={**ANN, "address": [{"text": "her house"}]})
    stands = merged(exchange, survivor={**RECORD, "address": MOVED})
    assert one(exchange, "agency/intake", "Patient")["address"] == MOVED
    mine = exchange.get(f"{REPORTS}/Patient/rosa").json()

    put(exchange, REPORTS, {name: each for name, each in stands.items() if name != "link"})
    put(exchange, REPORTS, {name: each for name, each in mine.items() if name != "link"})

    assert one(exchange, "agency/intake", "Patient")["address"] == [{"text": "her house"}]


def test_the_record_that_stands_is_followed_when_the_first_is_deleted(exchange):
    """The EHR keeps the one record alone, and the family moves."""
    sent(exchange)
    stands = merged(exchange)
    exchange.call("DELETE", f"{REPORTS}/Patient/rosa")

    answer = put(exchange, REPORTS, {**stands, "address": MOVED})

    assert answer.status_code == 200, answer.text
    assert one(exchange, "agency/intake", "Patient")["address"] == MOVED


def test_a_finding_goes_on_when_the_first_record_is_deleted(exchange):
    """The EHR keeps the one record alone: what it amends of her is amended, and is no error."""
    sent(exchange, seen("bruise"))
    merged(exchange)
    exchange.call("DELETE", f"{REPORTS}/Patient/rosa")

    put(exchange, REPORTS, seen("bruise", subject=SECOND, valueString="two bruises"))

    found = fact(exchange, "bruise")
    assert (found["status"], found["valueString"]) == ("final", "two bruises")


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("linked", [True, False])
def test_a_record_that_is_deleted_by_the_merge_makes_no_error(exchange, at_once, linked):
    """The EHR keeps one record, moves the finding to it and deletes the other, in one transaction or step by step."""
    sent(exchange, seen("bruise"))
    number = {} if linked else {"identifier": [*RECORD["identifier"], *ANN["identifier"]]}
    stands = {**RECORD, **number, **({"link": [IN_PLACE_OF]} if linked else {})}
    finding = seen("bruise", subject=SECOND, valueString="two bruises")
    gone = {"request": {"method": "DELETE", "url": "Patient/rosa"}}
    steps = [{"resource": each, "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"}}
             for each in (stands, finding)]  # fmt: skip
    for entry in [[*steps, gone]] if at_once else [[steps[0]], [gone], [steps[1]]]:
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entry}
        assert exchange.call("POST", REPORTS, bundle).status_code == 200

    found = fact(exchange, "bruise")
    assert (found["status"], found["valueString"]) == ("final", "two bruises")


def test_a_finding_that_was_written_while_that_record_was_anothers(exchange):
    """It was put into a boy's chart, and that chart has her number by now: it is his, and not told of her."""
    sent(exchange, seen("bruise"))
    put(exchange, REPORTS, {**TIM, "id": "new"})
    put(exchange, REPORTS, seen("bruise", subject=SECOND, valueString="his arm is broken"))
    put(exchange, REPORTS, {**RECORD, "identifier": ANN["identifier"]})
    later = "SELECT * FROM copied WHERE due <> 0"

    exchange.until(lambda: exchange.rows(later) == [])

    assert "his arm" not in str(held(exchange, "agency/intake"))


def test_a_finding_in_the_linked_record_is_whose_that_is_by_now(exchange):
    """The two records were one, and the second was given to a boy: what is written there is none of hers."""
    sent(exchange, seen("bruise"))
    merged(exchange, says="first")
    put(exchange, REPORTS, {**TIM, "id": "new"})

    put(exchange, REPORTS, seen("bruise", subject=SECOND, valueString="his arm is broken"))

    assert "his arm" not in str(held(exchange, "agency/intake"))


def test_a_finding_in_a_record_that_was_deleted_is_whose_that_was(exchange):
    """Her record was given to a boy and deleted, and the EHR still writes what it has of him."""
    sent(exchange, seen("bruise"))
    put(exchange, REPORTS, TIM)
    exchange.call("DELETE", f"{REPORTS}/Patient/rosa")

    put(exchange, REPORTS, seen("bruise", valueString="his arm is broken"))

    assert "his arm" not in str(held(exchange, "agency/intake"))


@pytest.mark.usefixtures("often")
def test_however_often_she_was_referred_everyone_has_it(exchange):
    """Seventy open referrals of a record that was replaced: the last of them follow by and by."""
    mine = exchange.get(f"{CHART}/Patient/rosa").json()
    stands = merged(exchange, CHART, survivor={**mine, "id": "new"})

    put(exchange, CHART, {**stands, "address": MOVED})

    def moved():
        copies = held(exchange, "agency/support", "Patient") + held(
            exchange, "pantry/support", "Patient"
        )
        return sum(each.get("address") == MOVED for each in copies)

    exchange.until(lambda: moved() == 70)


def moved(exchange, shelf, *more):
    """What stands of the first record, each as it names the second; with these, as one transaction."""
    names = {"Patient/rosa": SECOND["reference"]}
    own = [each for each in held(exchange, shelf) if each["resourceType"] in
           {"Consent", "Observation", "ServiceRequest", "Task"}]  # fmt: skip
    return {"resourceType": "Bundle", "type": "transaction", "entry": [
        {"resource": each, "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"}}
        for each in (*more, *(fhir.renamed(each, lambda one: names.get(one, one)) for each in own))
    ]}  # fmt: skip


@pytest.mark.parametrize("at_once", [True, False])
def test_a_referral_outlives_a_merge(exchange, referred, patient, at_once):
    """The EHR moves consent, order and Task to the record that stands: nothing is taken back, and both go on."""
    _, theirs = referred
    second = {**patient, "id": "new", "link": [IN_PLACE_OF]}
    first = {**patient, "active": False, "link": [BY]}
    if not at_once:
        put(exchange, CHART, second)
        put(exchange, CHART, first)

    made = moved(exchange, "clinic/chart", *([second, first] if at_once else []))
    assert exchange.call("POST", CHART, made).status_code == 200

    assert not_followed(exchange, "clinic/chart") == []
    accepted = {
        **exchange.get(f"agency/support/fhir/Task/{theirs['id']}").json(),
        "status": "accepted",
    }
    assert put(exchange, "agency/support/fhir", accepted).status_code == 200
    assert one(exchange, "clinic/chart", "Task")["status"] == "accepted"
    assert put(exchange, CHART, {**second, "address": MOVED}).status_code == 200
    assert one(exchange, "agency/support", "Patient")["address"] == MOVED
    consent = one(exchange, "clinic/chart", "Consent")
    put(exchange, CHART, {**consent, "status": "inactive"})
    assert one(exchange, "clinic/chart", "Task")["status"] == "cancelled"


def test_a_consent_on_the_record_that_was_replaced_covers_her(exchange, patient):
    """The family signed before the two records were made one: the referral of the one that stands goes."""
    put(
        exchange, CHART, {**patient, "id": "new", "link": [{"other": FIRST, "type": "replaced-by"}]}
    )
    made = family.referral("ServiceRequest/none", consented=True)
    of(made, "Patient")["link"] = [{"other": SECOND, "type": "replaces"}]
    of(made, "Consent")["patient"] = SECOND

    assert resources(exchange.call("POST", REFER, made), "Task")

    copy = one(exchange, "agency/support", "Consent")
    assert copy["patient"] == {
        "reference": f"Patient/{one(exchange, 'agency/support', 'Patient')['id']}"
    }


@pytest.mark.parametrize("survivor", ["hers", "a boy's"])
def test_an_order_of_the_record_that_was_replaced_has_what_stands(exchange, patient, survivor):
    """A clinician orders under the old number: the agency goes to the door of today, and to no other child's."""
    child = patient if survivor == "hers" else TIM
    put(exchange, CHART, {**child, "id": "new", "address": MOVED})
    put(exchange, CHART, {**patient, "active": False, "link": [BY]})
    made = family.referral("ServiceRequest/none", consented=True)
    made["entry"] = [
        each for each in made["entry"] if each["resource"]["resourceType"] != "Patient"
    ]

    assert resources(exchange.call("POST", REFER, made), "Task")

    copy = one(exchange, "agency/support", "Patient")
    assert copy["name"] == patient["name"]
    assert copy["address"] == (MOVED if survivor == "hers" else patient["address"])


def test_another_childs_consent_does_not(exchange, patient):
    """The two records are linked by nobody."""
    put(exchange, CHART, {**patient, "id": "new"})
    made = family.referral("ServiceRequest/none", consented=True)
    of(made, "Consent")["patient"] = SECOND

    refused(exchange.call("POST", REFER, made), 422)


@pytest.mark.parametrize("says", ["both", "first", "second"])
def test_the_record_that_stands_has_her_whole_account(exchange, says):
    """Her family asks under the number that she has now: that she was reported under the other is in it."""
    sent(exchange)
    merged(exchange, says=says)

    for name in ("rosa", "new"):
        found = events(exchange.get(f"{REPORTS}/Patient/{name}/$account"))
        assert {each["entity"][0]["what"]["reference"] for each in found} == {"Patient/rosa"}
        *rows, _ = account(exchange, "clinic/reports", f"Patient/{name}")
        assert len(rows) == len(found)


def test_a_second_reason_is_told_too(exchange):
    """Whoever reported was told that the record was replaced by one elsewhere; then it is given to a boy."""
    sent(exchange)
    mine = exchange.get(f"{REPORTS}/Patient/rosa").json()
    put(exchange, REPORTS, {**mine, "link": [BY]})

    put(exchange, REPORTS, TIM)

    told = [each["code"]["text"] for each in not_followed(exchange)]
    assert len(told) == 2
    assert any("tells of another person now" in each for each in told)


class TestHandedOn:
    """Two authorities take reports."""

    tenants = test_rewritten.TestTransferred.tenants
    transfer = test_rewritten.TestTransferred.transfer

    def test_a_report_that_goes_on_has_what_stands(self, exchange):
        """The other authority has the address of today, too."""
        sent(exchange)
        stands = merged(exchange)
        put(exchange, REPORTS, {**stands, "address": MOVED})

        self.transfer(exchange)
        assert one(exchange, "county/intake", "Patient")["address"] == MOVED

        put(exchange, REPORTS, {**stands, "address": [{"text": "a third house"}]})
        assert one(exchange, "county/intake", "Patient")["address"][0]["text"] == "a third house"

    def test_a_boys_record_does_not_go_on_in_place_of_hers(self, exchange):
        """Two charts were merged by mistake, and the report is handed on: not a word of him goes."""
        sent(exchange, seen("bruise"))
        merged(exchange, survivor={**TIM, "id": "new"})
        put(exchange, REPORTS, seen("bruise", subject=SECOND, valueString="his arm is broken"))

        self.transfer(exchange)

        told = str(held(exchange, "county/intake"))
        assert ("Baker" in told, "his arm" in told) == (False, False)
        assert one(exchange, "county/intake", "Patient")["name"] == ANN["name"]

    @pytest.mark.parametrize("how", ["deleted", "given away"])
    def test_a_report_goes_on_as_it_was_sent(self, exchange, how):
        """Her record, and a finding that fits no profile, are deleted since, or another child's and mended."""
        sent(exchange, seen("bruise"))
        if how == "deleted":
            for name in ("Patient/rosa", "Observation/bruise"):
                exchange.call("DELETE", f"{REPORTS}/{name}")
        else:
            put(exchange, REPORTS, TIM)
            (own,) = (each for each in held(exchange, "clinic/reports", "Observation")
                      if each["id"] != "bruise")  # fmt: skip
            put(exchange, REPORTS, seen("bruise", code=own["code"]))

        self.transfer(exchange)

        assert one(exchange, "county/intake", "Patient")["name"] == ANN["name"]
        assert "said of bruise" in str(held(exchange, "county/intake", "Observation"))


@pytest.mark.parametrize("says", ["both", "second"])
def test_a_merge_the_wrong_way_round_is_turned(exchange, says):
    """The registrar sees that the first record is the one that stands: the caseworker goes to its address again."""
    sent(exchange)
    before = one(exchange, "agency/intake", "Patient")
    stands = merged(exchange, says=says, survivor={**RECORD, "address": MOVED})
    assert one(exchange, "agency/intake", "Patient")["address"] == MOVED

    put(exchange, REPORTS, {**stands, "link": [{**IN_PLACE_OF, "type": "replaced-by"}]})
    if says == "both":
        mine = exchange.get(f"{REPORTS}/Patient/rosa").json()
        put(exchange, REPORTS, {**mine, "active": True, "link": [{**BY, "type": "replaces"}]})

    assert one(exchange, "agency/intake", "Patient")["address"] == before["address"]


def test_a_merge_that_the_second_record_alone_said_is_undone_too(exchange):
    """Its link is taken out: what it said is the other child's, and the agency has the first address."""
    sent(exchange)
    before = one(exchange, "agency/intake", "Patient")
    stands = merged(exchange, says="second", survivor={**RECORD, "address": MOVED})

    put(exchange, REPORTS, {name: said for name, said in stands.items() if name != "link"})

    assert one(exchange, "agency/intake", "Patient")["address"] == before["address"]
