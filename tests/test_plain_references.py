"""Whether a resource is stored as it came: each of its references means the same wherever it stands."""

import pytest

from app import fhir


@pytest.mark.parametrize(
    ("reference", "plain"),
    [
        ("Patient/rosa", True),
        ("ServiceRequest/a-1.B", True),
        ("urn:uuid:0f5e7f0e-3c4f-4d8e-9a66-3f0f1b1a2c3d", False),
        ("https://exchange.localhost/clinic/chart/fhir/Patient/rosa", False),
        ("Patient?identifier=x|1", False),
        ("Patient/rosa/_history/2", False),
        ("Patient/rosa ", False),
        ("#child", False),
        ("", False),
        ("patient/rosa", False),
        (f"Patient/{'a' * 65}", False),
    ],
)
def test_a_plain_reference_is_type_and_id(reference, plain):
    """Anything else is looked at by itself, however deep it stands."""
    task = {"resourceType": "Task", "for": {"reference": "Patient/ben"}}
    deep = {"extension": [{"url": "urn:x", "valueReference": {"reference": reference}}]}

    assert fhir.is_plain(task)
    assert fhir.is_plain({**task, "owner": {"reference": reference}}) is plain
    assert fhir.is_plain({**task, "input": [{"type": {"text": "a"}, **deep}]}) is plain


def test_a_text_that_looks_like_a_reference_is_none():
    """Within a text the quotes are escaped."""
    said = '"reference":"urn:uuid:1"'

    assert fhir.is_plain({"resourceType": "Task", "description": said, "note": [{"text": said}]})
