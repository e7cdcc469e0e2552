"""What is another child's does not come to stand as this one's, nor stay so once it is known."""

import json

from exchange import refused, resources
from shelves import CHART, CHILD, REFER, REPORT, REPORTS, attached, held, of, put, seen

from app.sandbox import family

LEO = {"resourceType": "Patient", "id": "leo", "name": [{"family": "Other"}],
       "identifier": [{"system": "https://ehr.example.org/mrn", "value": "200"}]}  # fmt: skip
OLD = {"resourceType": "Patient", "id": "old", "active": False, "name": [{"family": "Example"}],
       "link": [{"other": CHILD, "type": "replaced-by"}]}  # fmt: skip


def sent(exchange, *more, **child):
    """A report of Rosa with these beside it: the clinic's Task."""
    made = attached(family.report(by_device=False), *more)
    of(made, "Patient").update(child)
    return resources(exchange.call("POST", REPORT, made), "Task")[0]


def fact(exchange, text):
    """What intake has under this code."""
    (found,) = (
        one
        for one in held(exchange, "agency/intake", "Observation")
        if one["code"].get("text") == text
    )
    return found


def test_a_request_that_names_another_child_now_opens_nothing(exchange):
    """The order is mistyped onto another chart after it was sent: that child's findings do not follow it."""
    sent(exchange, seen("bruise"))
    put(exchange, REPORTS, LEO)
    request = held(exchange, "clinic/reports", "ServiceRequest")[0]
    assert (
        put(exchange, REPORTS, {**request, "subject": {"reference": "Patient/leo"}}).status_code
        == 200
    )

    leos = seen("bruise", subject={"reference": "Patient/leo"}, valueString="Leo was burnt")
    put(exchange, REPORTS, leos)

    assert "Leo was burnt" not in json.dumps(held(exchange, "agency/intake"))
    assert fact(exchange, "bruise")["status"] == "entered-in-error"


def test_two_records_that_are_two_children_after_all(exchange):
    """They were merged by mistake: what was told of the one from the other's record is said to be an error."""
    put(exchange, REPORTS, OLD)
    link = [{"other": {"reference": "Patient/old"}, "type": "replaces"}]
    sent(exchange, seen("own"), seen("other", subject={"reference": "Patient/old"}), link=link)
    assert fact(exchange, "other")["status"] == "final"

    rosa = exchange.get(f"{REPORTS}/Patient/rosa").json()
    put(exchange, REPORTS, {name: one for name, one in rosa.items() if name != "link"})

    assert fact(exchange, "other")["status"] == "entered-in-error"
    assert fact(exchange, "own")["status"] == "final"
    (disclosed,) = exchange.rows("SELECT disclosed FROM ledger ORDER BY id DESC LIMIT 1")[0]
    assert fact(exchange, "other")["id"] in disclosed


def test_unlinked_records_are_two_children_on_the_chart_too(exchange, patient):
    """The same by the operation that undoes a merge; a voluntary referral's answer is taken back."""
    names = {"source": {"reference": "Patient/old"}, "target": CHILD}
    both = {"resourceType": "Parameters",
            "parameter": [{"name": name, "valueReference": one} for name, one in names.items()]}  # fmt: skip
    put(exchange, CHART, {"resourceType": "Patient", "id": "old", "name": [{"family": "Example"}]})
    assert exchange.call("POST", f"{CHART}/Patient/$link", both).status_code == 200
    put(exchange, CHART, seen(
        "answer", subject={"reference": "Patient/old"}, valueString=None, valueCodeableConcept={"text": "yes"}))  # fmt: skip
    made = attached(
        family.referral("ServiceRequest/none", consented=True), named=["Observation/answer"]
    )
    made["entry"] = [one for one in made["entry"] if one["resource"]["resourceType"] != "Patient"]
    assert resources(exchange.call("POST", REFER, made), "Task")
    (before,) = held(exchange, "agency/support", "Observation")

    assert exchange.call("POST", f"{CHART}/Patient/$unlink", both).status_code == 200

    (after,) = held(exchange, "agency/support", "Observation")
    assert (before["status"], after["status"]) == ("final", "entered-in-error")


def test_a_record_further_off_that_is_another_childs_after_all(exchange):
    """Rosa's record replaced one that had replaced a boy's: that last link is undone, and his finding is none of hers."""
    boys = {**OLD, "id": "boys", "link": []}
    put(exchange, REPORTS, {name: one for name, one in boys.items() if one != []})
    put(
        exchange,
        REPORTS,
        {**OLD, "link": [{"other": {"reference": "Patient/boys"}, "type": "replaces"}]},
    )
    link = [{"other": {"reference": "Patient/old"}, "type": "replaces"}]
    sent(exchange, seen("own"), seen("his", subject={"reference": "Patient/boys"}), link=link)
    assert fact(exchange, "his")["status"] == "final"

    put(exchange, REPORTS, {name: one for name, one in OLD.items() if name != "link"})

    assert fact(exchange, "his")["status"] == "entered-in-error"
    assert fact(exchange, "own")["status"] == "final"


def test_a_record_that_was_replaced_is_told_to_who_asked(exchange, referred, patient):
    """The registrar keeps a record of her elsewhere from now on: what is mended there does not reach the agency."""
    link = [{"other": {"reference": "Patient/new"}, "type": "replaced-by"}]

    for _ in range(2):
        put(exchange, CHART, {**patient, "active": False, "link": link})
        link = [*link, {"other": {"reference": "Patient/other"}, "type": "seealso"}]

    (told,) = (
        one
        for one in held(exchange, "clinic/chart", "Task")
        if "another that is not here" in str(one)
    )
    assert told["code"]["coding"][0]["code"] == "not-followed"
    assert told["status"] == "requested"


def test_a_fact_that_names_the_child_by_number_is_corrected(exchange):
    """Many EHRs name the child by record number alone; what they correct reaches intake all the same."""
    rosa = {"identifier": {"system": "https://ehr.example.org/mrn", "value": "100-42"}}
    sent(exchange, seen("bruise", subject=rosa))

    put(exchange, REPORTS, seen("bruise", subject=rosa, valueString="two bruises"))

    assert fact(exchange, "bruise")["valueString"] == "two bruises"


def test_a_fact_that_has_another_childs_number_now_is_an_error(exchange):
    """It was entered under the wrong number."""
    rosa = {"identifier": {"system": "https://ehr.example.org/mrn", "value": "100-42"}}
    sent(exchange, seen("bruise", subject=rosa))
    put(exchange, REPORTS, LEO)

    put(
        exchange,
        REPORTS,
        seen("bruise", subject={"identifier": LEO["identifier"][0]}, valueString="his"),
    )

    assert fact(exchange, "bruise")["status"] == "entered-in-error"
    assert fact(exchange, "bruise")["valueString"] == "said of bruise"


def test_a_relative_of_another_child_is_none_of_this_one(exchange):
    """The grandmother stood in the wrong chart: intake reads that she is not to be called."""
    aunt = {
        "resourceType": "RelatedPerson",
        "id": "gran",
        "patient": CHILD,
        "name": [{"text": "Gran"}],
    }
    sent(exchange, aunt)
    put(exchange, REPORTS, LEO)

    put(exchange, REPORTS, {**aunt, "patient": {"reference": "Patient/leo"}})

    (copy,) = (
        one
        for one in held(exchange, "agency/intake", "RelatedPerson")
        if one["name"] == [{"text": "Gran"}]
    )
    assert copy["active"] is False


def test_a_reports_task_is_the_reported_childs(exchange):
    """An EHR that makes the Task for the brother: report, accounting and answer are the child's."""
    put(exchange, REPORTS, LEO)
    made = family.report(by_device=False)
    request = of(made, "ServiceRequest")
    own = {"resourceType": "Task", "id": "own", "status": "requested", "intent": "order",
           "focus": {"reference": f"ServiceRequest/{request['id']}"}, "for": {"reference": "Patient/leo"}}  # fmt: skip
    made["entry"].append({"fullUrl": "https://ehr.example.org/fhir/Task/own", "resource": own})

    (task,) = resources(exchange.call("POST", REPORT, made), "Task")

    assert task["for"] == CHILD
    moved = {**of(made, "Patient"), "address": [{"text": "moved"}]}
    put(exchange, REPORTS, moved)
    assert held(exchange, "agency/intake", "Patient")[0]["address"] == [{"text": "moved"}]


def test_siblings_reports_correct_an_earlier_one(exchange, reported):
    """The mother's new address comes with the brother's report; the caseworker of the sister has it too."""
    made = [
        sibling("a", address=[{"text": "moved"}]),
        sibling("b", name=[{"family": "Leo"}], identifier=LEO["identifier"]),
    ]
    act = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": one} for one in made],
    }

    assert len(resources(exchange.call("POST", REPORT, act), "Task")) == 2

    places = [one.get("address") for one in held(exchange, "agency/intake", "Patient")]
    assert places.count([{"text": "moved"}]) == 2


def sibling(letter, **child):
    """A report like the demo's, everything in it under names of its own; Rosa's, or a brother's."""
    made = json.dumps(family.report(by_device=False))
    for entry in json.loads(made)["entry"]:
        kind, identity = entry["resource"]["resourceType"], entry["resource"]["id"]
        if not kind.startswith("Practitioner") and (kind != "Patient" or letter == "b"):
            made = made.replace(f'{kind}/{identity}"', f'{kind}/{identity}-{letter}"')
    bundle = json.loads(made)
    for entry in bundle["entry"]:
        entry["resource"]["id"] = entry["fullUrl"].rsplit("/", 1)[1]
    of(bundle, "Patient").update(child)
    of(bundle, "ServiceRequest")["identifier"] = [{"system": "urn:sibling", "value": letter}]
    return bundle


def test_a_second_child_is_never_refused_in_silence(exchange, reported):
    """Another child under the number of a report that was sent is told, not taken for it."""
    made = family.report(by_device=False)
    of(made, "Patient")["name"] = [{"family": "Changed"}]
    of(made, "ServiceRequest")["note"] = [{"text": "x" * 200}]

    refused(exchange.call("POST", REPORT, made), 409)
