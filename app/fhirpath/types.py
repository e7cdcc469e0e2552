"""is, as and ofType: what type an item has; https://hl7.org/fhirpath/N1/#types."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from app.fhirpath.values import Node, type_info

if TYPE_CHECKING:
    from app.fhirpath.model import Model

SYSTEM: Final = frozenset(
    "Any Boolean String Integer Long Decimal Date DateTime Time Quantity".split()
)

Test = Callable[[Any], bool]


def known(model: Model, namespace: str, name: str) -> bool:
    """Whether a type of that name is anywhere; a namespace that is said settles where."""
    if namespace == "System":
        return True  # System.Patient is a type that nothing has
    if namespace == "FHIR":
        return name in model.types
    return not namespace and (name in SYSTEM or name in model.types)


def test(namespace: str, name: str, *, exact: bool) -> Test:
    """
    Whether an item is of a type or of one that specializes it.

    exact       whether a primitive must be of the very type, as as() and ofType() want it:
                a code is a string, yet is not read as one
    """

    def of_system(item: Any) -> bool:
        return item.__class__ is not Node and (name == "Any" or type_info(item).name == name)

    def of_fhir(item: Any) -> bool:
        if item.__class__ is not Node or item.type is None:
            return False
        if exact and item.type.primitive:
            return bool(item.type.name == name)
        return name in item.type.ancestors

    if namespace == "System":
        return of_system
    if namespace == "FHIR":
        return of_fhir
    return lambda item: of_fhir(item) or of_system(item)
