"""Conditions of a search on the resource itself, from a parameter and what is asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.errors import Malformed
from app.storage import escaping, matching
from app.storage.asked import Criterion
from app.storage.compiled import Atom, Parameter
from app.storage.entries import ENTRY, FIELD, fold, kind_of
from app.storage.matching import Alternative, Facts
from app.storage.parameters import Parameters

_MODIFIERS: Final = {
    "token": frozenset({"not", "text", "of-type", "in", "not-in", "missing"}),
    "reference": frozenset({"identifier", "missing"}),
    "string": frozenset({"exact", "contains", "missing"}),
    "uri": frozenset({"above", "below", "missing"}),
    "date": frozenset({"missing"}),
    "number": frozenset({"missing"}),
    "quantity": frozenset({"missing"}),
    "composite": frozenset({"missing"}),
}
_MOST_VALUES: Final = 1000
# What stands beside an atom's entries says as well that the element is there.
_BESIDE: Final = {
    "token": ("", ":text"),
    "reference": ("", ":identifier"),
}


@dataclass(slots=True)
class Criteria:
    """
    What reads conditions.

    base        the shelf's own URL
    """

    parameters: Parameters
    base: str
    now: datetime

    def criterion(self, parameter: Parameter, modifier: str, value: str) -> Criterion:
        """One parameter with its values, of which one must be met."""
        code = parameter.code
        if modifier == "missing":
            return self._missing(parameter, value)
        typed = modifier if parameter.type == "reference" and modifier in parameter.targets else ""
        if modifier and not typed and modifier not in _MODIFIERS[parameter.type]:
            if parameter.type == "reference" and self.parameters.definitions.is_resource(modifier):
                raise Malformed(f"{named(code)} does not lead to {named(modifier)}.")
            raise Malformed(f"{named(code)} does not take the modifier :{named(modifier)}.")
        values = [one for one in escaping.split(value, ",") if _asks(parameter, modifier, one)]
        if not values:
            raise Malformed(f"The parameter {named(code)} has no value.")
        if len(values) > _MOST_VALUES:
            raise Malformed(f"{named(code)} takes {_MOST_VALUES} values at most.")
        if parameter.type == "composite":
            return self._composite(parameter, values)
        if modifier in {"in", "not-in"}:
            return self._among(parameter, modifier, value)
        found = [
            alternative
            for one in values
            for atom in parameter.atoms
            for alternative in self._alternatives(atom, parameter, modifier, one)
        ]
        return any_of(found, negated=modifier == "not")

    def _alternatives(  # noqa: C901 — one for each type
        self, atom: Atom, parameter: Parameter, modifier: str, value: str
    ) -> list[Alternative]:
        match parameter.type:
            case "token":
                if modifier == "text":
                    return [matching.label(atom, escaping.unescaped(value))]
                if modifier == "of-type":
                    return [matching.of_type(atom, escaping.unescaped(value))]

                def bound(system: str, code: str) -> bool:
                    return self.parameters.bound(atom, system, code)

                if atom.alone and all(escaping.parted(value)[:2]):
                    text = (
                        f"{named(parameter.code)} takes a value alone, without a system before it."
                    )
                    raise Malformed(text)
                return [matching.token(atom, value, bound)]
            case "reference":
                if modifier == "identifier":
                    return [matching.identifier(atom, value)]
                wanted = escaping.unescaped(value)
                return matching.reference(atom, wanted, modifier, self.base)
            case "uri":
                return [matching.uri(atom, escaping.unescaped(value), modifier)]
            case "string":
                return [matching.string(atom, escaping.unescaped(value), modifier)]
            case "date":
                return [matching.date(atom, value, self.now)]
            case "number":
                return [matching.number(atom, value)]
            case _:
                return [matching.quantity(atom, value)]

    def _missing(self, parameter: Parameter, value: str) -> Criterion:
        if value not in {"true", "false"}:
            raise Malformed(":missing takes true or false.")
        atoms = parameter.atoms or tuple(
            atom for place in parameter.parts for part in place for atom in part.atoms
        )
        if parameter.parts:
            places = [[part.atoms for part in place] for place in parameter.parts]

            def whole(facts: Facts) -> bool:
                return any(
                    all(any(facts.has(atom.name) for atom in part) for part in place)
                    for place in places
                )

            return Criterion(whole, negated=value == "true")
        names = [
            f"{atom.name}{beside}" for atom in atoms for beside in _BESIDE.get(atom.kind, ("",))
        ]
        narrowed = {target for atom in atoms for target in atom.targets}
        if narrowed:

            def leads(facts: Facts) -> bool:
                return any(
                    kind_of(fields[0], fields[1]) in atom.targets
                    for atom in atoms
                    for fields in facts.of(atom.name)
                )

            return Criterion(leads, negated=value == "true")
        needles = tuple(f"{ENTRY}{name}{FIELD}" for name in names)

        def there(facts: Facts) -> bool:
            return any(facts.has(name) for name in names)

        return Criterion(there, needles, negated=value == "true")

    def _among(self, parameter: Parameter, modifier: str, value: str) -> Criterion:
        """:in and :not-in, for a value set that is loaded."""
        definitions = self.parameters.definitions
        if definitions.find(value, "ValueSet") is None:
            raise Malformed(f"The value set of {named(parameter.code)}:{modifier} is not loaded.")
        codes = definitions.terminology.codes(value)

        def among(facts: Facts) -> bool:
            return any(
                (codes.has_code(fields[0]) if atom.coded else codes.has(fields[1], fields[0]))
                is True
                for atom in parameter.atoms
                for fields in facts.of(atom.name)
            )

        return Criterion(among, negated=modifier == "not-in")

    def _composite(self, parameter: Parameter, values: list[str]) -> Criterion:
        """Components that are met together, by the same part of the resource."""
        wanted: list[list[list[Alternative]]] = []
        for value in values:
            parts = escaping.split(value, "$")
            if any(len(parts) != len(place) for place in parameter.parts):
                raise Malformed(f"{named(parameter.code)} takes {len(parameter.parts[0])} values.")
            for place in parameter.parts:
                if not all(_asks(part, "", one) for part, one in zip(place, parts, strict=True)):
                    raise Malformed(f"A part of {named(parameter.code)} has no value.")
            wanted += [
                [
                    [
                        alternative
                        for atom in part.atoms
                        for alternative in self._alternatives(atom, part, "", one)
                    ]
                    for part, one in zip(place, parts, strict=True)
                ]
                for place in parameter.parts
            ]
        placed = [any(a.placed for part in place for a in part.atoms) for place in parameter.parts]
        marks = placed * len(values)

        def together(facts: Facts) -> bool:
            for parts, by_place in zip(wanted, marks, strict=True):
                met: set[str] | None = None
                for alternatives in parts:
                    here = {
                        fields[-1] if by_place else ""
                        for one in alternatives
                        for fields in facts.of(one.name)
                        if one.match(fields)
                    }
                    met = here if met is None else met & here
                if met:
                    return True
            return False

        return Criterion(together)


def _asks(parameter: Parameter, modifier: str, value: str) -> bool:
    """Whether one value asks something: what begins with nothing, or holds it, would be everything."""
    if modifier == "text" or (parameter.type == "string" and modifier != "exact"):
        return bool(fold(escaping.unescaped(value)))
    return bool(value.strip("|") if parameter.type == "token" else value)


def any_of(alternatives: list[Alternative], *, negated: bool = False) -> Criterion:
    """That one of the alternatives is met; none is never."""
    by_name: dict[str, list[matching.Match]] = {}
    for one in alternatives:
        by_name.setdefault(one.name, []).append(one.match)

    def test(facts: Facts) -> bool:
        return any(
            match(fields)
            for name, matches in by_name.items()
            for fields in facts.of(name)
            for match in matches
        )

    needles = tuple(dict.fromkeys(one.needle for one in alternatives))
    ways = tuple(one.way for one in alternatives if one.way is not None)
    led = not negated and len(ways) == len(alternatives)
    return Criterion(
        test,
        needles if all(needles) else None,
        negated,
        tuple(dict.fromkeys(ways)) if led else (),
    )


def named(text: str) -> str:
    """A parameter's name as it may stand in an answer."""
    kept = "".join(one for one in text if one.isalnum() or one in "-_:.*")
    return kept[:64] or "without a name"
