"""
Signed words: a client's, by which it says who it is, and our own, by which it enters its shelf.

source      https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

if TYPE_CHECKING:
    from joserfc.jws import CompactSignature

Key = dict[str, Any]  # a JWK, https://www.rfc-editor.org/rfc/rfc7517

ALGORITHMS: Final = ("ES384", "RS384")
SIGNED: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"  # its type, RFC 7523
LIFETIME_SECONDS: Final = 300  # of a word, the client's and ours
_SKEW_SECONDS: Final = 60  # by which two clocks may differ
_MOST_KEYS: Final = 32
_LEAST_MODULUS: Final = 342  # base64url characters of 2048 bits
_KINDS: Final = {"EC": "ES384", "RSA": "RS384"}
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class _Jose:
    """The library; it is 10 MiB of a process, so it is there only once something is signed."""

    def __init__(self) -> None:
        from joserfc import jwk, jws, jwt  # noqa: PLC0415 — as above
        from joserfc.errors import JoseError  # noqa: PLC0415

        self.jwk, self.jws, self.jwt = jwk, jws, jwt
        # clients add members of their own to the header
        self.signed = jws.JWSRegistry(algorithms=[*ALGORITHMS], strict_check_header=False)
        self.unreadable = (
            JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError,
        )  # fmt: skip


@cache
def _jose() -> _Jose:
    return _Jose()


class Doubted(Exception):  # noqa: N818 — who said it is told what was wrong with it
    """It is not signed by who is said to say it, not meant for us, or not for now; the text says which."""


class Said(Struct, frozen=True):
    """
    A client's word that holds.

    id      jti: each may be said once
    until   UNIX seconds
    """

    client: str
    id: str
    until: float


def named(assertion: str) -> str:
    """
    Who an assertion says that it is from; nothing of it is verified.

    raises      Doubted: it is no assertion
    """
    try:
        said = json.loads(_parts(assertion).payload)["iss"]
    except _jose().unreadable:
        raise Doubted("The client_assertion is no signed JWT with iss.") from None
    return str(said)


def read(assertion: str, keys: Sequence[Key], *, audience: str, now: float) -> Said:
    """
    What a client says, once its signature and its claims hold.

    keys        those that the client has registered
    audience    the URL at which it is said
    now         UNIX seconds
    raises      Doubted
    """
    try:
        header = _parts(assertion).headers()
        kind, identity = header.get("alg"), header.get("kid")
    except _jose().unreadable:
        raise Doubted("The client_assertion is no signed JWT.") from None
    if kind not in ALGORITHMS:
        raise Doubted(f"Sign with {' or '.join(ALGORITHMS)}.")
    fitting = [one for one in keys if (one["kid"], _KINDS[one["kty"]]) == (identity, kind)]
    if not fitting:
        raise Doubted("None of the client's keys has this kid and algorithm.")
    jose = _jose()
    for one in fitting:
        try:
            token = jose.jwt.decode(assertion, jose.jwk.import_key(one), registry=jose.signed)
        except jose.unreadable:
            continue
        return _held(token.claims, audience, now)
    raise Doubted("The signature is not the client's.")


def _held(claims: Mapping[str, Any], audience: str, now: float) -> Said:
    said = claims.get("aud")
    if audience not in (said if isinstance(said, list) else [said]):
        raise Doubted(f"aud is not {audience}.")
    client, until, identity = claims.get("iss"), claims.get("exp"), claims.get("jti")
    if not isinstance(client, str) or claims.get("sub") != client:
        raise Doubted("iss and sub are not both the client's id.")
    if isinstance(until, bool) or not isinstance(until, int | float):
        raise Doubted("exp is missing.")
    if not now - _SKEW_SECONDS < until <= now + LIFETIME_SECONDS + _SKEW_SECONDS:
        raise Doubted(f"exp is past, or more than {LIFETIME_SECONDS} seconds ahead.")
    begins = claims.get("nbf", 0)
    if not isinstance(begins, int | float) or begins > now + _SKEW_SECONDS:
        raise Doubted("nbf is still to come.")
    if not isinstance(identity, str) or not identity:
        raise Doubted("jti is missing.")
    return Said(client, identity, until + _SKEW_SECONDS)


def _parts(assertion: str) -> CompactSignature:
    jose = _jose()
    parts: CompactSignature = jose.jws.extract_compact(assertion.encode(), registry=jose.signed)
    return parts


def make(client: str, audience: str, key: Key, *, now: float, identity: str) -> str:
    """
    The assertion by which we say who we are at a partner's token endpoint.

    key         private, as `fresh` makes it
    now         UNIX seconds
    """
    kind = _KINDS[key["kty"]]
    claims = {
        "iss": client, "sub": client, "aud": audience, "jti": identity,
        "iat": int(now), "exp": int(now) + LIFETIME_SECONDS - _SKEW_SECONDS,
    }  # fmt: skip
    jose = _jose()
    head = {"alg": kind, "kid": key["kid"]}
    made: str = jose.jwt.encode(head, claims, jose.jwk.import_key(key), [kind])
    return made


def fresh() -> Key:
    """A private key for ES384; its kid is its thumbprint, https://www.rfc-editor.org/rfc/rfc7638."""
    made = _jose().jwk.ECKey.generate_key("P-384")
    known = {"kid": made.thumbprint(), "alg": "ES384", "use": "sig"}
    return {**made.as_dict(private=True), **known}


def public(key: Key) -> Key:
    """What others may know of it."""
    return {name: value for name, value in key.items() if name not in _PRIVATE}


def keys_of(text: str | bytes) -> list[Key]:
    """
    The public keys of a JWKS, or of one JWK, by which an assertion can be signed.

    raises      ValueError: it is none, it has a private key, or no key that will do; says which
    """
    try:
        sent = json.loads(text)
        found = sent.get("keys", [sent])[:_MOST_KEYS]
        private = any(_PRIVATE & one.keys() for one in found)
        usable = [] if private else [one for one in found if _usable(one)]
    except _jose().unreadable:
        raise ValueError("this is no JWKS") from None
    if private:
        raise ValueError("there is a private key in it; give the public ones alone")
    if not usable:
        raise ValueError("no key in it will do: EC P-384 or RSA from 2048 bits, with a kid")
    return usable


def private_of(text: str | bytes) -> Key:
    """
    One private key that can sign an assertion.

    raises      ValueError: it is none
    """
    try:
        key = json.loads(text)
        signs = "d" in key and _usable(key)
    except _jose().unreadable:
        signs = False
    if not signs:
        raise ValueError("this is no private JWK with a kid, EC P-384 or RSA from 2048 bits")
    return dict(key)


def _usable(key: Key) -> bool:
    """Raises what `import_key` raises where it is no key."""
    kind = key.get("kty")
    fits = key.get("crv") == "P-384" if kind == "EC" else len(key.get("n", "")) >= _LEAST_MODULUS
    if kind not in _KINDS or not fits or not isinstance(key.get("kid"), str):
        return False
    if key.get("use", "sig") != "sig":
        return False
    _jose().jwk.import_key(key)
    return True


def sealed(secret: bytes, claims: Mapping[str, Any]) -> str:
    """Our own word: an access token."""
    jose = _jose()
    made: str = jose.jwt.encode(
        {"alg": "HS256"}, dict(claims), jose.jwk.OctKey.import_key(secret), ["HS256"]
    )
    return made


def opened(secret: bytes, token: str) -> dict[str, Any] | None:
    """What our own word says; None for what we have not said."""
    jose = _jose()
    try:
        return dict(jose.jwt.decode(token, jose.jwk.OctKey.import_key(secret), ["HS256"]).claims)
    except jose.unreadable:
        return None
