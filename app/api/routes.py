"""Every route; each says which interaction of the standard it is."""

from __future__ import annotations

import uuid
from datetime import datetime
from importlib.metadata import version
from typing import Final

from fastapi import APIRouter, Request, Response

from app.api import access, body, capability, responses
from app.domain.plan import Act, Caller, Change, Entry
from app.errors import Malformed, NotAllowed, NotFound, NotSupported
from app.flows import read, write
from app.flows.service import Service
from app.settings import Shelf

_BASE: Final = "/{tenant}/{shelf}/fhir"
_ACTS: Final[dict[str, Act]] = {
    "submit-screening": "submit-screening",
    "refer": "refer",
    "report": "report",
}


def router(service: Service, *, started: datetime) -> APIRouter:  # noqa: C901, PLR0915 — one table of routes
    """The routes of the FHIR bases; their paths stand as written, with and without a slash."""
    routes = APIRouter()
    release = version("kinbridge")

    def change(shelf: Shelf, caller: Caller, act: Act, *entries: Entry) -> Change:
        return Change(
            shelf=shelf,
            caller=caller,
            act=act,
            entries=entries,
            base=_base(service, shelf),
            nonce=uuid.uuid4().hex,
        )

    @routes.get(_BASE + "/metadata")
    async def metadata(request: Request) -> Response:
        """https://hl7.org/fhir/R4/http.html#capabilities; open to everyone, as clients expect."""
        key = f"{request.path_params['tenant']}/{request.path_params['shelf']}"
        shelf = service.settings.shelves.get(key)
        if shelf is None:
            raise NotFound("There is no such tenant and shelf.")
        said = capability.statement(
            shelf, base=_base(service, shelf), version=release, started=started
        )
        return responses.resource(request, said)

    @routes.post(_BASE)
    @routes.post(_BASE + "/")
    async def transaction(request: Request) -> Response:
        """https://hl7.org/fhir/R4/http.html#transaction."""
        shelf, caller = await access.enter(service, request)
        bundle = await body.resource(request, most=service.settings.max_body_bytes)
        entries = body.entries({**bundle, "type": _transaction(bundle.get("type"))})
        written = await write.write(service, change(shelf, caller, "transaction", *entries))
        base = _base(service, shelf)
        return responses.all_of(request, written, base, kind="transaction-response")

    @routes.post(_BASE + "/${operation}")
    @routes.post(_BASE + "/QuestionnaireResponse/${operation}")
    async def operation(request: Request) -> Response:
        """https://hl7.org/fhir/R4/operations.html: $submit-screening, $refer, $report."""
        shelf, caller = await access.enter(service, request)
        act = _ACTS.get(request.path_params["operation"])
        offered = capability.OPERATIONS.get((shelf.kind, shelf.role), ())
        if act is None:
            raise NotFound("There is no operation of this name.")
        if act not in offered:
            ways = ", ".join(f"${name}" for name in offered) or "no operation"
            raise NotSupported(f"${act} is not for this shelf; it has {ways}.")
        sent = await body.resource(request, most=service.settings.max_body_bytes)
        entries = body.entries(sent) if sent["resourceType"] == "Bundle" else (_alone(sent),)
        if act == "submit-screening" and {one.type for one in entries} != {"QuestionnaireResponse"}:
            raise NotSupported("Send a QuestionnaireResponse, or a Bundle of them.")
        written = await write.write(service, change(shelf, caller, act, *entries))
        return responses.all_of(request, written, _base(service, shelf), kind="collection")

    @routes.get(_BASE + "/{type}/{id}")
    async def read_one(request: Request) -> Response:
        """https://hl7.org/fhir/R4/http.html#read."""
        shelf, caller = await access.enter(service, request)
        kind = body.type_of(request.path_params["type"])
        identity = body.id_of(request.path_params["id"])
        found, stands = await read.read(
            service, shelf, caller, resource_type=kind, identity=identity
        )
        return responses.fhir_json(request, found, headers={"ETag": f'W/"{stands}"'})

    @routes.post(_BASE + "/{type}")
    async def create(request: Request) -> Response:
        """https://hl7.org/fhir/R4/http.html#create and #ccreate."""
        shelf, caller = await access.enter(service, request)
        kind = body.type_of(request.path_params["type"])
        sent = await _of_type(service, request, kind)
        condition = body.condition_of(request.headers.get("If-None-Exist"), kind)
        written = await write.write(
            service,
            change(shelf, caller, "create", Entry("POST", sent, if_none_exist=condition)),
        )
        return responses.one(request, written, _base(service, shelf))

    @routes.put(_BASE + "/{type}/{id}")
    async def update(request: Request) -> Response:
        """https://hl7.org/fhir/R4/http.html#update, also as create."""
        shelf, caller = await access.enter(service, request)
        kind = body.type_of(request.path_params["type"])
        identity = body.id_of(request.path_params["id"])
        sent = await _of_type(service, request, kind)
        if sent.get("id") != identity:
            raise Malformed("The id in the body is the one in the URL.", expression=f"{kind}.id")
        if_match = body.version_of(request.headers.get("If-Match"))
        written = await write.write(
            service,
            change(shelf, caller, "update", Entry("PUT", sent, identity, "", if_match)),
        )
        return responses.one(request, written, _base(service, shelf))

    @routes.get(_BASE)
    @routes.get(_BASE + "/{type}")
    @routes.get(_BASE + "/{type}/{id}/{rest:path}")
    async def not_there_yet(request: Request) -> Response:
        """Search and history: said to be missing, and never answered as if there were nothing."""
        await access.enter(service, request)
        if "type" in request.path_params:
            body.type_of(request.path_params["type"])
        raise NotSupported("Search, versions and history are not there yet; read Type/id.")

    @routes.api_route(
        _BASE + "/{rest:path}", methods=["PATCH", "DELETE", "PUT", "POST", "GET", "HEAD"]
    )
    async def nothing_else(request: Request) -> Response:
        """Whatever else is asked of a shelf."""
        await access.enter(service, request)
        steps = request.path_params["rest"].strip("/").split("/")
        body.type_of(steps[0])
        if request.method in {"PATCH", "DELETE"}:
            raise NotAllowed("This service does not take PATCH or DELETE yet.")
        raise NotFound("There is no such route.")

    return routes


def _base(service: Service, shelf: Shelf) -> str:
    return f"{service.settings.base_url}/{shelf.key}/fhir"


def _transaction(kind: object) -> object:
    """A collection is not a transaction, though an operation takes it."""
    return "" if kind == "collection" else kind


def _alone(resource: dict[str, object]) -> Entry:
    identity = str(resource.get("id", ""))
    return Entry("PUT" if identity else "POST", resource, identity)


async def _of_type(service: Service, request: Request, kind: str) -> dict[str, object]:
    sent = await body.resource(request, most=service.settings.max_body_bytes)
    if sent["resourceType"] != kind:
        raise Malformed("The resource's type is the one in the URL.", expression="resourceType")
    return sent
