"""The other FHIR servers, over HTTP; the only file that knows the HTTP client (decision 0001)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import ModuleType
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import httpx2

from app import fhir
from app.errors import Invalid, NotFound, TooLarge, Unavailable
from app.fhir import Resource
from app.settings import Endpoint

_TIMEOUT_SECONDS: Final = 10.0
_LONGEST_ANSWER: Final = 10 * 2**20  # bytes; what a partner sends is not trusted to end
_REDIRECTS: Final = 5
_RETRIED: Final = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Reply:
    """
    How a push went.

    status          HTTP status; 0: no answer came
    codes           issue codes of the partner's OperationOutcome; never its texts
    wait_seconds    what Retry-After asks for, 0 without one
    """

    status: int
    codes: str = ""
    wait_seconds: float = 0.0

    @property
    def delivered(self) -> bool:
        return 200 <= self.status < 300

    @property
    def worth_retrying(self) -> bool:
        return self.status == 0 or self.status >= 500 or self.status in _RETRIED


class Partners:
    """
    One HTTP client for all partners; close it at the end.

    http        httpx2, or httpx, whose interface is the same
    transport   stands in for the network in tests
    seconds     of a whole push: a partner may answer a byte at a time
    """

    def __init__(
        self, *, http: ModuleType = httpx2, transport: Any = None, seconds: float = 15.0
    ) -> None:
        self._http = http
        self._seconds = seconds
        self._client = http.AsyncClient(
            timeout=_TIMEOUT_SECONDS, transport=transport, follow_redirects=False
        )

    async def transaction(self, endpoint: Endpoint, bundle: Resource, *, now: float) -> Reply:
        """
        POST a transaction Bundle to the partner's base.

        now     UNIX seconds, for a Retry-After that is a date
        source  https://hl7.org/fhir/R4/http.html#transaction
        """
        headers = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}
        secret = endpoint.password.get_secret_value()
        auth = self._http.BasicAuth(endpoint.username, secret) if endpoint.username else None
        try:
            async with (
                asyncio.timeout(self._seconds),
                self._client.stream(
                    "POST", endpoint.url, content=fhir.encode(bundle), headers=headers, auth=auth
                ) as response,
            ):
                body = b""
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > _LONGEST_ANSWER:
                        break
        except (self._http.HTTPError, TimeoutError):
            return Reply(0)
        wait = _wait_seconds(response.headers.get("Retry-After", ""), now)
        return Reply(response.status_code, _codes(body), wait)

    async def fetch(self, url: str, *, most: int) -> bytes:
        """
        What stands at a URL, such as a package in a registry; redirects lead to https or to its site.

        most        bytes
        raises      NotFound: 404, 410; Unavailable: no answer, or another status
                    TooLarge: more than was to be taken; Invalid: a redirect that leads astray
        """
        start = url
        for _ in range(_REDIRECTS):
            status, headers, body = await self._get(url, most)
            if status not in {301, 302, 303, 307, 308}:
                break
            url = urljoin(url, headers.get("Location", ""))
            if urlsplit(url).scheme != "https" and urlsplit(url)[:2] != urlsplit(start)[:2]:
                raise Invalid("The server sends to a place that is neither itself nor https.")
        if status in {404, 410}:
            raise NotFound(f"There is nothing at {start}.")
        if status != 200:
            raise Unavailable(f"{start} does not answer as it should: status {status}.")
        return body

    async def _get(self, url: str, most: int) -> tuple[int, Any, bytes]:
        body = bytearray()
        try:
            async with (
                asyncio.timeout(self._seconds),
                self._client.stream("GET", url) as response,
            ):
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > most:
                        raise TooLarge(f"{url} sends more than {most >> 20} MiB.")
        except (self._http.HTTPError, self._http.InvalidURL, TimeoutError):
            raise Unavailable(f"{url} does not answer.") from None
        return response.status_code, response.headers, bytes(body)

    async def close(self) -> None:
        await self._client.aclose()


def _codes(body: bytes) -> str:
    """The issue codes of an OperationOutcome, "" where the body is none."""
    try:
        outcome = json.loads(body)
        issues = outcome["issue"] if outcome.get("resourceType") == "OperationOutcome" else []
        return " ".join(sorted({str(issue["code"])[:40] for issue in issues}))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ""


def _wait_seconds(retry_after: str, now: float) -> float:
    """https://www.rfc-editor.org/rfc/rfc9110#name-retry-after."""
    if retry_after.isdigit():
        return float(min(int(retry_after), 86400))
    try:
        return max(0.0, min(parsedate_to_datetime(retry_after).timestamp() - now, 86400.0))
    except (TypeError, ValueError):
        return 0.0
