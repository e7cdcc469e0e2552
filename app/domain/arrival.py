"""How what came in gets ids and plain references."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from msgspec.structs import replace

from app import fhir
from app.domain.case import Case, at_once, blamed, conditions, shaped
from app.domain.change import Entry
from app.domain.loaded import Loaded, Moved, Want
from app.domain.naming import Names
from app.domain.plan import derive
from app.domain.whom import labels
from app.errors import Conflict, Gone, Invalid, Malformed, NotFound, Stale
from app.fhir import Resource

# messages and questions, and by what they belong to a referral
_SAID: Final = {
    "Communication": frozenset({"about", "basedOn", "inResponseTo", "partOf"}),
    "Task": frozenset({"partOf"}),
}


def arrived(case: Case) -> Case:
    """
    The case with its entries resolved: every entry has an id, every reference is Type/id.

    raises      NotLoaded: conditions and patches are about what stands
                Conflict: what no resource meets has the id of one that stands
                Moved: what met a condition does not
                Malformed: a urn that no entry carries, two entries for one resource
                Stale: a condition, or a conditional reference, that not one resource meets
                NotFound, Gone: a patch of nothing, or of what was deleted
    source      https://hl7.org/fhir/R4/http.html#trules
    """
    case.loaded.announce(conditions(case))
    names, numbered = Names(case.change, gone=_gone(case)), _numbered(case)
    entries: list[tuple[Entry, str, bool]] = []
    written: set[str] = set()
    new: dict[Want, Any] = {}
    again: list[str] = []  # what stands there where the message comes again
    for position, entry in enumerate(case.change.entries):
        identity = _found(case, names, entry)
        known = bool(identity)
        derived = numbered[position] if numbered and not (known or entry.id) else ""
        identity = identity or entry.id or derived or case.id("entry", str(position))
        name = f"{entry.type}/{identity}"
        names.add(entry, name)
        if known and entry.if_none_exist:
            continue
        if name in written:
            text = "Two entries write the same resource; each may stand once."
            raise Malformed(text, expression=entry.at.removesuffix(".resource"))
        written.add(name)
        entries.append((entry, identity, known))
        if derived:
            again.append(name)
        elif not (known or entry.id):  # chance made this id: nothing can stand there
            new |= _nothing(case.shelf.key, name)
    _alone(names, entries)
    case.loaded.expect(case.shelf.key, again)
    for name in again:
        if case.loaded.resource(case.shelf.key, name) is None:
            new |= _nothing(case.shelf.key, name)

    def resolved(one: tuple[Entry, str, bool]) -> Entry:
        return blamed(one[0], _resolved, case, names, *one)

    settled = at_once(resolved, entries)
    return Case(
        case.change,
        Loaded({**case.loaded.seen, **new}),
        case.settings,
        case.mappings,
        case.definitions,
        case.key,
        case.now,
        tuple(settled),
        tuple(names.order),
    )


def _alone(names: Names, entries: list[tuple[Entry, str, bool]]) -> None:
    """Raises Malformed: as Names.alone, of what a condition makes."""
    for entry, identity, known in entries:
        if not known and _sought(entry):
            names.alone(entry, f"{entry.type}/{identity}")


def _gone(case: Case) -> frozenset[str]:
    """What the change deletes."""
    deleted = [one for one in case.change.entries if one.method == "DELETE"]
    return frozenset(f"{one.type}/{one.id or blamed(one, _met, case, one)}" for one in deleted)


def _numbered(case: Case) -> list[str]:
    """
    An id for each entry of a message, the same whenever that comes; [] where chance gives them.

    Its sender is told these ids, and what it says of them later has to find them, though a backup from before
    was restored and the message came again; docs/decisions/0071.
    """
    entries, sending = case.change.entries, _sending(case)
    if not sending or all(one.id for one in entries):
        return []
    marks = [case.receipt(replace(one, said=one.resource), "") for one in sending]
    about = [part for mark in marks for part in (mark.key, mark.digest)]
    made = [derive(case.key, "entry", case.shelf.key, *about, one) for one in labels(entries)]
    return [
        "" if _is_said(case, one, identity) else identity
        for one, identity in zip(entries, made, strict=True)
    ]


def _sending(case: Case) -> list[Entry]:
    """The requests of an operation; the one Task by which a transaction may send one; a word on one that was sent."""
    change = case.change
    if change.act in {"refer", "report"}:
        return [one for one in change.entries if one.type == "ServiceRequest"]
    if change.act == "create":
        return [
            one
            for one in change.entries
            if one.type in _SAID and not one.if_none_exist and _SAID[one.type] & one.resource.keys()
        ]
    if change.act != "transaction" or case.shelf.role != "source":
        return []
    tasks = [
        one
        for one in change.entries
        if one.type == "Task"
        and one.method in {"POST", "PUT"}
        and one.resource.get("status") in {"ready", "requested"}
        and "focus" in one.resource
    ]
    return tasks if len(tasks) == 1 else []


def _is_said(case: Case, entry: Entry, identity: str) -> bool:
    """Whether a Task or a message that is created was created before: it comes again, and is no update of that one."""
    if entry.type not in _SAID or entry.method != "POST":
        return False
    return case.loaded.resource(case.shelf.key, f"{entry.type}/{identity}") is not None


def _nothing(shelf: str, name: str) -> dict[Want, Any]:
    """What the database would say of a resource that cannot stand there."""
    return {
        Want("resource", shelf, name): None,
        Want("exchange", shelf, name): None,
        Want("waiting", shelf, name): (),
    }


def _sought(entry: Entry) -> str:
    """The condition by which an entry makes a resource where nothing meets it; "" for none."""
    return entry.if_none_exist or (entry.condition if entry.method == "PUT" else "")


def _found(case: Case, names: Names, entry: Entry) -> str:
    """The id of what an entry's condition names, "" where nothing does or that goes in the same change."""
    said = _sought(entry)
    if met := names.conditions.get((entry.type, said)):
        return met.split("/", 1)[1]
    identity = blamed(entry, _met, case, entry)
    return "" if said and f"{entry.type}/{identity}" in names.gone else identity


def _met(case: Case, entry: Entry) -> str:
    """The id of the one resource that meets the entry's condition; "" where none does."""
    condition = entry.if_none_exist or entry.condition
    if not condition:
        return ""
    found = case.loaded.meeting(case.shelf.key, condition)
    if len(found) > 1:
        raise Stale("Several resources meet the condition; it must be met by one.")
    if found and entry.id and found[0] != f"{entry.type}/{entry.id}":
        text = "The id in the body is not that of the resource which meets the condition."
        raise Malformed(text, expression=f"{entry.type}.id")
    if not found and entry.method == "PATCH":
        raise NotFound("Nothing meets the condition.")
    return found[0].split("/", 1)[1] if found else ""


def _resolved(case: Case, names: Names, entry: Entry, identity: str, met: bool) -> Entry:  # noqa: FBT001 — one of three that stand together
    if met:  # deleted since, it would be made again beside what another has made instead
        stored = case.loaded.resource(case.shelf.key, f"{entry.type}/{identity}")
        if stored is None or not stored.stands:
            raise Moved
    elif entry.condition and entry.id:
        _free(case, entry)
    if entry.method == "PATCH":
        entry = _patched(case, replace(entry, id=identity))

    resource: Resource = {**_plain(case, names, entry), "id": identity}
    return Entry(
        entry.method,
        resource,
        identity,
        entry.full_url,
        entry.if_match,
        entry.if_none_exist,
        "" if met else entry.condition,
        entry.patch,
        said=entry.resource,
        at=entry.at,
    )


def _free(case: Case, entry: Entry) -> None:
    """
    Raises Conflict: the resource that a conditional update would make has an id that is another's.

    source      https://hl7.org/fhir/R5/http.html#cond-update; R4 leaves it open
    """
    stored = case.loaded.resource(case.shelf.key, entry.name)
    if stored is not None and stored.stands:
        text = "What stands under this id does not meet the condition; leave the id out, or update by it."
        raise Conflict(text, expression=f"{entry.type}.id")


def _plain(case: Case, names: Names, entry: Entry) -> Resource:
    """The entry's resource with its references as they are stored."""
    if not (names.urls or names.unnamed) and fhir.is_plain(entry.resource):
        return entry.resource

    def plain(target: str) -> str:
        return names.plain(entry, target, case.loaded)

    link = partial(names.link, entry) if names.urls else None
    made: Resource = fhir.renamed(entry.resource, plain, link)
    return made


def _patched(case: Case, entry: Entry) -> Entry:
    """The patch as the PUT of what it makes; of two patches at once the second sees the first's."""
    stored = case.loaded.resource(case.shelf.key, entry.name)
    if stored is None or entry.patch is None:
        raise NotFound("There is nothing to patch.")
    if not stored.stands:
        raise Gone("It was deleted, so there is nothing to patch; an update makes it stand again.")
    if not entry.meets(stored.version):
        raise Stale("The resource has changed since; read it again.")
    made = entry.patch(stored.resource)
    if (made.get("resourceType"), made.get("id")) != (entry.type, entry.id):
        raise Invalid("A patch does not change type and id.", expression=f"{entry.type}.id")
    entry = replace(entry, method="PUT", resource=made)
    shaped(case.definitions, entry)
    return entry
