"""A code system's concepts as far as they are loaded: what stands above what, and who is chosen."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import regex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.fhir import Resource

MAX_CONCEPTS: Final = 500_000  # SNOMED CT's international edition has some 360,000
MAX_PATTERN: Final = 1000
_SECONDS: Final = 0.5  # for one pattern on one code
_ABOVE: Final = frozenset({"parent", "subsumedBy"})
_ENDED: Final = frozenset({"inactive", "retired"})


@dataclass(frozen=True, slots=True)
class Concept:
    """
    displays    as the code system writes them, its own first
    properties  code of the property to its values, as text
    above       codes that stand directly above it
    """

    displays: tuple[str, ...]
    properties: dict[str, tuple[str, ...]]
    above: tuple[str, ...]

    @property
    def active(self) -> bool:
        ended = self.properties.get("inactive") == ("true",)
        return not (ended or _ENDED.intersection(self.properties.get("status", ())))


@dataclass(slots=True)
class Concepts:
    """
    Code to concept of one code system.

    whole       whether every code that it has is here
    folds       whether case is not told apart
    """

    of: dict[str, Concept] = field(default_factory=dict)
    whole: bool = False
    folds: bool = False
    _below: dict[str, list[str]] | None = None

    def children(self, code: str) -> list[str]:
        if self._below is None:
            below: dict[str, list[str]] = defaultdict(list)
            for one, concept in self.of.items():
                for parent in concept.above:
                    below[parent].append(one)
            self._below = dict(below)
        return self._below.get(code, [])

    def below(self, code: str) -> set[str]:
        """Everything under a code, itself left out unless it stands under itself."""
        found: set[str] = set()
        queue = list(self.children(code))
        while queue:
            one = queue.pop()
            if one not in found:
                found.add(one)
                queue += self.children(one)
        return found

    def above(self, code: str) -> set[str]:
        found: set[str] = set()
        queue = list(self.of[code].above) if code in self.of else []
        while queue:
            one = queue.pop()
            if one not in found:
                found.add(one)
                queue += self.of[one].above if one in self.of else ()
        return found


def read(system: Resource) -> Concepts:
    """
    The concepts of a CodeSystem, by nesting and by their properties.

    What is nested deeper, or is more, than any code system has is left out, and then it is not whole.
    """
    found: dict[str, Concept] = {}
    below: dict[str, list[str]] = defaultdict(list)
    queue: list[tuple[Resource, tuple[str, ...]]] = [(one, ()) for one in system.get("concept", ())]
    queue.reverse()
    while queue and len(found) < MAX_CONCEPTS:
        concept, above = queue.pop()
        code = concept["code"]
        queue += [(child, (code,)) for child in reversed(concept.get("concept", ()))]
        properties = _properties(concept)
        parents = [one for name in _ABOVE for one in properties.get(name, ())]
        for child in properties.get("child", ()):
            below[child].append(code)
        known = found.get(code)
        found[code] = Concept(
            tuple(_displays(concept)),
            properties,
            (*(known.above if known else ()), *above, *parents),
        )
    for child, parents in below.items():
        if child in found:
            one = found[child]
            found[child] = Concept(one.displays, one.properties, (*one.above, *parents))
    return Concepts(
        found,
        # A system whose list is not ours to hand on says complete and has none.
        whole=system.get("content") == "complete" and bool(found) and not queue,
        folds=system.get("caseSensitive") is False,
    )


def _displays(concept: Resource) -> Iterator[str]:
    if isinstance(concept.get("display"), str):
        yield concept["display"]
    for one in concept.get("designation", ()):
        if isinstance(one.get("value"), str):
            yield one["value"]


def _properties(concept: Resource) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for one in concept.get("property", ()):
        for key, value in one.items():
            if key.startswith("value"):
                found[one["code"]] = (*found.get(one["code"], ()), _text(value))
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value["code"]) if isinstance(value, dict) and "code" in value else str(value)


Chosen = set[str] | None


def chosen(concepts: Concepts, rule: Resource) -> Chosen:
    """
    The codes that a filter of a value set chooses; None where what is loaded cannot tell.

    source      https://hl7.org/fhir/R4/valueset-filter-operator.html, and R5's `child-of` and
                `descendent-leaf`
    """
    name, op, value = rule.get("property"), rule.get("op"), str(rule.get("value", ""))
    if op in _BY_PLACE:
        return _BY_PLACE[op](concepts, value)
    if name in ("parent", "child") and op in ("=", "in"):
        codes = _listed(op, value)
        near = concepts.children if name == "parent" else (lambda one: list(concepts.of[one].above))
        return {found for one in codes if one in concepts.of for found in near(one)}
    values = _values(concepts, str(name))
    if values is None:
        return None
    if op in ("=", "in"):
        wanted = _listed(op, value)
        return {code for code, one in values.items() if wanted.intersection(one)}
    if op == "not-in":
        wanted = _listed(op, value)
        return {code for code in concepts.of if not wanted.intersection(values.get(code, ()))}
    if op == "exists":
        having = {code for code, one in values.items() if one}
        return having if value == "true" else set(concepts.of) - having
    return _matching(values, value) if op == "regex" else None


def _listed(op: Any, value: str) -> set[str]:
    return {value} if op == "=" else {one.strip() for one in value.split(",")}


def _values(concepts: Concepts, name: str) -> dict[str, tuple[str, ...]] | None:
    """Code to the values of a property; None where nothing of it is loaded."""
    if name in ("concept", "code"):
        return {code: (code,) for code in concepts.of}
    if name == "display":
        return {code: one.displays[:1] for code, one in concepts.of.items()}
    found = {
        code: one.properties[name] for code, one in concepts.of.items() if name in one.properties
    }
    return found or None


def _matching(values: dict[str, tuple[str, ...]], pattern: str) -> Chosen:
    """What a pattern is true of as a whole; bounded in time, since anybody may write one."""
    if len(pattern) > MAX_PATTERN:
        return None
    try:
        compiled = regex.compile(pattern, cache_pattern=False)
        return {
            code
            for code, several in values.items()
            if any(compiled.fullmatch(one, timeout=_SECONDS) for one in several)
        }
    except (regex.error, TimeoutError):
        return None


def _leaves(concepts: Concepts, code: str) -> Chosen:
    return {one for one in concepts.below(code) if not concepts.children(one)}


def _among(concepts: Concepts, code: str, found: set[str]) -> Chosen:
    """Of a code that is not there nothing can be told, unless the system is whole."""
    return found if concepts.whole or code in concepts.of else None


_BY_PLACE: Final[dict[Any, Callable[[Concepts, str], Chosen]]] = {
    "is-a": lambda all_, code: _among(all_, code, {code} & all_.of.keys() | all_.below(code)),
    "descendent-of": lambda all_, code: _among(all_, code, all_.below(code)),
    "is-not-a": lambda all_, code: _among(all_, code, set(all_.of) - all_.below(code) - {code}),
    "generalizes": lambda all_, code: _among(
        all_, code, {code} & all_.of.keys() | all_.above(code)
    ),
    "child-of": lambda all_, code: _among(all_, code, set(all_.children(code))),
    "descendent-leaf": _leaves,
}
