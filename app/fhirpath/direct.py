"""
An invariant on plain JSON.

Where the type of the context is known, most of an invariant is: is it there, is it one of these,
are there more than. Such parts become closures over the JSON itself; a part that is anything else
runs as the expression does, so that both ways always say the same.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, Final

from app.fhirpath import narrative, paths, syntax
from app.fhirpath.compiler import Compiler
from app.fhirpath.context import Context, Environment, Run
from app.fhirpath.model import Model, Type
from app.fhirpath.paths import ONLY, Path, Truth
from app.fhirpath.syntax import Tree
from app.fhirpath.values import Node, truth

_ORDERS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_TEXT_TESTS: Final[dict[str, Callable[[str, str], bool]]] = {
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": str.__contains__,
}
_MOMENTS: Final = frozenset(("Date", "DateTime"))
_KEEPS_EMPTY: Final = frozenset(
    "where select trace first last tail skip take single distinct ofType extension resolve "
    "repeat children descendants".split()
)
_STATEFUL: Final = frozenset(("$index", "$total"))


class Frame:
    """What one run of an invariant is about; made for each."""

    __slots__ = ("environment", "resource", "root", "sibling", "top")

    def __init__(  # noqa: PLR0913, PLR0917 — made for each invariant: keywords cost
        self, top: Any, sibling: Any, resource: Any, root: Any, environment: Environment
    ) -> None:
        self.top = top
        self.sibling = sibling
        self.resource = resource
        self.root = root
        self.environment = environment


class _NotDirectError(Exception):
    """A part that does not run on plain JSON."""


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
        except _NotDirectError:
            return self.fallback(tree, kind)

    def fallback(self, tree: Tree, kind: Type) -> Truth:
        """A part as the expression runs it."""
        run = self.compiler.compile(tree)
        if kind is not self.kind and kind.primitive:
            raise _NotDirectError  # what stands beside it is not at hand
        return _as_expression(run, kind, self.kind, self.model)

    def direct(self, tree: Tree, kind: Type) -> Truth:
        match tree:
            case syntax.Binary(operator="and" | "or" | "implies" as word):
                return _LOGIC[word](self.truth(tree.left, kind), self.truth(tree.right, kind))
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
            case syntax.Literal(items=(bool() as value,)):
                return lambda *_: value
            case _:
                return self.boolean(tree, kind)

    def boolean(self, tree: Tree, kind: Type) -> Truth:
        path = self.path(tree, kind)
        if path.type.system != "Boolean" or path.lone is None:
            raise _NotDirectError
        lone = path.lone

        def run(value: Any, _: Frame) -> bool | None:
            found = lone(value)
            return found if found is None or found.__class__ is bool else True

        return run

    # Calls that end in true or false.

    def call(self, call: syntax.Call, left: Tree, kind: Type) -> Truth:
        match call:
            case syntax.Call("not", ()):
                return _not(self.truth(left, kind))
            case syntax.Call("exists", ()):
                return self.exists(left, kind)
            case syntax.Call("empty", ()):
                return _not(self.exists(left, kind))
            case syntax.Call("exists", (criterion,)):
                path = self.path(left, kind)
                return paths.filtered(path, self.criterion(criterion, path.type)).exists
            case syntax.Call("all", (criterion,)):
                return self.all(left, criterion, call, kind)
            case syntax.Call("hasValue", ()):
                return _has_value(self.path(left, kind), kind)
            case syntax.Call("htmlChecks", ()):
                return _html_checks(self.path(left, kind))
            case syntax.Call("startsWith" | "endsWith" | "contains" as name, (argument,)):
                return self.text_test(name, left, argument, kind)
            case _:
                raise _NotDirectError

    def all(self, left: Tree, criterion: Tree, call: syntax.Call, kind: Type) -> Truth:
        path = self.path(left, kind)
        try:
            return _all(path, self.criterion(criterion, path.type))
        except _NotDirectError:
            whole = self.fallback(syntax.Invoke(left, call, call.position), kind)
            exists = path.exists
            return lambda value, frame: whole(value, frame) if exists(value, frame) else True

    def criterion(self, tree: Tree, kind: Type) -> Truth:
        if kind.primitive or (kind.resource and kind.abstract):
            raise _NotDirectError
        return self.truth(tree, kind)

    def exists(self, tree: Tree, kind: Type) -> Truth:
        try:
            return self.path_exists(tree, kind)
        except _NotDirectError:
            # Only a run of the whole can tell, but where its beginning is empty so is all of it.
            there = syntax.Invoke(tree, syntax.Call("exists", (), 0), 0)
            return _unless_empty(self.beginning(tree, kind), self.fallback(there, kind))

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
                raise _NotDirectError
        try:
            return self.path(left, kind)
        except _NotDirectError:
            return self.beginning(left, kind)

    def text_test(self, name: str, left: Tree, argument: Tree, kind: Type) -> Truth:
        path = self.path(left, kind)
        if path.lone is None or path.type.system != "String":
            raise _NotDirectError
        match argument:
            case syntax.Literal(items=(str() as wanted,)):
                return _text_test(_TEXT_TESTS[name], path.lone, wanted)
            case _:
                raise _NotDirectError

    # Operators.

    def equal(self, tree: syntax.Binary, kind: Type) -> Truth:
        if tree.operator not in ("=", "!="):
            raise _NotDirectError
        wanted = tree.operator == "="
        counted = self.counts(tree, kind)
        if counted is not None:
            one, other = counted
            return lambda value, frame: (one(value, frame) == other(value, frame)) is wanted
        path = self.path(tree.left, kind)
        literal = _literal(tree.right, path.type)
        if path.lone is not None:
            return _lone_is(path.lone, literal, wanted=wanted)
        return _only_is(path.values, literal, wanted=wanted)

    def order(self, tree: syntax.Binary, kind: Type) -> Truth:
        compare = _ORDERS[tree.operator]
        counted = self.counts(tree, kind)
        if counted is not None:
            one, other = counted
            return lambda value, frame: bool(compare(one(value, frame), other(value, frame)))
        left, right = self.path(tree.left, kind), self.path(tree.right, kind)
        if left.lone is None or right.lone is None:
            raise _NotDirectError
        if not {left.type.system, right.type.system} <= _MOMENTS:
            raise _NotDirectError
        return _moments(compare, left.lone, right.lone, self.fallback(tree, kind))

    def counts(
        self, tree: syntax.Binary, kind: Type
    ) -> tuple[Callable[[Any, Frame], int], Callable[[Any, Frame], int]] | None:
        left, right = self.count(tree.left, kind), self.count(tree.right, kind)
        return None if left is None or right is None else (left, right)

    def count(self, tree: Tree, kind: Type) -> Callable[[Any, Frame], int] | None:
        match tree:
            case syntax.Literal(items=(int() as number,)) if number.__class__ is int:
                return lambda *_: number
            case syntax.Invoke(
                left=syntax.Call("children", ()), step=syntax.Call("count", ())
            ) if not kind.primitive:
                return _child_count(kind)
            case syntax.Invoke(left=left, step=syntax.Call("count", ())):
                values = self.path(left, kind).values
                return lambda value, frame: len(values(value, frame))
            case _:
                return None

    def among(self, tree: syntax.Binary, kind: Type) -> Truth:
        path = self.path(tree.left, kind)
        choices = frozenset(_literals(tree.right, path.type))
        if path.lone is None:
            raise _NotDirectError
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
            case syntax.Invoke(left=left, step=syntax.Call("where", (criterion,))):
                before = self.path(left, kind)
                return paths.filtered(before, self.criterion(criterion, before.type))
            case syntax.Invoke(
                left=left, step=syntax.Call("extension", (syntax.Literal(items=(str() as url,)),))
            ) if not (path := self.path(left, kind)).type.primitive:
                extensions = self.step(path, "extension", None, first=self.is_start(left, kind))
                return paths.filtered(extensions, lambda one, _: one.get("url") == url)
            case _:
                raise _NotDirectError

    @staticmethod
    def is_start(tree: Tree, kind: Type) -> bool:
        match tree:
            case syntax.Special(name="$this"):
                return True
            case syntax.Member(name=name):
                return name[:1].isupper() and name in kind.ancestors
            case _:
                return False

    def of_type(self, tree: syntax.TypeTest, left: Tree, kind: Type) -> Path:
        match left:
            case syntax.Member(name=name):
                return self.step(paths.start(kind), name, tree.name, first=True)
            case syntax.Invoke(left=above, step=syntax.Member(name=name)):
                before = self.path(above, kind)
                return self.step(before, name, tree.name, first=self.is_start(above, kind))
            case _:
                raise _NotDirectError

    def step(self, before: Path, name: str, chosen: str | None, *, first: bool) -> Path:
        kind = before.type
        element = kind.elements.get(name)
        if element is None or kind.primitive or (kind.resource and kind.abstract):
            raise _NotDirectError
        if element.choice is (chosen is None):
            raise _NotDirectError
        below = self.model.types.get(chosen or element.types[0])
        if below is None or (chosen and chosen not in element.types):
            raise _NotDirectError
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
    raise _NotDirectError


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
        return truth(run(context), "An invariant")

    return fallback


def _top(resource: Any, model: Model) -> Node | None:
    if resource is None:
        return None
    kind = model.of(resource)
    return Node(resource, kind, None, kind.name if kind else "")


def _not(part: Truth) -> Truth:
    def run(value: Any, frame: Frame) -> bool | None:
        found = part(value, frame)
        return None if found is None else not found

    return run


def _unless_empty(reached: Path, otherwise: Truth) -> Truth:
    exists = reached.exists

    def run(value: Any, frame: Frame) -> bool | None:
        return exists(value, frame) and otherwise(value, frame)

    return run


def _and(left: Truth, right: Truth) -> Truth:
    def run(value: Any, frame: Frame) -> bool | None:
        mine = left(value, frame)
        if mine is False:
            return False
        yours = right(value, frame)
        if yours is False:
            return False
        return None if mine is None or yours is None else True

    return run


def _or(left: Truth, right: Truth) -> Truth:
    def run(value: Any, frame: Frame) -> bool | None:
        mine = left(value, frame)
        if mine:
            return True
        yours = right(value, frame)
        if yours:
            return True
        return None if mine is None or yours is None else False

    return run


def _implies(left: Truth, right: Truth) -> Truth:
    def run(value: Any, frame: Frame) -> bool | None:
        mine = left(value, frame)
        if mine is False:
            return True
        yours = right(value, frame)
        if yours:
            return True
        return None if mine is None or yours is None else False

    return run


_LOGIC: Final = {"and": _and, "or": _or, "implies": _implies}


def _all(path: Path, criterion: Truth) -> Truth:
    values = path.values

    def run(value: Any, frame: Frame) -> bool | None:
        return all(criterion(one, frame) is True for one in values(value, frame))

    return run


def _has_value(path: Path, kind: Type) -> Truth:
    if not path.type.primitive:
        return lambda *_: False
    if path.type is kind and path.lone is not None and kind.primitive:
        return lambda value, _: value is not None
    if path.lone is None:
        values = path.values

        def of_many(value: Any, frame: Frame) -> bool | None:
            found = values(value, frame)
            return len(found) == 1 and found[0] is not ONLY

        return of_many
    lone = path.lone

    def run(value: Any, _: Frame) -> bool | None:
        found = lone(value)
        return found is not None and found is not ONLY

    return run


def _html_checks(path: Path) -> Truth:
    lone = path.lone
    if lone is None or not path.type.primitive:
        raise _NotDirectError

    def run(value: Any, _: Frame) -> bool | None:
        found = lone(value)
        return None if found is None else found.__class__ is str and narrative.safe(found)

    return run


def _text_test(test: Callable[[str, str], bool], lone: Callable[[Any], Any], wanted: str) -> Truth:
    def run(value: Any, _: Frame) -> bool | None:
        found = lone(value)
        return test(found, wanted) if found.__class__ is str else None

    return run


def _lone_is(lone: Callable[[Any], Any], literal: Any, *, wanted: bool) -> Truth:
    def run(value: Any, _: Frame) -> bool | None:
        found = lone(value)
        return None if found is None else (found == literal) is wanted

    return run


def _only_is(values: paths.Values, literal: Any, *, wanted: bool) -> Truth:
    def run(value: Any, frame: Frame) -> bool | None:
        found = values(value, frame)
        if not found:
            return None
        return (len(found) == 1 and found[0] == literal) is wanted

    return run


def _moments(
    compare: Callable[[Any, Any], Any],
    left: Callable[[Any], Any],
    right: Callable[[Any], Any],
    otherwise: Truth,
) -> Truth:
    """Two dates or two whole moments with a zone by themselves; the partial as the language does."""

    def run(value: Any, frame: Frame) -> bool | None:
        mine, yours = left(value), right(value)
        if mine is None or yours is None:
            return None
        if mine.__class__ is str and yours.__class__ is str:
            try:
                if len(mine) == len(yours) == 10:
                    return bool(compare(date.fromisoformat(mine), date.fromisoformat(yours)))
                if 20 <= len(mine) <= 32 and 20 <= len(yours) <= 32:
                    one, other = datetime.fromisoformat(mine), datetime.fromisoformat(yours)
                    if one.tzinfo is not None and other.tzinfo is not None:
                        return bool(compare(one, other))
            except ValueError:
                pass
        return otherwise(value, frame)

    return run


def _child_count(kind: Type) -> Callable[[Any, Frame], int]:
    keys = kind.keys

    def count(value: Any, _: Frame) -> int:
        total = 0
        for key, found in value.items():
            if key in keys:
                if found.__class__ is not list:
                    total += found is not None or f"_{key}" in value
                elif None not in found and f"_{key}" not in value:
                    total += len(found)
                else:
                    total += len(paths.items_of(value, key))
            elif key[:1] == "_" and key[1:] not in value and key[1:] in keys:
                total += len(paths.items_of(value, key[1:]))
        return total

    return count

