"""One log line and one measurement a request, named by its route; no value of a resource."""

from __future__ import annotations

import itertools
import re
import time
import traceback
import uuid
from bisect import bisect_left
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import header

REQUEST: Final[ContextVar[str]] = ContextVar("request", default="")  # the id of the one at hand
_BOUNDS: Final = Histogram.DEFAULT_BUCKETS  # seconds, the last of them infinite
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9\-_.]{1,64}")


class Observe:
    """Pure ASGI; the request id of the caller is kept where it is a plain word, and answered."""

    def __init__(self, app: ASGIApp, *, registry: CollectorRegistry) -> None:
        self._app = app
        self._measured = _Requests()
        registry.register(self._measured)
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
            self._measured.add(method, route, status, seconds)
            self._log.info(
                "request", method=method, route=route, status=status, ms=round(seconds * 1000, 2)
            )
            REQUEST.reset(here)


class _Requests(Collector):
    """
    How many requests there were, and how long they took.

    Kept plainly on the one loop and put together when it is asked: a counter and a histogram of the
    library take a lock three times for each request, some 4 µs.
    """

    def __init__(self) -> None:
        self._count: dict[tuple[str, str, str], int] = {}
        self._within: dict[str, list[int]] = {}  # by route, in each of _BOUNDS
        self._seconds: dict[str, float] = {}

    def add(self, method: str, route: str, status: int, seconds: float) -> None:
        key = (method, route, str(status))
        self._count[key] = self._count.get(key, 0) + 1
        within = self._within.get(route)
        if within is None:
            within = self._within[route] = [0] * len(_BOUNDS)
        within[bisect_left(_BOUNDS, seconds)] += 1
        self._seconds[route] = self._seconds.get(route, 0.0) + seconds

    def collect(self) -> Iterator[CounterMetricFamily | HistogramMetricFamily]:
        """As Prometheus reads it: a bucket counts all that took no longer."""
        counted = CounterMetricFamily(
            "kinbridge_requests", "Requests", labels=["method", "route", "status"]
        )
        for key, count in self._count.items():
            counted.add_metric(key, count)
        yield counted
        took = HistogramMetricFamily(
            "kinbridge_request_seconds", "Seconds to the end of the answer", labels=["route"]
        )
        for route, within in self._within.items():
            upto = zip(map(floatToGoString, _BOUNDS), itertools.accumulate(within), strict=True)
            took.add_metric([route], buckets=[*upto], sum_value=self._seconds[route])
        yield took


def _given(scope: Scope) -> str:
    """The caller's own request id, "" where it sent none that a log can take."""
    value = header.first(scope, b"x-request-id")
    if value is None:
        return ""
    given = value.decode("latin-1")
    return given if _REQUEST_ID.fullmatch(given) else ""


def places(error: BaseException) -> list[str]:
    """Where an error came from, file and line: its text could quote a value."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename.rsplit('/app/', 1)[-1]}:{frame.lineno}" for frame in frames[-6:]]
