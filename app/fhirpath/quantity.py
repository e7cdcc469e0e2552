"""Quantities compared and reckoned with, across UCUM units."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from typing import Final

from app.fhirpath import ucum
from app.fhirpath.refusals import EvaluationError
from app.fhirpath.values import Quantity

# Wide enough for what is measured, bounded against what is made up.
CONTEXT: Final = Context(prec=40, rounding=ROUND_HALF_UP, Emax=500, Emin=-500, traps=[])


def comparable(left: Quantity, right: Quantity) -> bool:
    """Whether both measure the same, so that one can be converted to the other."""
    if _same(left, right):
        return True
    one, other = _unit(left), _unit(right)
    return one is not None and other is not None and one.dimension == other.dimension


def compare(left: Quantity, right: Quantity) -> int | None:
    """-1, 0 or 1; None where they do not measure the same."""
    if _same(left, right):
        return (left.value > right.value) - (left.value < right.value)
    one, other = _unit(left), _unit(right)
    if one is None or other is None or one.dimension != other.dimension:
        return None
    mine, yours = ucum.amount(left.value, one), ucum.amount(right.value, other)
    return (mine > yours) - (mine < yours)


def equivalent(left: Quantity, right: Quantity) -> bool:
    """Equal in the coarser unit, to the precision of the less precise."""
    one, other = _unit(left, calendar=True), _unit(right, calendar=True)
    if one is None or other is None or one.dimension != other.dimension:
        return _same(left, right) and same_to_precision(left.value, right.value)
    if one.factor < other.factor:
        left, right, one, other = right, left, other, one
    converted = _decimal(ucum.amount(right.value, other) / one.factor - one.offset)
    return same_to_precision(left.value, converted)


def same_to_precision(left: Decimal, right: Decimal) -> bool:
    places = min(_places(left), _places(right))
    step = Decimal(1).scaleb(-places)
    mine = left.quantize(step, context=CONTEXT)
    return mine == right.quantize(step, context=CONTEXT)


def _places(number: Decimal) -> int:
    if number == number.to_integral_value():
        return 0
    return max(0, -int(number.normalize(CONTEXT).as_tuple().exponent))


def times(left: Quantity, right: Quantity) -> Quantity | None:
    return _combined(left, right, 1)


def over(left: Quantity, right: Quantity) -> Quantity | None:
    return None if right.value == 0 else _combined(left, right, -1)


def _combined(left: Quantity, right: Quantity, sign: int) -> Quantity | None:
    one, other = _unit(left), _unit(right)
    if one is None or other is None:
        return None
    if other.dimension or other.factor != 1:
        unit = ucum.times(one, ucum.power(other, sign))
        amount = Fraction(left.value) * one.factor * (Fraction(right.value) * other.factor) ** sign
        return Quantity(_decimal(amount), ucum.written(unit.dimension))
    amount = Fraction(left.value) * Fraction(right.value) ** sign
    return Quantity(_decimal(amount), left.unit, ucum=left.ucum)


def plus(left: Quantity, right: Quantity, sign: int) -> Quantity | None:
    """The sum in the finer unit; None where they do not measure the same."""
    if _same(left, right):
        total = CONTEXT.add(left.value, right.value * sign)
        return Quantity(total, left.unit, ucum=left.ucum, word=left.word)
    one, other = _unit(left), _unit(right)
    if one is None or other is None or one.dimension != other.dimension:
        return None
    total_amount = Fraction(left.value) * one.factor + sign * Fraction(right.value) * other.factor
    finer, unit = (left, one) if one.factor < other.factor else (right, other)
    return Quantity(_decimal(total_amount / unit.factor), finer.unit)


def converted(value: Quantity, code: str) -> Quantity | None:
    """The same amount in another unit; None where that measures something else."""
    one, other = _unit(value), ucum.unit(code)
    if one is None or other is None or one.dimension != other.dimension:
        return None
    amount = ucum.amount(value.value, one) / other.factor - other.offset
    return Quantity(_decimal(amount), code)


def key(value: Quantity) -> tuple[object, ...]:
    """The same for equal quantities."""
    unit = _unit(value)
    if unit is None:
        return ("Quantity", value.value, value.unit)
    return ("Quantity", ucum.amount(value.value, unit), unit.dimension)


def _same(left: Quantity, right: Quantity) -> bool:
    return left.unit == right.unit and left.ucum == right.ucum


def _unit(value: Quantity, *, calendar: bool = False) -> ucum.Unit | None:
    if value.ucum:
        return ucum.unit(value.unit)
    # A calendar year is not UCUM's 365.25 days, yet equivalent to it.
    if calendar and value.unit in ("year", "month"):
        return ucum.unit("a" if value.unit == "year" else "mo")
    return None


def _decimal(amount: Fraction) -> Decimal:
    if abs(amount.numerator).bit_length() > 8192 or amount.denominator.bit_length() > 8192:
        raise EvaluationError("A quantity is out of every range.")
    found = CONTEXT.divide(Decimal(amount.numerator), Decimal(amount.denominator))
    return CONTEXT.normalize(found) if found.is_finite() and found != 0 else found
