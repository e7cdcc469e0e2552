"""Who calls, which shelf, and what for; SMART Backend Services will come in by the same door."""

from __future__ import annotations

import base64

from starlette.requests import Request

from app.api import header, view
from app.domain.change import Caller
from app.errors import NotFound, Unauthenticated
from app.flows.service import Service
from app.settings import Shelf

ANYONE = Caller("anonymous")


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

    raises      Unauthenticated: a client is needed, or id and secret do not belong together
    """
    if service.settings.loopback and await service.callers.nobody():
        return None
    name, secret = _basic(header.of(request, b"authorization") or "")
    known = await service.callers.known(name, secret)
    if known is None:
        raise Unauthenticated("The client id and secret do not belong together.")
    return known


def _basic(header: str) -> tuple[str, str]:
    """https://www.rfc-editor.org/rfc/rfc7617."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise Unauthenticated("Send the client id and secret by HTTP Basic.")
    try:
        client, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:  # no base64, or no UTF-8 in it
        raise Unauthenticated("The Authorization header is not HTTP Basic.") from None
    if not colon:
        raise Unauthenticated("The Authorization header is not HTTP Basic.")
    return client, secret
