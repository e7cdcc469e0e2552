"""gzip, both ways: answers that are worth it, bodies within a limit that no bomb gets past."""

from __future__ import annotations

import asyncio
import zlib
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api import header
from app.errors import Malformed, TooLarge, WrongMediaType
from app.known import Known

# Below it three packets carry the answer, and packing costs more time than it saves.
_WORTH: Final = 4096
_LONG: Final = 2**18  # 256 KiB take 2 ms at level 1: more is packed beside the event loop
_STEP: Final = 2**16
_MEMBERS: Final = 1000  # each costs some 50 µs, however little is in it
_GZIP_OR_ZLIB: Final = zlib.MAX_WBITS | 32
_GZIP: Final = zlib.MAX_WBITS | 16

_known_name: Final = Known(lambda name: name.lower().encode())  # those that we say


class Whole(Response):
    """A response whose headers are said as they are, and none is looked for or added but the length."""

    def __init__(self, body: bytes, status: int, headers: dict[str, str]) -> None:
        self.status_code, self.body, self.background = status, body, None
        self.raw_headers = [
            (_known_name[name], value.encode("latin-1")) for name, value in headers.items()
        ]
        self.raw_headers.append((b"content-length", b"%d" % len(body)))


class Packed(Response):
    """A response that gzips its body; what is long is packed in a thread."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = bytes(self.body)
        long = len(body) > _LONG
        self.body = await asyncio.to_thread(_pack, body) if long else _pack(body)
        self.headers["Content-Length"] = str(len(self.body))
        await super().__call__(scope, receive, send)


def response(request: Request, body: bytes, status: int, headers: dict[str, str]) -> Response:
    """The response, packed where it is worth it and the caller takes it."""
    if len(body) < _WORTH:
        return Whole(body, status, headers)
    headers = {**headers, "Vary": "Accept-Encoding"}
    if not takes_gzip(header.of(request, b"accept-encoding") or ""):
        return Whole(body, status, headers)
    return Packed(body, status, {**headers, "Content-Encoding": "gzip"})


def takes_gzip(header: str) -> bool:
    """Whether Accept-Encoding names it; https://www.rfc-editor.org/rfc/rfc9110#name-accept-encoding."""
    said = {}
    for one in header.lower().split(","):
        name, _, quality = one.partition(";")
        said[name.strip()] = quality.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return said.get("gzip", said.get("*", False))


def _pack(body: bytes) -> bytes:
    packer = zlib.compressobj(1, wbits=_GZIP)  # level 6 saves 7 % and costs 60 % more time
    return packer.compress(body) + packer.flush()


class Unpacking:
    """
    A body as it arrives, unpacked as its Content-Encoding says.

    most        bytes that it may have when it is unpacked
    raises      WrongMediaType: another encoding than gzip and deflate
    """

    def __init__(self, encoding: str, most: int) -> None:
        names = [one.strip() for one in encoding.lower().split(",")]
        names = [one for one in names if one not in {"", "identity"}]
        if len(names) > 1 or not set(names) <= {"gzip", "x-gzip", "deflate"}:
            raise WrongMediaType("Send the body as it is, or with Content-Encoding: gzip.")
        self._packed = bool(names)
        self._unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._most = most
        self._came = 0
        self._members = 1
        self.body = bytearray()

    def add(self, chunk: bytes) -> None:
        """Raises TooLarge: over the limit, as soon as it is; Malformed: no gzip."""
        if not self._packed:
            self._keep(chunk)
            return
        self._came += len(chunk)
        if self._came > self._most:  # what unpacks to nothing would never end
            raise TooLarge(f"The body may have {self._most} bytes, packed too.")
        try:
            while chunk:
                if self._unpacker.eof:  # a gzip file may have several members
                    self._another()
                self._keep(self._unpacker.decompress(chunk, _STEP))
                chunk = self._unpacker.unconsumed_tail or self._unpacker.unused_data
        except zlib.error:
            raise Malformed("The body is not what its Content-Encoding says.") from None

    def end(self) -> bytes:
        """Raises Malformed: it is not whole."""
        if self._packed and not self._unpacker.eof:
            raise Malformed("The body ends before its Content-Encoding does.")
        whole = bytes(self.body)
        self.body.clear()
        return whole

    def _another(self) -> None:
        self._members += 1
        if self._members > _MEMBERS:
            raise TooLarge(f"A packed body has {_MEMBERS} members at most; pack it in one.")
        self._unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)

    def _keep(self, chunk: bytes) -> None:
        self.body += chunk
        if len(self.body) > self._most:
            raise TooLarge(f"The body may have {self._most} bytes.")
