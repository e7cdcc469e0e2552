"""Two families whose messages say the same words, but for whom they are about, are two families."""

import copy
import json
import uuid

import pytest
from exchange import refused
from shelves import REFER, REPORT, REPORTS, held, of

from app.sandbox import family


def without_numbers(bundle, child, *, numbered=True):
    """The message as an EHR sends it that gives no order a number, and every resource a urn."""
    made = copy.deepcopy(bundle)
    names = {}
    for one in made["entry"]:
        resource = one["resource"]
        name = f"{resource['resourceType']}/{resource.pop('id')}"
        one["fullUrl"] = names[name] = f"urn:uuid:{uuid.uuid4()}"
        resource.pop("identifier", None) if resource["resourceType"] == "ServiceRequest" else None
    patient = of(made, "Patient")
    patient["name"] = [{"family": child}]
    patient["identifier"] = [{"system": "https://ehr.example.org/mrn", "value": child}]
    if not numbered:
        del patient["identifier"]

    def named(node):
        if isinstance(node, dict):
            if str(node.get("reference")) in names:
                node["reference"] = names[node["reference"]]
            for each in node.values():
                named(each)
        elif isinstance(node, list):
            for each in node:
                named(each)

    named(made)
    return made


def message(what):
    """Path, recipient's shelf, and the message that two children come in."""
    if what == "report":
        return REPORT, "agency/intake", family.report(by_device=False)
    bundle = family.referral("ServiceRequest/none", consented=True)
    of(bundle, "ServiceRequest").pop("basedOn", None)
    if not any(one["resource"]["resourceType"] == "Patient" for one in bundle["entry"]):
        bundle["entry"].append({"resource": copy.deepcopy(family.PATIENT)})
    return REFER, "agency/support", bundle


def transaction(made):
    """The same with a Task of the EHR's own, as one transaction."""
    request = next(
        one for one in made["entry"] if one["resource"]["resourceType"] == "ServiceRequest"
    )
    task = {"resourceType": "Task", "status": "requested", "intent": "order",
            "focus": {"reference": request["fullUrl"]}, "for": request["resource"]["subject"],
            "owner": request["resource"]["performer"][0]}  # fmt: skip
    entries = [*made["entry"], {"fullUrl": f"urn:uuid:{uuid.uuid4()}", "resource": task}]
    asked = [
        {**one, "request": {"method": "POST", "url": one["resource"]["resourceType"]}}
        for one in entries
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": asked}


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("door", ["operation", "transaction"])
@pytest.mark.parametrize("what", ["report", "referral"])
def test_two_children_in_the_same_words_are_two(exchange, what, door, numbered):
    """A clinic writes the same sentence of two children on one day: the agency has both, each by name."""
    path, shelf, bundle = message(what)
    for child in ("Abel", "Baker"):
        made = without_numbers(bundle, child, numbered=numbered)
        if door == "transaction":
            path, made = path.partition("/$")[0], transaction(made)
        answer = exchange.call("POST", path, made)
        assert answer.status_code == 200, answer.text

    names = {one["name"][0]["family"] for one in held(exchange, shelf, "Patient")}
    assert names == {"Abel", "Baker"}
    assert len(held(exchange, shelf, "Task")) == 2


def test_two_who_report_one_child_are_two(exchange):
    """Doctor and nurse write the same of one child: the law asks each of them."""
    path, shelf, bundle = message("report")
    for name in ("Lin", "Moss"):
        made = without_numbers(bundle, "Abel")
        doctor = of(made, "Practitioner")
        doctor["name"] = [{"family": name}]
        doctor.pop("identifier", None)
        of(made, "PractitionerRole").pop("identifier", None)
        assert exchange.call("POST", path, made).status_code == 200

    assert len(held(exchange, shelf, "Task")) == 2


def test_the_same_child_again_is_one(exchange):
    """No answer came, and the EHR sends it once more, with new urns."""
    path, shelf, bundle = message("report")
    for _ in range(2):
        assert exchange.call("POST", path, without_numbers(bundle, "Abel")).status_code == 200

    assert len(held(exchange, shelf, "Task")) == 1


def test_the_number_of_one_order_on_two_children_sends_one(exchange):
    """A broken EHR gives every order the number 1: the second is refused, and kept with the hotline."""
    path, shelf, bundle = message("report")
    answers = []
    for child in ("Abel", "Baker"):
        made = without_numbers(bundle, child)
        of(made, "ServiceRequest")["identifier"] = [{"system": "urn:ehr", "value": "1"}]
        answers.append(exchange.call("POST", path, made))

    refused(answers[1], 409)
    assert "555-0100" in answers[1].text
    names = {one["name"][0]["family"] for one in held(exchange, shelf, "Patient")}
    assert names == {"Abel"}
    (draft,) = (one for one in held(exchange, "clinic/reports", "Task") if one["status"] == "draft")
    kept = exchange.get(f"{REPORTS}/{draft['input'][0]['valueReference']['reference']}").json()
    assert of(kept, "Patient")["name"] == [{"family": "Baker"}]


@pytest.mark.parametrize("numbered", [True, False])
def test_two_refused_reports_in_the_same_words_are_two_drafts(exchange, numbered):
    """Neither names a reporter: both are kept, and the second does not take the first one's place."""
    for child in ("Abel", "Baker"):
        made = without_numbers(family.report(by_device=False), child)
        del of(made, "ServiceRequest")["requester"]
        if numbered:
            of(made, "ServiceRequest")["identifier"] = [{"system": "urn:ehr", "value": "1"}]
        refused(exchange.call("POST", REPORT, made), 422)

    kept = [json.dumps(one) for one in held(exchange, "clinic/reports", "Bundle")]
    assert ["Abel" in one for one in sorted(kept)] in ([True, False], [False, True])


def test_two_children_who_answer_alike_are_two(exchange):
    """Both families tick the same boxes on one day: each has Observations of its own."""
    for child in ("Abel", "Baker"):
        urn = f"urn:uuid:{uuid.uuid4()}"
        form = {
            **family.screening("hunger-vital-sign", []),
            "subject": {"reference": urn},
            "authored": "2026-11-23",
        }
        form.pop("id", None)
        form.pop("identifier", None)
        who = {
            "resourceType": "Patient",
            "name": [{"family": child}],
            "identifier": [{"system": "urn:mrn", "value": child}],
        }
        sent = [{"fullUrl": urn, "resource": who, "request": {"method": "POST", "url": "Patient"}},
                {"resource": form, "request": {"method": "POST", "url": "QuestionnaireResponse"}}]  # fmt: skip
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": sent}
        assert exchange.call("POST", "clinic/chart/fhir", bundle).status_code == 200

    assert len(held(exchange, "clinic/chart", "QuestionnaireResponse")) == 2
    subjects = {
        one["subject"]["reference"] for one in held(exchange, "clinic/chart", "Observation")
    }
    assert len(subjects) == 2
