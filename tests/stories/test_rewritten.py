"""An EHR gives the record of one child to another: what is said of that record since is told of neither."""

import json
from datetime import timedelta

import pytest
from exchange import COUNTY, refused, resources
from shelves import CHART, REFER, REPORT, REPORTS, attached, held, of, one, put, seen
from test_another_person import FIRST, MRN, drafts, kept, local
from test_backup import kinbridge
from test_expunge import record, started
from test_poor_is_no_neglect import entries, own_task

from app.sandbox import family

ANN = {**FIRST, "name": [{"family": "Abel", "given": ["Ann"]}]}
# a boy whom no agency knows
TIM = {
    "resourceType": "Patient",
    "id": "rosa",
    "name": [{"family": "Baker", "given": ["Tim"]}],
    "birthDate": "2014-05-06",
    "identifier": [{"system": MRN, "value": "2"}],
    "address": [{"text": "the bakers house"}],
}
BROTHER = {**TIM, "name": [{"family": "Abel", "given": ["Tim"]}]}
TWIN = {**BROTHER, "birthDate": FIRST["birthDate"]}
UNSAID = {name: value for name, value in BROTHER.items() if name != "birthDate"}


def sent(exchange, *facts, child=ANN, numbered=True):
    """Ann was reported, with these facts; of the child nothing that is None."""
    made = attached(local(child, order="one"), *facts)
    unsaid = [name for name, value in child.items() if value is None]
    for name in unsaid if numbered else ["identifier"]:
        of(made, "Patient").pop(name)
    assert resources(exchange.call("POST", REPORT, made), "Task")
    return made


def is_ann(exchange, shelf="agency/intake"):
    """The agency has Ann, as she was sent, and not a word of the boy in any version."""
    copy = one(exchange, shelf, "Patient")
    versions = exchange.rows(
        f"SELECT body FROM version WHERE shelf = '{shelf}' AND type = 'Patient'"
    )
    told = json.dumps(copy) + str(versions)
    return copy["name"] == ANN["name"] and not any(
        word in told for word in ("Tim", "Baker", "bakers", "2014")
    )


def told(exchange, shelf="clinic/reports"):
    """The Tasks that tell whoever reported that the record is another's now."""
    return [
        each for each in held(exchange, shelf, "Task") if "tells of another person now" in str(each)
    ]


@pytest.mark.parametrize("child", [TIM, BROTHER, TWIN])
def test_a_record_that_is_another_childs_now_does_not_follow(exchange, child):
    """Another family's, or a brother's, or a twin's: the agency keeps the girl whom it was told of."""
    sent(exchange)

    assert put(exchange, REPORTS, child).status_code == 200

    assert is_ann(exchange)
    assert len(told(exchange)) == 1


@pytest.mark.parametrize("child", [TIM, BROTHER, UNSAID])
def test_nor_does_it_where_nobody_has_a_number(exchange, child):
    """A clinic that gives its patients no numbers."""
    sent(exchange, numbered=False)

    put(
        exchange,
        REPORTS,
        {name: value for name, value in child.items() if name != "identifier"},
    )

    assert is_ann(exchange)
    assert len(told(exchange)) == 1


@pytest.mark.parametrize("born", [None, ANN["birthDate"]])
def test_a_brother_is_told_by_his_sex_where_nothing_else_tells(exchange, born):
    """Nobody has a number or a birthday, or they are twins: Ann's record is Tim's, and he is a boy."""
    unknown = {"birthDate": born, "identifier": None}
    sent(exchange, child={**ANN, **unknown, "gender": "female"})

    put(exchange, REPORTS, without({**BROTHER, **unknown, "gender": "male"}))

    assert is_ann(exchange)
    assert len(told(exchange)) == 1


@pytest.mark.parametrize(("before", "after"), [
    ({"name": [{"text": "Unborn child of Maria Abel"}], "birthDate": "2027-01-10"}, "2026-12-28"),
    ({"name": [{"text": "Unborn child of Maria Abel"}], "birthDate": "2027-01-10"}, None),
    ({"name": [{"text": "Girl of about six"}], "birthDate": "2020"}, "2018-11-30"),
])  # fmt: skip
def test_who_was_born_or_found_out_since_is_one_child(exchange, before, after):
    """A date that lay ahead, and a year, were estimates: the name and the birthday that are known now follow."""
    sent(exchange, child={**before, "identifier": None})

    known = {"resourceType": "Patient", "id": "rosa", "name": ANN["name"], "birthDate": after}
    put(exchange, REPORTS, without(known))

    copy = one(exchange, "agency/intake", "Patient")
    assert (copy["name"], copy.get("birthDate")) == (ANN["name"], after)
    assert told(exchange) == []


def test_a_year_far_off_is_anothers(exchange):
    """An estimate is not off by ten years."""
    sent(exchange, child={**ANN, "birthDate": "2020", "identifier": None})

    put(exchange, REPORTS, {name: each for name, each in BROTHER.items() if name != "identifier"}
        | {"birthDate": "2010"})  # fmt: skip

    assert one(exchange, "agency/intake", "Patient")["name"] == ANN["name"]
    assert len(told(exchange)) == 1


@pytest.mark.parametrize(
    ("before", "after"), [("unknown", "female"), (None, "male"), ("female", "female")]
)
def test_a_newborn_is_named_and_is_one_child(exchange, before, after):
    """Reported as Baby Abel on the day of birth: her name follows, whatever was known of the sex."""
    baby = {"name": [{"family": "Abel", "given": ["Baby"]}], "gender": before}
    sent(exchange, child={**baby, "identifier": None, "birthDate": None})

    put(exchange, REPORTS, without({"resourceType": "Patient", "id": "rosa", **baby,
                                    "name": ANN["name"], "gender": after}))  # fmt: skip

    assert one(exchange, "agency/intake", "Patient")["name"] == ANN["name"]
    assert told(exchange) == []


def without(child):
    """What is said of a child, and nothing that is not."""
    return {name: value for name, value in child.items() if value is not None}


def test_a_record_that_was_deleted_and_given_to_another_does_not_follow(exchange):
    """The EHR deletes Ann's record and gives its id to the next child."""
    sent(exchange)
    assert exchange.call("DELETE", f"{REPORTS}/Patient/rosa").status_code == 204

    assert put(exchange, REPORTS, TIM).status_code == 201

    assert is_ann(exchange)
    assert len(told(exchange)) == 1


@pytest.mark.parametrize("order", [
    ["name", "birthDate", "identifier", "address"], ["identifier", "name", "birthDate", "address"],
    ["address", "birthDate", "name", "identifier"],
])  # fmt: skip
def test_a_record_that_is_rewritten_bit_by_bit_is_put_back(exchange, order):
    """Each patch alone looks like a correction: once it is clear, the agency has what it was sent, and no trace."""
    sent(exchange)

    bit_by_bit(exchange, order)

    assert is_ann(exchange)
    assert len(told(exchange)) == 1


def bit_by_bit(exchange, order=("name", "birthDate", "identifier", "address")):
    for name in order:
        patch = [{"op": "replace", "path": f"/{name}", "value": TIM[name]}]
        answer = exchange.call(
            "PATCH", f"{REPORTS}/Patient/rosa", patch, Content_Type="application/json-patch+json"
        )
        assert answer.status_code == 200, answer.text


def test_a_restored_backup_has_her_as_she_was(exchange, tmp_path):
    """A backup from before is put back, and purged again: her copy is a whole record, and hers."""
    sent(exchange)
    before = one(exchange, "agency/intake", "Patient")
    assert kinbridge(exchange, "backup", tmp_path / "before").exit_code == 0
    bit_by_bit(exchange)
    exchange.http.__exit__(None, None, None)

    assert kinbridge(exchange, "restore", tmp_path / "before", "--force").exit_code == 0

    with started(exchange):
        assert exchange.get("health/ready").status_code == 200
        assert one(exchange, "agency/intake", "Patient") == before
        assert is_ann(exchange)
    exchange.http.__enter__()


@pytest.mark.parametrize("child", [TIM, BROTHER])
def test_what_is_said_of_that_record_is_said_of_another(exchange, child):
    """A finding is rewritten after the record: it is the boy's, and the agency has the girl's."""
    sent(exchange, seen("bruise"))
    put(exchange, REPORTS, child)

    put(exchange, REPORTS, seen("bruise", valueString="his arm is broken"))

    assert "his arm" not in json.dumps(held(exchange, "agency/intake"))
    assert len(told(exchange)) == 1


def test_so_it_is_in_one_transaction(exchange):
    """The EHR writes the boy's record and his finding together."""
    sent(exchange, seen("bruise"))
    made = [TIM, seen("bruise", valueString="his arm is broken")]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [
        {"resource": each, "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"}}
        for each in made
    ]}  # fmt: skip

    assert exchange.call("POST", REPORTS, bundle).status_code == 200

    assert is_ann(exchange)
    assert "his arm" not in json.dumps(held(exchange, "agency/intake"))
    assert len(told(exchange)) == 1


def test_what_is_taken_back_beside_it_is_taken_back(exchange):
    """The EHR marks her finding as an error in the same transaction: that says nothing of him, and goes."""
    sent(exchange, seen("bruise"))
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [
        {"resource": each, "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"}}
        for each in (TIM, seen("bruise", status="entered-in-error"))
    ]}  # fmt: skip

    assert exchange.call("POST", REPORTS, bundle).status_code == 200

    assert is_ann(exchange)
    (copy,) = (
        each for each in held(exchange, "agency/intake", "Observation") if each["code"].get("text")
    )
    assert (copy["status"], copy["valueString"]) == ("entered-in-error", "said of bruise")


def test_a_finding_of_hers_that_moves_with_her_is_no_error(exchange):
    """Her record has a new id since the old one is his; her finding goes along, and is hers as before."""
    sent(exchange, seen("bruise"))
    put(exchange, REPORTS, TIM)
    put(exchange, REPORTS, {"resourceType": "Patient", "id": "ann", **ANN})

    put(exchange, REPORTS, seen("bruise", subject={"reference": "Patient/ann"}))

    (copy,) = (
        each for each in held(exchange, "agency/intake", "Observation") if each["code"].get("text")
    )
    assert copy["status"] == "final"


def test_a_message_about_him_is_none_about_her(exchange):
    """The EHR gives each message the same ids: what a nurse writes of Tim does not go to Ann's caseworker."""
    sent(exchange)
    said = {"resourceType": "Communication", "status": "completed", "sender": {"display": "Nurse Roe"},
            "subject": {"reference": "Patient/rosa"}, "basedOn": [{"reference": "ServiceRequest/one"}],
            "payload": [{"contentString": "His arm is broken."}]}  # fmt: skip
    put(exchange, REPORTS, TIM)

    answer = exchange.call("POST", f"{REPORTS}/Communication", said)

    refused(answer, 422)
    assert "His arm" not in json.dumps(held(exchange, "agency/intake"))
    put(exchange, REPORTS, {"resourceType": "Patient", "id": "rosa", **ANN})
    assert exchange.call("POST", f"{REPORTS}/Communication", said).status_code == 201


@pytest.mark.parametrize("given", [True, False])
def test_what_was_done_for_her_does_not_come_into_his_chart(exchange, referred, patient, given):
    """The agency has helped Rosa; her record at the clinic is Tim's by now: it learns that, and no more."""
    task = referred[1]
    if given:
        put(exchange, CHART, TIM)
    done = {"resourceType": "Procedure", "id": "done", "status": "completed", "code": {"text": "meals"},
            "subject": task["for"], "performedDateTime": "2026-11-23"}  # fmt: skip
    put(exchange, "agency/support/fhir", done)
    for status in ("accepted", "in-progress"):
        put(exchange, "agency/support/fhir", {**task, "status": status})
    kind = {"coding": [{"system": family.DOMAIN,
                        "code": "resulting-activity"}]}  # fmt: skip
    output = [{"type": kind, "valueReference": {"reference": "Procedure/done"}}]

    answer = put(exchange, "agency/support/fhir", {**task, "status": "completed", "output": output},
                 Prefer="return=OperationOutcome")  # fmt: skip

    assert answer.status_code == 200, answer.text
    assert ("does not go to the clinic" in answer.text) is given
    assert len(held(exchange, "clinic/chart", "Procedure")) == (not given)
    assert "completed" in [one["status"] for one in held(exchange, "clinic/chart", "Task")]


def test_what_was_said_of_him_in_between_is_not_hers(exchange):
    """Three messages within a second, all under the same ids: what is looked at once more tells no more of him."""
    sent(exchange, seen("bruise"))
    put(exchange, REPORTS, TIM)
    put(exchange, REPORTS, seen("bruise", valueString="his arm is broken"))
    put(exchange, REPORTS, {"resourceType": "Patient", "id": "rosa", **ANN})
    exchange.now += timedelta(seconds=10)
    exchange.until(lambda: not exchange.rows("SELECT 1 FROM copied WHERE due > 0"))

    assert "his arm" not in json.dumps(held(exchange, "agency/intake"))
    assert is_ann(exchange)


def test_a_voluntary_referral_is_no_other(exchange, referred, patient):
    """A family that asked for food is not given another family's address."""
    before = one(exchange, "agency/support", "Patient")

    put(exchange, CHART, {**TIM, "identifier": [{**patient["identifier"][0], "value": "2"}]})

    assert one(exchange, "agency/support", "Patient") == before
    assert len(told(exchange, "clinic/chart")) == 1


@pytest.mark.parametrize("change", [
    {"name": [{"family": "Cole", "given": ["Ann"]}]}, {"birthDate": "2020-01-10"}, {"birthDate": "2020"},
    {"name": [{"family": "Abel", "given": ["Anna", "Ann"]}]}, {"name": [{"text": "ABEL, Ann"}]},
    {"identifier": [{"system": MRN, "value": "1-1"}]},
    {"identifier": [{"system": "urn:new", "value": "1"}], "name": [{"family": "Abell", "given": ["Ann"]}]},
    {"name": [{"family": "Smith", "given": ["Jane"]}], "birthDate": "2019-05-05"}, {"birthDate": None},
    {"birthDate": None, "identifier": None}, {"name": None, "birthDate": None, "identifier": None},
])  # fmt: skip
def test_a_correction_of_hers_follows(exchange, change):
    """She was adopted, her name was misspelt, her number mistyped, or she was not known when she came."""
    sent(exchange)
    moved = [{"text": "9 New Street"}]
    corrected = {"resourceType": "Patient", "id": "rosa", **ANN, "address": moved, **change}

    put(
        exchange,
        REPORTS,
        {name: one for name, one in corrected.items() if one},
    )

    assert one(exchange, "agency/intake", "Patient")["address"] == moved
    assert told(exchange) == []


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("order", [True, False])
@pytest.mark.parametrize("child", [TIM, BROTHER, TWIN])
def test_another_child_in_the_same_words_is_not_the_first(exchange, child, order, numbered):
    """An EHR whose ids begin anew writes the same sentence of the next child: it is kept, and nobody is hidden."""

    def made(child):
        bundle = local({name: one for name, one in child.items() if name != "id"}, order="one")
        if not order:
            of(bundle, "ServiceRequest").pop("identifier")
        if not numbered:
            of(bundle, "Patient").pop("identifier")
        return bundle

    assert resources(exchange.call("POST", REPORT, made(ANN)), "Task")

    kept(exchange, exchange.call("POST", REPORT, made(child)))

    assert is_ann(exchange)
    assert exchange.get(f"{REPORTS}/Patient/rosa").json()["name"] == ANN["name"]
    assert resources(exchange.call("POST", REPORT, made(ANN)), "Task"), "the same again is the same"


@pytest.mark.parametrize("child", [TIM, BROTHER])
def test_nor_is_it_in_a_transaction_that_says_the_same(exchange, child):
    """The same by an EHR that writes its own Task."""

    def made(child):
        bundle = local({name: one for name, one in child.items() if name != "id"}, order="one")
        task = {**own_task(), "focus": {"reference": "ServiceRequest/one"}}
        return {"resourceType": "Bundle", "type": "transaction", "entry": [
            *entries(bundle), {"resource": task, "request": {"method": "PUT", "url": f"Task/{task['id']}"}}
        ]}  # fmt: skip

    assert exchange.call("POST", REPORTS, made(ANN)).status_code == 200

    kept(exchange, exchange.call("POST", REPORTS, made(child)))

    assert is_ann(exchange)
    assert exchange.call("POST", REPORTS, made(ANN)).status_code == 200
    assert len(drafts(exchange)) == 1


def test_a_finding_under_the_id_of_another_childs_is_not_hers(exchange):
    """Each child has a record, and the EHR numbers findings anew in each message: the first one's stands."""
    sent(exchange, seen("finding-1"))
    text = json.dumps(
        attached(local({**TIM, "id": "tim"}, order="two"), seen("finding-1", valueString="his"))
    )
    text = text.replace("Patient/rosa", "Patient/tim")

    kept(exchange, exchange.call("POST", REPORT, json.loads(text)))

    (copy,) = (
        each for each in held(exchange, "agency/intake", "Observation") if each["code"].get("text")
    )
    assert (copy["status"], copy["valueString"]) == ("final", "said of finding-1")


@pytest.mark.parametrize("child", [BROTHER, TIM])
def test_a_second_referral_of_another_child_is_not_hers(exchange, child):
    """The same of help: a brother without a number, under the id of his sister."""

    def made(child, order):
        bundle = family.referral("ServiceRequest/none", consented=True)
        of(bundle, "ServiceRequest").update(
            id=order, identifier=[{"system": "urn:x", "value": order}]
        )
        for each in bundle["entry"]:
            if each["resource"]["resourceType"] == "ServiceRequest":
                each["fullUrl"] = f"https://ehr.example.org/fhir/ServiceRequest/{order}"
        bare = {name: one for name, one in child.items() if name != "identifier"}
        of(bundle, "Patient").update(bare)
        of(bundle, "Patient").pop("identifier", None)
        return bundle

    assert resources(exchange.call("POST", REFER, made(ANN, "one")), "Task")

    assert exchange.call("POST", REFER, made(child, "two")).status_code == 409

    assert is_ann(exchange, "agency/support")


class TestTransferred:
    """Two authorities take reports."""

    @pytest.fixture
    def tenants(self, tenants):
        return [*tenants, COUNTY]

    def transfer(self, exchange, task=None):
        """The first authority hands the report on."""
        task = task or one(exchange, "agency/intake", "Task")
        answer = exchange.call(
            "POST", f"agency/intake/fhir/Task/{task['id']}/$record-event",
            {"event": "transferred", "to": "county"},
        )  # fmt: skip
        assert answer.status_code == 200, answer.text

    def test_what_was_said_of_him_in_between_does_not_go_on(self, exchange):
        """The EHR gives each message the same ids: the record was Tim's for a while, and is Ann's again."""
        sent(exchange, seen("bruise"), seen("swelling"))
        put(exchange, REPORTS, TIM)
        put(exchange, REPORTS, seen("bruise", valueString="his arm is broken"))
        put(exchange, REPORTS, {"resourceType": "Patient", "id": "rosa", **ANN})
        put(exchange, REPORTS, seen("swelling", valueString="it has gone down"))

        self.transfer(exchange)

        told = json.dumps(held(exchange, "county/intake", "Observation"))
        assert "his arm" not in told
        assert "said of bruise" in told
        assert "it has gone down" in told

    def test_a_report_goes_on_as_it_was_sent(self, exchange):
        """The other authority gets Ann, whatever her record says now, and whatever it says later."""
        sent(exchange, seen("bruise"))
        put(exchange, REPORTS, TIM)
        put(exchange, REPORTS, seen("bruise", valueString="his arm is broken"))

        self.transfer(exchange)

        assert is_ann(exchange, "county/intake")
        assert "said of bruise" in json.dumps(held(exchange, "county/intake"))
        put(exchange, REPORTS, {**TIM, "address": [{"text": "the bakers new house"}]})
        put(exchange, REPORTS, seen("bruise", valueString="his leg too"))
        assert is_ann(exchange, "county/intake")
        assert "his" not in json.dumps(held(exchange, "county/intake", "Observation"))
        assert exchange.get(f"{REPORTS}/Patient/rosa").json()["name"] == TIM["name"]

    def test_what_was_written_of_an_expunged_child_does_not_go_on(self, exchange):
        """A finding was moved to Tim's record, he is expunged, and the record is a second one of Ann's."""
        sent(exchange, seen("bruise"))
        task = one(exchange, "agency/intake", "Task")
        his = local({**TIM, "id": "tim"}, order="two")
        of(his, "Observation")["id"] = "his-finding"
        text = json.dumps(his).replace("Patient/rosa", "Patient/tim")
        his = json.loads(text.replace("Observation/injury-finding", "Observation/his-finding"))
        assert resources(exchange.call("POST", REPORT, his), "Task")
        moved = seen("bruise", valueString="his arm", subject={"reference": "Patient/tim"})
        assert put(exchange, REPORTS, moved).status_code == 200
        tasks = held(exchange, "agency/intake", "Task")
        (theirs,) = (each["id"] for each in tasks if each["id"] != task["id"])
        assert record(exchange, theirs, "expunged").status_code == 200
        link = [{"other": {"reference": "Patient/rosa"}, "type": "replaces"}]
        hers = {"resourceType": "Patient", **ANN, "id": "tim", "link": link}
        assert put(exchange, REPORTS, hers).is_success

        self.transfer(exchange, task)

        there = json.dumps(held(exchange, "county/intake"))
        assert "Abel" in there
        assert "his arm" not in there
