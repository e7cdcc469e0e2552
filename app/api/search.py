"""Search over HTTP: GET and POST _search, of a type, the whole shelf or a compartment."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from app import fhir
from app.api import binary, body, responses, sealing, target, view
from app.domain.change import Caller
from app.errors import Issue, Malformed, NotFound, NotSupported, outcome
from app.flows import read, search
from app.flows.search import Asked, Result
from app.flows.service import Service
from app.settings import Shelf
from app.storage.order import Place
from app.storage.query import Pairs

_SAFE: Final = ":/,$-._~"
# bytes: 1000 values of a parameter that are as long as an id may be, and more
_MOST_FORM: Final = 2**18


async def found(  # noqa: PLR0913 — as below
    service: Service, request: Request, shelf: Shelf, caller: Caller, *, base: str, rest: str = ""
) -> Response:
    """
    One page of a search.

    rest        what is searched in a compartment, where the path does not say it as `rest`
    source      https://hl7.org/fhir/R4/http.html#search
    """
    pairs = target.of_query(request.scope["query_string"])
    most = service.settings.max_body_bytes
    kind = request.path_params.get("type", "")
    within, where = None, kind
    if rest := rest or request.path_params.get("rest", ""):
        within, kind, where = _compartment(service, request, rest)
    elif kind:
        body.type_of(kind)
    if where.endswith("/$everything") and within:
        if request.method == "POST":
            pairs += await _parameters(request, most=most)
        pairs = [_of_everything(name, value) for name, value in pairs]
        if not any(name == "_include" for name, _ in pairs):
            pairs += _referred_to(pairs)
        await read.read(service, shelf, caller, "/".join(within))
    elif request.method == "POST":
        pairs += await _form(request, most=most)
    head, entries = await _bundled(
        service, shelf, caller, base=base, kind=kind, where=where, within=within, pairs=pairs,
        lenient=responses.preference(request, "handling") == "lenient",
    )  # fmt: skip
    return responses.spliced(request, head, entries)


def _of_everything(name: str, value: str) -> tuple[str, str]:
    """A parameter of $everything as one of a search; https://hl7.org/fhir/R4/patient-operation-everything.html."""
    if name in {"start", "end"}:
        raise NotSupported(
            "$everything takes _since, _type and _count; start and end are not here."
        )
    return ("_lastUpdated", f"ge{value}") if name == "_since" else (name, value)


def _referred_to(pairs: Pairs) -> Pairs:
    """What the record refers to comes with it: who wrote it, and where; of the types that are asked for."""
    types = [one for name, value in pairs if name == "_type" for one in value.split(",")]
    return [("_include", f"*:*:{one}") for one in types] or [("_include", "*")]


async def _parameters(request: Request, *, most: int) -> Pairs:
    """The parameters of an operation that is called by POST, as HAPI's client does."""
    sent = await body.resource_if_any(request, most=most)
    if sent and sent["resourceType"] != "Parameters":
        raise Malformed("Send Parameters, or nothing.", expression="resourceType")
    return [
        (str(one.get("name", "")), str(value))
        for one in fhir.listed(sent.get("parameter"))
        if isinstance(one, dict)
        for key, value in one.items()
        if key.startswith("value")
    ]


async def _form(request: Request, *, most: int) -> Pairs:
    said = target.of_query(await body.form(request, most=min(most, _MOST_FORM)))
    view.writable(dict(said).get("_format"))
    return said


def _compartment(service: Service, request: Request, rest: str) -> tuple[tuple[str, str], str, str]:
    """The head of the compartment, the type that is searched in it, and the path."""
    head = body.type_of(request.path_params["type"])
    identity = body.id_of(request.path_params["id"])
    rest = rest.strip("/").removesuffix("/_search")
    kind = "" if rest in {"*", "$everything"} else body.type_of(rest)
    if head.lower() not in service.parameters.compartments:
        raise NotFound("R4 has no compartment of this type.")
    return (head, identity), kind, f"{head}/{identity}/{rest}"


async def _bundled(  # noqa: PLR0913 — what a search is asked with
    service: Service,
    shelf: Shelf,
    caller: Caller,
    *,
    base: str,
    kind: str,
    where: str,
    pairs: Pairs,
    within: tuple[str, str] | None = None,
    lenient: bool = False,
) -> tuple[dict[str, Any], Iterator[tuple[bytes, ...]]]:
    """The searchset and its entries: resources as they were stored, or the part that was asked for."""
    shown = view.asked(QueryParams(pairs))
    page = next((value for name, value in pairs if name == "_page"), "")
    asked = [(name, value) for name, value in pairs if name != "_page"]
    of = f"{shelf.key}/{where}?{urlencode(sorted(asked))}"
    back, after = _opened(page, service.key, of) if page else (False, None)
    result = await search.search_of(
        service,
        shelf,
        caller,
        Asked(
            kind, asked, base, within, after, back, lenient, 0 if shown.summary == "count" else None
        ),
    )
    for one in result.page.found:
        if one.type == "Binary":
            binary.permit(caller, one.body)
    here = f"{base}/{where}".rstrip("/")
    kept = [*result.query.used, *((n, v) for n, v in asked if n in view.NAMES)]

    def link(relation: str, page: str = "") -> dict[str, str]:
        query = urlencode(
            [*kept, *([("_page", page)] if page else [])], safe=_SAFE, quote_via=quote
        )
        return {"relation": relation, "url": f"{here}?{query}" if query else here}

    links = [link("self", page)]
    places = result.page.places
    if page:
        links.append(link("first"))
    earlier, later = (result.page.more, True) if back else (after is not None, result.page.more)
    if places and earlier:
        links.append(link("previous", _sealed(places[0], service.key, of, back=True)))
    if places and later:
        links.append(link("next", _sealed(places[-1], service.key, of, back=False)))
    total = {} if result.total is None else {"total": result.total}
    head = responses.head("searchset", "" if page else result.asked_at, **total, link=links)
    return head, _entries(service, caller, base, result, shown)


def _entries(
    service: Service, caller: Caller, base: str, result: Result, shown: view.View
) -> Iterator[tuple[bytes, ...]]:
    """Around bytes that are not parsed."""
    plain = shown in {view.WHOLE, view.View("count")}
    home = b'{"fullUrl":"%b/' % base.encode()
    ends = {mode: b',"search":{"mode":"%b"}}' % mode for mode in (b"match", b"include")}
    for found, mode in [
        *((one, b"match") for one in result.page.found),
        *((one, b"include") for one in result.included),
    ]:
        included = mode == b"include"
        if included and found.type == "Binary" and not binary.may(caller, found.body):
            continue
        whole = found.body
        if not plain:
            whole = shown.of(service.definitions, whole, included=included)
        name = b'%b/%b","resource":' % (found.type.encode(), found.id.encode())
        yield home, name, whole, ends[mode]
    if result.cut:
        text = "More hangs on these matches than is shown here; ask for fewer, or less with them."
        said = fhir.encode(outcome((Issue("warning", "incomplete", text),)))
        yield b'{"resource":', said, b',"search":{"mode":"outcome"}}'


def _sealed(place: Place, key: bytes, of: str, *, back: bool) -> str:
    keys = [[type(one).__name__, str(one)] if one is not None else None for one in place.keys]
    said = msgspec.json.encode([back, keys, place.updated, place.type, place.id])
    return sealing.sealed(said, key, of=of)


def _opened(page: str, key: bytes, of: str) -> tuple[bool, Place]:
    back, keys, updated, kind, identity = msgspec.json.decode(sealing.opened(page, key, of=of))
    read = {"int": int, "Decimal": Decimal, "str": str}
    values = tuple(read[one[0]](one[1]) if one is not None else None for one in keys)
    return back, Place(values, updated, kind, identity)
