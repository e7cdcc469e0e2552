"""One log line and one measurement a request, named by its route; no value of a resource."""

from __future__ import annotations

import itertools
import re
import time
import traceback
import uuid
from contextvars import ContextVar
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST: Final[ContextVar[str]] = ContextVar("request", default="")  # the id of the one at hand
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9\-_.]{1,64}")


class Observe:
    """Pure ASGI; the request id of the caller is kept where it is a plain word, and answered."""

    def __init__(self, app: ASGIApp, *, registry: CollectorRegistry) -> None:
        self._app = app
        self._count = Counter(
            "kinbridge_requests_total", "Requests", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "kinbridge_request_seconds", "Seconds to the end of the answer", ["route"],
            registry=registry,
        )  # fmt: skip
        self._measures: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._log = structlog.get_logger().bind()  # else it is made anew for each line
        self._numbers = itertools.count(1)
        self._process = uuid.uuid4().hex[:16]  # with a number, a request id that nobody else has

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        request_id = _given(scope) or f"{self._process}{next(self._numbers):016x}"
        here = REQUEST.set(request_id)
        named = (b"x-request-id", request_id.encode())
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append(named)
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            seconds = time.perf_counter() - begun
            method = scope["method"] if scope["method"].isalpha() else "other"
            count, histogram = self._measured(method, route, status)
            count.inc()
            histogram.observe(seconds)
            self._log.info(
                "request", method=method, route=route, status=status, ms=round(seconds * 1000, 2)
            )
            REQUEST.reset(here)

    def _measured(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        """Looked up once: to find a label's child costs as much as a resource's."""
        key = (method, route, status)
        found = self._measures.get(key)
        if found is None:
            found = self._count.labels(*key), self._seconds.labels(route)
            self._measures[key] = found
        return found


def _given(scope: Scope) -> str:
    """The caller's own request id, "" where it sent none that a log can take."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given: str = value.decode("latin-1")
            return given if _REQUEST_ID.fullmatch(given) else ""
    return ""


def places(error: BaseException) -> list[str]:
    """Where an error came from, file and line: its text could quote a value."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename.rsplit('/app/', 1)[-1]}:{frame.lineno}" for frame in frames[-6:]]
