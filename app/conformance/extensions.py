"""An extension held against its definition, and where that lets it stand."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from app import fhirpath
from app.conformance import native
from app.conformance.checks import Check
from app.conformance.findings import Findings, finding
from app.conformance.profile import ANYWHERE
from app.errors import Issue, Malformed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.conformance.conforming import Profiles
    from app.conformance.profile import Parts, Profile, Stands
    from app.conformance.scope import Scope

_STEPS: Final = re.compile(r"\[\d+\]|\.ofType\(\w+\)")
_OF_TYPE: Final = re.compile(r"\.ofType\(\w+\)")
_STEP: Final = re.compile(r"(\w+)(?:\.ofType\((\w+)\))?(?:\[(\d+)\])?")
_OF_RESOURCES: Final = frozenset(
    {"Resource", "DomainResource", "CanonicalResource", "MetadataResource"}
)


def of(profiles: Profiles, holder: str, name: str) -> Check:
    """
    The check of an extension by its definition.

    holder      the type, or the path of the backbone element, that has it
    name        extension or modifierExtension
    """
    here = frozenset({holder}) | ANYWHERE
    if "." not in holder and profiles.structure(holder).kind == "resource":
        here |= _OF_RESOURCES
    one = _Extension(profiles, here, modifies=name != "extension")
    if holder == "Extension":
        return Check(one.test_part, one.walk_part)
    return Check(one.test, one.walk)


class _Extension:
    """An extension where it stands; `here` are the names of that place that are known at once."""

    def __init__(self, profiles: Profiles, here: frozenset[str], *, modifies: bool) -> None:
        self._profiles = profiles
        self._here = here
        self._modifies = modifies

    def test(self, value: Any, scope: Scope) -> object:
        url = value.get("url")
        if not native.absolute(url):
            return False
        one = _definition(self._profiles, url)
        if one is None or one.stands is None or self._here.isdisjoint(one.stands.places):
            return False
        stands = one.stands
        if stands.held or stands.modifies is not self._modifies:
            return False
        if "extension" in value and next(_undefined(value, stands.parts, ""), None):
            return False
        return self._profiles.test(one, value, "Extension", scope)

    def test_part(self, value: Any, scope: Scope) -> object:
        """Of one inside another: what is relative is defined there."""
        url = value.get("url")
        return (isinstance(url, str) and not native.absolute(url)) or self.test(value, scope)

    def walk_part(self, value: Any, path: str, scope: Scope, found: Findings, beside: Any) -> None:
        if native.absolute(value.get("url")):
            self.walk(value, path, scope, found, beside)

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
        if one is None or one.stands is None:
            found.add(_unknown(path, scope))
            return
        self._walk_place(one.stands, path, scope, found)
        for part in _undefined(value, one.stands.parts, path):
            text = "The extension's definition has no such extension inside; mend its url."
            found.add(finding("extension-part", part, text))
        if len(value) > ("id" in value) + ("url" in value):  # that it says nothing is ext-1
            self._profiles.check(one, value, path, scope, found, "Extension")

    def _walk_place(self, stands: Stands, path: str, scope: Scope, found: Findings) -> None:
        may = self._may_stand(stands, path, scope)
        if may is None or (may and self._is_held(stands, path, scope) is None):
            text = "The extension's context is an expression that cannot be evaluated: not checked."
            found.add(finding("extension-unchecked", path, text, severity="information"))
        elif not may or not self._is_held(stands, path, scope):
            text = "The extension's definition does not let it stand here; take it out."
            found.add(finding("extension-context", path, text))
        if stands.modifies is not self._modifies:
            right = "modifierExtension" if stands.modifies else "extension"
            text = f"By its definition this stands in {right} and not here; move it."
            found.add(finding("extension-context", path, text))

    def _may_stand(self, stands: Stands, path: str, scope: Scope) -> bool | None:
        if not self._here.isdisjoint(stands.places):
            return True
        if not places(self._profiles, path, scope).isdisjoint(stands.places):
            return True
        if stands.inside:
            holder, _, _ = _holder(path, scope)
            if isinstance(holder, dict) and holder.get("url") in stands.inside:
                return True
        return _chosen(stands.chosen, path, scope) if stands.chosen else False

    def _is_held(self, stands: Stands, path: str, scope: Scope) -> bool | None:
        """Whether what is asked of the element that has the extension is true of it."""
        for expression in stands.held:
            try:
                if not fhirpath.compile(expression).test(
                    scope.resource,
                    context=self._context(path, scope),
                    root=scope.root,
                    environment=scope.environment,
                ):
                    return False
            except (fhirpath.ExpressionError, fhirpath.EvaluationError):
                return None
        return True

    def _context(self, path: str, scope: Scope) -> fhirpath.Node:
        """The element that has the extension at a path."""
        value, beside, kind = _holder(path, scope)
        for name in [kind] if kind else sorted(places(self._profiles, path, scope)):
            try:
                return fhirpath.element(value, name, sibling=beside)
            except KeyError:
                continue
        raise fhirpath.EvaluationError("The type of the element is not known.")


def _chosen(expressions: tuple[str, ...], path: str, scope: Scope) -> bool | None:
    """Whether one of the expressions gives the element that has the extension."""
    kind = scope.resource.get("resourceType", "")
    where = _OF_TYPE.sub("", kind + path[len(scope.place) :].rpartition(".")[0])
    answer: bool | None = False
    for expression in expressions:
        try:
            found = fhirpath.compile(expression).evaluate(
                scope.resource, root=scope.root, environment=scope.environment
            )
        except (fhirpath.ExpressionError, fhirpath.EvaluationError):
            answer = None
            continue
        if any(one.location == where for one in found):
            return True
    return answer


def _holder(path: str, scope: Scope) -> tuple[Any, Any, str]:
    """The element that has the extension at a path, what is beside it, and its type if it says."""
    at: Any = scope.resource
    beside, kind = None, str(scope.resource.get("resourceType", ""))
    for name, of, index in _STEP.findall(path[len(scope.place) :].rpartition(".")[0]):
        key, kind = name + of[:1].upper() + of[1:], of
        holder = at if isinstance(at, dict) else beside if isinstance(beside, dict) else {}
        at, beside = _item(holder.get(key), index), _item(holder.get(f"_{key}"), index)
    return at, beside, kind


def _item(found: Any, index: str) -> Any:
    if index and isinstance(found, list):
        return found[int(index)] if int(index) < len(found) else None
    return found


def _undefined(value: Any, parts: Parts, path: str) -> Iterator[str]:
    """Places of the extensions inside another that its definition has not."""
    inside = value.get("extension")
    for index, one in enumerate(inside if isinstance(inside, list) else ()):
        url = one.get("url") if isinstance(one, dict) else None
        if isinstance(url, str) and not native.absolute(url):
            place = f"{path}.extension[{index}]"
            if url in parts:
                yield from _undefined(one, parts[url], place)
            else:
                yield place


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
