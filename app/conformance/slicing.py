"""Which slice an element is in, https://hl7.org/fhir/R4/profiling.html#discriminator."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from app.conformance import likeness
from app.conformance.profile import Node, Slicing
from app.conformance.references import target_type
from app.conformance.shape import REFUSED
from app.conformance.terminology import member_of
from app.conformance.values import kind_of
from app.fhir import listed

if TYPE_CHECKING:
    from app.conformance.facets import Known
    from app.conformance.scope import Scope

# value, type: whether it is in the slice, None where that cannot be told
Matches = Callable[[Any, str, "Scope"], "bool | None"]

_STEP: Final = re.compile(
    r"resolve\(\)|ofType\((\w+)\)|extension\(['\"]([^'\"]+)['\"]\)|\$this|\w+"
)
BY_URL: Final = (("value", "url"),)
_BY_TYPE: Final = (("type", "$this"),)
EXTENSIONS: Final = frozenset({"extension", "modifierExtension"})
MAX_DEPTH: Final = 12  # steps of a discriminator's path, profiles in between counted


def of(node: Node) -> Slicing:
    """How the slices of an element are told apart, where it does not say as R4 says."""
    if node.slicing is not None and node.slicing.discriminators:
        return node.slicing
    said = node.slicing
    rules, ordered = (said.rules, said.ordered) if said else ("open", False)
    if node.name in EXTENSIONS:
        return Slicing(BY_URL, rules, ordered)
    if node.choice:
        return Slicing(_BY_TYPE, rules, ordered)
    return Slicing((), rules, ordered)


def settles(how: Slicing, one: Node) -> bool:
    """Whether all that a slice asks is what tells it apart."""
    alone = how.discriminators in ((("value", "$this"),), (("pattern", "$this"),))
    more = one.children or one.constraints or one.limits or one.bindings or one.types
    return alone and bool(one.exact or one.part) and not more


def url_of(known: Known, one: Node) -> str | None:
    """The url that a slice of extensions fixes, by itself or by the profile of its type."""
    for node in (one, *_of_types(known, one)):
        said = node.children.get("url")
        if said is not None and len(said.exact) == 1 and isinstance(said.exact[0], str):
            return said.exact[0]
    # The url of an extension is the canonical of its definition, loaded or not.
    wanted = [url for kind in one.types if kind.code == "Extension" for url in kind.profiles]
    return wanted[0].partition("|")[0] if len(wanted) == 1 else None


def matcher(known: Known, how: Slicing, one: Node) -> Matches | None:
    """Whether a value is in a slice; None where the slice says nothing that tells it apart."""
    tests = [
        test
        for kind, path in how.discriminators
        for test in _asked(known, kind, _steps(path), [one], 0)
    ]
    return _every(tests) if tests else None


def _steps(path: str) -> list[tuple[str, str]]:
    found = []
    for step in _STEP.finditer(path):
        word = step[0]
        if word == "$this":
            continue
        if word.startswith("resolve("):
            found.append(("resolve", ""))
        elif word.startswith("ofType("):
            found.append(("type", step[1]))
        elif word.startswith("extension("):
            found.append(("extension", step[2]))
        else:
            found.append(("name", word))
    return found


def _asked(  # noqa: C901, PLR0912 — the five kinds along four sorts of steps
    known: Known, kind: str, steps: list[tuple[str, str]], nodes: list[Node], depth: int
) -> Iterator[Matches]:
    """What the slice asks along the path, each as a test of the value where the path begins."""
    nodes = [*nodes, *(one for node in nodes for one in _of_types(known, node))]
    for node in nodes:
        if kind in ("value", "pattern"):
            yield from _values(known, node, last=not steps)
    if not steps:
        if kind in ("type", "profile"):
            yield from _types(known, kind, nodes)
        elif kind == "exists":
            yield from _existence(nodes)
        return
    if depth >= MAX_DEPTH:
        return
    (what, word), rest = steps[0], steps[1:]
    if what == "resolve":
        yield from _resolved(known, kind, rest, nodes)
        return
    if what == "type":
        below = [one for node in nodes for one in (node, *node.slices.values())]
    elif what == "extension":
        below = _extension_nodes(nodes, word)
    else:
        below = [node.children[word] for node in nodes if word in node.children]
    if kind == "exists" and not rest:
        for test in _existence(below):
            yield _below(what, word, test, absent=True)
        return
    for test in _asked(known, kind, rest, below, depth + 1):
        yield _below(what, word, test)
    for node in below if what == "name" else ():
        for part in node.slices.values():
            if part.minimum:
                tests = list(_asked(known, kind, rest, [part], depth + 1))
                if tests:
                    yield _below(what, word, _every(tests))


def _of_types(known: Known, node: Node) -> list[Node]:
    """What the profile that an element's value has to conform to says, if there is one."""
    wanted = [one for kind in node.types for one in kind.profiles]
    found = known.readable(wanted[0]) if len(wanted) == 1 else None
    return [found.root] if found else []


def _every(tests: list[Matches]) -> Matches:
    if len(tests) == 1:
        return tests[0]

    def every(value: Any, kind: str, scope: Scope) -> bool | None:
        answer: bool | None = True
        for test in tests:
            found = test(value, kind, scope)
            if found is None:
                answer = None
            elif not found:
                return False
        return answer

    return every


def _extension_nodes(nodes: list[Node], url: str) -> list[Node]:
    found = []
    for node in nodes:
        for name in EXTENSIONS:
            for one in (node.children[name].slices if name in node.children else {}).values():
                if any(
                    profile.partition("|")[0] == url for t in one.types for profile in t.profiles
                ):
                    found.append(one)  # noqa: PERF401 — two loops deep, a comprehension reads worse
    return found


def _below(what: str, word: str, test: Matches, *, absent: bool = False) -> Matches:
    """A test of what a step leads to, as a test of where it starts."""

    def below(value: Any, _: str, scope: Scope) -> bool | None:
        direct = value.get(word) if value.__class__ is dict and what == "name" else None
        if direct.__class__ is str:
            return test(direct, "", scope)
        found = list(values(value, what, word))
        if absent:
            return test(found or None, "", scope)
        answers = [test(one, kind, scope) for one, kind in found]
        return any(answers) or (None if None in answers else False)

    if what == "type":
        return lambda value, kind, scope: test(value, kind, scope) if kind == word else False
    return below


def values(value: Any, what: str, word: str) -> Iterator[tuple[Any, str]]:
    if not isinstance(value, dict):
        return
    if what == "extension":
        for one in listed(value.get("extension")):
            if isinstance(one, dict) and one.get("url") == word:
                yield one, "Extension"
        return
    found = value.get(word)
    if found is None:
        for key in value:
            if key.startswith(word) and key[len(word) : len(word) + 1].isupper():
                yield value[key], key[len(word) :]
        return
    for one in listed(found):
        yield one, kind_of(one, "")


def _values(known: Known, node: Node, *, last: bool) -> Iterator[Matches]:
    for exact in node.exact:
        yield _like(likeness.exactly(exact))
    for part in node.part:
        yield _like(likeness.containing(part))
    if last and not node.exact and not node.part:
        for binding in node.bindings:
            if binding.strength == "required":
                codes = known.terminology.codes
                yield _within(codes, binding.value_set)


def _like(like: likeness.Like) -> Matches:
    return lambda value, _, __: like(value)


def _within(codes: Any, value_set: str) -> Matches:
    def within(value: Any, _: str, __: Scope) -> bool | None:
        try:
            return member_of(value, codes(value_set))
        except REFUSED:
            return False  # it has the shape of no code

    return within


def _types(known: Known, kind: str, nodes: list[Node]) -> Iterator[Matches]:
    for node in nodes:
        if kind == "type" and node.types:
            yield _of_type(frozenset(one.code.lower() for one in node.types))
        wanted = [profile for one in node.types for profile in one.profiles]
        if kind == "profile" and wanted:
            yield _conforms(known, wanted)


def _of_type(names: frozenset[str]) -> Matches:
    return lambda _, kind, __: kind.lower() in names


def _conforms(known: Known, wanted: list[str]) -> Matches:
    return lambda value, kind, scope: known.conforms(value, kind, wanted, scope)


def _existence(nodes: list[Node]) -> Iterator[Matches]:
    for node in nodes:
        if node.maximum == 0:
            yield lambda value, _, __: value is None
        elif node.minimum:
            yield lambda value, _, __: value is not None


def _resolved(
    known: Known, kind: str, rest: list[tuple[str, str]], nodes: list[Node]
) -> Iterator[Matches]:
    targets = [target for node in nodes for one in node.types for target in one.targets]
    if not targets:
        return

    def resolved(value: Any, _: str, scope: Scope) -> bool:
        reference = value.get("reference") if isinstance(value, dict) else None
        if not isinstance(reference, str):
            return False
        if kind == "type":
            types = {known.type_of(one) for one in targets}
            return target_type(reference, scope) in types
        target = scope.find(reference)
        if target is None:
            return False
        return known.conforms(target, target.get("resourceType", ""), targets, scope)

    if not rest:
        yield resolved
        return
    found = [one.root for target in targets if (one := known.readable(target)) is not None]
    tests = list(_asked(known, kind, rest, found, 1))
    if tests:

        def inside(value: Any, _: str, scope: Scope) -> bool:
            reference = value.get("reference") if isinstance(value, dict) else None
            target = scope.find(reference) if isinstance(reference, str) else None
            name = target.get("resourceType", "") if target else ""
            return target is not None and all(test(target, name, scope) for test in tests)

        yield inside
