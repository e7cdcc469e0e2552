"""Binary: any content as it is, in and out, or as the FHIR resource around it."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from app.api import body, header, responses
from app.api.pieces import Pieces
from app.conformance import Definitions
from app.domain.change import Caller
from app.errors import Forbidden
from app.fhir import Resource
from app.storage.resources import Version

_AS_FHIR: Final = frozenset(
    {"application/fhir+json", "application/fhir+xml", "application/json+fhir",
     "application/xml+fhir"}
)  # fmt: skip
_ANY: Final = "application/octet-stream"
_MEDIA_TYPE: Final = re.compile(
    r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(?:\s?;\s?[\w!#$&^.+-]+=\"?[\w.+/-]+\"?)*", re.ASCII
)
_CHUNK: Final = 2**18  # characters of base64, a multiple of 4
_CONTEXT: Final = re.compile(r"(?:.*/)?([A-Z][A-Za-z]+)/[^/]+(?:/_history/[^/]+)?", re.DOTALL)
# A stored page must not run as one of ours in somebody's browser.
_GUARD: Final = {
    "Content-Disposition": "attachment",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Vary": "Accept",
    "X-Content-Type-Options": "nosniff",
}


class _Reference(msgspec.Struct):
    reference: str = ""


class _Binary(msgspec.Struct):
    """What we look at; the rest is not taken apart."""

    contentType: str = _ANY  # noqa: N815 — FHIR's spelling
    data: str = ""
    securityContext: _Reference | None = None  # noqa: N815 — as above


_read: Final = msgspec.json.Decoder(_Binary).decode


def is_raw(request: Request) -> bool:
    """Whether what is sent to Binary is content, and not the resource around it."""
    return body.media(request) not in _AS_FHIR | {"application/json"}


def is_quiet(request: Request) -> bool:
    """Whether content that came as it is goes back to nobody: no FHIR is named in Accept."""
    return is_raw(request) and not _as_fhir(header.every(request, b"accept"), "")


async def sent(request: Request, *, identity: str = "", most: int) -> Resource:
    """
    The content that was sent, as a Binary.

    most        bytes
    raises      TooLarge
    source      https://hl7.org/fhir/R4/binary.html#rest
    """
    content_type = request.headers.get("Content-Type", "").strip() or _ANY
    content = await body.content(request, most)
    made: Resource = {"resourceType": "Binary", "contentType": content_type}
    if identity:
        made["id"] = identity
    if context := request.headers.get("X-Security-Context"):
        made["securityContext"] = {"reference": context}
    if content:
        encoded = binascii.b2a_base64(content, newline=False)
        del content
        made["data"] = encoded.decode("ascii")
    return made


def may(caller: Caller, stored: bytes) -> bool:
    """As permit, for what is left out where it may not be read."""
    try:
        permit(caller, stored)
    except Forbidden:
        return False
    return True


def permit(caller: Caller, stored: bytes) -> None:
    """
    Who may not read what a Binary belongs to may not read the Binary.

    raises      Forbidden
    source      https://hl7.org/fhir/R4/binary-definitions.html#Binary.securityContext
    """
    if caller.scopes is None or b'"securityContext"' not in stored:
        return
    context = _read(stored).securityContext
    if context and context.reference:
        found = _CONTEXT.fullmatch(context.reference)
        caller.must("r", found[1] if found else "*")


def answer(request: Request, row: Version, caller: Caller, definitions: Definitions) -> Response:
    """
    The content as it is, unless the FHIR form is asked for.

    raises      Forbidden: as permit
    source      https://hl7.org/fhir/R4/binary.html#rest
    """
    permit(caller, row.body)
    if request.scope["query_string"] and {"_format", "_summary", "_elements"} & set(
        request.query_params
    ):
        return responses.read(request, row, definitions)
    found = _read(row.body)
    if _as_fhir(header.every(request, b"accept"), found.contentType):
        return responses.read(request, row, definitions)
    headers = {**responses.validators(row), **responses.ASKED_AGAIN, **_GUARD}
    if responses.is_known(request, row):
        return Response(status_code=304, headers=headers)
    is_safe = _MEDIA_TYPE.fullmatch(found.contentType)
    headers["Content-Type"] = found.contentType if is_safe else _ANY
    if not found.data.isascii() or len(found.data) % 4 or re.search(r"\s", found.data):
        return Response(binascii.a2b_base64(found.data), headers=headers)
    length = len(found.data) // 4 * 3 - found.data[-2:].count("=")
    return Pieces(request, _decoded(found.data), headers, length=length, packs=False)


def _decoded(data: str) -> Iterator[bytes]:
    for start in range(0, len(data), _CHUNK):
        yield binascii.a2b_base64(data[start : start + _CHUNK])


def _as_fhir(accept: str, content_type: str) -> bool:
    """Whether the FHIR form is named, and not less wanted than the content's own type."""
    own = content_type.partition(";")[0].strip().lower()
    fhir = raw = 0.0
    for one in accept.lower().split(","):
        name, *more = (part.strip() for part in one.split(";"))
        quality = next((_quality(part) for part in more if part.startswith("q=")), 1.0)
        if name == own:
            raw = max(raw, quality)
        elif name in _AS_FHIR or name == "application/json":
            fhir = max(fhir, quality)
    return fhir > 0 and fhir >= raw


def _quality(text: str) -> float:
    try:
        return float(text.removeprefix("q="))
    except ValueError:
        return 0.0
