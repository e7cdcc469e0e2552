"""What comes in: bytes within a limit, JSON, a resource, and the entries of a change."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import parse_qs, unquote

from starlette.requests import ClientDisconnect, Request

from app import fhir
from app.api.resource_types import RESOURCE_TYPES
from app.domain.plan import Entry
from app.errors import (
    Invalid,
    Malformed,
    NotFound,
    NotSupported,
    Stale,
    TooLarge,
    Unavailable,
    WrongMediaType,
)
from app.fhir import Resource

_MEDIA: Final = frozenset({"application/fhir+json", "application/json", "application/json+fhir"})
_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")  # https://hl7.org/fhir/R4/datatypes.html#id
_ETAG: Final = re.compile(r'(?:W/)?"?(\d+)"?')
_BUNDLES: Final = frozenset({"batch", "collection", "transaction"})


async def resource(request: Request, *, most: int) -> Resource:
    """
    The resource in the body.

    most        bytes
    raises      WrongMediaType, TooLarge, Malformed, NotFound (a type that R4 does not have)
    """
    media = request.headers.get("Content-Type", "").split(";", 1)[0].strip().lower()
    if media not in _MEDIA:
        raise WrongMediaType("Send application/fhir+json in UTF-8.")
    return resource_of(fhir.decode(await _bytes(request, most)))


async def _bytes(request: Request, most: int) -> bytes:
    length = request.headers.get("Content-Length", "")
    if length.isdigit() and int(length) > most:
        raise TooLarge(f"The body may have {most} bytes.")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise TooLarge(f"The body may have {most} bytes.")
    except ClientDisconnect:
        raise Unavailable("The body did not arrive whole.") from None
    return bytes(body)


def resource_of(value: Any, at: str = "") -> Resource:
    """
    The value, if it is a resource of R4 with an id that can stand in a URL.

    at          FHIRPath of the place where it stands, "" for the body itself
    """
    if not isinstance(value, dict) or not isinstance(value.get("resourceType"), str):
        raise Malformed("This is no resource: it has no resourceType.", expression=at)
    type_of(value["resourceType"], at)
    if "id" in value and (not isinstance(value["id"], str) or not _ID.fullmatch(value["id"])):
        text = "An id has 1 to 64 letters, digits, hyphens and dots."
        raise Malformed(text, expression=f"{at or value['resourceType']}.id")
    if "meta" in value and not isinstance(value["meta"], dict):
        raise Malformed("meta is an object.", expression=f"{at or value['resourceType']}.meta")
    return value


def type_of(name: str, at: str = "") -> str:
    if name not in RESOURCE_TYPES:
        raise NotFound("FHIR R4 has no resource type of this name.", expression=at)
    return name


def id_of(text: str) -> str:
    if not _ID.fullmatch(text):
        raise NotFound("No resource has such an id.")
    return text


def version_of(if_match: str | None) -> int | None:
    """The version in If-Match, quoted or not: real clients send both."""
    if if_match is None:
        return None
    found = _ETAG.fullmatch(if_match.strip())
    if found is None:
        raise Stale('If-Match is not a version id such as W/"1".')
    return int(found[1])


def condition_of(if_none_exist: str | None, kind: str) -> tuple[str, str] | None:
    """System and value of identifier=system|value, the one condition that can be met yet."""
    if if_none_exist is None:
        return None
    query = parse_qs(if_none_exist.removeprefix(f"{kind}?"), keep_blank_values=True)
    values = query.get("identifier", [])
    if list(query) != ["identifier"] or len(values) != 1 or "|" not in values[0]:
        raise NotSupported("If-None-Exist takes identifier=system|value, and nothing else yet.")
    system, _, value = values[0].partition("|")
    return system, value


def entries(bundle: Resource) -> tuple[Entry, ...]:
    """
    The entries of a Bundle; those of a collection are created, or updated where they have an id.

    raises      Malformed, NotSupported: with the entry's location
    source      https://hl7.org/fhir/R4/http.html#transaction
    """
    if bundle["resourceType"] != "Bundle" or bundle.get("type") not in _BUNDLES - {"batch"}:
        raise Invalid("Send a Bundle of type transaction or collection.", expression="Bundle.type")
    listed = bundle.get("entry", [])
    if not isinstance(listed, list):
        raise Malformed("Bundle.entry is a list.", expression="Bundle.entry")
    return tuple(
        _entry(one, f"Bundle.entry[{index}]", collected=bundle["type"] == "collection")
        for index, one in enumerate(listed)
    )


def _entry(entry: Any, at: str, *, collected: bool) -> Entry:
    if not isinstance(entry, dict):
        raise Malformed("An entry is an object.", expression=at)
    full_url = str(entry.get("fullUrl", ""))
    asked = entry.get("request")
    if collected or not isinstance(asked, dict):
        if not collected:
            raise Malformed("An entry of a transaction has a request.", expression=f"{at}.request")
        resource = resource_of(entry.get("resource"), f"{at}.resource")
        identity = resource.get("id", "")
        return Entry("PUT" if identity else "POST", resource, identity, full_url)
    method, url = asked.get("method"), asked.get("url")
    if not isinstance(method, str) or not isinstance(url, str):
        raise Malformed("A request has a method and a url.", expression=f"{at}.request")
    resource = resource_of(entry.get("resource"), f"{at}.resource")
    kind, _, identity = unquote(url).strip("/").partition("/")
    if kind != resource["resourceType"] or "?" in url or "/" in identity:
        text = "The url must be Type or Type/id, of the resource's own type."
        raise NotSupported(text, expression=f"{at}.request.url")
    if_match = version_of(asked.get("ifMatch"))
    if method == "POST" and not identity:
        condition = condition_of(asked.get("ifNoneExist"), kind)
        return Entry("POST", resource, "", full_url, if_none_exist=condition)
    if method == "PUT" and identity:
        id_of(identity)
        return Entry("PUT", resource, identity, full_url, if_match)
    text = "A transaction takes POST Type and PUT Type/id; nothing else yet."
    raise NotSupported(text, expression=f"{at}.request.method")
