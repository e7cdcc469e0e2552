"""How it is answered: bytes as they were stored, ETag, Location, and every refusal as an outcome."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from app import fhir
from app.errors import Issue, Refusal, outcome
from app.fhir import Resource
from app.flows.write import Written

_FHIR_JSON: Final = "application/fhir+json; charset=utf-8"
_TRUE: Final = frozenset({"true", "1", ""})


def fhir_json(
    request: Request, body: bytes, *, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """JSON, whatever Accept says: clients that ask for XML first take it, and never get a 406."""
    if request.query_params.get("_pretty", "false") in _TRUE:
        body = fhir.pretty(body)
    return Response(body, status, {"Content-Type": _FHIR_JSON, **(headers or {})})


def resource(request: Request, value: Resource, *, status: int = 200) -> Response:
    return fhir_json(request, fhir.encode(value), status=status)


def refusal(request: Request, refused: Refusal) -> Response:
    headers = {401: {"WWW-Authenticate": 'Basic realm="kinbridge", charset="UTF-8"'}}
    return fhir_json(
        request,
        fhir.encode(refused.outcome()),
        status=refused.status,
        headers=headers.get(refused.status, {"Retry-After": "5"} if refused.status == 503 else {}),
    )


def one(request: Request, written: Written, base: str) -> Response:
    """
    The resource that was asked to be written, first in the answer.

    source      https://hl7.org/fhir/R4/http.html#create, #update, #ops (Prefer)
    """
    name = written.answer.names[0]
    body, version = written.bodies[name]
    created = name in written.answer.created
    headers = {"ETag": f'W/"{version}"', "Location": f"{base}/{name}/_history/{version}"}
    prefer = request.headers.get("Prefer", "")
    if "return=minimal" in prefer:
        body = b""
    elif "return=OperationOutcome" in prefer:
        body = fhir.encode(_findings(written))
    return fhir_json(request, body, status=201 if created else 200, headers=headers)


def all_of(request: Request, written: Written, base: str, *, kind: str) -> Response:
    """Every resource that the change made, and what there is to say about it, as a Bundle."""
    entries: list[bytes] = []
    for name in written.answer.names:
        body, version = written.bodies[name]
        created = name in written.answer.created
        said = {
            "status": "201 Created" if created else "200 OK",
            "location": f"{base}/{name}/_history/{version}",
            "etag": f'W/"{version}"',
        }
        url = fhir.encode(f"{base}/{name}")
        response = b',"response":' + fhir.encode(said) if kind == "transaction-response" else b""
        entries.append(b'{"fullUrl":' + url + b',"resource":' + body + response + b"}")
    if written.answer.issues:
        findings = fhir.encode(_findings(written))
        if kind == "transaction-response":
            entries.append(b'{"response":{"status":"200 OK","outcome":' + findings + b"}}")
        else:
            entries.append(b'{"resource":' + findings + b"}")
    head = b'{"resourceType":"Bundle","type":' + fhir.encode(kind) + b',"entry":['
    return fhir_json(request, head + b",".join(entries) + b"]}")


def _findings(written: Written) -> Resource:
    done = Issue("information", "informational", "Done, and nothing to remark.")
    return outcome(written.answer.issues or (done,))
