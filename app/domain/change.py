"""The values that a door hands in: who calls, and what is to change; nothing here reads or writes."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import force_setattr

from app.domain.patch import Patch
from app.errors import Forbidden
from app.fhir import Resource
from app.settings import Shelf

Act = Literal[
    "transaction",
    "create",
    "update",
    "submit-screening",
    "work-off",
    "link",
    "unlink",
    "refer",
    "report",
    "check-referral",
    "record-event",
    "overdue",
    "follow",
]


class Caller(Struct, frozen=True):
    """
    Who calls, and what it may do.

    scopes      SMART system scopes (system/Task.cru) and acts (kinbridge/refer); None: everything
    """

    id: str
    scopes: frozenset[str] | None = None

    def may(self, permission: str, resource_type: str) -> bool:
        """Permission is one letter of SMART's cruds."""
        return self.scopes is None or any(
            permission in letters
            for name in (f"system/{resource_type}.", "system/*.")
            for scope in self.scopes
            if scope.startswith(name)
            for letters in [scope.removeprefix(name)]
        )

    def must(self, permission: str, resource_type: str) -> None:
        if not self.may(permission, resource_type):
            raise Forbidden(f"Ask for the scope system/{resource_type}.{permission}.")

    def acts(self, act: str) -> bool:
        return self.scopes is None or f"kinbridge/{act}" in self.scopes

    def must_act(self, act: str) -> None:
        if not self.acts(act):
            raise Forbidden(f"Ask for the scope kinbridge/{act}.")


Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class Entry(Struct, frozen=True):
    """
    One thing that came in.

    resource    what is to stand; for PATCH and DELETE only resourceType, and id where it is known
    id          "" until it has one
    condition   search (Type?…) that the target of PUT, PATCH or DELETE meets
    if_none_exist   the same, for POST: found, nothing is created
    if_match    versions of which one must stand; () any, (0,) none, None whatever stands
    patch       from the stored resource to the one that is to stand
    said        the resource as it was sent, before ids and references were settled
    at          where it stands in the Bundle that brought it, as FHIRPath; "" if it came alone
    type, name  of the resource, the name as Type/id; looked at so often that they are made once
    """

    method: Method
    resource: Resource
    id: str = ""
    full_url: str = ""
    if_match: tuple[int, ...] | None = None
    if_none_exist: str = ""
    condition: str = ""
    patch: Patch | None = None
    said: Resource = msgspec.field(default_factory=dict)
    at: str = ""
    type: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        kind = self.resource["resourceType"]
        force_setattr(self, "type", kind)
        force_setattr(self, "name", f"{kind}/{self.id}")

    def meets(self, version: int) -> bool:
        """Whether what stands, 0 where nothing does, is what it says must stand."""
        if self.if_match is None:
            return True
        return version in self.if_match if self.if_match else version > 0


class Change(Struct, frozen=True):
    """
    What a door hands in.

    siblings    entries of each child's report, where several are sent in one act
    said        what an operation says beside its entries
    base        the shelf's FHIR base URL, as partners reach it
    nonce       chance, for the ids of what is new
    long        whether it is so large that others would wait while it is looked at and planned
    plain       whether the JSON that its resources stood in was plain, as Definitions.shape has it
    """

    shelf: Shelf
    caller: Caller
    act: Act
    entries: tuple[Entry, ...]
    base: str
    nonce: str
    siblings: tuple[tuple[Entry, ...], ...] = ()
    said: Any = None
    long: bool = False
    plain: bool = False

    @property
    def all_entries(self) -> tuple[Entry, ...]:
        return (*self.entries, *(one for entries in self.siblings for one in entries))
