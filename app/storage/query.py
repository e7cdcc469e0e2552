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
from app.storage.compiled import Parameter
from app.storage.criteria import Criteria, any_of, named
from app.storage.matching import Facts
from app.storage.parameters import NATIVE, Parameters


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
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MOST: Final = 1000
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
        if name in {"_id", "_id:not"}:
            values, whole = escaping.unescaped(value).split(","), f"{query.kind}/"
            ids = frozenset(one.removeprefix(whole) for one in values if one)
            if name == "_id:not":
                others = Criterion(lambda facts: facts.id in ids, negated=True)
                return replace(query, criteria=(*query.criteria, others))
            return replace(query, ids=ids if query.ids is None else query.ids & ids)
        if name == "_lastUpdated":
            return self._updated(query, value)
        if name.startswith("_has:"):
            return replace(query, linked=(*query.linked, self._has(query.kind, name, value)))
        if "." in name:
            return replace(query, linked=(*query.linked, self._chain(query.kind, name, value)))
        code, _, modifier = name.partition(":")
        if code in NATIVE or code in _RESULT:
            raise Malformed(f"{code} does not take the modifier :{named(modifier)}.")
        parameter = self._known(query.kind, code)
        criteria = Criteria(self.parameters, self.base, self.now)
        criterion = criteria.criterion(parameter, modifier, value)
        return replace(query, criteria=(*query.criteria, criterion))

    def _is_type(self, name: str) -> bool:
        return self.parameters.definitions.is_resource(name)

    def _known(self, kind: str, code: str) -> Parameter:
        found = self.parameters.of(kind).get(code)
        if found is None:
            raise Malformed(f"{kind} has no search parameter {named(code)}.")
        if found.package in self.parameters.waiting:
            raise NotIndexed(f"{named(code)} is not indexed yet; run `kinbridge reindex`.")
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
        if not self._is_type(kind):
            raise Malformed(f"FHIR R4 has no type {named(kind)}.")
        made = self.query(kind, parse_qsl(asked, keep_blank_values=True))
        if not (made.criteria or made.linked or made.ids or made.since or made.until):
            raise Malformed("A condition says what the resource is like; this one says nothing.")
        return made

    # Conditions on what is linked.

    def _chain(self, kind: str, name: str, value: str) -> Linked:
        """https://hl7.org/fhir/R4/search.html#chaining."""
        head, _, rest = name.partition(".")
        code, _, target = head.partition(":")
        parameter = self._known(kind, code)
        if parameter.type != "reference":
            raise Malformed(f"{named(code)} is no reference, so nothing can be chained to it.")
        if target and target not in parameter.targets:
            raise Malformed(f"{named(code)} does not lead to {named(target)}.")
        _holds_ids(parameter)
        queries, refused = [], None
        for one in (target,) if target else parameter.targets:
            try:
                queries.append(self._inner(one, rest, value))
            except Malformed as error:
                refused = error
        if not queries:
            raise refused or Malformed(f"{named(code)} leads nowhere.")
        return Linked(parameter.atoms, tuple(queries))

    def _has(self, kind: str, name: str, value: str) -> Linked:
        """https://hl7.org/fhir/R4/search.html#has."""
        parts = name.split(":", 3)
        if len(parts) != 4 or not self._is_type(parts[1]):
            raise Malformed("_has is written as _has:Type:reference:parameter.")
        _, other, code, rest = parts
        parameter = self._known(other, code)
        if parameter.type != "reference" or kind not in parameter.targets:
            raise Malformed(f"{named(code)} does not lead from {other} to {kind}.")
        _holds_ids(parameter)
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
                return replace(query, includes=(*query.includes, *self._include(name, value)))

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
                raise Malformed(f"{named(code)} is no key to sort by.")
            yield parameter, key != code

    def _include(self, name: str, value: str) -> list[Include]:
        """https://hl7.org/fhir/R4/search.html#include: Type:parameter, with :Type; * for all, *:*:Type too."""
        way, _, modifier = name.partition(":")
        reverse, iterate = way == "_revinclude", modifier in {"iterate", "recurse"}
        kind, _, rest = value.partition(":")
        code, _, target = rest.partition(":")
        if kind == "*" and code in {"", "*"}:
            kind, code = "", "*"
        elif not self._is_type(kind):
            raise Malformed(f"{way} is written as Type:parameter.")
        if target and not self._is_type(target):
            raise Malformed(f"{way}: FHIR R4 has no type {named(target)}.")
        parameter = None if code == "*" else self._known(kind, code)
        if parameter is not None and parameter.type != "reference":
            raise Malformed(f"{named(code)} is no reference, so it leads to nothing.")
        return [Include(kind, parameter, target, reverse, iterate)]


def _holds_ids(parameter: Parameter) -> None:
    """Raises Malformed: what it leads to is named by canonical URLs, and no chain follows these."""
    if any(atom.canonical for atom in parameter.atoms):
        raise Malformed(f"{named(parameter.code)} is a canonical URL; ask by it, or include it.")


def _instant(microseconds: int) -> str:
    """As storage writes a time, in whole milliseconds; the first that is not before."""
    try:
        moment = _EPOCH + timedelta(milliseconds=-(-microseconds // 1000))
    except OverflowError:
        return "9999-12-31T23:59:59.999Z" if microseconds > 0 else "0001"
    return fhir.instant(moment)
