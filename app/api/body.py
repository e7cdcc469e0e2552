"""What comes in: bytes within a limit, JSON, a resource, and the entries of a change."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import replace
from typing import Any, Final
from urllib.parse import parse_qs, unquote

from starlette.requests import ClientDisconnect, Request

from app import fhir
from app.api import encoding
from app.api.resource_types import RESOURCE_TYPES
from app.domain import patch
from app.domain.patch import Patch
from app.domain.plan import Entry, Method
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
_JSON_PATCH: Final = "application/json-patch+json"
_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")  # https://hl7.org/fhir/R4/datatypes.html#id
_ETAG: Final = re.compile(r'(?:W/)?"?([0-9]{1,9})"?')
_BUNDLES: Final = frozenset({"batch", "collection", "transaction"})


async def resource(request: Request, *, most: int) -> Resource:
    """
    The resource in the body.

    most        bytes
    raises      WrongMediaType, TooLarge, Malformed, NotFound (a type that R4 does not have)
    """
    if _media(request) not in _MEDIA:
        raise WrongMediaType("Send application/fhir+json in UTF-8.")
    return resource_of(fhir.decode(await _bytes(request, most)))


async def json(request: Request, *, most: int) -> Any:
    """
    The JSON in the body, a resource or not.

    raises      WrongMediaType, TooLarge, Malformed
    """
    if _media(request) not in _MEDIA:
        raise WrongMediaType("Send application/json or application/fhir+json in UTF-8.")
    return fhir.decode(await _bytes(request, most))


def _media(request: Request) -> str:
    return request.headers.get("Content-Type", "").split(";", 1)[0].strip().lower()


async def _bytes(request: Request, most: int) -> bytes:
    length = request.headers.get("Content-Length", "")
    if length.isdigit() and int(length) > most:
        raise TooLarge(f"The body may have {most} bytes.")
    arriving = encoding.Unpacking(request.headers.get("Content-Encoding", ""), most)
    try:
        async for chunk in request.stream():
            arriving.add(chunk)
    except ClientDisconnect:
        raise Unavailable("The body did not arrive whole.") from None
    return arriving.end()


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
    query = parse_qs(str(if_none_exist).removeprefix(f"{kind}?"), keep_blank_values=True)
    values = query.get("identifier", [])
    if list(query) != ["identifier"] or len(values) != 1 or "|" not in values[0]:
        raise NotSupported("A condition is identifier=system|value, and nothing else yet.")
    system, _, value = values[0].partition("|")
    return system, value


def entries(bundle: Resource) -> tuple[Entry, ...]:
    """
    The entries of a collection, a transaction or a batch; those of a collection are created, or
    updated where they have an id.

    raises      Malformed, NotSupported: with the entry's location
    source      https://hl7.org/fhir/R4/http.html#transaction
    """
    kind = bundle.get("type")
    if bundle["resourceType"] != "Bundle" or kind not in _BUNDLES:
        raise Invalid("Send a Bundle of one of these types: " + ", ".join(sorted(_BUNDLES)) + ".",
                      expression="Bundle.type")  # fmt: skip
    listed = bundle.get("entry", [])
    if not isinstance(listed, list):
        raise Malformed("Bundle.entry is a list.", expression="Bundle.entry")
    made = _collected if kind == "collection" else entry
    return tuple(made(one, f"Bundle.entry[{index}]") for index, one in enumerate(listed))


def _collected(entry: Any, at: str) -> Entry:
    if not isinstance(entry, dict):
        raise Malformed("An entry is an object.", expression=at)
    resource = resource_of(entry.get("resource"), f"{at}.resource")
    identity = resource.get("id", "")
    return Entry(
        "PUT" if identity else "POST",
        resource,
        identity,
        str(entry.get("fullUrl", "")),
        at=f"{at}.resource",
    )


def _method(asked: Resource) -> Method | None:
    """The method of a request, None for one that no Bundle takes."""
    methods: tuple[Method, ...] = ("GET", "POST", "PUT", "PATCH", "DELETE")
    return next((method for method in methods if method == asked.get("method")), None)


def entry(entry: Any, at: str) -> Entry:
    """
    One entry of a transaction or a batch.

    raises      Malformed, NotSupported, NotFound: with the place in the entry
    """
    if not isinstance(entry, dict):
        raise Malformed("An entry is an object.", expression=at)
    asked = entry.get("request")
    if not isinstance(asked, dict):
        raise Malformed("An entry of such a Bundle has a request.", expression=f"{at}.request")
    method, url = _method(asked), asked.get("url")
    if not isinstance(asked.get("method"), str) or not isinstance(url, str):
        raise Malformed("A request has a method and a url.", expression=f"{at}.request")
    path, _, query = url.partition("?")
    kind, _, identity = unquote(path).strip("/").partition("/")
    type_of(kind, f"{at}.request.url")
    if identity:
        id_of(identity.split("/_history/", 1)[0])
    made = Entry(
        "GET",
        {"resourceType": kind, **({"id": identity} if identity else {})},
        identity,
        str(entry.get("fullUrl", "")),
        if_match=version_of(asked.get("ifMatch")),
        condition=condition_of(query, kind) if query else None,
        at=f"{at}.resource",
    )
    if method == "GET" or (method == "DELETE" and (identity or query)):
        return replace(made, method=method)
    if method == "PATCH" and (identity or query):
        change = patch_of(resource_of(entry.get("resource"), f"{at}.resource"))
        return replace(made, method=method, patch=change)
    if (
        method is None
        or method not in {"POST", "PUT"}
        or (method == "POST") is bool(identity or query)
    ):
        text = "An entry is GET, POST Type, PUT, PATCH or DELETE Type/id or Type?identifier=…"
        raise NotSupported(text, expression=f"{at}.request.method")
    return _placed(made, method, resource_of(entry.get("resource"), f"{at}.resource"), asked, at)


def _placed(made: Entry, method: Method, resource: Resource, asked: Any, at: str) -> Entry:
    """POST Type, PUT Type/id or PUT Type?identifier=…, of a resource of that type."""
    if made.type != resource["resourceType"]:
        raise NotSupported("The url is of another type.", expression=f"{at}.request.url")
    if method == "POST":
        condition = condition_of(asked.get("ifNoneExist"), made.type)
        return replace(made, method=method, resource=resource, if_none_exist=condition)
    if made.id and resource.get("id", made.id) != made.id:
        raise Malformed("The id is another than the url's.", expression=f"{at}.resource.id")
    return replace(made, method=method, resource=resource, id=made.id or resource.get("id", ""))


def patch_of(sent: Resource) -> Patch:
    """The patch that a Parameters holds, or a Binary with a JSON Patch in it, as in a Bundle."""
    if sent["resourceType"] == "Parameters":
        return patch.fhirpath_patch(sent)
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
    media = _media(request)
    if media == _JSON_PATCH:
        return patch.json_patch(fhir.decode(await _bytes(request, most)))
    if media not in _MEDIA:
        raise WrongMediaType(f"Send {_JSON_PATCH}, or a Parameters as application/fhir+json.")
    return patch_of(resource_of(fhir.decode(await _bytes(request, most))))
