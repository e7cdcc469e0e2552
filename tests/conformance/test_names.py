"""The checker knows definitions, and no resource type by its name."""

import ast
from pathlib import Path

from app import conformance
from app.api.resource_types import RESOURCE_TYPES

# What definitions themselves are, and what every resource is; the checker could not read without.
DEFINITIONS = {"CodeSystem", "ImplementationGuide", "StructureDefinition", "ValueSet"}
NATIVE = {"native.py", "questionnaires.py"}  # rules that R4 gives in words, each named there
EXTENSIONS = {
    "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-"
}  # limits of answers
PROFILES = ("http://hl7.org/fhir/us/", "http://hl7.org/fhir/uv/", "https://kinbridge.")


def _texts():
    for file in sorted(Path(conformance.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield file.name, node.value


def test_no_resource_type_and_no_profile_is_treated_by_its_name():
    """What holds for a type is in its definition, or among the rules that are named native."""
    known = set(RESOURCE_TYPES) - DEFINITIONS

    named = {(file, text) for file, text in _texts() if file not in NATIVE and text in known}
    profiles = {text for _, text in _texts() if text.startswith(PROFILES)}

    assert named == set()
    assert profiles == EXTENSIONS
