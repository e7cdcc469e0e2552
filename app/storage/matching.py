"""Whether what the index keeps of a resource meets one value of a search, by the parameter's type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal, InvalidOperation
from fractions import Fraction
from typing import TYPE_CHECKING, Final, NamedTuple

from app.errors import Malformed
from app.fhirpath import ucum
from app.fhirpath.values import UCUM
from app.storage import escaping
from app.storage.entries import (
    ENTRY,
    FIELD,
    LONGEST,
    clean,
    fold,
    kind_of,
    leads_to_few,
    place,
    short,
)
from app.storage.spans import instants, microseconds

if TYPE_CHECKING:
    from app.storage.compiled import Atom

Fields = list[str]  # of one entry, after the atom's name
Match = Callable[[Fields], bool]

_EXACT: Final = Context(prec=2000)  # a text and an exponent of _LARGEST, and to spare
_LARGEST: Final = 400  # digits of an exponent; what is beyond is no measurement


class Facts(NamedTuple):
    """What the index keeps of one resource; the text is empty where it is long and was not read."""

    id: str
    updated: str
    text: str

    def has(self, name: str) -> bool:
        """Whether there is an entry of this name."""
        return f"{ENTRY}{name}{FIELD}" in self.text

    def of(self, name: str) -> Iterator[Fields]:
        """The entries of one name; the others are not taken apart, for there may be thousands."""
        text, mark = self.text, f"{ENTRY}{name}{FIELD}"
        end = text.find(mark)
        while end >= 0:
            start = end + len(mark)
            end = text.index(ENTRY, start)
            yield text[start:end].split(FIELD)
            end = text.find(mark, end)


@dataclass(frozen=True, slots=True)
class Way:
    """
    A range of the index within which all matches lie.

    term        the first; high: the one after the last, "" for the one term alone
    qualifier   system, type or version that they carry, None for any
    few         whether it is a range of those that have no time
    """

    term: str
    high: str = ""
    qualifier: str | None = None
    few: bool = False


@dataclass(frozen=True, slots=True)
class Alternative:
    """
    One value that a criterion takes, at one atom.

    name        of the entries that are looked at
    match       whether one of them meets it
    needle      a text that stands in the facts if and only if one does; "" where there is none
    way         None where the index does not lead there
    """

    name: str
    match: Match
    needle: str = ""
    way: Way | None = None


def token(atom: Atom, value: str, bound: Callable[[str, str], bool]) -> Alternative:
    """
    https://hl7.org/fhir/R4/search.html#token: code, system|code, |code, system|.

    bound       whether a system has a code, for elements whose system is the binding's
    """
    system, bar, code = escaping.parted(value)
    if not bar:
        return _equal(atom, short(clean(system)), None)
    system, code = short(clean(system)), short(clean(code))
    if atom.coded and system:

        def meant(fields: Fields) -> bool:
            return code in {"", fields[0]} and bound(system, fields[0])

        way = _equal(atom, code, None).way if code else None
        return Alternative(atom.name, meant, way=way)
    if not code:
        return Alternative(atom.name, lambda fields: fields[1] == system)
    return _equal(atom, code, system)


def way_to(atom: Atom, beside: str, value: str, qualifier: str | None) -> Way | None:
    """
    The range of one value; None where the index does not lead there.

    beside      what stands beside the atom's own entries, with its colon; "" for these
    """
    if not atom.led_to:
        return None
    few = leads_to_few(f"{atom.name[1:]}{beside}", value, qualifier)
    return Way(f"{atom.key}{beside}{FIELD}{value}", qualifier=qualifier, few=few)


def _equal(atom: Atom, value: str, qualifier: str | None) -> Alternative:
    def match(fields: Fields) -> bool:
        return fields[0] == value and qualifier in (None, fields[1])

    needle = f"{ENTRY}{atom.name}{FIELD}{value}{FIELD}"
    if qualifier is not None:
        needle += f"{qualifier}{'' if atom.placed else ENTRY}"
    way = way_to(atom, "", value, qualifier)
    return Alternative(
        atom.name, match, "" if atom.placed and qualifier is not None else needle, way
    )


def of_type(atom: Atom, value: str) -> Alternative:
    """Identifier.type and value: system|code|value."""
    if value.count("|") < 2:
        raise Malformed(":of-type takes system|code|value.")
    system, code, number = value.split("|", 2)
    return _beside(atom, "of-type", short(f"{clean(system)}|{clean(code)}|{clean(number)}"))


def identifier(atom: Atom, value: str) -> Alternative:
    """The identifier of a reference, as a token."""
    system, bar, code = escaping.parted(value)
    if not bar:
        return _beside(atom, "identifier", short(clean(system)))
    if code:
        return _beside(atom, "identifier", short(clean(code)), short(clean(system)))
    system = short(clean(system))
    return Alternative(f"{atom.name}:identifier", lambda fields: fields[1] == system)


def _beside(atom: Atom, what: str, value: str, qualifier: str | None = None) -> Alternative:
    name = f"{atom.name}:{what}"
    needle = f"{ENTRY}{name}{FIELD}{value}{FIELD}"
    if qualifier is not None:
        needle += f"{qualifier}{ENTRY}"
    way = way_to(atom, f":{what}", value, qualifier)
    return Alternative(
        name,
        lambda fields: fields[0] == value and qualifier in (None, fields[1]),
        needle,
        way,
    )


def label(atom: Atom, value: str) -> Alternative:
    """:text: what is written beside a code has words that begin so."""
    wanted = f" {fold(value)}"
    return Alternative(f"{atom.name}:text", lambda fields: wanted in f" {fields[0]}")


def reference(atom: Atom, value: str, kind: str, base: str) -> list[Alternative]:
    """
    https://hl7.org/fhir/R4/search.html#reference: id, Type/id, URL; a canonical with its version.

    kind        the type in the modifier, "" for none
    base        the shelf's own, whose absolute references are its relative ones
    """
    if value.startswith(f"{base}/"):
        value = value.removeprefix(f"{base}/")
    url, bar, version = value.partition("|")
    identity, found = place(clean(url))
    if bar:
        return [_equal(atom, short(clean(url)), short(clean(version)))]
    if not found and "/" not in url and ":" not in url:  # an id alone
        kinds = [kind] if kind else list(atom.targets)
        if not kinds:
            return _of_any_type(atom, identity)
        return [_equal(atom, identity, one) for one in kinds]
    of = kind_of(identity, found)
    if (kind and of and of != kind) or (atom.targets and of not in atom.targets):
        return []
    return [_equal(atom, identity, found or None)]


def _of_any_type(atom: Atom, identity: str) -> list[Alternative]:
    """An id alone: of those that refer to it some may have a time, and some not."""
    found = _equal(atom, identity, None)
    if found.way is None:
        return [found]
    few = Way(found.way.term, few=True)
    return [found, Alternative(found.name, found.match, found.needle, few)]


def uri(atom: Atom, value: str, modifier: str) -> Alternative:
    """https://hl7.org/fhir/R4/search.html#uri; :below and :above by the steps of the path."""
    value = clean(value)
    if modifier == "below":
        way = None
        if atom.led_to and len(value) <= 150:
            term = f"{atom.key}{FIELD}{value}"
            way = Way(term, f"{term}\U0010ffff", few=True)
        return Alternative(atom.name, lambda fields: _below(fields[0], value), way=way)
    if modifier == "above":
        return Alternative(atom.name, lambda fields: _below(value, fields[0]))
    return _equal(atom, short(value), None)


def _below(one: str, other: str) -> bool:
    if not one.startswith(other):
        return False
    rest = one[len(other) :]
    return not rest or other[-1:] in {"/", ":"} or rest[0] in "/:#?|"


def string(atom: Atom, value: str, modifier: str) -> Alternative:
    """https://hl7.org/fhir/R4/search.html#string."""
    if modifier == "exact":
        exact, folded = short(clean(value)), fold(value)
        way = None
        if atom.led_to:
            way = Way(f"{atom.key}{FIELD}{folded[:LONGEST]}", few=True)
        return Alternative(atom.name, lambda fields: fields[1] == exact, way=way)
    folded = fold(value)
    if modifier == "contains":
        return Alternative(atom.name, lambda fields: folded in fields[0])
    way = None
    if atom.led_to and folded:
        term = f"{atom.key}{FIELD}{folded[:LONGEST]}"
        way = Way(term, f"{term}\U0010ffff", few=True)
    needle = f"{ENTRY}{atom.name}{FIELD}{folded}"
    return Alternative(atom.name, lambda fields: fields[0].startswith(folded), needle, way)


def date(atom: Atom, value: str, now: datetime) -> Alternative:
    """https://hl7.org/fhir/R4/search.html#date and #prefix."""
    prefix, low, high = moments(value, now)

    def match(fields: Fields) -> bool:
        return compared(prefix, low, high, int(fields[0]), int(fields[1]))

    return Alternative(atom.name, match)


def moments(value: str, now: datetime) -> tuple[str, int, int]:
    """Prefix, first microsecond, the one after the last; `ap` is widened by a tenth of the distance."""
    prefix, text = escaping.prefixed(value)
    found = instants(text.replace(" ", "+"))
    if found is None:
        raise Malformed("A date is written as 2026, 2026-11, 2026-11-23 or 2026-11-23T09:15:00Z.")
    low, high = found
    if prefix == "ap":
        away = abs(microseconds(now) - low) // 10
        low, high = low - away, high + away
    return prefix, low, high


def compared(prefix: str, low: int, high: int, first: int, after: int) -> bool:
    """Whether [first, after) meets the search's [low, high)."""
    match prefix:
        case "eq":
            return low <= first and after <= high
        case "ne":
            return not (low <= first and after <= high)
        case "gt":
            return after > high
        case "lt":
            return first < low
        case "ge":
            return after > high or (low <= first and after <= high)
        case "le":
            return first < low or (low <= first and after <= high)
        case "sa":
            return first >= high
        case "eb":
            return after <= low
        case _:
            return first < high and after > low


def number(atom: Atom, value: str) -> Alternative:
    """https://hl7.org/fhir/R4/search.html#number: 100 is what rounds to it, 1e2 too."""
    return Alternative(atom.name, _amount(value))


def quantity(atom: Atom, value: str) -> Alternative:
    """https://hl7.org/fhir/R4/search.html#quantity: number, number|system|code, number||code."""
    parts = [escaping.unescaped(one) for one in escaping.split(value, "|")]
    amount, system, code = (clean(one) for one in [*parts, "", ""][:3])
    match = _amount(amount)
    if not system and not code:
        return Alternative(atom.name, match)
    unit = _unit(code) if system == UCUM else None

    def meant(fields: Fields) -> bool:
        if system and fields[2] != system:
            return False
        if code in {"", fields[3]} or (not system and fields[4] == code):
            return match(fields)
        return unit is not None and _converted(fields, unit, match)

    return Alternative(atom.name, meant)


def _unit(code: str) -> ucum.Unit | None:
    try:
        return ucum.unit(code)
    except (ValueError, ArithmeticError):
        return None


def _converted(fields: Fields, wanted: ucum.Unit, match: Match) -> bool:
    """The amount in the unit that is searched for, where the two measure the same."""
    unit = _unit(fields[3])
    if unit is None or unit.dimension != wanted.dimension or "Infinity" in fields[0] + fields[1]:
        return False
    amounts = [Decimal(text) for text in fields[:2]]
    if any(abs(one.adjusted()) > _LARGEST for one in amounts):
        return False  # stored before it was refused: written out it fills the memory
    found = [
        _decimal(ucum.amount(amount, unit) / wanted.factor - wanted.offset) for amount in amounts
    ]
    return match([str(value) for value in found])


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


def _amount(value: str) -> Match:  # noqa: C901 — a table of prefixes
    prefix, text = escaping.prefixed(value)
    wanted = _number(text)
    half = Decimal((0, (5,), int(wanted.as_tuple().exponent) - 1))
    low, high = _EXACT.subtract(wanted, half), _EXACT.add(wanted, half)
    if prefix == "ap":
        low, high = wanted - abs(wanted) / 10, wanted + abs(wanted) / 10

    def match(fields: Fields) -> bool:
        least, most = Decimal(fields[0]), Decimal(fields[1])
        match prefix:
            case "eq":
                return low <= least and most < high
            case "ne":
                return not (low <= least and most < high)
            case "gt":
                return most > wanted
            case "lt":
                return least < wanted
            case "ge":
                return most >= wanted
            case "le":
                return least <= wanted
            case "sa":
                return least > wanted
            case "eb":
                return most < wanted
            case _:
                return least <= high and most >= low

    return match


def _number(text: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite() or abs(found.adjusted()) > _LARGEST or len(text) > _LARGEST:
        raise Malformed("A number is written as 5.4, -3 or 1e2.")
    return found
