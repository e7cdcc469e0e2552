"""What a request is about: shelf, resource or condition by its URL, the version by its headers."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from app.api import body, header, view
from app.domain import condition as conditions
from app.domain.condition import Condition
from app.errors import Malformed


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


def key(request: Request) -> str:
    return f"{request.path_params['tenant']}/{request.path_params['shelf']}"


def named(request: Request) -> str:
    kind = body.type_of(request.path_params["type"])
    return f"{kind}/{body.id_of(request.path_params['id'])}"


def guard(request: Request) -> tuple[int, ...] | None:
    """What must stand, as Entry.if_match has it, by the headers of a write."""
    match, none = (header.every(request, name) for name in (b"if-match", b"if-none-match"))
    return body.guard(match, none)


def condition(request: Request) -> tuple[str, Condition]:
    kind = body.type_of(request.path_params["type"])
    if not request.url.query:
        raise Malformed("Name the resource by Type/id, or by a condition.", expression=kind)
    return kind, conditions.read(request.url.query, kind)


def of(request: Request) -> dict[str, Any]:
    """What PATCH and DELETE are about: one resource, by id or by condition."""
    version = guard(request)
    if "id" in request.path_params:
        kind, identity = named(request).split("/", 1)
        resource = {"resourceType": kind, "id": identity}
        return {"resource": resource, "id": identity, "if_match": version}
    kind, said = condition(request)
    return {"resource": {"resourceType": kind}, "condition": said, "if_match": version}
