"""The definitions that are loaded, and the checkers compiled from them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from app.conformance import library, native, packages, questionnaires, structure, support
from app.conformance.checker import CLAIMED, Asked, Checker
from app.conformance.conforming import Profiles
from app.conformance.findings import Findings, named
from app.conformance.packages import Entry, Package
from app.conformance.rules import Rules
from app.conformance.shape import Shapes, root_path, walked
from app.conformance.snapshots import Snapshot, Snapshots
from app.conformance.subset import Subsets
from app.conformance.terminology import Terminology
from app.errors import NotSupported
from app.fhirpath.model import folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    from app.conformance.structure import Structure
    from app.errors import Issue
    from app.fhir import Resource

MAX_NAMES: Final = 4096  # names that are asked for come from resources; there are 148 types


def load(added: Path | None = None) -> Definitions:
    """
    What comes with the service, and what the deployer has added.

    Only indexes of packs are read; a definition is read when it is first needed.
    added       the folder that `kinbridge profiles add` fills
    raises      Malformed, TooLarge: as packages.load and library.load
    """
    definitions = Definitions()
    for package in packages.load(folder()):
        definitions.add(package)
    for package in library.load(added) if added else ():
        definitions.add(package)
    return definitions


class Definitions:
    """Packages side by side, found by canonical; safe to share between threads once loaded."""

    def __init__(self) -> None:
        self.packages: list[Package] = []
        self._found: dict[str, list[tuple[Package, Entry]]] = defaultdict(list)
        self._structures: dict[str, Structure] = {}
        self._kinds: dict[str, bool] = {}
        self._compile()

    def _compile(self) -> None:
        """Forgets what was compiled; nothing is compiled until it is asked for."""
        self._checkers: dict[str, Checker] = {}
        self._shapes = Shapes(self.structure)
        self.subsets = Subsets(self.structure)
        self.terminology = Terminology(self._read, self._versions)
        forms = questionnaires.Questionnaires(self.resource, self.terminology)
        more = {questionnaires.CONTEXT: forms.check}
        self.profiles = Profiles(self._profile, self.structure, self.terminology, self._unasked)
        self._rules = Rules(self.structure, self.terminology, self._type_of, self.profiles, more)

    def add(self, source: Package | Path | bytes) -> None:
        """
        One more package; its definitions are seen from now on.

        raises      Malformed, TooLarge: as packages.load
        """
        if isinstance(source, bytes):
            is_archive = source[:2] == b"\x1f\x8b"
            read = packages.read_archive if is_archive else packages.read_definition
            self.add(read(source))
        elif isinstance(source, Package):
            self.packages.append(source)
            for entry in source.entries:
                self._found[entry.url].append((source, entry))
            self._structures.clear()
            self._kinds.clear()
            self._compile()
        else:
            for package in packages.load(source):
                self.add(package)

    def find(
        self, canonical: str, resource_type: str = "", *, within: Package | None = None
    ) -> tuple[Package, Entry] | None:
        """
        The definition that a canonical means.

        canonical   with `|version` that version, or the newest of `|3.0`; without, the one that
                    `within` has or depends on, else the newest
        """
        url, version = packages.split(canonical)
        offered = [
            (package, entry)
            for package, entry in self._found.get(url, ())
            if resource_type in ("", entry.resource_type)
            and (not version or entry.version == version or entry.version.startswith(version + "."))
        ]
        exact = [one for one in offered if one[1].version == version]
        if not version and within is not None:
            exact = self._near(offered, within)
        return max(exact or offered, key=lambda one: packages.order(one[1].version), default=None)

    def resource(
        self, canonical: str, resource_type: str = "", *, within: Package | None = None
    ) -> Resource | None:
        """The definition itself, read anew at each call."""
        found = self.find(canonical, resource_type, within=within)
        return found[0].read(found[1]) if found else None

    def entries(self, resource_type: str) -> Iterator[tuple[Package, Entry]]:
        for package in self.packages:
            for entry in package.entries:
                if entry.resource_type == resource_type:
                    yield package, entry

    def structure(self, name: str) -> Structure:
        """
        The structure of a type, by its name or canonical.

        raises      KeyError: not loaded
        """
        found = self._structures.get(name)
        if found is None:
            canonical = name if ":" in name else structure.BASE + name
            definition = self.resource(canonical, "StructureDefinition")
            if definition is None:
                raise KeyError(name)
            if "snapshot" not in definition and "differential" in definition:
                rows = self.snapshot(definition).rows
                definition = {**definition, "snapshot": {"element": rows}}
            found = self._structures[name] = structure.read(definition)
        return found

    def snapshot(self, definition: Resource) -> Snapshot:
        """
        What a StructureDefinition comes to, by its differential.

        raises      Malformed: as Snapshots.make
        """
        return Snapshots(self._profile).make(definition)

    def is_resource(self, name: str) -> bool:
        """Whether it is the name of a resource type."""
        known = self._kinds.get(name)
        if known is None:
            found = self.find(structure.BASE + name, "StructureDefinition") if name else None
            known = found is not None and found[1].kind == "resource" and found[1].type == name
            if len(self._kinds) < MAX_NAMES:
                self._kinds[name] = known
        return known

    def checker(self, canonical: str) -> Checker:
        """
        What checks a resource against a definition, by its canonical or its type name.

        raises      NotSupported: not loaded, or no definition of a resource type
                    Malformed: a profile that cannot be read, or that stands on itself
        """
        found = self._checkers.get(canonical)
        if found is None:
            profile = self.profiles.get(canonical) if ":" in canonical else None
            try:
                where = self.structure(profile.type if profile else canonical)
            except KeyError:
                raise not_loaded(canonical) from None
            if where.kind != "resource" or where.abstract:
                raise NotSupported("The definition is not of a type that a resource can have.")
            found = self._checkers[canonical] = Checker(
                profile.url if profile else f"{where.url}|{where.version}",
                where.type,
                shapes=self._shapes,
                rules=self._rules,
                is_resource=self.is_resource,
                profile=canonical if profile else "",
            )
        return found

    def shape(self, resource: Resource, *, known_plain: bool = False) -> list[Issue]:
        """
        What a door refuses in a resource of whatever type.

        known_plain     whether what it was read from was plain, as app.conformance.shape has it
        """
        name = resource.get("resourceType") if isinstance(resource, dict) else None
        if isinstance(name, str) and self.is_resource(name):
            return self.checker(name).shape(resource, known_plain=known_plain)
        return self._shapes.check(resource)

    def check(  # noqa: PLR0913 — what a caller may ask
        self,
        resource: Resource,
        *,
        now: datetime,
        resolve: Callable[[str], Resource | None] | None = None,
        profiles: tuple[str, ...] = (),
        claims: bool = True,
        known_extensions: bool = False,
    ) -> list[Issue]:
        """
        Both stages for a resource of whatever type, and the profiles that it claims.

        Of one core, warm: 30 us for a Task of base R4, 60 us with the profile of a referral, 90 us
        for a screening Observation with its own; the first of a profile compiles it, some 10 ms.
        To hold what leaves or is made against one profile and nothing else: `profiles=(canonical,),
        claims=False`, and no issue of severity error.

        resolve             see Checker.rules
        profiles            canonicals of what else it is held against
        claims              whether also the profiles in its meta.profile
        known_extensions    whether an extension that is not loaded is an error
        """
        name = resource.get("resourceType") if isinstance(resource, dict) else None
        if isinstance(name, str) and self.is_resource(name):
            how = CLAIMED
            if profiles or known_extensions or not claims:
                how = Asked(profiles, claims=claims, known_extensions=known_extensions)
            return self.checker(name).check(resource, now=now, resolve=resolve, asked=how)
        return self._shapes.check(resource)

    def must_support(self, resource: Resource, canonical: str, *, now: datetime) -> list[Issue]:
        """
        What a profile must support and a resource does not have, as information.

        raises      NotSupported: the profile is not loaded
                    Malformed: it cannot be read, or it stands on itself
        """
        one = self.profiles.whole(canonical)
        if one is None:
            raise not_loaded(canonical)
        path = root_path(resource)
        scope = self.checker(one.type).scope(resource, now=now)

        def walk(found: Findings) -> None:
            for issue in support.absent(self.profiles, one.root, resource, path, scope):
                found.add(issue)

        return [named(issue, one.url) for issue in walked(walk)]

    def _read(
        self, canonical: str, resource_type: str, within: Package | None
    ) -> tuple[Package, Resource] | None:
        found = self.find(canonical, resource_type, within=within)
        return (found[0], found[0].read(found[1])) if found else None

    def _versions(self, url: str, resource_type: str) -> Iterator[Resource]:
        for package, entry in self._found.get(url, ()):
            if entry.resource_type == resource_type:
                yield package.read(entry)

    def _unasked(self) -> list[tuple[str, str]]:
        return [
            (entry.type, entry.url)
            for _, entry in self.entries("StructureDefinition")
            if entry.base == native.UNASKED and entry.url.startswith(structure.BASE)
        ]

    def _profile(self, canonical: str) -> Resource | None:
        return self.resource(canonical, "StructureDefinition")

    def _type_of(self, canonical: str) -> str:
        found = self.find(canonical, "StructureDefinition")
        return found[1].type if found else ""

    def _near(
        self, offered: list[tuple[Package, Entry]], within: Package
    ) -> list[tuple[Package, Entry]]:
        names = {within.name: within.version, **within.dependencies}
        own = [one for one in offered if one[0] is within]
        return own or [one for one in offered if names.get(one[0].name) == one[0].version]


def not_loaded(canonical: str) -> NotSupported:
    """A refusal for a definition that is not here; canonicals are no health data."""
    return NotSupported(f"The definition {canonical} is not loaded; add its package.")
