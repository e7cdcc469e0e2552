"""
What can be said against an expression before it meets a resource.

Names that no type has, types that an element cannot be, an order where there is none: what
HL7's engine refuses as semantic. Where a type cannot be known, nothing is said.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from app.fhirpath import syntax
from app.fhirpath.refusals import ExpressionError
from app.fhirpath.temporal import Temporal
from app.fhirpath.values import Quantity

if TYPE_CHECKING:
    from app.fhirpath.model import Model, Type
    from app.fhirpath.syntax import Tree


@dataclass(frozen=True, slots=True)
class Kinds:
    """
    What a part of an expression can give.

    names       FHIR.Patient, System.String; None where it cannot be known
    ordered     whether its items stand in an order
    """

    names: frozenset[str] | None
    ordered: bool = True


ANY: Final = Kinds(None)
BOOLEAN: Final = Kinds(frozenset(("System.Boolean",)))
STRING: Final = Kinds(frozenset(("System.String",)))
INTEGER: Final = Kinds(frozenset(("System.Integer",)))

_SAME: Final = frozenset(
    "where first last tail skip take single distinct trace exclude intersect sort "
    "defineVariable checkModifiers repeat combine union".split()
)
_LAMBDAS: Final = frozenset("where select all exists repeat repeatAll trace sort aggregate".split())
_WHOLE: Final = frozenset(("iif", "defineVariable", "coalesce"))  # arguments start from the input
_TRUTHS: Final = frozenset(
    "empty exists all allTrue anyTrue allFalse anyFalse subsetOf supersetOf isDistinct not "
    "startsWith endsWith contains matches matchesFull hasValue conformsTo memberOf htmlChecks "
    "comparable subsumes subsumedBy convertsToBoolean convertsToInteger convertsToDecimal "
    "convertsToDate convertsToDateTime convertsToTime convertsToString convertsToQuantity".split()
)
_TEXTS: Final = frozenset(
    "substring upper lower replace replaceMatches trim toString encode decode escape unescape "
    "join split toChars".split()
)
_COUNTS: Final = frozenset("count length indexOf lastIndexOf toInteger precision".split())
# What these functions take is text.
_ON_TEXT: Final = frozenset(
    "startsWith endsWith contains matches matchesFull substring upper lower replace "
    "replaceMatches trim indexOf lastIndexOf length split toChars encode decode escape "
    "unescape".split()
)
_IN_ORDER: Final = frozenset("first last tail skip take".split())
_LOGIC: Final = frozenset("= != ~ !~ < <= > >= and or xor implies in contains".split())


def check(expression: str, tree: Tree, model: Model, type_name: str) -> None:
    """
    Holds an expression against the type that it starts from.

    type_name   of the context, as in Patient or Patient.contact
    raises      ExpressionError: at the first part that cannot be meant
    """
    _Checker(expression, model, type_name).kinds(tree, Kinds(frozenset((f"FHIR.{type_name}",))))


class _Checker:
    def __init__(self, expression: str, model: Model, type_name: str) -> None:
        self.expression = expression
        self.model = model
        self.top = type_name
        self.alternatives = False
        self.total = ANY

    def error(self, text: str, position: int) -> ExpressionError:
        return ExpressionError(text, position, self.expression)

    def type(self, name: str) -> Type | None:
        return self.model.types.get(name.removeprefix("FHIR."))

    def kinds(self, tree: Tree, focus: Kinds) -> Kinds:  # noqa: C901 — one case for each kind of tree
        match tree:
            case syntax.Literal():
                return _of_literal(tree)
            case syntax.Member():
                return self.head(tree, focus)
            case syntax.Special():
                return focus if tree.name == "$this" else INTEGER if tree.name == "$index" else ANY
            case syntax.Variable():
                return self.variable(tree.name)
            case syntax.Call():
                return self.call(tree, focus, focus)
            case syntax.Invoke():
                return self.invoke(tree, focus)
            case syntax.Index():
                self.kinds(tree.index, focus)
                return self.kinds(tree.left, focus)
            case syntax.Unary():
                return self.kinds(tree.operand, focus)
            case syntax.TypeTest():
                return self.type_test(tree, focus)
            case syntax.Binary():
                return self.binary(tree, focus)

    def variable(self, name: str) -> Kinds:
        if name in ("context", "resource"):
            return Kinds(frozenset((f"FHIR.{self.top}",))) if name == "context" else ANY
        return ANY

    def head(self, tree: syntax.Member, focus: Kinds) -> Kinds:
        name = tree.name
        if focus.names is None or not name[:1].isupper():
            return self.member(tree, focus)
        kept = frozenset(one for one in focus.names if self.may_be(one, name))
        if kept:
            return Kinds(kept, focus.ordered)
        if self.alternatives and name in self.model.types:
            return Kinds(frozenset((f"FHIR.{name}",)))  # one of several types, as in searches
        raise self.error(f"{name} is not what this expression starts from.", tree.position)

    def may_be(self, one: str, name: str) -> bool:
        kind, wanted = self.type(one), self.type(name)
        return kind is not None and (
            name in kind.ancestors or (wanted is not None and kind.name in wanted.ancestors)
        )

    def member(self, tree: syntax.Member, focus: Kinds) -> Kinds:
        if focus.names is None:
            return focus
        found: set[str] = set()
        unknown = not focus.names
        for one in focus.names:
            kind = self.type(one)
            if kind is None and one.startswith("System."):
                unknown = unknown or one in ("System.SimpleTypeInfo", "System.Quantity")
            elif kind is None or (kind.resource and kind.abstract):
                unknown = True
            elif tree.name in kind.elements:
                found.update(f"FHIR.{name}" for name in kind.elements[tree.name].types)
        if unknown:
            return Kinds(None, focus.ordered)
        if not found:
            names = ", ".join(sorted(one.partition(".")[2] for one in focus.names)[:3])
            raise self.error(f"There is no element {tree.name} in {names}.", tree.position)
        return Kinds(frozenset(found), focus.ordered)

    def invoke(self, tree: syntax.Invoke, focus: Kinds) -> Kinds:
        left = self.kinds(tree.left, focus)
        match tree.step:
            case syntax.Member() as member:
                return self.member(member, left)
            case syntax.Call() as call:
                return self.call(call, left, focus)
            case step:
                return self.kinds(step, focus)

    def type_test(self, tree: syntax.TypeTest, focus: Kinds) -> Kinds:
        left = self.kinds(tree.left, focus)
        if tree.operator.startswith("is"):
            return BOOLEAN
        namespace = tree.namespace or ("FHIR" if tree.name in self.model.types else "System")
        wanted = f"{namespace}.{tree.name}"
        # ofType() filters a mixture and may find nothing; as says what the item is. Primitives
        # are left alone: a code that is taken as an id is nothing, and no mistake.
        kind = self.type(wanted)
        if (
            tree.operator != "ofType"
            and not (kind is not None and kind.primitive)
            and left.names
            and namespace == "FHIR"
            and not any(self.may_be(one, tree.name) for one in left.names)
            and not any(one.startswith("System.") for one in left.names)
        ):
            raise self.error(f"What stands left of as is never a {tree.name}.", tree.position)
        return Kinds(frozenset((wanted,)), left.ordered)

    def binary(self, tree: syntax.Binary, focus: Kinds) -> Kinds:
        outer = self.alternatives
        self.alternatives = outer or tree.operator == "|"
        left, right = self.kinds(tree.left, focus), self.kinds(tree.right, focus)
        self.alternatives = outer
        if tree.operator in _LOGIC:
            return BOOLEAN
        if tree.operator == "|":
            names = None if left.names is None or right.names is None else left.names | right.names
            return Kinds(names, ordered=True)
        if tree.operator == "&":
            return STRING
        return ANY

    def call(self, call: syntax.Call, left: Kinds, focus: Kinds) -> Kinds:
        self.check_input(call, left)
        start = left if call.name in _LAMBDAS | _WHOLE else focus
        given = [
            self.kinds(_key(call, argument), start)
            if not (call.name in ("repeat", "repeatAll") and not index)
            else self.repeated(argument, left)
            for index, argument in enumerate(call.arguments)
        ]
        return self.result(call, left, given)

    def repeated(self, argument: Tree, left: Kinds) -> Kinds:
        """What repeat() reaches: an element that only the first or only the last level has will do."""
        try:
            return self.kinds(argument, left)
        except ExpressionError:
            if isinstance(argument, syntax.Binary) and argument.operator == "|":
                return ANY
            raise

    def check_input(self, call: syntax.Call, left: Kinds) -> None:
        if call.name in _IN_ORDER and not left.ordered:
            raise self.error(
                f"{call.name}() wants an order, and what stands left of it has none.", call.position
            )
        if call.name in _ON_TEXT and left.names and not any(map(self.textual, left.names)):
            raise self.error(f"{call.name}() takes a string.", call.position)

    def textual(self, name: str) -> bool:
        kind = self.type(name)
        if name.startswith("System."):
            return name in ("System.String", "System.Any")
        return (
            kind is None
            or kind.abstract
            or (kind.primitive and kind.system in ("String", "Date", "DateTime", "Time"))
        )

    def result(  # noqa: C901 — a table of early returns
        self, call: syntax.Call, left: Kinds, given: list[Kinds]
    ) -> Kinds:
        name = call.name
        if name in _TRUTHS:
            return BOOLEAN
        if name in _TEXTS:
            return STRING
        if name in _COUNTS:
            return INTEGER
        if name in ("select", "repeat", "repeatAll"):
            return given[0] if given else ANY
        if name in ("union", "combine"):
            names = (
                None
                if not given or left.names is None or given[0].names is None
                else left.names | given[0].names
            )
            return replace(left, names=names)
        if name in _SAME:
            return left
        if name in ("children", "descendants"):
            return Kinds(None, ordered=False)
        if name == "extension":
            return Kinds(frozenset(("FHIR.Extension",)))
        if name == "type":
            return Kinds(frozenset(("System.SimpleTypeInfo",)))
        if name == "iif" and given and given[0].names:
            self.check_criterion(call, given[0].names)
        return ANY

    def check_criterion(self, call: syntax.Call, names: frozenset[str]) -> None:
        # One element that is no boolean counts as true; a literal that is none is a mistake.
        if "System.Boolean" not in names and all(name.startswith("System.") for name in names):
            raise self.error("The criterion of iif() is never a boolean.", call.position)


def _key(call: syntax.Call, argument: Tree) -> Tree:
    """A key of sort() may bear a sign that only says the direction."""
    if call.name == "sort" and isinstance(argument, syntax.Unary):
        return argument.operand
    return argument


def _of_literal(tree: syntax.Literal) -> Kinds:
    names = {
        f"System.{item.kind}"
        if isinstance(item, Temporal)
        else "System.Quantity"
        if isinstance(item, Quantity)
        else f"System.{_LITERALS.get(item.__class__.__name__, 'Any')}"
        for item in tree.items
    }
    return Kinds(frozenset(names)) if names else ANY


_LITERALS: Final = {"str": "String", "bool": "Boolean", "int": "Integer", "Decimal": "Decimal"}
