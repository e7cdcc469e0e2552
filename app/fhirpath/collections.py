"""Functions on collections: whether, which, how many; https://hl7.org/fhirpath/N1/#functions."""

from __future__ import annotations

from functools import cmp_to_key
from typing import Any

from app.fhirpath import arithmetic, equality, nodes
from app.fhirpath.context import Context, Run, each, over
from app.fhirpath.refusals import EvaluationError
from app.fhirpath.registry import function, lazy
from app.fhirpath.values import Node, bounded, system, text, truth, type_info, whole


@function("empty")
def empty(_: Context, items: list[Any]) -> list[Any]:
    return [not items]


@lazy("exists", 0, 1)
def exists(context: Context, items: list[Any], criteria: Run | None = None) -> list[Any]:
    if criteria is None:
        return [bool(items)]
    return [any(truth(found, "exists()") is True for _, found in each(context, items, criteria))]


@lazy("all", 1, 1)
def all_(context: Context, items: list[Any], criteria: Run) -> list[Any]:
    return [all(truth(found, "all()") is True for _, found in each(context, items, criteria))]


def _booleans(items: list[Any], what: str) -> list[bool]:
    values = [system(item) for item in items]
    if any(value.__class__ is not bool for value in values):
        raise EvaluationError(f"{what} takes booleans only.")
    return values


@function("allTrue")
def all_true(_: Context, items: list[Any]) -> list[Any]:
    return [all(_booleans(items, "allTrue()"))]


@function("anyTrue")
def any_true(_: Context, items: list[Any]) -> list[Any]:
    return [any(_booleans(items, "anyTrue()"))]


@function("allFalse")
def all_false(_: Context, items: list[Any]) -> list[Any]:
    return [not any(_booleans(items, "allFalse()"))]


@function("anyFalse")
def any_false(_: Context, items: list[Any]) -> list[Any]:
    return [not all(_booleans(items, "anyFalse()"))]


@function("not")
def not_(_: Context, items: list[Any]) -> list[Any]:
    value = truth(items, "not()")
    return [] if value is None else [not value]


@function("subsetOf", 1, 1)
def subset_of(context: Context, items: list[Any], other: list[Any]) -> list[Any]:
    return [equality.keys(context, items) <= equality.keys(context, other)]


@function("supersetOf", 1, 1)
def superset_of(context: Context, items: list[Any], other: list[Any]) -> list[Any]:
    return [equality.keys(context, items) >= equality.keys(context, other)]


@function("count")
def count(_: Context, items: list[Any]) -> list[Any]:
    return [len(items)]


@function("distinct")
def distinct(context: Context, items: list[Any]) -> list[Any]:
    return equality.distinct(context, items)


@function("isDistinct")
def is_distinct(context: Context, items: list[Any]) -> list[Any]:
    return [len(equality.keys(context, items)) == len(items)]


@lazy("where", 1, 1)
def where(context: Context, items: list[Any], criteria: Run) -> list[Any]:
    found = each(context, items, criteria)
    return [item for item, result in found if truth(result, "where()") is True]


@lazy("select", 1, 1)
def select(context: Context, items: list[Any], projection: Run) -> list[Any]:
    found: list[Any] = []
    for _, result in each(context, items, projection):
        context.spend(len(result))
        found += result
    return found


@lazy("repeat", 1, 1)
def repeat(context: Context, items: list[Any], projection: Run) -> list[Any]:
    found: list[Any] = []
    seen: set[Any] = set()
    current = items
    while current:
        fresh = []
        for item in select(context, current, projection):
            # A node is known by its place before its content is looked at.
            mark = equality.key(item)
            if mark not in seen:
                seen.add(mark)
                fresh.append(item)
        found += fresh
        current = fresh
    return found


@lazy("repeatAll", 1, 1)
def repeat_all(context: Context, items: list[Any], projection: Run) -> list[Any]:
    found: list[Any] = []
    current = items
    while current:
        current = select(context, current, projection)
        found += current
    return found


@lazy("aggregate", 1, 2)
def aggregate(
    context: Context, items: list[Any], step: Run, initial: Run | None = None
) -> list[Any]:
    outer, total = context.total, initial(context) if initial else []
    context.total = total
    for _, result in each(context, items, step):
        context.total = result
    total, context.total = context.total, outer
    return total


@lazy("iif", 2, 3)
def iif(
    context: Context, items: list[Any], criterion: Run, then: Run, otherwise: Run | None = None
) -> list[Any]:
    if len(items) > 1:
        raise EvaluationError("iif() takes one item, and there are more.")
    if truth(over(context, items, criterion), "The criterion of iif()") is True:
        return over(context, items, then)
    return over(context, items, otherwise) if otherwise else []


@function("single")
def single(_: Context, items: list[Any]) -> list[Any]:
    if len(items) > 1:
        raise EvaluationError(f"single() takes one item, and there are {len(items)}.")
    return items


@function("first")
def first(_: Context, items: list[Any]) -> list[Any]:
    return items[:1]


@function("last")
def last(_: Context, items: list[Any]) -> list[Any]:
    return items[-1:]


@function("tail")
def tail(_: Context, items: list[Any]) -> list[Any]:
    return items[1:]


@function("skip", 1, 1)
def skip(_: Context, items: list[Any], count: list[Any]) -> list[Any]:
    return items[max(0, whole(count, "skip()") or 0) :]


@function("take", 1, 1)
def take(_: Context, items: list[Any], count: list[Any]) -> list[Any]:
    return items[: max(0, whole(count, "take()") or 0)]


@function("intersect", 1, 1)
def intersect(context: Context, items: list[Any], other: list[Any]) -> list[Any]:
    kept = equality.keys(context, other)
    return [item for item in equality.distinct(context, items) if equality.key(item) in kept]


@function("exclude", 1, 1)
def exclude(context: Context, items: list[Any], other: list[Any]) -> list[Any]:
    dropped = equality.keys(context, other)
    return [item for item in items if equality.key(item) not in dropped]


@function("union", 1, 1)
def union(context: Context, items: list[Any], other: list[Any]) -> list[Any]:
    return equality.distinct(context, items + other)


@function("combine", 1, 2)
def combine(
    context: Context, items: list[Any], other: list[Any], _: list[Any] | None = None
) -> list[Any]:
    context.spend(len(items) + len(other))
    return items + other


@lazy("coalesce", 1, 32)
def coalesce(context: Context, items: list[Any], *choices: Run) -> list[Any]:
    return next((found for choice in choices if (found := over(context, items, choice))), [])


@function("children")
def children(context: Context, items: list[Any]) -> list[Any]:
    found = [child for item in items for child in nodes.all_of(item)]
    context.spend(len(found) + len(items))
    return found


@function("descendants")
def descendants(context: Context, items: list[Any]) -> list[Any]:
    found: list[Any] = []
    waiting = children(context, items)[::-1]
    while waiting:
        item = waiting.pop()
        found.append(item)
        below = nodes.all_of(item)
        context.spend(len(below) + 1)
        waiting += below[::-1]
    return found


@lazy("trace", 1, 2)
def trace(
    context: Context, items: list[Any], name: Run, projection: Run | None = None
) -> list[Any]:
    label = text(name(context), "The name of trace()") or ""
    shown = items
    if projection is not None:
        shown = [one for _, result in each(context, items, projection) for one in result]
    if context.environment.trace is not None:
        context.environment.trace(label, len(shown))
    return items


@lazy("defineVariable", 1, 2)
def define_variable(
    context: Context, items: list[Any], name: Run, value: Run | None = None
) -> list[Any]:
    label = text(name(context), "The name of defineVariable()")
    if not label or label in context.variables or label in RESERVED:
        raise EvaluationError(
            "defineVariable() takes the name of a variable that is not there yet."
        )
    bound = items if value is None else over(context, items, value)
    context.variables = {**context.variables, label: bound}
    return items


RESERVED = frozenset(("context", "resource", "rootResource", "ucum", "sct", "loinc"))


def sort(context: Context, items: list[Any], keys: list[tuple[Run, bool]]) -> list[Any]:
    """
    The items by one key after the other; (key, whether the highest comes first).

    What has no key comes first, as HL7's engine has it.
    """
    columns: list[list[Any]] = []
    for run, _ in keys:
        column = [found for _, found in each(context, items, run)]
        if any(len(found) > 1 for found in column):
            raise EvaluationError("A key of sort() takes one item.")
        columns.append(column)
    context.spend(len(items) * max(1, len(items).bit_length()) * len(keys))

    def compare(one: int, other: int) -> int:
        for column, (_, descending) in zip(columns, keys, strict=True):
            mine, yours = column[one], column[other]
            if not mine or not yours:
                found = bool(mine) - bool(yours)
            else:
                found = equality.order(mine[0], yours[0]) or 0
                found = -found if descending else found
            if found:
                return found
        return 0

    return [items[position] for position in sorted(range(len(items)), key=cmp_to_key(compare))]


@function("sum")
def total(_: Context, items: list[Any]) -> list[Any]:
    result = items[:1] and [system(items[0])]
    for item in items[1:]:
        result = arithmetic.plus(result, [item])
    return result


@function("min")
def least(_: Context, items: list[Any]) -> list[Any]:
    return _extreme(items, -1)


@function("max")
def greatest(_: Context, items: list[Any]) -> list[Any]:
    return _extreme(items, 1)


def _extreme(items: list[Any], sign: int) -> list[Any]:
    found = items[:1]
    for item in items[1:]:
        if equality.order(item, found[0]) == sign:
            found = [item]
    return found


@function("avg")
def average(context: Context, items: list[Any]) -> list[Any]:
    return arithmetic.divided(total(context, items), [len(items)]) if items else []


@function("toChars")
def to_chars(context: Context, items: list[Any]) -> list[Any]:
    value = text(items, "toChars()") or ""
    context.spend(len(value))
    return list(value)


@function("join", 0, 1)
def join(context: Context, items: list[Any], separator: list[Any] | None = None) -> list[Any]:
    between = text(separator or [], "join()") or ""
    parts = [text([item], "join()") for item in items]
    context.spend(len(parts))
    if not parts:
        return []
    return bounded(between.join(part for part in parts if part is not None))


@function("type")
def type_(context: Context, items: list[Any]) -> list[Any]:
    context.spend(len(items))
    return [type_info(item) for item in items]


@function("hasValue")
def has_value(_: Context, items: list[Any]) -> list[Any]:
    return [len(items) == 1 and _value(items[0]) is not None]


@function("getValue")
def get_value(_: Context, items: list[Any]) -> list[Any]:
    value = _value(items[0]) if len(items) == 1 else None
    return [] if value is None else [value]


def _value(item: Any) -> Any:
    if item.__class__ is not Node:
        return item
    return None if item.value.__class__ in (dict, list) else system(item)
