"""What a search asks, once it is read: conditions, what hangs on what, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from app.storage.compiled import Atom, Parameter
    from app.storage.matching import Facts, Way

PAGE: Final = 100  # resources, where the caller says nothing


@dataclass(frozen=True, slots=True)
class Criterion:
    """
    One condition.

    needles     texts of which one stands in the facts if and only if it is met; None where only
                the test can say
    negated     whether needles and test say when it is not met
    ways        ranges of the index within which all that meet it lie; none where there are not such
    """

    test: Callable[[Facts], bool]
    needles: tuple[str, ...] | None = None
    negated: bool = False
    ways: tuple[Way, ...] = ()

    def met(self, facts: Facts) -> bool:
        return self.test(facts) is not self.negated


@dataclass(frozen=True, slots=True)
class Linked:
    """
    A condition on what a resource refers to, or on what refers to it.

    atoms       of the references
    queries     what is looked for at their other end, one for each type that it may be of
    reverse     whether the references lead here, as with _has
    """

    atoms: tuple[Atom, ...]
    queries: tuple[Query, ...]
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class Include:
    """
    parameter   of kind; None for all that refer
    target      type that is included, "" for any
    """

    kind: str
    parameter: Parameter | None
    target: str
    reverse: bool
    iterate: bool


@dataclass(frozen=True, slots=True)
class Query:
    """
    A search over one type.

    ids         those that may be found, None for any
    since, until    of the last update: from the first, before the second; "" for open
    sort        (parameter, or _id or _lastUpdated; whether downwards)
    total       "" where the caller has not asked; none, estimate or accurate
    used        the parameters that were understood, as they were sent
    """

    kind: str
    criteria: tuple[Criterion, ...] = ()
    linked: tuple[Linked, ...] = ()
    ids: frozenset[str] | None = None
    since: str = ""
    until: str = ""
    sort: tuple[tuple[Parameter | str, bool], ...] = ()
    count: int = PAGE
    total: str = ""
    includes: tuple[Include, ...] = ()
    used: tuple[tuple[str, str], ...] = ()
