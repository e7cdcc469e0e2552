"""The OpenAPI document says what is there, and each thing that it says is so."""

import json

import pytest
from asking import CHART

from app.sandbox import family

VALUES = {"tenant": "clinic", "shelf": "chart", "type": "Patient", "id": "rosa", "version": "1",
          "operation": "submit-screening", "rest": "x"}  # fmt: skip
BODY = {"POST": {"resourceType": "Patient"}, "PUT": family.PATIENT, "PATCH": []}


def operations(document):
    for path, found in document["paths"].items():
        for method, operation in found.items():
            yield path, method.upper(), operation


def test_every_route_is_described_and_answers_as_described(exchange, patient):
    """Each path and method is called once: its status and its media type are among those said."""
    document = exchange.get("openapi.json").json()
    assert document["openapi"].startswith("3.1")
    said = list(operations(document))
    assert len({one["operationId"] for _, _, one in said}) == len(said)
    read = "/{tenant}/{shelf}/fhir/{type}/{id}"
    assert {"get", "head", "put", "patch", "delete"} <= document["paths"][read].keys()

    for path, method, operation in sorted(said, key=lambda one: one[1] == "DELETE"):
        url = path
        for parameter in operation["parameters"]:
            if parameter["in"] == "path":
                url = url.replace(f"{{{parameter['name']}}}", VALUES.get(parameter["name"], "x"))
        body = BODY.get(method)
        answer = exchange.call(method, url.lstrip("/"), body)
        status = str(answer.status_code)
        known = operation["responses"].get(status) or operation["responses"].get(f"{status[0]}XX")
        assert known is not None, (method, path, status)
        if answer.content:
            assert answer.headers["content-type"].split(";")[0] in known["content"], (method, path)
        assert bool(body is not None) is ("requestBody" in operation), (method, path)


@pytest.mark.parametrize("path", ["openapi.json"])
def test_the_document_is_small_enough_to_be_read(exchange, path):
    """It names the types once for each path, and no value of any resource."""
    exchange.call("PUT", f"{CHART}/Patient/zzyzx", {"resourceType": "Patient", "id": "zzyzx"})

    text = json.dumps(exchange.get(path).json())

    assert "zzyzx" not in text
    assert len(text) < 500_000
