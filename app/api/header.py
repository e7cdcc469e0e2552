"""A header of a request, looked up as it came: most requests have few, and most doors ask for one."""

from __future__ import annotations

from starlette.requests import Request

from app.errors import Malformed


def every(request: Request, name: bytes) -> str:
    """As listed, "" where there is none."""
    return listed(request, name) or ""


def listed(request: Request, name: bytes) -> str | None:
    """
    The headers of this name as one list, None where there is none.

    source      https://www.rfc-editor.org/rfc/rfc9110#section-5.3
    """
    said = [value for one, value in request.scope["headers"] if one == name]
    return b", ".join(said).decode("latin-1").strip() if said else None


def sole(request: Request, name: bytes) -> str | None:
    """
    A header that says one thing, in UTF-8, or in Latin-1 where it is none; None where there is none.

    raises      Malformed: it stands twice
    """
    said = [value for one, value in request.scope["headers"] if one == name]
    if not said:
        return None
    if len(said) > 1:
        raise Malformed(f"{name.decode().title()} stands twice; send it once.")
    try:
        return str(said[0].decode())
    except UnicodeDecodeError:
        return str(said[0].decode("latin-1"))


def of(request: Request, name: bytes) -> str | None:
    """
    The first header of this name, None where there is none.

    name        in lower case, as ASGI hands them on
    """
    for one, value in request.scope["headers"]:
        if one == name:
            found: str = value.decode("latin-1")
            return found
    return None
