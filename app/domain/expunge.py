"""What was expunged, or sent in error: every copy and projection of an exchange becomes a tombstone."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from msgspec.structs import replace

from app import fhir
from app.domain import whose
from app.domain.case import Case, at_once
from app.domain.event import EXPUNGED, STATUS
from app.domain.feedback import owed
from app.domain.plan import (
    Answer,
    Exchange,
    Owed,
    Plan,
    Purge,
    Put,
    Stored,
    Terms,
    put,
    stamped,
    together,
    tracking,
)
from app.fhir import Resource, concept, listed
from app.settings import BY_COPY, BY_EXCHANGE

# Who works at a clinic is no content of a report about a child, and stays on the clinic's own shelf.
_STAFF: Final = frozenset({
    "Endpoint", "HealthcareService", "Location", "Organization", "Practitioner", "PractitionerRole",
})  # fmt: skip
_OURS: Final = frozenset({BY_COPY, BY_EXCHANGE})


def plan(case: Case, exchange: Exchange) -> Plan:
    """
    The agency says that it is expunged: nothing of it is left on any shelf but ids and the time.

    The sender's own record of the report goes with it: it says what was expunged. What it shares with
    another exchange stays; so does what is another person's now, but for its past.
    """
    recipient = case.loaded.held(exchange.recipient, exchange.id)
    source = case.loaded.held(exchange.source, exchange.id)
    names = {(exchange.recipient, name) for name in recipient}
    names |= {(exchange.source, name) for name in source}
    for shelf in exchange.terms.inboxes:
        names |= {(shelf, name) for name in case.loaded.held(shelf, exchange.id)}
    own = sorted({(exchange.source, name) for name in _own(exchange)} - names)
    plans = [
        *at_once(lambda one: _gone(case, exchange, *one), sorted(names)),
        *at_once(lambda one: _let_go(case, exchange, one[1]), own),
    ]
    shelves = (exchange.recipient, exchange.source, *exchange.terms.inboxes)
    puts = [put for one in plans for put in one.puts]
    due = tuple(each for shelf in shelves for each in told(case, exchange, shelf, puts))
    kept = exchange.terms  # where its tombstones are, and that a rule was overridden
    terms = Terms(jurisdiction=kept.jurisdiction, inboxes=kept.inboxes, override=kept.override)
    after = replace(
        exchange,
        state=EXPUNGED,
        sequence=exchange.sequence + 1,
        copies={},
        consent="",
        terms=terms,
        due=0.0,
    )
    answer = Answer((exchange.recipient_task,))
    held = tuple(("held", shelf, exchange.id) for shelf in shelves)  # nothing more of it comes now
    return together([*plans, Plan(answer, exchanges=(after,), owed=due, stands=held)], answer)


def told(case: Case, exchange: Exchange, shelf: str, puts: list[Put]) -> tuple[Owed, ...]:
    """
    The tombstones to the shelf's own server, of each Task that it was pushed: nobody goes on with one.

    What was asked from the shelf itself is pushed from its answer on.
    """
    sent = {exchange.source_task, exchange.recipient_task, *exchange.terms.inboxes.values()}
    tombs = [one for one in puts if one.shelf == shelf and one.method != "DELETE"]
    pushed = tuple(
        one
        for one in tombs
        if fhir.name(one.resource) in sent or not _is_own(one.resource) or one.expected > 1
    )
    return owed(case, shelf, exchange, pushed)


def _is_own(task: Resource) -> bool:
    """Whether it is a question that was asked from its shelf, and no copy of one."""
    return listed(task.get("identifier")) == [tracking(task["id"])]


def _own(exchange: Exchange) -> list[str]:
    """What the sender sent, but for its staff."""
    drafts = [
        exchange.terms.draft.replace("Task/", kind) for kind in ("Task/", "Bundle/", "Binary/")
    ]
    return [
        name for name in (*exchange.copies, *drafts) if name and name.split("/")[0] not in _STAFF
    ]


def _let_go(case: Case, exchange: Exchange, name: str) -> Plan:
    """The same of what is the sender's own: not what another exchange tells of too, nor what is another's now."""
    stored = case.loaded.resource(exchange.source, name)
    if stored is None:
        return Plan(Answer(()))
    shared = ("shared", exchange.source, f"{exchange.id}|{name}")  # who sends it now has a say too
    if whose.is_shared(case, exchange, name):
        return Plan(Answer(()), stands=(shared,))
    if stored.stands and whose.is_anothers(case, exchange, stored.resource):
        own = ("resource", exchange.source, name)
        purged = whose.purges(case, exchange, name, stored)
        return Plan(Answer(()), purges=purged, stands=(own, shared))
    return replace(_gone(case, exchange, exchange.source, name), stands=(shared,))


def _gone(case: Case, exchange: Exchange, shelf: str, name: str) -> Plan:
    stored = case.loaded.resource(shelf, name)
    if stored is None:
        return Plan(Answer(()))
    purge = Purge(shelf, name, exchange.id)
    return Plan(Answer(()), buried(stored, purge, case.now), purges=(purge,))


def buried(stored: Stored, purge: Purge, now: datetime) -> tuple[Put, ...]:
    """A Task says that it was expunged; anything else is deleted, and what was the sender's own stays theirs to write."""
    kind, identity = purge.name.split("/", 1)
    shelf, exchange = purge.shelf, purge.exchange
    if kind == "Task" and stored.stands and stored.resource.get("status") != "draft":
        task = tombstone(stored.resource, fhir.instant(now))
        return put(task, stored, shelf=shelf, now=now, exchange=exchange)
    gone = stamped({"resourceType": kind, "id": identity}, version=stored.version + 1, now=now)
    return (Put(shelf, gone, stored.version, stored.exchange, "DELETE"),)


def tombstone(task: Resource, at: str) -> Resource:
    """A Task that says that it was expunged, when, and by which of our numbers it was known."""
    known = [one for one in listed(task.get("identifier")) if one.get("system") in _OURS]
    return {
        "resourceType": "Task",
        "id": task["id"],
        "meta": {
            name: value
            for name, value in task.get("meta", {}).items()
            if name in {"security", "tag"}
        },
        **({"identifier": known} if known else {}),
        "status": "entered-in-error",
        "businessStatus": concept(STATUS, EXPUNGED, "Expunged. Remove what you hold of it."),
        "intent": "order",
        "lastModified": at,
    }


def is_buried(resource: Resource) -> bool:
    """Whether this is what is left of a Task that was expunged, or of a message that was taken back wholly."""
    if resource["resourceType"] == "Task":
        return fhir.has_code(resource.get("businessStatus"), STATUS, EXPUNGED)
    is_message = resource["resourceType"] == "Communication"
    return is_message and fhir.in_error(resource) and "payload" not in resource


def without_outcome(task: Resource, at: str) -> Resource:
    """
    A Task that no longer says what was changed since: what a backup from before has brought back.

    A record of a person stands as the backup had it: it was put back to what had been sent.
    """
    if task["resourceType"] != "Task":
        return task
    said = {"output", "statusReason"}
    kept = {name: value for name, value in task.items() if name not in said}
    return {**kept, "lastModified": at}
