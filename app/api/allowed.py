"""What may be asked of a path: for Allow, for OPTIONS, and for who asks something else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from app.domain.change import Act

ACTS: Final[dict[str, Act]] = {
    "submit-screening": "submit-screening",
    "work-off": "work-off",
    "link": "link",
    "unlink": "unlink",
    "refer": "refer",
    "report": "report",
    "check-referral": "check-referral",
}
ALL: Final = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
# What a route of any type or any id would take for one, where its own route has another method.
NAMED: Final = (
    "/metadata", "/.well-known/smart-configuration", "/_history", "/_search", "/$validate", "/${operation}",
    "/{type}/_history", "/{type}/_search", "/{type}/$validate",
)  # fmt: skip


def methods(routes: Iterable[BaseRoute], path: str) -> set[str]:
    """By the routes that name each part of the path."""
    return {
        method
        for route in routes
        if isinstance(route, APIRoute)
        and route.name != "nothing_else"
        and (found := route.path_regex.match(path))
        and not is_no_type(found.groupdict().get("type", "Any"))
        and found.groupdict().get("id", "any")[:1] not in {"_", "$"}
        and found.groupdict().get("operation", "refer") in ACTS
        for method in route.methods or ()
    }


def first(path: str) -> str:
    """The first part of a path below the base, "" for the base."""
    return "".join(path.split("/")[4:5])


def is_no_type(name: str) -> bool:
    """Whether the first part of a path below the base names something else than a type."""
    return name in {"", "metadata"} or name.startswith(("_", "$", "."))
