"""
The second stage of a check: does a resource of the right shape keep the rules of its type.

As with shapes, each type is compiled to a test that only says yes, and to a walk that says what
is wrong and where. Where the shape is broken, the walk says nothing of what stands there, nor of
what is stated about all that it is part of: one defect is one finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from app import fhirpath
from app.conformance import narrative, native, primitives, references, structure
from app.conformance.findings import Findings, finding
from app.conformance.shape import ANY, INLINE, REFUSED
from app.conformance.terminology import Terminology, name
from app.errors import Issue

if TYPE_CHECKING:
    from app.conformance.scope import Scope
    from app.conformance.structure import Binding, Constraint, Element, Structure, TypeRef
    from app.fhir import Resource

Test = Callable[[Any, "Scope"], object]
Member = Test | None

_FAILED: Final = (*REFUSED, fhirpath.EvaluationError)
_CODED: Final = frozenset({"code", "Coding", "CodeableConcept", "Quantity", "string", "uri"})


@dataclass(frozen=True, slots=True)
class Invariant:
    """
    A constraint as a test of an element.

    run     (value, %resource, %rootResource, environment, sibling); may raise _FAILED
    native  (value, scope), where it is written by hand, and then run is not asked
    """

    constraint: Constraint
    run: Callable[..., bool]
    native: Test | None = None

    def holds(self, value: Any, scope: Scope, sibling: Any = None) -> object:
        if self.native is not None:
            return self.native(value, scope)
        return self.run(value, scope.resource, scope.root, scope.environment, sibling)

    def walk(self, value: Any, path: str, scope: Scope, found: Findings, sibling: Any) -> None:
        try:
            if self.holds(value, scope, sibling):
                return
        except _FAILED:
            text = f"The rule {self.constraint.key} could not be evaluated here: not checked."
            found.add(finding("invariant-unchecked", path, text, severity="information"))
            return
        rule = self.constraint
        source = rule.source or structure.BASE + path.partition(".")[0]
        found.add(
            Issue(
                "error" if rule.severity == "error" else "warning",
                "invariant",
                f"{rule.human.rstrip('.')}.",
                path,
                rule.key,
                f"{source}#{rule.key}",
            )
        )


class Rules:
    """Every type whose rules have been asked for, compiled once."""

    def __init__(
        self,
        find: Callable[[str], Structure],
        terminology: Terminology,
        type_of: Callable[[str], str],
    ) -> None:
        self._find = find
        self._terminology = terminology
        self.type_of = type_of
        self._rules: dict[tuple[str, str], Rule] = {}

    @property
    def terminology(self) -> Terminology:
        return self._terminology

    def type(self, code: str) -> Rule:
        found = self._find(code)
        return self.at(found, found.root)

    def at(self, where: Structure, element: Element) -> Rule:
        key = (where.url, element.path)
        found = self._rules.get(key)
        if found is None:
            found = self._rules.setdefault(key, Rule(self, where, element))
        return found

    def test_resource(self, value: Any, scope: Scope, *, contained: bool) -> object:
        rule = self.type(value["resourceType"])
        inner = scope.inside(value, contained=contained)
        if not rule.test(value, inner):
            return False
        return contained or all(one.holds(value, inner) for one in rule.advice)

    def walk_resource(
        self, value: Any, path: str, scope: Scope, found: Findings, *, contained: bool = False
    ) -> None:
        """The scope is that of this resource."""
        rule = self.type(value["resourceType"])
        if not scope.world.broken:
            try:
                if rule.test(value, scope):
                    if not contained:
                        rule.advise(value, path, scope, found)
                    return
            except _FAILED:
                pass
        rule.walk(value, path, scope, found)
        if not contained:
            rule.advise(value, path, scope, found)


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
        self._content = content
        self._names = structure.members(content)
        invariants = [
            compiled(one, content.path) for one in _distinct(content.constraints, element.constraints)
        ]
        is_root = element is where.root
        advised = is_root and where.kind == "resource"
        self.advice = [one for one in invariants if advised and one.constraint.severity != "error"]
        self._invariants = [one for one in invariants if one not in self.advice]
        added = [native.ADDED.get(content.path)]
        if is_root and where.kind == "resource" and "contained" in self._names:
            added.append(native.ADDED["DomainResource"])
        self._added = [one for one in added if one is not None]
        self._required = [
            (child, frozenset(key for key, (one, _) in self._names.items() if one is child))
            for child in content.children.values()
            if child.minimum > 0 and not (self._added and child.path == "Extension.url")
        ]
        self.test = self._compile()

    def advise(self, value: Any, path: str, scope: Scope, found: Findings) -> None:
        if path not in scope.world.around:
            for one in self.advice:
                one.walk(value, path, scope, found, None)

    def walk(self, value: Any, path: str, scope: Scope, found: Findings) -> None:
        broken = scope.world.broken
        if path in broken or not isinstance(value, dict):
            return
        for key, child in value.items():
            known = self._names.get(key.removeprefix("_"))
            if known is None:
                continue
            place = f"{path}.{known[0].name}"
            if place in broken:
                continue
            if known[0].choice:
                place = f"{place}.ofType({known[1].code})"
            if place not in broken:
                self._walk_member(key, child, place, (value, scope), found)
        for child, keys in self._required:
            if not any(key in value or f"_{key}" in value for key in keys):
                text = f"{child.name} is missing here, and it has to be there; add it."
                found.add(finding("cardinality", path, text))
        if path not in scope.world.around:
            for rule in self._invariants:
                rule.walk(value, path, scope, found, None)
            for added in self._added:
                for below, key, text in added(value, scope):
                    code, url = native.RULES[key]
                    found.add(Issue("error", code, text, path + below, key, url))

    def _compile(self) -> Test:
        members = _Members(self._member)
        required = [keys for _, keys in self._required]
        simple = frozenset(next(iter(keys)) for keys in required if len(keys) == 1)
        choices = [keys for keys in required if len(keys) > 1]
        by_hand = [one.native for one in self._invariants if one.native is not None]
        by_hand += [_silent(one) for one in self._added]
        runs = [one.run for one in self._invariants if one.native is None]

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
            if not simple <= value.keys():
                return False
            for keys in choices:
                if keys.isdisjoint(value):
                    return False
            for one in by_hand:
                if not one(value, scope):
                    return False
            for run in runs:
                if not run(value, scope.resource, scope.root, scope.environment):
                    return False
            return True

        return test if required or by_hand or runs else test_members

    def _member(self, key: str) -> Member:
        if key == "resourceType":
            return None
        if key.startswith("_"):
            return self._rules.type("Element").test if key[1:] in self._names else None
        child, kind = self._names[key]
        tests = [one for one in self._tests(child, kind) if one is not None]
        if not tests:
            return None
        if not child.many:
            return tests[0] if len(tests) == 1 else _both(tests)
        if child.maximum is not None:
            tests.append(lambda _, __: True)
        each = _each(tests[0] if len(tests) == 1 else _both(tests))
        limit = child.maximum
        if limit is None:
            return each
        return lambda values, scope: len(values) <= limit and each(values, scope)

    def _tests(self, child: Element, kind: TypeRef) -> list[Member]:
        tests: list[Member] = [self._own_test(child, kind)]
        if child.binding and child.binding.strength == "required" and kind.code in _CODED:
            tests.append(self._bound(child.binding, kind.code))
        if kind.code == "Reference":
            tests.append(references.test(self._targets(kind)))
        if kind.code == "Extension" and not child.path.startswith("Extension."):
            tests.append(lambda value, _: native.absolute(value.get("url")))
        extra = self._extra(child, kind)
        if extra:
            tests.append(lambda value, scope: all(one.holds(value, scope) for one in extra))
        return tests

    def _own_test(self, child: Element, kind: TypeRef) -> Member:
        """What the type says, wherever it stands."""
        if kind.code == "xhtml":
            return lambda value, _: narrative.problem(value) is None
        if kind.code in ("uri", "url", "oid", "uuid"):
            return lambda value, _: value[:4] != "urn:" or not native.uri_problem(value)
        if kind.code == "canonical":
            return lambda value, _: value[:4] == "http" or not native.canonical_problem(value)
        if kind.code in primitives.TYPES:
            return None
        if kind.code in ANY:
            rules, contained = self._rules, child.name == "contained"
            return lambda value, scope: rules.test_resource(value, scope, contained=contained)
        if kind.code == "Coding":
            return _coding(self._rules.type("Coding").test, self._rules.terminology)
        return self._object(child, kind).test

    def _object(self, child: Element, kind: TypeRef) -> Rule:
        if child.children or child.content or kind.code in INLINE:
            return self._rules.at(self._where, child)
        return self._rules.type(kind.code)

    def _targets(self, kind: TypeRef) -> frozenset[str] | None:
        return references.allowed(kind.targets, self._rules.type_of)

    def _extra(self, child: Element, kind: TypeRef) -> list[Invariant]:
        """What is stated of this element beside what its type or its children state."""
        if child.children or child.content or kind.code in INLINE:
            return []
        own = {one.expression for one in self._find_constraints(kind)}
        return [
            compiled(one, kind.code)
            for one in _distinct(child.constraints)
            if one.expression not in own
        ]

    def _find_constraints(self, kind: TypeRef) -> tuple[Constraint, ...]:
        if kind.code in ANY or kind.code in primitives.TYPES:
            return ()
        return self._rules.type(kind.code)._content.constraints  # noqa: SLF001 — its own kind

    def _bound(self, binding: Binding, code: str) -> Test:
        terminology = self._rules.terminology

        def bound(value: Any, _: Scope) -> object:
            return _member_of(value, code, terminology, binding) is True

        if code in ("code", "string", "uri"):
            plain: list[frozenset[str]] = []

            def listed(value: Any, scope: Scope) -> object:
                if not plain:
                    plain.append(terminology.codes(binding.value_set).plain)
                return value in plain[0] or bound(value, scope)

            return listed
        return bound

    def _walk_member(
        self, key: str, value: Any, place: str, at: tuple[Resource, Scope], found: Findings
    ) -> None:
        child, kind = self._names[key.removeprefix("_")]
        parent, scope = at
        beside = parent.get(key[1:] if key.startswith("_") else f"_{key}")
        if child.many and isinstance(value, list):
            if child.maximum is not None and len(value) > child.maximum:
                text = f"{child.name} may stand here {child.maximum} times at most; take some out."
                found.add(finding("cardinality-max", place, text))
            others = beside if isinstance(beside, list) else []
            for index, one in enumerate(value):
                other = others[index] if index < len(others) else None
                self._walk_one(key, (one, other), f"{place}[{index}]", scope, found)
        else:
            self._walk_one(key, (value, beside), place, scope, found)

    def _walk_one(
        self, key: str, both: tuple[Any, Any], path: str, scope: Scope, found: Findings
    ) -> None:
        value, beside = both
        if value is None or path in scope.world.broken:
            return
        child, kind = self._names[key.removeprefix("_")]
        if key.startswith("_"):
            self._rules.type("Element").walk(value, path, scope, found)
            if beside is None:
                for one in self._extra(child, kind):
                    one.walk(None, path, scope, found, value)
            return
        if kind.code in primitives.TYPES:
            _walk_primitive(kind.code, value, path, found)
        elif kind.code in ANY:
            self._walk_inner(child, value, path, scope, found)
        else:
            self._object(child, kind).walk(value, path, scope, found)
        if path in scope.world.around:
            return
        if kind.code == "Coding":
            _walk_coding(value, path, scope, found)
        if kind.code == "Extension" and not child.path.startswith("Extension."):
            _walk_url(value, path, found)
        if kind.code == "Reference":
            references.walk(value, path, scope, found, self._targets(kind))
        if child.binding and child.binding.strength == "required" and kind.code in _CODED:
            self._walk_bound(child.binding, kind.code, value, path, found)
        for one in self._extra(child, kind):
            one.walk(value, path, scope, found, beside)

    def _walk_inner(
        self, child: Element, value: Any, path: str, scope: Scope, found: Findings
    ) -> None:
        if not isinstance(value, dict) or f"{path}.resourceType" in scope.world.broken:
            return
        contained = child.name == "contained"
        inner = scope.inside(value, contained=contained)
        self._rules.walk_resource(value, path, inner, found, contained=contained)

    def _walk_bound(
        self, binding: Binding, code: str, value: Any, path: str, found: Findings
    ) -> None:
        answer = _member_of(value, code, self._rules.terminology, binding)
        if answer is True:
            return
        where = name(binding.value_set)
        if answer is None:
            text = f"Whether the code is in {where} needs more than is loaded: not checked."
            found.add(finding("binding-unchecked", path, text, severity="information"))
        else:
            text = f"The code has to be one of the value set {where}; take one of these."
            found.add(finding("binding", path, text))


class _Members(dict[str, Member]):
    def __init__(self, make: Callable[[str], Member]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: str) -> Member:
        test = self[key] = self._make(key)
        return test


def compiled(constraint: Constraint, type_name: str) -> Invariant:
    """
    A constraint, compiled for the type of the element that it stands on.

    type_name   a type, or the path of a backbone element
    """
    by_hand = native.EXACT.get((constraint.key, constraint.expression))
    if by_hand is not None:
        return Invariant(constraint, _never, by_hand)
    expression = native.CORRECTED.get(constraint.expression, constraint.expression)
    try:
        return Invariant(constraint, fhirpath.compile(expression).invariant(type_name))
    except fhirpath.ExpressionError:
        return Invariant(constraint, _never)


def _never(*_: Any) -> bool:
    raise fhirpath.EvaluationError("The expression cannot be compiled.")


def _distinct(*groups: tuple[Constraint, ...]) -> list[Constraint]:
    found: dict[str, Constraint] = {}
    for group in groups:
        for one in group:
            if one.expression and not native.elsewhere(one.expression):
                found.setdefault(one.expression, one)
    return list(found.values())


def _both(tests: list[Test]) -> Test:
    def both(value: Any, scope: Scope) -> object:
        for test in tests:
            if not test(value, scope):
                return False
        return True

    return both


def _each(test: Test) -> Test:
    def each(values: Any, scope: Scope) -> object:
        for value in values:
            if not test(value, scope):
                return False
        return True

    return each


def _member_of(value: Any, code: str, terminology: Terminology, binding: Binding) -> bool | None:
    """Whether a coded value has a code of the value set; None where it cannot be said."""
    codes = terminology.codes(binding.value_set)
    if isinstance(value, str):
        return codes.has_code(value)
    if code == "CodeableConcept":
        codings = value.get("coding", [])
        answers = [codes.has(one.get("system"), one["code"]) for one in codings if "code" in one]
        if True in answers:
            return True
        return None if None in answers else False
    if "code" not in value:
        return code == "Quantity"
    return codes.has(value.get("system"), value["code"])


def _silent(added: Callable[[Any, Scope], Iterator[native.Problem]]) -> Test:
    return lambda value, scope: next(added(value, scope), None) is None


def _coding(own: Test, terminology: Terminology) -> Test:
    exists = terminology.exists

    def coding(value: Any, scope: Scope) -> object:
        system = value.get("system")
        if system is None or system[:4] == "urn:" or not value.keys() <= _PLAIN_CODING:
            return own(value, scope) and _known_code(value, scope)
        code = value.get("code")
        return code is None or exists(system, code) is not False

    return coding


_PLAIN_CODING: Final = frozenset({"system", "code", "display", "version", "userSelected"})


def _known_code(value: Any, scope: Scope) -> bool:
    """Whether the system of a Coding has its code, or may have it."""
    system, code = value.get("system"), value.get("code")
    if system is None or code is None:
        return True
    return scope.world.terminology.exists(system, code) is not False


def _walk_url(value: Any, path: str, found: Findings) -> None:
    if not native.absolute(value.get("url")):
        text = "An extension's url is an absolute URL, unless it is inside another; mend it."
        issue, url = native.RULES["extension-url"]
        found.add(Issue("error", issue, text, path, "extension-url", url))


def _walk_coding(value: Any, path: str, scope: Scope, found: Findings) -> None:
    if f"{path}.code" not in scope.world.broken and not _known_code(value, scope):
        text = "The code system that is named here has no such code; mend the code or the system."
        found.add(finding("code", f"{path}.code", text))


def _walk_primitive(code: str, value: Any, path: str, found: Findings) -> None:
    if code == "xhtml":
        wrong = narrative.problem(value)
    elif code in ("uri", "url", "oid", "uuid"):
        wrong = ("uri-format", native.uri_problem(value))
    elif code == "canonical":
        wrong = ("uri-format", native.canonical_problem(value))
    else:
        return
    if wrong and wrong[1]:
        issue, url = native.RULES[wrong[0]]
        found.add(Issue("error", issue, wrong[1], path, wrong[0], url))
