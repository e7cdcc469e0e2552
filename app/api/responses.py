"""How it is answered: bytes as they were stored, ETag, Location, and every refusal as an outcome."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from app import fhir
from app.api import access, encoding, header, view
from app.api.pieces import LONG, Pieces
from app.conformance import Definitions
from app.errors import Issue, NotAllowed, Refusal, Unauthenticated, Unavailable, outcome
from app.fhir import Resource
from app.flows.write import Written
from app.storage.history import Past
from app.storage.resources import Version

_FHIR_JSON: Final = "application/fhir+json; charset=utf-8"
_RETURNS: Final = {one.lower(): one for one in ("minimal", "representation", "OperationOutcome")}
_TRUE: Final = frozenset({"true", "1", ""})
# By Last-Modified alone a client's cache keeps a Task that is ten days old for another.
ASKED_AGAIN: Final = {"Cache-Control": "private, no-cache"}
TRY_AGAIN: Final = {"Retry-After": "5"}
_SECOND: Final = len("2026-01-31T10:00:00")


def fhir_json(
    request: Request, body: bytes, *, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """JSON, whatever Accept says: clients that ask for XML first take it, and never get a 406."""
    if request.scope["query_string"] and request.query_params.get("_pretty", "false") in _TRUE:
        body = fhir.pretty(body)
    headers = {"Content-Type": _FHIR_JSON, **(headers or {})}
    if len(body) > LONG:
        return Pieces(request, [body], headers, status=status)
    return encoding.response(request, body, status, headers)


def refusal(request: Request, refused: Refusal) -> Response:
    headers: dict[str, str] = {}
    if isinstance(refused, Unauthenticated):
        headers["WWW-Authenticate"] = _challenge(request)
    elif isinstance(refused, NotAllowed):
        headers["Allow"] = refused.allowed
    elif isinstance(refused, Unavailable):
        headers |= TRY_AGAIN
    body = fhir.encode(refused.outcome())
    return fhir_json(request, body, status=refused.status, headers=headers)


def _challenge(request: Request) -> str:
    """How to call; https://www.rfc-editor.org/rfc/rfc6750#section-3."""
    tried = access.is_bearer(header.of(request, b"authorization") or "")
    return f'{access.BASIC}, Bearer realm="kinbridge"' + (
        ', error="invalid_token"' if tried else ""
    )


def read(request: Request, row: Version, definitions: Definitions) -> Response:
    """
    One version as it stands, or 304 where the caller has it.

    source      https://hl7.org/fhir/R4/http.html#cread
    """
    headers = {**validators(row), **ASKED_AGAIN}
    if is_known(request, row):
        return Response(status_code=304, headers=headers)
    return fhir_json(request, view.of(request, definitions, row.body), headers=headers)


def validators(row: Version) -> dict[str, str]:
    """By what a caller can ask whether it has this version."""
    return {"ETag": f'W/"{row.version}"', "Last-Modified": _modified(row.updated[:_SECOND])}


@lru_cache(maxsize=256)
def _modified(second: str) -> str:
    """A UTC dateTime to the second as HTTP writes it; many are stored within one."""
    return format_datetime(datetime.fromisoformat(second).replace(tzinfo=UTC), usegmt=True)


def is_known(request: Request, row: Version) -> bool:
    """Whether the caller says that it has this version."""
    if seen := header.every(request, b"if-none-match"):
        known = {one.strip().removeprefix("W/").strip('"') for one in seen.split(",")}
        return bool(known & {str(row.version), "*"})
    since = _until(header.of(request, b"if-modified-since") or "")
    return since is not None and fhir.moment(row.updated) <= since


def _until(text: str) -> datetime | None:
    """The last moment of a time as HTTP writes it, to the second, or FHIR in an entry of a Bundle."""
    if "T" in text[:11]:
        with contextlib.suppress(ValueError):
            found = fhir.moment(text)
            return found if found.tzinfo else None
    try:
        found = parsedate_to_datetime(text).replace(microsecond=999_999)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)  # "-0000" says no zone: UTC


def preferred(request: Request) -> str:
    """
    What a write is answered with: minimal, representation or OperationOutcome; "" if nobody says.

    source      https://hl7.org/fhir/R4/http.html#ops, https://www.rfc-editor.org/rfc/rfc7240
    """
    return _RETURNS.get(preference(request, "return"), "")


def preference(request: Request, name: str) -> str:
    """
    What a caller prefers of this name, in lower case; "" if nobody says.

    source      https://www.rfc-editor.org/rfc/rfc7240
    """
    listed = header.listed(request, b"prefer")
    for one in listed.replace(",", ";").split(";") if listed else ():
        said, _, value = one.partition("=")
        if said.strip().lower() == name:
            return value.strip().strip('"').lower()
    return ""


def one(
    request: Request,
    written: Written,
    base: str,
    findings: tuple[Issue, ...] = (),
    *,
    prefer: str,
) -> Response:
    """
    The resource that was asked to be written, first in the answer.

    prefer      as preferred; "" is representation
    source      https://hl7.org/fhir/R4/http.html#create, #update, #delete, #ops (Prefer)
    """
    name = written.answer.names[0]
    row = written.rows.get(name)
    if row is None or not row.stands:
        return Response(status_code=204, headers={"ETag": f'W/"{row.version}"'} if row else {})
    created = name in written.answer.created
    headers = {**validators(row), "Location": f"{base}/{name}/_history/{row.version}"}
    body = row.body
    if prefer == "minimal":
        body = b""
    elif prefer == "OperationOutcome":
        body = fhir.encode(_findings((*written.answer.issues, *findings)))
    return fhir_json(request, body, status=201 if created else 200, headers=headers)


def entry(
    written: Written, name: str, base: str, *, prefer: str, findings: tuple[Issue, ...] = ()
) -> bytes:
    """
    What became of one entry of a transaction or batch, as its answer's entry.

    findings    what there is to say about it, where prefer is OperationOutcome
    """
    row = written.rows.get(name)
    if row is None or not row.stands:
        said: Resource = {"status": "204 No Content"}
        if row:
            said["etag"] = f'W/"{row.version}"'
        return b'{"response":' + fhir.encode(said) + b"}"
    response: Resource = {
        "status": "201 Created" if name in written.answer.created else "200 OK",
        "location": f"{base}/{name}/_history/{row.version}",
        "etag": f'W/"{row.version}"',
        "lastModified": row.updated,
    }
    resource = b',"resource":' + row.body
    if prefer == "OperationOutcome":
        response["outcome"] = _findings(findings)
    if prefer in {"minimal", "OperationOutcome"} or not row.body:
        resource = b""
    head = b'{"fullUrl":' + fhir.encode(f"{base}/{name}")
    return head + resource + b',"response":' + fhir.encode(response) + b"}"


def made_entry(written: Written, base: str) -> bytes:
    """The answer's entry for an operation of a batch: everything that was made, as a Bundle."""
    said = {"status": "200 OK", "outcome": _findings(written.answer.issues)}
    entries = b",".join(_made(written, base))
    bundle = b'{"resourceType":"Bundle","type":"collection","entry":[' + entries
    return b'{"resource":' + bundle + b']},"response":' + fhir.encode(said) + b"}"


def entry_of(resource: bytes) -> bytes:
    """The answer's entry that holds this resource and nothing else, 200."""
    return b'{"resource":' + resource + b',"response":{"status":"200 OK"}}'


def refused_entry(refused: Refusal) -> bytes:
    """The answer's entry for an entry of a batch that was refused."""
    status = f"{refused.status} {HTTPStatus(refused.status).phrase}"
    said = {"status": status, "outcome": refused.outcome()}
    return b'{"response":' + fhir.encode(said) + b"}"


def bundle(request: Request, kind: str, entries: list[bytes], **more: Any) -> Response:
    """A Bundle around entries that are bytes already."""
    return spliced(request, head(kind, **more), ((one,) for one in entries))


def head(kind: str, asked_at: str = "", **more: Any) -> Resource:
    """
    A Bundle but for its entries.

    asked_at    FHIR instant of what had come last when this was read: all that comes later has a later
                one. Only on a first page, as another may miss what came since
    source      https://hl7.org/fhir/R4/bundle.html, meta.lastUpdated
    """
    meta = {"meta": {"lastUpdated": asked_at}} if asked_at else {}
    return {"resourceType": "Bundle", **meta, "type": kind, **more}


def spliced(request: Request, head: Resource, entries: Iterable[Sequence[bytes]]) -> Response:
    """A Bundle and its entries, each in pieces that are bytes already; what is long stays so."""
    pieces, before = [fhir.encode(head)[:-1]], b',"entry":['
    for one in entries:
        pieces += (before, *one)
        before = b","
    pieces.append(b"]}" if before == b"," else b"}")  # no list is empty in FHIR
    if sum(map(len, pieces)) > LONG:
        return Pieces(request, pieces, {"Content-Type": _FHIR_JSON})
    return fhir_json(request, b"".join(pieces))


def all_of(request: Request, written: Written, base: str) -> Response:
    """Every resource that an operation made, and what there is to say about it."""
    entries = _made(written, base)
    if written.answer.issues:
        entries.append(b'{"resource":' + fhir.encode(_findings(written.answer.issues)) + b"}")
    return bundle(request, "collection", entries)


def _made(written: Written, base: str) -> list[bytes]:
    """An entry for each resource of the answer that stands."""
    return [
        b'{"fullUrl":' + fhir.encode(f"{base}/{name}") + b',"resource":' + row.body + b"}"
        for name in written.answer.names
        if (row := written.rows.get(name)) and row.body
    ]


def past(one: Past, base: str, body: bytes) -> tuple[bytes, ...]:
    """
    The entry of a history, in pieces: what a version was and how it came.

    body        as much of it as is shown, b"" for a deletion
    source      https://hl7.org/fhir/R4/http.html#history
    """
    name = f"{one.type}/{one.id}"
    url = one.type if one.method == "POST" else name
    first = "201 Created" if one.version == 1 else "200 OK"
    status = {"DELETE": "204 No Content", "POST": "201 Created"}.get(one.method, first)
    response = {"status": status, "etag": f'W/"{one.version}"', "lastModified": one.updated}
    said = {"request": {"method": one.method, "url": url}, "response": response}
    full_url = b'{"fullUrl":' + fhir.encode(f"{base}/{name}")
    rest = b"," + fhir.encode(said)[1:]
    return (full_url, b',"resource":', body, rest) if body else (full_url, rest)


def _findings(issues: tuple[Issue, ...]) -> Resource:
    done = Issue("information", "informational", "Done, and nothing to remark.")
    return outcome(issues or (done,))
