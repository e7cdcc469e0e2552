"""The planner `converse`: a message from either side of a referral goes to the other, and is marked as read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from app import fhir
from app.domain import numbered, patients, talk, whose
from app.domain.case import Case
from app.domain.change import Entry
from app.domain.plan import Answer, Exchange, Plan, Stored
from app.errors import Forbidden, Invalid, Issue, Stale
from app.fhir import Resource, listed

LEADS: Final = ("basedOn", "partOf", "about", "inResponseTo")
_KINDS: Final = ("ServiceRequest", "Task", "Communication")
_MAY_LEAD: Final = re.compile(rf"(^|/)({'|'.join(_KINDS)})[/?]")
_SAID: Final = frozenset({"completed", "in-progress", "unknown"})
_MARKS: Final = frozenset({"lastModified", "meta", "received", "status", "text"})


def exchange_of(case: Case, message: Resource) -> Exchange | None:
    """The referral that a message belongs to: it is based on the request, about a Task, or answers a message."""
    return next(_leading(case, message), None)


def _leading(case: Case, message: Resource) -> Iterator[Exchange]:
    """The referrals to which its references lead, one for each that leads to one."""
    for one in names(case, message):
        found = _led(case, one)
        if found is not None:
            yield found


def names(case: Case, said: Resource) -> dict[str, None]:
    """The requests, Tasks and messages (Type/id) that a message or a question names, in its order."""
    leads = [each for one in LEADS for each in listed(said.get(one))]
    return dict.fromkeys(name for each in leads if (name := named(case, each)))


def named(case: Case, reference: Resource) -> str:
    """The request, Task or message (Type/id) that a reference means, by name or by number; "" for none."""
    said = reference.get("type")
    kinds = (said,) if said in _KINDS else _KINDS[:2]
    found = (numbered.one(case, reference, kind) for kind in kinds)
    name = next((one for one in found if one), "")
    return name if may_lead(name) else ""


def may_lead(name: str) -> bool:
    """Whether what is named, or searched for, may be of a referral; it need not stand here."""
    return _MAY_LEAD.search(name) is not None


def _led(case: Case, name: str) -> Exchange | None:
    """The referral of a request, Task or message (Type/id) of this shelf; of a request sent several times the last."""
    if not fhir.is_relative(name):
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
    return is_sayable(entry.resource)


def is_sayable(message: Resource) -> bool:
    """Whether its writer is done with it."""
    return message.get("status", "completed") in _SAID


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
