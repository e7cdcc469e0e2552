"""What a resource contains, as if each stood by itself: a name of its own, the labels of its holder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from app import fhir
from app.fhir import Resource, listed

Find = Callable[[str], Resource | None]
_MARK: Final = "#"
# who somebody is and where to be reached, which is what no label is about
_PEOPLE: Final = frozenset({
    "Location", "Organization", "Practitioner", "PractitionerRole", "RelatedPerson",
})  # fmt: skip


def is_inside(name: str) -> bool:
    """Whether a name means something contained: Type/HolderType.holder#id, on no shelf."""
    return _MARK in name


def alone(resource: Resource) -> Resource:
    """
    The resource without what it contains; a reference to that has the name that `apart` finds.

    A name of that form that its sender wrote leads nowhere: nothing points into another's inside.
    source      https://hl7.org/fhir/R4/references.html#contained
    """
    bare = {name: value for name, value in resource.items() if name != "contained"}
    made: Resource = fhir.renamed(bare, _names(resource))
    return made


def inside(resource: Resource) -> list[Resource]:
    """
    What a resource contains, each as a resource of its own; two of one id are none.

    A record has no labels of its own there (dom-5): those of its holder are its.
    """
    rename = _names(resource)
    labels = listed((resource.get("meta") or {}).get("security"))
    made = []
    for one in _single(resource).values():
        held = [] if one["resourceType"] in _PEOPLE else labels
        own = listed((one.get("meta") or {}).get("security"))
        lone: Resource = fhir.renamed(one, rename)
        name = rename(_MARK + one["id"])
        lone = {**lone, "id": name.split("/", 1)[1]}
        made.append({**lone, "meta": {"security": [*held, *own]}} if held or own else lone)
    return made


def apart(find: Find) -> Find:
    """
    What stands under a name, with what is contained as resources of their own.

    find        Type/id to the resource as it stands
    """

    def found(name: str) -> Resource | None:
        if not is_inside(name):
            resource = find(name)
            return alone(resource) if resource else None
        held_by = find(holder(name)[0])
        return next((one for one in inside(held_by or {}) if fhir.name(one) == name), None)

    return found


def place(name: str, find: Find) -> tuple[str, str]:
    """Type/id of what stands on a shelf, and the path within it: where a name's resource is written."""
    if not is_inside(name):
        return name, ""
    held_by, key = holder(name)
    ids = [one.get("id") for one in listed((find(held_by) or {}).get("contained"))]
    return held_by, f".contained[{ids.index(key)}]" if key in ids else ""


def holder(name: str) -> tuple[str, str]:
    """Type/id of what contains it, and its id there."""
    about, _, key = name.partition("/")[2].partition(_MARK)
    return about.replace(".", "/", 1), key


def _single(resource: Resource) -> dict[str, Resource]:
    """{id: contained resource}, but for ids that stand twice."""
    held = [one for one in listed(resource.get("contained")) if one.get("id")]
    ids = [one["id"] for one in held]
    return {one["id"]: one for one in held if ids.count(one["id"]) == 1}


def _names(resource: Resource) -> Callable[[str], str]:
    kinds = {_MARK + key: one["resourceType"] for key, one in _single(resource).items()}

    def rename(target: str) -> str:
        if target == _MARK:
            return fhir.name(resource)
        if target in kinds:
            holder = f"{resource['resourceType']}.{resource['id']}"
            return f"{kinds[target]}/{holder}{target}"
        return _MARK + target if is_inside(target[1:]) else target

    return rename
