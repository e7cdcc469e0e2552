"""Cases of our own of every rule of profiling: definitions, resources, and what is valid."""

from variants import codes, forms, linked, slices, values
from variants.making import Group, Variant

__all__ = ["Group", "Variant", "groups"]


def groups() -> list[Group]:
    found = [one for room in (slices, values, codes, linked, forms) for one in room.groups()]
    assert len({one.name for one in found}) == len(found)
    return found
