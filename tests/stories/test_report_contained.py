"""A report whose people stand inside it, as some EHRs write it: intake has them whole, and no more of them."""

import pytest
from exchange import agency_task, refused, resources
from shelves import held, of
from test_conversation import questions

from app.sandbox import family

REPORT = "clinic/reports/fhir/$report"
DR = {"resourceType": "Practitioner", "id": "dr", "birthDate": "1980-02-03",
      "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893"}],
      "name": [{"family": "Lin", "given": ["Ada"]}], "telecom": [{"system": "phone", "value": "555-0177"}],
      }  # fmt: skip
MOTHER = {"resourceType": "RelatedPerson", "id": "mother", "patient": {"reference": "Patient/rosa"},
          "identifier": [{"system": "https://ehr.example.org/mrn", "value": "mother-mrn"}],
          "relationship": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode",
                                        "code": "MTH"}]}],
          "name": [{"family": "Example", "given": ["Vera"]}], "telecom": [{"system": "phone", "value": "555-0188"}],
          "photo": [{"contentType": "image/jpeg", "data": "aW1hZ2U="}]}  # fmt: skip
PARTY = f"{family.KINBRIDGE}/StructureDefinition/cps-involved-party"
ROLES = f"{family.KINBRIDGE}/CodeSystem/cps-party-role"
CAREGIVER = {"url": PARTY, "extension": [
    {"url": "role", "valueCodeableConcept": {"coding": [{"system": ROLES, "code": "caregiver"}]}},
    {"url": "party", "valueReference": {"reference": "#mother"}}]}  # fmt: skip


def without(made, *kinds):
    made["entry"] = [
        one for one in made["entry"] if one["resource"]["resourceType"] not in {*kinds}
    ]


@pytest.fixture
def made():
    """A report that contains the mother and the clinician, and an attestation that contains the latter."""
    bundle = family.report(by_device=False)
    without(bundle, "Practitioner", "PractitionerRole")
    of(bundle, "Patient").pop("generalPractitioner")
    of(bundle, "Observation").pop("performer")
    of(bundle, "ServiceRequest").update(
        contained=[DR, MOTHER], requester={"reference": "#dr"}, extension=[CAREGIVER]
    )
    attested = of(bundle, "Provenance")
    attested["contained"] = [DR]
    for agent in attested["agent"]:
        agent["who"] = {"reference": "#dr"}
    return bundle


def test_who_is_contained_arrives(exchange, made):
    """Intake reads who the mother is and whom to call, each where the report points to them."""
    task = resources(exchange.call("POST", REPORT, made), "Task")[0]
    theirs = agency_task(exchange, "intake", task)

    request = exchange.get(f"agency/intake/fhir/{theirs['focus']['reference']}").json()
    doctor = exchange.get(f"agency/intake/fhir/{request['requester']['reference']}").json()
    (party,) = (one for one in request["extension"] if one["url"] == PARTY)
    mother = exchange.get(
        f"agency/intake/fhir/{party['extension'][1]['valueReference']['reference']}"
    ).json()
    (attested,) = held(exchange, "agency/intake", "Provenance")

    assert theirs["requester"] == request["requester"]
    assert doctor["name"] == DR["name"]
    assert doctor["telecom"] == DR["telecom"]
    assert mother["name"] == MOTHER["name"]
    assert mother["telecom"] == MOTHER["telecom"]
    assert mother["patient"] == theirs["for"]
    signer = exchange.get(f"agency/intake/fhir/{attested['agent'][0]['who']['reference']}").json()
    assert signer["name"] == DR["name"]


def test_of_who_is_contained_no_more_is_sent(exchange, made):
    """No number, photograph or birthday of theirs that the rule does not show, and no id of the clinic's."""
    assert resources(exchange.call("POST", REPORT, made), "Task")

    rows = exchange.rows("SELECT body FROM resource WHERE shelf = 'agency/intake'")
    text = b"".join(row[0] for row in rows)
    for trace in (b"mother-mrn", b"aW1hZ2U=", b"1980-02-03", b"1234567893", b"contained", b'"#'):
        assert trace not in text
    for one in (
        *held(exchange, "agency/intake", "RelatedPerson"),
        *held(exchange, "agency/intake", "Practitioner"),
    ):
        assert {"NOPAT", "V"} <= {label["code"] for label in one["meta"]["security"]}


def test_the_clinics_own_stays_as_written(exchange, made):
    """The report stands with whom it contains, and its Task says by name who asks."""
    task = resources(exchange.call("POST", REPORT, made), "Task")[0]

    request = exchange.get("clinic/reports/fhir/ServiceRequest/report").json()
    assert request["contained"] == [DR, MOTHER]
    assert task["requester"] == {"type": "Practitioner", "display": "Ada Lin"}


def test_a_caregiver_whom_nobody_points_to_arrives(exchange, made):
    """Who counts in the score is there to be called."""
    of(made, "ServiceRequest").pop("extension")

    assert resources(exchange.call("POST", REPORT, made), "Task")

    assert [one["telecom"] for one in held(exchange, "agency/intake", "RelatedPerson")] == [
        MOTHER["telecom"]
    ]


def test_a_role_and_its_human_may_be_contained(exchange, made):
    """A role contained beside the one who fills it leads to a human."""
    role = {"resourceType": "PractitionerRole", "id": "role", "practitioner": {"reference": "#dr"},
            "telecom": [{"system": "phone", "value": "555-0199"}]}  # fmt: skip
    of(made, "ServiceRequest").update(
        contained=[DR, MOTHER, role], requester={"reference": "#role"}
    )

    assert resources(exchange.call("POST", REPORT, made), "Task")

    (found,) = held(exchange, "agency/intake", "PractitionerRole")
    human = exchange.get(f"agency/intake/fhir/{found['practitioner']['reference']}").json()
    assert found["telecom"] == role["telecom"]
    assert human["name"] == DR["name"]


DEVICE = {"resourceType": "Device", "id": "dr", "type": {"text": "Rule engine"},
          "deviceName": [{"name": "Lin", "type": "user-friendly-name"}]}  # fmt: skip
UNNAMED = {"resourceType": "Practitioner", "id": "dr", "active": True}


@pytest.mark.parametrize("contained", [[DEVICE], [UNNAMED], [DR, DEVICE], [DEVICE, DR], []])
def test_what_is_no_human_reports_nothing_from_inside(exchange, made, contained):
    """A device, a nameless one, two of one id or nobody: contained or not, no human reports."""
    request = of(made, "ServiceRequest")
    request.pop("extension")
    request.pop("contained")
    request.update({"contained": contained} if contained else {})

    issues = refused(exchange.call("POST", REPORT, made), 422, "business-rule")

    assert ["ServiceRequest.requester"] in [issue.get("expression") for issue in issues]
    assert exchange.rows("SELECT * FROM exchange") == []
    assert held(exchange, "agency/intake", "Practitioner") == []


@pytest.mark.parametrize("element", ["who", "onBehalfOf"])
def test_no_contained_device_attests(exchange, made, element):
    """A machine neither says that there is reason to suspect nor has somebody say it."""
    attested = of(made, "Provenance")
    attested["contained"] = [DR, {**DEVICE, "id": "rules"}]
    attested["agent"][0][element] = {"reference": "#rules"}

    refused(exchange.call("POST", REPORT, made), 422, "business-rule")

    assert exchange.rows("SELECT * FROM exchange") == []


def test_what_the_rule_does_not_show_stays(exchange, made):
    """An encounter, a coverage, another's relative, a labelled record: contained, and not sent."""
    others = [
        {"resourceType": "Coverage", "id": "cover", "status": "active", "subscriberId": "stays-1",
         "beneficiary": {"reference": "Patient/rosa"}, "payor": [{"display": "stays-2"}]},
        {**MOTHER, "id": "other", "patient": {"reference": "Patient/else"}, "name": [{"text": "stays-3"}]},
        {"resourceType": "Observation", "id": "told", "status": "final", "valueString": "stays-4",
         "code": {"text": "x"}, "subject": {"reference": "Patient/rosa"}},
    ]  # fmt: skip
    exchange.call(
        "PUT", "clinic/reports/fhir/Patient/else", {"resourceType": "Patient", "id": "else"}
    )
    request = of(made, "ServiceRequest")
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "PSYTHPN"}
    request["meta"]["security"].append(label)
    request["contained"] = [DR, MOTHER, *others]
    request["supportingInfo"] += [{"reference": f"#{one['id']}"} for one in others]
    request["insurance"] = [{"reference": "#cover"}]

    sent = exchange.call("POST", REPORT, made)

    assert "suppressed" in {one["code"] for one in resources(sent, "OperationOutcome")[0]["issue"]}
    rows = exchange.rows("SELECT body FROM resource WHERE shelf = 'agency/intake'")
    assert b"stays-" not in b"".join(row[0] for row in rows)
    assert len(held(exchange, "agency/intake", "RelatedPerson")) == 1


def test_nobody_points_into_another(exchange, made):
    """A reference that spells the way into another resource leads nowhere."""
    of(made, "Patient")["contained"] = [{**DR, "name": [{"text": "Inside"}]}]
    of(made, "Patient")["generalPractitioner"] = [{"reference": "#dr"}]
    name = "Practitioner/Patient.rosa#dr"
    of(made, "ServiceRequest")["supportingInfo"].append({"reference": name})

    assert resources(exchange.call("POST", REPORT, made), "Task")

    assert {
        one["name"][0].get("text") for one in held(exchange, "agency/intake", "Practitioner")
    } == {None}


def test_who_saw_it_may_be_contained(exchange, made):
    """The nurse who saw the bruise stands inside the finding, and can be called."""
    nurse = {**DR, "name": [{"text": "Nora Nurse"}]}
    of(made, "Observation").update(contained=[nurse], performer=[{"reference": "#dr"}])

    assert resources(exchange.call("POST", REPORT, made), "Task")

    (found,) = held(exchange, "agency/intake", "Observation")
    seen = exchange.get(f"agency/intake/fhir/{found['performer'][0]['reference']}").json()
    assert seen["name"] == nurse["name"]
    assert seen["telecom"] == DR["telecom"]


def test_a_fault_of_who_is_contained_is_told(exchange, made):
    """A caregiver of no child said is sent on, and the reporter is told what is missing."""
    mother = {name: value for name, value in MOTHER.items() if name != "patient"}
    of(made, "ServiceRequest")["contained"] = [DR, mother]

    outcome = resources(exchange.call("POST", REPORT, made), "OperationOutcome")[0]

    at = "Bundle.entry[2].resource.contained[1]"
    assert [at] in [one.get("expression") for one in outcome["issue"]]
    assert held(exchange, "agency/intake", "RelatedPerson")[0]["name"] == MOTHER["name"]


def test_a_question_finds_who_is_contained(exchange, made):
    """What intake asks comes to the clinician by name."""
    task = resources(exchange.call("POST", REPORT, made), "Task")[0]
    theirs = agency_task(exchange, "intake", task)
    record = f"agency/intake/fhir/Task/{theirs['id']}/$record-event"
    owner = {"name": "Sam Porter", "phone": "555-0142"}
    exchange.call("POST", record, {"event": "received", "owner": owner})
    asked = {"event": "awaiting-information", "question": "child-location"}
    assert exchange.call("POST", record, asked).status_code == 200

    assert questions(exchange, "clinic/reports")[0]["owner"]["display"] == "Ada Lin"


def test_an_expunge_takes_who_was_contained(exchange, made):
    """Neither side's shelf holds a word of them, in any version."""
    task = resources(exchange.call("POST", REPORT, made), "Task")[0]
    theirs = agency_task(exchange, "intake", task)
    record = f"agency/intake/fhir/Task/{theirs['id']}/$record-event"
    done = exchange.call("POST", record, {"event": "expunged"})
    assert done.status_code == 200, done.text

    for table in ("resource", "version"):
        rows = exchange.rows(f"SELECT body FROM {table}")
        text = b"".join(bytes(row[0]) for row in rows if row[0])
        assert b"Vera" not in text
        assert b"555-0177" not in text
    assert (
        held(exchange, "agency/intake", "RelatedPerson")
        == held(exchange, "agency/intake", "Practitioner")
        == []
    )


def test_a_plain_task_sends_who_is_contained(exchange, made):
    """What was stored before, and is sent by POST Task, arrives as whole."""
    entries = [{**one, "request": {"method": "PUT", "url": f"{one['resource']['resourceType']}/{one['resource']['id']}"}}
               for one in made["entry"] if one["resource"]["resourceType"] != "Provenance"]  # fmt: skip
    batch = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    assert exchange.call("POST", "clinic/reports/fhir/", batch).status_code == 200
    task = {"resourceType": "Task", "id": "send", "status": "requested", "intent": "order",
            "focus": {"reference": "ServiceRequest/report"}, "for": {"reference": "Patient/rosa"},
            "owner": family.AGENCY}  # fmt: skip
    sent = [{"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
            for one in (of(made, "Provenance"), task)]  # fmt: skip

    answer = exchange.call("POST", "clinic/reports/fhir/", {**batch, "entry": sent})

    assert answer.status_code == 200, answer.text
    own = exchange.get("clinic/reports/fhir/Task/send").json()
    theirs = agency_task(exchange, "intake", own)
    doctor = exchange.get(f"agency/intake/fhir/{theirs['requester']['reference']}").json()
    assert doctor["telecom"] == DR["telecom"]
    assert held(exchange, "agency/intake", "RelatedPerson")[0]["telecom"] == MOTHER["telecom"]


def test_a_correction_changes_nothing_over_there(exchange, made):
    """As with any report that was sent: the clinic's record is mended, the agency's copy stays."""
    assert resources(exchange.call("POST", REPORT, made), "Task")
    mended = of(made, "ServiceRequest")
    mended["contained"] = [DR, {**MOTHER, "name": [{"text": "Mended"}]}]

    assert exchange.call("PUT", "clinic/reports/fhir/ServiceRequest/report", mended).is_success

    assert [one["name"] for one in held(exchange, "agency/intake", "RelatedPerson")] == [
        MOTHER["name"]
    ]


def test_a_referral_may_contain_who_refers(exchange, patient):
    """A clinician and an agency inside the order are found; a relative is no part of a referral."""
    bundle = family.referral("ServiceRequest/none", consented=True)
    request = bundle["entry"][-1]["resource"]
    performer = {"resourceType": "Organization", "id": "them", "name": "Agency",
                 "identifier": [request["performer"][0]["identifier"]]}  # fmt: skip
    role = {"resourceType": "PractitionerRole", "id": "role", "practitioner": {"reference": "#dr"},
            "organization": {"reference": "#us"}, "telecom": DR["telecom"], "code": [{"text": "Pediatrician"}],
            }  # fmt: skip
    clinic = {
        "resourceType": "Organization",
        "id": "us",
        "active": True,
        "name": "Riverside Pediatrics",
    }
    request.update(
        contained=[DR, MOTHER, performer, role, clinic], requester={"reference": "#role"}
    )
    request["performer"] = [{"reference": "#them"}]
    request["supportingInfo"].append({"reference": "#mother"})

    task = resources(exchange.call("POST", "clinic/chart/fhir/$refer", bundle), "Task")[0]

    theirs = agency_task(exchange, "support", task)
    asks = exchange.get(f"agency/support/fhir/{theirs['requester']['reference']}").json()
    doctor = exchange.get(f"agency/support/fhir/{asks['practitioner']['reference']}").json()
    assert asks["telecom"] == DR["telecom"]
    assert doctor["name"] == DR["name"]
    assert held(exchange, "agency/support", "RelatedPerson") == []
    request = exchange.get(f"agency/support/fhir/{theirs['focus']['reference']}").json()
    assert request["performer"][0]["identifier"]["value"] == "agency"


def test_a_referral_may_refer_to_its_parties(exchange, patient):
    """The agency and the clinic as records of their own, without a display beside: it arrives as well."""
    bundle = family.referral("ServiceRequest/none", consented=True)
    request = bundle["entry"][-1]["resource"]
    known = [
        {"resourceType": "Organization", "id": "them", "active": True, "name": "Agency",
         "identifier": [request["performer"][0]["identifier"]]},
        {"resourceType": "Organization", "id": "us", "active": True, "name": "Riverside Pediatrics"},
    ]  # fmt: skip
    request["performer"] = [{"reference": "Organization/them"}]
    of(bundle, "PractitionerRole")["organization"] = {"reference": "Organization/us"}
    for one in known:
        assert exchange.call("PUT", f"clinic/chart/fhir/Organization/{one['id']}", one).is_success

    assert resources(exchange.call("POST", "clinic/chart/fhir/$refer", bundle), "Task")

    (order,) = held(exchange, "agency/support", "ServiceRequest")
    (clinic,) = held(exchange, "agency/support", "Organization")
    assert order["performer"][0]["identifier"]["value"] == "agency"
    assert clinic["name"] == "Riverside Pediatrics"


@pytest.mark.parametrize(("who", "kept"), [("Practitioner", True), ("CareTeam", False)])
def test_a_report_says_who_saw_it(exchange, who, kept):
    """Another than the reporter saw it: a person comes along, a team is said to be masked; it goes."""
    made = family.report(by_device=False)
    seen = {
        "Practitioner": {**DR, "name": [{"text": "Nora Nurse"}]},
        "CareTeam": {"resourceType": "CareTeam"},
    }
    one = {**seen[who], "id": "nurse"}
    made["entry"].append({"fullUrl": f"https://ehr.example.org/fhir/{who}/nurse", "resource": one})
    of(made, "Observation")["performer"] = [{"reference": f"{who}/nurse"}]

    assert resources(exchange.call("POST", REPORT, made), "Task")

    (found,) = held(exchange, "agency/intake", "Observation")
    assert ("reference" in found["performer"][0]) is kept
    names = [one["name"][0].get("text") for one in held(exchange, "agency/intake", "Practitioner")]
    assert ("Nora Nurse" in names) is kept
