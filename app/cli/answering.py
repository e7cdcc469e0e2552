"""uvicorn's HTTP/1.1, whose answers leave in one piece."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app import fhir
from app.errors import Malformed

_UNREADABLE: Final = (
    "This is no HTTP request that can be read. In its URL escape all that is not ASCII, ü as %C3%BC;"
    " a URL has 64 KiB at most, so send a long search by POST to _search."
)


class _Whole:
    """
    A transport that keeps the head of an answer until the first of its body comes.

    ASGI says head and body one after the other; to hand each to the kernel by itself costs as much
    as to read a resource, and a packet more.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 1"):
            self._head = data
            return
        self._transport.write(data)

    def flush(self) -> None:
        """What is still kept: an answer has no body, or this was no head."""
        if self._head:
            data, self._head = self._head, b""
            self._transport.write(data)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Protocol(HttpToolsProtocol):
    """The protocol of a connection, on such a transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(_Whole(transport))  # type: ignore[arg-type]

    def eof_received(self) -> bool:  # type: ignore[override]  # its None closes, as False
        """Who has sent its request, and says that it sends no more, gets its answer all the same."""
        last = self.cycle
        if last is None or last.response_complete or last.more_body:
            return False
        last.keep_alive = False
        return True

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 — it says less
        """What is no request is refused as every other is."""
        body = fhir.encode(Malformed(_UNREADABLE).outcome())
        head = (
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/fhir+json; charset=utf-8\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        )
        self.transport.write(head + body)
        self.transport.close()

    def on_response_complete(self) -> None:
        self.transport.flush()  # type: ignore[attr-defined]
        super().on_response_complete()
