"""An answer of pieces that stand already: what is short is joined, what is long is sent uncopied."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import chain
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api import encoding, header
from app.flows.room import Moving, Rooms

LONG: Final = 2**20  # bytes
_STEP: Final = 2**18  # bytes that are packed at a time, some 2 ms
_GZIP: Final = zlib.MAX_WBITS | 16


class Pieces(Response):
    """
    A long response, in the pieces that it is made of.

    Two copies of a page with a scan of 20 MiB would be all that a process has left. It is sent step
    by step, and no longer than some time; who reads more slowly is cut off.

    length      in bytes, where the pieces come only as they are sent
    packs       whether it is packed for who takes it
    """

    def __init__(  # noqa: PLR0913 — what a response is
        self,
        request: Request,
        pieces: Iterable[bytes],
        headers: dict[str, str],
        *,
        status: int = 200,
        length: int | None = None,
        packs: bool = True,
    ) -> None:
        self.status_code, self.background, self._pieces = status, None, pieces
        length = sum(map(len, pieces)) if length is None else length
        rooms: Rooms = request.app.rooms
        self._way, self._seconds = rooms.way, rooms.seconds(length)
        more = {"Vary": "Accept-Encoding"} if packs else {}
        self._packs = packs and encoding.takes_gzip(header.of(request, b"accept-encoding") or "")
        if self._packs:  # how long it will be is not known
            more["Content-Encoding"] = "gzip"
        else:
            more["Content-Length"] = str(length)
        self.raw_headers = [
            (name.lower().encode(), value.encode("latin-1"))
            for name, value in {**headers, **more}.items()
        ]

    @property
    def body(self) -> bytes:  # type: ignore[override]
        """All of it, where it stands in a Bundle."""
        return b"".join(self._pieces)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 — ASGI
        head = {"type": "http.response.start", "status": self.status_code}
        await send({**head, "headers": self.raw_headers})
        if scope["method"] != "HEAD":
            try:
                async with asyncio.timeout(self._seconds) as limit:
                    await self._leave(send, Moving(limit))
            except TimeoutError:
                return  # the server closes what has not been answered to its end
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _leave(self, send: Send, moving: Moving) -> None:
        self._way.begin(moving)
        try:
            async for one in self._packed() if self._packs else self._plain():
                await send({"type": "http.response.body", "body": one, "more_body": True})
                moving.moved += len(one)
        finally:
            self._way.end(moving)

    async def _plain(self) -> AsyncIterator[bytes]:
        """In copies of what is sent at a time, so that a connection keeps no more of it than that."""
        for step in chain.from_iterable(map(_steps, _gathered(self._pieces))):
            yield bytes(step)

    async def _packed(self) -> AsyncIterator[bytes]:
        packer = zlib.compressobj(1, wbits=_GZIP)
        for step in chain.from_iterable(map(_steps, _gathered(self._pieces))):
            if packed := await asyncio.to_thread(packer.compress, step):
                yield packed
        yield packer.flush()


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same, of short ones so many together that each is worth a system call."""
    short: list[bytes] = []
    size = 0
    for one in pieces:
        if len(one) < _STEP:
            short.append(one)
            size += len(one)
        if size >= _STEP or (short and len(one) >= _STEP):
            yield b"".join(short)
            short, size = [], 0
        if len(one) >= _STEP:
            yield one
    if short:
        yield b"".join(short)


def _steps(piece: bytes) -> Iterator[memoryview]:
    view = memoryview(piece)
    for start in range(0, len(view), _STEP):
        yield view[start : start + _STEP]
