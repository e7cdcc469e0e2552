"""Which codes a value set has, as far as what is loaded can tell."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from app.conformance import packages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.conformance.packages import Package
    from app.fhir import Resource

    Find = Callable[[str, str, Package | None], tuple[Package, Resource] | None]
    Versions = Callable[[str, str], Iterator[Resource]]

MAX_CODES: Final = 200_000
MAX_SYSTEMS: Final = 4096  # systems that are asked for come from resources
_PART: Final = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_MEDIA: Final = re.compile(rf"{_PART}/{_PART}(?:\s*;\s*[^;\s=]+=(?:\"[^\"]*\"|[^;\s\"]*))*")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*")

# Systems whose codes follow a grammar. None: well formed and may still not exist; False: cannot.
_GRAMMARS: Final[dict[str, tuple[re.Pattern[str], bool | None]]] = {
    "urn:ietf:bcp:13": (_MEDIA, True),  # any type/subtype may be sent, registered or not
    "urn:ietf:bcp:47": (_LANGUAGE, None),
    "urn:iso:std:iso:4217": (re.compile(r"[A-Z]{3}"), None),
    "http://unitsofmeasure.org": (re.compile(r"[!-~]+"), None),
    "urn:iso:std:iso:3166": (re.compile(r"[A-Z]{2,3}|[0-9]{3}"), None),
    "urn:iso:std:iso:3166:-2": (re.compile(r"[A-Z]{2}-[A-Z0-9]{1,3}"), None),
    "http://unstats.un.org/unsd/methods/m49/m49.htm": (re.compile(r"[0-9]{3}"), None),
}


@dataclass(frozen=True, slots=True)
class Codes:
    """
    The codes of a value set.

    listed      system to the codes that are known to be in it
    open        systems of which some code may be in it, and what is loaded does not say which
    known       False: nothing can be said of any other system either
    """

    listed: dict[str, frozenset[str]]
    open: frozenset[str]
    known: bool
    plain: frozenset[str] = field(default=frozenset())

    def has(self, system: str | None, code: str) -> bool | None:
        """Whether a code is in it; None where that cannot be said."""
        if system is None:
            return self.has_code(code)
        if code in self.listed.get(system, ()):
            return True
        if system in self.open:
            return _by_grammar(system, code)
        return False if self.known else None

    def has_code(self, code: str) -> bool | None:
        """Whether a code is in it whatever its system is, as for elements of type code."""
        if code in self.plain:
            return True
        answers = [_by_grammar(system, code) for system in self.open]
        if True in answers:
            return True
        return None if None in answers or not self.known else False


class Terminology:
    """
    Value sets and code systems, looked up once.

    find        canonical, resource type, the package that asks: the definition that is meant
    versions    url, resource type: every version that is loaded
    """

    def __init__(self, find: Find, versions: Versions) -> None:
        self._find = find
        self._versions = versions
        self._codes: dict[str, Codes] = {}
        self._concepts: dict[tuple[str, str], dict[str, Resource] | None] = {}
        self._systems: dict[str, frozenset[str] | None] = {}

    def codes(self, value_set: str) -> Codes:
        """The codes of a value set by its canonical; nothing is known of one not loaded."""
        found = self._codes.get(value_set)
        if found is None:
            found = self._codes[value_set] = _kept(self._of(value_set, None, ()))
        return found

    def codes_of(self, value_set: Resource) -> Codes:
        """The codes of a value set that stands in a resource and has no canonical."""
        return _kept(self._composed(value_set.get("compose"), None, ("#",)))

    def exists(self, system: str, code: str) -> bool | None:
        """
        Whether a code system has a code in any version that is loaded.

        returns     None where no version of it is loaded whole
        """
        if system not in self._systems:
            whole = [one for one in self._versions(system, "CodeSystem") if _whole(one)]
            codes = frozenset(code for one in whole for code in _concepts(one))
            if len(self._systems) > MAX_SYSTEMS:
                self._systems.clear()
            self._systems[system] = codes if whole else None
        codes_of = self._systems[system]
        return None if codes_of is None else code in codes_of

    def concepts(self, system: str, within: Package | None = None) -> dict[str, Resource] | None:
        """Code to concept of a code system that is loaded whole, else None."""
        key = (system, within.name if within else "")
        if key not in self._concepts:
            found = self._find(system, "CodeSystem", within)
            self._concepts[key] = _concepts(found[1]) if found and _whole(found[1]) else None
        return self._concepts[key]

    def _of(self, value_set: str, within: Package | None, above: tuple[str, ...]) -> _Expansion:
        if value_set in above or len(above) > 16:
            return {}, set(), False  # a value set that includes itself
        found = self._find(value_set, "ValueSet", within)
        if found is None:
            return {}, set(), False
        return self._composed(found[1].get("compose"), found[0], (*above, value_set))

    def _composed(
        self, compose: Resource | None, package: Package | None, above: tuple[str, ...]
    ) -> _Expansion:
        if not compose:
            return {}, set(), False
        listed: dict[str, set[str]] = defaultdict(set)
        opened: set[str] = set()
        known = True
        for include in compose.get("include", ()):
            part = self._part(include, package, above)
            for system, codes in part[0].items():
                listed[system] |= codes
            opened |= part[1]
            known = known and part[2]
            if sum(map(len, listed.values())) > MAX_CODES:
                return {}, set(), False
        for exclude in compose.get("exclude", ()):
            part = self._part(exclude, package, above)
            for system, codes in part[0].items():
                listed[system] -= codes
            # What is excluded and not known may be anything that was included.
            for system in part[1]:
                if listed.pop(system, None) is not None:
                    opened.add(system)
            known = known and part[2]
        return listed, opened, known

    def _part(
        self, include: dict[str, Any], within: Package | None, above: tuple[str, ...]
    ) -> _Expansion:
        system = include.get("system")
        parts = [self._of(one, within, above) for one in include.get("valueSet", ())]
        if system is not None:
            codes = self._system(include, system, within)
            parts.insert(
                0, ({}, {system}, True) if codes is None else ({system: codes}, set(), True)
            )
        return _common(parts) if parts else ({}, set(), False)

    def _system(
        self, include: dict[str, Any], system: str, within: Package | None
    ) -> set[str] | None:
        """The codes of one system, None where they are not known."""
        if "concept" in include:
            return {one["code"] for one in include["concept"]}
        if include.get("withheld"):
            return None
        concepts = self.concepts(system, within)
        if concepts is None:
            return None
        codes = set(concepts)
        for rule in include.get("filter", ()):
            chosen = _chosen(concepts, rule)
            if chosen is None:
                return None
            codes &= chosen
        return codes


_Expansion = tuple[dict[str, set[str]], set[str], bool]


def _kept(expansion: _Expansion) -> Codes:
    listed, opened, known = expansion
    kept = {system: frozenset(codes) for system, codes in listed.items() if codes}
    plain = frozenset(code for codes in kept.values() for code in codes)
    return Codes(kept, frozenset(opened), known, plain)


def _by_grammar(system: str, code: str) -> bool | None:
    grammar = _GRAMMARS.get(system)
    if grammar is None:
        return None
    return grammar[1] if grammar[0].fullmatch(code) else False


def _common(parts: list[_Expansion]) -> _Expansion:
    """What several value sets have in common."""
    first, *others = parts
    listed = {system: set(codes) for system, codes in first[0].items()}
    opened, known = set(first[1]), first[2]
    for other in others:
        systems = (set(listed) | opened) & (set(other[0]) | other[1])
        opened = {one for one in systems if one in opened or one in other[1]}
        listed = {
            one: listed[one] & other[0][one] for one in systems if one in listed and one in other[0]
        }
        known = known and other[2]
    return listed, opened, known


def _whole(system: Resource) -> bool:
    """Whether every code is here; a system whose list is not ours to hand on says complete and has none."""
    return system.get("content") == "complete" and bool(system.get("concept"))


def _concepts(system: Resource) -> dict[str, Resource]:
    """Every concept by its code, each with the codes above it as `above`."""
    found: dict[str, Resource] = {}
    queue: list[tuple[Resource, tuple[str, ...]]] = [(one, ()) for one in system.get("concept", ())]
    while queue and len(found) < MAX_CODES:
        concept, above = queue.pop()
        code = concept["code"]
        queue += [(child, (code,)) for child in concept.get("concept", ())]
        parents = [
            one["valueCode"]
            for one in concept.get("property", ())
            if one.get("code") in ("parent", "subsumedBy") and "valueCode" in one
        ]
        found[code] = {
            "display": concept.get("display"),
            "property": concept.get("property", []),
            "above": [*above, *parents],
        }
    return found


def _chosen(concepts: dict[str, Resource], rule: dict[str, Any]) -> set[str] | None:
    """The codes that a filter chooses, None for a filter that is not understood."""
    name, op, value = rule.get("property"), rule.get("op"), str(rule.get("value", ""))
    if name in ("concept", "code", "parent", "child") or op in ("is-a", "descendent-of"):
        if op == "is-a":
            return {value} | _below(concepts, value)
        if op == "descendent-of":
            return _below(concepts, value)
        if op == "is-not-a":
            return set(concepts) - _below(concepts, value) - {value}
        if op == "=" and name in ("concept", "code"):
            return {value}
        if op == "in" and name in ("concept", "code"):
            return set(value.split(","))
        return None
    return _with_property(concepts, name, op, value)


def _with_property(
    concepts: dict[str, Resource], name: Any, op: Any, value: str
) -> set[str] | None:
    wanted = {value} if op == "=" else set(value.split(","))
    if op == "exists":
        having = {code for code, one in concepts.items() if any(_values(one, name))}
        return having if value == "true" else set(concepts) - having
    matching = {code for code, one in concepts.items() if wanted & set(_values(one, name))}
    if op in ("=", "in"):
        return matching
    return set(concepts) - matching if op == "not-in" else None


def _values(concept: Resource, name: Any) -> Iterator[str]:
    for one in concept["property"]:
        if one.get("code") == name:
            for key, value in one.items():
                if key.startswith("value"):
                    yield str(value).lower() if isinstance(value, bool) else str(value)


def _below(concepts: dict[str, Resource], code: str) -> set[str]:
    children: dict[str, list[str]] = defaultdict(list)
    for one, concept in concepts.items():
        for parent in concept["above"]:
            children[parent].append(one)
    found: set[str] = set()
    queue = list(children[code])
    while queue:
        one = queue.pop()
        if one not in found:
            found.add(one)
            queue += children[one]
    return found


def name(canonical: str) -> str:
    """A value set's canonical without its version, for a person to look up."""
    return packages.split(canonical)[0]


def member_of(value: Any, codes: Codes) -> bool | None:
    """As for a binding, whatever type the value is of."""
    if value.__class__ is dict:
        return (
            _of_codings(value["coding"], codes) if "coding" in value else _of_coding(value, codes)
        )
    return codes.has_code(value) if isinstance(value, str) else False


def has_member(value: Any, kind: str, codes: Codes) -> bool | None:
    """Whether a coded value has a code of the value set; None where that cannot be said."""
    if isinstance(value, str):
        return codes.has_code(value)
    if kind == "CodeableConcept":
        return _of_codings(value.get("coding", ()), codes)
    if kind == "Quantity" and "code" not in value:
        return True
    return _of_coding(value, codes)


def _of_coding(value: Any, codes: Codes) -> bool | None:
    return codes.has(value.get("system"), value["code"]) if "code" in value else False


def _of_codings(codings: Any, codes: Codes) -> bool | None:
    listed = codes.listed
    answer: bool | None = False
    for one in codings:
        code, system = one.get("code"), one.get("system")
        if code in listed.get(system, ()):
            return True
        if code is not None:
            inside = codes.has(system, code)
            if inside:
                return True
            if inside is None:
                answer = None
    return answer
