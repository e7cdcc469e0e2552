"""What one evaluation carries: its input, its environment, its variables and its budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from app.fhirpath.refusals import BudgetError

if TYPE_CHECKING:
    from datetime import datetime

    from app.fhirpath.values import Node

# Steps; some two seconds. The heaviest invariant of R4 on a Bundle of a thousand takes a tenth.
BUDGET: Final = 1_000_000
STEPS_A_SECOND: Final = 500_000

Run = Callable[["Context"], list[Any]]


@dataclass(frozen=True, slots=True)
class Environment:
    """
    What an expression may ask of the world; all of it is handed in, nothing is fetched.

    now             aware; today(), now() and timeOfDay() come from it
    resolve         reference -> resource or None, asked after contained and Bundle resources
    member_of       (JSON of a code, Coding or CodeableConcept, value set URL) -> bool, None unknown
    conforms_to     (JSON of the element, profile URL) -> bool, None unknown
    subsumes        (JSON of one Coding, of another) -> whether the one subsumes the other
    trace           (name, how many items): never the items
    budget          steps before the evaluation is stopped
    """

    now: datetime | None = None
    resolve: Callable[[str], dict[str, Any] | None] | None = None
    member_of: Callable[[Any, str], bool | None] | None = None
    conforms_to: Callable[[Any, str], bool | None] | None = None
    subsumes: Callable[[Any, Any], bool | None] | None = None
    trace: Callable[[str, int], None] | None = None
    budget: int = BUDGET


NOTHING: Final = Environment()


class Context:
    """
    One evaluation; never shared between two.

    focus       what a step without a left side starts from, and $this
    start       %context
    single_as   whether as() refuses more than one item; R4's own invariants need that it does not
    """

    __slots__ = (
        "environment", "focus", "index", "left", "resource", "root", "single_as", "start",
        "total", "variables",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 — made once for each invariant: keywords cost
        self,
        start: list[Any],
        resource: Node | None,
        root: Node | None,
        environment: Environment,
        variables: dict[str, list[Any]],
        single_as: bool,  # noqa: FBT001
    ) -> None:
        self.focus = start
        self.start = start
        self.resource = resource
        self.root = root
        self.environment = environment
        self.variables = variables
        self.single_as = single_as
        self.left = environment.budget
        self.index = 0
        self.total: list[Any] = []

    def spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise BudgetError("The evaluation takes more steps than it may.")


def each(context: Context, items: list[Any], run: Run) -> Iterator[tuple[Any, list[Any]]]:
    """Each item with what an expression gives for it, $this and $index being set."""
    focus, index, variables = context.focus, context.index, context.variables
    context.spend(len(items))
    for position, item in enumerate(items):
        context.focus = [item]
        context.index = position
        result = run(context)
        context.focus, context.index, context.variables = focus, index, variables
        yield item, result


def over(context: Context, items: list[Any], run: Run) -> list[Any]:
    """What an expression gives for a collection as a whole."""
    focus, variables = context.focus, context.variables
    context.focus = items
    result = run(context)
    context.focus, context.variables = focus, variables
    return result
