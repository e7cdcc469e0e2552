"""
Screenings as EHRs really emit them, each a little otherwise: what is made of them, and what waits.

Beside each payload stands what is to come of it: {question: what is said}, where what is said is an
answer's code, a number, `absent:` with a reason, or `words:` where nobody knows the answer yet; a
question with several answers has a list. Panels, results and totals stand with the rest.
"""

import copy
import json

import pytest
from exchange import resources

from app import fhir

CHART = "clinic/chart/fhir"
LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
FLOWSHEET = "http://open.epic.com/FHIR/StructureDefinition/observation-flowsheet-id"
MEASURE = "urn:oid:1.2.840.114350.1.13.99.2.7.2.707679"
ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
NULL = "http://terminology.hl7.org/CodeSystem/v3-NullFlavor"
ABSENT_URL = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
US_CORE = "http://hl7.org/fhir/us/core/CodeSystem/us-core-category"


def concept(*codings, text=""):
    made = {"coding": [{"system": system, "code": code} for system, code in codings]}
    return {**made, "text": text} if text else made


def category(system, code):
    return {"coding": [{"system": system, "code": code, "display": code.title()}]}


SURVEY, SDOH = category(CATEGORY, "survey"), category(US_CORE, "sdoh")
FUNCTIONAL = category(US_CORE, "functional-status")


def row(name, code, said=None, **more):
    """One Observation, as an EHR has it; code is a LOINC code or a CodeableConcept."""
    made = {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "category": [SURVEY, SDOH],
        "code": concept((LOINC, code)) if isinstance(code, str) else code,
        "subject": {"reference": "Patient/rosa", "display": "Rosa"},
        "encounter": {"identifier": {"system": "urn:csn", "value": "301"}},
        "effectiveDateTime": "2026-11-23T09:15:00Z",
        "issued": "2026-11-23T09:20:11Z",
        "performer": [{"display": "Front desk"}],
        **(said or {}),
        **more,
    }
    return {key: value for key, value in made.items() if value is not None}


def la(code, **more):
    return {"valueCodeableConcept": {"coding": [{"system": LOINC, "code": code, **more}]}}


def words(text):
    return {"valueString": text}


def shown(system, code, display, text=""):
    said = {"coding": [{"system": system, "code": code, "display": display}]}
    return {"valueCodeableConcept": {**said, "text": text} if text else said}


def members(*names):
    return [{"reference": f"Observation/{one}"} for one in names]


def form(*items, **more):
    made = {
        "resourceType": "QuestionnaireResponse",
        "status": "completed",
        "subject": {"reference": "Patient/rosa"},
        "authored": "2026-11-23T09:15:00Z",
        "item": list(items),
        **more,
    }
    return {key: value for key, value in made.items() if value is not None}


def item(link, *answers, **more):
    return {"linkId": link, **({"answer": list(answers)} if answers else {}), **more}


def chose(code, system=LOINC, **more):
    return {"valueCoding": {"system": system, "code": code, **more}}


HVS = {"88121-9": "panel", "88124-3": "LA19952-3"}
PRAPARE = {"questionnaire": "http://loinc.org/q/93025-5"}
AHC = {"questionnaire": "http://loinc.org/q/96777-8"}
AFRAID = concept((FLOWSHEET, "tA1"), (MEASURE, "12345"), (LOINC, "88122-7"), text="Food worry")

ROWS = {
    "flowsheet rows with a group row, answers as the list shows them": (
        [
            row("g", concept((FLOWSHEET, "tG"), (LOINC, "88121-9")), hasMember=members("a", "b")),
            row("a", AFRAID, words("Often true ")),
            row("b", "88123-5", words("  never   TRUE")),
        ],
        {**HVS, "88122-7": "LA28397-0", "88123-5": "LA28398-8"},
    ),
    "group rows within group rows, empty but for their members": (
        [
            row("g", concept((FLOWSHEET, "tG"), text="SDOH"), hasMember=members("h", "c")),
            row("h", concept((FLOWSHEET, "tH"), text="Food"), hasMember=members("a")),
            row("a", "88122-7", la("LA28397-0")),
            row("c", "71802-3", la("LA31994-9")),
        ],
        {"96777-8": "panel", "88122-7": "LA28397-0", "71802-3": "LA31994-9"},
    ),
    "codes of the flowsheet alone wait": (
        [row("a", concept((FLOWSHEET, "tA1"), (MEASURE, "12345")), words("Often true"))],
        {},
    ),
    "a code of the list with its display, and one of the EHR's own": (
        [row("a", "88122-7", {"valueCodeableConcept": {"coding": [
            {"system": "urn:oid:1.2.3", "code": "1", "display": "Oft"},
            {"system": LOINC, "code": "LA28397-0", "display": "Often true"}]}})],
        {**HVS, "88122-7": "LA28397-0"},
    ),
    "the EHR's own code, shown in the words of the list": (
        [row("a", "88122-7", shown("urn:oid:1.2.3", "1", "Often true"))],
        {**HVS, "88122-7": "LA28397-0"},
    ),
    "the EHR's own code, shown as one answer and called another": (
        [row("a", "88122-7", shown("urn:oid:1.2.3", "1", "Often true", "Never true"))],
        {"88121-9": "panel", "88122-7": "words:Never true"},
    ),
    "an answer code under a system that is not its own": (
        [row("a", "88122-7", la("LA28397-0", system="urn:oid:1.2.3"))],
        {"88121-9": "panel", "88122-7": "words:"},
    ),
    "LOINC by its OID, as an interface engine writes it": (
        [row("a", concept(("urn:oid:2.16.840.1.113883.6.1", "88122-7")),
             la("LA28397-0", system="urn:oid:2.16.840.1.113883.6.1"))],
        {**HVS, "88122-7": "LA28397-0"},
    ),
    "LOINC misspelt": (
        [row("a", concept(("https://loinc.org/", "88122-7")), la("LA6729-3", system="http://www.loinc.org"))],
        {**HVS, "88122-7": "LA6729-3"},
    ),
    "an answer code in a field for text": (
        [row("a", "88122-7", words("LA28397-0")),
         row("b", "88123-5", {"valueCodeableConcept": {"text": "LA6729-3"}})],
        {**HVS, "88122-7": "LA28397-0", "88123-5": "LA6729-3"},
    ),
    "SNOMED CT for yes and no, shown as such": (
        [row("a", "96779-4", shown(SNOMED, "373066001", "Yes")),
         row("b", "97027-7", shown(SNOMED, "373067005", "No (qualifier value)", "No"))],
        {"96777-8": "panel", "97023-6": "panel", "96779-4": "LA33-6", "97027-7": "LA32-8"},
    ),
    "SNOMED CT that nobody has mapped": (
        [row("a", "71802-3", shown(SNOMED, "32911000", "Homeless")),
         row("b", "88122-7", la("LA28397-0"))],
        {"96777-8": "panel", "71802-3": "words:", "88122-7": "LA28397-0"},
    ),
    "scores of other instruments under the same categories": (
        [row("a", "55757-9", {"valueQuantity": {"value": 3}}, category=[SURVEY, SDOH, FUNCTIONAL]),
         row("b", "72109-2", {"valueInteger": 3}, category=[SURVEY, FUNCTIONAL, SDOH]),
         row("c", "88122-7", la("LA28398-8"))],
        {"88121-9": "panel", "88122-7": "LA28398-8"},
    ),
    "a panel with its answers as components": (
        row("a", "88121-9", component=[
            {"code": concept((LOINC, "88122-7")), **la("LA28397-0")},
            {"code": concept((LOINC, "88123-5")),
             "dataAbsentReason": concept((ABSENT, "asked-declined"))}]),
        {**HVS, "88122-7": "LA28397-0", "88123-5": "absent:asked-declined"},
    ),
    "several answers as several components": (
        row("a", "93025-5", component=[
            {"code": concept((LOINC, "93031-3")), **la("LA30125-1")},
            {"code": concept((LOINC, "93031-3")), **la("LA30126-9")}]),
        {"93025-5": "panel", "93031-3": ["LA30125-1", "LA30126-9"]},
    ),
    "several answers in one concept, and the same again in a row of its own": (
        [row("a", "93031-3", {"valueCodeableConcept": concept(
            (LOINC, "LA30125-1"), (LOINC, "LA30126-9"))}),
         row("b", "93031-3", la("LA30126-9"))],
        {"93025-5": "panel", "93031-3": ["LA30125-1", "LA30126-9", "LA30126-9"]},
    ),
    "a number in each way in which EHRs write one": (
        [row("a", "63512-8", {"valueQuantity": {"value": 4, "unit": "people"}}),
         row("b", "63586-2", {"valueQuantity": {"value": 25000.50, "unit": "USD"}}),
         row("c", "67875-5", la("LA17956-6"))],
        {"93025-5": "panel", "63512-8": 4, "63586-2": 25000.50, "67875-5": "LA17956-6"},
    ),
    "a score as a number, as text and as an answer, and the total beside it": (
        [row("a", "95618-5", {"valueInteger": 5}), row("b", "95617-7", words("4")),
         row("c", "95616-9", {"valueQuantity": {"value": 3, "code": "{score}"}}),
         row("d", "95615-1", la("LA6270-8")), row("e", "95614-4", {"valueQuantity": {"value": 13}})],
        {"96777-8": "panel", "95618-5": "LA6482-9", "95617-7": "LA16644-9",
         "95616-9": "LA10082-8", "95615-1": "LA6270-8", "95614-4": 13},
    ),
    "true and false for yes and no": (
        [row("a", "93034-7", {"valueBoolean": True}), row("b", "93027-1", {"valueBoolean": False})],
        {"93025-5": "panel", "93034-7": "LA33-6", "93027-1": "LA32-8"},
    ),
    "not answered, with each reason": (
        [row(f"r{n}", code, dataAbsentReason=concept((ABSENT, why)))
         for n, (code, why) in enumerate({"88122-7": "not-asked", "88123-5": "asked-unknown"}.items())],
        {"88121-9": "panel", "88122-7": "absent:not-asked", "88123-5": "absent:asked-unknown"},
    ),
    "a range for a number, a time for an answer, spaces for words": (
        [row("a", "63512-8", {"valueRange": {"low": {"value": 3}, "high": {"value": 4}}}),
         row("b", "93034-7", {"valueTime": "10:00:00"}), row("c", "93038-8", words("  ")),
         row("d", "67875-5", {"valuePeriod": {"start": "2026"}}), row("e", "93027-1", la("LA32-8"))],
        {"93025-5": "panel", "93027-1": "LA32-8"},
    ),
    "fewer than a number is not that number": (
        [row("a", "63512-8", {"valueQuantity": {"value": 3, "comparator": "<"}}),
         row("b", "95618-5", {"valueQuantity": {"value": 3, "comparator": ">="}}),
         row("c", "95614-4", {"valueQuantity": {"value": 11, "comparator": ">"}}),
         row("d", "68516-4", {"valueQuantity": {"value": 1e300}}), row("e", "93027-1", la("LA32-8"))],
        {"93025-5": "panel", "93027-1": "LA32-8"},
    ),
    "a total that no integer of FHIR's holds": (
        [row("a", "95614-4", {"valueQuantity": {"value": 1e300}}), row("b", "96779-4", la("LA33-6"))],
        {"96777-8": "panel", "96779-4": "LA33-6"},
    ),
    "HL7 v3's null flavors, as a value and as a reason": (
        [row("a", "88122-7", {"valueCodeableConcept": concept((NULL, "ASKU"), text="unknown")}),
         row("b", "88123-5", dataAbsentReason=concept((NULL, "NASK")))],
        {"88121-9": "panel", "88122-7": "absent:asked-unknown", "88123-5": "absent:not-asked"},
    ),
    "a wish not to answer": (
        [row("a", "93038-8", la("LA30122-8")), row("b", "93028-9", words("I choose not to answer")),
         row("c", "67875-5", words("Chose not to answer"))],
        {"93025-5": "panel", "93038-8": "absent:asked-declined",
         "93028-9": "words:I choose not to answer", "67875-5": "absent:asked-declined"},
    ),
    "a period, a period that only ends, and an instant": (
        [row("a", "88122-7", la("LA28397-0"), effectiveDateTime=None, effectivePeriod={
            "start": "2026-11-23T09:00:00Z", "end": "2026-11-23T09:15:00Z"}),
         row("b", "93038-8", la("LA6568-5"), effectiveDateTime=None,
             effectivePeriod={"end": "2026-11-22T09:15:00Z"}),
         row("c", "67875-5", la("LA30138-4"), effectiveDateTime=None,
             effectiveInstant="2026-11-21T09:15:00.000Z")],
        {**HVS, "93025-5": ["panel", "panel"], "88122-7": "LA28397-0", "93038-8": "LA6568-5",
         "67875-5": "LA30138-4"},
    ),
    "a day without a time, no performer, no encounter, no time of issue": (
        [row("a", "88122-7", la("LA28397-0"), effectiveDateTime="2026-11-23", performer=None,
             encounter=None, issued=None)],
        {**HVS, "88122-7": "LA28397-0"},
    ),
    "performed by a device and by whoever is only shown": (
        [row("a", "88122-7", la("LA28397-0"),
             performer=[{"reference": "Device/kiosk"}, {"display": "Kiosk"}])],
        {**HVS, "88122-7": "LA28397-0"},
    ),
    "both categories in one entry, and no category at all": (
        [row("a", "88122-7", la("LA28397-0"), category=[
            {"coding": [*SURVEY["coding"], *SDOH["coding"]], "text": "Survey"}]),
         row("b", "88123-5", la("LA28397-0"), category=None)],
        {**HVS, "88122-7": "LA28397-0", "88123-5": "LA28397-0"},
    ),
    "an entered-in-error row and a preliminary one beside a final one": (
        [row("a", "88122-7", la("LA28397-0"), status="entered-in-error"),
         row("b", "88123-5", la("LA28398-8")),
         row("c", "93038-8", la("LA6568-5"), status="preliminary")],
        {"88121-9": "panel", "88123-5": "LA28398-8"},
    ),
    "notes, a method, an interpretation of the EHR's own, and extensions": (
        [row("a", "88122-7", la("LA28398-8"), note=[{"text": "asked by phone"}],
             method={"text": "phone"}, interpretation=[{"text": "at risk"}],
             extension=[{"url": "urn:epic:line", "valueString": "7"}])],
        {"88121-9": "panel", "88122-7": "LA28398-8"},
    ),
}  # fmt: skip

CONTAINED = {
    "resourceType": "Questionnaire", "id": "q", "status": "active", "item": [
        {"linkId": "g", "type": "group", "item": [
            {"linkId": "q1", "type": "choice", "code": [{"system": LOINC, "code": "88122-7"}]}]}],
}  # fmt: skip

FORMS = {
    "groups within groups, no form named": (
        form(item("/93025-5", item=[
            item("/93042-0", item=[item("/93042-0/71802-3", chose("LA30190-5")),
                                   item("/93042-0/63512-8", {"valueDecimal": 4})]),
            item("/93041-2", item=[item("/93041-2/67875-5", words("unemployed "))])])),
        {"93025-5": "panel", "71802-3": "LA30190-5", "63512-8": 4, "67875-5": "LA17956-6"},
    ),
    "flat, with bare codes as linkIds": (
        form(item("88122-7", chose("LA28397-0")), item("88123-5", chose("LA28398-8"))),
        {**HVS, "88122-7": "LA28397-0", "88123-5": "LA28398-8"},
    ),
    "linkIds with an answer list's number before the code": (
        form(item("/LL1730-3/88122-7", chose("LA28397-0")),
             item("/LL1730-3/88123-5", chose("LA28398-8"))),
        {**HVS, "88122-7": "LA28397-0", "88123-5": "LA28398-8"},
    ),
    "a question within an answer": (
        form(item("/88121-9", item=[item("/88122-7", {
            **chose("LA28397-0"), "item": [item("/88123-5", chose("LA6729-3"))]})])),
        {**HVS, "88122-7": "LA28397-0", "88123-5": "LA6729-3"},
    ),
    "items that only the form within it explains": (
        form(item("g", item=[item("q1", chose("LA28397-0"))]), questionnaire="#q",
             contained=[CONTAINED]),
        {**HVS, "88122-7": "LA28397-0"},
    ),
    "answers of the wrong kind beside good ones": (
        form(item("63512-8", words(" 4 ")), item("63586-2", words("a lot")),
             item("67875-5", {"valueInteger": 1}), item("93034-7", {"valueBoolean": True}),
             **PRAPARE),
        {"93025-5": "panel", "63512-8": 4, "93034-7": "LA33-6"},
    ),
    "declined and not asked, said beside the item and beside its value": (
        form(item("/88122-7", extension=[{"url": ABSENT_URL, "valueCode": "asked-declined"}]),
             item("/88123-5", {"_valueString": {"extension": [
                 {"url": ABSENT_URL, "valueCode": "not-asked"}]}})),
        {"88121-9": "panel", "88122-7": "absent:asked-declined", "88123-5": "absent:not-asked"},
    ),
    "several answers, one of them twice, one declined": (
        form(item("93031-3", chose("LA30125-1"), chose("LA30125-1"), chose("LA30129-3")), **PRAPARE),
        {"93025-5": "panel", "93031-3": ["LA30125-1", "LA30129-3"]},
    ),
    "scores as numbers": (
        form(item("95618-5", {"valueInteger": 5}), item("95617-7", {"valueDecimal": 4}),
             item("95616-9", words("3")), item("95615-1", chose("LA6270-8")), **AHC),
        {"96777-8": "panel", "95618-5": "LA6482-9", "95617-7": "LA16644-9",
         "95616-9": "LA10082-8", "95615-1": "LA6270-8", "95614-4": 13},
    ),
    "an author that is a device, a patient as source, a contained encounter": (
        form(item("88122-7", chose("LA28397-0")), author={"reference": "Device/kiosk"},
             source={"reference": "Patient/rosa"}, encounter={"reference": "#e"},
             contained=[{"resourceType": "Encounter", "id": "e", "status": "finished",
                         "class": {"code": "AMB"}}]),
        {**HVS, "88122-7": "LA28397-0"},
    ),
    "a version behind the form's name, an offset behind the time": (
        form(item("88122-7", chose("LA28397-0", display="Often true", version="2.77")),
             questionnaire="http://loinc.org/q/88121-9|2.77",
             authored="2026-11-23T09:15:00.123-05:00"),
        {**HVS, "88122-7": "LA28397-0"},
    ),
    "words that nobody knows": (
        form(item("88122-7", words("It depends"))),
        {"88121-9": "panel", "88122-7": "words:It depends"},
    ),
    "one question twice": (
        form(item("88122-7", chose("LA28397-0")), item("88122-7", chose("LA28398-8")),
             item("88123-5", chose("LA28398-8"))),
        {"88121-9": "panel", "88123-5": "LA28398-8"},
    ),
    "the patient by an identifier alone": (
        form(item("88122-7", chose("LA28397-0")),
             subject={"identifier": {"system": "urn:mrn", "value": "77"}, "display": "R."}),
        {**HVS, "88122-7": "LA28397-0"},
    ),
    "the patient by a url of another server, with an identifier": (
        form(item("88122-7", chose("LA28397-0")),
             subject={"reference": "https://ehr.example.org/fhir/Patient/77",
                      "identifier": {"system": "urn:mrn", "value": "77"}}),
        {**HVS, "88122-7": "LA28397-0"},
    ),
}  # fmt: skip


def said(observation):
    """What an Observation says, as the tables write it."""
    if "hasMember" in observation:
        return "panel"
    if reason := observation.get("dataAbsentReason"):
        return f"absent:{reason['coding'][0]['code']}"
    if (quantity := observation.get("valueQuantity")) is not None:
        return quantity["value"]
    if (number := observation.get("valueInteger")) is not None:
        return number
    value = observation["valueCodeableConcept"]
    first = value.get("coding", [{}])[0]
    answer = first.get("system") == LOINC
    return first["code"] if answer else f"words:{value.get('text', '')}"


def made(exchange):
    """All that we made and that stands."""
    found = []
    for kind in ("Observation", "Provenance", "ServiceRequest", "Condition"):
        for (body,) in exchange.rows(f"SELECT body FROM resource WHERE type = '{kind}'"):
            one = json.loads(bytes(body))
            ours = one["meta"].get("source", "").startswith("https://kinbridge.example.org/")
            if ours and one.get("status") != "entered-in-error":
                found.append(one)
    return found


def looked_at(exchange, definitions, expected):
    """What was made is exactly what was to come, and each keeps the profile that it claims."""
    found = {}
    every = made(exchange)
    for one in every:
        if one["resourceType"] == "Observation":
            found.setdefault(one["code"]["coding"][0]["code"], []).append(said(one))
        wrong = [
            each
            for each in definitions.check(one, now=exchange.now)
            if each.severity in {"error", "fatal"}
        ]
        assert one["meta"]["profile"]
        assert wrong == []
    wanted = {code: one if isinstance(one, list) else [one] for code, one in expected.items()}
    assert {code: sorted(map(str, one)) for code, one in found.items()} == {
        code: sorted(map(str, one)) for code, one in wanted.items()
    }


def stands(exchange, sent):
    """What came is there as it came."""
    held = fhir.decode(exchange.call("GET", f"{CHART}/{fhir.name(sent)}").content)
    held.pop("meta")
    assert held == fhir.decode(fhir.encode({k: v for k, v in sent.items() if k != "meta"}))


@pytest.mark.parametrize("name", ROWS)
def test_rows_as_an_ehr_has_them(exchange, patient, definitions, name):
    """Whatever an EHR's Observations look like, what is sure is made, and what is not waits."""
    sent, expected = copy.deepcopy(ROWS[name])
    rows = sent if isinstance(sent, list) else [sent]
    entries = [
        {"fullUrl": f"https://ehr.example.org/fhir/Observation/{one['id']}", "resource": one,
         "request": {"method": "PUT", "url": f"Observation/{one['id']}"}}
        for one in rows
    ]  # fmt: skip
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}

    answer = exchange.call("POST", CHART, bundle)

    assert answer.status_code == 200, answer.text
    looked_at(exchange, definitions, expected)
    for one in rows:
        stands(exchange, one)


@pytest.mark.parametrize("name", ROWS)
def test_rows_one_by_one_in_any_order_come_to_the_same(exchange, patient, definitions, name):
    """What is made does not hang on how many messages it took, nor on which came first."""
    sent, expected = copy.deepcopy(ROWS[name])
    rows = sent if isinstance(sent, list) else [sent]

    for one in reversed(rows):
        assert exchange.call("PUT", f"{CHART}/Observation/{one['id']}", one).status_code == 201

    looked_at(exchange, definitions, expected)


@pytest.mark.parametrize("name", FORMS)
def test_a_form_as_an_ehr_has_it(exchange, patient, definitions, name):
    """Whatever an EHR's form looks like, what is sure is made, and what is not waits or is warned of."""
    sent, expected = copy.deepcopy(FORMS[name])

    answer = exchange.call("POST", f"{CHART}/QuestionnaireResponse", sent)

    assert answer.status_code == 201, answer.text
    looked_at(exchange, definitions, expected)
    stands(exchange, {**sent, "id": answer.json()["id"]})


@pytest.mark.parametrize("kind", ["batch", "collection", "searchset", "transaction"])
def test_a_bundle_of_two_children_is_two_screenings(exchange, patient, definitions, kind):
    """What was asked of two children at one moment is not mixed up, in whatever Bundle it comes."""
    exchange.call("PUT", f"{CHART}/Patient/leo", {"resourceType": "Patient", "id": "leo"})
    rows = [
        row("a", "88122-7", la("LA28397-0")),
        row("b", "88122-7", la("LA28398-8"), subject={"reference": "Patient/leo"}),
        row("c", "88123-5", la("LA28398-8"), subject={"reference": "Patient/leo"}),
    ]
    asked = kind in {"batch", "transaction"}
    entries = [
        {"fullUrl": f"urn:uuid:00000000-0000-4000-8000-00000000000{number}", "resource": one,
         **({"request": {"method": "PUT", "url": f"Observation/{one['id']}"}} if asked else {}),
         **({"search": {"mode": "match"}} if kind == "searchset" else {})}
        for number, one in enumerate(rows)
    ]  # fmt: skip
    if kind == "searchset":  # what the other server had to say of the search is none of its answers
        told = {"resourceType": "OperationOutcome", "issue": [
            {"severity": "warning", "code": "informational"}]}  # fmt: skip
        entries.append({"resource": told, "search": {"mode": "outcome"}})
    bundle = {"resourceType": "Bundle", "type": kind, "entry": entries}

    answer = exchange.call("POST", f"{CHART}/$submit-screening", bundle)

    assert answer.status_code == 200, answer.text
    assert resources(answer)
    results = {
        one["subject"]["reference"]: said(one)
        for one in made(exchange)
        if one.get("code", {}).get("coding", [{}])[0].get("code") == "88124-3"
    }
    assert results == {"Patient/rosa": "LA19952-3", "Patient/leo": "LA19983-8"}
