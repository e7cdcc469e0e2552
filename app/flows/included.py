"""What hangs on the matches of a search: what they refer to, and what refers to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Final

from app.storage import bodies, search
from app.storage.asked import Include
from app.storage.compiled import Atom, Parameter
from app.storage.database import Reading
from app.storage.entries import FIELD
from app.storage.matching import Facts
from app.storage.parameters import Parameters
from app.storage.search import Found

_INCLUDED: Final = 2000  # resources beside the matches of one page
_NAMED: Final = 20_000  # references that are followed for them; a group may have more members
_ROUNDS: Final = 8  # how far :iterate goes

_Name = tuple[str, str]  # type and id
_Canonical = tuple[str, str, str]  # type, URL and version, "" for whichever


@dataclass(frozen=True, slots=True)
class Beside:
    """What is included on one shelf; https://hl7.org/fhir/R4/search.html#include."""

    tx: Reading
    parameters: Parameters
    shelf: str

    async def all_of(
        self, includes: tuple[Include, ...], matches: list[Found]
    ) -> tuple[list[Found], bool]:
        """Each resource once, and no match again; and whether there is more than is followed."""
        seen = {(one.type, one.id) for one in matches}
        found: list[Found] = []
        level, ways = matches, includes
        for _ in range(_ROUNDS):
            new: list[Found] = []
            for include in ways:
                if include.reverse:
                    led, over = await self._back(include, level), False
                else:
                    led, over = await self._forth(include, level, seen)
                for one in led:
                    if (one.type, one.id) not in seen:
                        seen.add((one.type, one.id))
                        new.append(one)
                if over or len(found) + len(new) > _INCLUDED:
                    return (found + new)[:_INCLUDED], True
            found += new
            level, ways = new, tuple(one for one in includes if one.iterate)
            if not new or not ways:
                break
        return found, False

    async def _forth(
        self, include: Include, level: list[Found], seen: set[_Name]
    ) -> tuple[list[Found], bool]:
        """What these refer to, and whether it is more than is followed."""
        named: set[_Name] = set()
        canonical: set[_Canonical] = set()
        for one in level:
            if len(named) + len(canonical) > _NAMED:
                break
            if include.kind not in {"", one.type}:
                continue
            facts = await self._facts(one)
            for way in self._of(include, one.type):
                for atom in way.atoms:
                    if atom.canonical:
                        canonical.update(_canonicals(include, way, atom, facts))
                    else:
                        named.update(_named(include, atom, facts))
        found: list[Found] = []
        for kind, names in groupby(sorted(named - seen)[:_NAMED], key=itemgetter(0)):
            ids = [identity for _, identity in names]
            most = _INCLUDED + 1 - len(found)
            found += await search.by_ids(self.tx, self.shelf, kind, ids, most=most)
        for kind, wanted in groupby(sorted(canonical)[:_NAMED], key=itemgetter(0)):
            found += await self._by_url(kind, [one[1:] for one in wanted])
        return found, len(named) + len(canonical) > _NAMED

    def _of(self, include: Include, kind: str) -> list[Parameter]:
        """The references that an include names, or all of a type."""
        if include.parameter:
            return [include.parameter]
        return [way for way in self.parameters.of(kind).values() if way.type == "reference"]

    async def _by_url(self, kind: str, wanted: list[tuple[str, str]]) -> list[Found]:
        """Those of a type that have one of these URLs, and the version with it."""
        versions: dict[str, set[str]] = {}
        for url, version in wanted:
            versions.setdefault(url, set()).add(version)
        terms = [f"{atom.key}{FIELD}{url}" for atom in self._atoms(kind, "url") for url in versions]
        found = []
        for one in await search.leading_to(
            self.tx, self.shelf, kind, terms, "", most=_INCLUDED + 1
        ):
            urls, own = await self._said(one)
            if any(versions.get(url, set()) & own for url in urls):
                found.append(one)
        return found

    async def _said(self, one: Found) -> tuple[set[str], set[str]]:
        """The URLs and the versions by which a resource is known, the version "" among them."""
        facts = await self._facts(one)

        def values(code: str) -> set[str]:
            atoms = self._atoms(one.type, code)
            return {fields[0] for atom in atoms for fields in facts.of(atom.name)}

        return values("url"), {"", *values("version")}

    def _atoms(self, kind: str, code: str) -> tuple[Atom, ...]:
        parameter = self.parameters.of(kind).get(code)
        return parameter.atoms if parameter else ()

    async def _facts(self, one: Found) -> Facts:
        text = one.facts or await bodies.facts(self.tx, self.shelf, one.type, one.id)
        return Facts(one.id, one.updated, text)

    async def _back(self, include: Include, level: list[Found]) -> list[Found]:
        """What refers to these."""
        found: list[Found] = []
        for kind in sorted({one.type for one in level}):
            if include.target not in {"", kind}:
                continue
            heads = [one for one in level if one.type == kind]
            ways = [include.parameter] if include.parameter else self._ways(include, kind)
            for way in ways:
                of = include.kind or way.atoms[0].type
                for qualifier, terms in (await self._terms(way, kind, heads)).items():
                    most = _INCLUDED + 1 - len(found)
                    if most > 0:
                        found += await search.leading_to(
                            self.tx, self.shelf, of, terms, qualifier, most=most
                        )
        return found

    async def _terms(self, way: Parameter, kind: str, heads: list[Found]) -> dict[str, list[str]]:
        """{qualifier: terms} under which the index has what refers to these, of one type."""
        terms: dict[str, list[str]] = {}
        for atom in way.atoms:
            if not atom.led_to or (atom.targets and kind not in atom.targets):
                continue
            for one in heads:
                if not atom.canonical:
                    terms.setdefault(kind, []).append(f"{atom.key}{FIELD}{one.id}")
                    continue
                urls, versions = await self._said(one)
                for version in versions:
                    named = [f"{atom.key}{FIELD}{url}" for url in urls]
                    terms.setdefault(version, []).extend(named)
        return {qualifier: some for qualifier, some in terms.items() if some}

    def _ways(self, include: Include, target: str) -> list[Parameter]:
        """Every parameter that leads to a type, of one type or of all; each place once."""
        kinds = [include.kind] if include.kind else self.parameters.types
        found: dict[str, Parameter] = {}
        for kind in kinds:
            for way in self.parameters.of(kind).values():
                if way.type == "reference" and (not way.targets or target in way.targets):
                    found.setdefault(" ".join(atom.key for atom in way.atoms), way)
        return list(found.values())


def _named(include: Include, atom: Atom, facts: Facts) -> Iterator[_Name]:
    for identity, kind, *_ in facts.of(atom.name):
        narrow = (include.target and kind != include.target) or (
            atom.targets and kind not in atom.targets
        )
        if kind and not narrow:
            yield kind, identity


def _canonicals(include: Include, way: Parameter, atom: Atom, facts: Facts) -> Iterator[_Canonical]:
    """Of each type to which it may lead."""
    kinds: Iterable[str] = way.targets
    if include.target:
        kinds = {include.target} & {*way.targets}
    for url, version, *_ in facts.of(atom.name):
        yield from ((kind, url, version) for kind in kinds)
