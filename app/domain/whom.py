"""Of whom a message speaks, where it names them by urn: another each time it is sent, and the same person."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

from app import fhir
from app.domain.change import Entry
from app.fhir import Resource, listed

# whom it is about, who asks, who is asked; and of a Task the order that says so
_ELEMENTS: Final = (
    "focus", "for", "owner", "patient", "performer", "practitioner", "requester", "subject",
)  # fmt: skip
# by what one is told from another who has no number; of anything else by all that it says, as of
# children: twins have one birthday
_NAMED: Final = {
    "Organization": frozenset({"name"}),
    "Practitioner": frozenset({"name"}),
    "PractitionerRole": frozenset[str](),
    "RelatedPerson": frozenset({"name", "relationship"}),
}
ATTESTER: Final = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_DEEPEST: Final = 4  # Task, order, role, practitioner


def spoken_of(said: Resource, entries: Iterable[Entry]) -> bytes:
    """
    What tells them from others, in bytes; nothing where a message names nobody by urn.

    said        as it was sent
    entries     what came with it
    """
    if not any(_urns(said)):
        return b""
    came = tuple(entries)
    return fhir.encode(_named(said, came, _DEEPEST))


def attested(entries: Iterable[Entry]) -> bytes:
    """When those attested who attest what comes with a message, in bytes; nothing where nobody does."""
    said = (one.said or one.resource for one in entries if one.type == "Provenance")
    at = sorted(
        str(one.get("recorded", ""))
        for one in said
        if any(
            fhir.has_code(agent.get("type"), ATTESTER, "attester")
            for agent in listed(one.get("agent"))
        )
    )
    return fhir.encode(at) if at else b""


def known_by(resource: Resource, entries: Iterable[Entry]) -> str:
    """
    A digest of what a resource is known by whatever its name: numbers, else what tells such a one from others.

    It is of health data: nothing but a keyed hash of it is ever kept.

    resource    as it was sent
    entries     what came with it
    """
    said = fhir.encode(_who(resource, tuple(entries), _DEEPEST))
    return hashlib.sha256(said).hexdigest()


def labels(entries: tuple[Entry, ...]) -> list[str]:
    """The same of each that came, and of those that are known by the same the first, the second and so on."""
    found: list[str] = []
    times: Counter[str] = Counter()
    for one in entries:
        known = known_by(one.said or one.resource, entries)
        found.append(f"{known}-{times[known]}")
        times[known] += 1
    return found


def _urns(resource: Resource) -> Iterator[tuple[str, str]]:
    for element in _ELEMENTS:
        for one in listed(resource.get(element)):
            said = fhir.literal(one) if isinstance(one, dict) else ""
            if said.startswith("urn:"):
                yield element, said


def _named(resource: Resource, came: tuple[Entry, ...], deepest: int) -> list[Any]:
    return [
        [element, _who(one.said or one.resource, came, deepest - 1)]
        for element, url in _urns(resource)
        for one in came
        if one.full_url == url and deepest
    ]


def _who(resource: Resource, came: tuple[Entry, ...], deepest: int) -> list[Any]:
    """By number, else by what names such a one, and by those whom it names itself."""
    kind, numbers = str(resource.get("resourceType")), fhir.numbers(resource.get("identifier"))
    if numbers and kind != "ServiceRequest":
        return [kind, *sorted(numbers)]
    names = _NAMED.get(kind, resource.keys() - {"id", "link", "meta", "text"})
    said = {name: resource[name] for name in sorted(names & resource.keys())}
    plain = fhir.renamed(said, lambda one: "urn" if one.startswith("urn:") else one)
    return [kind, plain, *_named(resource, came, deepest)]
