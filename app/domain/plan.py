"""The values that a planner works with and makes: what stands, and a plan; nothing here reads or writes."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime
from typing import Final, Literal

import msgspec
from msgspec import Struct

from app import fhir
from app.domain.change import Method
from app.errors import Issue
from app.fhir import Resource
from app.settings import BY_EXCHANGE, Kind


class Stored(Struct, frozen=True):
    """
    The last version of a resource.

    resource    {} where that version is its deletion
    exchange    the one that it is part of
    updated     FHIR instant, "" where nobody looked
    facts       what the index keeps of it: for who replaces it, and means nothing here
    long        whether it is large, so that to change it takes long
    """

    resource: Resource
    version: int
    exchange: str = ""
    updated: str = ""
    facts: str = ""
    long: bool = False

    @property
    def stands(self) -> bool:
        return bool(self.resource)


class Terms(Struct, frozen=True):
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
    known           FHIR instant at which the record of its person was as it was sent first, "" where that is
                    when this was opened
    spoken          either side has asked or written something
    talk            {name on the sender's shelf: name on the agency's} of questions that wait for an answer
    """

    jurisdiction: str = ""
    mandated: bool = True
    wanted: bool = False
    override: str = ""
    track: str = ""
    heard: int = 0
    inboxes: dict[str, str] = msgspec.field(default_factory=dict)
    draft: str = ""
    known: str = ""
    spoken: bool = False
    talk: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def silent(self) -> bool:
        """Whether neither side has said a word; in rows of before, `talk` alone tells."""
        return not (self.spoken or self.talk)


class Exchange(Struct, frozen=True):
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

    @property
    def person(self) -> str:
        """Type/id on the source shelf of whom it is about: what stands there of request and Task may change."""
        return next((one for one in self.copies if one.startswith("Patient/")), "")


class Recorded(Struct, frozen=True):
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


class Purge(Struct, frozen=True):
    """
    Nothing of what a resource ever said is left; the put beside it is its tombstone.

    why     expunged: all of it; amended: its past versions, the present one is newer; withdrawn: what
            the agency was sent in error, or without anybody's answer before the consent was withdrawn
    at      FHIR instant, where it is done again after a restore: when it was done first
    """

    shelf: str
    name: str
    exchange: str
    why: Literal["expunged", "amended", "withdrawn"] = "expunged"
    at: str = ""


class Receipt(Struct, frozen=True):
    """That this message was taken in: what it became, and a digest of it."""

    shelf: str
    key: str
    digest: str
    result: str


class Put(Struct, frozen=True):
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


class Owed(Struct, frozen=True):
    """
    A push to the partner's own server of a shelf.

    order       pushes of one order go out one after the other
    versions    {Type/id: version} to push, first the one the others hang on
    """

    shelf: str
    order: str
    versions: dict[str, int]


class Following(Struct, frozen=True):
    """
    Copies that follow a correction by and by, since they are too many for one transaction.

    name        Type/id of what was corrected
    after       id of the last exchange whose copy was corrected at once
    """

    shelf: str
    name: str
    after: str


class Accounted(Struct, frozen=True):
    """
    A row of the accounting of disclosures, 45 CFR 164.528(b)(2).

    requester   Type/id on the source's shelf of the human who asked for it, "" for a client alone
    """

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
    requester: str = ""


class Waiting(Struct, frozen=True):
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


class Worklist(Struct, frozen=True):
    """What of one source waits, in place of what waited of it before."""

    shelf: str
    source: str
    waiting: tuple[Waiting, ...]


class Fate(Struct, frozen=True):
    """What became of one place of what came in; for the dry run."""

    at: str
    what: Literal["taken", "ignored", "unmapped", "refused"]
    why: str


class Answer(Struct, frozen=True):
    """What the door says after the commit: the names of what was written, in order, and findings."""

    names: tuple[str, ...]
    created: frozenset[str] = frozenset()
    issues: tuple[Issue, ...] = ()
    fates: tuple[Fate, ...] = ()


class Plan(Struct, frozen=True):
    """
    Everything that one change does, or nothing of it.

    absent      shelf and search (Type?…) that nothing may meet when it is done
    stands      what is still as it was read when it is done: kind, shelf and key of a Want
    ended       ids of exchanges on which nobody works any more
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
    stands: tuple[tuple[str, str, str], ...] = ()
    ended: tuple[str, ...] = ()
    following: tuple[Following, ...] = ()

    @property
    def shelves(self) -> frozenset[str]:
        """Those that it touches; the database shows its transaction no other."""
        return frozenset(
            {put.shelf for put in self.puts}
            | {shelf for shelf, _ in self.absent}
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
        stands=tuple(want for one in plans for want in one.stands),
        ended=tuple(name for one in plans for name in one.ended),
        following=tuple(row for one in plans for row in one.following),
    )


_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz234567"  # of base 32, RFC 4648 section 6
_PAIRS: Final = tuple(one + other for one in _LETTERS for other in _LETTERS)


def derive(key: bytes, *parts: str) -> str:
    """An id that nobody can guess and that is the same each time: a keyed hash, 26 characters."""
    digest = hmac.digest(key, "\x1f".join(parts).encode(), hashlib.sha256)
    number = int.from_bytes(digest[:16]) << 2  # 130 bits are 26 letters
    return "".join([_PAIRS[number >> at & 1023] for at in range(120, -1, -10)])


def stamped(resource: Resource, *, version: int, now: datetime) -> Resource:
    """The resource with the meta that is ours to set; the rest of meta stays."""
    meta = {**resource.get("meta", {}), "versionId": str(version), "lastUpdated": fhir.instant(now)}
    head = {"resourceType": resource["resourceType"], "id": resource["id"], "meta": meta}
    return {**head, **resource, "meta": meta}


def touched(task: Resource, now: datetime) -> Resource:
    """
    The Task, changed now; or when it was authored, where the clock of who did that is ahead of ours.

    source      Task inv-1, https://hl7.org/fhir/R4/task.html
    """
    at, authored = fhir.instant(now), str(task.get("authoredOn", ""))
    return {**task, "lastModified": at if fhir.not_after(authored, at) else authored}


def same(one: Resource, other: Resource) -> bool:
    """Whether two versions say the same, whatever their meta.versionId and lastUpdated."""
    return _said(one) == _said(other)


def _alike(one: Resource, other: Resource) -> bool:
    """Whether they are the same to the digit: Python takes 1.50 for 1.5, and any order of members."""
    return same(one, other) and _written(one) == _written(other)


def _written(resource: Resource) -> bytes:
    """What it says, its head in the order in which `stamped` has it."""
    said = _said(resource)
    head = {name: said[name] for name in ("resourceType", "id", "meta")}
    return fhir.encode({**head, **said})


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
    return {"system": BY_EXCHANGE, "value": exchange}
