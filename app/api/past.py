"""History over HTTP: since when or at what time, how many, and the pages beside."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from app import fhir
from app.api import binary, body, responses, sealing, view
from app.domain.change import Caller
from app.errors import Malformed
from app.flows import read
from app.flows.read import History
from app.flows.service import Service
from app.settings import Shelf
from app.storage import escaping
from app.storage.history import FIRST, Asked, Turn

_OF: Final[tuple[str, ...]] = ("type", "id")
_PAGE: Final = 100
_MOST: Final = 1000
_KNOWN: Final = frozenset({"_since", "_at", "_count", "_page"}) | view.NAMES
_KEPT: Final = ("_since", "_at", "_count", "_summary", "_elements", "_format", "_pretty")
_DATE: Final = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?")
_SECONDS: Final = 2  # colons before the zone in a time that has seconds
_NEVER: Final = "9999"


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
    if any(len(params.getlist(name)) > 1 for name in _KNOWN - {"_elements", "_at"}):
        raise Malformed("Each parameter of a history but _elements and _at stands once.")
    of: dict[str, str] = {
        name: request.path_params[name] for name in _OF if name in request.path_params
    }
    if "type" in of:
        body.type_of(of["type"])
    if "id" in of:
        body.id_of(of["id"])
    shown = view.asked(params)
    asked = Asked(of, _since(params.get("_since", "")), _at(params.getlist("_at")))
    most = 0 if shown.summary == "count" else _most(params.get("_count", str(_PAGE)))
    of_this = _url("/".join([shelf.key, *of.values(), "_history"]), params, "")
    page, turn = params.get("_page", ""), FIRST
    if page:
        turn = msgspec.json.decode(sealing.opened(page, service.key, of=of_this), type=Turn)
    found = await read.past(service, shelf, caller, asked=asked, turn=turn, most=most)
    here = "/".join([base, *of.values(), "_history"])
    links = [
        {"relation": relation, "url": _url(here, params, beside)}
        for relation, beside in (
            ("self", page),
            ("first", ""),
            *_beside(found, service.key, of_this),
        )
    ]
    for one in found.page:
        if one.type == "Binary" and one.body:
            binary.permit(caller, one.body)
    entries = (
        responses.past(one, base, shown.of(service.definitions, one.body) if one.body else b"")
        for one in found.page
    )
    total = {} if found.total is None else {"total": found.total}
    head = responses.head("history", found.asked_at if not page else "", **total, link=links)
    return responses.spliced(request, head, entries)


def _since(text: str) -> str:
    """A FHIR instant, or a date, as the instant in UTC that storage compares with."""
    return _period(text, "_since")[0] if text else ""


def _at(texts: list[str]) -> tuple[str, str] | None:
    """
    Dates or dateTimes as the time that they mean: its first instant, and the first after it.

    Where it ends before it begins, a version that stood at both is one of those that are meant.

    source      https://hl7.org/fhir/R4/http.html#history; its prefixes, https://hl7.org/fhir/R4/search.html#prefix
    """
    begin, end = "", _NEVER
    for text in texts:
        prefix, said = escaping.prefixed(text)
        low, high = _period(said, "_at")
        if prefix in {"ne", "ap"}:
            raise Malformed("_at takes the prefixes eq, ge, gt, sa, le, lt and eb.")
        if prefix in {"eq", "ge", "gt", "sa"}:
            begin = max(begin, low if prefix in {"eq", "ge"} else high)
        if prefix in {"eq", "le", "lt", "eb"}:
            end = min(end, high if prefix in {"eq", "le"} else low)
    return (begin, end) if texts else None


def _period(text: str, name: str) -> tuple[str, str]:
    try:
        if found := _DATE.fullmatch(text):
            year, month, day = (int(part) if part else 0 for part in found.groups())
            begin = datetime(year, month or 1, day or 1, tzinfo=UTC)
            if day:
                end = begin + timedelta(days=1)
            elif month:
                end = (begin + timedelta(days=31)).replace(day=1)
            else:
                end = begin.replace(year=year + 1)
        else:
            begin = fhir.moment(text.replace(" ", "+"))  # a + that was not written as %2B
            parts = text.partition("T")[2]
            exact = timedelta(milliseconds=1) if "." in parts else timedelta(seconds=1)
            end = begin + (exact if parts.count(":") >= _SECONDS else timedelta(minutes=1))
        said = fhir.instant(begin), fhir.instant(end)  # in UTC the first of all days may be none
    except (ValueError, OverflowError):
        raise Malformed(f"{name} is a date or an instant, as in 2026-11-23T09:15:00Z.") from None
    if begin.tzinfo is None:
        raise Malformed(f"{name} has a time zone.")
    return said


def _most(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise Malformed("_count is a number.")
    return min(int(text[:9]), _MOST)


def _url(here: str, params: Any, page: str) -> str:
    kept = [(name, value) for name in _KEPT for value in params.getlist(name)]
    query = urlencode([*kept, ("_page", page)] if page else kept)
    return f"{here}?{query}" if query else here


def _beside(found: History, key: bytes, of: str) -> Iterator[tuple[str, str]]:
    """The pages before and after, as a caller can ask for them."""
    if found.newer and found.page:
        turn = Turn(back=True, place=found.page[0].place)
        yield "previous", sealing.sealed(msgspec.json.encode(turn), key, of=of)
    if found.older and found.page:
        turn = Turn(back=False, place=found.page[-1].place)
        yield "next", sealing.sealed(msgspec.json.encode(turn), key, of=of)
