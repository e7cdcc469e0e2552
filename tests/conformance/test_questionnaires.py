"""An answered form is held against the form that was asked."""

from __future__ import annotations

import json

import pytest

from app import conformance

URL = "http://example.org/Questionnaire/one"
MIN = "http://hl7.org/fhir/StructureDefinition/minValue"
FORM = {
    "resourceType": "Questionnaire",
    "url": URL,
    "status": "active",
    "item": [
        {
            "linkId": "home",
            "type": "group",
            "required": True,
            "item": [
                {"linkId": "safe", "type": "boolean", "required": True},
                {
                    "linkId": "why",
                    "type": "string",
                    "required": True,
                    "maxLength": 5,
                    "enableWhen": [{"question": "safe", "operator": "=", "answerBoolean": False}],
                },
            ],
        },
        {
            "linkId": "people",
            "type": "integer",
            "extension": [{"url": MIN, "valueInteger": 1}],
        },
        {
            "linkId": "food",
            "type": "open-choice",
            "answerOption": [{"valueCoding": {"code": "often"}}],
        },
    ],
}
SAFE = {"linkId": "safe", "answer": [{"valueBoolean": True}]}
UNSAFE = {"linkId": "safe", "answer": [{"valueBoolean": False}]}


@pytest.fixture(scope="module")
def forms(definitions):
    found = conformance.Definitions()
    for package in definitions.packages:
        found.add(package)
    found.add(json.dumps(FORM).encode())
    return found


def check(forms, now, *items, status="completed", url=URL):
    response = {"resourceType": "QuestionnaireResponse", "status": status, "questionnaire": url}
    found = forms.check({**response, **({"item": list(items)} if items else {})}, now=now)
    return [(one.severity, one.rule, one.expression) for one in found if one.rule != "dom-6"]


def home(*items):
    return {"linkId": "home", "item": list(items)}


RIGHT = [
    [home(SAFE)],
    [home(UNSAFE, {"linkId": "why", "answer": [{"valueString": "cold"}]})],
    [home(SAFE), {"linkId": "people", "answer": [{"valueInteger": 1}]}],
    [home(SAFE), {"linkId": "food", "answer": [{"valueString": "seldom"}]}],
    [home(SAFE), {"linkId": "food", "answer": [{"valueCoding": {"code": "often"}}]}],
]
AT = "QuestionnaireResponse"
WRONG = [
    ([], "required", AT),
    ([home(UNSAFE)], "required", f"{AT}.item[0]"),
    (
        [home(SAFE, {"linkId": "why", "answer": [{"valueString": "cold"}]})],
        "enabled",
        f"{AT}.item[0].item[1]",
    ),
    (
        [home(UNSAFE, {"linkId": "why", "answer": [{"valueString": "too cold"}]})],
        "value",
        f"{AT}.item[0].item[1].answer[0].value.ofType(string)",
    ),
    ([home(SAFE, {"linkId": "other"})], "link", f"{AT}.item[0]"),
    ([home(SAFE, {"linkId": "people"})], "place", f"{AT}.item[0].item[1]"),
    (
        [{"linkId": "people", "answer": [{"valueInteger": 1}]}, home(SAFE)],
        "place",
        f"{AT}.item[1]",
    ),
    (
        [home(SAFE), {"linkId": "people", "answer": [{"valueInteger": 0}]}],
        "value",
        f"{AT}.item[1].answer[0].value.ofType(integer)",
    ),
    (
        [home(SAFE), {"linkId": "people", "answer": [{"valueInteger": 1}, {"valueInteger": 2}]}],
        "repeats",
        f"{AT}.item[1]",
    ),
    (
        [home(SAFE), {"linkId": "people", "answer": [{"valueString": "1"}]}],
        "type",
        f"{AT}.item[1].answer[0].value.ofType(string)",
    ),
    (
        [home(SAFE), {"linkId": "food", "answer": [{"valueCoding": {"code": "never"}}]}],
        "option",
        f"{AT}.item[1].answer[0].value.ofType(Coding)",
    ),
]


@pytest.mark.parametrize("items", RIGHT)
def test_a_form_that_is_rightly_answered_passes(forms, now, items):
    """What the form asks and allows is no defect."""
    assert check(forms, now, *items) == []


@pytest.mark.parametrize(("items", "rule", "path"), WRONG)
def test_a_wrong_answer_is_one_error_where_it_stands(forms, now, items, rule, path):
    """Each defect is one error, at the item or the answer that has it."""
    assert check(forms, now, *items) == [("error", f"questionnaire-{rule}", path)]


def test_what_is_not_answered_yet_is_no_error(forms, now):
    """A form in progress may lack required answers, and is told of them."""
    found = check(forms, now, home(UNSAFE), status="in-progress")

    assert found == [("warning", "questionnaire-required", f"{AT}.item[0]")]
    assert ("warning", "questionnaire-required", AT) in check(forms, now, status="in-progress")


def test_a_form_that_is_not_loaded_is_said(forms, now):
    """Answers to a form that is not here are not checked, and that is no secret."""
    found = check(forms, now, home(SAFE), url="http://example.org/elsewhere")

    assert found == [("warning", "questionnaire", f"{AT}.questionnaire")]
