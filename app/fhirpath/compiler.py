"""A tree to closures: each takes the context of one evaluation and gives a collection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from app.fhirpath import (
    arithmetic,
    boundaries,
    collections,
    conversions,
    equality,
    fhir_functions,
    nodes,
    strings,
    syntax,
    types,
)
from app.fhirpath.refusals import EvaluationError, ExpressionError
from app.fhirpath.registry import FUNCTIONS
from app.fhirpath.values import Node, truth, whole

if TYPE_CHECKING:
    from app.fhirpath.context import Context, Run
    from app.fhirpath.model import Model
    from app.fhirpath.syntax import Tree

# Importing a room of functions registers them.
ROOMS: Final = (boundaries, collections, conversions, fhir_functions, strings)

_CONSTANTS: Final = {
    "ucum": "http://unitsofmeasure.org",
    "sct": "http://snomed.info/sct",
    "loinc": "http://loinc.org",
}
_PREFIXES: Final = {
    "vs-": "http://hl7.org/fhir/ValueSet/",
    "ext-": "http://hl7.org/fhir/StructureDefinition/",
}
_ARITHMETIC: Final = {
    "+": arithmetic.plus,
    "-": arithmetic.minus,
    "*": arithmetic.times,
    "/": arithmetic.divided,
    "div": arithmetic.div,
    "mod": arithmetic.mod,
    "&": arithmetic.joined,
}
_ORDERS: Final = {
    "<": (-1,),
    "<=": (-1, 0),
    ">": (1,),
    ">=": (1, 0),
}


class Compiler:
    """Holds what the parts of one expression share while they are compiled."""

    def __init__(self, expression: str, tree: Tree, model: Model) -> None:
        self.expression = expression
        self.model = model
        self.scoped = syntax.calls(tree, "defineVariable")

    def compile(self, tree: Tree) -> Run:  # noqa: C901 — one case for each kind of tree
        match tree:
            case syntax.Literal():
                return _literal(tree)
            case syntax.Member():
                return _head(tree.name)
            case syntax.Special():
                return _special(tree.name)
            case syntax.Variable():
                return _variable(tree.name)
            case syntax.Call():
                return self.call(tree, _focus)
            case syntax.Invoke():
                return self.invoke(tree)
            case syntax.Index():
                return _index(self.compile(tree.left), self.scope(tree.index))
            case syntax.Unary():
                return _unary(tree.operator, self.compile(tree.operand))
            case syntax.TypeTest():
                return self.type_test(tree)
            case syntax.Binary():
                return _binary(tree.operator, self.scope(tree.left), self.scope(tree.right))

    def scope(self, tree: Tree) -> Run:
        """A part whose variables are its own."""
        run = self.compile(tree)
        if not self.scoped:
            return run

        def scoped(context: Context) -> list[Any]:
            variables = context.variables
            found = run(context)
            context.variables = variables
            return found

        return scoped

    def invoke(self, tree: syntax.Invoke) -> Run:
        left = self.compile(tree.left)
        match tree.step:
            case syntax.Member(name=name):
                return _step(left, name)
            case syntax.Call() as call:
                return self.call(call, left)
            case _:
                return self.compile(tree.step)

    def call(self, call: syntax.Call, left: Run) -> Run:
        if call.name == "sort":
            return self.sort(call, left)
        found = FUNCTIONS.get(call.name)
        if found is None:
            raise ExpressionError(
                f"There is no function {call.name}().", call.position, self.expression
            )
        if not found.low <= len(call.arguments) <= found.high:
            wanted = str(found.low) if found.low == found.high else f"{found.low} to {found.high}"
            raise ExpressionError(
                f"{call.name}() takes {wanted} arguments.", call.position, self.expression
            )
        arguments = [self.scope(argument) for argument in call.arguments]
        body = found.body
        if found.lazy:
            return lambda context: body(context, left(context), *arguments)
        if not arguments:
            return lambda context: body(context, left(context))
        if len(arguments) == 1:
            only = arguments[0]
            return lambda context: body(context, left(context), only(context))
        return lambda context: body(
            context, left(context), *[argument(context) for argument in arguments]
        )

    def sort(self, call: syntax.Call, left: Run) -> Run:
        keys: list[tuple[Run, bool]] = []
        for argument in call.arguments:
            descending = isinstance(argument, syntax.Unary) and argument.operator == "-"
            key = argument.operand if isinstance(argument, syntax.Unary) else argument
            keys.append((self.scope(key), descending))
        keys = keys or [(_focus, False)]
        return lambda context: collections.sort(context, left(context), keys)

    def type_test(self, tree: syntax.TypeTest) -> Run:
        if not types.known(self.model, tree.namespace, tree.name):
            name = f"{tree.namespace}.{tree.name}" if tree.namespace else tree.name
            raise ExpressionError(f"There is no type {name}.", tree.position, self.expression)
        left, operator = self.compile(tree.left), tree.operator
        test = types.test(tree.namespace, tree.name, exact=operator in ("as", "as()", "ofType"))
        if operator.startswith("is"):
            return _is(left, test)
        single = operator == "as()"

        def run(context: Context) -> list[Any]:
            items = left(context)
            if single and len(items) > 1 and context.single_as:
                raise EvaluationError(f"as() takes one item, and there are {len(items)}.")
            context.spend(len(items))
            return [item for item in items if test(item)]

        return run


def _focus(context: Context) -> list[Any]:
    return context.focus


def _literal(tree: syntax.Literal) -> Run:
    items = list(tree.items)
    return lambda _: items


def _head(name: str) -> Run:
    """A name that stands first: a child of the focus, or the focus where it names its type."""
    titled = name[:1].isupper()

    def run(context: Context) -> list[Any]:
        found: list[Any] = []
        for item in context.focus:
            if (
                titled
                and item.__class__ is Node
                and item.type is not None
                and name in item.type.ancestors
            ):
                found.append(item)
            else:
                found += nodes.named(item, name)
        context.spend(1 + len(found))
        return found

    return run


def _step(left: Run, name: str) -> Run:
    def run(context: Context) -> list[Any]:
        found: list[Any] = []
        items = left(context)
        for item in items:
            found += nodes.named(item, name)
        context.spend(len(items) + len(found))
        return found

    return run


def _special(name: str) -> Run:
    if name == "$index":
        return lambda context: [context.index]
    if name == "$total":
        return lambda context: context.total
    return _focus


def _variable(name: str) -> Run:
    if name in _CONSTANTS:
        constant = [_CONSTANTS[name]]
        return lambda _: constant
    for prefix, url in _PREFIXES.items():
        if name.startswith(prefix):
            expanded = [url + name.removeprefix(prefix)]
            return lambda _: expanded
    if name == "context":
        return lambda context: context.start
    if name == "resource":
        return lambda context: [] if context.resource is None else [context.resource]
    if name == "rootResource":
        return lambda context: [] if context.root is None else [context.root]

    def run(context: Context) -> list[Any]:
        found = context.variables.get(name)
        if found is None:
            raise EvaluationError("The expression uses a variable that is not defined.")
        return found

    return run


def _index(left: Run, index: Run) -> Run:
    def run(context: Context) -> list[Any]:
        items = left(context)
        position = whole(index(context), "An index")
        if position is None or not 0 <= position < len(items):
            return []
        return [items[position]]

    return run


def _unary(operator: str, operand: Run) -> Run:
    apply = arithmetic.negative if operator == "-" else arithmetic.positive
    return lambda context: apply(operand(context))


def _is(left: Run, test: types.Test) -> Run:
    def run(context: Context) -> list[Any]:
        items = left(context)
        if len(items) > 1:
            raise EvaluationError(f"is takes one item, and there are {len(items)}.")
        return [test(items[0])] if items else []

    return run


def _binary(operator: str, left: Run, right: Run) -> Run:
    if operator in _ARITHMETIC:
        apply = _ARITHMETIC[operator]
        return lambda context: apply(left(context), right(context))
    if operator in _ORDERS:
        return _compare(_ORDERS[operator], left, right)
    if operator in ("=", "!="):
        return _equal(operator == "=", left, right)
    if operator in ("~", "!~"):
        wanted = operator == "~"
        return lambda context: [
            equality.collections_equivalent(context, left(context), right(context)) is wanted
        ]
    if operator == "|":
        return lambda context: equality.distinct(context, left(context) + right(context))
    if operator == "in":
        return _in(left, right)
    if operator == "contains":
        return _in(right, left)
    return _LOGIC[operator](left, right)


def _equal(wanted: bool, left: Run, right: Run) -> Run:  # noqa: FBT001 — = or !=
    def run(context: Context) -> list[Any]:
        mine, yours = left(context), right(context)
        context.spend(len(mine))
        same = equality.collections_equal(mine, yours)
        return [] if same is None else [same is wanted]

    return run


def _compare(wanted: tuple[int, ...], left: Run, right: Run) -> Run:
    def run(context: Context) -> list[Any]:
        mine, yours = left(context), right(context)
        if not mine or not yours:
            return []
        if len(mine) > 1 or len(yours) > 1:
            raise EvaluationError("A comparison takes one item on either side.")
        order = equality.order(mine[0], yours[0])
        return [] if order is None else [order in wanted]

    return run


def _in(one: Run, many: Run) -> Run:
    def run(context: Context) -> list[Any]:
        items = one(context)
        if not items:
            return []
        if len(items) > 1:
            raise EvaluationError("in and contains look for one item, and there are more.")
        others = many(context)
        context.spend(len(others))
        return [any(equality.equal(items[0], other) is True for other in others)]

    return run


def _and(left: Run, right: Run) -> Run:
    def run(context: Context) -> list[Any]:
        mine = truth(left(context), "and")
        if mine is False:
            return [False]
        yours = truth(right(context), "and")
        if yours is False:
            return [False]
        return [] if mine is None or yours is None else [True]

    return run


def _or(left: Run, right: Run) -> Run:
    def run(context: Context) -> list[Any]:
        mine = truth(left(context), "or")
        if mine is True:
            return [True]
        yours = truth(right(context), "or")
        if yours is True:
            return [True]
        return [] if mine is None or yours is None else [False]

    return run


def _xor(left: Run, right: Run) -> Run:
    def run(context: Context) -> list[Any]:
        mine, yours = truth(left(context), "xor"), truth(right(context), "xor")
        return [] if mine is None or yours is None else [mine is not yours]

    return run


def _implies(left: Run, right: Run) -> Run:
    def run(context: Context) -> list[Any]:
        mine = truth(left(context), "implies")
        if mine is False:
            return [True]
        yours = truth(right(context), "implies")
        if yours is True:
            return [True]
        return [] if mine is None or yours is None else [False]

    return run


_LOGIC: Final = {"and": _and, "or": _or, "xor": _xor, "implies": _implies}
