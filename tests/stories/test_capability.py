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
    short = {**said, "rest": [{**rest, "resource": [patient]}]}
    found = exchange.call("POST", f"{base}/$validate", short).json()["issue"]
    assert [one for one in found if one["severity"] == "error"] == []


PATCHES = {
    "application/json-patch+json": [{"op": "add", "path": "/gender", "value": "other"}],
    "application/fhir+json": PATCH,
    "application/merge-patch+json": {"active": False},
}


def declared(exchange, kind):
    said = exchange.get("clinic/chart/fhir/metadata").json()
    resources_ = said["rest"][0]["resource"]
    return said, next(one for one in resources_ if one["type"] == kind)


def test_every_condition_that_is_declared_is_met(exchange, patient):
    """Conditional create, read, update and delete, update as create, history: each as it is flagged."""
    base = "clinic/chart/fhir/Patient"
    _, flags = declared(exchange, "Patient")
    same = {"resourceType": "Patient", "identifier": patient["identifier"]}
    found = "identifier=https://ehr.example.org/mrn|100-42"

    assert flags["conditionalCreate"] is True
    assert exchange.call("POST", base, same, If_None_Exist=found).status_code == 200
    assert flags["conditionalRead"] == "full-support"
    seen = exchange.get(f"{base}/rosa")
    assert exchange.get(f"{base}/rosa", If_None_Match=seen.headers["etag"]).status_code == 304
    since = seen.headers["last-modified"]
    assert exchange.get(f"{base}/rosa", If_Modified_Since=since).status_code == 304
    assert flags["conditionalUpdate"] is True
    assert exchange.call("PUT", f"{base}?{found}", same).headers["etag"] == 'W/"2"'
    assert (flags["versioning"], flags["readHistory"]) == ("versioned-update", True)
    assert exchange.get(f"{base}/rosa/_history/1").json() == patient
    assert exchange.call("PUT", f"{base}/rosa", patient, If_Match='W/"1"').status_code == 412
    assert flags["updateCreate"] is True
    assert exchange.call("PUT", f"{base}/new", {**CHILD, "id": "new"}).status_code == 201
    assert flags["conditionalDelete"] == "single"
    twin = {**patient, "id": "twin"}
    exchange.call("PUT", f"{base}/twin", twin)
    assert exchange.call("DELETE", f"{base}?{found}").status_code == 412
    exchange.call("DELETE", f"{base}/twin")
    assert exchange.call("DELETE", f"{base}?{found}").status_code == 204


def test_every_format_that_is_declared_is_taken_and_given(exchange):
    """Formats of answers, and of patches; another patch is refused."""
    said, _ = declared(exchange, "Patient")
    path = "clinic/chart/fhir/Patient/c"
    exchange.call("PUT", path, CHILD)

    for name in said["format"]:
        assert exchange.get(f"{path}?_format={name}").status_code == 200
    assert set(said["patchFormat"]) == set(PATCHES)
    for media in said["patchFormat"]:
        assert exchange.call("PATCH", path, PATCHES[media], Content_Type=media).status_code == 200
    assert exchange.call("PATCH", path, b"<x/>", Content_Type="application/xml").status_code == 415


def test_every_type_that_is_declared_is_stored_read_and_deleted(exchange):
    """Each of R4's resource types, and no other."""
    said = exchange.get("clinic/chart/fhir/metadata").json()
    kinds = {one["type"] for one in said["rest"][0]["resource"]}
    assert len(kinds) == 146

    for kind in kinds - {"QuestionnaireResponse"}:  # on this shelf it is a screening
        path = f"clinic/chart/fhir/{kind}/x"
        made = exchange.call("PUT", path, {"resourceType": kind, "id": "x"})
        assert made.status_code == 201, (kind, made.text)
        assert exchange.get(path, Accept="application/fhir+json").json() == made.json()
        assert exchange.call("DELETE", path).status_code == 204
        assert exchange.get(path).status_code == 410


@pytest.mark.parametrize("kind", ["Encounter", "Patient"])
def test_everything_is_declared_where_it_is_answered(exchange, patient, kind):
    """By R4's own definitions, and by GET and POST."""
    base = "clinic/chart/fhir"
    visit = {
        "resourceType": "Encounter",
        "id": "rosa",
        "status": "finished",
        "class": {"code": "AMB"},
    }
    exchange.call("PUT", f"{base}/Encounter/rosa", visit)

    _, flags = declared(exchange, kind)

    url = f"http://hl7.org/fhir/OperationDefinition/{kind}-everything"
    assert {"name": "everything", "definition": url} in flags["operation"]
    for method in ("GET", "POST"):
        assert exchange.call(method, f"{base}/{kind}/rosa/$everything", None).status_code == 200
