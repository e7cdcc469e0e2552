"""A message or a question whose writer means it for the other side of a referral, and that would reach nobody."""

from __future__ import annotations

from typing import Final

from app import fhir
from app.domain import contained, converse, numbered, parties, unsent
from app.domain.case import Case
from app.domain.change import Entry
from app.domain.plan import Stored
from app.domain.report import hotline
from app.errors import Invalid, Issue, NotSupported
from app.fhir import Resource, listed

_FAMILY: Final = ("Patient/", "RelatedPerson/")


def is_between_others(case: Case, entry: Entry) -> bool:
    """
    Whether a message that is of a referral is to the family or to people of this shelf, and to nobody else.

    One that the other side has, or was written there, is what it was.
    """
    stored = case.loaded.resource(case.shelf.key, entry.name)
    if stored and stored.exchange:
        return False
    whom = listed(contained.alone(entry.resource).get("recipient"))
    return bool(whom) and all(
        _is_here(case, one) or (_is_family(one) and case.find(fhir.target(one)) is not None)
        for one in whom
    )


def hold(case: Case, entry: Entry) -> None:
    """
    A message that is of no referral here is its shelf's own: about none, or to somebody whom this shelf knows.

    raises      Invalid: its writer means it for somebody who would not get it
    """
    stored = case.loaded.resource(case.shelf.key, entry.name)
    if stored and stored.stands and converse.is_sayable(stored.resource):
        looked_at = (*converse.LEADS, "recipient")
        if all(entry.resource.get(one) == stored.resource.get(one) for one in looked_at):
            return  # it was looked at when it came
    message = contained.alone(entry.resource)
    leads = [(one, each) for one in converse.LEADS for each in listed(message.get(one))]
    for element, reference in leads:
        inbox(case, reference, f"Communication.{element}")
    whom = listed(message.get("recipient"))
    if any(_is_partner(case, one) for one in whom):
        text = (
            "This reaches nobody: name the referral that it is about, basedOn its ServiceRequest."
        )
        raise Invalid(text, expression="Communication.basedOn")
    if whom and all(_is_here(case, one) for one in whom):
        return
    for element, reference in leads:
        _leads_somewhere(case, reference, element)


def inbox(case: Case, reference: Resource, at: str) -> None:
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


def question(case: Case, task: Resource, stored: Stored | None) -> None:
    """
    A question that is part of no referral's Task on this shelf.

    stored      the one that it replaces
    raises      Invalid: it is asked, and nobody would answer
    """
    before = stored.resource if stored and stored.stands else {}
    if before.get("partOf") == task.get("partOf") and before.get("status") == task.get("status"):
        return  # it was looked at when it came
    for whole in listed(task.get("partOf")):
        inbox(case, whole, "Task.partOf")
    text = (
        "This reaches nobody: a question is partOf the Task of the referral or report that it is about, as"
        " that stands on this shelf."
    )
    raise Invalid(text, expression="Task.partOf")


def request(case: Case, entry: Entry) -> None:
    """
    A request to tell something is its shelf's own: nobody else is asked by it.

    raises      Invalid: its writer means it for a partner
    """
    asks = contained.alone(entry.resource)
    if asks.get("status") != "active":
        return
    whom = listed(asks.get("recipient"))
    if any(_is_partner(case, one) for one in whom) or (
        not whom and converse.exchange_of(case, asks) is not None
    ):
        text = (
            "Nobody is asked by this: ask by a Task of code info-needed, partOf the Task of the referral, or"
            " write a Communication, basedOn its ServiceRequest."
        )
        raise Invalid(
            issues=(
                Issue("error", "not-supported", text, "CommunicationRequest"),
                *hotline(case, None),
            )
        )


def subscription(entry: Entry) -> None:
    """Raises NotSupported: it waits for notices, and none would come."""
    if entry.resource.get("status") in {"active", "requested"}:
        text = (
            "No Subscription is served here. Give the shelf an endpoint, so that what is new is pushed to your"
            " own server, or ask for it by _lastUpdated."
        )
        raise NotSupported(text, expression="Subscription.status")


def _is_partner(case: Case, reference: Resource) -> bool:
    """Whether this means another tenant, or somebody whom one has named here."""
    tenant = parties.recipient(case, reference).tenant
    if tenant and tenant.id != case.shelf.tenant:
        return True
    return not _is_family(reference) and _is_copy(case, fhir.target(reference))


def _is_family(reference: Resource) -> bool:
    return fhir.target(reference).startswith(_FAMILY)


def _is_here(case: Case, reference: Resource) -> bool:
    """Whether this stands here as the shelf's own."""
    name = fhir.target(reference)
    return fhir.is_relative(name) and case.find(name) is not None and not _is_copy(case, name)


def _is_copy(case: Case, name: str) -> bool:
    stored = case.loaded.resource(case.shelf.key, name) if fhir.is_relative(name) else None
    return bool(stored and stored.exchange)


def _leads_somewhere(case: Case, reference: Resource, element: str) -> None:
    """Raises Invalid: what it names is not here, or was not sent."""
    at, name = f"Communication.{element}", converse.named(case, reference)
    if not name:
        kind = reference.get("type", "ServiceRequest" if element == "basedOn" else "")
        if not (converse.may_lead(f"{kind}/") and numbered.is_alone(reference, kind)):
            return
    found = case.find(name) if fhir.is_relative(name) else None
    if found is None:
        text = (
            "Nobody would get this: what it names here does not stand on this shelf. Name the ServiceRequest"
            " that was sent, or its Task. A note of your own leaves it out, or has a recipient who stands on"
            " this shelf."
        )
        raise Invalid(issues=(Issue("error", "not-found", text, at), *hotline(case, None)))
    if unsent.is_meant(case, found):
        text = (
            "Nobody has this order yet, so nobody would get this: send the order first, or leave the message"
            " at status preparation. A note of your own has a recipient who stands on this shelf."
        )
        raise Invalid(issues=(Issue("error", "business-rule", text, at), *hotline(case, None)))
