"""Resources that break one invariant of R4 each: key, path, type, and what is changed in it."""

from __future__ import annotations

from typing import Any

DIV = '<div xmlns="http://www.w3.org/1999/xhtml">text</div>'
UCUM = "http://unitsofmeasure.org"
TEXT = {"text": "text"}
BASIC = {"resourceType": "Basic", "id": "one", "code": TEXT}
VER = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
ITEM = {"linkId": "1", "type": "string"}
URL = {"fullUrl": "http://example.org/Basic/one"}
COMPOSITION = {
    "resourceType": "Composition",
    "status": "final",
    "type": TEXT,
    "date": "2020",
    "author": [{"display": "text"}],
    "title": "text",
}


def document(**more: Any) -> dict[str, Any]:
    made = {
        "type": "document",
        "identifier": {"system": "http://example.org/one", "value": "1"},
        "timestamp": "2020-01-01T00:00:00Z",
        "entry": [{"fullUrl": "http://example.org/Composition", "resource": COMPOSITION}],
    }
    return {key: one for key, one in {**made, **more}.items() if one is not None}


def item(**more: Any) -> dict[str, Any]:
    return {"item": [{**ITEM, **more}]}


def repeat(**more: Any) -> dict[str, Any]:
    return {"occurrenceTiming": {"repeat": more}}


def value(kind: str, one: Any) -> dict[str, Any]:
    return {"input": [{"type": TEXT, f"value{kind}": one}]}


INPUT = "Task.input[0].value.ofType"
REPEAT = "ServiceRequest.occurrence.ofType(Timing).repeat"

CASES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("age-1", f"{INPUT}(Age)", "Task", value("Age", {"value": 1})),
    ("att-1", f"{INPUT}(Attachment)", "Task", value("Attachment", {"data": "YWJj"})),
    ("bdl-1", "Bundle", "Bundle", {"total": 1}),
    (
        "bdl-2",
        "Bundle",
        "Bundle",
        {"entry": [{**URL, "resource": BASIC, "search": {"mode": "match"}}]},
    ),
    (
        "bdl-3",
        "Bundle",
        "Bundle",
        {"entry": [{**URL, "resource": BASIC, "request": {"method": "PUT", "url": "Basic/one"}}]},
    ),
    (
        "bdl-4",
        "Bundle",
        "Bundle",
        {"entry": [{**URL, "resource": BASIC, "response": {"status": "200"}}]},
    ),
    (
        "bdl-5",
        "Bundle.entry[0]",
        "Bundle",
        {"entry": [{"fullUrl": "http://example.org/Basic/one"}]},
    ),
    (
        "bdl-7",
        "Bundle",
        "Bundle",
        {"entry": [{"fullUrl": "http://example.org/Basic/one", "resource": BASIC}] * 2},
    ),
    (
        "bdl-8",
        "Bundle.entry[0]",
        "Bundle",
        {"entry": [{"fullUrl": "http://example.org/_history/1", "resource": BASIC}]},
    ),
    ("bdl-9", "Bundle", "Bundle", document(identifier=None)),
    ("bdl-10", "Bundle", "Bundle", document(timestamp=None)),
    ("bdl-11", "Bundle", "Bundle", document(entry=[{**URL, "resource": BASIC}])),
    ("bdl-12", "Bundle", "Bundle", {"type": "message", "entry": [{**URL, "resource": BASIC}]}),
    ("con-1", "Condition.stage[0]", "Condition", {"stage": [{"type": TEXT}]}),
    ("con-2", "Condition.evidence[0]", "Condition", {"evidence": [{"id": "one"}]}),
    ("con-4", "Condition", "Condition", {"abatementString": "text"}),
    (
        "con-5",
        "Condition",
        "Condition",
        {
            "verificationStatus": {"coding": [{"system": VER, "code": "entered-in-error"}]},
            "clinicalStatus": {"coding": [{"system": CLINICAL, "code": "active"}]},
        },
    ),
    ("cnt-3", f"{INPUT}(Count)", "Task", value("Count", {"value": 1, "system": UCUM, "code": "2"})),
    ("cpt-2", "Patient.telecom[0]", "Patient", {"telecom": [{"value": "1"}]}),
    ("dis-1", f"{INPUT}(Distance)", "Task", value("Distance", {"value": 1})),
    (
        "dom-2",
        "Patient",
        "Patient",
        {
            "contained": [
                {**BASIC, "subject": {"reference": "#"}, "contained": [{**BASIC, "id": "two"}]}
            ]
        },
    ),
    ("dom-3", "Patient.contained[0]", "Patient", {"contained": [BASIC]}),
    (
        "dom-4",
        "Patient",
        "Patient",
        {"contained": [{**BASIC, "subject": {"reference": "#"}, "meta": {"versionId": "1"}}]},
    ),
    (
        "dom-5",
        "Patient",
        "Patient",
        {
            "contained": [
                {**BASIC, "subject": {"reference": "#"}, "meta": {"security": [{"code": "one"}]}}
            ]
        },
    ),
    ("drt-1", f"{INPUT}(Duration)", "Task", value("Duration", {"code": "h", "system": UCUM})),
    ("exp-1", f"{INPUT}(Expression)", "Task", value("Expression", {"language": "text/cql"})),
    ("ext-1", "Patient.extension[0]", "Patient", {"extension": [{"url": "http://example.org"}]}),
    ("gol-1", "Goal.target[0]", "Goal", {"target": [{"detailString": "text"}]}),
    (
        "inv-1",
        "Task",
        "Task",
        {"authoredOn": "2020-01-02T00:00:00Z", "lastModified": "2020-01-01T00:00:00Z"},
    ),
    (
        "obs-3",
        "Observation.referenceRange[0]",
        "Observation",
        {"referenceRange": [{"type": TEXT}]},
    ),
    ("obs-6", "Observation", "Observation", {"valueString": "text", "dataAbsentReason": TEXT}),
    (
        "obs-7",
        "Observation",
        "Observation",
        {
            "code": {"coding": [{"code": "one"}]},
            "component": [{"code": {"coding": [{"code": "one"}]}}],
            "valueString": "text",
        },
    ),
    ("org-1", "Organization", "Organization", {"name": None}),
    ("org-2", "Organization.address[0]", "Organization", {"address": [{"use": "home"}]}),
    ("org-3", "Organization.telecom[0]", "Organization", {"telecom": [{"use": "home"}]}),
    ("pat-1", "Patient.contact[0]", "Patient", {"contact": [{"gender": "male"}]}),
    (
        "per-1",
        "Patient.name[0].period",
        "Patient",
        {"name": [{"period": {"start": "2020-01-02", "end": "2020-01-01"}}]},
    ),
    ("ppc-1", "Consent", "Consent", {"policyRule": None}),
    ("prr-1", "ServiceRequest", "ServiceRequest", {"orderDetail": [TEXT]}),
    (
        "qrs-1",
        "QuestionnaireResponse.item[0]",
        "QuestionnaireResponse",
        {"item": [{"linkId": "1", "answer": [{"valueString": "a"}], "item": [{"linkId": "2"}]}]},
    ),
    ("qty-3", f"{INPUT}(Quantity)", "Task", value("Quantity", {"value": 1, "code": "h"})),
    ("que-1", "Questionnaire.item[0]", "Questionnaire", item(type="group")),
    ("que-2", "Questionnaire", "Questionnaire", {"item": [ITEM, ITEM]}),
    ("que-3", "Questionnaire.item[0]", "Questionnaire", item(type="display", code=[{"code": "a"}])),
    (
        "que-4",
        "Questionnaire.item[0]",
        "Questionnaire",
        item(
            type="choice",
            answerOption=[{"valueString": "a"}],
            answerValueSet="http://example.org/a",
        ),
    ),
    (
        "que-5",
        "Questionnaire.item[0]",
        "Questionnaire",
        item(type="boolean", answerOption=[{"valueString": "a"}]),
    ),
    ("que-6", "Questionnaire.item[0]", "Questionnaire", item(type="display", required=True)),
    (
        "que-7",
        "Questionnaire.item[0].enableWhen[0]",
        "Questionnaire",
        item(enableWhen=[{"question": "1", "operator": "exists", "answerString": "a"}]),
    ),
    (
        "que-8",
        "Questionnaire.item[0]",
        "Questionnaire",
        item(type="display", initial=[{"valueString": "a"}]),
    ),
    ("que-9", "Questionnaire.item[0]", "Questionnaire", item(type="display", readOnly=True)),
    ("que-10", "Questionnaire.item[0]", "Questionnaire", item(type="date", maxLength=1)),
    (
        "que-11",
        "Questionnaire.item[0]",
        "Questionnaire",
        item(
            type="choice",
            answerOption=[{"valueString": "a"}],
            initial=[{"valueString": "a"}],
        ),
    ),
    (
        "que-12",
        "Questionnaire.item[0]",
        "Questionnaire",
        item(enableWhen=[{"question": "1", "operator": "exists", "answerBoolean": True}] * 2),
    ),
    (
        "que-13",
        "Questionnaire.item[0]",
        "Questionnaire",
        item(initial=[{"valueString": "a"}, {"valueString": "b"}]),
    ),
    ("rat-1", f"{INPUT}(Ratio)", "Task", value("Ratio", {"numerator": {"value": 1}})),
    ("ref-1", "Task.for", "Task", {"for": {"reference": "#nowhere"}}),
    (
        "rng-2",
        f"{INPUT}(Range)",
        "Task",
        value("Range", {"low": {"value": 2}, "high": {"value": 1}}),
    ),
    (
        "sev-1",
        "AuditEvent.entity[0]",
        "AuditEvent",
        {"entity": [{"name": "text", "query": "YWJj"}]},
    ),
    ("tim-1", REPEAT, "ServiceRequest", repeat(duration=1)),
    ("tim-2", REPEAT, "ServiceRequest", repeat(period=1)),
    ("tim-4", REPEAT, "ServiceRequest", repeat(duration=-1, durationUnit="h")),
    ("tim-5", REPEAT, "ServiceRequest", repeat(period=-1, periodUnit="h")),
    ("tim-6", REPEAT, "ServiceRequest", repeat(periodMax=1)),
    ("tim-7", REPEAT, "ServiceRequest", repeat(durationMax=1)),
    ("tim-8", REPEAT, "ServiceRequest", repeat(countMax=1)),
    ("tim-9", REPEAT, "ServiceRequest", repeat(offset=1)),
    ("tim-10", REPEAT, "ServiceRequest", repeat(timeOfDay=["10:00:00"], when=["MORN"])),
    ("txt-1", "Patient.text.div", "Patient", {"text": {"status": "empty", "div": "<div>a</div>"}}),
    (
        "txt-2",
        "Patient.text.div",
        "Patient",
        {"text": {"status": "empty", "div": DIV.replace("text", " ")}},
    ),
]

# Invariants of the exchanged types that cannot be broken, or not alone, and why.
UNREACHABLE = {
    "ele-1": "an element without value and children has no shape",
    "ppc-2": "its expression looks for a system called 'something'",
    "ppc-3": "its expression looks for a system called 'something'",
    "ppc-4": "its expression looks for a system called 'something'",
    "ppc-5": "its expression looks for a system called 'something'",
    "con-3": "a warning",
    "dom-6": "a warning",
    "que-0": "a warning",
}
