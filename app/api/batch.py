"""A Bundle of requests: a transaction is one change, a batch as many as it has entries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, unquote

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from app import fhir
from app.api import body, entries, responses, screenings, view
from app.domain.change import Caller, Change, Entry
from app.errors import Gone, Issue, Refusal, TooLarge
from app.fhir import Resource
from app.flows import write
from app.flows.aside import LONG
from app.flows.service import Service
from app.flows.write import Written
from app.settings import Shelf

# What a request in a Bundle says beside its url, as the header that it stands for.
_HEADERS: Final = {"ifNoneMatch": b"if-none-match", "ifModifiedSince": b"if-modified-since"}
# A line of 60 bytes asks for the CapabilityStatement's 350,000: without a bound 10 MiB ask for 50 GB.
_MOST_READ: Final = 32 * 2**20
_TOO_MUCH: Final = f"The reads of one Bundle are answered with {_MOST_READ} bytes; ask in several."
_TURN: Final = 100  # entries that are answered before others have their turn
_OURS: Final = frozenset({b"authorization", b"host"})


@dataclass(frozen=True, slots=True)
class _Read:
    """
    One GET of a Bundle.

    name        Type/id, "" where it is something else
    request     the same, as a request of its own
    """

    at: str
    name: str
    request: Request


@dataclass(slots=True)
class Bundled:
    """
    What a caller asks of one shelf in one Bundle.

    change      makes the change of these entries
    get         answers a GET as if it had come alone
    left        bytes that the reads may still be answered with
    shown       the same of what is written, or was there already; who wrote it can read it
    source      https://hl7.org/fhir/R4/http.html#transaction
    """

    service: Service
    shelf: Shelf
    caller: Caller
    base: str
    change: Callable[..., Change]
    get: Callable[[Request], Awaitable[Response]]
    left: int = _MOST_READ
    shown: int = _MOST_READ

    async def answer(self, request: Request, bundle: Resource) -> Response:
        asked = [(one, f"Bundle.entry[{at}]") for at, one in enumerate(entries.listed(bundle))]
        if bundle["type"] == "transaction":
            answers = await self._transaction(request, asked)
        else:
            dry = screenings.is_dry(request)
            answers = [await self._alone(request, one, at, dry=dry) for one, at in asked]
        return responses.bundle(request, f"{bundle['type']}-response", answers)

    async def _transaction(self, request: Request, asked: list[tuple[Any, str]]) -> list[bytes]:
        """
        All or nothing; reads see what the writes have made.

        A read that cannot be answered refuses the whole, so each is tried before anything is
        written. What another caller takes away in between is answered in the read's own place.
        """
        all_of = await self.service.aside.run(
            lambda: [self._entry(request, one, at) for one, at in asked], long=body.is_long(request)
        )
        writes = tuple(one for one in all_of if isinstance(one, Entry))
        reads = [one for one in all_of if isinstance(one, _Read)]
        tried = {one.at: await self._tried(one, writes) for one in reads}
        if not writes:
            return list(tried.values())
        made = self.change(self.shelf, self.caller, "transaction", *writes)
        done = await write.write(self.service, made)
        self.left = _MOST_READ  # the same once more, as things stand after the writes
        names = iter(done.answer.names)
        # of several entries that come to one resource the first has made it
        again = replace(done, answer=replace(done.answer, created=frozenset()))
        named: set[str] = set()
        said = []
        for count, one in enumerate(all_of):
            if not count % _TURN:
                await asyncio.sleep(0)
            if isinstance(one, _Read):
                said.append(await self._answered(one))
                continue
            name = next(names)
            said.append(await self._written(request, again if name in named else done, name))
            named.add(name)
        return said

    def _entry(self, request: Request, asked: Any, at: str) -> Entry | _Read:
        method, url, said = entries.request(asked, at)
        bases = (self.base, f"{request.base_url}{self.shelf.key}/fhir")
        if method not in entries.READS:
            return entries.write(asked, at, bases)
        path, _, query = entries.relative(url, bases, at).partition("?")
        path = unquote(path).strip("/")
        kind, _, identity = path.partition("/")
        if kind == "Binary" and "_format=" not in query:
            query = f"{query}&_format=json".lstrip("&")  # else one that holds FHIR comes as it is
        headers = [one for one in request.scope["headers"] if one[0] in _OURS]
        headers.append((b"accept", b"application/fhir+json"))
        headers += [
            (name, str(said[key]).encode("latin-1", "replace"))
            for key, name in _HEADERS.items()
            if key in said
        ]
        whole = f"/{self.shelf.key}/fhir/{path}".rstrip("/")
        scope = {
            "type": "http",
            "app": request.scope.get("app"),
            "method": method,
            "path": whole,
            "raw_path": quote(whole).encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": headers,
            "scheme": request.scope["scheme"],
            "server": request.scope.get("server"),
            "client": request.scope.get("client"),
        }
        is_one = kind[:1].isupper() and identity and "/" not in identity
        if is_one:
            body.type_of(kind, f"{at}.request.url")
        return _Read(at, path if is_one else "", Request(scope))

    async def _tried(self, one: _Read, writes: tuple[Entry, ...]) -> bytes:
        """
        The answer of a read as things stand before the writes.

        raises      Refusal: it cannot be answered, and the place of it
        """
        changes = {each.name: each.method for each in writes if each.id}
        if one.name and changes.get(one.name) == "DELETE":
            text = "This Bundle deletes what it reads here."
            raise Gone(text, expression=f"{one.at}.request.url")
        try:
            if one.name and changes.get(one.name) == "PUT":  # it will be there
                view.of_one(one.request.query_params)
                return b""
            return await self._read(one)
        except Refusal as refused:
            raise _placed(refused, one.at) from None

    async def _answered(self, one: _Read) -> bytes:
        try:
            return await self._read(one)
        except Refusal as refused:
            return responses.refused_entry(_placed(refused, one.at))

    async def _alone(self, request: Request, asked: Any, at: str, *, dry: bool) -> bytes:
        """One entry of a batch stands for itself, in a dry run too."""
        await asyncio.sleep(0)  # who asks for thousands lets others in between
        try:
            size = len(fhir.encode(asked)) if body.is_long(request) else 0
            entry = await self.service.aside.run(
                lambda: self._entry(request, asked, at), long=size > body.MANY_PATHS
            )
            if isinstance(entry, _Read):
                return await self._answered(entry)
            made = self.change(self.shelf, self.caller, "transaction", entry, long=size > LONG)
            if dry:
                return responses.entry_of(await screenings.seen(self.service, made))
            done = await write.write(self.service, made)
        except Refusal as refused:
            return responses.refused_entry(refused)
        return await self._written(request, done, done.answer.names[0])

    async def _written(self, request: Request, done: Written, name: str) -> bytes:
        prefer = responses.preferred(request)
        found: tuple[Issue, ...] = ()
        row = done.rows.get(name)
        if row:
            self.shown -= len(row.body)
            if self.shown < 0 and not prefer:
                prefer = "minimal"
        if prefer == "OperationOutcome" and row and row.body:
            await asyncio.sleep(0)
            found = (*done.answer.issues, *await write.findings(self.service, row.body))
        return responses.entry(done, name, self.base, prefer=prefer, findings=found)

    async def _read(self, one: _Read) -> bytes:
        if self.left < 0:
            raise TooLarge(_TOO_MUCH)
        found = await self.get(one.request)
        said: Resource = {"status": f"{found.status_code} {HTTPStatus(found.status_code).phrase}"}
        if "etag" in found.headers:
            said["etag"] = found.headers["etag"]
        response = b'"response":' + fhir.encode(said) + b"}"
        content = bytes(found.body)
        self.left -= len(content)
        if self.left < 0:
            raise TooLarge(_TOO_MUCH)
        await asyncio.sleep(0)  # as of a batch
        if not content or one.request.method == "HEAD":
            return b"{" + response
        url = b'"fullUrl":' + fhir.encode(f"{self.base}/{one.name}") + b"," if one.name else b""
        return b"{" + url + b'"resource":' + content + b"," + response


def _placed(refused: Refusal, at: str) -> Refusal:
    """The refusal, which names the entry where it does not name a place in it already."""
    refused.issues = tuple(
        one if one.expression.startswith(at) else replace(one, expression=f"{at}.request.url")
        for one in refused.issues
    )
    return refused
