"""A referral or report that comes again: how it stands, and what its sender corrects by it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from app import fhir
from app.domain import consents
from app.domain.case import Case, said_of
from app.domain.change import Entry
from app.domain.loaded import Moved
from app.domain.plan import Answer, Exchange, Plan, Put, Receipt, derive, put
from app.domain.steps import OPEN
from app.errors import Conflict, Issue
from app.fhir import Resource

# What says something of the person, and can be a correction; who works at the clinic is not followed.
_SAID: Final = frozenset({
    "Condition", "Consent", "DiagnosticReport", "DocumentReference", "Media", "Observation", "Patient",
    "RelatedPerson",
})  # fmt: skip
ENDED: Final = (
    "It has ended, and nothing is sent anew. To refer again, send an order of another identifier."
)
GONE: Final = "This was sent before and is expunged since. Nothing of it is taken in again."
NEW: Final = "This is new: it is kept here and was not sent. Send it in a message, or anew."


def plan(case: Case, task: str, sent: Entry | None) -> Plan:
    """
    How what was sent stands; what its sender corrects beside it is stored, and nothing new is sent.

    task        Type/id
    sent        the request, with which everything came again; None: a Task came again, alone
    raises      Conflict: it was expunged, and what its sender has of it with it
                Moved: it was sent by another process just now, after this one had looked for it
    """
    stored = case.find(task)
    if stored is None and case.loaded.resource(case.shelf.key, task) is None:
        raise Moved  # of what is expunged a tombstone stays
    if stored is None or "focus" not in stored:
        raise Conflict(GONE, expression="Bundle")
    issues = [Issue("information", "duplicate", "This was sent before; here is how it stands.")]
    if stored.get("status") not in OPEN:
        issues.append(Issue("warning", "business-rule", ENDED, "Task.status"))
    puts: tuple[Put, ...] = ()
    others = [one for one in case.entries if sent and one is not sent and one.type != "Task"]
    if sent and is_repeated(case, task):
        others = []  # word for word: what was corrected since is not taken back by it
    came = [*_named(case, task, sent, others)]
    came += [(one.name, one) for one in others if one.method == "PUT"]
    for origin, one in came:
        stands = case.loaded.resource(case.shelf.key, one.name)
        if stands and stands.exchange:
            continue
        if stands and stands.stands and said_of(stands.resource) == said_of(one.resource):
            continue
        if one.type == "Consent" and consents.revived(stands, one.resource):
            issues.append(Issue("warning", "business-rule", consents.REVIVED, "Consent.status"))
            continue
        made = put(one.resource, stands, shelf=case.shelf.key, now=case.now)
        puts += tuple(replace(each, origin=origin) for each in made)
        if not (stands and stands.stands):
            issues.append(Issue("warning", "business-rule", NEW, one.type))
    return Plan(Answer((task, stored["focus"]["reference"]), issues=tuple(issues)), puts)


def whole(case: Case, task: str) -> Receipt:
    """
    The mark by which a message is known that comes again word for word, in everything that it brings.

    task        Type/id that it became
    """
    said = sorted(fhir.encode(said_of(one.said)) for one in case.entries)
    digest = hashlib.sha256(b"\n".join(said)).hexdigest()
    key = derive(case.key, "receipt", "whole", task)
    return Receipt(case.shelf.key, key, derive(case.key, digest), task)


def is_repeated(case: Case, task: str) -> bool:
    """Whether this message is, word for word, the one that became this Task (Type/id)."""
    mark = whole(case, task)
    before = case.loaded.receipt(case.shelf.key, mark.key)
    return before is not None and before.digest == mark.digest


def _named(
    case: Case, task: str, sent: Entry | None, entries: list[Entry]
) -> Iterator[tuple[str, Entry]]:
    """
    What came without an id in a message that says something else than before, each as it stands here.

    With each the name that it had until then.

    The child is the child that was sent; anything else is known by an identifier, or says the same as one
    that was sent. What is neither has a name of its own, the same each time.
    """
    bare = [one for one in entries if one.method == "POST" and one.type in _SAID]
    if not bare or sent is None:
        return
    before = case.loaded.receipt(case.shelf.key, whole(case, task).key)
    exchange = case.loaded.exchange(case.shelf.key, task)
    if before is None or exchange is None or not exchange.copies:
        return  # sent before such marks were kept, or taken back: nothing could be corrected
    stand = _standing(case, exchange)
    known = {one.name: name for one in entries if (name := _known(one.resource, stand))}
    child = {sent.resource["subject"]["reference"]: exchange.person}
    new = {one.name: _new(case, exchange, one.resource) for one in bare}
    names = {sent.name: exchange.source_request, **new, **known, **child}
    for one in bare:
        identity = names[one.name].split("/", 1)[1]
        yield one.name, replace(one, resource=_renamed(one.resource, names), id=identity)


def _standing(case: Case, exchange: Exchange) -> dict[str, Resource]:
    """What the sender sent, as it stands on its shelf, by name."""
    shelf = case.shelf.key
    case.loaded.expect(shelf, list(exchange.copies))
    found = {name: case.loaded.resource(shelf, name) for name in exchange.copies}
    return {name: one.resource for name, one in found.items() if one and one.stands}


def _known(resource: Resource, stand: dict[str, Resource]) -> str:
    """The name of the one that says the same, else of one with an identifier of it; "" for none."""
    kind, numbers = resource["resourceType"], fhir.numbers(resource.get("identifier"))
    alike = {name: one for name, one in stand.items() if one["resourceType"] == kind}
    same = [name for name, one in alike.items() if _bare(one) == _bare(resource)]
    same += [name for name, one in alike.items() if numbers & fhir.numbers(one.get("identifier"))]
    return same[0] if same else ""


def _new(case: Case, exchange: Exchange, resource: Resource) -> str:
    said = fhir.encode(_bare(resource)).decode()
    return f"{resource['resourceType']}/{derive(case.key, 'again', exchange.id, said)}"


def _bare(resource: Resource) -> Resource:
    """What it says, whatever the names of what it refers to."""
    said: Resource = fhir.renamed(said_of(resource), lambda _: "")
    return said


def _renamed(resource: Resource, names: dict[str, str]) -> Resource:
    name = names[fhir.name(resource)]
    made: Resource = fhir.renamed(resource, lambda one: names.get(one, one))
    return {**made, "id": name.split("/", 1)[1]}
