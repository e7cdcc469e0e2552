"""Where a check stands: which resource, in which container, beside which others."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from app import fhirpath

if TYPE_CHECKING:
    from app.fhir import Resource

HASH: Final = "#"

Test = Callable[[Any, "Scope"], object]


class World:
    """
    What one check as a whole knows; handed in, never fetched.

    environment what an invariant may ask of the world; resolve is among it
    broken      paths where the shape is wrong; nothing is said of what stands there or above
    known_extensions    whether an extension that is not loaded is an error
    claims      whether a resource is held against the profiles that it claims
    active      profiles that are being asked, and of what: none is asked twice at once
    conforming  what has been asked: (profile, id of the value)
    top         the resource that is checked, whose places are known at once
    unsure      (path, sentence) of what cannot be told, as tests have noted it
    untold      code systems that have a code here, of which it is not known whether they have it
    """

    __slots__ = (
        "active", "around", "broken", "claims", "conforming", "environment", "is_resource",
        "known_extensions", "resolve", "top", "unsure", "untold",
    )  # fmt: skip

    def __init__(
        self,
        environment: fhirpath.Environment,
        is_resource: Callable[[str], bool],
        *,
        broken: frozenset[str] = frozenset(),
        known_extensions: bool = False,
        claims: bool = False,
    ) -> None:
        self.environment = environment
        self.is_resource = is_resource
        self.broken = broken
        self.resolve = environment.resolve
        self.known_extensions = known_extensions
        self.claims = claims
        self.active: set[tuple[str, int]] = set()
        self.conforming: dict[tuple[str, int], bool] = {}
        self.top: Resource | None = None
        self.unsure: dict[tuple[str, str], None] = {}
        self.untold: set[str] = set()
        self.around = (
            frozenset(above for path in broken for above in _above(path)) if broken else broken
        )


class Scope:
    """
    The resource whose elements are looked at.

    resource    FHIRPath's %resource
    root        FHIRPath's %rootResource: what contains it, or itself
    above       the scope of the resource that has it as an entry, None at the top
    place       where it stands, of which only a walk knows
    told        what was found out of the resource and is asked more than once
    alone       whether no other resource is at hand than what it contains
    """

    def __init__(
        self, world: World, resource: Resource, root: Resource, above: Scope | None = None
    ) -> None:
        self.world = world
        self.environment = world.environment
        self.resource = resource
        self.root = root
        self.above = above
        self.place = resource.get("resourceType", "")
        self.told: dict[Any, Any] = {}
        self.alone = above is None and world.resolve is None

    def inside(self, resource: Resource, *, contained: bool) -> Scope:
        if contained:
            return Scope(self.world, resource, self.root, self.above)
        return Scope(self.world, resource, resource, self)

    @cached_property
    def contained(self) -> dict[str, Resource]:
        """Id to contained resource of the container."""
        inside = self.root.get("contained")
        return {
            one["id"]: one
            for one in (inside if isinstance(inside, list) else ())
            if isinstance(one, dict) and isinstance(one.get("id"), str)
        }

    @cached_property
    def entries(self) -> dict[str, list[Resource]]:
        """FullUrl to the resources that have it, of the entries of this resource."""
        found: dict[str, list[Resource]] = {}
        entries = self.resource.get("entry")
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict):
                url, resource = entry.get("fullUrl"), entry.get("resource")
                if isinstance(url, str) and isinstance(resource, dict):
                    found.setdefault(url, []).append(resource)
        return found

    def find(self, reference: str) -> Resource | None:
        """The resource that a reference leads to, as far as it is at hand."""
        if reference.startswith(HASH):
            return self.contained.get(reference[1:]) if len(reference) > 1 else self.root
        above, inside = self.above, self.root
        while above is not None:
            found = above.entry(reference, inside)
            if found is not None:
                return found
            inside = above.root
            above = above.above
        return self.world.resolve(reference) if self.world.resolve else None

    def bundled(self, reference: str) -> bool:
        """Whether a reference leads to an entry of a Bundle that this resource is in."""
        above, inside = self.above, self.root
        while above is not None:
            if above.entry(reference, inside) is not None:
                return True
            inside = above.root
            above = above.above
        return False

    def entry(self, reference: str, inside: Resource) -> Resource | None:
        """
        The resource of an entry that a reference leads to, or None.

        inside      the entry's resource that has the reference: a relative one starts where it is
        source      https://hl7.org/fhir/R4/bundle.html#references
        """
        plain = reference.partition("#")[0]
        found = self.entries.get(plain)
        if found is None and _RELATIVE(plain):
            base = _base(self.urls.get(id(inside), ""))
            found = self.entries.get(base + plain) if base else self.named.get(plain)
        return found[0] if found else None

    @cached_property
    def urls(self) -> dict[int, str]:
        """Identity of each entry's resource to its fullUrl."""
        return {id(one): url for url, several in self.entries.items() for one in several}

    @cached_property
    def named(self) -> dict[str, list[Resource]]:
        """[type]/[id] to the entries' resources that have no place at a server."""
        found: dict[str, list[Resource]] = {}
        entries = self.resource.get("entry")
        for entry in entries if isinstance(entries, list) else ():
            one = entry.get("resource") if isinstance(entry, dict) else None
            if isinstance(one, dict) and not str(entry.get("fullUrl", "")).startswith("http"):
                found.setdefault(f"{one.get('resourceType')}/{one.get('id')}", []).append(one)
        return found


_RELATIVE: Final = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}").fullmatch


def _base(url: str) -> str:
    """Where a server stands, by the fullUrl of what it has; "" for what is not at one."""
    if not url.startswith("http"):
        return ""
    steps = url.rsplit("/", 2)
    return f"{steps[0]}/" if len(steps) == 3 and steps[1][:1].isupper() else ""


def _above(path: str) -> list[str]:
    """Every path that a path stands under, itself among them."""
    found = [path]
    for at, letter in enumerate(path):
        if letter in ".[":
            found.append(path[:at])
    return found
