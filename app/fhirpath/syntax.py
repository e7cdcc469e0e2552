"""The parts of a parsed expression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Literal:
    """Items of FHIRPath's own types; none for {}."""

    items: tuple[Any, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    position: int


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments: tuple[Tree, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Special:
    """$this, $index or $total."""

    name: str
    position: int


@dataclass(frozen=True, slots=True)
class Variable:
    """%name."""

    name: str
    position: int


@dataclass(frozen=True, slots=True)
class Invoke:
    """left.step."""

    left: Tree
    step: Tree
    position: int


@dataclass(frozen=True, slots=True)
class Index:
    left: Tree
    index: Tree
    position: int


@dataclass(frozen=True, slots=True)
class Unary:
    operator: str
    operand: Tree
    position: int


@dataclass(frozen=True, slots=True)
class Binary:
    operator: str
    left: Tree
    right: Tree
    position: int


@dataclass(frozen=True, slots=True)
class TypeTest:
    """left is type, left as type; the functions is(), as() and ofType() are the same."""

    operator: str
    left: Tree
    namespace: str
    name: str
    position: int


Tree = Literal | Member | Call | Special | Variable | Invoke | Index | Unary | Binary | TypeTest


def parts(tree: Tree) -> tuple[Tree, ...]:
    """The trees right below one."""
    match tree:
        case Call():
            return tree.arguments
        case Invoke():
            return (tree.left, tree.step)
        case Index():
            return (tree.left, tree.index)
        case Unary():
            return (tree.operand,)
        case Binary():
            return (tree.left, tree.right)
        case TypeTest():
            return (tree.left,)
        case _:
            return ()


def calls(tree: Tree, name: str) -> bool:
    """Whether a function is called anywhere in the tree."""
    if isinstance(tree, Call) and tree.name == name:
        return True
    return any(calls(part, name) for part in parts(tree))
