"""Search parameters as data: all that R4, the guides and the deployer define."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

from app.storage.compiled import ABOVE, Compiled, Parameter
from app.storage.extraction import Taken, Walk, by_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.conformance import Definitions
    from app.conformance.packages import Package
    from app.conformance.terminology import Codes
    from app.fhir import Resource
    from app.storage.compiled import Atom
    from app.storage.extraction import Take

# Answered from columns of the resource itself, so nothing is taken out for them.
NATIVE: Final = frozenset({"_id", "_lastUpdated"})


class Takes:
    """
    What takes every entry out of a resource.

    by_key      {name of an element: what takes its value}
    whole       {elements: those that take the resource, and find nothing where it has none of these};
                for no element those of which that cannot be said
    """

    def __init__(self, all_of_them: Iterable[Taken | Walk]) -> None:
        made = list(all_of_them)
        self.by_key = by_key(one for one in made if isinstance(one, Walk))
        self.whole: dict[frozenset[str], list[Take]] = {}
        for one in made:
            if isinstance(one, Taken):
                self.whole.setdefault(one.keys, []).append(one.take)


class Parameters:
    """Every parameter that is loaded; those of a type are compiled when they are first needed."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self.waiting: frozenset[str] = frozenset()  # packages that the index does not know yet
        self._of: dict[str, dict[str, Parameter]] = {}
        self._taken: dict[str, Takes] = {}
        self._compartments: dict[str, dict[str, tuple[str, ...]]] = {}
        self._bindings: dict[str, Codes] = {}

    @cached_property
    def _defined(self) -> dict[str, list[Resource]]:
        """{type: definitions}; a later package's definition of the same code stands beside."""
        found: dict[str, list[Resource]] = {}
        for package, entry in self.definitions.entries("SearchParameter"):
            if entry.url.rsplit("/", 1)[1].startswith("example"):
                continue  # R4 shows by Condition.subject, led to an Organization, how one is written
            definition = package.read(entry)
            for base in definition.get("base", ()):
                found.setdefault(base, []).append({**definition, "_package": named(package)})
        return found

    @cached_property
    def types(self) -> tuple[str, ...]:
        """Every resource type, by name."""
        found = {
            entry.type
            for _, entry in self.definitions.entries("StructureDefinition")
            if entry.kind == "resource" and self.definitions.is_resource(entry.type)
        }
        return tuple(sorted(found - set(ABOVE)))

    @cached_property
    def packages(self) -> frozenset[str]:
        """Those that define parameters."""
        return frozenset(named(one) for one, _ in self.definitions.entries("SearchParameter"))

    def warm(self) -> None:
        """Compile everything, some 0.3 s, so that the first request of each type need not."""
        for kind in self.types:
            self.of(kind)

    def of(self, kind: str) -> dict[str, Parameter]:
        """{code: parameter} of a resource type."""
        if kind not in self._of:
            self._compile(kind)
        return self._of[kind]

    def taken(self, kind: str) -> Takes:
        """What takes the entries of every atom out of a resource of a type."""
        if kind not in self._taken:
            self._compile(kind)
        return self._taken[kind]

    def targets(self, kind: str) -> dict[str, tuple[Parameter, ...]]:
        """{type: parameters of kind that lead there}, for wildcards."""
        found: dict[str, list[Parameter]] = {}
        for parameter in self.of(kind).values():
            for target in parameter.targets if parameter.type == "reference" else ():
                found.setdefault(target, []).append(parameter)
        return {target: tuple(ways) for target, ways in found.items()}

    def bound(self, atom: Atom, system: str, code: str) -> bool:
        """Whether a system has the code, by the binding of an element of type code."""
        codes = self._bindings.get(atom.key)
        if codes is None:
            element = self.definitions.structure(atom.type).root
            for name in atom.coded.split("."):
                element = element.children.get(name, element)
            bound_to = element.binding.value_set if element.binding else ""
            codes = self._bindings[atom.key] = self.definitions.terminology.codes(bound_to)
        return codes.has(system, code) is True

    def compartment(self, name: str, kind: str) -> tuple[str, ...]:
        """
        The parameters that place a type in a compartment; none where it stands in none.

        R4 leaves out types that say whose they are, Task before all: its `patient` will do.
        """
        placed = self._compartment(name).get(kind, ())
        own = self.of(kind).get(name.lower())
        return placed or ((own.code,) if own and name in own.targets else ())

    def _compartment(self, name: str) -> dict[str, tuple[str, ...]]:
        if name not in self._compartments:
            canonical = f"http://hl7.org/fhir/CompartmentDefinition/{name[:1].lower()}{name[1:]}"
            found = self.definitions.resource(canonical, "CompartmentDefinition") or {}
            self._compartments[name] = {
                one["code"]: tuple(one["param"])
                for one in found.get("resource", ())
                if "param" in one
            }
        return self._compartments[name]

    @cached_property
    def compartments(self) -> frozenset[str]:
        return frozenset(
            entry.url.rsplit("/", 1)[1].lower()
            for _, entry in self.definitions.entries("CompartmentDefinition")
        ) - {"example"}

    def _compile(self, kind: str) -> None:
        made = Compiled(kind)
        defined = [
            one
            for base in (*ABOVE, kind)
            for one in self._defined.get(base, ())
            if one["code"] not in NATIVE
        ]
        for definition in defined:
            if definition["type"] not in {"composite", "special"}:
                made.add(definition)
        by_url = {one["url"]: one for one in defined}
        for definition in defined:
            if definition["type"] == "composite":
                made.compose(definition, by_url)
        self._of[kind] = made.parameters
        self._taken[kind] = Takes(made.extractions.values())


def named(package: Package) -> str:
    """A package by its name and version; a definition by itself by its canonical."""
    if package.name:
        return f"{package.name}#{package.version}"
    return " ".join(f"{entry.url}|{entry.version}" for entry in package.entries)
