"""What a request is about: shelf, resource or condition by its URL, the version by its headers."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request

from app import fhir
from app.api import body, header, view
from app.domain import condition as conditions
from app.domain.condition import Condition
from app.errors import Malformed, Stale

DRY_RUN: Final = "dry-run"
_BESIDE: Final = view.NAMES | {DRY_RUN}
_MOST_PARAMETERS: Final = 1000


def only(request: Request, *names: str) -> None:
    """
    Refuse a parameter of the query that would be passed over.

    names       those that this door reads, beside how its answer is written
    raises      Malformed: `profle=` checks no profile, and `dryRun=` would send
    """
    if not request.scope["query_string"]:
        return
    unknown = sorted(request.query_params.keys() - {*names, *view.NAMES})
    if unknown:
        known = ", ".join(sorted({*names, *view.NAMES}))
        text = f"Not known here: {', '.join(one[:80] for one in unknown)}; there are {known}."
        raise Malformed(text)


def flag(request: Request, name: str) -> bool:
    """
    Whether a parameter of the query is true; false where it is not there.

    raises      Malformed: neither true nor false, which must not be taken for one of them
    """
    asked = request.query_params.get(name, "false")
    if asked not in {"true", "false"}:
        raise Malformed(f"{name} is true or false.")
    return asked == "true"


def moment(request: Request, name: str, default: str) -> str:
    """
    A time in the query, as FHIR instant in UTC; the default where it is not there.

    raises      Malformed: it is none, or has no zone
    """
    asked = request.query_params.get(name)
    if asked is None:
        return default
    try:
        at = fhir.moment(asked.replace(" ", "+"))  # a + that was not written as %2B
        said = fhir.instant(at) if at.tzinfo else ""
    except (ValueError, OverflowError):
        said = ""
    if not said:
        raise Malformed(f"{name} is an instant with a time zone, as in 2026-11-23T09:15:00Z.")
    return said


def key(request: Request) -> str:
    return f"{request.path_params['tenant']}/{request.path_params['shelf']}"


def named(request: Request) -> str:
    kind = body.type_of(request.path_params["type"])
    return f"{kind}/{body.id_of(request.path_params['id'])}"


def guard(request: Request) -> tuple[int, ...] | None:
    """
    What must stand, as Entry.if_match has it, by the headers of a write.

    raises      Stale, Malformed: as body.guard; a header that says nothing, or a time, was meant to guard
    """
    match, none = (header.listed(request, name) for name in (b"if-match", b"if-none-match"))
    if "" in (match, none):
        raise Stale('If-Match names a version, such as W/"1", and If-None-Match is *.')
    if match is None and header.listed(request, b"if-unmodified-since"):
        text = "No write here depends on a time; name the version that must stand in If-Match."
        raise Malformed(text)
    return body.guard(match or "", none or "")


def condition(request: Request) -> tuple[str, Condition]:
    kind = body.type_of(request.path_params["type"])
    if not (said := searched(request)):
        raise Malformed("Name the resource by Type/id, or by a condition.", expression=kind)
    return kind, conditions.read(said, kind)


def searched(request: Request) -> str:
    """What the query of a write asks the target to meet; how it is done and answered is no part of it."""
    pairs = of_query(request.scope["query_string"])
    return urlencode([one for one in pairs if one[0] not in _BESIDE])


def of_query(raw: bytes) -> list[tuple[str, str]]:
    """
    The parameters of a query or a form, in their order.

    raises      Malformed: it is in another character set than UTF-8, and would be misread, or it
                has more parameters than anybody asks with
    """
    if raw.count(b"&") >= _MOST_PARAMETERS:
        raise Malformed(f"A query has {_MOST_PARAMETERS} parameters at most.")
    try:
        return parse_qsl(raw.decode(), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise Malformed("A query is in UTF-8, also where it is escaped.") from None


def of(request: Request) -> dict[str, Any]:
    """What PATCH and DELETE are about: one resource, by id or by condition."""
    version = guard(request)
    if "id" in request.path_params:
        kind, identity = named(request).split("/", 1)
        only(request, DRY_RUN)
        resource = {"resourceType": kind, "id": identity}
        return {"resource": resource, "id": identity, "if_match": version}
    kind, said = condition(request)
    return {"resource": {"resourceType": kind}, "condition": said, "if_match": version}
