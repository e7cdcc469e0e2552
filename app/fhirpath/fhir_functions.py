"""The functions that FHIR adds; https://hl7.org/fhir/R4/fhirpath.html#functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from app.fhirpath import narrative, nodes, references
from app.fhirpath.refusals import EvaluationError
from app.fhirpath.registry import function
from app.fhirpath.values import Node, system, text

if TYPE_CHECKING:
    from app.fhirpath.context import Context

CANONICAL: Final = "http://hl7.org/fhir/StructureDefinition/"


@function("extension", 1, 1)
def extension(context: Context, items: list[Any], url: list[Any]) -> list[Any]:
    wanted = text(url, "extension()")
    if wanted is None:
        return []
    found = [child for item in items for child in nodes.named(item, "extension")]
    context.spend(len(found))
    return [one for one in found if isinstance(one.value, dict) and one.value.get("url") == wanted]


@function("hasExtension", 1, 1)  # in no specification, yet in R4's own search parameters
def has_extension(context: Context, items: list[Any], url: list[Any]) -> list[Any]:
    return [bool(extension(context, items, url))]


@function("resolve")
def resolve(context: Context, items: list[Any]) -> list[Any]:
    found: list[Any] = []
    for item in items:
        context.spend(1)
        reference = references.reference_of(item)
        target = references.target(context, reference) if reference else None
        if target is not None:
            found.append(target)
    return found


@function("memberOf", 1, 1)
def member_of(context: Context, items: list[Any], url: list[Any]) -> list[Any]:
    wanted = text(url, "memberOf()")
    if wanted is None or len(items) != 1:
        return []
    ask = context.environment.member_of
    item = items[0]
    answer = ask(item.value if isinstance(item, Node) else item, wanted) if ask else None
    return [] if answer is None else [answer]


@function("conformsTo", 1, 1)
def conforms_to(context: Context, items: list[Any], url: list[Any]) -> list[Any]:
    wanted = text(url, "conformsTo()")
    if wanted is None or not items:
        return []
    if len(items) > 1:
        raise EvaluationError("conformsTo() takes one item, and there are more.")
    item = items[0]
    ask = context.environment.conforms_to
    answer = ask(item.value, wanted) if ask and isinstance(item, Node) else None
    if answer is None:
        answer = _is_base_type(item, wanted.split("|", maxsplit=1)[0])
    if answer is None:
        raise EvaluationError("conformsTo() names a profile that is not known here.")
    return [answer]


def _is_base_type(item: Any, url: str) -> bool | None:
    """Whether an item is of the base type with the URL; None where no type has it."""
    kind = item.type if isinstance(item, Node) else None
    name = url.removeprefix(CANONICAL)
    if kind is None or name == url or name not in kind.model.types:
        return None
    return name in kind.ancestors


def _subsumes(context: Context, one: list[Any], other: list[Any]) -> list[Any]:
    if len(one) != 1 or len(other) != 1:
        return []
    mine, yours = (item.value if isinstance(item, Node) else item for item in (one[0], other[0]))
    if mine == yours:
        return [True]
    ask = context.environment.subsumes
    answer = ask(mine, yours) if ask else None
    return [] if answer is None else [answer]


@function("subsumes", 1, 1)
def subsumes(context: Context, items: list[Any], other: list[Any]) -> list[Any]:
    return _subsumes(context, items, other)


@function("subsumedBy", 1, 1)
def subsumed_by(context: Context, items: list[Any], other: list[Any]) -> list[Any]:
    return _subsumes(context, other, items)


@function("htmlChecks")
def html_checks(context: Context, items: list[Any]) -> list[Any]:
    if len(items) != 1:
        return [] if not items else [False]
    value = system(items[0])
    if not isinstance(value, str):
        return [False]
    context.spend(1 + len(value) // 100)
    return [narrative.problem(value) is None]


@function("checkModifiers", 0, 32)
def check_modifiers(context: Context, items: list[Any], *known: list[Any]) -> list[Any]:
    urls = {text(one, "checkModifiers()") for one in known}
    for item in items:
        for one in nodes.named(item, "modifierExtension"):
            context.spend(1)
            if not isinstance(one.value, dict) or one.value.get("url") not in urls:
                raise EvaluationError("An element carries a modifier extension that is not known.")
    return items


def _no_definitions(_: Context, items: list[Any], *__: list[Any]) -> list[Any]:
    if not items:
        return []
    raise EvaluationError("The definitions of elements are not at hand in an expression here.")


function("elementDefinition")(_no_definitions)
function("slice", 2, 2)(_no_definitions)
