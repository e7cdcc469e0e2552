"""How a finding is said: which rule, which issue code, where it is explained."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from app.errors import Issue

LIMIT: Final = 1000  # a person mends a few and checks again; memory stays bounded

_JSON: Final = "https://hl7.org/fhir/R4/json.html"
_TYPES: Final = "https://hl7.org/fhir/R4/datatypes.html"
_FORM: Final = "https://hl7.org/fhir/R4/questionnaireresponse.html"
_ELEMENT: Final = "https://hl7.org/fhir/R4/elementdefinition-definitions.html#ElementDefinition."
_SLICING: Final = "https://hl7.org/fhir/R4/profiling.html#slicing"
_RULES: Final = {
    "json-object": ("structure", _JSON + "#resources"),
    "json-type": ("structure", _JSON + "#primitive"),
    "json-array": ("structure", _JSON + "#elements"),
    "json-null": ("structure", _JSON + "#null"),
    "json-empty": ("structure", _JSON + "#elements"),
    "json-element": ("structure", _JSON + "#elements"),
    "json-primitive-extension": ("structure", _JSON + "#primitive"),
    "json-depth": ("structure", _JSON),
    "resource-type": ("structure", "https://hl7.org/fhir/R4/resourcelist.html"),
    "primitive-format": ("value", _TYPES + "#primitive"),
    "decimal-digits": ("value", _TYPES + "#decimal"),
    "shape": ("not-supported", _JSON),
    "choice": ("structure", "https://hl7.org/fhir/R4/formats.html#choice"),
    "cardinality": ("required", "https://hl7.org/fhir/R4/conformance-rules.html#cardinality"),
    "cardinality-max": ("structure", "https://hl7.org/fhir/R4/conformance-rules.html#cardinality"),
    "binding": ("code-invalid", "https://hl7.org/fhir/R4/terminologies.html#required"),
    "code": ("code-invalid", "https://hl7.org/fhir/R4/terminologies.html#system"),
    "display": ("invalid", "https://hl7.org/fhir/R4/datatypes-definitions.html#Coding.display"),
    "code-unchecked": ("not-supported", "https://hl7.org/fhir/R4/terminologies.html#system"),
    "binding-unchecked": ("not-supported", "https://hl7.org/fhir/R4/terminologies.html"),
    "reference-target": ("structure", "https://hl7.org/fhir/R4/references.html#Reference"),
    "reference-format": ("value", "https://hl7.org/fhir/R4/references.html#literal"),
    "invariant-unchecked": ("not-supported", "https://hl7.org/fhir/R4/conformance-rules.html"),
    "questionnaire": ("not-found", _FORM + "#questionnaireResponse"),
    "questionnaire-link": ("not-found", _FORM + "#link"),
    "questionnaire-place": ("structure", _FORM + "#link"),
    "questionnaire-required": ("required", _FORM + "#required"),
    "questionnaire-enabled": ("business-rule", _FORM + "#required"),
    "questionnaire-repeats": ("structure", _FORM + "#link"),
    "questionnaire-text": ("value", _FORM + "#link"),
    "questionnaire-type": ("structure", _FORM + "#answers"),
    "questionnaire-option": ("code-invalid", _FORM + "#answers"),
    "questionnaire-value": ("value", _FORM + "#answers"),
    "fixed": ("value", _ELEMENT + "fixed_x_"),
    "pattern": ("value", _ELEMENT + "pattern_x_"),
    "limit-value": ("value", _ELEMENT + "minValue_x_"),
    "type": ("structure", _ELEMENT + "type"),
    "profile": ("structure", _ELEMENT + "type.profile"),
    "profile-unchecked": ("not-supported", _ELEMENT + "type.profile"),
    "profile-unknown": ("not-found", "https://hl7.org/fhir/R4/resource.html#profile-tags"),
    "profile-unreadable": ("not-supported", "https://hl7.org/fhir/R4/profiling.html"),
    "reference-aggregation": ("structure", _ELEMENT + "type.aggregation"),
    "reference-profile": ("structure", _ELEMENT + "type.targetProfile"),
    "binding-extensible": (
        "code-invalid",
        "https://hl7.org/fhir/R4/terminologies.html#extensible",
    ),
    "slice-min": ("required", _SLICING),
    "slice-max": ("structure", _SLICING),
    "slice-closed": ("structure", _SLICING),
    "slice-order": ("structure", _SLICING),
    "slice-unchecked": ("not-supported", "https://hl7.org/fhir/R4/profiling.html#discriminator"),
    "extension-unknown": ("not-found", "https://hl7.org/fhir/R4/extensibility.html#exchange"),
    "extension-unchecked": (
        "not-supported",
        "https://hl7.org/fhir/R4/defining-extensions.html#context",
    ),
    "extension-part": ("structure", "https://hl7.org/fhir/R4/extensibility.html#Extension"),
    "extension-context": (
        "structure",
        "https://hl7.org/fhir/R4/defining-extensions.html#context",
    ),
    "must-support": ("informational", "https://hl7.org/fhir/R4/profiling.html#mustsupport"),
    "limit": ("too-costly", ""),
}  # fmt: skip


class EnoughError(Exception):
    """There are LIMIT findings; who goes on looking helps nobody."""


class Findings(list[Issue]):
    """The issues of one check, in the order in which they were found."""

    def add(self, issue: Issue) -> None:
        if len(self) >= LIMIT:
            raise EnoughError
        self.append(issue)


def finding(rule: str, path: str, text: str, *, severity: str = "error") -> Issue:
    code, url = _RULES[rule]
    return Issue(severity, code, text, path, rule, url)


@lru_cache(maxsize=4096)
def untold(rule: str, path: str, text: str, profile: str) -> Issue:
    """
    What could not be checked, with the profile that asks for it.

    Of these there are many, and the same again in the next resource: to look one up costs a tenth
    of making it.
    """
    code, url = _RULES[rule]
    return Issue("information", code, text, path, rule, url, profile)


def named(one: Issue, profile: str) -> Issue:
    """A finding with the profile that it is about."""
    return Issue(one.severity, one.code, one.text, one.expression, one.rule, one.url, profile)


def too_many() -> Issue:
    return finding(
        "limit",
        "",
        f"There are more than {LIMIT} findings; mend these and check again.",
        severity="warning",
    )
