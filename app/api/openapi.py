"""The OpenAPI document: made from the routes that are there, and what each of them takes and says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from app.api.resource_types import RESOURCE_TYPES
from app.settings import Shelf

_FHIR: Final = "application/fhir+json"
_RESOURCE: Final = {
    "type": "object",
    "required": ["resourceType"],
    "properties": {"resourceType": {"type": "string"}},
    "externalDocs": {"url": "https://hl7.org/fhir/R4/resourcelist.html"},
}
_OUTCOME: Final = {
    "type": "object",
    "required": ["resourceType", "issue"],
    "properties": {
        "resourceType": {"const": "OperationOutcome"},
        "issue": {"type": "array", "minItems": 1, "items": {"type": "object"}},
    },
}
_PARAMETER: Final = re.compile(r"{(\w+)(?::\w+)?}")
_ID: Final = "[A-Za-z0-9\\-.]{1,64}"
_VIEW: Final = {
    "_format": {"type": "string", "enum": ["json", "application/json", _FHIR]},
    "_pretty": {"type": "string", "enum": ["true", "false"]},
    "_summary": {"type": "string", "enum": ["true", "text", "data", "false"]},
    "_elements": {"type": "string"},
}


def document(
    routes: Iterable[BaseRoute], shelves: Iterable[Shelf], *, version: str
) -> dict[str, Any]:
    """
    The document.

    shelves     those that may be named to everyone
    source      https://spec.openapis.org/oas/v3.1.0
    """
    known = list(shelves)
    values = {
        "tenant": _one_of({one.tenant for one in known}),
        "shelf": _one_of({one.id for one in known}),
        "type": {"type": "string", "enum": sorted(RESOURCE_TYPES)},
        "id": {"type": "string", "pattern": f"^{_ID}$"},
        "version": {"type": "string", "pattern": "^[0-9]{1,9}$"},
    }
    paths: dict[str, dict[str, Any]] = {}
    for path, method, route in _offered(routes):
        operation = paths.setdefault(path, {})
        operation[method.lower()] = _operation(path, method, route, values)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Kinbridge",
            "version": version,
            "description": "FHIR R4 on shelves; each shelf's CapabilityStatement says what it has.",
        },
        "paths": paths,
        "components": {
            "schemas": {"Resource": _RESOURCE, "OperationOutcome": _OUTCOME},
            "securitySchemes": {
                scheme: {"type": "http", "scheme": scheme} for scheme in ("basic", "bearer")
            },
        },
        "security": [{"basic": []}, {"bearer": []}, {}],
    }


def _one_of(names: set[str]) -> dict[str, Any]:
    return {"type": "string", "enum": sorted(names)} if names else {"type": "string"}


def _offered(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, str, APIRoute]]:
    for route in routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            for method in sorted(route.methods or ()):
                yield _PARAMETER.sub(r"{\1}", route.path), method, route


def _operation(path: str, method: str, route: APIRoute, values: dict[str, Any]) -> dict[str, Any]:
    names = _PARAMETER.findall(path)
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": values.get(name, {"type": "string"}),
        }
        for name in names
    ]
    if method in {"GET", "HEAD"}:
        parameters += [
            {"name": name, "in": "query", "required": False, "schema": schema}
            for name, schema in _VIEW.items()
        ]
    made: dict[str, Any] = {
        "operationId": f"{method.lower()} {path}",
        "summary": (route.description or route.name).partition("\n")[0],
        "parameters": parameters,
        "responses": _responses(method),
    }
    if method in {"PATCH", "POST", "PUT"}:
        made["requestBody"] = {"required": True, "content": _content(path, method)}
    return made


def _content(path: str, method: str) -> dict[str, Any]:
    resource = {"schema": {"$ref": "#/components/schemas/Resource"}}
    if method == "PATCH":
        operations = {"schema": {"type": "array", "items": {"type": "object"}}}
        merged = {"schema": {"type": "object"}}
        return {
            _FHIR: resource,
            "application/json-patch+json": operations,
            "application/merge-patch+json": merged,
        }
    if path.endswith("/_search"):
        return {"application/x-www-form-urlencoded": {"schema": {"type": "object"}}}
    return {_FHIR: resource, "application/json": resource}


def _responses(method: str) -> dict[str, Any]:
    resource = {_FHIR: {"schema": {"$ref": "#/components/schemas/Resource"}}}
    if method in {"GET", "HEAD"}:
        resource["*/*"] = {"schema": {}}  # a Binary as it is
    outcome = {_FHIR: {"schema": {"$ref": "#/components/schemas/OperationOutcome"}}}
    answers: dict[str, Any] = {"200": {"description": "Done", "content": resource}}
    if method in {"GET", "HEAD"}:
        answers["304"] = {"description": "The caller has it"}
    if method in {"POST", "PUT"}:
        answers["201"] = {"description": "Made", "content": resource}
    if method in {"DELETE", "PATCH", "POST", "PUT"}:
        answers["204"] = {"description": "Done, and nothing to show"}
    answers["4XX"] = {"description": "Refused, and what to do", "content": outcome}
    answers["503"] = {"description": "Not now; Retry-After says when", "content": outcome}
    return answers
