"""FastAPI, whose raw routes are found by their segments and called without what they do not use."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.flows import room
from app.flows.aside import LARGE, Aside, take_apart
from app.flows.room import Rooms

_SEGMENT: Final = re.compile(r"(?P<before>[^{}]*)\{(?P<name>\w+)(?P<rest>:path)?\}")


@dataclass(frozen=True, slots=True)
class _Template:
    """
    A route's path by its segments.

    literals    (place, text) of those that stand as they are; the last first, which tells most apart
    names       (place, name, text before it) of those that are parameters, never empty
    rest        name of the parameter that takes every segment from `length` on, "" for none
    """

    route: APIRoute
    length: int
    literals: tuple[tuple[int, str], ...]
    names: tuple[tuple[int, str, str], ...]
    rest: str

    def match(self, segments: list[str]) -> dict[str, str] | None:
        """The parameters of a path that it is the template of."""
        for place, text in self.literals:
            if segments[place] != text:
                return None
        found: dict[str, str] = {}
        for place, name, before in self.names:
            value = segments[place]
            if before:
                if not value.startswith(before):
                    return None
                value = value[len(before) :]
            if not value:
                return None
            found[name] = value
        if self.rest:
            found[self.rest] = "/".join(segments[self.length :])
        return found


def _template(route: APIRoute) -> _Template:
    literals, names, rest = [], [], ""
    segments = route.path.split("/")
    for place, segment in enumerate(segments):
        parameter = _SEGMENT.fullmatch(segment)
        if parameter is None:
            literals.append((place, segment))
        elif parameter["rest"]:
            rest = parameter["name"]
        else:
            names.append((place, parameter["name"], parameter["before"]))
    length = len(segments) - bool(rest)
    return _Template(route, length, tuple(reversed(literals)), tuple(names), rest)


class Table:
    """
    Routes by method and number of segments, each number in the order in which they were declared;
    one that takes the rest of a path comes after those that name each segment.
    """

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        # each with the literal that tells most apart, for most are no match
        self._exact: dict[tuple[str, int], list[tuple[int, str, _Template]]] = {}
        self._open: dict[str, list[_Template]] = {}
        for route in routes:
            if not isinstance(route, APIRoute) or not _is_raw(route):
                continue
            made = _template(route)
            for method in route.methods or ():
                if made.rest:
                    self._open.setdefault(method, []).append(made)
                else:
                    it = (*made.literals[0], made)
                    self._exact.setdefault((method, made.length), []).append(it)

    def find(self, method: str, path: str) -> tuple[APIRoute, dict[str, str]] | None:
        """The route and its path parameters; None where FastAPI shall look, or say that none is."""
        segments = path.split("/")
        for place, text, one in self._exact.get((method, len(segments)), ()):
            if segments[place] == text and (found := one.match(segments)) is not None:
                return one.route, found
        for one in self._open.get(method, ()):
            if len(segments) > one.length and (found := one.match(segments)) is not None:
                return one.route, found
        return None


def _is_raw(route: APIRoute) -> bool:
    """It takes the request and nothing that FastAPI would have to make."""
    return [*inspect.signature(route.endpoint).parameters] == ["request"]


class Direct(FastAPI):
    """
    A FastAPI application with one way more into its raw routes, those that take only the request.

    Middleware that is added stands around both ways; what is no raw route FastAPI answers itself.

    rooms       for what is large, coming and going
    aside       threads for what takes long
    """

    rooms: Rooms
    aside: Aside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As FastAPI and Starlette do it, in one step; our own path is never mounted below another."""
        if self.middleware_stack is None:
            self.middleware_stack = self.build_middleware_stack()
        scope["app"] = self
        await self.middleware_stack(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        around, self.user_middleware = self.user_middleware, []
        made = self._directly(super().build_middleware_stack())
        self.user_middleware = around
        for one in reversed(around):
            made = one.cls(made, *one.args, **one.kwargs)
        return made

    def directly(self, routes: Iterable[BaseRoute]) -> None:
        """These are routes of the application, too: what is said of them in OpenAPI is FastAPI's."""
        self._table = Table(routes)

    def _directly(self, otherwise: ASGIApp) -> ASGIApp:
        table = self._table

        async def call(scope: Scope, receive: Receive, send: Send) -> None:
            found = None
            if scope["type"] == "http":
                # clients send a slash at the end, and a redirect would lose their body
                scope["path"] = scope["path"].rstrip("/") or "/"
                found = table.find(scope["method"], scope["path"])
            if found is None:
                await otherwise(scope, receive, send)
                return
            scope["route"], scope["path_params"] = found
            request = Request(scope, receive, send)
            try:
                try:
                    response: Response = await found[0].endpoint(request)
                except Exception as error:  # noqa: BLE001 — what is refused and what failed is answered
                    response = await self._handler(error)(request, error)
                if LARGE in scope:  # before the collector goes on, which would look at all of it
                    await self.aside.run(partial(take_apart, scope.pop(LARGE)))
                room.worked()
                await response(scope, receive, send)
            finally:
                room.end()

        return call

    def _handler(self, error: Exception) -> Any:
        """The application's own exception handler for it; there is one for every Exception."""
        return next(
            handler
            for kind in type(error).__mro__
            if (handler := self.exception_handlers.get(kind)) is not None
        )
