"""The operators + - * / div mod & and the functions of mathematics."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from decimal import Context as Digits
from typing import TYPE_CHECKING, Any, Final

from app.fhirpath import quantity, temporal
from app.fhirpath.equality import number
from app.fhirpath.refusals import EvaluationError
from app.fhirpath.registry import function
from app.fhirpath.temporal import Temporal
from app.fhirpath.values import Quantity, bounded, single, text, whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.fhirpath.context import Context

# What a quotient or a root that does not end is cut to.
_SHOWN: Final = Digits(prec=28, rounding=ROUND_HALF_UP, traps=[])
_MAX_WHOLE: Final = 30  # digits before the point of what can become a whole number
_MAX_PLACES: Final = 100


def _decimal(value: Decimal) -> list[Any]:
    return [value] if value.is_finite() else []


def _operands(left: list[Any], right: list[Any], operator: str) -> tuple[Any, Any] | None:
    mine = single(left, f"The left side of {operator}")
    yours = single(right, f"The right side of {operator}")
    return None if mine is None or yours is None else (mine, yours)


def _mismatch(operator: str) -> EvaluationError:
    return EvaluationError(f"The operator {operator} does not take these types together.")


def plus(left: list[Any], right: list[Any]) -> list[Any]:
    found = _operands(left, right, "+")
    if found is None:
        return []
    mine, yours = found
    if number(mine) and number(yours):
        return _sum(mine, yours, 1)
    if isinstance(mine, str) and isinstance(yours, str):
        return bounded(mine + yours)
    return _moved(mine, yours, 1, "+")


def minus(left: list[Any], right: list[Any]) -> list[Any]:
    found = _operands(left, right, "-")
    if found is None:
        return []
    mine, yours = found
    if number(mine) and number(yours):
        return _sum(mine, yours, -1)
    return _moved(mine, yours, -1, "-")


def _sum(mine: Any, yours: Any, sign: int) -> list[Any]:
    if mine.__class__ is yours.__class__ is int:
        return bounded(mine + sign * yours)
    yours = Decimal(yours)
    return _decimal(quantity.CONTEXT.add(Decimal(mine), yours if sign > 0 else yours.copy_negate()))


def _moved(mine: Any, yours: Any, sign: int, operator: str) -> list[Any]:
    if isinstance(yours, Quantity):
        if isinstance(mine, Temporal):
            moved = temporal.add(mine, yours.value * sign, yours.word or yours.unit)
            return [] if moved is None else [moved]
        if isinstance(mine, Quantity):
            total = quantity.plus(mine, yours, sign)
            return [] if total is None else [total]
    raise _mismatch(operator)


def times(left: list[Any], right: list[Any]) -> list[Any]:
    found = _operands(left, right, "*")
    if found is None:
        return []
    mine, yours = found
    if number(mine) and number(yours):
        if mine.__class__ is yours.__class__ is int:
            return bounded(mine * yours)
        return _decimal(quantity.CONTEXT.multiply(Decimal(mine), Decimal(yours)))
    return _of_quantities(mine, yours, quantity.times, "*")


def divided(left: list[Any], right: list[Any]) -> list[Any]:
    found = _operands(left, right, "/")
    if found is None:
        return []
    mine, yours = found
    if number(mine) and number(yours):
        return [] if yours == 0 else _decimal(_SHOWN.divide(Decimal(mine), Decimal(yours)))
    return _of_quantities(mine, yours, quantity.over, "/")


def _of_quantities(
    mine: Any,
    yours: Any,
    reckon: Callable[[Quantity, Quantity], Quantity | None],
    operator: str,
) -> list[Any]:
    one = Quantity(Decimal(mine), "1") if number(mine) else mine
    other = Quantity(Decimal(yours), "1") if number(yours) else yours
    if not isinstance(one, Quantity) or not isinstance(other, Quantity):
        raise _mismatch(operator)
    result = reckon(one, other)
    return [] if result is None else [result]


def _numbers(left: list[Any], right: list[Any], operator: str) -> tuple[Any, Any] | None:
    found = _operands(left, right, operator)
    if found is not None and not (number(found[0]) and number(found[1])):
        raise _mismatch(operator)
    return found if found is None or found[1] != 0 else None


def div(left: list[Any], right: list[Any]) -> list[Any]:
    found = _numbers(left, right, "div")
    if found is None:
        return []
    mine, yours = found
    if mine.__class__ is yours.__class__ is int:
        quotient = abs(mine) // abs(yours)
        return bounded(quotient if (mine < 0) == (yours < 0) else -quotient)
    result = quantity.CONTEXT.divide_int(Decimal(mine), Decimal(yours))
    return _whole(result)


def mod(left: list[Any], right: list[Any]) -> list[Any]:
    found = _numbers(left, right, "mod")
    if found is None:
        return []
    mine, yours = found
    result = quantity.CONTEXT.remainder(Decimal(mine), Decimal(yours))
    if mine.__class__ is yours.__class__ is int:
        return _whole(result)
    return _decimal(result)


def _whole(value: Decimal) -> list[Any]:
    if not value.is_finite() or value.adjusted() > _MAX_WHOLE:
        return []
    return bounded(int(value))


def joined(left: list[Any], right: list[Any]) -> list[Any]:
    mine = text(left, "The left side of &")
    yours = text(right, "The right side of &")
    return bounded((mine or "") + (yours or ""))


def negative(items: list[Any]) -> list[Any]:
    value = single(items, "The operator -")
    if value is None:
        return []
    if isinstance(value, Quantity):
        return [Quantity(value.value.copy_negate(), value.unit, ucum=value.ucum, word=value.word)]
    if not number(value):
        raise EvaluationError("The operator - takes a number.")
    return [value.copy_negate() if isinstance(value, Decimal) else -value]


def positive(items: list[Any]) -> list[Any]:
    value = single(items, "The operator +")
    if value is None:
        return []
    if not number(value) and not isinstance(value, Quantity):
        raise EvaluationError("The operator + takes a number.")
    return [value]


def _number(items: list[Any], what: str) -> Any:
    value = single(items, what)
    if value is not None and not number(value):
        raise EvaluationError(f"{what} takes a number.")
    return value


@function("abs")
def absolute(_: Context, items: list[Any]) -> list[Any]:
    value = single(items, "abs()")
    if isinstance(value, Quantity):
        return [Quantity(value.value.copy_abs(), value.unit, ucum=value.ucum, word=value.word)]
    value = _number(items, "abs()")
    if value is None:
        return []
    return [value.copy_abs() if isinstance(value, Decimal) else abs(value)]


def _rounded(items: list[Any], what: str, rounding: str | None) -> list[Any]:
    value = _number(items, what)
    if value is None or value.__class__ is int:
        return [] if value is None else [value]
    if value.adjusted() > _MAX_WHOLE:
        return []
    return _whole(value.to_integral_value(rounding))


@function("ceiling")
def ceiling(_: Context, items: list[Any]) -> list[Any]:
    return _rounded(items, "ceiling()", ROUND_CEILING)


@function("floor")
def floor(_: Context, items: list[Any]) -> list[Any]:
    return _rounded(items, "floor()", ROUND_FLOOR)


@function("truncate")
def truncate(_: Context, items: list[Any]) -> list[Any]:
    return _rounded(items, "truncate()", "ROUND_DOWN")


@function("round", 0, 1)
def round_(_: Context, items: list[Any], places: list[Any] | None = None) -> list[Any]:
    value = _number(items, "round()")
    digits = 0 if places is None else whole(places, "round()")
    if value is None or digits is None:
        return []
    if not 0 <= digits <= _MAX_PLACES:
        raise EvaluationError("round() takes a number of decimals that is not negative.")
    if value.__class__ is int or int(value.as_tuple().exponent) >= -digits:
        return [value]
    rounded = value.quantize(Decimal(1).scaleb(-digits), context=quantity.CONTEXT)
    return _whole(rounded) if places is None else _decimal(rounded)


def _real(items: list[Any], what: str, reckon: Callable[[Decimal], Decimal]) -> list[Any]:
    value = _number(items, what)
    if value is None:
        return []
    return _decimal(_ending(reckon(Decimal(value))))


def _ending(value: Decimal) -> Decimal:
    """A result without the noise of its last digits."""
    if not value.is_finite():
        return value
    value = _SHOWN.plus(value)
    return value.normalize(_SHOWN) if value else Decimal(0)


@function("sqrt")
def sqrt(_: Context, items: list[Any]) -> list[Any]:
    return _real(items, "sqrt()", quantity.CONTEXT.sqrt)


@function("exp")
def exp(_: Context, items: list[Any]) -> list[Any]:
    return _real(items, "exp()", quantity.CONTEXT.exp)


@function("ln")
def ln(_: Context, items: list[Any]) -> list[Any]:
    return _real(items, "ln()", quantity.CONTEXT.ln)


@function("log", 1, 1)
def log(_: Context, items: list[Any], base: list[Any]) -> list[Any]:
    to = _number(base, "log()")
    if to is None or to <= 0 or to == 1:
        return []
    divisor = quantity.CONTEXT.ln(Decimal(to))
    return _real(
        items, "log()", lambda value: quantity.CONTEXT.divide(quantity.CONTEXT.ln(value), divisor)
    )


@function("power", 1, 1)
def power(_: Context, items: list[Any], exponent: list[Any]) -> list[Any]:
    value, to = _number(items, "power()"), _number(exponent, "power()")
    if value is None or to is None:
        return []
    result = quantity.CONTEXT.power(Decimal(value), Decimal(to))
    if value.__class__ is to.__class__ is int and to >= 0:
        return _whole(result)
    return _decimal(_ending(result))
