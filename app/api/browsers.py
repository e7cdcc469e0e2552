"""What a page of another origin may ask of this service in a browser, and read of its answers."""

from __future__ import annotations

from typing import Any, Final

# https://fetch.spec.whatwg.org/#http-cors-protocol; no cookies: who calls has a Bearer token, or a password
_METHODS: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_SENT: Final = (
    "Accept", "Authorization", "Content-Type", "If-Match", "If-Modified-Since", "If-None-Exist",
    "If-None-Match", "Prefer", "X-Request-Id", "X-Requested-With", "X-Security-Context",
)  # fmt: skip
_READ: Final = (
    "Allow", "Content-Location", "ETag", "Last-Modified", "Location", "Retry-After", "WWW-Authenticate",
    "X-Request-Id",
)  # fmt: skip


def options(origins: tuple[str, ...]) -> dict[str, Any]:
    """Starlette's CORSMiddleware, for pages of these origins."""
    return {
        "allow_origins": origins,
        "allow_methods": _METHODS,
        "allow_headers": _SENT,
        "expose_headers": _READ,
    }
