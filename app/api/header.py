"""A header of a request, looked up as it came."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.types import Scope

from app.errors import Malformed

_FIRST: Final = "kinbridge.header"  # a scope is one request's, and its headers stay as they are


def every(request: Request, name: bytes) -> str:
    """As listed, "" where there is none."""
    return listed(request, name) or ""


def listed(request: Request, name: bytes) -> str | None:
    """
    The headers of this name as one list, None where there is none.

    source      https://www.rfc-editor.org/rfc/rfc9110#section-5.3
    """
    if first(request.scope, name) is None:
        return None
    return b", ".join(_all(request, name)).decode("latin-1").strip()


def sole(request: Request, name: bytes) -> str | None:
    """
    A header that says one thing, in UTF-8, or in Latin-1 where it is none; None where there is none.

    raises      Malformed: it stands twice
    """
    said = _all(request, name)
    if not said:
        return None
    if len(said) > 1:
        raise Malformed(f"{name.decode().title()} stands twice; send it once.")
    try:
        return said[0].decode()
    except UnicodeDecodeError:
        return said[0].decode("latin-1")


def of(request: Request, name: bytes) -> str | None:
    """
    The first header of this name, None where there is none.

    name        in lower case, as ASGI hands them on
    """
    found = first(request.scope, name)
    return None if found is None else found.decode("latin-1")


def first(scope: Scope, name: bytes) -> bytes | None:
    """The same as it came; most doors ask for several, and most are not there."""
    found: dict[bytes, bytes] | None = scope.get(_FIRST)
    if found is None:
        found = scope[_FIRST] = dict(reversed(scope["headers"]))
    return found.get(name)


def _all(request: Request, name: bytes) -> list[bytes]:
    return [value for one, value in request.scope["headers"] if one == name]
