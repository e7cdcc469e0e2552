"""The profiles that are loaded, and whether a value conforms to one of them."""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from app.conformance import profile
from app.conformance.demands import Demand
from app.conformance.findings import EnoughError, Findings
from app.conformance.invariants import holds
from app.conformance.structure import BASE
from app.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.conformance.profile import Profile
    from app.conformance.scope import Scope
    from app.conformance.structure import Structure
    from app.conformance.terminology import Terminology
    from app.fhir import Resource

MAX_PROFILES: Final = 4096  # canonicals come from resources
MAX_DEPTH: Final = 24  # profiles that lead to profiles


class Profiles:
    """
    Every profile that has been asked for, read and compiled once.

    read        canonical to the StructureDefinition, or None
    structure   name of a type to its structure; raises KeyError
    unasked     (type, canonical) of each profile that R4 asks of a resource by its code alone
    """

    def __init__(
        self,
        read: Callable[[str], Resource | None],
        structure: Callable[[str], Structure],
        terminology: Terminology,
        unasked: Callable[[], list[tuple[str, str]]],
    ) -> None:
        self._read = read
        self.structure = structure
        self.terminology = terminology
        self._profiles: dict[str, Profile | None] = {}
        self._reading: list[str] = []
        self._one_at_a_time = RLock()  # what is long is checked on threads
        self._demands: dict[tuple[str, str], Demand] = {}
        self._unasked = unasked
        self._by_code: dict[str, dict[tuple[Any, Any], str]] = {}

    def get(self, canonical: str) -> Profile | None:
        """
        A profile; None where it is not loaded, or is a type and adds nothing.

        raises      Malformed: it cannot be read, or it stands on itself
        """
        kept = self._profiles
        if canonical in kept:
            return kept[canonical]
        with self._one_at_a_time:
            return self._get(canonical)

    def _get(self, canonical: str) -> Profile | None:
        if canonical in self._reading or len(self._reading) > profile.MAX_CHAIN:
            raise Malformed("The profile stands on itself, by its baseDefinition; mend it.")
        definition = self._read(canonical)
        found = None
        if definition is not None and definition.get("derivation") == "constraint":
            self._reading.append(canonical)
            try:
                found = profile.read(definition, self.get, self.structure)
            finally:
                self._reading.pop()
        if len(self._profiles) >= MAX_PROFILES:
            self._profiles, self._demands = {}, {}
        self._profiles[canonical] = found
        return found

    def readable(self, canonical: str) -> Profile | None:
        """As get, and None for one that cannot be read."""
        try:
            return self.get(canonical)
        except Malformed:
            return None

    def whole(self, canonical: str) -> Profile | None:
        """As readable, with what must only be supported; read anew at each call."""
        definition = self._read(canonical)
        if definition is None or definition.get("derivation") != "constraint":
            return None
        with self._one_at_a_time:
            if len(self._reading) > profile.MAX_CHAIN:
                raise Malformed("The profile stands on itself, by its baseDefinition; mend it.")
            self._reading.append(canonical)
            try:
                return profile.read(definition, self.whole, self.structure, whole=True)
            finally:
                self._reading.pop()

    def loaded(self, canonical: str) -> bool:
        return self._profiles.get(canonical) is not None or self._read(canonical) is not None

    def type_of(self, canonical: str) -> str:
        found = self.readable(canonical)
        if found:
            return found.type
        return canonical.removeprefix(BASE) if canonical.startswith(BASE) else ""

    def is_type(self, canonical: str) -> bool:
        """Whether it means a type of R4 that adds nothing."""
        try:
            found = self.structure(canonical.removeprefix(BASE))
        except KeyError:
            return False
        return canonical.startswith(BASE) and found.url == canonical

    def unasked(self, resource: Resource) -> list[str]:
        """The profiles that R4 asks of a resource by its code alone."""
        code = resource.get("code")
        codings = code.get("coding") if isinstance(code, dict) else None
        if not isinstance(codings, list):
            return []
        kind = resource["resourceType"]
        kept = self._by_code
        if kind not in kept:
            if len(kept) >= MAX_PROFILES:
                kept = self._by_code = {}
            kept[kind] = self._coded(kind)
        known = kept[kind]
        if not known:
            return []
        keys = ((one.get("system"), one.get("code")) for one in codings if isinstance(one, dict))
        said = dict.fromkeys(key for key in keys if all(isinstance(part, str) for part in key))
        return [known[key] for key in said if key in known]

    def _coded(self, kind: str) -> dict[tuple[Any, Any], str]:
        """System and code to the profile that fixes them in a slice of the code."""
        found = {}
        for of, canonical in self._unasked():
            one = self.readable(canonical) if of == kind else None
            code = one.root.children.get("code") if one else None
            coding = code.children.get("coding") if code else None
            for part in coding.slices.values() if coding else ():
                system, value = part.children.get("system"), part.children.get("code")
                if system and value and system.exact and value.exact:
                    found[system.exact[0], value.exact[0]] = canonical
        return found

    def conforms(self, value: Any, kind: str, wanted: Sequence[str], scope: Scope) -> bool:
        """Whether a value has no error by one of several profiles, of those that are loaded."""
        for canonical in wanted:
            found = self.readable(canonical)
            if found is None:
                if canonical.removeprefix(BASE) == kind:
                    return True
                continue
            if found.type not in (kind, "Resource", "DomainResource") and kind[:1].isupper():
                continue
            if self._without_error(found, value, kind, scope):
                return True
        return False

    def test(self, one: Profile, value: Any, kind: str, scope: Scope) -> object:
        """Says yes where there is nothing to say of a value by a profile."""
        key = (one.url, id(value))
        active = scope.world.active
        if key in active or len(active) > MAX_DEPTH:
            return True
        active.add(key)
        try:
            return holds(self.demand(one, kind).test, value, scope)
        finally:
            active.discard(key)

    def check(  # noqa: PLR0913 — what a check is about, each by its name
        self, one: Profile, value: Any, path: str, scope: Scope, found: Findings, kind: str = ""
    ) -> None:
        """All that is wrong with a value by a profile, and what could not be checked."""
        key = (one.url, id(value))
        active = scope.world.active
        if key in active or len(active) > MAX_DEPTH:
            return
        active.add(key)
        try:
            self.demand(one, kind or one.type).walk(value, None, path, scope, found)
        finally:
            active.discard(key)

    def demand(self, one: Profile, kind: str) -> Demand:
        """What a profile asks of values of a type, compiled when it is first asked."""
        found = self._demands.get((one.url, kind))
        if found is None:
            if len(self._demands) >= MAX_PROFILES:
                self._demands = {}
            found = self._demands[one.url, kind] = Demand(self, one.root, kind)
        return found

    def _without_error(self, one: Profile, value: Any, kind: str, scope: Scope) -> bool:
        """Asked once of a value: what many refer to would be asked as often."""
        world = scope.world
        key = (one.url, id(value))
        known = world.conforming.get(key)
        if known is not None:
            return known
        world.conforming[key] = True  # what leads back to itself is not what is wrong with it
        inner = scope
        if isinstance(value, dict) and "resourceType" in value and value is not scope.resource:
            contained = any(value is one for one in scope.contained.values())
            inner = scope.inside(value, contained=contained)
        answer, noted = True, dict(world.unsure)
        if not self.test(one, value, kind, inner):
            found = Findings()
            try:
                self.check(one, value, "", inner, found, kind)
            except EnoughError:
                answer = False
            answer = answer and not any(issue.severity == "error" for issue in found)
        world.conforming[key] = answer
        world.unsure = noted  # what another profile cannot tell is not asked here
        return answer
