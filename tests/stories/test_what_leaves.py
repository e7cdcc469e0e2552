"""What a clinic's own graph holds beside the referral, and what of it an agency must never learn or must."""

import json

import pytest
from exchange import agency_task, refused, resources
from shelves import CHILD, TENANT, attached, coded, held, of, seen

from app import settings
from app.domain import mappings
from app.sandbox import family

REPORT = "clinic/reports/fhir/$report"
REFER = "clinic/chart/fhir/$refer"
LOINC = "http://loinc.org"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
CONDITIONS = "http://terminology.hl7.org/CodeSystem/condition-category"


def reported(exchange, *more, named=()):
    """The facts that intake has, by their text, once a report with these was sent."""
    made = attached(family.report(by_device=False), *more, named=named)
    assert resources(exchange.call("POST", REPORT, made), "Task")
    return {one["code"].get("text"): one for one in held(exchange, "agency/intake", "Observation")}


@pytest.mark.parametrize(
    "subject",
    [{"identifier": {"system": "https://ehr.example.org/mrn", "value": "of-another"}},
     {"identifier": {"value": "100-42"}}, {"display": "Another child"},
     {"reference": "Patient/leo/_history/1"}, {"reference": "https://elsewhere.example.org/Patient/rosa"}],
)  # fmt: skip
def test_a_fact_that_does_not_say_it_is_of_the_child_stays(exchange, subject):
    """A number, a name or an address that is not this child's may be anybody's."""
    assert "other" not in reported(exchange, seen("other", subject=subject))


@pytest.mark.parametrize(
    "subject",
    [{"identifier": {"system": "https://ehr.example.org/mrn", "value": "100-42"}},
     {"reference": "Patient/rosa/_history/1"}],
)  # fmt: skip
def test_a_fact_of_the_child_by_number_or_version_goes(exchange, subject):
    """Many EHRs name the child by record number; the caseworker reads of whom it is."""
    found = reported(exchange, seen("own", subject=subject))["own"]

    (child,) = held(exchange, "agency/intake", "Patient")
    assert found["subject"] == {"reference": f"Patient/{child['id']}"}


@pytest.mark.parametrize("version", ["", "/_history/1"])
def test_a_fact_on_a_record_that_was_made_one_with_the_childs_goes(exchange, version):
    """Two records that are one child by a link, of whatever version: what stands on either is the child's."""
    made = family.report(by_device=False)
    other = {"reference": f"Patient/old{version}"}
    of(made, "Patient")["link"] = [{"other": other, "type": "replaces"}]
    old = {"resourceType": "Patient", "id": "old", "active": False, "name": [{"family": "Example"}],
           "link": [{"other": {"reference": f"Patient/rosa{version}"}, "type": "replaced-by"}]}  # fmt: skip
    exchange.call("PUT", "clinic/reports/fhir/Patient/old", old)

    assert resources(
        exchange.call(
            "POST", REPORT, attached(made, seen("before", subject={"reference": "Patient/old"}))
        ),
        "Task",
    )

    (child,) = held(exchange, "agency/intake", "Patient")
    found = {one["code"].get("text"): one for one in held(exchange, "agency/intake", "Observation")}
    assert found["before"]["subject"] == {"reference": f"Patient/{child['id']}"}


@pytest.mark.parametrize(
    "focus", [{"reference": "Patient/leo"}, {"reference": "RelatedPerson/leos-mother"},
              {"identifier": {"system": "urn:mrn", "value": "7"}, "display": "Leo"}],
)  # fmt: skip
def test_a_fact_about_somebody_else_is_not_told_of_the_child(exchange, focus):
    """A brother's broken arm, entered in the girl's chart, is not her broken arm."""
    leo = {"resourceType": "Patient", "id": "leo", "name": [{"family": "Example"}]}
    mother = {"resourceType": "RelatedPerson", "id": "leos-mother", "name": [{"family": "Other"}],
              "patient": {"reference": "Patient/leo"}}  # fmt: skip
    for one in (leo, mother):
        exchange.call("PUT", f"clinic/reports/fhir/{one['resourceType']}/{one['id']}", one)

    assert "arm" not in reported(exchange, seen("arm", focus=[focus]))


def test_a_fact_about_whom_the_report_names_is_told_of_that_one(exchange):
    """What is said of the mother, or of somebody who is only described, says so at intake."""
    mother = {
        "resourceType": "RelatedPerson",
        "id": "mother",
        "patient": CHILD,
        "name": [{"family": "Example"}],
    }
    exchange.call(
        "PUT", "clinic/reports/fhir/Patient/rosa", of(family.report(by_device=False), "Patient")
    )
    exchange.call("PUT", "clinic/reports/fhir/RelatedPerson/mother", mother)
    about = seen("hers", focus=[{"reference": "RelatedPerson/mother"}])
    described = seen("his", focus=[{"display": "a man at the door"}])

    found = reported(exchange, about, described)

    (theirs,) = held(exchange, "agency/intake", "RelatedPerson")
    assert found["hers"]["focus"] == [{"reference": f"RelatedPerson/{theirs['id']}"}]
    assert found["his"]["focus"] == [{"display": "a man at the door"}]


def test_of_a_voluntary_referral_no_fact_about_another_goes(exchange, patient):
    """The rule shows no focus, so the mother's answer would stand there as the child's."""
    exchange.call("PUT", "clinic/chart/fhir/Observation/hers", seen(
        "hers", focus=[{"display": "the mother"}], valueString=None, category=[coded(CATEGORY, "survey")],
        valueCodeableConcept={"text": "yes"}))  # fmt: skip
    made = attached(
        family.referral("ServiceRequest/none", consented=True), named=["Observation/hers"]
    )

    assert resources(exchange.call("POST", REFER, made), "Task")

    assert held(exchange, "agency/support", "Observation") == []


@pytest.mark.parametrize("shape", ["unnamed", "within"])
def test_an_extension_that_no_rule_names_leads_nowhere(exchange, shape):
    """An EHR's private link to a record does not take that record along, nor its own words."""
    exchange.call(
        "PUT", "clinic/reports/fhir/Patient/rosa", of(family.report(by_device=False), "Patient")
    )
    exchange.call("PUT", "clinic/reports/fhir/Observation/private", seen("private"))
    link = {
        "url": "https://ehr.example.org/link",
        "valueReference": {"reference": "Observation/private"},
    }
    role = {
        **coded(f"{family.KINBRIDGE}/CodeSystem/cps-party-role", "caregiver"),
        "extension": [link],
    }
    party = {
        "url": f"{family.KINBRIDGE}/StructureDefinition/cps-involved-party",
        "extension": [
            {"url": "role", "valueCodeableConcept": role},
            {"url": "party", "valueReference": {"display": "an aunt"}},
        ],
    }
    made = family.report(by_device=False)
    of(made, "ServiceRequest")["extension"] = [link if shape == "unnamed" else party]  # fmt: skip

    assert resources(exchange.call("POST", REPORT, made), "Task")

    text = json.dumps(held(exchange, "agency/intake"))
    assert "private" not in text
    assert "ehr.example.org/link" not in text


HUNGER = [coded(LOINC, "88122-7"), coded("urn:oid:2.16.840.1.113883.6.1", "88122-7"),
          {"coding": [{"code": "88123-5"}]}, coded(LOINC, "88124-3"), coded(LOINC, "71802-3")]  # fmt: skip


@pytest.mark.parametrize("code", HUNGER)
def test_a_screening_answer_stays_whatever_its_category(exchange, code):
    """An EHR's row without a category is the answer of a family that asked for help all the same."""
    bare = seen("bare", code={**code, "text": "bare"})
    history = seen(
        "history", code={**code, "text": "history"}, category=[coded(CATEGORY, "social-history")]
    )
    parts = seen("parts", component=[{"code": code, "valueString": "often"}])

    assert reported(exchange, bare, history, parts).keys() == {None}


@pytest.mark.parametrize(
    "code",
    [
        coded("http://hl7.org/fhir/sid/icd-10-cm", "Z59.41"),
        coded("http://snomed.info/sct", "32911000"),
    ],
)
def test_to_be_poor_is_no_part_of_a_report(exchange, code):
    """Hunger or homelessness on the problem list does not go to intake as if it were maltreatment."""
    need = {"resourceType": "Condition", "id": "need", "subject": CHILD, "code": code,
            "category": [coded(CONDITIONS, "problem-list-item")]}  # fmt: skip

    reported(exchange, need)

    assert held(exchange, "agency/intake", "Condition") == []


@pytest.mark.parametrize("code", ["95618-5", "95614-4", "76501-6"])
def test_an_answer_on_partner_violence_stays_without_its_category(exchange, patient, code):
    """It is known by its question, when the EHR forgets the rest."""
    exchange.call(
        "PUT",
        "clinic/chart/fhir/Observation/o",
        seen("o", code=coded(LOINC, code), valueString=None),
    )
    made = attached(family.referral("ServiceRequest/none", consented=True), named=["Observation/o"])

    assert resources(exchange.call("POST", REFER, made), "Task")

    assert held(exchange, "agency/support", "Observation") == []


def test_what_its_author_took_back_is_not_sent(exchange):
    """A finding that was entered in error is no finding."""
    refuted = {"resourceType": "Condition", "id": "refuted", "subject": CHILD, "code": {"text": "refuted"},
               "verificationStatus": coded("http://terminology.hl7.org/CodeSystem/condition-ver-status",
                                           "entered-in-error")}  # fmt: skip

    assert "wrong" not in reported(exchange, seen("wrong", status="entered-in-error"), refuted)

    assert held(exchange, "agency/intake", "Condition") == []


@pytest.mark.parametrize(
    ("element", "value"),
    [("valueRange", {"low": {"value": 2}, "high": {"value": 3}}), ("valuePeriod", {"start": "2026-11-20"}),
     ("valueTime", "14:30:00"), ("valueRatio", {"numerator": {"value": 1}, "denominator": {"value": 4}})],
)  # fmt: skip
def test_a_fact_goes_with_its_value_whatever_its_type(exchange, element, value):
    """How large a bruise is, from and to, is the fact."""
    found = reported(exchange, seen("bruise", valueString=None, **{element: value}))

    assert found["bruise"][element] == value


def test_a_fact_goes_though_the_report_names_a_version_of_it(exchange):
    """A reference to a version means the fact."""
    exchange.call(
        "PUT", "clinic/reports/fhir/Patient/rosa", of(family.report(by_device=False), "Patient")
    )
    exchange.call("PUT", "clinic/reports/fhir/Observation/kept", seen("kept"))

    assert "kept" in reported(exchange, named=["Observation/kept/_history/1"])


def test_a_consent_shows_its_recipient_itself_alone(exchange, patient):
    """That the family lets a shelter know too is not the pantry's to learn, nor where the form lies."""
    made = family.referral("ServiceRequest/none", consented=True)
    agreed = of(made, "Consent")
    shelter = {
        "role": agreed["provision"]["actor"][0]["role"],
        "reference": {
            "identifier": {"system": TENANT, "value": "pantry"},
            "display": "Shelter for women",
        },
    }
    agreed["provision"]["actor"].append(shelter)
    agreed.pop("sourceReference", None)
    agreed["sourceAttachment"] = {
        "contentType": "application/pdf",
        "data": "aGk=",
        "url": "https://clinic.internal/1",
    }
    other = {**agreed, "id": "other", "identifier": [{"system": "urn:x", "value": "hiv-clinic"}],
             "provision": {**agreed["provision"], "actor": [shelter]}}  # fmt: skip
    made["entry"].append(
        {"fullUrl": "https://ehr.example.org/fhir/Consent/other", "resource": other}
    )
    of(made, "ServiceRequest")["supportingInfo"].insert(0, {"reference": "Consent/other"})

    assert resources(exchange.call("POST", REFER, made), "Task")

    (copy,) = held(exchange, "agency/support", "Consent")
    assert len(copy["provision"]["actor"]) == 1
    assert copy["sourceAttachment"] == {"contentType": "application/pdf", "data": "aGk="}
    text = json.dumps(held(exchange, "agency/support"))
    for trace in ("Shelter", "hiv-clinic", "clinic.internal"):
        assert trace not in text


# such a resource is refused; or it is said of the sender's record, and the copy is another
NOT_SHOWN = frozenset({
    "implicitRules", "modifierExtension", "ServiceRequest.doNotPerform", "Patient.active", "Patient.link",
})  # fmt: skip


def test_what_changes_the_meaning_of_a_copy_is_shown(definitions):
    """That a child has died is never left out of a copy, nor that a finding is only preliminary."""
    rules = mappings.load(settings.folder("mappings")).rules
    outward = [one for one in rules if one.direction == "outward"]
    for rule, kind in [(one, kind) for one in outward for kind in one.shows]:
        url = f"http://hl7.org/fhir/StructureDefinition/{kind}"
        rows = definitions.resource(url, "StructureDefinition")["snapshot"]["element"]
        modifiers = {
            one["path"] for one in rows if one.get("isModifier") and one["path"].count(".") == 1
        }
        for path in modifiers:
            name = path.partition(".")[2]
            if not {path, name} & NOT_SHOWN:
                stem = name.removesuffix("[x]")
                assert any(one.startswith(stem) for one in rule.shows[kind]), (rule.id, path)


@pytest.mark.parametrize("act", ["link", "PUT"])
def test_two_records_made_one_are_no_news_of_the_child(exchange, referred, act):
    """That the clinic keeps another record now does not make the agency's look out of use."""
    mine = exchange.get("clinic/chart/fhir/Patient/rosa").json()
    other = {"resourceType": "Patient", "id": "other", "name": mine["name"]}
    assert exchange.call("PUT", "clinic/chart/fhir/Patient/other", other).status_code == 201
    if act == "link":
        said = [{"name": name, "valueReference": {"reference": f"Patient/{one}"}}
                for name, one in (("source", "rosa"), ("target", "other"))]  # fmt: skip
        done = exchange.call(
            "POST",
            "clinic/chart/fhir/Patient/$link",
            {"resourceType": "Parameters", "parameter": said},
        )
    else:
        link = [{"other": {"reference": "Patient/other"}, "type": "replaced-by"}]
        done = exchange.call(
            "PUT", "clinic/chart/fhir/Patient/rosa", {**mine, "active": False, "link": link}
        )
    assert done.status_code == 200, done.text

    (copy,) = held(exchange, "agency/support", "Patient")
    assert copy["meta"]["versionId"] == "1"


def test_that_a_child_has_died_is_told(exchange):
    """The caseworker does not ask for the child at the door."""
    made = family.report(by_device=False)
    of(made, "Patient")["deceasedDateTime"] = "2026-11-23"

    assert resources(exchange.call("POST", REPORT, made), "Task")

    assert held(exchange, "agency/intake", "Patient")[0]["deceasedDateTime"] == "2026-11-23"


@pytest.mark.parametrize(
    "strange", [{"modifierExtension": [{"url": "urn:x", "valueBoolean": True}]}, {"implicitRules": "urn:rules"},
                {"component": [{"code": {"text": "x"}, "valueString": "y",
                                "modifierExtension": [{"url": "urn:x", "valueBoolean": True}]}]}],
)  # fmt: skip
def test_a_report_goes_without_what_nobody_could_understand(exchange, strange):
    """One strange record beside the report is no reason for a child to wait; that it stays is said."""
    made = attached(family.report(by_device=False), seen("strange", **strange))

    sent = exchange.call("POST", REPORT, made)

    assert resources(sent, "Task")
    assert "strange" not in json.dumps(held(exchange, "agency/intake"))
    assert "suppressed" in {one["code"] for one in resources(sent, "OperationOutcome")[0]["issue"]}


def test_an_order_not_to_do_something_is_not_sent(exchange, patient):
    """Do not bring food is not bring food."""
    made = family.referral("ServiceRequest/none", consented=True)
    of(made, "ServiceRequest")["doNotPerform"] = True

    issues = refused(exchange.call("POST", REFER, made), 422, "business-rule")

    assert issues[0]["expression"] == ["ServiceRequest.doNotPerform"]


@pytest.mark.parametrize("addressed", [True, False])
def test_an_order_names_its_recipient_alone(exchange, patient, addressed):
    """That the clinic also asked a shelter is not the agency's to learn, whoever is named first."""
    made = family.referral("ServiceRequest/none", consented=True)
    request = of(made, "ServiceRequest")
    agency = request["performer"][0]
    request["performer"] = [{"display": "Shelter for women"}, *([agency] if addressed else [])]
    made["entry"].append({"resource": {
        "resourceType": "Task", "id": "own", "status": "requested", "intent": "order", "for": CHILD,
        "focus": {"reference": f"ServiceRequest/{request['id']}"}, "owner": agency}})  # fmt: skip

    assert resources(exchange.call("POST", REFER, made), "Task")

    (copy,) = held(exchange, "agency/support", "ServiceRequest")
    assert [one["identifier"]["value"] for one in copy["performer"]] == ["agency"]
    assert "Shelter" not in json.dumps(held(exchange, "agency/support"))


def test_a_contained_consent_is_said_to_be_none(exchange, patient):
    """Nobody could withdraw it; who sends it so is told, and not to add what they have added."""
    made = family.referral("ServiceRequest/none", consented=True)
    request, agreed = of(made, "ServiceRequest"), of(made, "Consent")
    made["entry"] = [one for one in made["entry"] if one["resource"] is not agreed]
    request |= {"contained": [{**agreed, "id": "c"}], "supportingInfo": [{"reference": "#c"}]}

    issues = refused(exchange.call("POST", REFER, made), 422, "not-supported")

    assert ["ServiceRequest.contained"] in [one["expression"] for one in issues]


def test_a_number_that_is_not_well_formed_stops_no_report(exchange):
    """What an EHR writes beside a reference is no reason for a child to wait."""
    made = family.report(by_device=False)
    request = of(made, "ServiceRequest")
    number = {"identifier": {"system": "npi", "value": "12"}, "display": "Dr. Lin"}
    request["requester"] = {**request["requester"], **number}
    request["subject"] = {**request["subject"], **number}

    task = resources(exchange.call("POST", REPORT, made), "Task")[0]

    assert agency_task(exchange, "intake", task)["status"] == "requested"
    assert "identifier" not in task["requester"]


LOCATION = f"{family.KINBRIDGE}/StructureDefinition/cps-child-current-location"
INCIDENT = f"{family.KINBRIDGE}/StructureDefinition/cps-incident"
WANTS = f"{family.KINBRIDGE}/StructureDefinition/cps-feedback-request"


@pytest.mark.parametrize(
    "extension",
    [{"url": LOCATION, "extension": [{"url": "place"}]}, {"url": INCIDENT, "extension": [{"url": "when"}]},
     {"url": WANTS, "extension": [{"url": "want"}]}, {"url": LOCATION}],
)  # fmt: skip
def test_a_part_that_says_nothing_stops_no_report(exchange, extension):
    """A form that left a field empty is told so, and the report is at intake."""
    made = family.report(by_device=False)
    of(made, "ServiceRequest")["extension"] = [extension]

    sent = exchange.call("POST", REPORT, made)

    task = resources(sent, "Task")[0]
    assert agency_task(exchange, "intake", task)["status"] == "requested"
    issues = resources(sent, "OperationOutcome")[0]["issue"]
    assert any(
        one["severity"] == "warning" and "extension" in one["expression"][0] for one in issues
    )


@pytest.mark.parametrize(
    "own", [{"for": {"display": "the girl"}}, {"requester": {"reference": "Organization/x"}}]
)
def test_a_report_is_for_whom_the_request_says(exchange, own):
    """The sender's own Task may be vague; intake's says whose report it is and who asks."""
    made = family.report(by_device=False)
    request = of(made, "ServiceRequest")
    made["entry"].append({"resource": {
        "resourceType": "Task", "id": "own", "status": "requested", "intent": "order",
        "focus": {"reference": "ServiceRequest/report"}, "for": request["subject"],
        "requester": request["requester"], "owner": request["performer"][0], **own}})  # fmt: skip

    task = resources(exchange.call("POST", REPORT, made), "Task")[0]

    theirs = agency_task(exchange, "intake", task)
    (child,) = held(exchange, "agency/intake", "Patient")
    assert theirs["for"] == {"reference": f"Patient/{child['id']}"}
    assert theirs["requester"]["reference"].startswith("PractitionerRole/")


def test_a_task_for_another_child_is_refused(exchange, patient):
    """Whose referral is it? It can wait until somebody says."""
    made = family.referral("ServiceRequest/none", consented=True)
    request = of(made, "ServiceRequest")
    made["entry"].append({"resource": {
        "resourceType": "Task", "id": "own", "status": "requested", "intent": "order",
        "focus": {"reference": f"ServiceRequest/{request['id']}"}, "for": {"reference": "Patient/leo"},
        "owner": request["performer"][0]}})  # fmt: skip

    issues = refused(exchange.call("POST", REFER, made), 422, "business-rule")

    assert issues[0]["expression"] == ["Task.for"]


def test_another_childs_report_under_the_same_id_is_not_taken_for_a_repetition(exchange):
    """An EHR that gives two children's reports one id is told; nobody believes that both were sent."""
    first = family.report(by_device=False)
    assert resources(exchange.call("POST", REPORT, first), "Task")
    second = json.loads(json.dumps(first).replace("Patient/rosa", "Patient/leo"))
    of(second, "Patient")["id"] = "leo"
    of(second, "ServiceRequest").pop("identifier")

    issues = refused(exchange.call("POST", REPORT, second), 409, "conflict")

    assert issues[0]["expression"] == ["ServiceRequest.id"]
    assert exchange.rows("SELECT count(*) FROM exchange") == [(1,)]
    assert any("555-0100" in one["details"]["text"] for one in issues)
    assert any("draft" in one["details"]["text"] for one in issues)


def test_an_order_that_was_sent_is_not_deleted_behind_the_agencys_back(exchange, referred):
    """The clinic revokes it, and the agency learns; a deletion would leave it working on nothing."""
    task, theirs = referred

    refused(exchange.call("DELETE", f"clinic/chart/fhir/{task['focus']['reference']}"), 409)
    exchange.call("PUT", f"agency/support/fhir/Task/{theirs['id']}", {**theirs, "status": "rejected",
                  "statusReason": {"text": "full"}})  # fmt: skip

    ended = exchange.call("DELETE", f"clinic/chart/fhir/{task['focus']['reference']}")
    assert ended.status_code == 204


def test_an_answer_on_the_wrong_shelf_is_not_swallowed(exchange, referred, reported_task):
    """A caseworker who answers a report on the shelf for help is told, and the report is not answered."""
    wrong = f"agency/support/fhir/Task/{reported_task['id']}"

    issues = refused(exchange.call("PUT", wrong, {**reported_task, "status": "accepted"}), 422)

    assert issues[0]["expression"] == ["Task.identifier"]


@pytest.fixture
def reported_task(exchange):
    sent = exchange.call("POST", REPORT, family.report(by_device=False))
    return agency_task(exchange, "intake", resources(sent, "Task")[0])
