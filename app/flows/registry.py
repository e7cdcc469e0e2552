"""
FHIR packages from a registry, by the protocol that HL7's registries share with npm.

source      https://confluence.hl7.org/display/FHIR/FHIR+Package+Registry+User+Documentation
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from app import fhir
from app.conformance import packages
from app.conformance.packages import Package
from app.errors import Invalid, Malformed, NotFound
from app.partners import Partners

MAX_LISTING: Final = 16 * 2**20
MAX_PACKAGES: Final = 64  # with all that they depend on
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,59}|")


@dataclass(frozen=True, slots=True)
class Fetched:
    """
    origin      the URL that it came from
    sha256      of the archive
    """

    package: Package
    origin: str
    sha256: str


async def fetch(
    partners: Partners, registry: str, name: str, wanted: str, *, sha256: str = ""
) -> Fetched:
    """
    One package.

    wanted      a version, `7.0.x` for the newest of 7.0, `latest` or "" for what the registry says
    sha256      what the archive has to have; "" leaves it to the checksum of the registry
    raises      NotFound: the registry has no such package or version
                Invalid: the checksum is another, or there is none, or it is another package
                Malformed, Unavailable: as Partners.fetch and packages.read_archive
    """
    if not _NAME.fullmatch(name) or not _VERSION.fullmatch(wanted):
        raise Malformed("A package is named as NAME@VERSION.")
    listing = fhir.decode(await partners.fetch(f"{registry}/{name}", most=MAX_LISTING))
    try:
        version = _version(listing, wanted)
        said = listing["versions"][version]
        dist = said.get("dist") or {}
    except (KeyError, TypeError, AttributeError):
        raise NotFound(f"The registry has no {name} {wanted}.".replace(" .", ".")) from None
    origin = str(dist.get("tarball") or f"{registry}/{name}/{version}")
    if urlsplit(origin).scheme != "https" and _site(origin) != _site(registry):
        raise Invalid("The registry sends to a place that is neither itself nor https.")
    raw = await partners.fetch(origin, most=packages.MAX_ARCHIVE)
    digest = hashlib.sha256(raw).hexdigest()
    _checked(raw, digest, dist, sha256)
    package = packages.read_archive(raw)
    if (package.name, package.version) != (name, version):
        raise Invalid("The archive is another package than the registry says.")
    return Fetched(package, origin, digest)


def _site(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _version(listing: Any, wanted: str) -> str:
    """The version that is meant; KeyError where there is none."""
    known = listing["versions"]
    if wanted in ("", "latest"):
        return str(listing["dist-tags"]["latest"])
    if wanted in known:
        return wanted
    stem = wanted.removesuffix(".x")
    fitting = [one for one in known if stem != wanted and one.startswith(stem + ".")]
    if not fitting:
        raise KeyError(wanted)
    return str(max(fitting, key=packages.order))


def _checked(raw: bytes, sha256: str, dist: Any, pinned: str) -> None:
    """
    The archive is what was promised.

    source      https://www.w3.org/TR/SRI/ for `integrity`; `shasum` is SHA-1, as npm has it
    """
    promised = {
        "sha256": (pinned.lower(), sha256),
        "shasum": (str(dist.get("shasum") or "").lower(), hashlib.sha1(raw).hexdigest()),  # noqa: S324 — npm's protocol
        "integrity": (str(dist.get("integrity") or ""), _integrity(raw, dist)),
    }
    given = {name: both for name, both in promised.items() if both[0]}
    if not given:
        raise Invalid("The registry gives no checksum; say which the archive has by --sha256.")
    for name, (said, found) in given.items():
        if said != found:
            raise Invalid(f"The archive's {name} is not what it should be; it was not added.")


def _integrity(raw: bytes, dist: Any) -> str:
    kind = str(dist.get("integrity") or "").partition("-")[0]
    if kind not in ("sha256", "sha384", "sha512"):
        return ""
    return f"{kind}-{base64.b64encode(hashlib.new(kind, raw).digest()).decode()}"


async def fetch_all(
    partners: Partners, registry: str, first: Fetched, have: set[str]
) -> list[Fetched]:
    """
    What a package depends on, and what that depends on; what is there already is left out.

    have        names of packages that need not be fetched
    """
    found: list[Fetched] = []
    seen = {*have, first.package.name}
    queue = sorted(first.package.dependencies.items())
    while queue and len(found) < MAX_PACKAGES:
        name, version = queue.pop(0)
        if name in seen:
            continue
        seen.add(name)
        one = await fetch(partners, registry, name, version)
        found.append(one)
        queue += sorted(one.package.dependencies.items())
    return found
