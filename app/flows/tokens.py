"""An access token for a client that says who it is; SMART Backend Services."""

from __future__ import annotations

from typing import Final, Literal

import structlog
from msgspec import Struct

from app import assertions
from app.assertions import LIFETIME_SECONDS, Doubted, Key, Said
from app.domain.scopes import granted
from app.errors import Refusal
from app.flows.service import Service
from app.settings import Shelf
from app.storage import keys
from app.storage.database import NONE
from app.storage.keys import Client

_MOST_JWKS: Final = 2**16  # bytes
_UNKNOWN: Final = "There is no such client on this shelf, or that is not its secret or key."
_log = structlog.get_logger()


Code = Literal["invalid_client", "invalid_request", "invalid_scope", "unsupported_grant_type"]


class NotGranted(Exception):  # noqa: N818 — an answer, as OAuth has it
    """
    code    https://www.rfc-editor.org/rfc/rfc6749#section-5.2
    text    what to do
    """

    def __init__(self, code: Code, text: str) -> None:
        self.code, self.text = code, text
        super().__init__(text)


class Granted(Struct, frozen=True):
    """seconds: of the token's life."""

    token: str
    scopes: frozenset[str]
    seconds: int


async def by_secret(
    service: Service, shelf: Shelf, *, client: str, secret: str, scopes: str
) -> Granted:
    """
    For a client that has a secret.

    scopes      as domain.scopes.granted takes them
    raises      NotGranted
    """
    known = await service.callers.registered(client)
    if known is None or known.shelf != shelf.key or not known.has(secret):
        raise NotGranted("invalid_client", _UNKNOWN)
    return _granted(service, known, scopes)


async def by_assertion(service: Service, shelf: Shelf, *, assertion: str, scopes: str) -> Granted:
    """
    For a client that signs; each of its assertions opens once.

    raises      NotGranted
    source      https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html
    """
    now = service.clock().timestamp()
    try:
        known = await service.callers.registered(assertions.named(assertion))
        if known is None or known.shelf != shelf.key or not known.keys:
            raise NotGranted("invalid_client", _UNKNOWN)
        url = service.settings.token_url(shelf.key)
        said = assertions.read(assertion, await _keys(service, known), audience=url, now=now)
    except Doubted as doubt:
        raise NotGranted("invalid_client", str(doubt)) from None
    if not await _first(service, said, now):
        raise NotGranted(
            "invalid_client", "This assertion was used; make a new one, with its own jti."
        )
    return _granted(service, known, scopes)


async def _keys(service: Service, client: Client) -> list[Key]:
    """
    Those of the client as they are now: it changes them by itself where it has registered a URL.

    raises      Doubted: they cannot be had
    """
    text: str | bytes = client.keys
    try:
        if client.keys.startswith("https://"):
            text = await service.partners.shared(client.keys, most=_MOST_JWKS)
        return assertions.keys_of(text)
    except (Refusal, ValueError) as error:
        _log.warning("keys cannot be read", client=client.id, error=type(error).__name__)
        raise Doubted("The keys that this client has registered cannot be read.") from None


async def _first(service: Service, said: Said, now: float) -> bool:
    return await service.database.write(lambda tx: keys.say(tx, said, now=now), shelves=NONE)


def _granted(service: Service, client: Client, asked: str) -> Granted:
    scopes = granted(asked, client.scopes)
    if not scopes:
        text = (
            f"Ask for some of what this client is registered for: {' '.join(sorted(client.scopes))}"
        )
        raise NotGranted("invalid_scope", text)
    return Granted(service.callers.token(client, scopes), scopes, LIFETIME_SECONDS)
