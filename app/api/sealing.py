"""Pages as others hold them: a text that says nothing, and that nobody else can make."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

from app.errors import Malformed

_SEAL_BYTES: Final = 16


def sealed(said: bytes, key: bytes, *, of: str) -> str:
    """
    What is said, closed: a page holds what it is sorted by, which may be a name or a birth date.

    The seal is a keyed hash of all of it, and begins the stream that covers it, so that no two
    texts share a stream and a changed one does not open (as SIV, https://www.rfc-editor.org/rfc/rfc5297).

    of      what it is a page of; it opens for nothing else
    """
    seal = _hash(key, b"seal", of.encode(), said)[:_SEAL_BYTES]
    return base64.urlsafe_b64encode(seal + _covered(said, key, seal)).decode().rstrip("=")


def opened(page: str, key: bytes, *, of: str) -> bytes:
    """
    What was said.

    raises      Malformed: it was not sealed here, or it is a page of something else
    """
    try:
        raw = base64.urlsafe_b64decode(page + "=" * (-len(page) % 4))
    except (binascii.Error, ValueError):
        raw = b""
    seal, covered = raw[:_SEAL_BYTES], raw[_SEAL_BYTES:]
    said = _covered(covered, key, seal)
    if not hmac.compare_digest(seal, _hash(key, b"seal", of.encode(), said)[:_SEAL_BYTES]):
        raise Malformed("_page is not one that this service has handed out for this.")
    return said


def _covered(said: bytes, key: bytes, seal: bytes) -> bytes:
    stream = bytearray()
    while len(stream) < len(said):
        stream += _hash(key, b"stream", seal, len(stream).to_bytes(8, "big"))
    return bytes(one ^ other for one, other in zip(said, stream, strict=False))


def _hash(key: bytes, *parts: bytes) -> bytes:
    whole = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hmac.digest(key, whole, hashlib.sha256)
