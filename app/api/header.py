"""A header of a request, looked up as it came: most requests have few, and most doors ask for one."""

from __future__ import annotations

from starlette.requests import Request


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
