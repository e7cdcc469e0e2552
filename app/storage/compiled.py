"""A search parameter, compiled from its definition to what finds its values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.fhirpath.model import r4
from app.storage import extraction

if TYPE_CHECKING:
    from app.fhir import Resource
    from app.fhirpath.model import Type
    from app.storage.extraction import Taken, Walk

_RESOLVED: Final = re.compile(r"\.where\(resolve\(\) is (\w+)\)$")
_AS: Final = re.compile(r"^(.*)\.(?:as|ofType)\((\w+)\)$|^(.*) as (\w+)$")
_PART_AS: Final = re.compile(r"^\(([\w.]+) as (\w+)\)\.([\w.]+)$")
_PLAIN: Final = re.compile(r"[A-Za-z]+(\.[A-Za-z]+)*")
_HEAD: Final = re.compile(r"\(*([A-Z]\w+)\b")
ABOVE: Final = ("Resource", "DomainResource")  # types whose parameters are those of each type


@dataclass(frozen=True, slots=True)
class Atom:
    """
    One place of a resource that parameters look at.

    name        as its entries carry it; + before it says that the index leads to them
    kind        token, reference, date, string, uri, number or quantity
    type        of the resource
    targets     types that a reference is narrowed to by resolve(), none for any
    coded       element of type code, whose system is that of its binding; "" for any other
    alone       whether its values have no system, https://hl7.org/fhir/R5/search.html#token
    canonical   whether its values are the URLs of what they lead to, each with a version or without
    placed      whether its entries end with the position of the part that a composite looks at
    """

    name: str
    kind: str
    type: str
    targets: tuple[str, ...] = ()
    coded: str = ""
    placed: bool = False
    alone: bool = False
    canonical: bool = False

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


class Compiled:
    """The parameters of one type, while they are compiled."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.parameters: dict[str, Parameter] = {}
        self.extractions: dict[str, Taken | Walk] = {}

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
        targets = tuple(definition.get("target", ()))
        if before is not None and before.type == definition["type"]:
            atoms = tuple(dict.fromkeys((*before.atoms, *atoms)))
            targets = tuple(dict.fromkeys((*before.targets, *targets)))
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
        alone = kind == "token" and self.is_contact(text, context)
        atom = Atom(
            name, kind, self.kind, targets, coded, placed=bool(context), alone=alone,
            canonical=kind == "reference" and bool(types) and types <= {"canonical", "uri"},
        )  # fmt: skip
        if name not in self.extractions:
            take: Taken | Walk | None
            if found:
                take = extraction.plain(found, name, kind)
            else:
                take = extraction.evaluated(text, context, name, kind)
                if take is None:
                    return None
            if take:
                self.extractions[name] = take
        return atom

    def path(self, text: str, context: str) -> extraction.Path | None:
        """A plain path, which is taken from the JSON as it stands; None for any other expression."""
        path, kind, beyond = text, "", ""
        if narrowed := _PART_AS.match(text):
            path, kind, beyond = narrowed[1], narrowed[2], narrowed[3]
        elif narrowed := _AS.match(text):
            path, kind = _bare(narrowed[1] or narrowed[3]), narrowed[2] or narrowed[4]
        if not _PLAIN.fullmatch(path) or (context and not _PLAIN.fullmatch(context)):
            return None
        around = context.split(".")[1:] if context else []
        names = path.split(".")
        if names[0] in {self.kind, *ABOVE}:
            names = names[1:]
        steps = _steps(r4().types[self.kind], [*around, *names], kind)
        if not steps or not names:
            return None
        name = ".".join(names) + (f":{kind}" if kind else "")
        if beyond:
            rest = _steps(r4().types[kind], beyond.split("."), "")
            name, steps = text, [*steps, *rest] if rest else []
        return extraction.Path(name, steps, len(around)) if steps else None

    def is_contact(self, text: str, context: str) -> bool:
        """Whether the values are phones and the like, perhaps only some of them."""
        found = self.path(text.partition(".where(")[0], context)
        return found is not None and {kind for _, kind in found.last} == {"ContactPoint"}

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
    return head is None or head[1] in {kind, *ABOVE}


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
