"""Code systems that nobody lists whole: what can be told of a code by its form and by a registry."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Final

from app.fhirpath import ucum

Grammar = Callable[[str], bool | None]

_PART: Final = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_MEDIA: Final = re.compile(rf"{_PART}/{_PART}(?:\s*;\s*[^;\s=]+=(?:\"[^\"]*\"|[^;\s\"]*))*")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*")
_COUNTRY: Final = re.compile(r"[A-Z]{2,3}|[0-9]{3}")
_SUBDIVISION: Final = re.compile(r"[A-Z]{2}-[A-Z0-9]{1,3}")
_AREA: Final = re.compile(r"[0-9]{3}")
_MAX_TAG: Final = 100

# Systems that may be named to a person; another's address came with the resource and is its own.
# https://hl7.org/fhir/R4/terminologies-systems.html
PUBLIC: Final = frozenset(
    {
        "http://hl7.org/fhir/sid/cvx",
        "http://hl7.org/fhir/sid/icd-10",
        "http://hl7.org/fhir/sid/icd-10-cm",
        "http://hl7.org/fhir/sid/ndc",
        "http://loinc.org",
        "http://snomed.info/sct",
        "http://www.ama-assn.org/go/cpt",
        "http://www.cms.gov/Medicare/Coding/ICD10",
        "http://www.nlm.nih.gov/research/umls/rxnorm",
        "https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
    }
)


def of(system: str) -> Grammar | None:
    """
    What tells whether a system has a code; None where the system has no grammar.

    The answer is True, False, or None: well formed, and may not exist all the same.
    """
    return _GRAMMARS.get(system)


@lru_cache(maxsize=4096)
def _language(code: str) -> bool | None:
    """A tag of BCP 47 whose subtags are registered."""
    if len(code) > _MAX_TAG or not _LANGUAGE.fullmatch(code):
        return False
    import langcodes  # noqa: PLC0415 — 40 ms that only those wait for who send languages

    return bool(langcodes.tag_is_valid(code))


@cache
def _currencies() -> frozenset[str]:
    import iso4217  # noqa: PLC0415 — read by those only who send money

    return frozenset(one.code for one in iso4217.Currency)


def _currency(code: str) -> bool | None:
    if code in _currencies():
        return True
    return None if re.fullmatch(r"[A-Z]{3}", code) else False  # DEM was one


def _media(code: str) -> bool | None:
    """Any type/subtype, registered or not; xml, json and ttl may stand in CapabilityStatement.format alone."""
    return None if code in {"xml", "json", "ttl"} else bool(_MEDIA.fullmatch(code))


def _by(form: re.Pattern[str]) -> Grammar:
    return lambda code: None if form.fullmatch(code) else False


_GRAMMARS: Final[dict[str, Grammar]] = {
    "urn:ietf:bcp:13": _media,
    "urn:ietf:bcp:47": _language,
    "urn:iso:std:iso:4217": _currency,
    "http://unitsofmeasure.org": ucum.is_code,
    "urn:iso:std:iso:3166": _by(_COUNTRY),
    "urn:iso:std:iso:3166:-2": _by(_SUBDIVISION),
    "http://unstats.un.org/unsd/methods/m49/m49.htm": _by(_AREA),
}
