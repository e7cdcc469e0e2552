"""What a search is sorted by, and where a page of it begins or ends."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from app.storage.entries import kind_of

if TYPE_CHECKING:
    from app.storage.asked import Query
    from app.storage.compiled import Parameter
    from app.storage.matching import Facts


class Place(NamedTuple):
    """
    Where a page begins or ends.

    keys        what it is sorted by, besides the time
    """

    keys: tuple[Any, ...]
    updated: str
    type: str
    id: str


class Row(NamedTuple):
    """What is known of a resource while it is looked at; the whole of it in order of time."""

    updated: str
    type: str
    id: str
    facts: Facts


class Order:
    """
    What a search is sorted by: its keys, then newest first.

    queries     one for each type that is searched: each has parameters of its own for the same keys
    """

    def __init__(self, queries: list[Query]) -> None:
        sort = max((query.sort for query in queries), key=len)
        # a lenient search leaves out a key that a type does not have: then it has none of the values
        self.sorts = {one.kind: one.sort for one in queries if len(one.sort) == len(sort)}
        self.downwards = [down for _, down in sort]
        self.upwards = bool(sort) and not sort[0][1]
        self.by_time = not sort or sort[0][0] == "_lastUpdated"

    def keys(self, row: Row) -> tuple[Any, ...]:
        if self.by_time:
            return ()
        if row.type not in self.sorts:
            return (None,) * len(self.downwards)
        return tuple(_key(row, of, down=down) for of, down in self.sorts[row.type])

    def compare(self, one: Place, other: Place) -> int:
        if self.by_time:
            before, then = (one.updated, one.type, one.id), (other.updated, other.type, other.id)
            return ((before > then) - (before < then)) * (1 if self.upwards else -1)
        for down, mine, its in zip(self.downwards, one.keys, other.keys, strict=True):
            if mine == its:
                continue
            if mine is None or its is None:  # what has no value comes last, whichever way
                return 1 if mine is None else -1
            # what two types have under one key need not be of one kind: a date here, a code there
            after = (type(mine).__name__, mine) > (type(its).__name__, its)
            return (1 if after else -1) * (-1 if down else 1)
        mine, its = (one.updated, one.type, one.id), (other.updated, other.type, other.id)
        return (mine < its) - (mine > its)

    def place(self, row: Row) -> Place:
        return Place(self.keys(row), row.updated, row.type, row.id)


def _key(row: Row, of: Parameter | str, *, down: bool) -> Any:
    """The least of a parameter's values, or the greatest; None where it has none."""
    if isinstance(of, str):
        return row.id if of == "_id" else row.updated
    values: list[Any] = []
    for atom in of.atoms:
        for fields in row.facts.of(atom.name):
            if atom.targets and kind_of(fields[0], fields[1]) not in atom.targets:
                continue
            if of.type == "date":
                values.append(int(fields[1] if down else fields[0]))
            elif of.type in {"number", "quantity"}:
                values.append(Decimal(fields[1] if down else fields[0]))
            else:
                values.append(fields[0])
    if not values:
        return None
    return max(values) if down else min(values)
