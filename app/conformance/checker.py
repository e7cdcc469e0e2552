"""One type's checker: both stages, for whoever holds a resource of that type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from app import fhir, fhirpath
from app.conformance import checks, claims
from app.conformance.findings import finding, named
from app.conformance.scope import Scope, World
from app.conformance.shape import REFUSED, Shapes, plain, root_path, walked
from app.conformance.terminology import member_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from app.conformance.findings import Findings
    from app.conformance.rules import Rules
    from app.errors import Issue
    from app.fhir import Resource


@dataclass(frozen=True, slots=True)
class Asked:
    """
    What a resource is held against beside its type.

    profiles            canonicals
    claims              whether also what it claims in meta.profile
    known_extensions    whether an extension that is not loaded is an error
    """

    profiles: tuple[str, ...] = ()
    claims: bool = False
    known_extensions: bool = False


NOTHING: Final = Asked()
CLAIMED: Final = Asked(claims=True)


class Checker:
    """
    What a definition asks of a resource; made by Definitions.checker, safe between threads.

    url         of the definition, with its version
    """

    def __init__(  # noqa: PLR0913 — what a check is about, each by its name
        self,
        url: str,
        type_name: str,
        *,
        shapes: Shapes,
        rules: Rules,
        is_resource: Callable[[str], bool],
        profile: str = "",
    ) -> None:
        self.url = url
        self._profile = profile
        self.type = type_name
        self._shapes = shapes
        self._rules = rules
        self._is_resource = is_resource
        self._last: fhirpath.Environment | None = None

    def check(
        self,
        resource: Resource,
        *,
        now: datetime,
        root: Resource | None = None,
        resolve: Callable[[str], Resource | None] | None = None,
        asked: Asked = NOTHING,
    ) -> list[Issue]:
        """Both stages; one defect gives one issue."""
        shape = self.shape(resource)
        if not shape:
            return self.rules(resource, now=now, root=root, resolve=resolve, asked=asked)
        # An element that R4 does not have is asked nothing, and what is beside it is not broken.
        broken = frozenset(one.expression for one in shape if one.rule != "json-element")
        try:
            return shape + self.rules(
                resource, now=now, root=root, resolve=resolve, broken=broken, asked=asked
            )
        except REFUSED:
            text = "Rules and profiles were not checked; mend the shape first."
            return [*shape, finding("shape", root_path(resource), text, severity="information")]

    def shape(self, resource: Resource, *, known_plain: bool = False) -> list[Issue]:
        """What a door refuses: unknown elements, wrong JSON types, wrong formats."""
        try:
            if (known_plain or plain(fhir.encode(resource))) and self._shapes.test_resource(
                resource
            ):
                return []
        except REFUSED:
            pass
        path = root_path(resource)
        found = walked(lambda found: self._shapes.walk_resource(resource, path, found))
        return [one if one.profile else named(one, self.url) for one in found]

    def rules(  # noqa: PLR0913 — what a check is about, each by its name
        self,
        resource: Resource,
        *,
        now: datetime,
        root: Resource | None = None,
        resolve: Callable[[str], Resource | None] | None = None,
        broken: frozenset[str] = frozenset(),
        asked: Asked = NOTHING,
    ) -> list[Issue]:
        """
        What is reported: missing elements, bindings, references, invariants, narrative.

        root        what contains the resource, if anything does
        resolve     a reference to the resource it leads to, of those that are at hand
        broken      paths where the shape is wrong, of which nothing more is said
        """
        path = root_path(resource)
        if path in broken:
            return []
        world = World(
            self._environment(now, resolve),
            self._is_resource,
            broken=broken,
            known_extensions=asked.known_extensions,
            claims=asked.claims,
        )
        scope = Scope(world, resource, resource if root is None else root)
        world.top = resource
        wanted = (self._profile, *asked.profiles) if self._profile else asked.profiles

        def walk(found: Findings) -> None:
            self._rules.walk_resource(resource, path, scope, found, contained=root is not None)
            for canonical in wanted:
                claims.against(
                    self._rules.profiles, canonical, resource, (path, path), scope, found
                )
            for system in sorted(world.untold):
                place = self._rules.places.first(system, resource, path)
                found.add(checks.unloaded(system, place or path, self.url))

        found = walked(walk)
        return [one if one.profile else named(one, self.url) for one in found]

    def scope(self, resource: Resource, *, now: datetime) -> Scope:
        """Where a check of a resource by itself stands."""
        return Scope(World(self._environment(now, None), self._is_resource), resource, resource)

    def _conforms_to(self, value: Any, canonical: str) -> bool | None:
        """What an invariant asks of a value and a profile; None where the profile is not loaded."""
        profiles, last = self._rules.profiles, self._last
        kind = value.get("resourceType") if isinstance(value, dict) else None
        if last is None or not isinstance(kind, str) or profiles.readable(canonical) is None:
            return None
        scope = Scope(World(last, self._is_resource), value, value)
        return profiles.conforms(value, kind, (canonical,), scope)

    def _environment(
        self, now: datetime, resolve: Callable[[str], Resource | None] | None
    ) -> fhirpath.Environment:
        last = self._last
        if last is not None and last.now is now and last.resolve is resolve:
            return last  # many resources are checked at one moment
        codes = self._rules.terminology.codes
        made = self._last = fhirpath.Environment(
            now=now,
            resolve=resolve,
            member_of=lambda value, url: member_of(value, codes(url)),
            conforms_to=self._conforms_to,
        )
        return made
