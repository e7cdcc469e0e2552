"""Search parameters as data: what R4, the guides and the deployer define, compiled to what finds it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from app.fhirpath.model import r4
from app.storage import extraction

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.conformance import Definitions
    from app.conformance.packages import Package
    from app.conformance.terminology import Codes
    from app.fhir import Resource
    from app.fhirpath.model import Type
    from app.storage.extraction import Take, Taken

_RESOLVED: Final = re.compile(r"\.where\(resolve\(\) is (\w+)\)$")
_AS: Final = re.compile(r"^(.*)\.(?:as|ofType)\((\w+)\)$|^(.*) as (\w+)$")
_PLAIN: Final = re.compile(r"[A-Za-z]+(\.[A-Za-z]+)*")
_HEAD: Final = re.compile(r"\(*([A-Z]\w+)\b")
_ABOVE: Final = ("Resource", "DomainResource")
# Answered from columns of the resource itself, so nothing is taken out for them.
NATIVE: Final = frozenset({"_id", "_lastUpdated"})


@dataclass(frozen=True, slots=True)
class Atom:
    """
    One place of a resource that parameters look at.

    name        as its entries carry it; + before it says that the index leads to them
    kind        token, reference, date, string, uri, number or quantity
    type        of the resource
    targets     types that a reference is narrowed to by resolve(), none for any
    coded       element of type code, whose system is that of its binding; "" for any other
    placed      whether its entries end with the position of the part that a composite looks at
    """

    name: str
    kind: str
    type: str
    targets: tuple[str, ...] = ()
    coded: str = ""
    placed: bool = False

    @property
    def led_to(self) -> bool:
        return self.name.startswith("+")

    @property
    def key(self) -> str:
        """As the index names it, beside the atoms of other types."""
        return f"{self.type}.{self.name[1:]}"


@dataclass(frozen=True, slots=True)
class Parameter:
    """
    One parameter of one type.

    atoms       where its values stand
    targets     types that a reference may lead to
    package     that defines it
    parts       of a composite: for each place where it looks, the parameters of its components
    """

    code: str
    type: str
    url: str
    package: str = ""
    atoms: tuple[Atom, ...] = ()
    targets: tuple[str, ...] = ()
    parts: tuple[tuple[Parameter, ...], ...] = ()


class Takes:
    """
    What takes every entry out of a resource, by the element in which it looks.

    by_key      {name of an element: those that find something only where there is one}
    always      those of which that cannot be said
    """

    def __init__(self, all_of_them: Iterable[Taken]) -> None:
        self.by_key: dict[str, list[Take]] = {}
        self.always: list[Take] = []
        for one in all_of_them:
            for key in one.keys:
                self.by_key.setdefault(key, []).append(one.take)
            if not one.keys:
                self.always.append(one.take)


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
        return tuple(sorted(found - set(_ABOVE)))

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
        made = _Compiled(kind)
        defined = [
            one
            for base in (*_ABOVE, kind)
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


class _Compiled:
    """The parameters of one type, while they are compiled."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.parameters: dict[str, Parameter] = {}
        self.extractions: dict[str, Taken] = {}

    def add(self, definition: Resource) -> None:
        found = [
            self.atom(part, definition["type"])
            for part in _alternatives(definition.get("expression", ""))
            if _concerns(part, self.kind)
        ]
        atoms = tuple(dict.fromkeys(one for one in found if one))
        code = definition["code"]
        if not atoms:
            return
        before = self.parameters.get(code)
        if before is not None and before.type == definition["type"]:
            atoms = tuple(dict.fromkeys((*before.atoms, *atoms)))
        targets = tuple(definition.get("target", ()))
        narrowed = tuple(dict.fromkeys(one for atom in atoms for one in atom.targets))
        self.parameters[code] = Parameter(
            code,
            definition["type"],
            definition["url"],
            definition["_package"],
            atoms,
            narrowed or targets,
        )

    def compose(self, definition: Resource, by_url: dict[str, Resource]) -> None:
        """A composite: its components, once for each place that its expression names."""
        places = []
        for place in _alternatives(definition.get("expression", "")):
            if not _concerns(place, self.kind):
                continue
            parts = []
            for component in definition["component"]:
                of = by_url.get(component["definition"].split("|")[0])
                if of is None:
                    return
                atoms = tuple(
                    one
                    for part in _alternatives(component["expression"])
                    if (one := self.atom(part, of["type"], place))
                )
                targets = tuple(of.get("target", ()))
                package = definition["_package"]
                parts.append(Parameter(of["code"], of["type"], of["url"], package, atoms, targets))
            places.append(tuple(parts))
        if places:
            self.parameters[definition["code"]] = Parameter(
                definition["code"],
                "composite",
                definition["url"],
                definition["_package"],
                parts=tuple(places),
            )

    def atom(self, text: str, kind: str, place: str = "") -> Atom | None:
        """The atom of an expression, and how it is taken out; None where it can find nothing."""
        text = _bare(text)
        resolved = _RESOLVED.search(text)
        targets = (resolved[1],) if resolved else ()
        text = _bare(text[: resolved.start()] if resolved else text)
        context = "" if place in {"", self.kind} else place
        if place and not context and not _HEAD.match(text):
            text = f"{self.kind}.{text}"
        found = self.path(text, context)
        path = found.name if found else text.removeprefix(f"{self.kind}.")
        types = {type_name for _, type_name in found.last} if found else set()
        name = f"{context}/{path}" if context else path
        mark = "" if context else self.leads(name, kind, types)
        name = f"{mark}{name}~{kind[0]}"
        coded = path if types == {"code"} and not context else ""
        atom = Atom(name, kind, self.kind, targets, coded, placed=bool(context))
        if name not in self.extractions:
            take = extraction.plain(found, name, kind) if found else None
            if take is None:
                take = extraction.evaluated(text, context, name, kind)
            if take is None:
                return None
            self.extractions[name] = take
        return atom

    def path(self, text: str, context: str) -> extraction.Path | None:
        """A plain path, which is taken from the JSON as it stands; None for any other expression."""
        narrowed = _AS.match(text)
        path, kind = text, ""
        if narrowed:
            path, kind = _bare(narrowed[1] or narrowed[3]), narrowed[2] or narrowed[4]
        if not _PLAIN.fullmatch(path) or (context and not _PLAIN.fullmatch(context)):
            return None
        around = context.split(".")[1:] if context else []
        names = path.split(".")
        if names[0] in {self.kind, *_ABOVE}:
            names = names[1:]
        steps = _steps(r4().types[self.kind], [*around, *names], kind)
        if not steps or not names:
            return None
        name = ".".join(names) + (f":{kind}" if kind else "")
        return extraction.Path(name, steps, len(around))

    def leads(self, name: str, kind: str, types: set[str]) -> str:
        """
        "+" where the index leads to the values of a place.

        It does to what tells few resources apart from many: references, identifiers, text, URIs,
        and the status of a thing. It does not to codes of which a shelf holds a handful, nor to
        numbers and dates: these are looked at in what the rest of a search has found.
        """
        selective = kind in {"reference", "string", "uri"} or (
            kind == "token" and (name == "status" or {"Identifier", "ContactPoint"} & types)
        )
        return "+" if selective and not name.startswith("meta.") else ""


def named(package: Package) -> str:
    """A package by its name and version; a definition by itself by its canonical."""
    if package.name:
        return f"{package.name}#{package.version}"
    return " ".join(f"{entry.url}|{entry.version}" for entry in package.entries)


def _alternatives(expression: str) -> list[str]:
    """An expression's parts between the bars that stand outside brackets and quotes."""
    parts, depth, quoted, start = [], 0, False, 0
    text = _bare(expression)
    for at, character in enumerate(text):
        if character == "'":
            quoted = not quoted
        elif not quoted and character in "([":
            depth += 1
        elif not quoted and character in ")]":
            depth -= 1
        elif not quoted and not depth and character == "|":
            parts.append(text[start:at])
            start = at + 1
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]


def _bare(text: str) -> str:
    """Without the brackets around the whole."""
    text = text.strip()
    while text.startswith("(") and text.endswith(")"):
        depth = 0
        for at, character in enumerate(text):
            depth += {"(": 1, ")": -1}.get(character, 0)
            if not depth and at < len(text) - 1:
                return text
        text = text[1:-1].strip()
    return text


def _concerns(expression: str, kind: str) -> bool:
    """Whether an expression starts from this type; one that names no type starts from each."""
    head = _HEAD.match(expression)
    return head is None or head[1] in {kind, *_ABOVE}


def _steps(top: Type, names: list[str], kind: str) -> list[list[tuple[str, str]]] | None:
    """
    A plain path as JSON keys, each with its type; a choice has several.

    kind        the one type that the last step is taken as
    returns     None where the model does not know the path
    """
    types = r4().types
    level = [top.name]
    found: list[list[tuple[str, str]]] = []
    for position, name in enumerate(names):
        step: list[tuple[str, str]] = []
        for one in level:
            element = types[one].elements.get(name) if one in types else None
            if element is not None:
                step += element.keys.items()
        if not step:
            return None
        if position == len(names) - 1 and kind:
            step = [one for one in step if one[1] == kind] or [
                one for one in step if one[1] == kind[:1].lower() + kind[1:]
            ]
            if not step:
                return None
        found.append(list(dict.fromkeys(step)))
        level = [one[1] for one in step]
    return found
