"""The acceptance cases of the domain: each is held by a story here, or it is said that it is not built."""

import json

import pytest
from exchange import SHARED, refused, resources
from pydantic import ValidationError
from test_documents import arrived as at_intake
from test_documents import attached, document
from test_referral import bundle, consent_of

from app import settings
from app.domain import mappings
from app.domain.jurisdiction import Feedback
from app.sandbox import family

CASES = SHARED / "spec" / "data" / "policy_cases.json"
REPORT = "clinic/reports/fhir/$report"
REFER = "clinic/chart/fhir/$refer"
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
MAPPINGS = mappings.load(settings.folder("mappings"))
NOT_BUILT = {
    **dict.fromkeys(["PC13", "PC14", "PC19"], "state tables: what a human attaches goes, what not stays"),
    "PC16": "a safe-contact instruction in place of an address",
    "PC21": "education records carry no label that could be read",
    **dict.fromkeys(["PC29", "PC33", "PC34", "PC35"], "records in an open investigation: only text goes"),
    **dict.fromkeys(["PC36", "PC37", "PC38"], "plan of safe care notices"),
    **dict.fromkeys(["PC44", "PC47"], "a consent's categories and limits: such a consent is refused"),
    **dict.fromkeys(["PC66", "PC67", "PC68", "PC70"], "patients and parents have no shelf yet"),
    **dict.fromkeys(["PC71", "PC72", "PC73", "PC74"], "break-glass"),
    **dict.fromkeys(["PC76", "PC77", "PC78"], "caseworkers' screenings"),
    "PC79": "analytics",
}  # fmt: skip
ELSEWHERE = {  # held by a story of their own
    "PC26": "test_outcome.test_a_permissive_report_is_accounted_as_one",
    "PC50": "test_beside_a_referral.test_a_family_that_must_not_be_called_is_not_found_by_its_copy",
    "PC42": "test_withdrawn_consent",
    "PC51": "test_what_the_clinic_learns",
    "PC52": "test_what_the_clinic_learns",
    "PC53": "test_what_the_clinic_learns",
    "PC62": "test_what_the_clinic_learns",
    "PC69": "test_what_the_clinic_learns, test_search",
    "PC75": "test_expunge",
}
HELD = {}


def holds(*cases):
    def told(story):
        HELD.update(dict.fromkeys(cases, story))
        return story

    return told


def labelled(resource, code):
    return {**resource, "meta": {"security": [{"system": ACT, "code": code}]}}


def observation(**more):
    return {"resourceType": "Observation", "id": "more", "status": "final", "code": {"text": "more"},
            "valueString": "Xenon", **more}  # fmt: skip


def goes(exchange, resource, kind="Observation", word="Xenon"):
    """Whether it arrives with a report that goes."""
    assert resources(exchange.call("POST", REPORT, attached(resource)), "Task")
    return word in json.dumps(at_intake(exchange, kind))


@holds("PC01", "PC02", "PC03", "PC22")
def a_report_needs_no_consent(exchange):
    consent = {"resourceType": "Consent", "id": "no", "status": "rejected", "subject": None,
               "scope": {"text": "x"}, "category": [{"text": "x"}]}  # fmt: skip
    assert not goes(exchange, consent, "Consent", "rejected")
    assert at_intake(exchange, "Patient")[0]["address"]
    assert at_intake(exchange, "Observation")
    assert at_intake(exchange, "Practitioner")[0]["name"]
    assert exchange.rows("SELECT purpose FROM ledger") == [("RPT-M",)]
    for kind in ("Patient", "Observation", "ServiceRequest", "Task", "Provenance"):
        for one in at_intake(exchange, kind):
            assert {"V", "NOPAT"} <= {each["code"] for each in one["meta"]["security"]}


@holds("PC04")
def a_photograph_goes(exchange):
    assert goes(exchange, document(), "DocumentReference", "left arm")


@holds("PC05")
def what_nobody_attached_stays(exchange):
    made = family.report(by_device=False)
    url = "https://ehr.example.org/fhir/Observation/more"
    subject = {"reference": "Patient/rosa"}
    made["entry"].append({"fullUrl": url, "resource": observation(subject=subject)})
    assert resources(exchange.call("POST", REPORT, made), "Task")
    assert "Xenon" not in json.dumps(at_intake(exchange, "Observation"))


@holds("PC06")
def a_screening_answer_stays(exchange):
    survey = {
        "system": "http://terminology.hl7.org/CodeSystem/observation-category",
        "code": "survey",
    }
    assert not goes(exchange, observation(category=[{"coding": [survey]}]))


@holds("PC07")
def social_risk_alone_stops_softly(exchange):
    made = family.thin_report()
    issues = refused(exchange.call("POST", REPORT, made), 422, "business-rule")
    assert any("need help instead" in one["details"]["text"] for one in issues)
    assert any("555-0100" in one["details"]["text"] for one in issues)


@holds("PC08")
def a_summary_of_behavioural_health_goes(exchange):
    assert goes(exchange, labelled(observation(), "BH"))


@holds("PC09", "PC27", "PC32")
def psychotherapy_notes_stay(exchange):
    assert not goes(exchange, labelled(document(), "PSYTHPN"), "DocumentReference", "left arm")


@holds("PC10", "PC28", "PC31")
def records_of_a_part_2_program_stay(exchange):
    assert not goes(exchange, labelled(document(), "42CFRPart2"), "DocumentReference", "left arm")


@holds("PC11")
def typed_facts_go(exchange):
    made = family.report(by_device=False)
    request = next(one["resource"] for one in made["entry"]
                   if one["resource"]["resourceType"] == "ServiceRequest")  # fmt: skip
    request["note"] = [{"text": "The mother told us of her treatment."}]
    assert resources(exchange.call("POST", REPORT, made), "Task")
    assert "her treatment" in json.dumps(at_intake(exchange, "ServiceRequest"))


@holds("PC12")
def toxicology_of_the_emergency_room_goes(exchange):
    assert goes(exchange, labelled(observation(), "SUD"))


@holds("PC15", "PC18")
def what_is_about_somebody_else_stays(exchange):
    mother = {"resourceType": "Patient", "id": "mother", "name": [{"family": "Example"}]}
    exchange.call("PUT", "clinic/reports/fhir/Patient/mother", mother)
    assert not goes(exchange, observation(subject={"reference": "Patient/mother"}))


def told_of_the_child(exchange, url, part):
    """What intake has of an extension of the child."""
    made = family.report(by_device=False)
    child = next(
        one["resource"] for one in made["entry"] if one["resource"]["resourceType"] == "Patient"
    )
    child["extension"] = [{"url": url, "extension": [{"url": part, "valueString": "Xenon"}]}]
    assert resources(exchange.call("POST", REPORT, made), "Task")
    return "Xenon" in json.dumps(at_intake(exchange, "Patient"))


@holds("PC17")
def immigration_status_stays(exchange):
    citizenship = "http://hl7.org/fhir/StructureDefinition/patient-citizenship"
    assert not told_of_the_child(exchange, citizenship, "code")


@holds("PC20")
def race_goes_only_where_the_form_asks(exchange):
    assert not told_of_the_child(
        exchange, "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race", "text"
    )
    outward = next(one for one in MAPPINGS.rules if one.id == "report-with-attestation")
    assert not [url for url in outward.extensions if "race" in url]
    assert [url for url in outward.asked(("race",)).extensions if url.endswith("us-core-race")]


@holds("PC23")
def an_unknown_authority_gets_nothing(exchange):
    issues = refused(exchange.call("POST", REPORT, family.another_report("x", "nobody")), 422)
    assert any("555-0100" in one["details"]["text"] for one in issues)


@holds("PC24")
def a_machine_reports_nothing(exchange):
    refused(exchange.call("POST", REPORT, family.report(by_device=True)), 422)


@holds("PC25")
def nothing_goes_that_nobody_attests(exchange):
    made = family.report(by_device=False)
    made["entry"] = [
        one for one in made["entry"] if one["resource"]["resourceType"] != "Provenance"
    ]
    issues = refused(exchange.call("POST", REPORT, made), 422)
    assert any("555-0100" in one["details"]["text"] for one in issues)


@holds("PC30")
def an_answer_holds_no_record(exchange):
    """A question is answered in words; a record that it points at does not go."""
    conversation = [one for one in MAPPINGS.rules if one.direction == "conversation"]
    assert all(
        {*one.shows} == {"Communication", "Task"} and not one.follows for one in conversation
    )


@holds("PC39", "PC49")
def help_is_asked_for_with_consent(exchange):
    assert resources(exchange.call("POST", REFER, bundle()), "Task")
    assert exchange.rows("SELECT purpose FROM ledger") == [("FSR",)]


@holds("PC40")
def without_consent_nothing_leaves(exchange):
    made = family.referral("ServiceRequest/none", consented=False)
    refused(exchange.call("POST", REFER, made), 422)


@holds("PC41")
def a_refusal_never_leaves(exchange):
    made = bundle()
    consent_of(made)["status"] = "rejected"
    refused(exchange.call("POST", REFER, made), 422)
    assert exchange.rows("SELECT * FROM resource WHERE shelf LIKE 'agency/%'") == []


@pytest.mark.parametrize("label", ["SDV", "42CFRPart2", "BH"])
def test_a_general_consent_does_not_cover_what_is_special(exchange, patient, label):
    """PC43, PC45, PC46: an answer on violence, addiction or the mind needs a consent that says so."""
    answer = labelled(observation(subject={"reference": "Patient/rosa"}), label)
    exchange.call("PUT", "clinic/chart/fhir/Observation/more", answer)
    made = bundle()
    request = made["entry"][-1]["resource"]
    request["supportingInfo"] = [*request["supportingInfo"], {"reference": "Observation/more"}]

    assert resources(exchange.call("POST", REFER, made), "Task")

    rows = exchange.rows("SELECT body FROM resource WHERE shelf = 'agency/support'")
    assert b"Xenon" not in b"".join(row[0] for row in rows)


ELSEWHERE |= dict.fromkeys(["PC43", "PC45", "PC46"], "the test above")


@holds("PC48")
def a_referral_is_not_for_an_investigator(exchange):
    answer = exchange.call("POST", "clinic/reports/fhir/$refer", bundle())
    refused(answer, 422)
    assert exchange.rows("SELECT * FROM resource WHERE shelf = 'agency/intake'") == []


def opened(state, audience, **case):
    """What a state's row opens once counsel has signed it."""
    rule = MAPPINGS.jurisdictions[state].rule(audience)
    assert rule is not None
    assert not rule.opens(mandated=True, wanted=True, track="investigation")  # as it ships
    said = {"mandated": True, "wanted": False, "track": "", **case}
    return rule.model_copy(update={"signed_off": "counsel"}).opens(**said)


@holds("PC54", "PC55", "PC56", "PC57", "PC58", "PC61", "PC63", "PC64", "PC65")
def each_states_row_opens_what_it_says(_):
    assert not opened("ny", "reporter")
    assert opened("ny", "reporter", wanted=True, track="investigation") == {"E"}
    assert "E" not in opened("ny", "reporter", wanted=True, track="alternative-response")
    assert {"E", "F"} <= opened("pa", "reporter")
    assert "E" in opened("tx", "reporter")
    assert not opened("wi", "reporter", mandated=False)
    assert {"E", "F"} <= opened("pa", "treating")
    assert "G" in opened("md", "treating") & opened("ut", "treating")
    assert MAPPINGS.jurisdictions["example"].rule("treating") is None


@holds("PC59", "PC60")
def no_row_can_open_narrative_or_reporters(_):
    for never in "IJK":
        with pytest.raises(ValidationError):
            Feedback(audience="reporter", classes=(never,), statute="any")


@pytest.mark.parametrize("case", sorted(HELD))
def test_a_case_is_decided_as_the_domain_says(exchange, case):
    """Allowed, trimmed or denied, as the acceptance cases have it."""
    HELD[case](exchange)


@pytest.mark.shared
def test_every_case_is_held_or_said_not_to_be_built():
    """No acceptance case is passed over in silence."""
    known = {one["id"] for one in json.loads(CASES.read_text())["cases"]}

    assert known == {*HELD, *ELSEWHERE, *NOT_BUILT}
    assert len(HELD) + len(ELSEWHERE) + len(NOT_BUILT) == len(known)
