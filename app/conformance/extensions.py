"""An extension held against its definition, and where that lets it stand."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from app.conformance import native
from app.conformance.checks import Check
from app.conformance.findings import Findings, finding
from app.conformance.profile import ANYWHERE
from app.errors import Issue, Malformed

if TYPE_CHECKING:
    from app.conformance.conforming import Profiles
    from app.conformance.profile import Profile
    from app.conformance.scope import Scope

_STEPS: Final = re.compile(r"\[\d+\]|\.ofType\(\w+\)")
_OF_RESOURCES: Final = frozenset(
    {"Resource", "DomainResource", "CanonicalResource", "MetadataResource"}
)


def of(profiles: Profiles, holder: str) -> Check:
    """
    The check of an extension that is not inside another.

    holder      the type, or the path of the backbone element, that has it
    """
    here = frozenset({holder}) | ANYWHERE
    if "." not in holder and profiles.structure(holder).kind == "resource":
        here |= _OF_RESOURCES
    one = _Extension(profiles, here)
    return Check(one.test, one.walk)


class _Extension:
    """An extension where it stands; `here` are the names of that place that are known at once."""

    def __init__(self, profiles: Profiles, here: frozenset[str]) -> None:
        self._profiles = profiles
        self._here = here

    def test(self, value: Any, scope: Scope) -> object:
        url = value.get("url")
        if not native.absolute(url):
            return False
        one = _definition(self._profiles, url)
        if one is None or self._here.isdisjoint(one.places):
            return False
        return self._profiles.test(one, value, "Extension", scope)

    def walk(self, value: Any, path: str, scope: Scope, found: Findings, _: Any) -> None:
        url = value.get("url")
        if not isinstance(url, str):
            return
        if not native.absolute(url):
            text = "An extension's url is an absolute URL, unless it is inside another; mend it."
            code, where = native.RULES["extension-url"]
            found.add(Issue("error", code, text, path, "extension-url", where))
            return
        one = _definition(self._profiles, url)
        if one is None:
            found.add(_unknown(path, scope))
            return
        misplaced = self._here.isdisjoint(one.places)
        if misplaced and places(self._profiles, path, scope).isdisjoint(one.places):
            text = "The extension's definition does not let it stand here; take it out."
            found.add(finding("extension-context", path, text))
        if len(value) > ("id" in value) + ("url" in value):  # that it says nothing is ext-1
            self._profiles.check(one, value, path, scope, found, "Extension")


def _unknown(path: str, scope: Scope) -> Issue:
    modifies = ".modifierExtension[" in path[-24:]  # what is not understood may change all
    severity = "warning" if modifies else "information"
    severity = "error" if scope.world.known_extensions else severity
    text = "The extension's definition is not loaded: not checked; add its package."
    return finding("extension-unknown", path, text, severity=severity)


def _definition(profiles: Profiles, url: Any) -> Profile | None:
    if not isinstance(url, str):
        return None
    try:
        one = profiles.get(url)
    except Malformed:
        return None
    return one if one is not None and one.type == "Extension" else None


def places(profiles: Profiles, path: str, scope: Scope) -> frozenset[str]:
    """Every name of the element that has the extension at a path: by path, and by type."""
    kind = scope.resource.get("resourceType", "")
    steps = _STEPS.sub("", path[len(scope.place) :]).split(".")[1:-1]
    names = {kind} | _OF_RESOURCES
    try:
        where = profiles.structure(kind)
        element = where.root
        for step in steps:
            child = element.children.get(step) or element.children[f"{step}[x]"]
            names = {f"{name}.{step}" for name in names}
            if child.content:
                element = where.elements[child.content]
                names.add(element.path)
            elif child.children:
                element = child
            else:
                names |= {one.code for one in child.types}
                if len(child.types) == 1:
                    where = profiles.structure(child.types[0].code)
                    element = where.root
    except KeyError:
        return frozenset(names)
    return frozenset(names)
