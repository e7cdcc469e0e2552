"""
An invariant on plain JSON.

Where the type of the context is known, most of an invariant is: is it there, is it one of these,
are there more than. Such parts become closures over the JSON itself; a part that is anything else
runs as the expression does, so that both ways always say the same.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Final

from app.fhirpath import paths, patterns, syntax, truths
from app.fhirpath.context import Context
from app.fhirpath.truths import NotDirectError
from app.fhirpath.values import Node, truth

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.fhirpath.compiler import Compiler
    from app.fhirpath.context import Run
    from app.fhirpath.model import Model, Type
    from app.fhirpath.paths import Frame, Path, Truth
    from app.fhirpath.syntax import Tree

_ORDERS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_TEXT_TESTS: Final[dict[str, Callable[[str, str], bool]]] = {
    "matches": lambda text, pattern: patterns.found(pattern, text),
    "matchesFull": lambda text, pattern: patterns.matched(pattern, text),
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": str.__contains__,
}
_MOMENTS: Final = frozenset(("Date", "DateTime"))
_TEXTS: Final = frozenset(("String", "Date", "DateTime"))
_KEEPS_EMPTY: Final = frozenset(
    "where select trace first last tail skip take single distinct ofType extension resolve "
    "repeat children descendants".split()
)
_STATEFUL: Final = frozenset(("$index", "$total"))


class Direct:
    """Compiles one expression for contexts of one type."""

    def __init__(self, compiler: Compiler, tree: Tree, kind: Type) -> None:
        self.compiler = compiler
        self.model: Model = compiler.model
        self.kind = kind
        self.plain = not (compiler.scoped or _uses(tree, _STATEFUL))

    def compile(self, tree: Tree) -> Truth:
        if not self.plain:
            return self.fallback(tree, self.kind)
        return self.truth(tree, self.kind)

    def truth(self, tree: Tree, kind: Type) -> Truth:
        """A part as true, false or None for neither."""
        try:
            return self.direct(tree, kind)
        except NotDirectError:
            return self.fallback(tree, kind)

    def fallback(self, tree: Tree, kind: Type) -> Truth:
        """A part as the expression runs it."""
        run = self.compiler.compile(tree)
        if kind is not self.kind and kind.primitive:
            raise NotDirectError  # what stands beside it is not at hand
        return _as_expression(run, kind, self.kind, self.model)

    def direct(self, tree: Tree, kind: Type) -> Truth:
        match tree:
            case syntax.Binary(operator="and" | "or" | "xor" | "implies" as word):
                return truths.LOGIC[word](self.truth(tree.left, kind), self.truth(tree.right, kind))
            case syntax.Binary(operator="=" | "!=" | "~" | "!~"):
                return self.equal(tree, kind)
            case syntax.Binary(operator="<" | "<=" | ">" | ">="):
                return self.order(tree, kind)
            case syntax.Binary(operator="in"):
                return self.among(tree, kind)
            case syntax.Invoke(step=syntax.Call() as call):
                return self.call(call, tree.left, kind)
            case syntax.Call():
                return self.call(tree, syntax.Special("$this", tree.position), kind)
            case syntax.TypeTest(operator="is" | "is()") if self.is_start(tree.left, kind):
                answer = self.is_of(tree, kind, exact=False)
                return lambda *_: answer
            case syntax.Literal(items=(bool() as value,)):
                return lambda *_: value
            case _:
                return self.boolean(tree, kind)

    def boolean(self, tree: Tree, kind: Type) -> Truth:
        path = self.path(tree, kind)
        if path.type.system != "Boolean" or path.lone is None:
            raise NotDirectError
        lone = path.lone

        def run(value: Any, _: Frame) -> bool | None:
            found = lone(value)
            return found if found is None or found.__class__ is bool else True

        return run

    # Calls that end in true or false.

    def call(self, call: syntax.Call, left: Tree, kind: Type) -> Truth:
        match call:
            case syntax.Call("not", ()):
                return truths.negated(self.truth(left, kind))
            case syntax.Call("exists", ()):
                return self.exists(left, kind)
            case syntax.Call("empty", ()):
                return truths.negated(self.exists(left, kind))
            case syntax.Call("exists", (criterion,)):
                path = self.path(left, kind)
                return paths.filtered(path, self.criterion(criterion, path.type)).exists
            case syntax.Call("all", (criterion,)):
                return self.all(left, criterion, call, kind)
            case syntax.Call("isDistinct", ()):
                return truths.distinct(self.path(left, kind))
            case syntax.Call("hasValue", ()):
                return truths.has_value(self.path(left, kind), kind)
            case syntax.Call("htmlChecks", ()):
                return truths.html_checks(self.path(left, kind))
            case syntax.Call(
                "startsWith" | "endsWith" | "contains" | "matches" | "matchesFull" as name,
                (argument,),
            ):
                return self.text_test(name, left, argument, kind)
            case _:
                raise NotDirectError

    def all(self, left: Tree, criterion: Tree, call: syntax.Call, kind: Type) -> Truth:
        path = self.path(left, kind)
        try:
            return truths.every(path, self.criterion(criterion, path.type))
        except NotDirectError:
            whole = self.fallback(syntax.Invoke(left, call, call.position), kind)
            exists = path.exists
            return lambda value, frame: whole(value, frame) if exists(value, frame) else True

    def criterion(self, tree: Tree, kind: Type) -> Truth:
        if kind.primitive or (kind.resource and kind.abstract):
            raise NotDirectError
        return self.truth(tree, kind)

    def exists(self, tree: Tree, kind: Type) -> Truth:
        try:
            return self.path_exists(tree, kind)
        except NotDirectError:
            # Only a run of the whole can tell, but where its beginning is empty so is all of it.
            there = syntax.Invoke(tree, syntax.Call("exists", (), 0), 0)
            return truths.unless_empty(self.beginning(tree, kind), self.fallback(there, kind))

    def path_exists(self, tree: Tree, kind: Type) -> Truth:
        match tree:
            case syntax.Member(name=name) if self.is_choice(kind, name):
                return paths.choice(paths.start(kind), kind.elements[name], first=True)
            case syntax.Invoke(step=syntax.Member(name=name)):
                path = self.path(tree.left, kind)
                if self.is_choice(path.type, name):
                    return paths.choice(path, path.type.elements[name], first=False)
        return self.path(tree, kind).exists

    @staticmethod
    def is_choice(kind: Type, name: str) -> bool:
        return name in kind.elements and kind.elements[name].choice

    def beginning(self, tree: Tree, kind: Type) -> Path:
        """The longest path that a chain starts with, where the rest of it keeps empty empty."""
        match tree:
            case syntax.Invoke(left=left, step=syntax.Member()) | syntax.TypeTest(left=left):
                pass
            case syntax.Invoke(left=left, step=syntax.Call(name=name)) if name in _KEEPS_EMPTY:
                pass
            case _:
                raise NotDirectError
        try:
            return self.path(left, kind)
        except NotDirectError:
            return self.beginning(left, kind)

    def text_test(self, name: str, left: Tree, argument: Tree, kind: Type) -> Truth:
        path = self.path(left, kind)
        if path.lone is None or path.type.system != "String":
            raise NotDirectError
        match argument:
            case syntax.Literal(items=(str() as wanted,)):
                return truths.text_test(_TEXT_TESTS[name], path.lone, wanted)
            case _:
                raise NotDirectError

    # Operators.

    def equal(self, tree: syntax.Binary, kind: Type) -> Truth:
        if tree.operator not in ("=", "!="):
            raise NotDirectError
        wanted = tree.operator == "="
        counted = self.counts(tree, kind)
        if counted is not None:
            one, other = counted
            return lambda value, frame: (one(value, frame) == other(value, frame)) is wanted
        path = self.path(tree.left, kind)
        literal = _literal(tree.right, path.type)
        if path.lone is not None:
            return truths.lone_is(path.lone, literal, wanted=wanted)
        return truths.only_is(path.values, literal, wanted=wanted)

    def order(self, tree: syntax.Binary, kind: Type) -> Truth:
        compare = _ORDERS[tree.operator]
        counted = self.counts(tree, kind)
        if counted is not None:
            one, other = counted
            return lambda value, frame: bool(compare(one(value, frame), other(value, frame)))
        match tree.left, tree.right:
            case (
                syntax.Invoke(left=text, step=syntax.Call("length", ())),
                syntax.Literal(items=(int() as number,)),
            ) if number.__class__ is int:
                return truths.length(compare, self.text(text, kind), number)
        left, right = self.path(tree.left, kind), self.path(tree.right, kind)
        if left.lone is None or right.lone is None:
            raise NotDirectError
        if not {left.type.system, right.type.system} <= _MOMENTS:
            raise NotDirectError
        return truths.moments(compare, left.lone, right.lone, self.fallback(tree, kind))

    def text(self, tree: Tree, kind: Type) -> Callable[[Any], Any]:
        """A text, or what toString() makes of a primitive that is one in JSON."""
        match tree:
            case syntax.Invoke(left=left, step=syntax.Call("toString", ())):
                path, systems = self.path(left, kind), _TEXTS
            case _:
                path, systems = self.path(tree, kind), frozenset({"String"})
        if path.lone is None or path.type.system not in systems:
            raise NotDirectError
        return path.lone

    def counts(
        self, tree: syntax.Binary, kind: Type
    ) -> tuple[Callable[[Any, Frame], int], Callable[[Any, Frame], int]] | None:
        left, right = self.count(tree.left, kind), self.count(tree.right, kind)
        return None if left is None or right is None else (left, right)

    def count(self, tree: Tree, kind: Type) -> Callable[[Any, Frame], int] | None:
        match tree:
            case syntax.Literal(items=(int() as number,)) if number.__class__ is int:
                return lambda *_: number
            case syntax.Invoke(left=syntax.Call("children", ()), step=syntax.Call("count", ())) if (
                not kind.primitive
            ):
                return truths.child_count(kind)
            case syntax.Binary(operator="+"):
                one, other = self.count(tree.left, kind), self.count(tree.right, kind)
                if one is None or other is None:
                    return None
                return lambda value, frame: one(value, frame) + other(value, frame)
            case syntax.Invoke(left=left, step=syntax.Call("count", ())):
                values = self.path(left, kind).values
                return lambda value, frame: len(values(value, frame))
            case _:
                return None

    def among(self, tree: syntax.Binary, kind: Type) -> Truth:
        path = self.path(tree.left, kind)
        choices = frozenset(_literals(tree.right, path.type))
        if path.lone is None:
            raise NotDirectError
        lone = path.lone

        def run(value: Any, _: Frame) -> bool | None:
            found = lone(value)
            return None if found is None else found in choices

        return run

    # Paths.

    def path(self, tree: Tree, kind: Type) -> Path:
        match tree:
            case syntax.Special(name="$this"):
                return paths.start(kind)
            case syntax.Member(name=name):
                if name[:1].isupper() and name in kind.ancestors:
                    return paths.start(kind)
                return self.step(paths.start(kind), name, None, first=True)
            case syntax.Invoke(left=left, step=syntax.Member(name=name)):
                return self.step(self.path(left, kind), name, None, first=self.is_start(left, kind))
            case syntax.TypeTest(operator="ofType" | "as", left=left):
                return self.of_type(tree, left, kind)
            case syntax.Invoke(left=left, step=syntax.Call("trace", (syntax.Literal(),))):
                return self.path(left, kind)  # nobody listens to what an invariant traces
            case syntax.Call(position=position):
                this = syntax.Special("$this", position)
                return self.path(syntax.Invoke(this, tree, position), kind)
            case syntax.Invoke(left=left, step=syntax.Call("where", (criterion,))):
                before = self.path(left, kind)
                return paths.filtered(before, self.criterion(criterion, before.type))
            case syntax.Invoke(
                left=left, step=syntax.Call("extension", (syntax.Literal(items=(str() as url,)),))
            ) if not (path := self.path(left, kind)).type.primitive:
                extensions = self.step(path, "extension", None, first=self.is_start(left, kind))
                return paths.filtered(extensions, lambda one, _: one.get("url") == url)
            case _:
                raise NotDirectError

    @staticmethod
    def is_start(tree: Tree, kind: Type) -> bool:
        match tree:
            case syntax.Special(name="$this"):
                return True
            case syntax.Member(name=name):
                return name[:1].isupper() and name in kind.ancestors
            case _:
                return False

    def is_of(self, tree: syntax.TypeTest, kind: Type, *, exact: bool) -> bool:
        """Whether what the context is of this type, where its type alone tells."""
        if tree.namespace == "System" or kind.resource or tree.name not in self.model.types:
            raise NotDirectError
        if exact and kind.primitive:
            return bool(kind.name == tree.name)
        return tree.name in kind.ancestors

    def of_type(self, tree: syntax.TypeTest, left: Tree, kind: Type) -> Path:
        match left:
            case syntax.Special(name="$this"):
                if self.is_of(tree, kind, exact=True):
                    return paths.start(kind)
                return paths.nothing(self.model.types[tree.name])
            case syntax.Member(name=name):
                return self.step(paths.start(kind), name, tree.name, first=True)
            case syntax.Invoke(left=above, step=syntax.Member(name=name)):
                before = self.path(above, kind)
                return self.step(before, name, tree.name, first=self.is_start(above, kind))
            case _:
                raise NotDirectError

    def step(self, before: Path, name: str, chosen: str | None, *, first: bool) -> Path:
        kind = before.type
        element = kind.elements.get(name)
        if element is None or kind.primitive or (kind.resource and kind.abstract):
            raise NotDirectError
        if element.choice is (chosen is None):
            raise NotDirectError
        below = self.model.types.get(chosen or element.types[0])
        if below is None or (chosen and chosen not in element.types):
            raise NotDirectError
        return paths.step(before, element, below, first=first)


def _uses(tree: Tree, names: frozenset[str]) -> bool:
    if isinstance(tree, syntax.Special) and tree.name in names:
        return True
    return any(_uses(part, names) for part in syntax.parts(tree))


def _literal(tree: Tree, kind: Type) -> Any:
    """A literal that JSON of the type equals just when FHIRPath says so."""
    match tree:
        case syntax.Literal(items=(value,)):
            wanted = {"String": str, "Boolean": bool, "Integer": int}.get(kind.system)
            if value.__class__ is wanted:
                return value
    raise NotDirectError


def _literals(tree: Tree, kind: Type) -> list[Any]:
    match tree:
        case syntax.Binary(operator="|"):
            return _literals(tree.left, kind) + _literals(tree.right, kind)
        case _:
            return [_literal(tree, kind)]


def _as_expression(run: Run, kind: Type, top: Type, model: Model) -> Truth:
    def fallback(value: Any, frame: Frame) -> bool | None:
        node = Node(value, model.of(value, kind), None, kind.name)
        if value is frame.top:
            node.sibling = frame.sibling
            start = node
        else:
            start = Node(frame.top, model.of(frame.top, top), None, top.name, -1, frame.sibling)
        here, above = _top(frame.resource, model), _top(frame.root, model)
        context = Context([start], here, above, frame.environment, {}, False)  # noqa: FBT003 — hot
        context.focus = [node]
        context.left = frame.left
        found = run(context)
        frame.left = context.left  # one budget for all parts
        return truth(found, "An invariant")

    return fallback


def _top(resource: Any, model: Model) -> Node | None:
    if resource is None:
        return None
    kind = model.of(resource)
    return Node(resource, kind, None, kind.name if kind else "")
