"""A patch is applied anew where another writer came between: it makes the same each time."""

import pytest
from asking import operation, parameters

from app.domain import fhirpath_patch, patch

PERSON = {"resourceType": "Patient", "id": "c"}
CALL = {"value": "555-0142"}


@pytest.mark.parametrize(
    "made",
    [
        patch.json_patch(
            [
                {"op": "add", "path": "/telecom", "value": [CALL]},
                {"op": "add", "path": "/telecom/-", "value": {"value": "555-0143"}},
            ]
        ),
        fhirpath_patch.fhirpath_patch(
            parameters(
                operation("add", path="Patient", name="contact", value={"part": [
                    {"name": "name", "valueHumanName": {"family": "C"}}]}),
                operation("add", path="Patient.contact.name", name="given", value={"valueString": "D"}),
            )
        ),
        patch.merge_patch({"telecom": [CALL]}),
    ],
)  # fmt: skip
def test_a_patch_makes_the_same_twice(made):
    """Nothing of the first time is left in the patch, and what stood is untouched."""
    first = made(PERSON)
    first.setdefault("telecom", []).append("spoilt")

    second = made(PERSON)

    assert "spoilt" not in second.get("telecom", [])
    assert PERSON == {"resourceType": "Patient", "id": "c"}
    assert second == made(PERSON)
    assert second != PERSON
