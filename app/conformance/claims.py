"""The profiles that a resource says of itself, in meta.profile, that it conforms to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from app.conformance.findings import Findings, finding, named, untold
from app.conformance.shape import REFUSED
from app.errors import Malformed

if TYPE_CHECKING:
    from app.conformance.conforming import Profiles
    from app.conformance.scope import Scope

_COUNTED: Final = frozenset({"cardinality", "cardinality-max"})


def walk(profiles: Profiles, value: Any, path: str, scope: Scope, found: Findings) -> None:
    """The scope is that of this resource."""
    meta = value.get("meta")
    claimed = meta.get("profile") if isinstance(meta, dict) else None
    for index, canonical in enumerate(claimed if isinstance(claimed, list) else ()):
        if isinstance(canonical, str):
            place = f"{path}.meta.profile[{index}]"
            against(profiles, canonical, value, (path, place), scope, found)
    if "code" in value:
        for canonical in profiles.unasked(value):
            against(profiles, canonical, value, (path, path), scope, found)


def against(  # noqa: PLR0913 — what a check is about, each by its name
    profiles: Profiles,
    canonical: str,
    value: Any,
    places: tuple[str, str],
    scope: Scope,
    found: Findings,
) -> None:
    """
    A resource held against a profile.

    places      of the resource, and of whoever names the profile
    """
    path, place = places
    try:
        one = profiles.get(canonical)
    except Malformed as refusal:
        text = refusal.issues[0].text
        found.add(finding("profile-unreadable", place, text))
        return
    if one is None:
        if not profiles.loaded(canonical):
            text = "The profile is not loaded: not checked; add its package."
            found.add(finding("profile-unknown", place, text, severity="warning"))
        return
    if one.type != value.get("resourceType"):
        text = f"The profile is of the type {one.type}, and this resource is not."
        found.add(finding("type", place, text))
        return
    said = {(issue.expression, issue.rule) for issue in found}
    own = Findings()
    try:
        profiles.check(one, value, path, scope, own)
        _tell(scope, own, one.url)
    except REFUSED:
        if not scope.world.broken:
            raise
        # Where the shape is wrong no more can be asked; that it is wrong is said.
    finally:
        for issue in own:
            if issue.expression in scope.world.around and issue.rule not in _COUNTED:
                continue  # it may be for what is broken inside
            if (issue.expression, issue.rule) not in said or issue.severity != "error":
                found.add(issue if issue.profile == one.url else named(issue, one.url))


def _tell(scope: Scope, found: Findings, profile: str) -> None:
    """What the tests have noted that they cannot tell."""
    for path, text in scope.world.unsure:
        found.add(untold("binding-unchecked", path, text, profile))
    scope.world.unsure.clear()
