"""An EHR makes two records of a child one: what is mended in the one that stands reaches who has the other."""

import pytest
import test_rewritten
from test_corrections import CHART, MOVED, REPORTS, ledger, often, one, put  # noqa: F401 — a fixture
from test_rewritten import ANN, BROTHER, sent
from test_what_leaves import held, seen
from test_wrong_child import fact

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


def test_a_finding_goes_on_when_the_first_record_is_deleted(exchange):
    """The EHR keeps the one record alone: what it amends of her is amended, and is no error."""
    sent(exchange, seen("bruise"))
    merged(exchange)
    exchange.call("DELETE", f"{REPORTS}/Patient/rosa")

    put(exchange, REPORTS, seen("bruise", subject=SECOND, valueString="two bruises"))

    found = fact(exchange, "bruise")
    assert (found["status"], found["valueString"]) == ("final", "two bruises")


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

    def test_a_report_goes_on_when_the_childs_record_was_deleted(self, exchange):
        """What was sent of her goes on as it was sent."""
        sent(exchange)
        exchange.call("DELETE", f"{REPORTS}/Patient/rosa")

        self.transfer(exchange)

        assert one(exchange, "county/intake", "Patient")["name"] == ANN["name"]
