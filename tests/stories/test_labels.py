"""What carries a label that holds it back stays, wherever and by whatever name the label is written."""

import pytest
from exchange import refused, resources
from shelves import REFER, REPORT, attached, coded, held, of, seen
from test_documents import attached as with_documents
from test_documents import document

from app import settings
from app.domain import mappings
from app.sandbox import family

ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
OTHER_NAMES = ["urn:oid:2.16.840.1.113883.5.4", "http://hl7.org/fhir/v3/ActCode", None]


def label(code, system=ACT):
    return {"code": code, **({"system": system} if system else {})}


@pytest.mark.parametrize("code", ["42CFRPart2", "42CFRPart2CD", "HIPAAPsyNotes", "PSYTHPN"])
def test_a_document_says_of_itself_that_it_stays(exchange, code):
    """Notes of a therapist, labelled in the element that FHIR has for a document's label."""
    made = with_documents(document(securityLabel=[coded(ACT, code)]))

    assert resources(exchange.call("POST", REPORT, made), "Task")

    assert held(exchange, "agency/intake", "DocumentReference") == []
    told = held(exchange, "clinic/reports", "DocumentReference")
    assert [one["id"] for one in told] == ["arm"]


@pytest.mark.parametrize("system", OTHER_NAMES)
def test_a_label_holds_by_whatever_name_its_system_comes(exchange, system):
    """An EHR that writes the OID of the code system means the same label."""
    made = with_documents(document(meta={"security": [label("PSYTHPN", system)]}))

    assert resources(exchange.call("POST", REPORT, made), "Task")

    assert held(exchange, "agency/intake", "DocumentReference") == []


def test_the_answer_says_that_a_labelled_document_stayed(exchange):
    """Who attached it learns that intake does not have it."""
    made = with_documents(document(securityLabel=[coded(ACT, "42CFRPart2")]))

    outcome = resources(exchange.call("POST", REPORT, made), "OperationOutcome")[0]

    paths = [one["expression"] for one in outcome["issue"] if one["code"] == "suppressed"]
    assert ["ServiceRequest.supportingInfo"] in paths


@pytest.mark.parametrize("code", ["OPIOIDUD", "ETHUD", "DVD", "GDIS", "HIPAAPsyNotes"])
def test_what_is_below_a_withheld_label_stays_from_a_referral(exchange, patient, code):
    """A consent to help with food does not cover treatment of an addiction, however exactly it is labelled."""
    exchange.call("PUT", "clinic/chart/fhir/Observation/o", seen(
        "o", valueString=None, valueCodeableConcept={"text": "yes"}, meta={"security": [label(code)]}))  # fmt: skip
    made = attached(family.referral("ServiceRequest/none", consented=True), named=["Observation/o"])

    assert resources(exchange.call("POST", REFER, made), "Task")

    assert held(exchange, "agency/support", "Observation") == []


def test_no_code_below_a_withheld_label_is_missing(definitions):
    """HL7's own tree of labels is the measure: whoever adds a code to a rule adds what is below it."""
    below = {}

    def walk(concepts, above):
        for one in concepts:
            more = {
                each["valueCode"]
                for each in one.get("property", [])
                if each["code"] == "subsumedBy"
            }
            below.update({one["code"]: above | more})
            walk(one.get("concept", []), {one["code"]})

    walk(definitions.resource(ACT)["concept"], set())
    assert below["OPIOIDUD"] == {"SUD"}
    for rule in mappings.load(settings.folder("mappings")).rules:
        held_back = {one.partition("|")[2] for one in rule.withholds_labels if one.startswith(ACT)}
        for code, above in below.items():
            assert code in held_back or not above & held_back, (rule.id, code)


def test_a_withheld_label_does_not_hold_back_who_is_named_beside_it(exchange):
    """What is not labelled goes as before."""
    made = attached(
        with_documents(document(securityLabel=[coded(ACT, "42CFRPart2")])), seen("bruise")
    )

    assert resources(exchange.call("POST", REPORT, made), "Task")

    texts = [one["code"].get("text") for one in held(exchange, "agency/intake", "Observation")]
    assert "bruise" in texts
    assert of(made, "Patient")


@pytest.mark.parametrize("kind", ["Patient", "PractitionerRole", "Practitioner"])
def test_who_the_child_is_and_who_reports_is_what_no_label_keeps_behind(exchange, kind):
    """An EHR labels the whole record of a child in treatment: the report goes, as the law lets it; it was a 500."""
    made = family.report(by_device=False)
    of(made, kind)["meta"] = {"security": [label("42CFRPart2")]}

    assert resources(exchange.call("POST", REPORT, made), "Task")

    (copy,) = held(exchange, "agency/intake", kind)
    assert "42CFRPart2" in {one["code"] for one in copy["meta"]["security"]}


@pytest.mark.parametrize(
    ("kind", "element"),
    [
        ("Patient", "subject"),
        ("PractitionerRole", "requester"),
        ("Consent", "supportingInfo"),
        ("ServiceRequest", "meta.security"),
    ],
)
def test_a_referral_without_what_its_label_keeps_behind_is_refused(exchange, kind, element):
    """Nothing goes without the family, the consent or who refers: the clinic is told which label stands in the way."""
    made = family.referral("ServiceRequest/none", consented=True)
    meta = of(made, kind).get("meta", {})
    of(made, kind)["meta"] = {**meta, "security": [label("42CFRPart2")]}

    issues = refused(exchange.call("POST", REFER, made), 422, "suppressed")

    assert [one["expression"] for one in issues] == [[f"ServiceRequest.{element}"]]
    assert held(exchange, "agency/support") == []


def test_a_child_whose_record_cannot_be_understood_is_reported_by_telephone(exchange):
    """A modifier extension on the child's own record: the report is kept, and says what to mend and whom to call."""
    made = family.report(by_device=False)
    of(made, "Patient")["modifierExtension"] = [{"url": "urn:x", "valueBoolean": True}]

    issues = refused(exchange.call("POST", REPORT, made), 422, "suppressed")

    assert issues[0]["expression"] == ["ServiceRequest.subject"]
    text = " ".join(one["details"]["text"] for one in issues)
    assert "draft Task/" in text
    assert "555-" in text
