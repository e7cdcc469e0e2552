"""What comes in: bytes within a limit, JSON, a resource, and the entries of a change."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.types import Message

from app import fhir
from app.api import encoding, header
from app.api.resource_types import RESOURCE_TYPES
from app.conformance import shape
from app.domain import fhirpath_patch, patch
from app.domain.patch import Patch
from app.errors import (
    Issue,
    Malformed,
    NotFound,
    NotSupported,
    Stale,
    TooLarge,
    TooSlow,
    Unavailable,
    WrongMediaType,
)
from app.fhir import Resource
from app.flows import room
from app.flows.aside import LARGE, LONG, Aside
from app.flows.room import Moving, Rooms
from app.formats import xml
from app.formats.xml import Find

_MEDIA: Final = frozenset(
    {"application/fhir+json", "application/json", "application/json+fhir", "text/json"}
)
_XML: Final = frozenset({"application/fhir+xml", "application/xml", "text/xml"})
_JSON_PATCH: Final = "application/json-patch+json"
_MERGE_PATCH: Final = "application/merge-patch+json"
_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")  # https://hl7.org/fhir/R4/datatypes.html#id
_CHARSET: Final = re.compile(r';\s*charset="?([\w.:-]+)', re.ASCII | re.IGNORECASE)
# https://hl7.org/fhir/R4/http.html#version-parameter
_VERSION: Final = re.compile(r';\s*fhirVersion="?([\w.-]+)', re.ASCII | re.IGNORECASE)
_ETAG: Final = re.compile(r'(?:W/)?"?([1-9][0-9]{0,8})"?')
_WORKED: Final = 6  # times its size, as it came, decoded, as it is stored and as the driver has it
# What 10 MiB of observations have. Ten thousand `{}` are 20 KiB of JSON, and a MiB in memory.
_MOST_VALUES: Final = 600_000
_ELEMENT: Final = 700  # bytes in memory of an element of XML, of an attribute a quarter
_MOST_ELEMENTS: Final = 120_000
_MOST_ATTRIBUTES: Final = 300_000
MANY_PATHS: Final = 2**14  # bytes of a patch, of which the paths take some 50 ms to read
_PLAIN: Final = "kinbridge.plain"  # where a request keeps whether its JSON is
_MARKS: Final = (b",", b"{", b"[")
_FORM_OF_ID: Final = "An id has 1 to 64 letters, digits, hyphens and dots."
_NO_OPERATION: Final = "There is no such operation here, or not by this method; see the metadata."


async def resource(request: Request, *, most: int) -> Resource:
    """
    The resource in the body.

    most        bytes
    raises      WrongMediaType, TooLarge, Malformed, NotFound (a type that R4 does not have)
    """
    if media(request) not in _MEDIA:
        raise WrongMediaType("Send application/fhir+json in UTF-8.")
    return resource_of(await _decoded(request, await content(request, most)))


async def resource_if_any(request: Request, *, most: int) -> Resource:
    """As resource; {} without a body, of whatever media type that is said to be."""
    raw = await content(request, most)
    if raw and media(request) not in _MEDIA:
        raise WrongMediaType("Send application/fhir+json in UTF-8, or nothing.")
    return resource_of(await _decoded(request, raw)) if raw else {}


async def json(request: Request, *, most: int) -> Any:
    """
    The JSON in the body, a resource or not.

    raises      WrongMediaType, TooLarge, Malformed
    """
    if media(request) not in _MEDIA:
        raise WrongMediaType("Send application/json or application/fhir+json in UTF-8.")
    return await _decoded(request, await content(request, most))


async def _decoded(request: Request, raw: bytes) -> Any:
    """
    The JSON that the bytes are.

    raises      Malformed; TooLarge: it has too many values
                WrongMediaType: it is said to be in another character set, which would be misread
                where it is more than ASCII
    source      https://hl7.org/fhir/R4/http.html#mime-type
    """
    if not raw:
        raise Malformed("The body is empty; send JSON.")
    if len(raw) > room.FREE and sum(map(raw.count, _MARKS)) > _MOST_VALUES:
        raise TooLarge(f"The body may have some {_MOST_VALUES} values; send it in several.")
    said = header.of(request, b"content-type") or ""
    if (version := _VERSION.search(said)) and not version[1].startswith("4.0"):
        raise WrongMediaType("This is FHIR R4: send fhirVersion=4.0, or leave it out.")
    if not raw.isascii() and _charset(said) not in {"", "utf-8", "utf8"}:
        raise WrongMediaType("FHIR's JSON is UTF-8; send it so, and say charset=utf-8 or nothing.")
    if len(raw) > LONG:
        made = request.scope[LARGE] = await request.app.aside.run(partial(fhir.decode, raw))
        return made
    request.scope[_PLAIN] = shape.plain(raw)
    return fhir.decode(raw)


def is_long(request: Request) -> bool:
    """Whether what came in its body takes so long that others would wait."""
    return LARGE in request.scope


def is_plain(request: Request) -> bool:
    """Whether the JSON in its body was, as Change.plain has it."""
    return request.scope.get(_PLAIN, False) is True


def _charset(content_type: str) -> str:
    found = _CHARSET.search(content_type)
    return found[1].lower() if found else ""


async def form(request: Request, *, most: int) -> bytes:
    """
    The form of a search in the body; nothing where there is none.

    raises      WrongMediaType, TooLarge
    """
    sent = await content(request, most)
    if sent and media(request) != "application/x-www-form-urlencoded":
        raise WrongMediaType("Send a search as application/x-www-form-urlencoded.")
    return sent


async def checked(request: Request, *, most: int, find: Find) -> tuple[Any, tuple[Issue, ...]]:
    """
    What is to be looked at, in JSON or XML, and what is wrong with it as XML; None without a body.

    find        type name to its structure, by which XML is read; raises KeyError
    raises      WrongMediaType, TooLarge, Malformed
    """
    raw = await content(request, most)
    if not raw:
        return None, ()
    if is_xml(request):
        if raw.count(b"=") > _MOST_ATTRIBUTES:
            raise TooLarge(f"The XML may have some {_MOST_ATTRIBUTES} attributes.")
        rooms: Rooms = request.app.rooms
        await room.take(rooms, rooms.work, _ELEMENT * raw.count(b"<"))
        read = partial(xml.read, raw, find, _MOST_ELEMENTS)
        document = await request.app.aside.run(read)
        if len(raw) > LONG:
            request.scope[LARGE] = document.resource
        return document.resource, document.issues
    if media(request) not in _MEDIA:
        raise WrongMediaType("Send application/fhir+json or application/fhir+xml, in UTF-8.")
    return await _decoded(request, raw), ()


def is_xml(request: Request) -> bool:
    return media(request) in _XML


def media(request: Request) -> str:
    return (header.of(request, b"content-type") or "").split(";", 1)[0].strip().lower()


async def content(request: Request, most: int) -> bytes:
    """
    The bytes of the body, unpacked. What is large takes room in memory, and waits for it.

    raises      TooLarge, Malformed, TooSlow, WrongMediaType: its Content-Encoding
                Unavailable: others send so much that there is no room, or it did not arrive whole
    """
    length = header.of(request, b"content-length") or ""
    announced = int(length) if length.isdigit() else 0
    if announced > most:
        raise TooLarge(f"The body may have {most} bytes.")
    packed = header.of(request, b"content-encoding") or ""
    message: Message = {"more_body": True}
    if announced <= room.FREE:
        message = await _part(request)
        if not (packed or message.get("more_body")) and len(message.get("body", b"")) <= most:
            whole: bytes = message.get("body", b"")
            return whole  # as most come
    arriving = encoding.Unpacking(packed, most)
    expected = announced if announced and not packed else most
    rooms: Rooms = request.app.rooms
    try:
        async with asyncio.timeout(rooms.seconds(expected)) as limit:
            await _arrive(request, message, arriving, Moving(limit, expected))
    except TimeoutError:
        raise TooSlow("The body came too slowly; send it again, in parts or packed.") from None
    whole = arriving.end()
    await room.take(rooms, rooms.work, _WORKED * len(whole))
    return whole


async def _arrive(
    request: Request, message: Message, arriving: encoding.Unpacking, body: Moving
) -> None:
    """The body from this part on; it takes room as it comes."""
    rooms: Rooms = request.app.rooms
    rooms.way.begin(body)
    try:
        while True:
            arriving.add(message.get("body", b""))
            body.moved = len(arriving.body)
            await room.hold(rooms, body, body.moved)
            if not message.get("more_body"):
                return
            message = await _part(request)
    finally:
        rooms.way.end(body)


async def _part(request: Request) -> Message:
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise Unavailable("The body did not arrive whole.")
    return message


def resource_of(value: Any, at: str = "") -> Resource:
    """
    The value, if it is a resource of R4 with an id that can stand in a URL.

    at          FHIRPath of the place where it stands, "" for the body itself
    """
    if not isinstance(value, dict) or not isinstance(value.get("resourceType"), str):
        raise Malformed("This is no resource: it has no resourceType.", expression=at)
    type_of(value["resourceType"], at)
    if "id" in value and (not isinstance(value["id"], str) or not _ID.fullmatch(value["id"])):
        raise Malformed(_FORM_OF_ID, expression=f"{at or value['resourceType']}.id")
    if "meta" in value and not isinstance(value["meta"], dict):
        raise Malformed("meta is an object.", expression=f"{at or value['resourceType']}.meta")
    return value


def type_of(name: str, at: str = "") -> str:
    if name.startswith("$"):
        raise NotFound(_NO_OPERATION, expression=at)
    if name not in RESOURCE_TYPES:
        raise NotFound("FHIR R4 has no resource type of this name.", expression=at)
    return name


def id_of(text: str, at: str = "") -> str:
    if text.startswith("$"):
        raise NotFound(_NO_OPERATION, expression=at)
    if not _ID.fullmatch(text):
        raise NotFound("No resource has such an id.", expression=at)
    return text


def new_id_of(text: str, at: str = "") -> str:
    """
    An id under which something is to stand.

    raises      Malformed: nothing can
    source      https://hl7.org/fhir/R4/http.html#update: 400
    """
    if not _ID.fullmatch(text) and not text.startswith("$"):
        raise Malformed(_FORM_OF_ID, expression=at)
    return id_of(text, at)


def guard(if_match: str, if_none_match: str, at: str = "") -> tuple[int, ...] | None:
    """
    What must stand for a write, as Entry.if_match has it; version ids quoted or not, as clients send.

    raises      Stale: If-Match names no version that could stand
                Malformed: If-None-Match names versions, and no write here depends on those
    source      https://www.rfc-editor.org/rfc/rfc9110#section-13.1
    """
    if if_none_match.strip() not in ("", "*"):
        text = "If-None-Match of a write is *; name the version that must stand in If-Match."
        raise Malformed(text, expression=at and f"{at}.ifNoneMatch")
    if if_none_match.strip():
        return (0,)
    if if_match.strip() in ("", "*"):
        return () if if_match.strip() else None
    versions = tuple(
        int(found[1]) for one in if_match.split(",") if (found := _ETAG.fullmatch(one.strip()))
    )
    if not versions:
        raise Stale(
            'If-Match is not a version id such as W/"1".', expression=at and f"{at}.ifMatch"
        )
    return versions


def patch_of(sent: Resource) -> Patch:
    """The patch that a Parameters holds, or a Binary with a JSON Patch in it, as in a Bundle."""
    if sent["resourceType"] == "Parameters":
        return fhirpath_patch.fhirpath_patch(sent)
    if sent["resourceType"] == "Binary" and sent.get("contentType") == _JSON_PATCH:
        try:
            return patch.json_patch(fhir.decode(base64.b64decode(str(sent.get("data", "")))))
        except binascii.Error:
            raise Malformed("Binary.data is base64.", expression="Binary.data") from None
    raise NotSupported("A patch is Parameters (FHIRPath Patch) or a Binary with a JSON Patch.")


async def patch_in(request: Request, *, most: int) -> Patch:
    """
    The patch in the body, by its media type.

    raises      WrongMediaType, TooLarge, Malformed
    """
    sent_as = media(request)
    if sent_as not in {_JSON_PATCH, _MERGE_PATCH, *_MEDIA}:
        raise WrongMediaType(
            f"Send {_JSON_PATCH}, {_MERGE_PATCH}, or a Parameters as application/fhir+json."
        )
    raw = await content(request, most)
    sent = await _decoded(request, raw)
    aside: Aside = request.app.aside
    return await aside.run(partial(_patch, sent, sent_as), long=len(raw) > MANY_PATHS)


def _patch(sent: Any, sent_as: str) -> Patch:
    if sent_as == _JSON_PATCH:
        return patch.json_patch(sent)
    if sent_as == _MERGE_PATCH:
        return patch.merge_patch(sent)
    # under the media type of any JSON, clients send each of the three
    if isinstance(sent, list):
        return patch.json_patch(sent)
    if isinstance(sent, dict) and "resourceType" not in sent:
        return patch.merge_patch(sent)
    return patch_of(resource_of(sent))
