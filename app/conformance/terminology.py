"""Which codes a value set has, as far as what is loaded can tell."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from app.conformance import codesystem, grammars, packages
from app.conformance.codesystem import Concepts
from app.conformance.membership import NOTHING, Part, Parts, both, either, without

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.conformance.packages import Package
    from app.fhir import Resource

    Find = Callable[[str, str, Package | None], tuple[Package, Resource] | None]
    Versions = Callable[[str, str], Iterator[Resource]]

MAX_CODES: Final = 500_000  # in one value set
MAX_DEPTH: Final = 16  # value sets that import value sets; HL7's have four
MAX_IMPORTS: Final = 2000  # of one value set, all told
MAX_SYSTEMS: Final = 4096  # systems that are asked for come from resources
_TOO_COSTLY: Final = "http://hl7.org/fhir/StructureDefinition/valueset-toocostly"
_UNCLOSED: Final = "http://hl7.org/fhir/StructureDefinition/valueset-unclosed"


@dataclass(frozen=True, slots=True)
class Codes:
    """
    The codes of a value set.

    listed      system to the codes that are known to be in it
    parts       system to what is known of it; see membership
    known       False: nothing can be said of any other system either
    plain       every listed code, whatever its system
    lacks       what would have to be loaded to know it all, "" where nothing would
    """

    listed: dict[str, frozenset[str]]
    parts: dict[str, Part]
    known: bool
    plain: frozenset[str] = field(default=frozenset())
    lacks: str = ""

    def has(self, system: str | None, code: str) -> bool | None:
        """Whether a code is in it; None where that cannot be said."""
        if system is None:
            return self.has_code(code)
        if code in self.listed.get(system, ()):
            return True
        part = self.parts.get(system)
        if part is None:
            return False if self.known else None
        return part.has(code)

    def has_code(self, code: str) -> bool | None:
        """Whether a code is in it whatever its system is, as for elements of type code."""
        if code in self.plain:
            return True
        answers = [part.has(code) for part in self.parts.values()]
        if True in answers:
            return True
        return None if None in answers or not self.known else False


@dataclass(slots=True)
class _Asked:
    """One value set on its way: what imports what, how much, and what was not there."""

    above: tuple[str, ...] = ()
    imports: int = 0
    lacks: list[str] = field(default_factory=list)


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
        self._concepts: dict[tuple[str, str], Concepts | None] = {}
        self._systems: dict[str, dict[str, frozenset[str]] | None] = {}

    def codes(self, value_set: str) -> Codes:
        """The codes of a value set by its canonical; nothing is known of one not loaded."""
        found = self._codes.get(value_set)
        if found is None:
            asked = _Asked()
            found = self._codes[value_set] = _kept(self._of(value_set, None, asked), asked)
        return found

    def codes_of(self, value_set: Resource) -> Codes:
        """The codes of a value set that stands in a resource and has no canonical."""
        asked = _Asked(above=("#",))
        return _kept(self._expanded(value_set, None, asked), asked)

    def exists(self, system: str, code: str) -> bool | None:
        """
        Whether a code system has a code in any version that is loaded.

        returns     None where no version of it is loaded whole
        """
        known = self._known(system)
        if known is None:
            grammar = grammars.of(system)
            return grammar(code) if grammar else None
        if code in known:
            return True
        return None if _PARTLY in known else False

    def displayed(self, system: str, code: str, display: str) -> bool | None:
        """Whether a code may be shown so; None where no display of it is loaded."""
        known = self._known(system)
        displays = known.get(code) if known else None
        if not displays:
            return None
        return display in displays or _folded(display) in {_folded(one) for one in displays}

    def concepts(self, system: str, within: Package | None = None) -> Concepts | None:
        """The concepts of a code system that is loaded, else None; `system` may name a version."""
        key = (system, within.name if within else "")
        kept = self._concepts
        if key not in kept:
            found = self._find(system, "CodeSystem", within)
            if len(kept) > MAX_SYSTEMS:
                kept = self._concepts = {}
            kept[key] = codesystem.read(found[1]) if found else None
        return kept[key]

    def _known(self, system: str) -> dict[str, frozenset[str]] | None:
        """Code to displays of all versions that are loaded; None where none is."""
        kept = self._systems
        if system not in kept:
            loaded = [codesystem.read(one) for one in self._versions(system, "CodeSystem")]
            found: dict[str, frozenset[str]] = {}
            for one in loaded:
                for code, concept in one.of.items():
                    own = frozenset(concept.displays)
                    found[code] = found[code] | own if code in found else own
                    if one.folds:
                        found[code.lower()] = found[code.upper()] = found[code]
            if not any(one.whole for one in loaded):
                found[_PARTLY] = frozenset()
            if len(kept) > MAX_SYSTEMS:
                kept = self._systems = {}
            kept[system] = found if any(one.of for one in loaded) else None
        return kept[system]

    def _of(self, value_set: str, within: Package | None, asked: _Asked) -> Parts:
        asked.imports += 1
        if value_set in asked.above:
            asked.lacks.append(f"{name(value_set)}, which includes itself: mend it")
            return Parts.unknown()
        if len(asked.above) > MAX_DEPTH or asked.imports > MAX_IMPORTS:
            asked.lacks.append(f"{name(value_set)}, which imports more than any value set does")
            return Parts.unknown()
        found = self._find(value_set, "ValueSet", within)
        if found is None:
            asked.lacks.append(name(value_set))
            return Parts.unknown()
        above, asked.above = asked.above, (*asked.above, value_set)
        try:
            return self._expanded(found[1], found[0], asked)
        finally:
            asked.above = above

    def _expanded(self, value_set: Resource, package: Package | None, asked: _Asked) -> Parts:
        lacked = len(asked.lacks)
        made = self._composed(value_set.get("compose"), package, asked)
        if made.decided or "expansion" not in value_set:
            return made
        given = _expansion(value_set["expansion"])
        if given.decided:
            del asked.lacks[lacked:]  # who made the expansion had it
            return given
        return either([made, given]) if given.of else made

    def _composed(self, compose: Resource | None, package: Package | None, asked: _Asked) -> Parts:
        if not compose:
            return Parts.unknown()
        made = either([self._part(one, package, asked) for one in compose.get("include", ())])
        if compose.get("inactive") is False:
            made = self._active(made, package)
        if sum(len(one.listed) for one in made.of.values()) > MAX_CODES:
            asked.lacks.append(f"more than {MAX_CODES} codes")
            return Parts.unknown()
        for one in compose.get("exclude", ()):
            made = without(made, self._part(one, package, asked))
        return made

    def _active(self, parts: Parts, within: Package | None) -> Parts:
        """Without the codes that their systems have given up."""
        found = dict(parts.of)
        for system, part in parts.of.items():
            concepts = self.concepts(system, within)
            if concepts is not None:
                of = concepts.of
                kept = frozenset(one for one in part.listed if one not in of or of[one].active)
                found[system] = replace(part, listed=kept)
        return Parts(found, parts.known)

    def _part(self, include: Resource, within: Package | None, asked: _Asked) -> Parts:
        system = include.get("system")
        parts = [self._of(one, within, asked) for one in include.get("valueSet", ())]
        if system is not None:
            own = self._system(include, system, within, asked)
            parts.insert(0, Parts({system: own}))
        return both(parts) if parts else Parts.unknown()

    def _system(
        self, include: Resource, system: str, within: Package | None, asked: _Asked
    ) -> Part:
        """What of one system is meant."""
        if include.get("withheld"):
            asked.lacks.append(f"the list of {system} codes of this value set")
            return Part.unknown()
        version = include.get("version")
        concepts = self.concepts(f"{system}|{version}", within) if version else None
        other = concepts is None and version is not None
        concepts = concepts or self.concepts(system, within)
        if "concept" in include:
            codes = frozenset(one["code"] for one in include["concept"])
            return Part(codes, folds=concepts is not None and concepts.folds)
        if concepts is None or not concepts.of:
            return self._by_grammar(include, system, asked)
        chosen = set(concepts.of)
        for rule in include.get("filter", ()):
            found = codesystem.chosen(concepts, rule)
            if found is None:
                asked.lacks.append(f"{system} with its property {rule.get('property')}")
                return Part.unknown(concepts.of if concepts.whole and not other else None)
            chosen &= found
        if concepts.whole and not other:
            return Part(frozenset(chosen), folds=concepts.folds)
        asked.lacks.append(f"{system}|{version}" if other else f"{system}, whole")
        return Part.unknown(listed=chosen)

    def _by_grammar(self, include: Resource, system: str, asked: _Asked) -> Part:
        grammar = grammars.of(system)
        if grammar is None:
            asked.lacks.append(system)
            return Part.unknown()
        if not include.get("filter"):
            return Part(rest=(grammar,))
        asked.lacks.append(f"{system}, with what its filters ask")
        return Part(rest=(lambda code: False if grammar(code) is False else None,))


_PARTLY: Final = "\x00"  # no code: the system is not loaded whole


def _expansion(expansion: Resource) -> Parts:
    """What an expansion lists, and whether that is all."""
    listed: dict[str, set[str]] = {}
    queue, count = list(expansion.get("contains", ())), 0
    while queue and count <= MAX_CODES:
        one = queue.pop()
        queue += one.get("contains", ())
        count += 1
        if "code" in one and "system" in one and one.get("abstract") is not True:
            listed.setdefault(one["system"], set()).add(one["code"])
    extensions = {one.get("url") for one in expansion.get("extension", ())}
    cut = {_TOO_COSTLY, _UNCLOSED} & extensions or queue or expansion.get("total", 0) > count
    if cut or expansion.get("offset"):
        return Parts(
            {system: Part.unknown(listed=codes) for system, codes in listed.items()}, known=False
        )
    return Parts({system: Part(frozenset(codes)) for system, codes in listed.items()})


def _kept(parts: Parts, asked: _Asked) -> Codes:
    listed = {system: part.listed for system, part in parts.of.items() if part.listed}
    folded = {
        system: part.listed
        | {case for code in part.listed for case in (code.lower(), code.upper())}
        for system, part in parts.of.items()
        if part.folds and part.listed
    }
    plain = frozenset(code for codes in listed.values() for code in codes)
    rest = {system: replace(part, listed=NOTHING) for system, part in parts.of.items() if part.rest}
    lacks = "" if parts.decided or not asked.lacks else asked.lacks[0]
    return Codes({**listed, **folded}, rest, parts.known, plain, lacks)


def _folded(display: str) -> str:
    return " ".join(display.split()).casefold()


def name(canonical: str) -> str:
    """A value set's canonical without its version, for a person to look up."""
    return packages.split(canonical)[0]


def unchecked(where: str, codes: Codes) -> str:
    """What to say of a code of which it is not known whether a value set has it."""
    lacks = codes.lacks or "more than is loaded"
    return f"Whether the code is in {where} needs {lacks}: not checked."


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
