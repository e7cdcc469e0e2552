"""What was sent for one child, each reference leading to exactly what it means, or nowhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from app import fhir
from app.fhir import Resource, listed

# Type/id[/_history/version] below a root, https://hl7.org/fhir/R4/references.html#literal
_RESTFUL: Final = re.compile(r"(https?://.+/)?([A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})")
_NOWHERE: Final = "urn:nowhere"


@dataclass(frozen=True, slots=True)
class Part:
    """
    One entry of a submission.

    full_url    "" where it has none
    name        Type/id under which it is written to the sender's shelf by this act, else ""
    """

    full_url: str
    resource: Resource
    name: str = ""


@dataclass(slots=True)
class Submission:
    """
    A Bundle in which every reference was resolved once.

    bundle      as it is evaluated: references are keys of targets, or lead nowhere
    targets     {key: resource}
    """

    bundle: Resource
    targets: dict[str, Resource]

    def resolve(self, reference: str) -> Resource | None:
        return self.targets.get(reference)


@dataclass(slots=True)
class _Sorter:
    """
    shelf       Type/id, or Type?identifier=system|value, to what stands on the sender's shelf
    base        of the sender's shelf
    """

    parts: list[Part]
    shelf: Callable[[str], Resource | None]
    base: str
    by_url: dict[str, list[int]] = field(default_factory=dict)
    by_name: dict[str, list[int]] = field(default_factory=dict)
    loaded: dict[str, int] = field(default_factory=dict)

    def add(self, part: Part) -> int:
        index = len(self.parts)
        self.parts.append(part)
        self.note(index, part)
        return index

    def note(self, index: int, part: Part) -> None:
        if part.full_url:
            self.by_url.setdefault(part.full_url, []).append(index)
        elif part.name:
            self.by_name.setdefault(part.name, []).append(index)

    def key(self, holder: int, reference: str) -> str:
        """
        What a reference in an entry leads to: the steps of R4, and nothing guessed.

        source      https://hl7.org/fhir/R4/bundle.html#references; never by type and id alone
        """
        if reference.startswith("#"):
            return self._contained(holder, reference[1:])
        plain, _, version = reference.partition("/_history/")
        url = plain
        if not re.match(r"[a-z][a-z0-9+.-]*:", plain):
            found = _RESTFUL.fullmatch(self.parts[holder].full_url)
            url = f"{found[1] or ''}{plain}" if found and found[1] else ""
        met = self.by_url.get(url, []) if url else []
        if not met and not self.parts[holder].full_url:
            met = self.by_name.get(plain, [])
        if not met:
            return self._stored(plain, version)
        met = [one for one in met if not version or _version(self.parts[one].resource) == version]
        return f"urn:entry:{met[0]}" if len(met) == 1 else _NOWHERE

    def _contained(self, holder: int, name: str) -> str:
        if not name:
            return f"urn:entry:{holder}"
        inside = listed(self.parts[holder].resource.get("contained"))
        met = [one for one in inside if isinstance(one, dict) and one.get("id") == name]
        return f"urn:contained:{holder}:{name}" if len(met) == 1 else _NOWHERE

    def _stored(self, plain: str, version: str) -> str:
        """On the sender's own shelf: relative, conditional, or absolute below its base."""
        name = plain.removeprefix(f"{self.base}/")
        if not (fhir.is_relative(name) or ("?" in name and "://" not in name.split("?", 1)[0])):
            return _NOWHERE
        if name not in self.loaded:
            found = self.shelf(name)
            if found is None:
                return _NOWHERE
            full_url = f"{self.base}/{fhir.name(found)}"
            again = self.by_url.get(full_url)
            self.loaded[name] = again[0] if again else self.add(Part(full_url, found))
        met = self.loaded[name]
        if version and _version(self.parts[met].resource) != version:
            return _NOWHERE
        return f"urn:entry:{met}"


def _version(resource: Resource) -> str:
    return str((resource.get("meta") or {}).get("versionId", ""))


def submission(
    parts: list[Part], *, shelf: Callable[[str], Resource | None], base: str
) -> Submission:
    """
    The submission with what it refers to on the sender's own shelf.

    What is loaded stands as an entry too, but for Patients that are not the report's subject: a
    submission is about one child, and whoever else has a chart does not come in by a reference.

    shelf       Type/id, or Type?identifier=system|value, to what stands there
    base        of the sender's shelf
    """
    sent = len(parts)
    sorter = _Sorter(list(parts), shelf, base)
    for index, part in enumerate(parts):
        sorter.note(index, part)
    made: list[Resource] = []
    while len(made) < len(sorter.parts):  # what is loaded refers to more
        index = len(made)
        made.append(_keyed(sorter.parts[index].resource, index, sorter))
    targets = {f"urn:entry:{index}": one for index, one in enumerate(made)}
    for index, one in enumerate(made):
        for inside in listed(one.get("contained")):
            if isinstance(inside, dict) and "id" in inside:
                targets[f"urn:contained:{index}:{inside['id']}"] = inside
    subjects = {key for one in made[:sent] for key in _subjects(one)}
    entries = [
        {"resource": one}
        for index, one in enumerate(made)
        if index < sent or one["resourceType"] != "Patient" or f"urn:entry:{index}" in subjects
    ]
    return Submission({"resourceType": "Bundle", "type": "collection", "entry": entries}, targets)


def _subjects(resource: Resource) -> Iterator[str]:
    subject = resource.get("subject")
    if resource.get("resourceType") == "ServiceRequest" and isinstance(subject, dict):
        yield fhir.literal(subject)


def _keyed(node: Any, holder: int, sorter: _Sorter) -> Any:
    """A value with each literal reference as a key of what it means."""
    if isinstance(node, dict):
        return {
            name: sorter.key(holder, value)
            if name == "reference" and isinstance(value, str)
            else _keyed(value, holder, sorter)
            if isinstance(value, (dict, list))
            else value
            for name, value in node.items()
        }
    if isinstance(node, list):
        return [
            _keyed(one, holder, sorter) if isinstance(one, (dict, list)) else one for one in node
        ]
    return node
