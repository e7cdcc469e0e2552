"""How what was found is written: for people, for programs, for test reports, for code reviews."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from enum import StrEnum
from importlib.metadata import version
from pathlib import PurePath
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from app import errors, fhir
from app.errors import Issue

if TYPE_CHECKING:
    from app.cli.checked import Checked, Found
    from app.fhir import Resource


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"
    SARIF = "sarif"


class Report(Protocol):
    def add(self, one: Checked) -> None: ...

    def end(self) -> None: ...


def report(format: Format, to: BinaryIO, threshold: str, now: datetime) -> Report:  # noqa: A002 — the option's name
    """
    A report that is written as it goes.

    threshold   error or warning: from which severity an issue fails
    """
    if format is Format.JUNIT:
        return _JUnit(to, threshold, now)
    if format is Format.SARIF:
        return _Sarif(to)
    return _Json(to) if format is Format.JSON else _Text(to, threshold)


def _said(one: Checked, found: Found) -> str:
    issue = found.issue
    rule = f" [{issue.rule}]" if issue.rule else ""
    return f"{one.file}:{found.line}:{found.column}: {issue.severity}: {issue.expression}{rule}"


class _Text:
    def __init__(self, to: BinaryIO, threshold: str) -> None:
        self._to, self._threshold = to, threshold
        self._checked = self._failed = self._known = 0

    def add(self, one: Checked) -> None:
        self._checked += 1
        self._failed += one.fails(self._threshold)
        self._known += sum(found.known for found in one.found)
        lines = []
        for found in one.found:
            if not found.known:
                lines += [_said(one, found), f"    {found.issue.text}"]
                if found.issue.url:
                    lines.append(f"    {found.issue.url}")
        if lines:
            self._to.write(("\n".join(lines) + "\n").encode(errors="replace"))

    def end(self) -> None:
        known = f", {self._known} known issues" if self._known else ""
        self._to.write(f"{self._checked} checked, {self._failed} invalid{known}\n".encode())


class _Json:
    def __init__(self, to: BinaryIO) -> None:
        self._to = to

    def add(self, one: Checked) -> None:
        issues = tuple(found.issue for found in one.found if not found.known)
        none = (Issue("information", "informational", "No issue was found."),)
        line = {
            "file": one.file,
            "resource": one.resource,
            "profiles": one.profiles,
            "outcome": errors.outcome(issues or none),
        }
        self._to.write(fhir.encode(line) + b"\n")

    def end(self) -> None:
        """Each line stands for itself."""


_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _xml(text: str) -> str:
    return escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text))


def _quoted(text: str) -> str:
    return quoteattr(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text))


class _JUnit:
    """
    A suite for each file, a case for each resource; what does not fail is in its system-out.

    source      https://github.com/windyroad/JUnit-Schema, which is stricter than Jenkins' own;
                what was written for the guide's 137 examples keeps it, and Jenkins' junit-10.xsd
    """

    def __init__(self, to: BinaryIO, threshold: str, now: datetime) -> None:
        self._to, self._threshold = to, threshold
        self._now = now.replace(microsecond=0, tzinfo=None).isoformat()
        self._file = ""
        self._cases: list[str] = []
        self._out: list[str] = []
        self._failed = self._suites = 0
        to.write(b'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n')

    def add(self, one: Checked) -> None:
        if self._cases and one.file != self._file:
            self._flush()
        self._file = one.file
        place = f"{one.resource or 'unreadable'} (line {one.line})"
        name = f"name={_quoted(place)} classname={_quoted(PurePath(one.file).name)}"
        failing = [found for found in one.found if found.fails(self._threshold)]
        self._out += [
            f"{_said(one, found)}{' (known)' if found.known else ''}: {found.issue.text}"
            for found in one.found
            if found not in failing
        ]
        if not failing:
            self._cases.append(f'<testcase {name} time="0"/>')
            return
        self._failed += 1
        first = failing[0].issue
        lines = "\n".join(f"{_said(one, found)}: {found.issue.text}" for found in failing)
        failure = f"message={_quoted(first.text)} type={_quoted(first.rule or first.code)}"
        self._cases.append(
            f'<testcase {name} time="0"><failure {failure}>{_xml(lines)}</failure></testcase>'
        )

    def end(self) -> None:
        if self._cases:
            self._flush()
        self._to.write(b"</testsuites>\n")

    def _flush(self) -> None:
        counts = f'tests="{len(self._cases)}" failures="{self._failed}" errors="0" time="0"'
        where = f'id="{self._suites}" package="kinbridge" hostname="localhost"'
        head = f'<testsuite name={_quoted(self._file)} {where} timestamp="{self._now}" {counts}>'
        out = f"<system-out>{_xml(chr(10).join(self._out))}</system-out><system-err/>"
        body = "\n".join([head, "<properties/>", *self._cases, out, "</testsuite>\n"])
        self._to.write(body.encode(errors="replace"))
        self._cases, self._out, self._failed = [], [], 0
        self._suites += 1


_LEVELS: Final = {"fatal": "error", "error": "error", "warning": "warning", "information": "note"}


class _Sarif:
    """
    A result for each issue; those that are known are suppressed.

    source      https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
    """

    def __init__(self, to: BinaryIO) -> None:
        self._to = to
        self._rules: dict[str, Resource] = {}
        self._first = True
        schema = "https://json.schemastore.org/sarif-2.1.0.json"
        to.write(f'{{"$schema":"{schema}","version":"2.1.0","runs":[{{"results":['.encode())

    def add(self, one: Checked) -> None:
        for found in one.found:
            self._to.write(
                (b"\n" if self._first else b",\n") + fhir.encode(self._result(one, found))
            )
            self._first = False

    def end(self) -> None:
        driver = {
            "name": "kinbridge",
            "version": version("kinbridge"),
            "rules": list(self._rules.values()),
        }
        rest = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints"}
        self._to.write(b"\n]," + fhir.encode(rest)[1:] + b"]}\n")

    def _result(self, one: Checked, found: Found) -> Resource:
        issue = found.issue
        rule = issue.rule or issue.code
        if rule not in self._rules:
            self._rules[rule] = {"id": rule, **({"helpUri": issue.url} if issue.url else {})}
        region = {"startLine": found.line, "startColumn": found.column}
        known_by = f"{one.resource}|{issue.profile}|{rule}|{issue.expression}"
        result: Resource = {
            "ruleId": rule,
            "level": _LEVELS[issue.severity],
            "message": {"text": issue.text},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": _uri(one.file)},
                        "region": region,
                    },
                    "logicalLocations": [
                        {"fullyQualifiedName": issue.expression or one.resource, "kind": "element"}
                    ],
                }
            ],
            "partialFingerprints": {
                "kinbridge/v1": hashlib.sha256(known_by.encode()).hexdigest()[:32]
            },
        }
        if found.known:
            result["suppressions"] = [{"kind": "external", "status": "accepted"}]
        return result


def _uri(file: str) -> str:
    path = PurePath(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())
