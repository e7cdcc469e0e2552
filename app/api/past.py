"""History over HTTP: since when, how many, and the page that follows."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from app import fhir
from app.api import body, responses
from app.domain.plan import Caller
from app.errors import Malformed
from app.flows import read
from app.flows.service import Service
from app.settings import Shelf

_OF: Final[tuple[str, ...]] = ("type", "id")
_PAGE: Final = 100
_MOST: Final = 1000
_KNOWN: Final = frozenset({"_since", "_count", "_page", "_format", "_pretty"})
_DATE: Final = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")
_SEAL_BYTES: Final = 16


async def history(
    service: Service, request: Request, shelf: Shelf, caller: Caller, *, base: str
) -> Response:
    """
    One page of versions, newest first.

    raises      Malformed: a parameter that is not known, or not understood
    source      https://hl7.org/fhir/R4/http.html#history
    """
    params = request.query_params
    if unknown := sorted(params.keys() - _KNOWN):
        raise Malformed(f"History does not know: {', '.join(unknown)}.")
    of: dict[str, str] = {
        name: request.path_params[name] for name in _OF if name in request.path_params
    }
    if "type" in of:
        body.type_of(of["type"])
    if "id" in of:
        body.id_of(of["id"])
    since, most = _since(params.get("_since", "")), _most(params.get("_count", str(_PAGE)))
    after = _opened(params["_page"], service.key) if "_page" in params else None
    found = await read.past(service, shelf, caller, of=of, since=since, after=after, most=most)
    here = "/".join([base, *of.values(), "_history"])
    links = [{"relation": "self", "url": _url(here, params, None)}]
    if found.more and found.page:
        sealed = _sealed(found.page[-1].place, service.key)
        links.append({"relation": "next", "url": _url(here, params, sealed)})
    return responses.past(request, found.page, base, total=found.total, link=links)


def _since(text: str) -> str:
    """A FHIR instant, or a date, as the instant in UTC that storage compares with."""
    if not text:
        return ""
    try:
        if _DATE.fullmatch(text):
            year, month, day = [*text.split("-"), "1", "1"][:3]
            return fhir.instant(datetime(int(year), int(month), int(day), tzinfo=UTC))
        moment = fhir.moment(text.replace(" ", "+"))
    except ValueError:
        raise Malformed("_since is an instant, as in 2026-11-23T09:15:00Z.") from None
    if moment.tzinfo is None:
        raise Malformed("_since has a time zone.")
    return fhir.instant(moment)


def _most(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise Malformed("_count is a number.")
    return min(int(text[:9]), _MOST)


def _url(here: str, params: Any, page: str | None) -> str:
    kept = {name: params[name] for name in ("_since", "_count") if name in params}
    if page:
        kept["_page"] = page
    query = "&".join(f"{name}={value.replace('+', '%2B')}" for name, value in kept.items())
    return f"{here}?{query}" if query else here


def _sealed(place: tuple[str, str, str, int], key: bytes) -> str:
    """A place that a caller can hand back and cannot make up."""
    said = msgspec.json.encode(place)
    seal = hmac.digest(key, b"history" + said, hashlib.sha256)[:_SEAL_BYTES]
    return base64.urlsafe_b64encode(seal + said).decode().rstrip("=")


def _opened(page: str, key: bytes) -> tuple[str, str, str, int]:
    try:
        raw = base64.urlsafe_b64decode(page + "=" * (-len(page) % 4))
    except (binascii.Error, ValueError):
        raw = b""
    seal, said = raw[:_SEAL_BYTES], raw[_SEAL_BYTES:]
    if not hmac.compare_digest(
        seal, hmac.digest(key, b"history" + said, hashlib.sha256)[:_SEAL_BYTES]
    ):
        raise Malformed("_page is not one that this service has handed out.")
    return msgspec.json.decode(said, type=tuple[str, str, str, int])
