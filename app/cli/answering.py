"""uvicorn's HTTP/1.1, whose answers leave in one piece, and whose requests have a bound beside their bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app import fhir
from app.errors import Malformed, Refusal, TooLarge

_UNREADABLE: Final = (
    "This is no HTTP request that can be read. In its URL escape all that is not ASCII, ü as %C3%BC;"
    " a URL has 64 KiB at most, so send a long search by POST to _search."
)
_TOO_LONG: Final = (
    "The head of a request has 128 KiB at most, and so has all that stands between the pieces of its"
    " body and after it."
)
_MOST_BESIDE: Final = 2**17  # bytes
_ASKING: Final = frozenset({b"connection", b"http2-settings", b"upgrade"})
_LOOKS: Final = 3  # after the first


class _Whole:
    """
    A transport that keeps the head of an answer until the first of its body comes.

    ASGI says head and body one after the other; to hand each to the kernel by itself costs as much
    as to read a resource, and a packet more.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self.written = 0  # how often
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def write(self, data: bytes) -> None:
        self.written += 1
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
    """
    The protocol of a connection, on such a transport.

    pieces      how often something has come
    """

    pieces = 0
    _beside = 0  # bytes since somebody looked that were no body
    _looked_at: object = None  # the request that was at hand then

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(_Whole(transport))  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        """Whoever comes here may send headers without end; httptools would keep all of them."""
        self.pieces += 1
        self._beside += len(data)
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as asked:
            self._stay(data[asked.args[0] :])
        except HttpParserError:
            self.send_400_response("")
        if self._beside > _MOST_BESIDE:
            self._look()

    def _should_upgrade(self) -> bool:
        """Then uvicorn begins nothing, and data_received hears of it."""
        return self._get_upgrade() is not None

    def _stay(self, rest: bytes) -> None:
        """
        A request that would rather go on in another protocol is read again, as one that would not.

        Java's own client asks so for HTTP/2 with whatever it sends first; httptools takes its body for
        something else, and it would be lost.

        rest        what came after the head
        source      https://www.rfc-editor.org/rfc/rfc9110#section-7.8
        """
        ends = any(
            name == b"connection" and b"close" in value.lower() for name, value in self.headers
        )
        kept = [one for one in self.headers if one[0] not in _ASKING]
        lines = [b"%b: %b\r\n" % one for one in kept] + [b"connection: close\r\n"] * ends
        method, version = self.scope["method"].encode(), self.scope["http_version"].encode()
        head = b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, b"".join(lines))
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
        try:
            self.parser.feed_data(head + rest)
        except (HttpParserError, HttpParserUpgrade):
            self.send_400_response("")

    def on_body(self, body: bytes) -> None:
        """A piece may be as long as what says how long it is."""
        self._beside = max(0, self._beside - 2 * len(body))
        super().on_body(body)

    def _look(self) -> None:
        """
        All that came since the last look is this request's, if it was at hand then too.

        What earlier ones on the connection have left makes the first look one too early, so that a later
        request may have twice as much.
        """
        if self._looked_at is self.cycle:
            self._refuse(b"431 Request Header Fields Too Large", TooLarge(_TOO_LONG))
        self._looked_at, self._beside = self.cycle, 0

    def moved(self) -> object:
        """
        What changes as long as the other side does something; None where it is our turn.

        It is theirs to ask, to send the rest of what they ask, and to take what is answered.
        """
        now = self.cycle
        if now is not None and not now.response_complete:
            if not (now.more_body or self.flow.write_paused):
                return None
            kept = self.transport
            return now, self.pieces, kept.get_write_buffer_size(), kept.written  # type: ignore[attr-defined]
        return now, self.pieces

    def end(self) -> None:
        self.transport.abort()

    def eof_received(self) -> bool:  # type: ignore[override]  # its None closes, as False
        """Who has sent its request, and says that it sends no more, gets its answer all the same."""
        last = self.cycle
        if last is None or last.response_complete or last.more_body:
            return False
        last.keep_alive = False
        return True

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 — it says less
        """What is no request is refused as every other is."""
        self._refuse(b"400 Bad Request", Malformed(_UNREADABLE))

    def _refuse(self, status: bytes, refusal: Refusal) -> None:
        if self.cycle is not None and self.cycle.response_started != self.cycle.response_complete:
            self.end()  # in the middle of an answer nothing else can be said
            return
        body = fhir.encode(refusal.outcome())
        head = (
            b"HTTP/1.1 %b\r\ncontent-type: application/fhir+json; charset=utf-8\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n" % (status, len(body))
        )
        self.transport.write(head + body)
        self.transport.close()

    def on_response_complete(self) -> None:
        self.transport.flush()  # type: ignore[attr-defined]
        super().on_response_complete()


class Still:
    """
    Ends the connections on which nothing has moved for a while.

    Each takes one of the files that a process may have open, of which there may be a thousand; who opens
    as many and says nothing would close the service to everybody else. What works here is never ended.
    """

    def __init__(self) -> None:
        self._seen: dict[Protocol, tuple[object, int]] = {}

    def look(self, connections: Iterable[Any]) -> None:
        """To be called again and again: what is found the fourth time as it was the first, ends."""
        seen = {}
        for one in [each for each in connections if isinstance(each, Protocol)]:
            moved = one.moved()
            if moved is None:
                continue
            before, times = self._seen.get(one, (None, 0))
            times = times + 1 if moved == before else 0
            if times == _LOOKS:
                one.end()
            else:
                seen[one] = (moved, times)
        self._seen = seen
