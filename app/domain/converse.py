"""The planner `converse`: a message from either side of a referral goes to the other, and is marked as read."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from app import fhir
from app.domain import numbered, parties, patients, talk, whose
from app.domain.case import Case
from app.domain.change import Entry
from app.domain.plan import Answer, Exchange, Plan, Stored
from app.errors import Forbidden, Invalid, Issue, Stale
from app.fhir import Resource, listed

_LEADS = ("basedOn", "partOf", "about")
_SAID = frozenset({"completed", "in-progress", "unknown"})
_MARKS = frozenset({"lastModified", "meta", "received", "status", "text"})


def exchange_of(case: Case, message: Resource) -> Exchange | None:
    """The referral that a message belongs to: it is based on the request, part of or about a Task."""
    return next(_leading(case, message), None)


def _leading(case: Case, message: Resource) -> Iterator[Exchange]:
    """The referrals to which its references lead, one for each that leads to one."""
    for element in _LEADS:
        for reference in listed(message.get(element)):
            found = _led(case, numbered.one(case, reference, "ServiceRequest"))
            if found is not None:
                yield found


def _led(case: Case, name: str) -> Exchange | None:
    """The referral of a request or a Task (Type/id) of this shelf; of a request sent several times the last."""
    if not name.startswith(("ServiceRequest/", "Task/")):
        return None
    stored = case.loaded.resource(case.shelf.key, name)
    if stored and stored.exchange:
        return case.loaded.opened(case.shelf.key, stored.exchange)
    if name.startswith("ServiceRequest/") and case.shelf.role == "source":
        sent = case.loaded.sent(case.shelf.key, name)
        return sent[-1] if sent else None
    return None


def is_said(case: Case, entry: Entry) -> bool:
    """
    Whether a message goes to the other side: one that is still being written, or was not sent, waits here.

    source      https://hl7.org/fhir/R4/valueset-event-status.html
    """
    stored = case.loaded.resource(case.shelf.key, entry.name)
    if stored and stored.stands and stored.exchange:
        return True
    return entry.resource.get("status", "completed") in _SAID


def heard(case: Case, message: Resource) -> None:
    """
    A message that is of no referral here is its shelf's own, and reaches nobody.

    raises      Invalid: its writer means it for somebody who would not get it
    """
    for element in _LEADS:
        for reference in listed(message.get(element)):
            hold(case, reference, f"Communication.{element}")
    whom = (parties.recipient(case, one).tenant for one in listed(message.get("recipient")))
    if any(tenant and tenant.id != case.shelf.tenant for tenant in whom):
        text = (
            "This reaches nobody: name the referral that it is about, basedOn its ServiceRequest."
        )
        raise Invalid(text, expression="Communication.basedOn")


def hold(case: Case, reference: Resource, at: str) -> None:
    """
    What is written here of a referral is between its two sides.

    raises      Invalid: this shelf is an inbox, to which the referral's Task was only told
    """
    name = fhir.target(reference)
    if not name.startswith(("ServiceRequest/", "Task/")):
        return
    stored = case.loaded.resource(case.shelf.key, name)
    if not (stored and stored.exchange) or case.loaded.opened(case.shelf.key, stored.exchange):
        return
    text = (
        "This shelf is told of the report and takes no part in it: nobody would read what is written"
        " here. Write it on the shelf from which it was sent, or call."
    )
    raise Invalid(text, expression=at)


def plan(case: Case, entry: Entry, exchange: Exchange) -> Plan:
    """
    A message, said once; or the mark that it was read.

    raises      Invalid: it does not say who speaks, or says nothing
                Forbidden: another's message, changed
    """
    stored = case.loaded.resource(case.shelf.key, entry.name)
    if not entry.meets(stored.version if stored and stored.stands else 0):
        raise Stale("The message has changed since; read it again.")
    both = talk.sides(case, exchange)
    if stored and stored.stands and stored.exchange:
        return _marked(case, both, entry.resource, stored)
    if said := talk.known(case, entry):
        return talk.again(said)
    message = entry.resource
    _of_one(case, exchange, message)
    talk.sayable(case, exchange, message)
    _about(case, both, message)
    payload = [
        {"contentString": one["contentString"]}
        for one in listed(message.get("payload"))
        if str(one.get("contentString", "")).strip()
    ]
    if not payload:
        text = "A message is text: payload.contentString; send records with a report or an answer."
        raise Invalid(text, expression="Communication.payload")
    sender = talk.person(case, message.get("sender"), "Communication.sender")
    request = exchange.source_request if both.outward else exchange.copies[exchange.source_request]
    sent = {
        **message,
        "status": message.get("status", "completed"),
        "basedOn": [{"reference": request}],
        "sender": sender,
        "sent": message.get("sent") or fhir.instant(case.now),
        "payload": payload,
    }
    made = talk.once(case, entry, talk.said(case, both, sent))
    made = talk.unsaid(made, message, ("note", "reasonCode", "topic"))
    if len(payload) == len(listed(message.get("payload"))):
        return made
    text = "Text alone goes to the other side, and is kept; what else was in this message was not sent."
    issue = Issue("warning", "not-supported", text, "Communication.payload")
    return replace(made, answer=replace(made.answer, issues=(*made.answer.issues, issue)))


def _marked(case: Case, both: talk.Sides, message: Resource, stored: Stored) -> Plan:
    """
    Its reader says when it was read, its writer that it was an error; nothing else of it changes.

    raises      Forbidden: anything else of it is changed, or by the other side
    """
    before, mine = stored.resource, talk.is_own(case, both, fhir.name(stored.resource))
    differ = {
        name for name in message.keys() | before.keys() if message.get(name) != before.get(name)
    }
    if differ - _MARKS:
        raise Forbidden("A message that was sent stays as it is; only `received` can be added.")
    error = message.get("status") == "entered-in-error"
    if mine and error:
        return talk.taken_back(case, both, before)
    if error and not fhir.in_error(before):
        raise Forbidden("Who wrote this can say that it was an error; write to them.")
    if mine or fhir.in_error(before):
        return Plan(Answer((fhir.name(before),)))  # sent again; its writer is not who has read it
    received = message.get("received") or before.get("received") or fhir.instant(case.now)
    return talk.said(case, both, {**before, "received": received})


def _of_one(case: Case, exchange: Exchange, message: Resource) -> None:
    """Raises Invalid: it names referrals of two people, or to two agencies, and one of them would not read it."""
    for other in _leading(case, message):
        if (other.person, other.recipient) != (exchange.person, exchange.recipient):
            text = "This names two referrals: write a message for each, so that each is read where it belongs."
            raise Invalid(text, expression="Communication.basedOn")


def _about(case: Case, both: talk.Sides, message: Resource) -> None:
    """Raises Invalid: it says that it is about another person than the referral, whose record that is by now."""
    said = fhir.target(message.get("subject"))
    exchange, person = both.exchange, both.exchange.person
    theirs = patients.records(case, person) if both.outward else [exchange.copies.get(person)]
    if not said.startswith("Patient/"):
        return
    is_anothers = both.outward and said == person and whose.is_given_away(case, exchange)
    if said not in theirs or is_anothers:
        text = "This is about another person than the referral; write it on theirs, or leave out subject."
        raise Invalid(text, expression="Communication.subject")
