"""Who calls, which shelf, and what for: a registered client, by its secret or by an access token."""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request

from app.api import header, view
from app.domain.change import Caller
from app.errors import Forbidden, NotFound, Unauthenticated
from app.flows.service import Service
from app.settings import Shelf, is_near

ANYONE = Caller("anonymous")
BASIC: Final = 'Basic realm="kinbridge", charset="UTF-8"'


async def enter(service: Service, request: Request) -> tuple[Shelf, Caller]:
    """
    The shelf in the path, and the caller if it may enter.

    raises      NotAcceptable: a format that we do not write, said before anything is done
                Unauthenticated: as client
                NotFound: there is no such shelf, or it is not this client's; nobody learns which
    """
    view.acceptable(request)
    key = f"{request.path_params['tenant']}/{request.path_params['shelf']}"
    shelf = service.settings.shelves.get(key)
    own, caller = await client(service, request) or (key, ANYONE)
    if shelf is None or own != key:
        raise NotFound("There is no such tenant and shelf for this client.")
    return shelf, caller


async def client(service: Service, request: Request) -> tuple[str, Caller] | None:
    """
    The registered client that calls, and its shelf; None where everyone may.

    Everyone may on loopback, as long as no client is registered, and nowhere else.

    raises      Unauthenticated: a client is needed, id and secret do not belong together, or the
                access token opens nothing
                Forbidden: everyone may, and this was sent to another's name
    """
    if service.settings.loopback and await service.callers.nobody():
        _meant(service, request)
        return None
    said = header.of(request, b"authorization") or ""
    if is_bearer(said):
        known = await service.callers.by_token(said[len("Bearer ") :].strip())
        if known is None:
            raise Unauthenticated("The access token has ended, or was never given; get a new one.")
        return known
    known = await service.callers.by_secret(*basic(said))
    if known is None:
        raise Unauthenticated("The client id and secret do not belong together.")
    return known


def _meant(service: Service, request: Request) -> None:
    """
    Raises Forbidden: the request is meant for another host than this service.

    A page of anybody's site, opened in a browser on this machine, can have its own name lead here and
    read what it likes. A name without a dot is nobody's on the net.
    """
    host = header.of(request, b"host")
    if host is not None and not _is_ours(host):
        text = (
            "No client is registered, so this service answers to this machine's own names alone."
            " Register a client with `kinbridge client add`."
        )
        raise Forbidden(text)
    if "*" in service.settings.cors_origins and header.of(request, b"origin") is not None:
        text = (
            "No client is registered, so a page of any site could read this. Register a client with"
            " `kinbridge client add`, or name the origins in cors_origins."
        )
        raise Forbidden(text)


@lru_cache(maxsize=64)
def _is_ours(host: str) -> bool:
    """Whether a Host header names this machine; its port says nothing."""
    try:
        return is_near(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


def is_bearer(said: str) -> bool:
    """https://www.rfc-editor.org/rfc/rfc6750#section-2.1."""
    return said[: len("Bearer ")].lower() == "bearer "


def basic(said: str) -> tuple[str, str]:
    """
    Client id and secret.

    raises      Unauthenticated: it is not HTTP Basic
    source      https://www.rfc-editor.org/rfc/rfc7617
    """
    scheme, _, encoded = said.partition(" ")
    if scheme.lower() != "basic":
        text = "Send the client id and secret by HTTP Basic, or an access token as Bearer."
        raise Unauthenticated(text)
    try:
        client, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:  # no base64, or no UTF-8 in it
        raise Unauthenticated("The Authorization header is not HTTP Basic.") from None
    if not colon:
        raise Unauthenticated("The Authorization header is not HTTP Basic.")
    return client, secret
