"""The token endpoint of a shelf, and where a client learns of it; SMART Backend Services."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.api import access, body, header, responses, target
from app.assertions import ALGORITHMS, SIGNED
from app.domain.scopes import ACTS
from app.errors import NotFound, Refusal, Unauthenticated, Unavailable
from app.flows import tokens
from app.flows.service import Service
from app.flows.tokens import Granted, NotGranted
from app.settings import Settings, Shelf

_MOST: Final = 2**14  # bytes of a form
_NOT_KEPT: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def configuration(settings: Settings, shelf: Shelf) -> Response:
    """https://hl7.org/fhir/smart-app-launch/conformance.html#using-well-known."""
    return JSONResponse(
        {
            "token_endpoint": settings.token_url(shelf.key),
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": [
                "private_key_jwt", "client_secret_basic", "client_secret_post",
            ],
            "token_endpoint_auth_signing_alg_values_supported": [*ALGORITHMS],
            "scopes_supported": ["system/*.cruds", *ACTS],
            "capabilities": [
                "client-confidential-asymmetric", "client-confidential-symmetric",
                "permission-v1", "permission-v2",
            ],
        }
    )  # fmt: skip


async def answer(service: Service, request: Request) -> Response:
    """https://www.rfc-editor.org/rfc/rfc6749#section-4.4, and section 5 for what is answered."""
    try:
        shelf = service.settings.shelves.get(target.key(request))
        if shelf is None:
            raise NotFound("There is no such tenant and shelf.")
        asked = _form(await body.form(request, most=_MOST))
        made = await _granted(service, request, shelf, asked)
    except Unavailable as refused:  # by the word of section 4.1.2.1: 5.2 has none for it
        return _refused(refused.status, "temporarily_unavailable", refused.issues[0].text)
    except Refusal as refused:
        return _refused(refused.status, "invalid_request", refused.issues[0].text)
    except NotGranted as refused:
        basic = refused.code == "invalid_client" and header.of(request, b"authorization")
        return _refused(401 if basic else 400, refused.code, refused.text)
    said = {"access_token": made.token, "token_type": "bearer", "expires_in": made.seconds}
    return JSONResponse({**said, "scope": " ".join(sorted(made.scopes))}, headers=_NOT_KEPT)


def _form(raw: bytes) -> dict[str, str]:
    pairs = target.of_query(raw)
    if len({name for name, _ in pairs}) != len(pairs):
        raise NotGranted("invalid_request", "A parameter stands twice.")
    asked = dict(pairs)
    if asked.get("grant_type") != "client_credentials":
        raise NotGranted("unsupported_grant_type", "Send grant_type=client_credentials.")
    return asked


async def _granted(
    service: Service, request: Request, shelf: Shelf, asked: dict[str, str]
) -> Granted:
    scopes, assertion = asked.get("scope", ""), asked.get("client_assertion", "")
    if assertion or "client_assertion_type" in asked:
        if asked.get("client_assertion_type") != SIGNED or not assertion:
            raise NotGranted("invalid_request", f"Send client_assertion, of the type {SIGNED}.")
        return await tokens.by_assertion(service, shelf, assertion=assertion, scopes=scopes)
    try:
        said = header.of(request, b"authorization")
        client, secret = (
            access.basic(said) if said else (asked["client_id"], asked["client_secret"])
        )
    except (KeyError, Unauthenticated):
        text = "Say who calls: by a client_assertion, or by client id and secret."
        raise NotGranted("invalid_client", text) from None
    return await tokens.by_secret(service, shelf, client=client, secret=secret, scopes=scopes)


def _refused(status: int, code: str, text: str) -> Response:
    said: dict[str, Any] = {"error": code, "error_description": text}
    more = {401: {"WWW-Authenticate": access.BASIC}, 503: responses.TRY_AGAIN}.get(status, {})
    return JSONResponse(said, status, headers={**_NOT_KEPT, **more})
