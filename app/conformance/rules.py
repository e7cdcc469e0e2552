"""
The second stage of a check: does a resource of the right shape keep the rules of its type.

As with shapes, each type is compiled to a test that only says yes, and to a walk that says what
is wrong and where. Where the shape is broken, the walk says nothing of what stands there, nor of
what is stated about all that it is part of: one defect is one finding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.conformance import (
    checks,
    claims,
    extensions,
    invariants,
    native,
    primitives,
    references,
    structure,
)
from app.conformance.checks import Check
from app.conformance.findings import Findings, finding
from app.conformance.places import Places
from app.conformance.shape import ANY, INLINE
from app.errors import Issue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.conformance.conforming import Profiles
    from app.conformance.scope import Scope, Test
    from app.conformance.structure import Element, Structure, TypeRef
    from app.conformance.terminology import Terminology
    from app.fhir import Resource


class Rules:
    """
    Every type whose rules have been asked for, compiled once.

    find        type name to its structure; raises KeyError
    type_of     canonical of a profile to the type that it constrains, "" if it is not loaded
    more        type to what else is asked of it
    """

    def __init__(
        self,
        find: Callable[[str], Structure],
        terminology: Terminology,
        type_of: Callable[[str], str],
        profiles: Profiles,
        more: dict[str, Check] | None = None,
    ) -> None:
        self._find = find
        self.terminology = terminology
        self.type_of = type_of
        self.profiles = profiles
        self.more = more or {}
        self.places = Places(find)
        self._rules: dict[tuple[str, str], Rule] = {}

    def type(self, code: str) -> Rule:
        found = self._find(code)
        return self.at(found, found.root)

    def at(self, where: Structure, element: Element) -> Rule:
        key = (where.url, element.path)
        found = self._rules.get(key)
        if found is None:
            found = self._rules.setdefault(key, Rule(self, where, element))
        return found

    def walk_resource(
        self, value: Any, path: str, scope: Scope, found: Findings, *, contained: bool = False
    ) -> None:
        """The scope is that of this resource."""
        rule = self.type(value["resourceType"])
        rule.walk(value, path, scope, found)
        if not contained and path not in scope.world.around:
            for one in rule.advice:
                one.walk(value, path, scope, found, None)
        if scope.world.claims and path not in scope.world.broken:
            claims.walk(self.profiles, value, path, scope, found)

    def resource(self, *, contained: bool) -> Check:
        """The check of a resource inside another."""

        def test(value: Any, scope: Scope) -> object:
            rule = self.type(value["resourceType"])
            if scope.world.claims and ("profile" in value.get("meta", ()) or "code" in value):
                return False  # what it claims, or R4 asks by its code, is asked by the walk
            inner = scope.inside(value, contained=contained)
            return rule.test(value, inner) and (
                contained or all(one.holds(value, inner) for one in rule.advice)
            )

        def walk(value: Any, path: str, scope: Scope, found: Findings, _: Any) -> None:
            if isinstance(value, dict) and f"{path}.resourceType" not in scope.world.broken:
                inner = scope.inside(value, contained=contained)
                inner.place = path
                self.walk_resource(value, path, inner, found, contained=contained)

        return Check(test, walk)


class Rule:
    """
    The rules of one object: a resource, a data type, or a backbone element.

    test        says yes when all of them hold, to the bottom; advice apart
    advice      what is recommended of a resource as a whole, such as that it has a narrative
    """

    def __init__(self, rules: Rules, where: Structure, element: Element) -> None:
        self._rules = rules
        self._where = where
        content = where.elements[element.content] if element.content else element
        self._names = structure.members(content)
        self.constraints = content.constraints
        top = where.kind == "resource" and element is where.root
        made = [
            invariants.compiled(one, content.path)
            for one in invariants.distinct(content.constraints, element.constraints)
        ]
        self.advice = [one for one in made if top and one.constraint.severity != "error"]
        self._invariants = [one for one in made if one not in self.advice]
        self._added = list(native.added(content.path, top=top, names=self._names))
        self._more = rules.more.get(content.path)
        self._required = [
            (child, frozenset(key for key, (one, _) in self._names.items() if one is child))
            for child in content.children.values()
            if child.minimum > 0 and child.path not in native.SAID_BY_ADDED
        ]
        self._checks: dict[str, list[Check]] = {}
        self._tests = _Members(self._member)
        self.test = self._compile()

    def walk(self, value: Any, path: str, scope: Scope, found: Findings) -> None:
        world = scope.world
        if path in world.broken or not isinstance(value, dict):
            return
        tests = self._tests
        for key, child in value.items():
            test = _unsure if world.broken else tests[key]
            try:
                right = test is None or test(child, scope)
            except invariants.FAILED:
                right = False
            if not right:
                self._walk_member(key, value, path, scope, found)
        if self._walk_required(value, path, found) and path not in world.around:
            self._walk_whole(value, path, scope, found)

    def _walk_required(self, value: Any, path: str, found: Findings) -> bool:
        """Whether nothing is missing."""
        missing = False
        for child, keys in self._required:
            if keys.isdisjoint(value) and not any(f"_{key}" in value for key in keys):
                missing = True
                text = f"{child.name} is missing here, and it has to be there; add it."
                found.add(finding("cardinality", path, text))
        return not missing

    def _walk_whole(self, value: Any, path: str, scope: Scope, found: Findings) -> None:
        for one in self._invariants:
            one.walk(value, path, scope, found, None)
        for added in self._added:
            for below, key, text in added(value, scope):
                code, url = native.RULES[key]
                found.add(Issue("error", code, text, path + below, key, url))
        if self._more is not None:
            self._more.walk(value, path, scope, found, None)

    def _compile(self) -> Test:
        required = [keys for _, keys in self._required]
        by_hand = [one.native for one in self._invariants if one.native is not None]
        by_hand += [_silent(one) for one in self._added]
        if self._more is not None:
            by_hand.append(self._more.test)
        if required:
            by_hand.insert(0, _present(required))
        runs = [one.run for one in self._invariants if one.native is None]
        return _test(self._tests, by_hand, runs)

    def _member(self, key: str) -> Test | None:
        if key == "resourceType":
            return None
        if key.startswith("_"):
            stated = self._own_constraints(*self._names[key[1:]])
            return _unsure if stated else self._rules.type("Element").test
        child, _ = self._names[key]
        tests = [one.test for one in self._checks_of(key)]
        if not child.many:
            return _all(tests) if tests else None
        if child.maximum is None:
            return _each(_all(tests)) if tests else None
        each, limit = _each(_all(tests)), child.maximum
        return lambda values, scope: len(values) <= limit and each(values, scope)

    def _checks_of(self, key: str) -> list[Check]:
        """What is asked of each value of a member; what its type asks comes first."""
        found = self._checks.get(key)
        if found is None:
            child, kind = self._names[key]
            found = self._checks[key] = list(self._make_checks(child, kind))
        return found

    def _make_checks(self, child: Element, kind: TypeRef) -> Iterator[Check]:
        if kind.code in primitives.TYPES:
            own = checks.of_primitive(kind.code)
            if own is not None:
                yield own
        elif kind.code in ANY:
            yield self._rules.resource(contained=child.name == "contained")
        else:
            yield from self._object_checks(child, kind)
        binding = child.binding
        if binding and binding.strength in checks.ASKED and kind.code in checks.CODED:
            yield checks.of_binding(binding, kind.code, self._rules.terminology)
        for one in invariants.distinct(self._own_constraints(child, kind)):
            made = invariants.compiled(one, kind.code)
            yield Check(made.holds, made.walk)

    def _object_checks(self, child: Element, kind: TypeRef) -> Iterator[Check]:
        inline = child.children or child.content or kind.code in INLINE
        rule = self._rules.at(self._where, child) if inline else self._rules.type(kind.code)
        if kind.code == "Coding":
            yield checks.of_coding(Check(rule.test, _walks(rule)), self._rules.terminology)
        else:
            yield Check(rule.test, _walks(rule))
        if kind.code == "Reference":
            yield references.check(references.allowed(kind.targets, self._rules.type_of))
        if kind.code == "Extension":
            holder = child.path.rpartition(".")[0]
            yield extensions.of(self._rules.profiles, holder, child.name)

    def _own_constraints(self, child: Element, kind: TypeRef) -> tuple[structure.Constraint, ...]:
        """What is stated of this element beside what its type or its children state."""
        if child.children or child.content or kind.code in INLINE or kind.code in ANY:
            return ()
        if kind.code in primitives.TYPES:
            return child.constraints
        said = {one.expression for one in self._rules.type(kind.code).constraints}
        return tuple(one for one in child.constraints if one.expression not in said)

    def _walk_member(
        self, key: str, parent: Resource, path: str, scope: Scope, found: Findings
    ) -> None:
        known = self._names.get(key.removeprefix("_"))
        if known is None:
            return
        child, kind = known
        broken = scope.world.broken
        place = f"{path}.{child.name}"
        if place in broken:
            return
        if child.choice:
            place = f"{place}.ofType({kind.code})"
        if place in broken:
            return
        value = parent[key]
        beside = parent.get(key[1:] if key.startswith("_") else f"_{key}")
        if not child.many or not isinstance(value, list):
            self._walk_one(key, (value, beside), place, scope, found)
            return
        if child.maximum is not None and len(value) > child.maximum:
            text = f"{child.name} may stand here {child.maximum} times at most; take some out."
            found.add(finding("cardinality-max", place, text))
        others = beside if isinstance(beside, list) else []
        for index, one in enumerate(value):
            other = others[index] if index < len(others) else None
            self._walk_one(key, (one, other), f"{place}[{index}]", scope, found)

    def _walk_one(
        self, key: str, both: tuple[Any, Any], path: str, scope: Scope, found: Findings
    ) -> None:
        value, beside = both
        world = scope.world
        if value is None or path in world.broken:
            return
        if key.startswith("_"):
            self._rules.type("Element").walk(value, path, scope, found)
            if beside is None and path not in world.around:
                self._walk_without_value(key[1:], value, path, scope, found)
            return
        sure = not world.broken and beside is None
        for at, check in enumerate(self._checks_of(key)):
            if sure and invariants.holds(check.test, value, scope):
                continue
            if at == 0 or path not in world.around:
                check.walk(value, path, scope, found, beside)

    def _walk_without_value(
        self, key: str, sibling: Any, path: str, scope: Scope, found: Findings
    ) -> None:
        """What is stated of a primitive of which there are only extensions."""
        for one in invariants.distinct(self._own_constraints(*self._names[key])):
            made = invariants.compiled(one, self._names[key][1].code)
            made.walk(None, path, scope, found, sibling)


class _Members(dict[str, "Test | None"]):
    def __init__(self, make: Callable[[str], Test | None]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: str) -> Test | None:
        try:
            test = self[key] = self._make(key)
        except KeyError:
            return None  # what R4 does not have is asked nothing, and not kept
        return test


def _test(  # noqa: C901 — hot: what is called costs a frame
    members: _Members, by_hand: list[Test], runs: list[Callable[..., bool]]
) -> Test:
    def test_members(value: Any, scope: Scope) -> object:
        for key, child in value.items():
            member = members[key]
            if member is not None and not member(child, scope):
                return False
        return True

    def test(value: Any, scope: Scope) -> object:
        for key, child in value.items():
            member = members[key]
            if member is not None and not member(child, scope):
                return False
        for one in by_hand:
            if not one(value, scope):
                return False
        for run in runs:  # noqa: SIM110 — hot: a generator costs a frame for each
            if not run(value, scope.resource, scope.root, scope.environment):
                return False
        return True

    return test if by_hand or runs else test_members


def _all(tests: list[Test]) -> Test:
    first, *others = tests
    for other in others:
        first = _both(first, other)
    return first


def _both(one: Test, other: Test) -> Test:
    return lambda value, scope: one(value, scope) and other(value, scope)


def _each(test: Test) -> Test:
    def each(values: Any, scope: Scope) -> object:
        for value in values:  # noqa: SIM110 — hot: a generator costs a frame for each
            if not test(value, scope):
                return False
        return True

    return each


def _present(required: list[frozenset[str]]) -> Test:
    """Whether one key of each set is there."""
    simple = frozenset(next(iter(keys)) for keys in required if len(keys) == 1)
    choices = [keys for keys in required if len(keys) > 1]

    def present(value: Any, _: Scope) -> object:
        if not simple <= value.keys():
            return False
        return not any(keys.isdisjoint(value) for keys in choices)

    return present if choices else lambda value, _: simple <= value.keys()


def _unsure(_: Any, __: Scope) -> object:
    return False


def _walks(rule: Rule) -> checks.Walk:
    return lambda value, path, scope, found, _: rule.walk(value, path, scope, found)


def _silent(added: native.Added) -> Test:
    return lambda value, scope: next(added(value, scope), None) is None
