"""The short way to a route leads to the same route as FastAPI's own."""

import asyncio
import itertools
import random
import re

import pytest
from fastapi import FastAPI, Request
from starlette.routing import Match
from starlette.testclient import TestClient

from app import settings
from app.api import routes
from app.api.direct import Direct, Table
from app.main import open_service

BASE = "/clinic/chart/fhir"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@pytest.fixture
def shelves(tmp_path):
    """The routes of the FHIR bases."""

    async def opened():
        read = settings.read(database_url=f"sqlite:///{tmp_path / 'a.db'}")
        service = await open_service(read)
        await service.database.close()
        return routes.router(service, started=service.clock()).routes

    return asyncio.run(opened())


def test_the_short_way_finds_what_the_long_way_finds(shelves):
    """For every method and thousands of paths: the same route, the same names."""
    table, found = Table(shelves), set()
    segments = {
        part for one in shelves for part in one.path[len("/{tenant}/{shelf}/fhir") :].split("/")
    }
    words = sorted({one for one in segments if "{" not in one} | {"rosa", "1", "$x", "$", "", "é"})
    chance = random.Random(20260105)
    paths = [
        BASE + "".join(f"/{chance.choice(words)}" for _ in range(chance.randrange(6)))
        for _ in range(3000)
    ]
    paths += [re.sub(r"\{[a-z:]+\}", "rosa", one.path) for one in shelves]

    for method, path in itertools.product(METHODS, paths):
        scope = {"type": "http", "method": method, "path": path, "root_path": ""}
        full = ((one, one.matches(scope)) for one in shelves)
        long = next(((one, more) for one, (how, more) in full if how is Match.FULL), None)
        short = table.find(method, path)

        assert (short and short[0].endpoint) == (long and long[0].endpoint), (method, path)
        assert (short and short[1]) == (long and long[1]["path_params"]), (method, path)
        found.add(short and short[0].path)

    assert found >= {one.path for one in shelves}


def test_a_route_that_asks_for_more_than_the_request_is_left_to_fastapi():
    """What needs FastAPI's reading of parameters gets it."""
    app = Direct()

    @app.get("/raw/{name}")
    async def raw(request: Request) -> str:
        raise NotImplementedError

    @app.get("/read/{number}")
    async def read(number: int) -> int:
        return number + 1

    app.directly(app.routes)

    assert Table(app.routes).find("GET", "/read/1") is None
    assert Table(app.routes).find("GET", "/raw/x")[1] == {"name": "x"}
    with TestClient(app) as client:
        assert client.get("/read/1").json() == 2


def test_openapi_knows_the_routes_that_are_called_directly():
    """The application is FastAPI, and its document shows what is there."""
    app = Direct()

    @app.get("/raw/{name}")
    async def raw(request: Request) -> str:
        raise NotImplementedError

    app.directly(app.routes)

    assert isinstance(app, FastAPI)
    assert "/raw/{name}" in app.openapi()["paths"]
