"""What a planner has before it, and how what came in gets ids and plain references."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from app import fhir
from app.conformance import Definitions
from app.conformance.subset import is_subset
from app.domain.change import Change, Entry
from app.domain.loaded import Loaded, NotLoaded, Want
from app.domain.mappings import Mappings
from app.domain.plan import Receipt, Stored, derive, same
from app.domain.whom import attested, spoken_of
from app.errors import (
    Conflict,
    Forbidden,
    Invalid,
    Issue,
    Malformed,
    Refusal,
    Stale,
)
from app.fhir import Resource, listed
from app.settings import Settings, Shelf

_CHANCE_BYTES: Final = 10
_FEW: Final = 8  # entries that are looked through one after the other
_T = TypeVar("_T")
_R = TypeVar("_R")


class Case(Struct, frozen=True):
    """
    One change, what was read for it, and what never changes.

    entries     what came in, each with its id and its references as Type/id
    order       the name that each entry of the change has come to, in their order
    key         the service's secret, for ids
    """

    change: Change
    loaded: Loaded
    settings: Settings
    mappings: Mappings
    definitions: Definitions
    key: bytes
    now: datetime
    entries: tuple[Entry, ...] = ()
    order: tuple[str, ...] = ()

    @property
    def shelf(self) -> Shelf:
        return self.change.shelf

    @property
    def came(self) -> tuple[Entry, ...]:
        """What came in, settled or not yet."""
        return self.entries or self.change.all_entries

    def on(self, shelf: Shelf) -> Case:
        """The case as it is seen on this shelf: on another than the caller's by what stands there."""
        if shelf == self.shelf:
            return self
        return replace(self, change=replace(self.change, shelf=shelf), entries=())

    def arriving(self, name: str) -> Resource | None:
        """What came in under this name."""
        return self._said_of(name) or None

    def find(self, name: str) -> Resource | None:
        """What came in under this name, whatever version it names, else what stands on the shelf."""
        name = fhir.versionless(name)
        came = self._said_of(name)
        if came is not None:
            return came or None
        return self.loaded.standing(self.shelf.key, name)

    def _said_of(self, name: str) -> Resource | None:
        """What came in under this name; {} where it is deleted."""
        if len(self.entries) > _FEW:
            once = self.loaded.once
            return once("arriving", str(id(self.entries)), _named, self.entries)[1].get(name)
        return next((_said(one) for one in self.entries if fhir.name(one.resource) == name), None)

    def id(self, *parts: str) -> str:
        """
        An id for something new: 12 hexadecimal digits of the time, milliseconds since 1970, and 20 of chance.

        What comes together lies together in every index; docs/decisions/0092. Nothing is ever derived
        again from what chance made, so a quicker hash than derive's will do.
        """
        said = "\x1f".join((self.shelf.key, self.change.nonce, *parts)).encode()
        chance = hashlib.blake2b(said, key=self.key, digest_size=_CHANCE_BYTES).hexdigest()
        return f"{int(self.now.timestamp() * 1000):012x}{chance}"

    def receipt(self, entry: Entry, result: str, *, anew: bool = True) -> Receipt:
        """
        The mark by which a repetition of this message is known.

        Its key is the sender's own identifier, else the content; of two people in the same words there are two,
        and of what was attested anew, where no identifier says that it is the same.

        anew        whether that makes another of it
        """
        resource = entry.said
        own = [one for one in listed(resource.get("identifier")) if one.get("value")]
        words = fhir.encode(said_of(resource)) + spoken_of(resource, self.came)
        if anew and not own and (entry.type == "ServiceRequest" or entry.method == "POST"):
            words += attested(self.came)
        digest = hashlib.sha256(words).hexdigest()
        named = f"{own[0].get('system', '')}|{own[0]['value']}" if own else digest
        key = derive(self.key, "receipt", resource["resourceType"], named)
        return Receipt(self.shelf.key, key, derive(self.key, digest), result)

    def repeated(self, entry: Entry) -> str | None:
        """
        What an earlier message of the same identifier became; None where there was none.

        raises      Conflict: the identifier is known and the content is another
        """
        mark = self.receipt(entry, "")
        before = self.loaded.receipt(self.shelf.key, mark.key)
        if before is None:
            return None
        if before.digest != mark.digest:
            raise Conflict(
                "Another message with this identifier was taken in already, and it says something"
                " else. Send a new identifier, or the content as it was.",
                expression=f"{entry.type}.identifier",
            )
        return before.result


def _named(entries: tuple[Entry, ...]) -> tuple[tuple[Entry, ...], dict[str, Resource]]:
    """The first resource of each name; with the entries, so that their identity stays theirs."""
    found: dict[str, Resource] = {}
    for one in entries:
        found.setdefault(fhir.name(one.resource), _said(one))
    return entries, found


def _said(entry: Entry) -> Resource:
    return {} if entry.method == "DELETE" else entry.resource


def shaped(definitions: Definitions, entry: Entry, *, known_plain: bool = False) -> None:
    """
    The resource has the shape of its type.

    known_plain     as Definitions.shape
    raises      Malformed: what no door takes, each place named; DESIGN.md, "What is refused"
                Invalid: it says of itself that it is a part
    """
    found = definitions.shape(entry.resource, known_plain=known_plain)
    if found and entry.at:
        cut = len(entry.type)
        found = [replace(one, expression=entry.at + one.expression[cut:]) for one in found]
    if found:
        raise Malformed(issues=tuple(found))
    if is_subset(entry.resource):
        text = (
            "This is tagged SUBSETTED: stored, it would delete what it leaves out. Send it whole."
        )
        raise Invalid(text, expression=f"{entry.at or entry.type}.meta.tag")


def said_of(resource: Resource) -> Resource:
    """What a message says, whatever its ids; a urn is another each time it is sent."""
    ours = {"id", "meta", "text"}
    said = {name: value for name, value in resource.items() if name not in ours}
    named: Resource = fhir.renamed(said, lambda one: "urn" if one.startswith("urn:") else one)
    return named


def at_once(step: Callable[[_T], _R], things: Iterable[_T]) -> list[_R]:
    """
    The step for each; what they need to see is announced for all of them at once.

    raises      NotLoaded, Refusal: as the step
    """
    made: list[_R] = []
    wants: set[Want] = set()
    for one in things:
        try:
            made.append(step(one))
        except NotLoaded as asked:
            wants |= asked.wants
    if wants:
        raise NotLoaded(frozenset(wants))
    return made


def blamed(entry: Entry, step: Callable[..., _R], *arguments: Any) -> _R:
    """The step; its refusal names the entry of the Bundle that is at fault."""
    try:
        return step(*arguments)
    except Refusal as refused:
        if entry.at:
            refused.issues = tuple(_within(one, entry) for one in refused.issues)
        raise


def _within(issue: Issue, entry: Entry) -> Issue:
    first, dot, rest = issue.expression.partition(".")
    if first not in {entry.type, "Parameters", ""}:
        return issue
    at = entry.at if first else entry.at.removesuffix(".resource")
    return replace(issue, expression=at + dot + rest)


def conditions(case: Case) -> set[Want]:
    """What stands that the entries name, by a condition or by id."""
    shelf = case.shelf.key
    wants = set()
    for entry in case.change.entries:
        if said := entry.if_none_exist or entry.condition:
            wants.add(Want("search", shelf, said))
        elif entry.id and entry.method != "POST":
            wants.add(Want("resource", shelf, entry.name))
    return wants


def guarded(case: Case, entry: Entry) -> Stored | None:
    """
    What stands there, if this may be written over it.

    raises      Stale: another version stands than the caller has seen
                Forbidden: it is a copy of what somebody else said
    """
    stored = case.loaded.resource(case.shelf.key, entry.name)
    stands = stored.version if stored and stored.stands else 0
    if not entry.meets(stands):
        if entry.if_match == (0,):
            raise Stale("A resource stands here already; read it, and update it with If-Match.")
        raise Stale(
            "The resource has changed since; read it again." if stands else "Nothing stands here."
        )
    gone = entry.type == "Task" and entry.method == "DELETE"  # a sent referral, refused as such
    copied = stored is not None and stored.exchange and not gone
    if (
        stored
        and copied
        and (entry.method == "DELETE" or not same(stored.resource, entry.resource))
    ):
        raise Forbidden("This is a copy of what was sent; only its sender can correct it.")
    return stored
