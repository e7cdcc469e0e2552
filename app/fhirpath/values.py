"""What an evaluation handles: elements that know where they stand, and FHIRPath's own values."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from app.fhirpath import temporal
from app.fhirpath.refusals import EvaluationError
from app.fhirpath.temporal import Temporal

if TYPE_CHECKING:
    from app.fhirpath.model import Type

UCUM: Final = "http://unitsofmeasure.org"
MAX_TEXT: Final = 1_000_000  # characters; an expression that doubles a text ends here
_LARGEST: Final = 2**63 - 1
_MAX_EXPONENT: Final = 400  # beyond it a decimal is a trap, not a measurement


class Node:
    """
    An element of a resource, or a resource.

    value       its JSON; None where a primitive has only extensions
    type        its FHIR type, None where the model does not know the element
    parent      the node above, None at the top
    name        the element's name under its parent
    index       position where the element repeats, else -1
    sibling     the JSON beside a primitive that carries its id and extensions, or None
    """

    __slots__ = ("index", "name", "parent", "sibling", "type", "value")

    def __init__(  # noqa: PLR0913 — made once for each step of each path: keywords cost
        self,
        value: Any,
        type: Type | None,  # noqa: A002 — FHIR's word
        parent: Node | None = None,
        name: str = "",
        index: int = -1,
        sibling: Any = None,
    ) -> None:
        self.value = value
        self.type = type
        self.parent = parent
        self.name = name
        self.index = index
        self.sibling = sibling

    @property
    def location(self) -> str:
        steps: list[str] = []
        node: Node | None = self
        while node is not None:
            steps.append(node.name if node.index < 0 else f"{node.name}[{node.index}]")
            node = node.parent
        return ".".join(reversed(steps))


class Quantity:
    """
    A number with a unit.

    unit        a calendar word (year, month), a UCUM code, or a unit of another system
    ucum        whether the unit is a UCUM code
    word        the unit as it was written where that was a calendar word
    """

    __slots__ = ("ucum", "unit", "value", "word")

    def __init__(self, value: Decimal, unit: str, *, ucum: bool = True, word: str = "") -> None:
        self.value = value
        self.unit = unit
        self.ucum = ucum
        self.word = word

    def __str__(self) -> str:
        if self.word:
            return f"{plain(self.value)} {self.word}"
        return f"{plain(self.value)} '{self.unit}'"


# Calendar words and what they are in UCUM; a year and a month are no definite time.
CALENDAR: Final = {
    "week": "wk", "day": "d", "hour": "h", "minute": "min", "second": "s", "millisecond": "ms",
}  # fmt: skip
CALENDAR_WORDS: Final = frozenset(
    form for word in (*CALENDAR, "year", "month") for form in (word, word + "s")
)


def calendar_quantity(value: Decimal, word: str) -> Quantity:
    singular = word.removesuffix("s")
    if singular in CALENDAR:
        return Quantity(value, CALENDAR[singular], word=word)
    return Quantity(value, singular, ucum=False, word=word)


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """What type() answers."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Value:
    """
    One item of a result.

    value       plain Python: str, bool, int, Decimal, or the element's JSON; None where a
                primitive has only extensions
    type        FHIR.HumanName, System.String
    location    where it stands, as in Patient.name[0].given[1]; empty for what was computed
    """

    value: Any
    type: str
    location: str


def system(item: Any) -> Any:
    """
    The FHIRPath value of an item: a primitive's or a Quantity's, else the item itself.

    A primitive without a value is None.
    """
    if item.__class__ is not Node:
        return item
    value, kind = item.value, item.type
    if value.__class__ is str:
        name = kind.system if kind is not None else "String"
        if name in ("Date", "DateTime", "Time"):
            return temporal.parse(value, name) or value
        return value
    if value is None or value.__class__ is bool:
        return value
    if value.__class__ is int:
        return Decimal(value) if kind is not None and kind.system == "Decimal" else value
    if isinstance(value, Decimal):
        if abs(value.adjusted()) > _MAX_EXPONENT:
            raise EvaluationError("A number in the resource is out of every range.")
        return Decimal(value)  # how it was written is no matter here
    if value.__class__ is dict and kind is not None and "Quantity" in kind.ancestors:
        return _quantity(value) or item
    return item


def _quantity(value: Any) -> Quantity | None:
    number = value.get("value")
    if not isinstance(number, (int, Decimal)):
        return None
    number = Decimal(number)
    if abs(number.adjusted()) > _MAX_EXPONENT:
        raise EvaluationError("A number in the resource is out of every range.")
    code, unit = value.get("code"), value.get("unit")
    if value.get("system") == UCUM and isinstance(code, str):
        return Quantity(number, code)
    named = code if isinstance(code, str) else unit if isinstance(unit, str) else "1"
    return Quantity(number, named, ucum=named == "1")


def type_info(item: Any) -> TypeInfo:
    if item.__class__ is Node:
        return TypeInfo("FHIR", item.type.fhir if item.type is not None else "Element")
    return TypeInfo("System", _system_name(item))


_NAMES: Final = {bool: "Boolean", int: "Integer", Decimal: "Decimal", str: "String"}


def _system_name(item: Any) -> str:
    if isinstance(item, Temporal):
        return item.kind
    return _NAMES.get(item.__class__) or (
        "Quantity" if isinstance(item, Quantity) else "SimpleTypeInfo"
    )


def described(item: Any) -> Value:
    """An item as others may hold it."""
    info = type_info(item)
    name = f"{info.namespace}.{info.name}"
    if item.__class__ is Node:
        return Value(item.value, name, item.location)
    if isinstance(item, TypeInfo):
        return Value({"namespace": item.namespace, "name": item.name}, name, "")
    if isinstance(item, (Temporal, Quantity)):
        return Value(str(item), name, "")
    return Value(item, name, "")


def plain(number: Decimal) -> str:
    """A decimal without an exponent."""
    return format(number, "f")


def bounded(value: Any) -> list[Any]:
    """A computed value as a collection: empty where a whole number has overflowed."""
    if value.__class__ is int and not -_LARGEST <= value <= _LARGEST:
        return []
    if value.__class__ is str and len(value) > MAX_TEXT:
        raise EvaluationError("A text grows beyond what an evaluation may hold.")
    return [value]


def single(items: list[Any], what: str) -> Any:
    """The one item as a FHIRPath value, None for none."""
    if not items:
        return None
    if len(items) > 1:
        raise EvaluationError(f"{what} takes one item, and there are {len(items)}.")
    return system(items[0])


def text(items: list[Any], what: str) -> str | None:
    value = single(items, what)
    if value is None:
        return None
    if value.__class__ is not str:
        if isinstance(value, Temporal) and items[0].__class__ is Node:
            return str(items[0].value)  # a FHIR date is its text too
        raise EvaluationError(f"{what} takes a string.")
    return str(value)


def whole(items: list[Any], what: str) -> int | None:
    value = single(items, what)
    if value is None:
        return None
    if value.__class__ is not int:
        raise EvaluationError(f"{what} takes a whole number.")
    return int(value)


def truth(items: list[Any], what: str) -> bool | None:
    """
    A collection where a boolean is wanted: None for none, true for one item of another kind.

    source      https://hl7.org/fhirpath/N1/#singleton-evaluation-of-collections
    """
    if not items:
        return None
    if len(items) > 1:
        raise EvaluationError(f"{what} takes one boolean, and there are {len(items)} items.")
    item = items[0]
    if item.__class__ is Node:
        item = item.value
    return item if item.__class__ is bool else True
