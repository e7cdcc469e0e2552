"""A value held against a profile's tree; what its type asks is asked elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from app.conformance import invariants, profile, references, slicing, values
from app.conformance.findings import EnoughError, Findings, finding
from app.conformance.structure import BASE
from app.conformance.terminology import member_of, name
from app.conformance.values import At
from app.errors import Malformed

if TYPE_CHECKING:
    from app.conformance.invariants import Invariant
    from app.conformance.profile import Node, Profile
    from app.conformance.scope import Scope
    from app.conformance.structure import Constraint, Structure
    from app.conformance.terminology import Terminology
    from app.fhir import Resource

MAX_PROFILES: Final = 4096  # canonicals come from resources
MAX_DEPTH: Final = 24  # profiles that lead to profiles
RESOURCES: Final = frozenset({"contained", "resource", "outcome"})
_CODED: Final = frozenset({"code", "Coding", "CodeableConcept", "Quantity", "string", "uri"})


@dataclass(slots=True)
class _Sliced:
    """A node's slices with their tests, made once."""

    how: profile.Slicing
    slices: list[tuple[str, Node, slicing.Matches | None]] = field(default_factory=list)


class Profiles:
    """
    Every profile that has been asked for, read once.

    read        canonical to the StructureDefinition, or None
    structure   name of a type to its structure; raises KeyError
    """

    def __init__(
        self,
        read: Callable[[str], Resource | None],
        structure: Callable[[str], Structure],
        terminology: Terminology,
    ) -> None:
        self._read = read
        self.structure = structure
        self.terminology = terminology
        self._profiles: dict[str, Profile | None] = {}
        self._reading: list[str] = []
        self._sliced: dict[int, tuple[Node, _Sliced]] = {}
        self._invariants: dict[tuple[str, str, str], Invariant] = {}

    def get(self, canonical: str) -> Profile | None:
        """
        A profile; None where it is not loaded, or is a type and adds nothing.

        raises      Malformed: it cannot be read, or it stands on itself
        """
        if canonical in self._profiles:
            return self._profiles[canonical]
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
            self._profiles.clear()
            self._sliced.clear()
        self._profiles[canonical] = found
        return found

    def loaded(self, canonical: str) -> bool:
        return self._profiles.get(canonical) is not None or self._read(canonical) is not None

    def type_of(self, canonical: str) -> str:
        found = self._readable(canonical)
        if found:
            return found.type
        return canonical.removeprefix(BASE) if canonical.startswith(BASE) else ""

    def of_types(self, node: Node) -> list[Node]:
        """What the profiles that an element's value has to conform to say, if there is one."""
        wanted = [one for kind in node.types for one in kind.profiles]
        found = self._readable(wanted[0]) if len(wanted) == 1 else None
        return [found.root] if found else []

    def conforms(self, value: Any, kind: str, wanted: list[str], scope: Scope) -> bool:
        """Whether a value conforms to one of several profiles, of those that are loaded."""
        for canonical in wanted:
            found = self._readable(canonical)
            if found is None:
                if canonical.removeprefix(BASE) == kind:
                    return True
                continue
            if found.type not in (kind, "Resource", "DomainResource") and kind[:1].isupper():
                continue
            if self._trial(found.root, At(value, None, kind, ""), scope, canonical):
                return True
        return False

    def check(  # noqa: PLR0913 — what a check is about, each by its name
        self, one: Profile, value: Any, path: str, scope: Scope, found: Findings, kind: str = ""
    ) -> None:
        """All that is wrong with a value by a profile, and what could not be checked."""
        world = scope.world
        key = (one.url, id(value))
        if key in world.active or len(world.active) > MAX_DEPTH:
            return
        world.active.add(key)
        try:
            self._one(one.root, At(value, None, kind or one.type, path), scope, found)
        finally:
            world.active.discard(key)

    def _readable(self, canonical: str) -> Profile | None:
        try:
            return self.get(canonical)
        except Malformed:
            return None

    def _trial(self, node: Node, at: At, scope: Scope, key: str) -> bool:
        world = scope.world
        mark = (key, id(at.value))
        if mark in world.active or len(world.active) > MAX_DEPTH:
            return True
        world.active.add(mark)
        found = Findings()
        inner = scope
        if isinstance(at.value, dict) and "resourceType" in at.value:
            contained = any(at.value is one for one in scope.contained.values())
            inner = scope.inside(at.value, contained=contained)
        try:
            self._one(node, at, inner, found)
        except EnoughError:
            return False
        finally:
            world.active.discard(mark)
        return not any(one.severity == "error" for one in found)

    def _one(self, node: Node, at: At, scope: Scope, found: Findings) -> None:  # noqa: C901 — one step for each word of a profile
        value, path = at.value, at.path
        if path in scope.world.broken:
            return
        if node.exact or node.part:
            self._fixed(node, value, path, found)
        for binding in node.bindings if value is not None and at.kind in _CODED else ():
            self._bound(binding.strength, binding.value_set, at, found)
        for limit in node.limits.values():
            text = limit(at.kind, value)
            if text:
                found.add(finding("limit-value", path, text))
        if node.types and value is not None:
            self._typed(node, at, scope, found)
        inside = value if isinstance(value, dict) else at.beside
        if not isinstance(inside, dict):
            inside = {}
        complete = True
        for child in node.children.values():
            complete = self._member(child, inside, path, scope, found) and complete
        if complete:
            for rule in node.constraints:
                self._invariant(rule, at.kind).walk(value, path, scope, found, at.beside)

    def _fixed(self, node: Node, value: Any, path: str, found: Findings) -> None:
        if not all(slicing.same(value, exact) for exact in node.exact):
            text = "The profile fixes this element to another value; take the profile's."
            found.add(finding("fixed", path, text))
        if not all(slicing.contains(value, part) for part in node.part):
            text = "The element lacks what the profile's pattern has; add what the profile names."
            found.add(finding("pattern", path, text))

    def _bound(self, strength: str, value_set: str, at: At, found: Findings) -> None:
        if strength not in ("required", "extensible"):
            return
        if isinstance(at.value, dict) and "code" not in at.value and not at.value.get("coding"):
            if strength == "required" and at.kind == "CodeableConcept":
                answer: bool | None = False
            else:
                return
        else:
            answer = member_of(at.value, self.terminology.codes(value_set))
        where = name(value_set)
        if answer is None:
            text = f"Whether the code is in {where} needs more than is loaded: not checked."
            found.add(finding("binding-unchecked", at.path, text, severity="information"))
        elif not answer and strength == "required":
            text = f"The code has to be one of the value set {where}; take one of these."
            found.add(finding("binding", at.path, text))
        elif not answer:
            text = f"The code should be one of {where}, if one of these fits."
            found.add(finding("binding-extensible", at.path, text, severity="warning"))

    def _typed(self, node: Node, at: At, scope: Scope, found: Findings) -> None:
        kinds = [one for one in node.types if one.code == at.kind]
        resource = isinstance(at.value, dict) and "resourceType" in at.value
        if not kinds and resource:
            kinds = [one for one in node.types if one.code in ("Resource", "DomainResource")]
        if not kinds:
            if node.choice or resource:
                names = ", ".join(sorted(one.code for one in node.types))
                text = f"The profile allows {names} here, and no other type; give such a value."
                found.add(finding("type", at.path, text))
            return
        for kind in kinds:
            if kind.targets and isinstance(at.value, dict):
                self._target(kind.targets, at, scope, found)
            if kind.profiles and isinstance(at.value, dict):
                self._profiled(kind.profiles, at, scope, found)

    def _target(self, targets: tuple[str, ...], at: At, scope: Scope, found: Findings) -> None:
        reference = at.value.get("reference")
        types = references.allowed(targets, self.type_of)
        wrong = references.problem(at.value, scope, types)
        if wrong:
            if wrong[1] == "error":
                found.add(finding(wrong[0], at.path, wrong[2], severity=wrong[1]))
            return
        target = scope.find(reference) if isinstance(reference, str) else None
        if target is None or any(self._readable(one) is None for one in targets):
            return
        kind = target.get("resourceType", "")
        if not self.conforms(target, kind, list(targets), scope):
            text = "What this refers to conforms to none of the profiles that are allowed here."
            found.add(finding("reference-profile", at.path, text))

    def _profiled(self, wanted: tuple[str, ...], at: At, scope: Scope, found: Findings) -> None:
        if at.kind == "Extension":
            return  # by its url it is held against its definition wherever it stands
        loaded = [one for one in wanted if self._readable(one) is not None]
        if len(loaded) < len(wanted):
            if not loaded and not all(one.startswith(BASE) for one in wanted):
                text = "The profile that is asked for here is not loaded: not checked."
                found.add(finding("profile-unchecked", at.path, text, severity="information"))
            return
        inner = scope
        if "resourceType" in at.value:
            inner = scope.inside(at.value, contained=".contained[" in at.path[-16:])
        if len(loaded) == 1:
            one = self.get(loaded[0])
            if one is not None:
                if one.type != at.kind and "resourceType" in at.value:
                    text = f"The profile that is asked for here is of the type {one.type}."
                    found.add(finding("type", at.path, text))
                else:
                    self.check(one, at.value, at.path, inner, found, at.kind)
        elif not self.conforms(at.value, at.kind, list(loaded), inner):
            text = "The element conforms to none of the profiles that are allowed here."
            found.add(finding("profile", at.path, text))

    def _member(
        self, node: Node, parent: Resource, path: str, scope: Scope, found: Findings
    ) -> bool:
        """Whether no required element is missing."""
        if (
            not node.choice
            and node.name not in parent
            and node.minimum == 0
            and not node.slices
            and f"_{node.name}" not in parent
        ):
            return True
        items = list(values.items(node, parent, path))
        complete = True
        if len(items) < node.minimum:
            complete = False
            text = f"The profile asks for {node.name} {node.minimum} times at least; add it."
            found.add(finding("cardinality", path, text))
        if node.maximum is not None and len(items) > node.maximum:
            text = f"The profile allows {node.name} {node.maximum} times at most; take some out."
            found.add(finding("cardinality-max", path, text))
        for at in items:
            self._one(node, at, _within(node, at, scope), found)
        if node.slices or (node.slicing and node.slicing.rules == "closed"):
            complete = self._slices(node, items, path, scope, found) and complete
        return complete

    def _slices(
        self, node: Node, items: list[At], path: str, scope: Scope, found: Findings
    ) -> bool:
        made = self._made(node)
        chosen = self._chosen(made, list(node.slices), items, scope, found)
        complete = True
        for key, one, matches in made.slices:
            if matches is None and made.how.discriminators:
                text = f"Nothing in the profile tells the slice {key} apart: not checked."
                found.add(finding("slice-unchecked", path, text, severity="information"))
                continue
            inside = chosen.get(key, [])
            what = f"{node.name}, slice {key},"
            if len(inside) < one.minimum:
                complete = False
                text = f"The profile asks for {what} {one.minimum} times at least; add it."
                found.add(finding("slice-min", path, text))
            if one.maximum is not None and len(inside) > one.maximum:
                text = f"The profile allows {what} {one.maximum} times at most; take some out."
                found.add(finding("slice-max", path, text))
            for at in inside:
                self._one(one, at, _within(node, at, scope), found)
            if one.slices:
                complete = self._slices(one, inside, path, scope, found) and complete
        return complete

    def _chosen(
        self, made: _Sliced, order: list[str], items: list[At], scope: Scope, found: Findings
    ) -> dict[str, list[At]]:
        """Slice to what is in it; what is in none, or out of order, is said."""
        chosen: dict[str, list[At]] = {}
        last, open_seen = -1, False
        for at in items:
            which = self._which(made, at, scope)
            if which is None:
                open_seen = True
                if made.how.rules == "closed":
                    text = "This is in none of the slices that the profile allows; take it out."
                    found.add(finding("slice-closed", at.path, text))
                continue
            chosen.setdefault(which, []).append(at)
            index = order.index(which)
            if (made.how.ordered and index < last) or (made.how.rules == "openAtEnd" and open_seen):
                text = "The slices stand in another order than the profile has; sort them as there."
                found.add(finding("slice-order", at.path, text))
            last = max(last, index)
        return chosen

    def _which(self, made: _Sliced, at: At, scope: Scope) -> str | None:
        for key, node, matches in made.slices:
            if matches is None:
                if not made.how.discriminators and self._trial(node, at, scope, key):
                    return key
            elif matches(at.value, at.kind, scope):
                return key
        return None

    def _made(self, node: Node) -> _Sliced:
        found = self._sliced.get(id(node))
        if found is None:
            how = slicing.of(node)
            made = _Sliced(how)
            for key, one in node.slices.items():
                made.slices.append((key, one, slicing.matcher(self, how, one)))
            found = self._sliced[id(node)] = (node, made)
        return found[1]

    def _invariant(self, rule: Constraint, kind: str) -> Invariant:
        key = (rule.key, rule.expression, kind)
        found = self._invariants.get(key)
        if found is None:
            found = self._invariants[key] = invariants.compiled(rule, kind)
        return found


def _within(node: Node, at: At, scope: Scope) -> Scope:
    """The scope of a value: its own, if it is a resource in a resource."""
    if node.name in RESOURCES and isinstance(at.value, dict) and "resourceType" in at.value:
        return scope.inside(at.value, contained=node.name == "contained")
    return scope
