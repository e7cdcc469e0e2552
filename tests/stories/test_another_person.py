"""What was sent of one person is never taken for another's, whatever number an EHR has given twice."""

import copy
import json

import pytest
from exchange import COUNTY, refused, resources
from shelves import CHART, REFER, REPORT, REPORTS, held, of, put
from test_poor_is_no_neglect import entries, own_task

from app.sandbox import family

MRN = "https://ehr.example.org/mrn"
LEO = {
    "resourceType": "Patient",
    "id": "leo",
    "name": [{"family": "Other"}],
    "birthDate": "2019-02-03",
}


def names(exchange, shelf="agency/intake"):
    return sorted(one["name"][0]["family"] for one in held(exchange, shelf, "Patient"))


def drafts(exchange):
    return [one for one in held(exchange, "clinic/reports", "Task") if one["status"] == "draft"]


def kept(exchange, answer, status=409):
    """It was refused, with whom to call, and what was written is there."""
    refused(answer, status)
    assert "555-0100" in answer.text
    (draft,) = drafts(exchange)
    assert draft["id"] in answer.text


def local(child, **more):
    """A report by an engine whose local ids begin anew with each message."""
    made = family.report(by_device=False)
    of(made, "Patient").update(child)
    request = of(made, "ServiceRequest")
    request["id"], request["identifier"] = (
        more["order"],
        [{"system": "urn:x", "value": more["order"]}],
    )
    attested = of(made, "Provenance")
    attested["id"] = f"attested-{more['order']}"
    attested["target"] = [{"reference": f"ServiceRequest/{more['order']}"}]
    for one in made["entry"]:
        if one["resource"] in (request, attested):
            kind = one["resource"]["resourceType"]
            one["fullUrl"] = f"https://ehr.example.org/fhir/{kind}/{one['resource']['id']}"
    return made


FIRST = {
    "name": [{"family": "Abel"}],
    "birthDate": "2020-01-01",
    "identifier": [{"system": MRN, "value": "1"}],
}


@pytest.mark.parametrize("second", [
    {"name": [{"family": "Baker"}], "birthDate": "2014-05-06", "identifier": [{"system": MRN, "value": "2"}]},
    {"name": [{"family": "Baker"}], "birthDate": "2014-05-06", "identifier": None},
    {"name": [{"family": "Abel"}], "birthDate": "2020-01-01", "identifier": [{"system": MRN, "value": "2"}]},
])  # fmt: skip
def test_a_second_child_under_the_id_of_the_first_is_not_the_first(exchange, second):
    """Patient/rosa is another child in the second message: the first child's record stays, at the agency too."""
    assert resources(exchange.call("POST", REPORT, local(FIRST, order="one")), "Task")
    child = {name: value for name, value in second.items() if value}
    made = local(child, order="two")
    if second["identifier"] is None:
        of(made, "Patient").pop("identifier")

    kept(exchange, exchange.call("POST", REPORT, made))

    assert names(exchange) == ["Abel"]
    assert exchange.get(f"{REPORTS}/Patient/rosa").json()["identifier"] == FIRST["identifier"]


def test_a_second_report_of_the_same_child_goes(exchange):
    """Her name was misspelt and her birthday is known now; her number is the same."""
    exchange.call("POST", REPORT, local(FIRST, order="one"))
    known = {**FIRST, "name": [{"family": "Able"}], "birthDate": "2020-01-02"}

    assert resources(exchange.call("POST", REPORT, local(known, order="two")), "Task")

    assert names(exchange) == ["Able", "Able"]


def test_who_was_unknown_is_known_now(exchange):
    """The child had no number and no birthday when she was reported first."""
    unknown = {"name": [{"family": "Unknown"}], "birthDate": "2020-01-01"}
    first = local(unknown, order="one")
    of(first, "Patient").pop("identifier", None)
    of(first, "Patient").pop("birthDate")
    exchange.call("POST", REPORT, first)

    assert resources(exchange.call("POST", REPORT, local(FIRST, order="two")), "Task")


def test_a_task_of_another_child_on_an_order_that_was_sent_is_refused(exchange, reported):
    """The EHR gives the second child's Task the first child's order: it is not answered as sent."""
    put(exchange, REPORTS, LEO)
    task = {**own_task(), "id": "of-leo", "focus": {"reference": "ServiceRequest/report"},
            "for": {"reference": "Patient/leo"}}  # fmt: skip

    kept(exchange, put(exchange, REPORTS, task))

    assert len(held(exchange, "agency/intake", "Task")) == 1


def test_an_order_that_stood_already_is_not_another_childs(exchange, reported):
    """A conditional create finds the first child's order under the number of the second child's."""
    sent = entries(family.report(by_device=False))
    made = []
    for one in sent:
        resource = copy.deepcopy(one["resource"])
        kind = resource["resourceType"]
        asked = {"method": "PUT", "url": f"{kind}/{resource['id']}"}
        if kind == "Patient":
            resource = {**LEO}
            asked["url"] = "Patient/leo"
        if kind == "ServiceRequest":
            number = resource["identifier"][0]
            del resource["id"]
            resource["subject"] = {"reference": "Patient/leo"}
            asked = {
                "method": "POST",
                "url": kind,
                "ifNoneExist": f"identifier={number['system']}|{number['value']}",
            }
        if kind in {"Patient", "ServiceRequest"}:
            url = (
                "urn:uuid:0b0c5b1c-6a8a-4b0e-9d5e-6f1d2c3b4a59"
                if kind == "ServiceRequest"
                else None
            )
            made.append(
                {"resource": resource, "request": asked, **({"fullUrl": url} if url else {})}
            )
    task = {**own_task(), "for": {"reference": "Patient/leo"}}
    del task["id"]
    task["focus"] = {"reference": "urn:uuid:0b0c5b1c-6a8a-4b0e-9d5e-6f1d2c3b4a59"}
    made.append({"resource": task, "request": {"method": "POST", "url": "Task"}})

    kept(
        exchange,
        exchange.call(
            "POST", REPORTS, {"resourceType": "Bundle", "type": "transaction", "entry": made}
        ),
    )


class TestTwoAgencies:
    """Two authorities take reports, two agencies help."""

    @pytest.fixture
    def tenants(self, tenants):
        return [*tenants, COUNTY]

    def owned(self, by):
        return {"identifier": {"system": f"{family.KINBRIDGE}/sid/tenant", "value": by}}

    @pytest.mark.usefixtures("reported")
    def test_a_report_that_one_authority_has_is_not_sent_to_another(self, exchange):
        """The clinic reports to the county too, by the same order: it is told that the county has nothing."""
        task = {**own_task(), "id": "county", "focus": {"reference": "ServiceRequest/report"},
                "owner": self.owned("county")}  # fmt: skip

        kept(exchange, put(exchange, REPORTS, task))

        assert held(exchange, "county/intake") == []

    def test_so_it_is_with_a_referral(self, exchange, referred):
        """The food pantry is asked by the order that the agency has."""
        task, _ = referred
        again = {"resourceType": "Task", "id": "pantry", "status": "requested", "intent": "order",
                 "focus": task["focus"], "for": task["for"], "owner": self.owned("pantry")}  # fmt: skip

        issues = refused(put(exchange, CHART, again), 409)

        assert "another agency" in issues[0]["details"]["text"]
        assert put(exchange, CHART, {**again, "owner": self.owned("agency")}).status_code == 200


@pytest.mark.parametrize("numbered", [True, False])
def test_siblings_under_one_number_are_kept(exchange, numbered):
    """The engine gives both siblings' orders the number 1: neither is lost."""
    both = []
    for order, child in (("one", FIRST), ("two", {**LEO, "id": "leo"})):
        made = local(child, order=order)
        request = of(made, "ServiceRequest")
        request["subject"] = {"reference": f"Patient/{of(made, 'Patient')['id']}"}
        for one in made["entry"]:
            if one["resource"]["resourceType"] == "Patient":
                one["fullUrl"] = f"https://ehr.example.org/fhir/Patient/{one['resource']['id']}"
        text = json.dumps(made).replace('"Patient/rosa"', f'"Patient/{of(made, "Patient")["id"]}"')
        for one in made["entry"]:
            if one["resource"]["resourceType"] in {"Observation", "RelatedPerson"}:
                name = f"{one['resource']['resourceType']}/{one['resource']['id']}"
                text = text.replace(f'{name}"', f'{name}-{order}"')
                text = text.replace(
                    f'"id": "{one["resource"]["id"]}"', f'"id": "{one["resource"]["id"]}-{order}"'
                )
        made = json.loads(text)
        if numbered:
            of(made, "ServiceRequest")["identifier"] = [{"system": "urn:x", "value": "1"}]
        both.append({"resource": made})

    answer = exchange.call(
        "POST", REPORT, {"resourceType": "Bundle", "type": "collection", "entry": both}
    )

    if numbered:
        assert "a number of its own" in json.dumps(refused(answer, 422))
        assert len(drafts(exchange)) == 2
        assert "555-0100" in answer.text
    else:
        assert len(resources(answer, "Task")) == 2, answer.text


def test_a_record_that_is_rewritten_as_another_childs_does_not_follow(exchange):
    """An EHR that writes one thing at a time gives the next child the same id: the agency keeps the first."""
    exchange.call("POST", REPORT, local(FIRST, order="one"))
    baker = {
        **LEO,
        "id": "rosa",
        "name": [{"family": "Baker"}],
        "identifier": [{"system": MRN, "value": "2"}],
    }

    assert put(exchange, REPORTS, baker).status_code == 200

    assert names(exchange) == ["Abel"]
    told = [
        one for one in held(exchange, "clinic/reports", "Task") if "another person now" in str(one)
    ]
    assert len(told) == 1


def test_a_number_that_was_mistyped_follows(exchange):
    """The registrar corrects the record number; name and birthday are hers."""
    exchange.call("POST", REPORT, local(FIRST, order="one"))
    rosa = exchange.get(f"{REPORTS}/Patient/rosa").json()

    put(
        exchange,
        REPORTS,
        {**rosa, "identifier": [{"system": MRN, "value": "1-1"}], "address": [{"text": "new"}]},
    )

    (copy_,) = held(exchange, "agency/intake", "Patient")
    assert copy_["address"] == [{"text": "new"}]


def test_a_name_that_another_system_writes_without_its_accents_is_one(exchange):
    """A registrar corrects the number of Zoë Đặng in a system that knows ASCII alone."""
    given = local({**FIRST, "name": [{"family": "Đặng", "given": ["Zoë"]}]}, order="one")
    exchange.call("POST", REPORT, given)
    child = exchange.get(f"{REPORTS}/Patient/rosa").json()
    child |= {"name": [{"family": "Dang", "given": ["Zoe"]}]}
    child |= {"identifier": [{"system": MRN, "value": "1-1"}]}

    put(exchange, REPORTS, child)

    assert names(exchange) == ["Dang"]


SCREENED_OUT = {"event": "screened-out", "reason": "insufficient-to-locate"}


@pytest.mark.parametrize(("events", "status"), [
    ([SCREENED_OUT], 201),
    ([{"event": "received"}, {"event": "screened-in"}, {"event": "investigating"},
      {"event": "disposition", "disposition": "5"}, {"event": "closed"}], 409),
])  # fmt: skip
def test_a_report_that_has_ended_is_sent_again_or_says_that_it_is_not(
    exchange, reported, events, status
):
    """The clinician knows more, and sends a Task of her own for the order: it goes, or she hears that it does not."""
    _, theirs = reported
    for said in events:
        path = f"agency/intake/fhir/Task/{theirs['id']}/$record-event"
        assert exchange.call("POST", path, said).status_code == 200
    task = {**own_task(), "id": "anew", "focus": {"reference": "ServiceRequest/report"},
            "note": [{"text": "She lives at 9 New Street."}]}  # fmt: skip

    answer = put(exchange, REPORTS, task)

    assert answer.status_code == status, answer.text
    assert len(held(exchange, "agency/intake", "Task")) == (2 if status == 201 else 1)
    if status == 409:
        kept(exchange, answer)


def test_a_report_that_replaces_an_earlier_one_goes(exchange, reported):
    """The clinician writes a second report, and says which one it takes the place of."""
    made = local(FIRST, order="two")
    of(made, "Patient")["identifier"] = family.PATIENT["identifier"]
    of(made, "ServiceRequest")["replaces"] = [{"reference": "ServiceRequest/report"}]

    assert resources(exchange.call("POST", REPORT, made), "Task")

    assert len(held(exchange, "agency/intake", "Task")) == 2


@pytest.mark.parametrize("kind", ["replaces", "seealso"])
def test_a_report_of_a_child_with_two_records_goes(exchange, kind):
    """Two records of her were merged; the other one stands on the shelf."""
    old = {"resourceType": "Patient", "id": "old", "active": False, "name": [{"family": "Abel"}],
           "link": [{"other": {"reference": "Patient/rosa"}, "type": "replaced-by"}]}  # fmt: skip
    put(exchange, REPORTS, old)
    made = local(
        {**FIRST, "link": [{"other": {"reference": "Patient/old"}, "type": kind}]}, order="one"
    )

    assert resources(exchange.call("POST", REPORT, made), "Task")

    assert names(exchange) == ["Abel"]


@pytest.mark.parametrize("given_again", [False, True])
def test_a_consent_is_of_whom_the_record_told_when_it_was_given(exchange, given_again):
    """Her family agreed, and her record is a boy's now: his need a consent of their own."""
    made = family.referral("ServiceRequest/none", consented=True)
    child = of(made, "Patient")
    consent = of(made, "Consent")
    first = {**child, **FIRST, "name": [{"family": "Abel", "given": ["Ann"]}]}
    second = {**child, "name": [{"family": "Baker", "given": ["Tim"]}], "birthDate": "2014-05-06",
              "identifier": [{"system": MRN, "value": "2"}]}  # fmt: skip
    for one in (first, consent, second):
        put(exchange, CHART, one)
    if given_again:
        put(exchange, CHART, {**consent, "dateTime": "2026-11-22"})
    made["entry"] = [
        one
        for one in made["entry"]
        if one["resource"]["resourceType"] not in {"Consent", "Patient"}
    ]

    answer = exchange.call("POST", REFER, made)

    if given_again:
        assert resources(answer, "Task")
    else:
        assert "consent-active" in str(refused(answer, 422))
        assert held(exchange, "agency/support") == []


def test_a_consent_outlives_a_correction_of_the_record(exchange, patient):
    """She has moved, and her name was misspelt: her family has agreed."""
    made = family.referral("ServiceRequest/none", consented=True)
    put(exchange, CHART, of(made, "Consent"))
    moved = {
        "address": [{"text": "9 New Street"}],
        "name": [{"family": "Abell", "given": ["Rosa"]}],
    }
    put(exchange, CHART, {**patient, **moved})
    made["entry"] = [
        one
        for one in made["entry"]
        if one["resource"]["resourceType"] not in {"Consent", "Patient"}
    ]

    assert resources(exchange.call("POST", REFER, made), "Task")
