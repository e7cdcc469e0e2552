"""What a Questionnaire's item allows as an answer, and on which answers it is enabled."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from app.conformance import limits
from app.conformance.references import target_type
from app.conformance.structure import BASE
from app.conformance.terminology import unchecked

if TYPE_CHECKING:
    from app.conformance.scope import Scope
    from app.conformance.terminology import Codes, Terminology
    from app.fhir import Resource

Said = tuple[str, str, str, str]  # rule, severity, sentence, path below the answer

_TYPES: Final = {
    "boolean": "boolean", "decimal": "decimal", "integer": "integer", "date": "date",
    "dateTime": "dateTime", "time": "time", "string": "string", "text": "string", "url": "uri",
    "attachment": "Attachment", "reference": "Reference", "quantity": "Quantity",
}  # fmt: skip
_COMPARED: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq, "!=": operator.ne, ">": operator.gt,
    "<": operator.lt, ">=": operator.ge, "<=": operator.le,
}  # fmt: skip


def value_of(answer: Resource, prefix: str = "value") -> tuple[str, Any]:
    """The type and value of a choice, ("", None) if there is none."""
    for key, value in answer.items():
        if key.startswith(prefix) and key[len(prefix) : len(prefix) + 1].isupper():
            kind = key[len(prefix) :]
            small = kind[:1].lower() + kind[1:]
            return (small if small in _PRIMITIVE else kind), value
    return "", None


_PRIMITIVE: Final = frozenset(
    "boolean decimal integer date dateTime time string uri url code canonical".split()
)


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What one item allows.

    most, least     how many answers
    types           of the value; empty for any
    options         those that are listed, or None
    """

    most: int | None
    least: int
    types: frozenset[str]
    open: bool
    options: list[tuple[str, Any]] | None
    codes: Callable[[], Codes] | None
    value_set: str
    units: Callable[[], Codes] | None
    targets: frozenset[str]
    bounds: list[limits.Limit] = field(default_factory=list)

    def problems(self, answer: Resource, scope: Scope) -> Iterator[Said]:
        kind, value = value_of(answer)
        if not kind:
            return
        place = f".value.ofType({kind})"
        if self.types and kind not in self.types:
            names = ", ".join(sorted(self.types))
            text = f"The answer has to be of the type {names}; give such a value."
            yield "questionnaire-type", "error", text, place
            return
        yield from self._listed(kind, value, place)
        if kind == "Reference":
            yield from self._target(value, place, scope)
        for bound in self.bounds:
            text = bound(kind, value)
            if text:
                yield "questionnaire-value", "error", text, place
        if self.units and kind == "Quantity" and "code" in value:
            inside = self.units().has(value.get("system"), value["code"])
            if inside is False:
                text = "The unit is none of those that the Questionnaire allows; take one of them."
                yield "questionnaire-option", "error", text, place

    def _listed(self, kind: str, value: Any, place: str) -> Iterator[Said]:
        if self.options is not None and not any(
            kind == one and same(kind, value, option) for one, option in self.options
        ):
            if not (self.open and kind == "string"):
                text = "The answer is none of those that the Questionnaire offers; take one."
                yield "questionnaire-option", "error", text, place
        elif self.codes is not None and not (self.open and kind == "string"):
            inside: bool | None = True
            if kind == "Coding" and "code" in value:
                inside = self.codes().has(value.get("system"), value["code"])
            elif kind == "string":
                inside = self.codes().has_code(value)
            if inside is None:
                text = unchecked(self.value_set, self.codes())
                yield "binding-unchecked", "information", text, place
            elif not inside:
                text = f"The answer has to be one of the value set {self.value_set}; take one."
                yield "questionnaire-option", "error", text, place

    def _target(self, value: Any, place: str, scope: Scope) -> Iterator[Said]:
        reference = value.get("reference")
        if not isinstance(reference, str) or reference[:1] == "#" or reference[:4] == "urn:":
            return
        kind = target_type(reference, scope)
        if kind in ("", "?"):
            steps = reference.split("/")
            if len(steps) > 1 and not scope.world.is_resource(steps[-2]):
                text = "The reference does not lead to a resource of a type of R4; mend it."
                yield "questionnaire-value", "error", text, place
        elif self.targets and kind not in self.targets:
            names = ", ".join(sorted(self.targets))
            text = f"The Questionnaire allows references to {names} only; refer to one of these."
            yield "questionnaire-value", "error", text, place


def of(item: Resource, form: Resource, terminology: Terminology) -> Answer:
    """What a Questionnaire's item allows; the form is asked for value sets that it contains."""
    said = limits.extensions(item)
    kind = item.get("type", "")
    offered = item.get("answerOption")
    options = [value_of(one) for one in offered] if offered else None
    value_set = item.get("answerValueSet", "")
    is_open = kind == "open-choice"
    if kind in ("choice", "open-choice"):
        types = {one for one, _ in options} if options else {"Coding"}
        if is_open:
            types.add("string")
        if options is None and not value_set:
            types = set()
    else:
        types = {_TYPES[kind]} if kind in _TYPES else set()
    most = None if item.get("repeats") else 1
    limit = said.get(BASE + "questionnaire-maxOccurs")
    if limit and item.get("repeats"):
        most = limit[0]
    units = said.get(BASE + "questionnaire-unitValueSet")
    return Answer(
        most,
        said.get(BASE + "questionnaire-minOccurs", [0])[0],
        frozenset(types),
        is_open,
        options,
        _codes(value_set, form, terminology) if value_set else None,
        value_set,
        _codes(units[0], form, terminology) if units else None,
        frozenset(said.get(BASE + "questionnaire-referenceResource", ())),
        list(limits.of(item, said)),
    )


def _codes(value_set: str, form: Resource, terminology: Terminology) -> Callable[[], Codes]:
    if value_set[:1] != "#":
        return lambda: terminology.codes(value_set)
    inside = [one for one in form.get("contained", ()) if one.get("id") == value_set[1:]]
    return lambda: terminology.codes_of(inside[0] if inside else {})


def same(kind: str, value: Any, other: Any) -> bool:
    if kind == "Coding":
        return (value.get("system"), value.get("code")) == (other.get("system"), other.get("code"))
    if kind == "Reference":
        return bool(value.get("reference") == other.get("reference"))
    return bool(value == other)


def enabled(item: Resource, above: tuple[Any, ...]) -> bool:
    """
    Whether an item is to be answered.

    above       what contains it: the nearest group or answer first, the response last
    """
    conditions = item.get("enableWhen")
    if not conditions:
        return True
    said = (_holds(one, above) for one in conditions)
    return all(said) if item.get("enableBehavior") == "all" else any(said)


def _holds(condition: Resource, above: tuple[Any, ...]) -> bool:
    given = _given(condition.get("question"), above)
    kind, wanted = value_of(condition, "answer")
    if condition.get("operator") == "exists":
        return bool(given) is (wanted is True)
    compare = _COMPARED.get(condition.get("operator", ""))
    return compare is not None and any(_compared(compare, one, kind, wanted) for one in given)


def _compared(
    compare: Callable[[Any, Any], bool], answer: Resource, kind: str, wanted: Any
) -> bool:
    of_answer, value = value_of(answer)
    if of_answer != kind:
        return False
    if compare in (operator.eq, operator.ne):
        return same(kind, value, wanted) is (compare is operator.eq)
    try:
        if kind == "Quantity":
            if value.get("code") != wanted.get("code"):
                return False
            value, wanted = value["value"], wanted["value"]
        if isinstance(value, (int, float, Decimal)):
            return compare(Decimal(str(value)), Decimal(str(wanted)))
        return compare(value, wanted)
    except (KeyError, TypeError, ArithmeticError):
        return False


def _given(question: Any, above: tuple[Any, ...]) -> list[Any]:
    """The answers to a question in the nearest of what contains an item."""
    for one in above:
        found: list[Any] = []
        queue = [one]
        while queue:
            at = queue.pop()
            for item in at.get("item", ()):
                if item.get("linkId") == question:
                    found += [answer for answer in item.get("answer", ()) if value_of(answer)[0]]
                queue.append(item)
            queue += at.get("answer", ())
        if found:
            return found
    return []
