"""
What a profile says of one value by itself: fixed, pattern, limits, bindings, type, targets.

Each is a Check, so that what is right costs a test and nothing else.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol

from app.conformance import bindings, likeness, references
from app.conformance.checks import Check
from app.conformance.findings import Findings, finding
from app.conformance.structure import BASE
from app.conformance.terminology import Terminology

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from app.conformance.limits import Limit
    from app.conformance.profile import Node, Profile
    from app.conformance.scope import Scope

RESOURCES: Final = frozenset({"contained", "resource", "outcome"})
_ANY: Final = frozenset({"Resource", "DomainResource"})


class Known(Protocol):
    """What is asked of the profiles that are loaded."""

    terminology: Terminology

    def get(self, canonical: str) -> Profile | None: ...

    def readable(self, canonical: str) -> Profile | None: ...

    def type_of(self, canonical: str) -> str: ...

    def is_type(self, canonical: str) -> bool: ...

    def conforms(self, value: Any, kind: str, wanted: Sequence[str], scope: Scope) -> bool: ...

    def test(self, one: Profile, value: Any, kind: str, scope: Scope) -> object: ...

    def check(  # noqa: PLR0913 — what a check is about, each by its name
        self, one: Profile, value: Any, path: str, scope: Scope, found: Findings, kind: str = ""
    ) -> None: ...


def whatever(node: Node, kind: str) -> Iterator[Check]:
    """What is asked even of an element that has extensions and no value."""
    for exact in node.exact:
        yield _like(likeness.exactly(exact), "fixed", _naming(_FIXED, exact))
    for part in node.part:
        yield _like(likeness.containing(part), "pattern", _naming(_PATTERN, part))
    for limit in node.limits.values():
        yield _limit(limit, kind)


_FIXED: Final = "The profile fixes this element to another value; take the profile's"
_PATTERN: Final = "The element lacks what the profile's pattern has; add what the profile names"
_NAMED: Final = 300  # characters; what is longer is looked up


def _naming(text: str, wanted: Any) -> str:
    """The text, and what is asked for; that is the profile's, and no value of a resource."""
    said = ", ".join(_parts(wanted, ""))
    return f"{text}: {said}." if len(said) <= _NAMED else f"{text}."


def _parts(value: Any, at: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _parts(part, f"{at}.{name}" if at else name)
    elif isinstance(value, list):
        for part in value:
            yield from _parts(part, at)
    else:
        said = str(value).lower() if isinstance(value, bool) else str(value)
        yield f"{at} {said}".strip()


def of_value(known: Known, node: Node, kind: str) -> Iterator[Check]:
    """What is asked of a value of a type."""
    place = node.place
    if place is not None and node.choice:
        place = f"{place}.ofType({kind})"
    yield from bindings.of(known.terminology, node.bindings, kind, place)
    if node.types and node.name:
        yield from _types(known, node, kind)


def _like(like: likeness.Like, rule: str, text: str) -> Check:
    def walk(_: Any, path: str, __: Scope, found: Findings, ___: Any) -> None:
        found.add(finding(rule, path, text))

    return Check(lambda value, _: like(value), walk)


def _limit(limit: Limit, kind: str) -> Check:
    def walk(value: Any, path: str, _: Scope, found: Findings, __: Any) -> None:
        text = limit(kind, value)
        if text:
            found.add(finding("limit-value", path, text))

    return Check(lambda value, _: not limit(kind, value), walk)


def _types(known: Known, node: Node, kind: str) -> Iterator[Check]:
    kinds = [one for one in node.types if one.code == kind]
    resource = node.name in RESOURCES
    if not kinds and resource:
        kinds = [one for one in node.types if one.code in _ANY]
    if not kinds:
        if node.choice or resource:
            yield _other_type(", ".join(sorted(one.code for one in node.types)))
        return
    targets = tuple(target for one in kinds for target in one.targets)
    if targets and all(one.targets for one in kinds):
        one = _Target(known, targets)
        yield Check(one.test, one.walk)
    modes = frozenset(mode for one in kinds for mode in one.modes)
    if modes and all(one.modes for one in kinds):
        yield _aggregated(modes)
    profiles = tuple(profile for one in kinds for profile in one.profiles)
    # An extension is held against its definition by its url, wherever it stands.
    if profiles and all(one.profiles for one in kinds) and kind != "Extension":
        other = _Profiled(known, node, profiles, kind)
        yield Check(other.test, other.walk)


def _other_type(names: str) -> Check:
    def walk(_: Any, path: str, __: Scope, found: Findings, ___: Any) -> None:
        text = f"The profile allows {names} here, and no other type; give such a value."
        found.add(finding("type", path, text))

    return Check(lambda _, __: False, walk)


def _aggregated(modes: frozenset[str]) -> Check:
    """Whether a reference leads where the profile lets it, contained, in the Bundle, elsewhere."""
    names = ", ".join(sorted(modes))

    def test(value: Any, scope: Scope) -> object:
        reference = value.get("reference")
        if not isinstance(reference, str):
            return True
        if reference[:1] == "#":
            return "contained" in modes
        if "referenced" in modes:
            return True
        return "bundled" in modes and scope.bundled(reference)

    def walk(_: Any, path: str, __: Scope, found: Findings, ___: Any) -> None:
        text = f"The profile lets this reference be {names}, and it is not; move what it refers to."
        found.add(finding("reference-aggregation", path, text))

    return Check(test, walk)


class _Target:
    """What a reference leads to; looked up at the first value, since most profiles meet none."""

    def __init__(self, known: Known, targets: tuple[str, ...]) -> None:
        self._known = known
        self._targets = targets

    @cached_property
    def _types(self) -> frozenset[str] | None:
        return references.allowed(self._targets, self._known.type_of)

    @cached_property
    def _readable(self) -> bool:
        return all(
            self._known.readable(one) is not None or self._known.is_type(one)
            for one in self._targets
        )

    def test(self, value: Any, scope: Scope) -> object:
        types, reference = self._types, value.get("reference")
        if types and reference and scope.alone and "type" not in value:
            kind = reference.partition("/")[0]
            if kind in types:
                return True  # and what it leads to is not at hand
        return references.problem(value, scope, types) is None and self._fits(value, scope)

    def walk(self, value: Any, path: str, scope: Scope, found: Findings, _: Any) -> None:
        if not isinstance(value, dict):
            return
        wrong = references.problem(value, scope, self._types)
        if wrong:
            if wrong[1] == "error":
                found.add(finding(wrong[0], path, wrong[2], severity=wrong[1]))
        elif not self._fits(value, scope):
            text = "What this refers to conforms to none of the profiles that are allowed here."
            found.add(finding("reference-profile", path, text))

    def _fits(self, value: Any, scope: Scope) -> bool:
        """Whether what is referred to, if it is at hand, conforms to one of the profiles."""
        reference = value.get("reference")
        target = scope.find(reference) if isinstance(reference, str) else None
        if target is None or not self._readable:
            return True
        return self._known.conforms(target, target.get("resourceType", ""), self._targets, scope)


class _Profiled:
    """The profiles that a value has to conform to, or to one of them."""

    def __init__(self, known: Known, node: Node, wanted: tuple[str, ...], kind: str) -> None:
        self._known = known
        self._resource = node.name in RESOURCES
        self._wanted = wanted
        self._kind = kind
        # A type's own rules are asked anyway.
        self._of_types = all(one.startswith(BASE) for one in wanted)

    @cached_property
    def _loaded(self) -> list[Profile]:
        return [one for url in self._wanted if (one := self._known.readable(url)) is not None]

    def test(self, value: Any, scope: Scope) -> object:
        loaded, kind = self._loaded, self._kind
        if len(loaded) < len(self._wanted):
            return loaded or self._of_types
        if len(loaded) > 1:
            return self._known.conforms(value, kind, self._wanted, scope)
        return loaded[0].type == kind and self._known.test(loaded[0], value, kind, scope)

    def walk(self, value: Any, path: str, scope: Scope, found: Findings, _: Any) -> None:
        if not isinstance(value, dict):
            return
        loaded, kind = self._loaded, self._kind
        if len(loaded) < len(self._wanted):
            if not loaded and not self._of_types:
                text = "The profile that is asked for here is not loaded: not checked."
                found.add(finding("profile-unchecked", path, text, severity="information"))
        elif len(loaded) > 1:
            if not self._known.conforms(value, kind, self._wanted, scope):
                text = "The element conforms to none of the profiles that are allowed here."
                found.add(finding("profile", path, text))
        elif loaded[0].type != kind and self._resource:
            text = f"The profile that is asked for here is of the type {loaded[0].type}."
            found.add(finding("type", path, text))
        else:
            self._known.check(loaded[0], value, path, scope, found, kind)
