"""uvicorn's HTTP/1.1, whose answers leave in one piece, and whose requests have a bound beside their bodies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

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
# what stands in no header, https://www.rfc-editor.org/rfc/rfc9110#section-5.5
_CONTROL: Final = bytes([*range(9), *range(10, 32), 127])


class Cycle(RequestResponseCycle):
    """
    A request and its answer, whose head leaves with the first of its body.

    ASGI says head and body one after the other; to hand each to the kernel by itself costs as much
    as to read a resource, and a packet more.

    said        how often something was said
    """

    said = 0
    _head: Any = None

    async def send(self, message: Any) -> None:
        self.said += 1
        if message["type"] == "http.response.start" and not self.response_started:
            self._head = message
            return
        if (head := self._head) is not None:
            self._head = None
            if self._is_whole(head, message):
                return
            await super().send(head)
        await super().send(message)

    def _is_whole(self, head: Any, message: Any) -> bool:
        """Whether this was all of a plain answer, and is written; any other is uvicorn's to say."""
        body = message.get("body", b"")
        headers = [*self.default_headers, *head.get("headers", ())]
        lines = b"".join([b"%b: %b\r\n" % one for one in headers])
        if (
            self.scope["method"] == "HEAD"
            or self.disconnected
            or self.flow.write_paused
            or message.get("more_body")
            or (b"content-length", b"%d" % len(body)) not in headers
            or b"connection:" in lines
            or b"transfer-encoding:" in lines
            or len(lines.translate(None, _CONTROL)) != len(lines) - 2 * len(headers)
        ):
            return False
        close = b"" if self.keep_alive else b"connection: close\r\n"
        self.transport.write(b"%b%b%b\r\n%b" % (STATUS_LINE[head["status"]], lines, close, body))
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.message_event.set()
        if close:
            self.transport.close()
        self.on_response()
        return True


class Protocol(HttpToolsProtocol):
    """
    The protocol of a connection, with such cycles.

    pieces      how often something has come
    """

    pieces = 0
    _beside = 0  # bytes since somebody looked that were no body
    _looked_at: object = None  # the request that was at hand then

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

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.cycle is not None:
            self.cycle.__class__ = Cycle

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
            return now, self.pieces, self.transport.get_write_buffer_size(), now.said  # type: ignore[attr-defined]
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
