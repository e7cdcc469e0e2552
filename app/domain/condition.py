"""A condition that names a resource in place of its id: a search that one meets."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, unquote, urlencode

from app.errors import Malformed

Condition = str  # Type?…, as storage searches; "" where there is none

_WHOLE: Final = re.compile(r"https?://[^?]*/(?=[A-Z][A-Za-z]*\?)")
_REFERENCE: Final = re.compile(r"([A-Z][A-Za-z]{1,63})\?(.+)", re.DOTALL)


def read(query: str, kind: str, at: str = "") -> Condition:
    """
    The condition that a query says; whether it is understood is said where it is searched.

    query       as in a URL, with or without `Type?`; HAPI's client sends the URL whole, by whichever
                name it reaches the shelf
    at          where it stands, as FHIRPath
    raises      Malformed: it says nothing, or in another character set than UTF-8
    """
    try:
        unquote(query, errors="strict")
    except UnicodeDecodeError:
        raise Malformed("A condition is in UTF-8.", expression=at) from None
    whole = _WHOLE.match(query.strip())
    said = query.strip()[whole.end() if whole else 0 :].removeprefix(f"{kind}?").removeprefix("?")
    if not said:
        raise Malformed("A condition is a search, such as identifier=system|value.", expression=at)
    return f"{kind}?{said}"


def identifier(kind: str, system: str, value: str) -> Condition:
    """The condition that a resource of a type carries an identifier."""
    return f"{kind}?{urlencode({'identifier': f'{_escaped(system)}|{_escaped(value)}'})}"


def canonical(kind: str, url: str) -> Condition:
    """The condition that a definition has a canonical."""
    return f"{kind}?{urlencode({'url': _escaped(url)})}"


def _escaped(text: str) -> str:
    """https://hl7.org/fhir/R4/search.html#escaping."""
    return re.sub(r"([\\,|$])", r"\\\1", text)


def searched(said: Condition) -> str:
    """
    The type that a caller must be permitted to search for this condition; * where it leads to others.

    source      https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html: `u` and `d` are
                of an instance; to find it by a condition is a search
    """
    kind, _, query = said.partition("?")
    names = [name for name, _ in parse_qsl(query, keep_blank_values=True)]
    return "*" if any("." in name or name.startswith("_has:") for name in names) else kind


def identified(said: Condition) -> tuple[str, str] | None:
    """System and value where a condition is identifier=system|value and nothing else."""
    asked = parse_qsl(said.partition("?")[2], keep_blank_values=True)
    if len(asked) != 1 or asked[0][0] != "identifier" or "|" not in asked[0][1]:
        return None
    system, _, value = asked[0][1].partition("|")
    return system, value


def referred(reference: str) -> tuple[str, str] | None:
    """
    Type and query of a conditional reference, None where it is another.

    source      https://hl7.org/fhir/R4/http.html#trules
    """
    found = _REFERENCE.fullmatch(reference)
    return (found[1], found[2]) if found else None
