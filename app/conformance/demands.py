"""
What a profile asks of a value, compiled from its tree.

As with types, a test says yes where there is nothing to say, and a walk says what is wrong and
where. A walk goes into what its test did not say yes to, and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from app.conformance import facets, invariants, slicing, values
from app.conformance.facets import RESOURCES
from app.conformance.findings import Findings, finding
from app.conformance.invariants import holds
from app.conformance.values import At

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.conformance.checks import Check
    from app.conformance.facets import Known
    from app.conformance.invariants import Invariant
    from app.conformance.profile import Node, Slicing
    from app.conformance.scope import Scope, Test
    from app.fhir import Resource

NONE: Final = -1  # in no slice
DEFAULT: Final = "@default"  # the slice of all that is in no other
UNSURE: Final = -2  # in no slice that is known, maybe in another
MAX_KINDS: Final = 256  # names of types come from resources
_MANY: Final = 2**63


class Demand:
    """
    What a node asks of values of one type.

    test        (value, scope); value is None where there are only extensions
    """

    def __init__(self, known: Known, node: Node, kind: str) -> None:
        self._always: list[Check] = list(facets.whatever(node, kind))
        self._given: list[Check] = list(facets.of_value(known, node, kind))
        self._members = [Member(known, child) for child in node.children.values()]
        self._rules = [invariants.compiled(rule, kind) for rule in node.constraints]
        self.test = _test(
            [one.test for one in self._always],
            [one.test for one in self._given],
            [one.test for one in self._members],
            self._rules,
        )

    def walk(self, value: Any, beside: Any, path: str, scope: Scope, found: Findings) -> None:
        broken = scope.world.broken
        if path in broken:
            return
        for check in (*self._always, *self._given) if value is not None else self._always:
            if not holds(check.test, value, scope):
                check.walk(value, path, scope, found, beside)
        inside = value if isinstance(value, dict) else beside
        if not isinstance(inside, dict):
            inside = {}
        complete = True
        for member in self._members:
            try:
                right = not broken and member.test(inside, scope)
            except invariants.FAILED:
                right = False
            if not right:
                complete = member.walk(inside, path, scope, found) and complete
        if complete:
            for rule in self._rules:
                rule.walk(value, path, scope, found, beside)


class Member:
    """
    One element of those below a node: how often it is there, its slices, and each value.

    test        (what has it, scope)
    optional    whether all is well where it is not there
    """

    settled = False

    def __init__(self, known: Known, node: Node) -> None:
        self.node = node
        self._known = known
        self._demands: dict[str, Demand] = {}
        closed = node.slicing is not None and node.slicing.rules == "closed"
        self._slices = Slices(known, node) if node.slices or closed else None
        within_slices = self._slices is None or self._slices.optional
        self.optional: bool = node.minimum == 0 and within_slices
        self.test: Test = self._choice() if node.choice else self._named()

    def demand(self, kind: str) -> Demand:
        found = self._demands.get(kind)
        if found is None:
            if len(self._demands) > MAX_KINDS:
                self._demands = {}
            found = self._demands[kind] = Demand(self._known, self.node, kind)
        return found

    def walk(self, parent: Resource, path: str, scope: Scope, found: Findings) -> bool:
        """Whether no required element is missing."""
        node = self.node
        items = list(values.items(node, parent, path))
        if node.maximum is not None and len(items) > node.maximum:
            text = f"The profile allows {node.name} {node.maximum} times at most; take some out."
            found.add(finding("cardinality-max", path, text))
            if node.maximum == 0:
                return True  # what has no place here is asked nothing more
        complete = self.walk_values(items, path, scope, found)
        if len(items) < node.minimum and complete:  # a slice that is missing has been said
            complete = False
            text = f"The profile asks for {node.name} {node.minimum} times at least; add it."
            found.add(finding("cardinality", path, text))
        return complete

    def walk_values(self, items: list[At], path: str, scope: Scope, found: Findings) -> bool:
        # Of one value it is known that its test did not say yes.
        unsure = scope.world.broken or (len(items) == 1 and self._slices is None)
        for at in items:
            inner = within(self.node, at.value, scope)
            demand = self.demand(at.kind)
            if unsure or at.beside is not None or not holds(demand.test, at.value, inner):
                demand.walk(at.value, at.beside, at.path, inner, found)
        return self._slices is None or self._slices.walk(items, path, scope, found)

    def test_values(self, given: Sequence[Any], kind: str, scope: Scope) -> object:
        """As test, of its values, when it is known that they are there."""
        least, most = self.node.minimum, self.node.maximum
        if len(given) < least or (most is not None and len(given) > most):
            return False
        if self.settled:
            pass
        elif self.node.name in RESOURCES:
            for value in given:
                inner = within(self.node, value, scope)
                if not self.demand(value["resourceType"]).test(value, inner):
                    return False
        else:
            demand = self._demands.get(kind) or self.demand(kind)
            test = demand.test
            for value in given:
                if not test(value, scope):
                    return False
        return self._slices is None or self._slices.test(given, kind, scope)

    def _named(self) -> Test:
        name, below, kind = self.node.name, f"_{self.node.name}", self.node.kind
        optional, test_values = self.optional, self.test_values

        def test(parent: Any, scope: Scope) -> object:
            found = parent.get(name)
            if found is None:
                return optional and below not in parent
            if below in parent:
                return False
            return test_values(found if found.__class__ is list else (found,), kind, scope)

        return test

    def _choice(self) -> Test:
        names = self.node.names
        keys = frozenset(names) | {f"_{key}" for key in names}
        optional, test_values = self.optional and bool(names), self.test_values

        def test(parent: Any, scope: Scope) -> object:
            given = keys.intersection(parent)
            if not given:
                return optional
            if len(given) > 1:
                return False
            (key,) = given
            kind = names.get(key)
            return kind is not None and test_values((parent[key],), kind, scope)

        return test


class Slice(Member):
    """
    One slice: a member that is found by what it says.

    matches     None where nothing tells it apart
    settled     whether what is in it conforms to it by that alone
    """

    def __init__(self, known: Known, key: str, node: Node, how: Slicing) -> None:
        super().__init__(known, node)
        self.key = key
        self.matches = slicing.matcher(known, how, node)
        self.settled = slicing.settles(how, node)

    def fits(self, at: At, scope: Scope) -> bool:
        """Whether a value has no error by what the slice says, where nothing else tells it apart."""
        inner = within(self.node, at.value, scope)
        demand = self.demand(at.kind)
        if at.beside is None and holds(demand.test, at.value, inner):
            return True
        found = Findings()
        demand.walk(at.value, at.beside, at.path, inner, found)
        return not any(one.severity == "error" for one in found)


class Slices:
    """
    The slices of an element, and what is in which.

    optional        whether all is well where nothing is in any of them
    """

    def __init__(self, known: Known, node: Node) -> None:
        self._node = node
        self._how = how = slicing.of(node)
        self._slices = [Slice(known, key, one, how) for key, one in node.slices.items()]
        self._told = bool(how.discriminators)
        names = [key.rpartition("/")[2] for key in node.slices]
        self._rest = names.index(DEFAULT) if DEFAULT in names else NONE
        self._urls = self._by_url(known)
        self._untold = self._told and any(self._unchecked(one) for one in self._slices)
        self.optional: bool = not self._untold and all(one.optional for one in self._slices)

    def _unchecked(self, one: Slice) -> bool:
        """Whether nothing tells what is in a slice."""
        told = self._urls is not None or one.matches is not None
        return not told and one.key.rpartition("/")[2] != DEFAULT

    def _by_url(self, known: Known) -> dict[Any, int] | None:
        """Url to slice, where nothing but a fixed url tells slices apart."""
        if self._how.discriminators != slicing.BY_URL:
            return None
        urls = {
            at: slicing.url_of(known, one.node)
            for at, one in enumerate(self._slices)
            if at != self._rest
        }
        if None in urls.values() or len(set(urls.values())) < len(urls):
            return None
        return {url: at for at, url in urls.items()}

    def test(self, given: Sequence[Any], kind: str, scope: Scope) -> object:
        if self._untold:
            return False
        chosen: list[list[Any]] = [[] for _ in self._slices]
        last, outside = -1, False
        how, resource = self._how, self._node.name in RESOURCES
        for value in given:
            which = self._which(value, value["resourceType"] if resource else kind, scope)
            if which < 0:
                outside = True
                if how.rules == "closed" or which == UNSURE:
                    return False
                continue
            if (how.ordered and which < last) or (outside and how.rules == "openAtEnd"):
                return False
            last = max(last, which)
            chosen[which].append(value)
        for one, inside in zip(self._slices, chosen, strict=True):
            if not (one.test_values(inside, kind, scope) if inside else one.optional):
                return False
        return True

    def walk(self, items: list[At], path: str, scope: Scope, found: Findings) -> bool:
        """Whether no required slice is missing."""
        chosen, unsure = self._chosen(items, scope, found)
        complete = True
        for one, inside in zip(self._slices, chosen, strict=True):
            if self._told and self._unchecked(one):
                text = f"Nothing in the profile tells the slice {one.key} apart: not checked."
                found.add(finding("slice-unchecked", path, text, severity="information"))
                continue
            what = f"{self._node.name}, slice {one.key},"
            if len(inside) + unsure < one.node.minimum:
                complete = False
                text = f"The profile asks for {what} {one.node.minimum} times at least; add it."
                found.add(finding("slice-min", path, text))
            if one.node.maximum is not None and len(inside) > one.node.maximum:
                text = f"The profile allows {what} {one.node.maximum} times at most; take some out."
                found.add(finding("slice-max", path, text))
            complete = one.walk_values(inside, path, scope, found) and complete
        return complete

    def _chosen(self, items: list[At], scope: Scope, found: Findings) -> tuple[list[list[At]], int]:
        """What is in each slice, and of how much it is not known; what is amiss is said."""
        chosen: list[list[At]] = [[] for _ in self._slices]
        last, outside, how, unsure = -1, False, self._how, 0
        for at in items:
            which = self._which(at.value, at.kind, scope, at.beside)
            if which == UNSURE:
                unsure += 1
                text = "Whether this is in a slice needs a list that is not loaded: not checked."
                found.add(finding("slice-unchecked", at.path, text, severity="information"))
            elif which == NONE:
                outside = True
                if how.rules == "closed":
                    text = "This is in none of the slices that the profile allows; take it out."
                    found.add(finding("slice-closed", at.path, text))
            if which < 0:
                continue
            chosen[which].append(at)
            if (how.ordered and which < last) or (outside and how.rules == "openAtEnd"):
                text = "The slices stand in another order than the profile has; sort them as there."
                found.add(finding("slice-order", at.path, text))
            last = max(last, which)
        return chosen, unsure

    def _which(self, value: Any, kind: str, scope: Scope, beside: Any = None) -> int:
        """The index of the slice that a value is in, NONE, or UNSURE."""
        if self._urls is not None:
            url = value.get("url") if value.__class__ is dict else None
            return self._urls.get(url, self._rest)
        otherwise = self._rest
        for index, one in enumerate(self._slices):
            if index == self._rest:
                continue
            if one.matches is not None:
                inside = one.matches(value, kind, scope)
                if inside:
                    return index
                if inside is None:
                    otherwise = UNSURE
            elif not self._told and one.fits(At(value, beside, kind, ""), scope):
                return index
        return otherwise


def within(node: Node, value: Any, scope: Scope) -> Scope:
    """The scope of a value: its own, if it is a resource in a resource."""
    if node.name in RESOURCES and isinstance(value, dict) and "resourceType" in value:
        return scope.inside(value, contained=node.name == "contained")
    return scope


def _test(
    always: list[Test], given: list[Test], members: list[Test], rules: list[Invariant]
) -> Test:
    both = [*always, *given]
    by_hand = [one.native for one in rules if one.native is not None]
    runs = [one.run for one in rules if one.native is None]

    def test(value: Any, scope: Scope) -> object:
        for one in always if value is None else both:
            if not one(value, scope):
                return False
        inside = value if value.__class__ is dict else {}
        for one in members:
            if not one(inside, scope):
                return False
        for one in by_hand:
            if not one(value, scope):
                return False
        for run in runs:  # noqa: SIM110 — hot: a generator costs a frame for each
            if not run(value, scope.resource, scope.root, scope.environment):
                return False
        return True

    return test
