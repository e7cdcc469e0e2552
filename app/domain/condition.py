"""A condition that names a resource in place of its id: identifier=system|value, and nothing else yet."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qs

from app.errors import NotSupported

Condition = tuple[str, str]  # system, value

_REFERENCE: Final = re.compile(r"([A-Z][A-Za-z]{1,63})\?(.+)", re.DOTALL)


def read(query: str, kind: str, at: str = "") -> Condition:
    """
    The condition that a query says.

    query       as in a URL, with or without `Type?`
    at          where it stands, as FHIRPath
    raises      NotSupported: another condition
    """
    said = parse_qs(query.removeprefix(f"{kind}?"), keep_blank_values=True)
    values = said.get("identifier", [])
    if list(said) != ["identifier"] or len(values) != 1 or "|" not in values[0]:
        text = "A condition is identifier=system|value, and nothing else yet."
        raise NotSupported(text, expression=at)
    system, _, value = values[0].partition("|")
    return system, value


def referred(reference: str) -> tuple[str, str] | None:
    """
    Type and query of a conditional reference, None where it is another.

    source      https://hl7.org/fhir/R4/http.html#trules
    """
    found = _REFERENCE.fullmatch(reference)
    return (found[1], found[2]) if found else None
