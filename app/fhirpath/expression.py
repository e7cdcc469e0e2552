"""A compiled expression and the ways to run it."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

from app.fhirpath import check as checker
from app.fhirpath import parser
from app.fhirpath.compiler import Compiler
from app.fhirpath.context import NOTHING, Context, Environment, Run
from app.fhirpath.direct import Direct
from app.fhirpath.model import Model, r4
from app.fhirpath.paths import Frame
from app.fhirpath.refusals import EvaluationError, ExpressionError
from app.fhirpath.values import Node, Value, described, truth

if TYPE_CHECKING:
    from app.fhirpath.syntax import Tree


_TOO_DEEP: Final = "The expression and its input are nested too deep."
# What is compiled again at little cost is not kept: others may send expressions too.
_KEPT_LENGTH: Final = 500


class Invariant(Protocol):
    """Whether an element holds, as Expression.holds says it."""

    def __call__(
        self,
        value: Any,
        resource: Any = None,
        root: Any = None,
        environment: Environment = NOTHING,
        sibling: Any = None,
    ) -> bool: ...


class Expression:
    """A compiled expression; holds nothing that an evaluation changes."""

    def __init__(self, text: str, tree: Tree, run: Run, model: Model) -> None:
        self.text = text
        self.tree = tree
        self.model = model
        self._run = run
        self._invariants: dict[str, Invariant] = {}

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def evaluate(
        self,
        resource: Any,
        *,
        context: Any = None,
        root: Any = None,
        variables: dict[str, Any] | None = None,
        environment: Environment = NOTHING,
    ) -> list[Value]:
        """
        The items that the expression gives.

        resource    the JSON of a resource, None for none; %resource
        context     a Node to start from, as items() gives it; the resource where not said
        root        the JSON of the resource that contains it; %rootResource
        variables   {name: plain value, Node, or list of these}
        raises      EvaluationError
        """
        found = self.items(
            resource, context=context, root=root, variables=variables, environment=environment
        )
        return [described(item) for item in found]

    def items(
        self,
        resource: Any,
        *,
        context: Any = None,
        root: Any = None,
        variables: dict[str, Any] | None = None,
        environment: Environment = NOTHING,
    ) -> list[Any]:
        """As evaluate, with elements as Node, which may be the context of another expression."""
        here = self.node(resource)
        top = here if root is None or root is resource else self.node(root)
        start = here if context is None else context
        bound = {
            name: value if isinstance(value, list) else [value]
            for name, value in (variables or {}).items()
        }
        begin = [] if start is None else [start]
        carried = Context(begin, here, top, environment, bound, single_as=True)
        return self._evaluated(carried)

    def test(
        self,
        resource: Any,
        *,
        context: Any = None,
        root: Any = None,
        variables: dict[str, Any] | None = None,
        environment: Environment = NOTHING,
    ) -> bool:
        """Whether the expression holds: one true, or one item that is no boolean."""
        found = self.items(
            resource, context=context, root=root, variables=variables, environment=environment
        )
        return truth(found, "An invariant") is True

    def invariant(self, type_name: str) -> Invariant:
        """
        The expression as an invariant of a type, at its fastest; take it once and keep it.

        type_name   of the context, as in Task or Task.input
        raises      ExpressionError: there is no such type
        """
        found = self._invariants.get(type_name)
        if found is None:
            found = self._invariants[type_name] = self._invariant(type_name)
        return found

    def _invariant(self, type_name: str) -> Invariant:
        kind = self.model.types.get(type_name)
        if kind is None:
            raise ExpressionError("There is no such type.", 0, self.text)
        direct = Direct(Compiler(self.text, self.tree, self.model), self.tree, kind)
        truth_of = direct.compile(self.tree)
        as_it_comes = direct.fallback(self.tree, kind)

        def holds(
            value: Any,
            resource: Any = None,
            root: Any = None,
            environment: Environment = NOTHING,
            sibling: Any = None,
        ) -> bool:
            try:
                return truth_of(value, Frame(value, sibling, resource, root, environment)) is True
            except (AttributeError, TypeError):
                # The JSON is not as its type has it; the language itself takes it as it comes.
                frame = Frame(value, sibling, resource, root, environment)
                return as_it_comes(value, frame) is True
            except RecursionError:
                raise EvaluationError(_TOO_DEEP) from None

        return holds

    def holds(  # noqa: PLR0913, PLR0917 — hot: keywords cost
        self,
        value: Any,
        type_name: str,
        resource: Any = None,
        root: Any = None,
        environment: Environment = NOTHING,
        sibling: Any = None,
    ) -> bool:
        """
        Whether an element fulfils the expression as an invariant; empty does not.

        value       the element's JSON, None for a primitive that has only extensions
        sibling     what stands beside a primitive
        resource    %resource, root %rootResource
        raises      EvaluationError
        """
        return self.invariant(type_name)(value, resource, root, environment, sibling)

    def references(
        self,
        resource: Any,
        *,
        context: Any = None,
        root: Any = None,
        variables: dict[str, Any] | None = None,
        environment: Environment = NOTHING,
    ) -> list[str]:
        """
        The references that resolve() would ask the environment for and not get, each once.

        Load them, hand them in and ask again: behind what is loaded there may be more.
        """
        wanted: dict[str, None] = {}

        def resolve(reference: str) -> dict[str, Any] | None:
            found = environment.resolve(reference) if environment.resolve else None
            if found is None:
                wanted[reference] = None
            return found

        asking = replace(environment, resolve=resolve)
        self.items(resource, context=context, root=root, variables=variables, environment=asking)
        return list(wanted)

    def node(self, resource: Any) -> Node | None:
        """The top of a resource, as a Node."""
        if resource is None or isinstance(resource, Node):
            return resource
        kind = self.model.of(resource)
        name = kind.name if kind else str(resource.get("resourceType", ""))
        return Node(resource, kind, None, name)

    def check(self, type_name: str) -> None:
        """
        Holds the expression against the type that it starts from, before it meets a resource.

        raises      ExpressionError: a name that no such type has, a type it can never be
        """
        checker.check(self.text, self.tree, self.model, type_name)

    def _evaluated(self, context: Context) -> list[Any]:
        try:
            return self._run(context)
        except RecursionError:
            raise EvaluationError(_TOO_DEEP) from None


def element(value: Any, type_name: str, *, location: str = "", sibling: Any = None) -> Node:
    """
    An element as a Node, to be the context of an expression.

    type_name   as in Patient.contact or HumanName
    location    where it stands, as in Patient.contact[0]
    sibling     what stands beside a primitive
    raises      KeyError: there is no such type
    """
    kind = r4().types[type_name]
    return Node(value, r4().of(value, kind), None, location or kind.name, -1, sibling)


def compile(expression: str) -> Expression:  # noqa: A001 — fhirpath.compile, as re.compile
    """
    The expression, compiled; the same short text gives the same Expression.

    raises      ExpressionError: where and why it cannot be
    source      https://hl7.org/fhirpath/N1/ with https://hl7.org/fhir/R4/fhirpath.html
    """
    return _kept(expression) if len(expression) <= _KEPT_LENGTH else _compiled(expression)


@lru_cache(maxsize=1024)
def _kept(expression: str) -> Expression:
    return _compiled(expression)


def _compiled(expression: str) -> Expression:
    model = r4()
    try:
        tree = parser.parse(expression)
        run = Compiler(expression, tree, model).compile(tree)
    except RecursionError:
        raise ExpressionError("The expression is nested too deep.", 0, expression) from None
    return Expression(expression, tree, run, model)
