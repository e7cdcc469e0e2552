"""What the CapabilityStatement says is what the service does."""

import pytest
from fhir.resources.R4B import get_fhir_model_class

from app.sandbox import family

CHILD = {"resourceType": "Patient", "id": "c"}
PATCH = {
    "resourceType": "Parameters",
    "parameter": [{"name": "operation", "part": [
        {"name": "type", "valueCode": "add"}, {"name": "path", "valueString": "Patient"},
        {"name": "name", "valueString": "active"}, {"name": "value", "valueBoolean": True},
    ]}],
}  # fmt: skip
TWO = {
    "resourceType": "Parameters",
    "parameter": [
        {"name": "source", "valueReference": {"reference": "Patient/c"}},
        {"name": "target", "valueReference": {"reference": "Patient/rosa"}},
    ],
}
TRIED = {
    "create": ("POST", "Patient", {"resourceType": "Patient"}),
    "read": ("GET", "Patient/c", None),
    "vread": ("GET", "Patient/c/_history/1", None),
    "update": ("PUT", "Patient/c", CHILD),
    "patch": ("PATCH", "Patient/c", PATCH),
    "delete": ("DELETE", "Patient/gone", None),
    "history-instance": ("GET", "Patient/c/_history", None),
    "history-type": ("GET", "Patient/_history", None),
    "history-system": ("GET", "_history", None),
    "search-type": ("GET", "Patient?name=rosa", None),
    "search-system": ("GET", "?_type=Patient&_id=rosa", None),
    "transaction": ("POST", "", {"resourceType": "Bundle", "type": "transaction"}),
    "batch": ("POST", "", {"resourceType": "Bundle", "type": "batch"}),
}
ACTS = {
    "submit-screening": family.screening("hunger-vital-sign", []),
    "refer": family.referral("ServiceRequest/none", consented=True),
    "report": family.report(by_device=False),
    "validate": CHILD,
    "check-referral": family.report(by_device=False),
    "unmapped": None,
    "work-off": None,
    "link": TWO,
    "unlink": TWO,
}


@pytest.mark.parametrize(
    "shelf", ["clinic/chart", "clinic/reports", "agency/support", "agency/intake"]
)
def test_every_interaction_that_is_declared_works(exchange, shelf):
    """Each declared interaction and operation is tried on its shelf, and answers with success."""
    base = f"{shelf}/fhir"
    said = exchange.get(f"{base}/metadata").json()
    rest = said["rest"][0]
    assert get_fhir_model_class("CapabilityStatement").model_validate(said)
    exchange.call("PUT", f"{base}/Patient/c", CHILD)
    exchange.call("PUT", f"{base}/Patient/rosa", family.PATIENT)

    patient = next(one for one in rest["resource"] if one["type"] == "Patient")
    declared = [one["code"] for one in patient["interaction"] + rest["interaction"]]

    for code in declared:
        method, path, body = TRIED[code]
        assert exchange.call(method, f"{base}/{path}", body).status_code < 300, code
    for operation in rest.get("operation", []):
        method = "GET" if operation["name"] == "unmapped" else "POST"
        done = exchange.call(method, f"{base}/${operation['name']}", ACTS[operation["name"]])
        assert done.status_code == 200, operation
        assert done.json()["resourceType"] in {"Bundle", "OperationOutcome", "Parameters"}
    assert set(TRIED) == set(declared)
