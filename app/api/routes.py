"""Every route; each says which interaction of the standard it is."""

from __future__ import annotations

import itertools
import re
import secrets
from datetime import datetime
from functools import partial
from importlib.metadata import version
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from msgspec.structs import replace
from starlette.routing import Match

from app import fhir
from app.api import (
    access,
    allowed,
    batch,
    binary,
    body,
    capability,
    entries,
    header,
    past,
    responses,
    screenings,
    search,
    target,
    tokens,
    validation,
    view,
)
from app.domain import condition, statement
from app.domain.change import Act, Caller, Change, Entry
from app.errors import Issue, Malformed, NotAllowed, NotFound, NotSupported, Refusal
from app.flows import account, check, read, write
from app.flows.service import Service
from app.settings import Shelf

_SHELF: Final = "/{tenant}/{shelf}"
_BASE: Final = f"{_SHELF}/fhir"
_VERSION: Final = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_ASKED: Final = {"check-referral": ("flag", "jurisdiction")}


def router(service: Service, *, started: datetime) -> APIRouter:  # noqa: C901, PLR0915 — one table of routes
    """The routes of the FHIR bases; their paths stand as written, with and without a slash."""
    routes = APIRouter()
    release = version("kinbridge")
    most = service.settings.max_body_bytes
    numbers, process = itertools.count(), secrets.token_hex(16)  # a nonce is never used twice

    def change(
        shelf: Shelf,
        caller: Caller,
        act: Act,
        *entries: Entry,
        long: bool = False,
        plain: bool = False,
    ) -> Change:
        nonce = f"{process}{next(numbers):x}"
        base = _base(shelf)
        return Change(shelf, caller, act, entries, base, nonce, long=long, plain=plain)

    def _base(shelf: Shelf) -> str:
        return f"{service.settings.base_url}/{shelf.key}/fhir"

    async def _enveloped(request: Request, bundle: dict[str, Any]) -> None:
        look = partial(entries.enveloped, service.definitions, bundle)
        await service.aside.run(look, long=body.is_long(request))

    async def of_type(request: Request, kind: str, identity: str = "") -> dict[str, Any]:
        """The resource in the body, of the type in the URL."""
        if kind == "Binary" and binary.is_raw(request):
            most = service.settings.max_binary_bytes
            return await binary.sent(request, identity=identity, most=most)
        sent = await body.resource(request, most=service.settings.max_body_bytes)
        if sent["resourceType"] != kind:
            raise Malformed("The resource's type is the one in the URL.", expression="resourceType")
        return sent

    async def written(
        request: Request, entered: tuple[Shelf, Caller], act: Act, entry: Entry
    ) -> Response:
        shelf, caller = entered
        long, plain = body.is_long(request), body.is_plain(request)
        asked = change(shelf, caller, act, entry, long=long, plain=plain)
        if screenings.is_dry(request):
            return await screenings.shown(service, request, asked)
        done = await write.write(service, asked)
        row = done.rows.get(done.answer.names[0])
        found: tuple[Issue, ...] = ()
        prefer = responses.preferred(request)
        if row and row.stands and prefer == "OperationOutcome":
            found = await write.findings(service, row.body)
        if not prefer and entry.type == "Binary" and binary.is_quiet(request):
            prefer = "minimal"
        return responses.one(request, done, _base(shelf), found, prefer=prefer)

    async def get(request: Request) -> Response:
        """The answer to a GET that stands in a Bundle."""
        for route in routes.routes:
            match, more = route.matches(request.scope)
            if match is Match.FULL and isinstance(route, APIRoute):
                answer: Response = await route.endpoint(Request({**request.scope, **more}))
                return answer
        raise NotFound("There is no such route.")

    @routes.api_route(_BASE + "/metadata", methods=["GET", "HEAD"])
    async def metadata(request: Request) -> Response:
        """https://hl7.org/fhir/R4/http.html#capabilities; open to everyone, as clients expect."""
        view.acceptable(request)
        shelf = service.settings.shelves.get(target.key(request))
        if shelf is None:
            raise NotFound("There is no such tenant and shelf.")
        said = capability.statement(
            shelf, service.parameters, base=_base(shelf), version=release, started=started,
            cors=bool(service.settings.cors_origins),
        )  # fmt: skip
        shown = view.of(request, service.definitions, fhir.encode(said))
        return responses.fhir_json(request, shown)

    @routes.api_route(
        _BASE + "/.well-known/smart-configuration", methods=["GET", "HEAD"], include_in_schema=False
    )
    async def configured(request: Request) -> Response:
        """Where a client gets its access tokens; open to everyone, as metadata is."""
        shelf = service.settings.shelves.get(target.key(request))
        if shelf is None:
            raise NotFound("There is no such tenant and shelf.")
        return tokens.configuration(service.settings, shelf)

    @routes.post(_SHELF + "/token", include_in_schema=False)
    async def token(request: Request) -> Response:
        """SMART Backend Services; it is no FHIR, and is answered as OAuth has it."""
        return await tokens.answer(service, request)

    @routes.post(_BASE)
    async def transaction(request: Request) -> Response:
        """https://hl7.org/fhir/R4/http.html#transaction."""
        shelf, caller = await access.enter(service, request)
        bundle = await body.resource(request, most=most)
        if bundle["resourceType"] != "Bundle":
            raise Malformed("Send a Bundle of type batch or transaction.")
        await _enveloped(request, bundle)
        if bundle.get("type") not in {"batch", "transaction"}:
            text = "Send a Bundle of type batch or transaction."
            raise Malformed(text, expression="Bundle.type")
        if bundle["type"] == "transaction" and screenings.is_dry(request):
            came = entries.collected(bundle)
            asked = change(shelf, caller, "transaction", *came, long=body.is_long(request))
            return await screenings.shown(service, request, asked)
        made = partial(change, long=body.is_long(request), plain=body.is_plain(request))
        bundled = batch.Bundled(service, shelf, caller, _base(shelf), made, get)
        return await bundled.answer(request, bundle)

    @routes.post(_BASE + "/$validate")
    @routes.post(_BASE + "/{type}/$validate")
    @routes.api_route(_BASE + "/{type}/{id}/$validate", methods=["GET", "HEAD", "POST"])
    async def validated(request: Request) -> Response:
        """https://hl7.org/fhir/R4/resource-operation-validate.html, and of whatever type."""
        shelf = service.settings.shelves.get(target.key(request))
        base = _base(shelf) if shelf else ""
        return await validation.answer(service, request, base=base, most=most)

    @routes.post(_BASE + "/${operation}")
    @routes.post(_BASE + "/QuestionnaireResponse/${operation}")
    @routes.post(_BASE + "/Patient/${operation}")
    async def operation(request: Request) -> Response:
        """https://hl7.org/fhir/R4/operations.html: $submit-screening, $refer, $report, $check-referral."""
        shelf, caller = await access.enter(service, request)
        act = allowed.ACTS.get(request.path_params["operation"])
        if act is None:
            return await nothing_else(request)
        try:
            return await acted(request, shelf, caller, act)
        except Refusal as refusal:
            if act == "report":
                raise write.called(service, shelf, refusal) from None
            raise

    async def acted(request: Request, shelf: Shelf, caller: Caller, act: Act) -> Response:
        """What an operation does, and its answer."""
        offered = capability.OPERATIONS.get((shelf.kind, shelf.role), ())
        if act not in offered:
            ways = ", ".join(f"${name}" for name in offered) or "no operation"
            raise NotSupported(f"${act} is not for this shelf; it has {ways}.")
        target.only(request, target.DRY_RUN, *_ASKED.get(act, ()))
        if act == "work-off":
            return await screenings.worked_off(service, request, shelf, caller)
        sent, said = entries.given(await body.resource(request, most=most), _ASKED.get(act, ()))
        if sent["resourceType"] == "Bundle":
            await _enveloped(request, sent)
        if act in screenings.ACTS:
            made = partial(change, long=body.is_long(request))
            door = screenings.Door(service, shelf, caller, _base(shelf), made)
            return await door.answer(request, act, sent)
        is_bundle = sent["resourceType"] == "Bundle"
        came = entries.collected(sent) if is_bundle else (entries.alone(sent),)
        if any(one.method not in {"POST", "PUT"} for one in came):
            raise NotSupported("An operation takes what is to stand: POST and PUT.")
        asked = change(shelf, caller, act, *came, long=body.is_long(request))
        if act == "check-referral":
            said += request.query_params.multi_items()
            found = await check.check(
                service,
                asked,
                jurisdiction=dict(said).get("jurisdiction", ""),
                flags=frozenset(value for name, value in said if name == "flag") - {""},
            )
            return responses.fhir_json(request, fhir.encode(found.parameters()))
        asked = entries.parted(service.definitions, asked)
        if screenings.is_dry(request):
            return await screenings.shown(service, request, asked)
        done = await write.write(service, asked)
        return responses.all_of(request, done, _base(shelf))

    @routes.api_route(_BASE + "/$unmapped", methods=["GET", "HEAD"])
    async def unmapped(request: Request) -> Response:
        """$unmapped: what of the shelf's screenings maps nowhere yet."""
        shelf, caller = await access.enter(service, request)
        if "unmapped" not in capability.OPERATIONS.get((shelf.kind, shelf.role), ()):
            raise NotSupported("$unmapped is for a clinic's chart.")
        target.only(request)
        return await screenings.unmapped(service, request, shelf, caller)

    @routes.post(_BASE + "/{type}/{id}/$everything")
    async def everything(request: Request) -> Response:
        """https://hl7.org/fhir/R4/patient-operation-everything.html, by POST as HAPI's client has it."""
        shelf, caller = await access.enter(service, request)
        base = _base(shelf)
        return await search.found(service, request, shelf, caller, base=base, rest="$everything")

    @routes.api_route(_BASE + "/Patient/{id}/$account", methods=["GET", "HEAD", "POST"])
    async def accounted(request: Request) -> Response:
        """$account: what this shelf has disclosed about a person; docs/guide/accounting.md."""
        shelf, caller = await access.enter(service, request)
        if shelf.role != "source":
            raise NotSupported("$account is for a shelf that refers or reports.")
        target.only(request, "former", "at")
        subject = f"Patient/{body.id_of(request.path_params['id'])}"
        former, at = target.flag(request, "former"), target.moment(request, "at", account.ALWAYS)
        found = await account.about(service, shelf, caller, subject, former=former, at=at)
        entries = ((b'{"resource":', one, b"}") for one in found)
        head = {"resourceType": "Bundle", "type": "collection"}
        return responses.spliced(request, head, entries)

    @routes.post(_BASE + "/Task/{id}/$record-event")
    async def recorded(request: Request) -> Response:
        """An agency's event on its Task, as Parameters or a few words of JSON; docs/referrals.md."""
        shelf, caller = await access.enter(service, request)
        target.only(request, target.DRY_RUN)
        told = statement.said(await body.json(request, most=most))
        identity = body.id_of(request.path_params["id"])
        entry = Entry("PUT", {"resourceType": "Task", "id": identity}, identity)
        made = replace(change(shelf, caller, "record-event", entry), said=told)
        if screenings.is_dry(request):
            return await screenings.shown(service, request, made)
        done = await write.write(service, made)
        prefer = responses.preferred(request)
        return responses.one(request, done, _base(shelf), prefer=prefer)

    @routes.api_route(_BASE + "/_search", methods=["GET", "HEAD", "POST"])
    @routes.api_route(_BASE + "/{type}/_search", methods=["GET", "HEAD", "POST"])
    @routes.api_route(_BASE + "/{type}/{id}/{rest}/_search", methods=["GET", "HEAD", "POST"])
    async def searched_by_form(request: Request) -> Response:
        """https://hl7.org/fhir/R4/http.html#search, its parameters in a form; HAPI's client gets it, too."""
        shelf, caller = await access.enter(service, request)
        return await search.found(service, request, shelf, caller, base=_base(shelf))

    @routes.api_route(_BASE + "/_history", methods=["GET", "HEAD"])
    @routes.api_route(_BASE + "/{type}/_history", methods=["GET", "HEAD"])
    @routes.api_route(_BASE + "/{type}/{id}/_history", methods=["GET", "HEAD"])
    async def history(request: Request) -> Response:
        """https://hl7.org/fhir/R4/http.html#history."""
        shelf, caller = await access.enter(service, request)
        return await past.history(service, request, shelf, caller, base=_base(shelf))

    async def nothing_else(request: Request) -> Response:
        """Whatever else is asked of a shelf, and OPTIONS, https://www.rfc-editor.org/rfc/rfc9110#OPTIONS."""
        await access.enter(service, request)
        path = request.scope["path"]
        if not allowed.is_no_type(first := allowed.first(path)):
            body.type_of(first)
        known = allowed.methods(routes.routes, path)
        if not known and "/$" in path:
            body.type_of("$")
        if not known:
            raise NotFound("There is no such route.")
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": ", ".join(sorted(known))})
        raise NotAllowed(known)

    def anything(path: str) -> None:
        routes.api_route(path, methods=allowed.ALL, include_in_schema=False)(nothing_else)

    for path in allowed.NAMED:
        anything(_BASE + path)

    @routes.api_route(_BASE + "/{type}/{id}", methods=["GET", "HEAD"])
    async def read_one(request: Request) -> Response:
        """https://hl7.org/fhir/R4/http.html#read and #cread."""
        shelf, caller = await access.enter(service, request)
        name = target.named(request)
        found = await read.read(service, shelf, caller, name)
        if name.startswith("Binary/"):
            return binary.answer(request, found, caller, service.definitions)
        return responses.read(request, found, service.definitions)

    @routes.api_route(_BASE + "/{type}/{id}/_history/{version}", methods=["GET", "HEAD"])
    async def vread(request: Request) -> Response:
        """https://hl7.org/fhir/R4/http.html#vread."""
        shelf, caller = await access.enter(service, request)
        name, number = target.named(request), request.path_params["version"]
        if not _VERSION.fullmatch(number):
            raise NotFound("There is no such version.")
        found = await read.vread(service, shelf, caller, name, int(number))
        if name.startswith("Binary/"):
            return binary.answer(request, found, caller, service.definitions)
        return responses.read(request, found, service.definitions)

    @routes.post(_BASE + "/{type}")
    async def create(request: Request) -> Response:
        """https://hl7.org/fhir/R4/http.html#create and #ccreate."""
        kind = body.type_of(request.path_params["type"])
        entered = await access.enter(service, request)
        sent = await of_type(request, kind)
        query = header.sole(request, b"if-none-exist")
        if query is None:  # fhirpy and Aidbox put the condition into the URL
            query = target.searched(request) or None
        said = "" if query is None else condition.read(query, kind)
        return await written(request, entered, "create", Entry("POST", sent, if_none_exist=said))

    @routes.put(_BASE + "/{type}/{id}")
    async def update(request: Request) -> Response:
        """https://hl7.org/fhir/R4/http.html#update, also as create."""
        entered = await access.enter(service, request)
        kind = body.type_of(request.path_params["type"])
        identity = body.new_id_of(request.path_params["id"])
        target.only(request, target.DRY_RUN)
        sent = await of_type(request, kind, identity)
        if sent.get("id") != identity:
            raise Malformed("The id in the body is the one in the URL.", expression=f"{kind}.id")
        entry = Entry("PUT", sent, identity, if_match=target.guard(request))
        return await written(request, entered, "update", entry)

    @routes.put(_BASE + "/{type}")
    async def conditional_update(request: Request) -> Response:
        """https://hl7.org/fhir/R4/http.html#cond-update."""
        entered = await access.enter(service, request)
        kind, said = target.condition(request)
        sent = await of_type(request, kind)
        identity = sent.get("id", "")
        entry = Entry("PUT", sent, identity, if_match=target.guard(request), condition=said)
        return await written(request, entered, "update", entry)

    @routes.patch(_BASE + "/{type}/{id}")
    @routes.patch(_BASE + "/{type}")
    async def patched(request: Request) -> Response:
        """https://hl7.org/fhir/R4/http.html#patch, also conditional."""
        entered = await access.enter(service, request)
        about = target.of(request)
        change_of = await body.patch_in(request, most=most)
        entry = Entry("PATCH", patch=change_of, **about)
        return await written(request, entered, "update", entry)

    @routes.delete(_BASE + "/{type}/{id}")
    @routes.delete(_BASE + "/{type}")
    async def deleted(request: Request) -> Response:
        """https://hl7.org/fhir/R4/http.html#delete, also conditional."""
        entered = await access.enter(service, request)
        return await written(request, entered, "update", Entry("DELETE", **target.of(request)))

    @routes.api_route(_BASE, methods=["GET", "HEAD"])
    @routes.api_route(_BASE + "/{type}", methods=["GET", "HEAD"])
    @routes.api_route(_BASE + "/{type}/{id}/{rest}", methods=["GET", "HEAD"])
    async def searched(request: Request) -> Response:
        """https://hl7.org/fhir/R4/http.html#search, also Patient/{id}/$everything."""
        shelf, caller = await access.enter(service, request)
        return await search.found(service, request, shelf, caller, base=_base(shelf))

    anything(_BASE)
    anything(_BASE + "/{rest:path}")
    return routes
