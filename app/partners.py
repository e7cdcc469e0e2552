"""The other FHIR servers, over HTTP; the only file that knows the HTTP client (decision 0001)."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import ModuleType
from typing import Any, Final
from urllib.parse import urlencode, urljoin, urlsplit

import httpx2

from app import assertions
from app.assertions import Key
from app.errors import Invalid, NotFound, TooLarge, Unavailable
from app.settings import Endpoint, SettingsError, Smart

LONGEST_WAIT_SECONDS: Final = 86400.0  # whatever Retry-After asks for
_TIMEOUT_SECONDS: Final = 10.0
_LONGEST_ANSWER: Final = 10 * 2**20  # bytes; what a partner sends is not trusted to end
_STEP: Final = 2**16  # bytes
_REDIRECTS: Final = 5
_RETRIED: Final = frozenset({408, 425, 429})
_LONGEST_TOKEN: Final = 2**16  # bytes of a token endpoint's answer
_TOKEN_SECONDS: Final = 300  # a token lives so long where nobody says
_EARLY_SECONDS: Final = 30  # before its end a token is not used any more
_TOKENLESS: Final = "no-token"  # in place of issue codes: it was not the FHIR server that refused


@dataclass(frozen=True, slots=True)
class Reply:
    """
    How a push went.

    status          HTTP status; 0: no answer came
    codes           issue codes of the partner's OperationOutcome, never its texts; no-token where it
                    was the token endpoint that refused, or could not be asked
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


@dataclass(frozen=True, slots=True)
class _Stepwise:
    """A long body step by step: given whole to the network it would stay there once more."""

    body: bytes
    moved: Callable[[int], None]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.body), _STEP):
            step = self.body[start : start + _STEP]
            yield step
            self.moved(len(step))


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
        self._tokens: dict[tuple[str, str], tuple[str, float]] = {}
        self._fetching: dict[str, asyncio.Task[bytes]] = {}
        self._asking: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def transaction(
        self,
        endpoint: Endpoint,
        content: bytes,
        *,
        now: float,
        moved: Callable[[int], None] = lambda _: None,
    ) -> Reply:
        """
        POST a transaction Bundle to the partner's base.

        content the Bundle, as JSON
        now     UNIX seconds, for tokens, and for a Retry-After that is a date
        moved   hears of a long one how many bytes more have gone
        source  https://hl7.org/fhir/R4/http.html#transaction
        """
        body = content if len(content) <= _STEP else _Stepwise(content, moved)
        if endpoint.smart is None:
            secret = endpoint.password.get_secret_value()
            auth = self._http.BasicAuth(endpoint.username, secret) if endpoint.username else None
            return await self._push(endpoint, body, now, auth=auth)
        for anew in (False, True):
            token = await self._token(endpoint.url, endpoint.smart, now, anew=anew)
            if isinstance(token, Reply):
                return token
            bearer = {"Authorization": f"Bearer {token}"}
            reply = await self._push(endpoint, body, now, headers=bearer)
            if reply.status != 401:
                break
        return reply

    async def _push(
        self,
        endpoint: Endpoint,
        content: bytes | _Stepwise,
        now: float,
        headers: dict[str, str] | None = None,
        auth: Any = None,
    ) -> Reply:
        kind = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}
        said = {**kind, **(headers or {})}
        if isinstance(content, _Stepwise):
            said["Content-Length"] = str(len(content.body))
        status, answered, body = await self._post(endpoint.url, said, content, auth)
        wait = _wait_seconds(answered.get("Retry-After", ""), now)
        return Reply(status, _codes(body), wait)

    async def _post(
        self, url: str, headers: dict[str, str], content: bytes | _Stepwise, auth: Any = None
    ) -> tuple[int, Any, bytes]:
        """Status, headers and as much of the body as is looked at; status 0: no answer came."""
        body = b""
        try:
            async with (
                asyncio.timeout(self._seconds),
                self._client.stream(
                    "POST", url, content=content, headers=headers, auth=auth
                ) as response,
            ):
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > _LONGEST_ANSWER:
                        break
        except (self._http.HTTPError, self._http.InvalidURL, TimeoutError):
            return 0, {}, b""
        return response.status_code, response.headers, body

    async def _token(self, base: str, smart: Smart, now: float, *, anew: bool) -> str | Reply:
        """
        An access token of the partner, kept until shortly before it ends; else how it was refused.

        anew    the one that is kept opens nothing any more
        """
        key = (base, smart.client_id)
        async with self._asking[key]:
            token, until = self._tokens.get(key, ("", 0.0))
            if anew or now >= until:
                got = await self._asked(base, smart, now)
                if isinstance(got, Reply):
                    return got
                token, until = self._tokens[key] = got
        return token

    async def _asked(self, base: str, smart: Smart, now: float) -> tuple[str, float] | Reply:
        """
        A new token, and the UNIX second until which it is used.

        source      https://hl7.org/fhir/smart-app-launch/backend-services.html
        """
        try:
            url = smart.token_url or await self._token_url(base)
            word = assertions.make(
                smart.client_id, url, key_of(smart), now=now, identity=secrets.token_urlsafe(24)
            )
        except NotFound:
            return Reply(404, _TOKENLESS)
        except (Unavailable, Invalid, TooLarge):
            return Reply(0, _TOKENLESS)
        except SettingsError:  # the file was there when the service started
            return Reply(401, _TOKENLESS)
        form = {
            "grant_type": "client_credentials", "scope": smart.scope,
            "client_assertion_type": assertions.SIGNED, "client_assertion": word,
        }  # fmt: skip
        kind = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        status, answered, body = await self._post(url, kind, urlencode(form).encode())
        wait = _wait_seconds(answered.get("Retry-After", ""), now)
        try:
            said = json.loads(body[:_LONGEST_TOKEN])
            token, lives = str(said["access_token"]), float(said.get("expires_in", _TOKEN_SECONDS))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            # what is no token was not one for whatever reason: of a 200, too, a person hears
            return Reply(status if status == 0 or status >= 300 else 400, _TOKENLESS, wait)
        return token, now + lives - _EARLY_SECONDS

    async def _token_url(self, base: str) -> str:
        """As the partner says it. Raises NotFound: it says none; as fetch."""
        raw = await self.fetch(f"{base}/.well-known/smart-configuration", most=_LONGEST_TOKEN)
        try:
            url = str(json.loads(raw)["token_endpoint"])
        except (ValueError, TypeError, KeyError, RecursionError):
            raise NotFound("The partner names no token endpoint.") from None
        if urlsplit(url).scheme != "https" and urlsplit(url)[:2] != urlsplit(base)[:2]:
            raise NotFound("The partner's token endpoint is neither its own site nor https.")
        return url

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

    async def shared(self, url: str, *, most: int) -> bytes:
        """As fetch; whoever asks while it is under way gets the same, so that a flood of asking is one."""
        under_way = self._fetching.get(url)
        if under_way is None:
            under_way = self._fetching[url] = asyncio.create_task(self.fetch(url, most=most))
            under_way.add_done_callback(lambda _: self._fetching.pop(url))
        return await asyncio.shield(under_way)

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


def key_of(smart: Smart) -> Key:
    """
    The key by which we sign.

    raises      SettingsError: the file cannot be read, or has none
    """
    try:
        return assertions.private_of(smart.key.read_bytes())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        message = f"{smart.key}: {reason}"
        raise SettingsError(message) from None


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
    if retry_after.isdecimal():
        return min(float(retry_after), LONGEST_WAIT_SECONDS)
    try:
        wait = parsedate_to_datetime(retry_after).timestamp() - now
        return max(0.0, min(wait, LONGEST_WAIT_SECONDS))
    except (TypeError, ValueError):
        return 0.0
