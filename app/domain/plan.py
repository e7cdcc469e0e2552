"""The values that travel through the house: a change in, a plan out; nothing here reads or writes."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from app import fhir
from app.errors import Forbidden, Issue
from app.fhir import Resource
from app.settings import CANONICAL, Kind, Shelf

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
]


@dataclass(frozen=True, slots=True)
class Caller:
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

    def must_act(self, act: str) -> None:
        if self.scopes is not None and f"kinbridge/{act}" not in self.scopes:
            raise Forbidden(f"Ask for the scope kinbridge/{act}.")


Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One thing that came in.

    resource    what is to stand; for PATCH and DELETE only resourceType, and id where it is known
    id          "" until it has one
    condition   search (Type?…) that the target of PUT, PATCH or DELETE meets
    if_none_exist   the same, for POST: found, nothing is created
    if_match    version that must stand; 0: nothing may stand there
    patch       from the stored resource to the one that is to stand
    said        the resource as it was sent, before ids and references were settled
    at          where it stands in the Bundle that brought it, as FHIRPath; "" if it came alone
    """

    method: Method
    resource: Resource
    id: str = ""
    full_url: str = ""
    if_match: int | None = None
    if_none_exist: str = ""
    condition: str = ""
    patch: Callable[[Resource], Resource] | None = None
    said: Resource = field(default_factory=dict)
    at: str = ""

    @property
    def type(self) -> str:
        return str(self.resource["resourceType"])

    @property
    def name(self) -> str:
        return f"{self.type}/{self.id}"


@dataclass(frozen=True, slots=True)
class Change:
    """
    What a door hands in.

    siblings    entries of each child's report, where several are sent in one act
    said        what an operation says beside its entries
    base        the shelf's FHIR base URL, as partners reach it
    nonce       chance, for the ids of what is new; the same for each try of one request
    """

    shelf: Shelf
    caller: Caller
    act: Act
    entries: tuple[Entry, ...]
    base: str
    nonce: str
    siblings: tuple[tuple[Entry, ...], ...] = ()
    said: Any = None

    @property
    def all_entries(self) -> tuple[Entry, ...]:
        return (*self.entries, *(one for entries in self.siblings for one in entries))


@dataclass(frozen=True, slots=True)
class Stored:
    """
    The last version of a resource.

    resource    {} where that version is its deletion
    exchange    the one that it is part of
    updated     FHIR instant, "" where nobody looked
    facts       what the index keeps of it: for who replaces it, and means nothing here
    """

    resource: Resource
    version: int
    exchange: str = ""
    updated: str = ""
    facts: str = ""

    @property
    def stands(self) -> bool:
        return bool(self.resource)


@dataclass(frozen=True, slots=True)
class Terms:
    """
    What holds for one referral or report since it was sent.

    jurisdiction    whose rules say what its sender may learn
    mandated        the law obliges the one who reported
    wanted          the report asked to hear of its outcome
    override        the structural rule that was overridden with a typed reason
    track           of the case: investigation, alternative-response
    heard           the highest sequence number of the agency's events
    inboxes         {shelf: Task there} of those who learn more than the sender's shelf
    draft           Type/id of the draft that it was
    talk            {name on the sender's shelf: name on the agency's} of questions and messages
    """

    jurisdiction: str = ""
    mandated: bool = True
    wanted: bool = False
    override: str = ""
    track: str = ""
    heard: int = 0
    inboxes: dict[str, str] = field(default_factory=dict)
    draft: str = ""
    talk: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exchange:
    """
    One referral or report: the truth of which the Tasks on both shelves are projections.

    state       key of the event that the agency last recorded, mappings/outcomes.toml
    sequence    how many events have changed it
    copies      {name on the source shelf: name of its copy on the recipient's}
    due         UNIX seconds when an acknowledgement is overdue; 0: none is awaited
    version     guard
    """

    id: str
    kind: Kind
    source: str
    source_task: str
    source_request: str
    recipient: str
    recipient_task: str
    consent: str
    state: str
    sequence: int
    opened: str
    copies: dict[str, str]
    terms: Terms = Terms()
    due: float = 0.0
    version: int = 0


@dataclass(frozen=True, slots=True)
class Recorded:
    """
    One event that an agency said, once.

    key         what it is known by: the agency's identifier and sequence, else ours
    digest      of what was said
    standing    applied, or late: kept, and nothing was set back
    """

    exchange: str
    shelf: str
    key: str
    sequence: int
    event: str
    digest: str
    standing: Literal["applied", "late"]


@dataclass(frozen=True, slots=True)
class Purge:
    """
    Nothing of what a resource ever said is left; the put beside it is its tombstone.

    why     expunged: all of it; amended: its past versions, the present one is newer; withdrawn: what
            the agency was sent in error
    """

    shelf: str
    name: str
    exchange: str
    why: Literal["expunged", "amended", "withdrawn"] = "expunged"


@dataclass(frozen=True, slots=True)
class Receipt:
    """That this message was taken in: what it became, and a digest of it."""

    shelf: str
    key: str
    digest: str
    result: str


@dataclass(frozen=True, slots=True)
class Put:
    """
    A resource goes onto a shelf, or, with method DELETE, from it.

    expected    the version that it replaces, 0 for none
    method      how it came, for the history
    held        whether its planner has held it to the profiles that it claims
    origin      Type/id on the caller's shelf that it was copied from, where its exchange does not say
    """

    shelf: str
    resource: Resource
    expected: int
    exchange: str = ""
    method: Method = "PUT"
    held: bool = False
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Owed:
    """
    A push to the partner's own server of a shelf.

    order       pushes of one order go out one after the other
    versions    {Type/id: version} to push, first the one the others hang on
    """

    shelf: str
    order: str
    versions: dict[str, int]


@dataclass(frozen=True, slots=True)
class Accounted:
    """A row of the accounting of disclosures, 45 CFR 164.528(b)(2)."""

    exchange: str
    source: str
    recipient: str
    recipient_name: str
    subject: str
    purpose: str
    rule: str
    basis: tuple[str, ...]
    caller: str
    disclosed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """
    What maps nowhere yet, kept with its resource until somebody maps it.

    question    of an answer: instrument|question
    """

    source: str
    kind: Literal["question", "answer", "patient"]
    key: str
    question: str
    system: str
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Worklist:
    """What of one source waits, in place of what waited of it before."""

    shelf: str
    source: str
    waiting: tuple[Waiting, ...]


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one place of what came in; for the dry run."""

    at: str
    what: Literal["taken", "ignored", "unmapped", "refused"]
    why: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the door says after the commit: the names of what was written, in order, and findings."""

    names: tuple[str, ...]
    created: frozenset[str] = frozenset()
    issues: tuple[Issue, ...] = ()
    fates: tuple[Fate, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """
    Everything that one change does, or nothing of it.

    absent      shelf and search (Type?…) that nothing may meet when it is done
    """

    answer: Answer
    puts: tuple[Put, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    exchanges: tuple[Exchange, ...] = ()
    owed: tuple[Owed, ...] = ()
    accounted: tuple[Accounted, ...] = ()
    absent: tuple[tuple[str, str], ...] = ()
    recorded: tuple[Recorded, ...] = ()
    purges: tuple[Purge, ...] = ()
    worklist: tuple[Worklist, ...] = ()

    @property
    def shelves(self) -> frozenset[str]:
        """Those that it touches; the database shows its transaction no other."""
        return frozenset(
            {put.shelf for put in self.puts}
            | {mark.shelf for mark in self.receipts}
            | {shelf for step in self.exchanges for shelf in (step.source, step.recipient)}
            | {due.shelf for due in self.owed}
            | {row.source for row in self.accounted}
            | {row.shelf for row in self.recorded}
            | {row.shelf for row in self.purges}
            | {row.shelf for row in self.worklist}
        )


def together(plans: list[Plan], answer: Answer) -> Plan:
    """One plan of several; a resource that two of them put is put once."""
    puts = {(put.shelf, fhir.name(put.resource)): put for one in plans for put in one.puts}
    return Plan(
        answer,
        puts=tuple(puts.values()),
        receipts=tuple(mark for one in plans for mark in one.receipts),
        exchanges=tuple(step for one in plans for step in one.exchanges),
        owed=tuple(due for one in plans for due in one.owed),
        accounted=tuple(row for one in plans for row in one.accounted),
        recorded=tuple(row for one in plans for row in one.recorded),
        purges=tuple(row for one in plans for row in one.purges),
        worklist=tuple(row for one in plans for row in one.worklist),
    )


@dataclass(frozen=True, slots=True)
class Want:
    """
    What a planner asks to see.

    kind        resource (key: Type/id) | version (key: Type/id/_history/number; answers the resource)
                | receipt (key) | exchange (key: the Task's Type/id)
                | sent (key: the request's Type/id; answers its exchanges)
                | search (key: Type?…; answers the names of two that meet it)
                | recorded (key: exchange|key) | held (key: exchange; answers the names marked with it)
                | opened (key: exchange; answers it)
                | shared (key: exchange|Type/id; answers whether another exchange sent it too)
                | crosswalk (key: what is mapped; answers the target, or None)
                | waiting (key: Type/id of a source; answers what of it waits)
                | awaiting (key: what is waited for; answers the names of the sources that wait)
    """

    kind: Literal[
        "resource",
        "version",
        "receipt",
        "exchange",
        "sent",
        "search",
        "recorded",
        "held",
        "shared",
        "opened",
        "crosswalk",
        "waiting",
        "awaiting",
    ]
    shelf: str
    key: str


class NotLoaded(Exception):  # noqa: N818 — an announcement, not an error
    """The planner needs to see these before it can decide; load them and plan again."""

    def __init__(self, wants: frozenset[Want]) -> None:
        self.wants = wants
        super().__init__()


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was read for one change; asking for what was not read announces it."""

    seen: dict[Want, Any] = field(default_factory=dict)

    def resource(self, shelf: str, name: str) -> Stored | None:
        found: Stored | None = self._get(Want("resource", shelf, name))
        return found

    def version(self, shelf: str, name: str, number: int) -> Resource | None:
        """What a past version said; None where it is not kept any more."""
        found: Resource | None = self._get(Want("version", shelf, f"{name}/_history/{number}"))
        return found

    def receipt(self, shelf: str, key: str) -> Receipt | None:
        found: Receipt | None = self._get(Want("receipt", shelf, key))
        return found

    def exchange(self, shelf: str, task: str) -> Exchange | None:
        found: Exchange | None = self._get(Want("exchange", shelf, task))
        return found

    def sent(self, shelf: str, request: str) -> list[Exchange]:
        found: list[Exchange] = self._get(Want("sent", shelf, request))
        return found

    def recorded(self, shelf: str, exchange: str, key: str) -> Recorded | None:
        found: Recorded | None = self._get(Want("recorded", shelf, f"{exchange}|{key}"))
        return found

    def held(self, shelf: str, exchange: str) -> list[str]:
        """What stands on a shelf as part of an exchange."""
        found: list[str] = self._get(Want("held", shelf, exchange))
        return found

    def opened(self, shelf: str, exchange: str) -> Exchange | None:
        """An exchange by its id, if this shelf takes part in it."""
        found: Exchange | None = self._get(Want("opened", shelf, exchange))
        return found

    def shared(self, shelf: str, exchange: str, name: str) -> bool:
        """Whether another exchange, not expunged, has sent the same resource."""
        return bool(self._get(Want("shared", shelf, f"{exchange}|{name}")))

    def meeting(self, shelf: str, condition: str) -> list[str]:
        found: list[str] = self._get(Want("search", shelf, condition))
        return found

    def crosswalk(self, shelf: str, keys: list[str]) -> dict[str, str]:
        """{key: target} of those that the database's crosswalk has, all asked for at once."""
        wants = {key: Want("crosswalk", shelf, key) for key in keys}
        if missing := frozenset(wants.values()) - self.seen.keys():
            raise NotLoaded(missing)
        return {key: self.seen[want] for key, want in wants.items() if self.seen[want]}

    def waiting(self, shelf: str, source: str) -> tuple[Waiting, ...]:
        found: tuple[Waiting, ...] = self._get(Want("waiting", shelf, source))
        return found

    def awaiting(self, shelf: str, key: str) -> list[str]:
        found: list[str] = self._get(Want("awaiting", shelf, key))
        return found

    def expect(self, shelf: str, names: list[str]) -> None:
        """Announce several resources at once, so that they are read together."""
        self.announce({Want("resource", shelf, name) for name in names})

    def announce(self, wants: set[Want]) -> None:
        """Announce those of them that were not read yet."""
        if missing := wants - self.seen.keys():
            raise NotLoaded(frozenset(missing))

    def _get(self, want: Want) -> Any:
        if want not in self.seen:
            raise NotLoaded(frozenset({want}))
        return self.seen[want]


def derive(key: bytes, *parts: str) -> str:
    """An id that nobody can guess and that is the same each time: a keyed hash, 26 characters."""
    digest = hmac.digest(key, "\x1f".join(parts).encode(), hashlib.sha256)
    return base64.b32encode(digest[:16]).decode().rstrip("=").lower()


def stamped(resource: Resource, *, version: int, now: datetime) -> Resource:
    """The resource with the meta that is ours to set; the rest of meta stays."""
    meta = {**resource.get("meta", {}), "versionId": str(version), "lastUpdated": fhir.instant(now)}
    head = {"resourceType": resource["resourceType"], "id": resource["id"], "meta": meta}
    return {**head, **{name: value for name, value in resource.items() if name not in head}}


def same(one: Resource, other: Resource) -> bool:
    """Whether two versions say the same, whatever their meta.versionId and lastUpdated."""
    return _said(one) == _said(other)


def _alike(one: Resource, other: Resource) -> bool:
    """Whether they are the same to the digit: Python takes 1.50 for 1.5, and any order of members."""
    return same(one, other) and fhir.encode(_said(one)) == fhir.encode(_said(other))


def _said(resource: Resource) -> Resource:
    ours = {"versionId", "lastUpdated"}
    meta = {name: value for name, value in resource.get("meta", {}).items() if name not in ours}
    return {**resource, "meta": meta}


def put(  # noqa: PLR0913 — what a row consists of
    resource: Resource,
    stored: Stored | None,
    *,
    shelf: str,
    now: datetime,
    exchange: str = "",
    method: Method = "PUT",
    held: bool = False,
) -> tuple[Put, ...]:
    """The put that makes it so; none where it says what stands there already."""
    if stored is not None and stored.stands and _alike(stored.resource, resource):
        return ()
    expected = stored.version if stored else 0
    resource = stamped(resource, version=expected + 1, now=now)
    mark = exchange or (stored.exchange if stored else "")
    return (Put(shelf, resource, expected, mark, method, held),)


def tracking(exchange: str) -> Resource:
    """The identifier that both Tasks of an exchange carry."""
    return {"system": f"{CANONICAL}/sid/exchange", "value": exchange}
