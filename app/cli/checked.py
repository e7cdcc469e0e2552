"""One resource that was checked, and where its issues stand in the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from app import fhir
from app.cli import places
from app.errors import Issue, Malformed, Refusal
from app.formats import xml

if TYPE_CHECKING:
    from datetime import datetime

    from app.conformance import Definitions

_FAILING: Final = {"error": ("fatal", "error"), "warning": ("fatal", "error", "warning")}


@dataclass(frozen=True, slots=True)
class Found:
    """
    line, column    in the file, from 1
    known           whether the baseline has it
    """

    issue: Issue
    line: int
    column: int
    known: bool = False

    def fails(self, threshold: str) -> bool:
        return not self.known and self.issue.severity in _FAILING[threshold]


@dataclass(frozen=True, slots=True)
class Checked:
    """
    resource    Type/id, the type alone where there is no id, "" where it is of no known type
    profiles    canonicals of what it was held against
    """

    file: str
    line: int
    resource: str
    profiles: list[str]
    found: list[Found]

    def fails(self, threshold: str) -> bool:
        return any(one.fails(threshold) for one in self.found)


def check(  # noqa: PLR0913 — what a check is about, each by its name
    definitions: Definitions,
    raw: bytes,
    *,
    file: str,
    line: int,
    now: datetime,
    profiles: tuple[str, ...],
    claims: bool,
    must_support: bool = False,
    placed: bool = True,
) -> Checked:
    """
    A resource, in JSON or XML, held against its definitions.

    line        of the file where the resource begins
    must_support    whether to say, as information, what its profiles must support and it has not
    placed      whether to look for the places of issues, which takes long where there are many
    """
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    more: tuple[Issue, ...] = ()
    is_xml = raw.lstrip()[:1] == b"<" or raw[:2] in _UTF16
    try:
        if is_xml:
            document = xml.read(raw, definitions.structure)
            resource, more, find = document.resource, document.issues, document.find
        else:
            resource = fhir.decode(raw)

            def find(path: str) -> tuple[int, int]:
                return places.place(raw, path)

    except Refusal as refusal:
        rule = "xml" if is_xml else "json"
        issues = [Issue("fatal", one.code, one.text, rule=rule) for one in refusal.issues]
        return Checked(file, line, "", [], [Found(one, line, 1) for one in issues])
    issues = [*more, *definitions.check(resource, now=now, profiles=profiles, claims=claims)]
    name = _name(resource)
    kind = name.partition("/")[0]
    against = []
    if definitions.is_resource(kind):
        claimed = _claimed(definitions, resource) if claims else []
        against = list(dict.fromkeys([definitions.checker(kind).url, *profiles, *claimed]))
    for canonical in against[1:] if must_support else ():
        issues += definitions.must_support(resource, canonical, now=now)
    found = []
    for one in xml.worded(issues) if is_xml else issues:
        below, column = find(one.expression) if placed else (1, 1)
        found.append(Found(one, line + below - 1, column))
    return Checked(file, line, name, against, found)


_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")


def as_json(definitions: Definitions, raw: bytes) -> bytes:
    """
    A definition as JSON, be it in XML.

    raises      Malformed, TooLarge: as xml.read; what XML cannot say
    """
    if raw.lstrip()[:1] != b"<":
        return raw
    document = xml.read(raw, definitions.structure)
    if document.issues:
        raise Malformed(issues=document.issues)
    return fhir.encode(document.resource)


def _claimed(definitions: Definitions, resource: Any) -> list[str]:
    """The profiles of meta.profile that are loaded; what is not loaded is said as an issue."""
    meta = resource.get("meta")
    claimed = meta.get("profile") if isinstance(meta, dict) else None
    return [
        one
        for one in (claimed if isinstance(claimed, list) else ())
        if isinstance(one, str) and definitions.find(one, "StructureDefinition")
    ]


def _name(resource: Any) -> str:
    kind = resource.get("resourceType") if isinstance(resource, dict) else None
    if not isinstance(kind, str) or not kind.isalpha():
        return ""
    one = resource.get("id")
    return f"{kind}/{one}" if isinstance(one, str) and one else kind
