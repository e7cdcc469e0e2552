"""build(settings) -> FastAPI: the one file that knows the whole house."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute

from app import conformance, fhir
from app.api import access, allowed, browsers, openapi, responses, routes
from app.api.direct import Direct
from app.api.observe import Observe, places
from app.conformance import Definitions
from app.domain import mappings, specimens
from app.domain.mappings import Mappings
from app.errors import NotAllowed, NotFound, Refusal, Unavailable
from app.flows import purge, worklist
from app.flows.callers import Callers
from app.flows.deliver import Worker
from app.flows.service import Service
from app.partners import Partners, key_of
from app.settings import Settings, SettingsError
from app.storage import clock as clocks
from app.storage import connection, file, keys, migration, outbox, reindex
from app.storage.commits import Commits
from app.storage.database import NONE, QUEUE, Database
from app.storage.parameters import Parameters

_DIFFERS_SECONDS: Final = 60  # by which the clocks of two machines may
_log = structlog.get_logger()


class NotRegistered(Exception):  # noqa: N818 — the start is refused, nothing went wrong
    """The service would be open to others than this machine, and no client is registered."""


def _utc() -> datetime:
    return datetime.now(UTC)


async def open_service(  # noqa: PLR0913 — each is something that a test stands in for
    settings: Settings,
    *,
    clock: Callable[[], datetime] = _utc,
    chance: Callable[[], float] = random.random,
    partners: Partners | None = None,
    definitions: Definitions | None = None,
    parameters: Parameters | None = None,
    known: Mappings | None = None,
    commits: Callable[[Database], Commits] = Commits,
    owed: Callable[[float], None] = lambda _: None,
    sent: Callable[[str, str], None] = lambda _kind, _override: None,
) -> Service:
    """
    Everything opened, tables checked, mappings read.

    known       mappings that were read and held already, in place of those of the settings
    raises      MappingError, NeedsMigration, NotRegistered, SettingsError, Unavailable: the start is
                refused
    """
    for shelf in settings.shelves.values():
        if shelf.endpoint and shelf.endpoint.smart:
            key_of(shelf.endpoint.smart)
    definitions = definitions or conformance.load(settings.packages)
    if known is None:
        known = mappings.load(settings.mappings, definitions)
        specimens.hold(known, definitions, settings.mappings)
    for tenant in settings.tenants:
        if tenant.jurisdiction and tenant.jurisdiction not in known.jurisdictions:
            place = settings.mappings / "jurisdictions"
            message = f"tenants: {tenant.id}: jurisdiction: {place} has no such file"
            raise SettingsError(message)
    await migration.check(settings.database_url)
    opened = connection.connect(settings.database_url, connections=settings.database_connections)
    if not settings.loopback and not await opened.read(keys.any_client, shelves=NONE):
        await opened.close()
        message = (
            f"{settings.public_url or settings.host} can be reached from elsewhere, and no client is"
            " registered. Register one with `kinbridge client add`, or serve on 127.0.0.1 and without"
            " public_url."
        )
        raise NotRegistered(message)
    parameters = parameters or Parameters(definitions)
    parameters.warm()
    await reindex.look(opened, parameters, settings.shelves)
    key = await opened.write(lambda tx: keys.secret(tx, "ids"), shelves=NONE)
    seal = await opened.write(lambda tx: keys.secret(tx, "tokens"), shelves=NONE)
    service = Service(
        settings=settings,
        mappings=known,
        definitions=definitions,
        parameters=parameters,
        database=opened,
        commits=commits(opened),
        partners=partners or Partners(),
        key=key,
        clock=clock,
        chance=chance,
        callers=Callers(opened, secret=seal, clock=clock),
        owed=owed,
        sent=sent,
    )
    await purge.replay(service)
    return service


async def build(
    settings: Settings, *, deliver: bool = True, worker: Worker | None = None, **stand_ins: Any
) -> FastAPI:
    """
    The application, with its worker; both end together.

    deliver     whether what is owed is delivered here, or by `kinbridge work` alone
    worker      who delivers; whoever hands one in may wake it
    stand_ins   clock, chance, partners, definitions, parameters, known, commits: as open_service takes them
    """
    worker = worker or Worker()
    registry = CollectorRegistry()
    went = Counter(
        "kinbridge_sent_total", "Referrals and reports that were sent, by the rule that was overridden",
        ["kind", "override"], registry=registry,
    )  # fmt: skip

    def sent(kind: str, override: str) -> None:
        went.labels(kind, override or "none").inc()

    service = await open_service(settings, owed=worker.owed, sent=sent, **stand_ins)
    await _warn(service)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        delivering = asyncio.create_task(worker.run(service)) if deliver else None
        catching_up = asyncio.create_task(worklist.catch_up(service)) if deliver else None
        yield
        worker.stop()
        if delivering:
            await delivering
        if catching_up:
            catching_up.cancel()
            await asyncio.gather(catching_up, return_exceptions=True)
        await service.partners.close()
        await service.database.close()

    app = Direct(
        title="Kinbridge",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # it would log values
    )
    app.rooms, app.aside = service.rooms, service.aside
    if settings.cors_origins:
        app.add_middleware(CORSMiddleware, **browsers.options(settings.cors_origins))
    app.add_middleware(Observe, registry=registry)
    shelves = routes.router(service, started=service.clock())
    _refusals(app, shelves.routes)
    _health(app, service, registry)
    app.include_router(shelves)
    app.directly(shelves.routes)
    # whose shelves there are is nobody's business where others can ask
    named = settings.shelves.values() if settings.loopback else ()
    described = fhir.encode(openapi.document(shelves.routes, named, version=app.version))

    @app.get("/openapi.json", include_in_schema=False)
    async def document() -> Response:
        return Response(described, media_type="application/json")

    return app


async def _warn(service: Service) -> None:
    """Say what can be so, and is seldom meant."""
    settings = service.settings
    if await service.callers.nobody():
        _log.warning(
            "open to everyone on this machine; register clients with: kinbridge client add"
        )
    if (
        await service.database.read(clocks.latest, shelves=tuple(settings.shelves))
        > service.clock().timestamp() + _DIFFERS_SECONDS
    ):
        _log.warning("the machine's clock is behind what was stored last; is it right?")
    if file.is_others(settings.database_url):
        _log.warning("everyone on this machine can read the database; see: chmod 600")
    if not (settings.loopback or settings.public_url):
        _log.warning(
            "links lead to the address that is listened on; set public_url", at=settings.base_url
        )
    if not settings.loopback and settings.base_url.startswith("http:"):
        _log.warning("what is sent here is not encrypted; put TLS before it, and set public_url")


def _refusals(app: FastAPI, shelves: list[BaseRoute]) -> None:
    """Whatever goes wrong is answered as an OperationOutcome."""

    @app.exception_handler(Refusal)
    async def refused(request: Request, refusal: Refusal) -> Response:
        _log.info(
            "refused",
            status=refusal.status,
            codes=sorted({issue.code for issue in refusal.issues}),
            rules=sorted({issue.rule for issue in refusal.issues} - {""}),
        )
        return responses.refusal(request, refusal)

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            known = allowed.methods([*app.routes, *shelves], request.scope["path"])
            return responses.refusal(request, NotAllowed(known))
        return responses.refusal(request, NotFound("There is no such route."))

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        _log.error("failed", error=type(error).__name__, at=places(error))
        return responses.refusal(request, Refusal("The service failed; nothing was stored."))


def _health(app: FastAPI, service: Service, registry: CollectorRegistry) -> None:
    owed = Gauge("kinbridge_outbox", "Pushes to partners, by state", ["state"], registry=registry)

    @app.get("/health/live", include_in_schema=False)
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/health/ready", include_in_schema=False)
    async def ready(request: Request) -> Response:
        """Database, tables and mappings; tables and mappings were checked at the start."""
        try:
            await service.database.read(clocks.latest, shelves=tuple(service.settings.shelves))
        except Unavailable as refusal:
            return responses.refusal(request, refusal)
        return Response(b'{"status":"ok"}', media_type="application/json")

    @app.get("/metrics", include_in_schema=False)
    async def metrics(request: Request) -> Response:
        """
        https://prometheus.io/docs/instrumenting/exposition_formats/.

        How many report is for who runs the service, and not for each partner's client.
        """
        if known := await access.client(service, request):
            known[1].must_act("metrics")
        for state in ("owed", "failed"):
            count = await service.database.read(partial(outbox.count, state=state), shelves=QUEUE)
            owed.labels(state).set(count)
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4")
