"""What a search asks, read from its parameters: https://hl7.org/fhir/R4/search.html."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl

from app import fhir
from app.errors import Malformed
from app.storage import escaping, matching
from app.storage.asked import Criterion, Include, Linked, Query
from app.storage.entries import ENTRY, FIELD
from app.storage.matching import Alternative, Facts
from app.storage.parameters import Atom, Parameter, Parameters


class NotIndexed(Malformed):
    """A parameter that was loaded since the index was made; to answer would drop a condition."""


Pairs = list[tuple[str, str]]

# How the answer looks, which is not for this file; they take no part in what is found.
VIEW: Final = frozenset({"_format", "_pretty", "_summary", "_elements", "_page"})
_RESULT: Final = frozenset(
    {"_sort", "_count", "_total", "_include", "_revinclude", "_include:iterate",
     "_revinclude:iterate", "_include:recurse", "_revinclude:recurse", "_type", "_totalMethod",
     "_sort:asc", "_sort:desc"}
)  # fmt: skip
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
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MOST: Final = 1000
MOST_VALUES: Final = 1000
_MOST_KEYS: Final = 16


@dataclass(slots=True)
class Reader:
    """
    What reads a search.

    base        the shelf's own URL
    lenient     whether what is not understood is left out
    """

    parameters: Parameters
    base: str
    now: datetime
    lenient: bool = False

    def query(self, kind: str, pairs: Pairs) -> Query:
        """
        The search that these parameters ask for.

        raises      Malformed: a parameter, modifier or value that is not understood; it is named
        """
        made = Query(kind)
        for name, value in pairs:
            if name in VIEW or (name, value) == ("_contained", "false"):
                continue
            try:
                made = self._with(made, name, value)
            except Malformed:
                if not self.lenient:
                    raise
            else:
                made = replace(made, used=(*made.used, (name, value)))
        return made

    def _with(self, query: Query, name: str, value: str) -> Query:
        if name in _RESULT:
            return self._result(query, name, value)
        if not value:  # an empty value asks nothing, and is no answer of everything
            raise Malformed(f"The parameter {name} has no value.")
        if name == "_id":
            ids = frozenset(one for one in escaping.unescaped(value).split(",") if one)
            return replace(query, ids=ids if query.ids is None else query.ids & ids)
        if name == "_lastUpdated":
            return self._updated(query, value)
        if name.startswith("_has:"):
            return replace(query, linked=(*query.linked, self._has(query.kind, name, value)))
        if "." in name:
            return replace(query, linked=(*query.linked, self._chain(query.kind, name, value)))
        code, _, modifier = name.partition(":")
        parameter = self._known(query.kind, code)
        criterion = self.criterion(parameter, modifier, value)
        return replace(query, criteria=(*query.criteria, criterion))

    def _is_type(self, name: str) -> bool:
        return self.parameters.definitions.is_resource(name)

    def _known(self, kind: str, code: str) -> Parameter:
        found = self.parameters.of(kind).get(code)
        if found is None:
            raise Malformed(f"{kind} has no search parameter {_named(code)}.")
        if found.package in self.parameters.waiting:
            raise NotIndexed(f"{_named(code)} is not indexed yet; run `kinbridge reindex`.")
        return found

    def _updated(self, query: Query, value: str) -> Query:
        prefix, low, high = matching.moments(value, self.now)
        first, after = _instant(low), _instant(high)
        if prefix == "ne":

            def elsewhere(facts: Facts) -> bool:
                return not first <= facts.updated < after

            return replace(query, criteria=(*query.criteria, Criterion(elsewhere)))
        since = {"eq": first, "ge": first, "gt": after, "sa": after, "ap": first}.get(prefix, "")
        until = {"eq": after, "le": after, "lt": first, "eb": first, "ap": after}.get(prefix, "")
        until = min(one for one in (until, query.until) if one) if until or query.until else ""
        return replace(query, since=max(since, query.since), until=until)

    def condition(self, text: str) -> Query:
        """Type?… of a conditional interaction, as its door has read it."""
        kind, _, asked = text.partition("?")
        made = self.query(kind, parse_qsl(asked, keep_blank_values=True))
        if not (made.criteria or made.linked or made.ids or made.since or made.until):
            raise Malformed("A condition says what the resource is like; this one says nothing.")
        return made

    # Conditions on the resource itself.

    def criterion(self, parameter: Parameter, modifier: str, value: str) -> Criterion:
        """One parameter with its values, of which one must be met."""
        code = parameter.code
        if modifier == "missing":
            return self._missing(parameter, value)
        typed = modifier if parameter.type == "reference" and modifier in parameter.targets else ""
        if modifier and not typed and modifier not in _MODIFIERS[parameter.type]:
            if parameter.type == "reference" and self._is_type(modifier):
                raise Malformed(f"{_named(code)} does not lead to {_named(modifier)}.")
            raise Malformed(f"{_named(code)} does not take the modifier :{_named(modifier)}.")
        values = escaping.split(value, ",")
        if len(values) > MOST_VALUES:
            raise Malformed(f"{_named(code)} takes {MOST_VALUES} values at most.")
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
                return [matching.quantity(atom, escaping.unescaped(value))]

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
                    fields[1] in atom.targets for atom in atoms for fields in facts.of(atom.name)
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
            raise Malformed(f"The value set of {_named(parameter.code)}:{modifier} is not loaded.")
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
                raise Malformed(f"{_named(parameter.code)} takes {len(parameter.parts[0])} values.")
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

    # Conditions on what is linked.

    def _chain(self, kind: str, name: str, value: str) -> Linked:
        """https://hl7.org/fhir/R4/search.html#chaining."""
        head, _, rest = name.partition(".")
        code, _, target = head.partition(":")
        parameter = self._known(kind, code)
        if parameter.type != "reference":
            raise Malformed(f"{_named(code)} is no reference, so nothing can be chained to it.")
        if target and target not in parameter.targets:
            raise Malformed(f"{_named(code)} does not lead to {_named(target)}.")
        queries, refused = [], None
        for one in (target,) if target else parameter.targets:
            try:
                queries.append(self._inner(one, rest, value))
            except Malformed as error:
                refused = error
        if not queries:
            raise refused or Malformed(f"{_named(code)} leads nowhere.")
        return Linked(parameter.atoms, tuple(queries))

    def _has(self, kind: str, name: str, value: str) -> Linked:
        """https://hl7.org/fhir/R4/search.html#has."""
        parts = name.split(":", 3)
        if len(parts) != 4 or not self._is_type(parts[1]):
            raise Malformed("_has is written as _has:Type:reference:parameter.")
        _, other, code, rest = parts
        parameter = self._known(other, code)
        if parameter.type != "reference" or kind not in parameter.targets:
            raise Malformed(f"{_named(code)} does not lead from {other} to {kind}.")
        atoms = tuple(replace(atom, targets=(kind,)) for atom in parameter.atoms)
        return Linked(atoms, (self._inner(other, rest, value),), reverse=True)

    def _inner(self, kind: str, name: str, value: str) -> Query:
        if name.count(".") + name.count("_has:") > 6:
            raise Malformed("The chain is too long.")
        strict = replace(self, lenient=False)
        return strict.query(kind, [(name, value)])

    def within(self, name: str, identity: str, kind: str, codes: Iterable[str]) -> Criterion:
        """That a resource stands in a compartment: one of these parameters leads to its head."""
        found = [
            alternative
            for code in codes
            if (parameter := self.parameters.of(kind).get(code))
            for atom in parameter.atoms
            for alternative in matching.reference(atom, f"{name}/{identity}", "", self.base)
        ]
        return any_of(found)

    # How the answer is put together.

    def _result(self, query: Query, name: str, value: str) -> Query:
        match name.partition(":")[0]:
            case "_sort":
                if name == "_sort:desc":  # as DSTU2 wrote it, and fhir.js still does
                    value = ",".join(f"-{one}" for one in value.split(","))
                return replace(query, sort=(*query.sort, *self._sorted(query.kind, value)))
            case "_count":
                if not value.isascii() or not value.isdigit():
                    raise Malformed("_count is a number.")
                return replace(query, count=min(int(value[:9]), MOST))
            case "_total":
                if value not in {"none", "estimate", "accurate"}:
                    raise Malformed("_total is none, estimate or accurate.")
                return replace(query, total=value)
            case "_totalMethod":  # Aidbox's word, which the client fhirpy sends
                return replace(query, total="accurate")
            case "_type":
                return query
            case _:
                return replace(
                    query, includes=(*query.includes, *self._include(query, name, value))
                )

    def _sorted(self, kind: str, value: str) -> Iterable[tuple[Parameter | str, bool]]:
        keys = value.split(",")
        if len(keys) > _MOST_KEYS:
            raise Malformed(f"_sort takes {_MOST_KEYS} keys at most.")
        for key in keys:
            code = key.removeprefix("-")
            if code in {"_id", "_lastUpdated"}:
                yield code, key != code
                continue
            parameter = self._known(kind, code)
            if parameter.type == "composite":
                raise Malformed(f"{_named(code)} is no key to sort by.")
            yield parameter, key != code

    def _include(self, query: Query, name: str, value: str) -> list[Include]:
        """https://hl7.org/fhir/R4/search.html#include: Type:parameter, with :Type; * for all."""
        way, _, modifier = name.partition(":")
        reverse, iterate = way == "_revinclude", modifier in {"iterate", "recurse"}
        if value == "*":
            return [Include("" if reverse else query.kind, None, "", reverse, iterate)]
        kind, _, rest = value.partition(":")
        code, _, target = rest.partition(":")
        if not self._is_type(kind):
            raise Malformed(f"{way} is written as Type:parameter.")
        if target and not self._is_type(target):
            raise Malformed(f"{way}: FHIR R4 has no type {_named(target)}.")
        parameter = None if code == "*" else self._known(kind, code)
        if parameter is not None and parameter.type != "reference":
            raise Malformed(f"{_named(code)} is no reference, so it leads to nothing.")
        return [Include(kind, parameter, target, reverse, iterate)]


# What stands beside an atom's entries says as well that the element is there.
_BESIDE: Final = {
    "token": ("", ":text"),
    "reference": ("", ":identifier"),
}


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


def _instant(microseconds: int) -> str:
    """As storage writes a time, in whole milliseconds; the first that is not before."""
    try:
        moment = _EPOCH + timedelta(milliseconds=-(-microseconds // 1000))
    except OverflowError:
        return "9999-12-31T23:59:59.999Z" if microseconds > 0 else "0001"
    return fhir.instant(moment)


def _named(text: str) -> str:
    """A parameter's name as it may stand in an answer."""
    kept = "".join(one for one in text if one.isalnum() or one in "-_:.*")
    return kept[:64] or "without a name"
