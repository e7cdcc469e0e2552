"""Every refusal: its HTTP status and its OperationOutcome issues; nobody else writes one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct


class Issue(Struct, frozen=True):
    """
    One finding, for a person and for a program; never a value from the resource.

    severity    fatal | error | warning | information
    code        https://hl7.org/fhir/R4/valueset-issue-type.html
    text        what is wrong and what to do
    expression  FHIRPath location, "" where there is none
    rule        key of the rule that was broken, "" where there is none
    url         where the rule is explained, "" where nowhere
    profile     canonical of the definition that was held against, "" where there is none
    """

    severity: str
    code: str
    text: str
    expression: str = ""
    rule: str = ""
    url: str = ""
    profile: str = ""

    def as_fhir(self) -> dict[str, Any]:
        details: dict[str, Any] = {"text": self.text}
        if self.rule:
            # no system: a profile's URL is none, and HL7's validator refuses it as one
            details = {"coding": [{"code": self.rule}], **details}
        issue: dict[str, Any] = {"severity": self.severity, "code": self.code, "details": details}
        if self.url:
            issue["diagnostics"] = f"See {self.url}"
        if self.expression:
            issue["expression"] = [self.expression]
        return issue


def outcome(issues: tuple[Issue, ...]) -> dict[str, Any]:
    """https://hl7.org/fhir/R4/operationoutcome.html."""
    return {"resourceType": "OperationOutcome", "issue": [issue.as_fhir() for issue in issues]}


class Refusal(Exception):  # noqa: N818 — a refusal is an answer, not a fault
    """
    Something that was asked and will not be done.

    status      HTTP status
    issues      at least one
    """

    status = 500
    code = "exception"

    def __init__(
        self, text: str = "", *, expression: str = "", issues: tuple[Issue, ...] = ()
    ) -> None:
        self.issues = issues or (Issue("error", self.code, text, expression),)
        super().__init__(self.issues[0].text)

    def outcome(self) -> dict[str, Any]:
        return outcome(self.issues)


class OurFault(Refusal):
    """What we made is not what it has to be; never the caller's 422."""


class Malformed(Refusal):
    status, code = 400, "structure"


class Unauthenticated(Refusal):
    status, code = 401, "login"


class Forbidden(Refusal):
    status, code = 403, "forbidden"


class NotFound(Refusal):
    status, code = 404, "not-found"


class NotAllowed(Refusal):
    """allowed: the methods that the route takes."""

    status, code = 405, "not-supported"

    def __init__(self, allowed: Iterable[str]) -> None:
        self.allowed = ", ".join(sorted(allowed))
        super().__init__(f"This route takes {self.allowed}.")


class NotAcceptable(Refusal):
    status, code = 406, "not-supported"


class TooSlow(Refusal):
    status, code = 408, "timeout"


class Conflict(Refusal):
    status, code = 409, "conflict"


class Gone(Refusal):
    status, code = 410, "deleted"


class Stale(Refusal):
    status, code = 412, "conflict"


class TooLarge(Refusal):
    status, code = 413, "too-long"


class WrongMediaType(Refusal):
    status, code = 415, "not-supported"


class Invalid(Refusal):
    status, code = 422, "invalid"


class NotSupported(Refusal):
    status, code = 422, "not-supported"


class Unavailable(Refusal):
    status, code = 503, "transient"


class MappingError(Exception):
    """A mapping file that cannot be used; the text names file and key. It stops the start."""
