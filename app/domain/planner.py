"""From a change to its plan: what each thing that came in means, and one planner for each meaning."""

from __future__ import annotations

from functools import partial
from typing import Final

from msgspec.structs import replace

from app.domain import (
    again,
    beside,
    condition,
    conformity,
    consents,
    converse,
    correction,
    enclosed,
    ordered,
    outcome,
    overdue,
    question,
    receive,
    record,
    referral,
    reminder,
    report,
    siblings,
    turns,
    unheard,
    unsent,
    words,
)
from app.domain.arrival import arrived as resolved
from app.domain.case import Case, at_once, blamed, conditions, guarded
from app.domain.change import Entry
from app.domain.loaded import Want
from app.domain.plan import Answer, Plan, Put, Stored, put, stamped, together
from app.domain.receive import Meaning
from app.errors import Conflict, Invalid, Issue, Refusal


def asked(case: Case) -> frozenset[Want]:
    """
    What has to be seen of any change before it can be planned, so that it is read at once.

    raises      Refusal: the caller may not do this; nothing is read for it
    """
    _permitted(case)
    return frozenset(conditions(case))


def arrived(case: Case) -> Case:
    """
    The case as it is planned: permitted, its entries resolved.

    raises      NotLoaded, Refusal: as plan
    """
    _permitted(case)
    return resolved(case)


def plan(case: Case) -> Plan:
    """
    Everything that the change of an arrived case does.

    raises      NotLoaded: more must be read first
                Refusal: it is not done, and why
    """
    made = _planned(case)
    if case.change.siblings:
        return made  # each child's was held by itself
    made = correction.followed(case, made)
    try:
        return conformity.hold(case, made)
    except Refusal as refusal:
        if case.shelf.kind != "cps-report" or not any(one.version == 0 for one in made.exchanges):
            raise
        raise report.unfit(case, refusal) from None


def _planned(case: Case) -> Plan:
    if case.change.act == "overdue":
        return overdue.plan(case)
    if case.change.act == "follow":
        return correction.again(case)
    if case.change.act == "record-event":
        return record.plan(case)
    if case.change.siblings:
        return siblings.plan(case, _blamed)
    if case.change.act in {"refer", "report"}:
        sent = words.said(case, referral.plan(case, None), _blamed)
        return replace(sent, absent=(*sent.absent, *_absent(case)))
    if case.change.act in {"link", "unlink"}:
        return receive.linked(case)
    if last := words.beside(case):
        case = replace(case, entries=(*(one for one in case.entries if one not in last), *last))
        plans, more = _sending(case)
    else:
        plans, more = _each(case, _blamed)
        if turns.meet(plans):
            plans, more = _in_turn(case)
    _alone(plans)
    return _together(case, plans, more)


def _each(case: Case, meaning: Meaning) -> tuple[list[Plan], list[Plan]]:
    """A plan for each entry, and those that several entries come to together."""
    if case.change.act == "work-off":
        return receive.again(case), []
    if _comes_again(case):
        return at_once(partial(_standing, case), case.entries), []
    if _screens(case):
        return receive.plans(case, meaning)
    return at_once(partial(meaning, case), case.entries), []


def _in_turn(case: Case) -> tuple[list[Plan], list[Plan]]:
    plans, more = _each(case, turns.Turns(_blamed))
    return turns.settled(plans), more


def _sending(case: Case) -> tuple[list[Plan], list[Plan]]:
    """A plan for each entry, one after the other; a report that a message beside it keeps from going is kept."""
    try:
        return _in_turn(case)
    except Refusal as refusal:
        if case.shelf.kind != "cps-report":
            raise
        raise report.unfit(case, refusal) from None


def _comes_again(case: Case) -> bool:
    """
    Whether this is, word for word, a transaction that sent a referral before; what was corrected since stays.

    One that creates what does not stand is planned as it came.
    """
    if case.change.act != "transaction":
        return False
    tasks = [one for one in case.entries if one.type == "Task"]
    sent = [one for one in tasks if referral.is_referral(case, one.resource)]
    others = [one for one in case.entries if one not in sent]
    if len(sent) != 1 or not others or any(one.method not in {"POST", "PUT"} for one in others):
        return False
    before = case.loaded.receipt(case.shelf.key, case.receipt(sent[0], "").key)
    if before is None or not again.is_repeated(case, before.result):
        return False
    new = [one.name for one in others if one.method == "POST"]
    case.loaded.expect(case.shelf.key, new)
    return all(case.loaded.resource(case.shelf.key, one) for one in new)


def _standing(case: Case, entry: Entry) -> Plan:
    """What came again, as it stands; the Task as what became of it."""
    return _blamed(case, entry) if entry.type == "Task" else Plan(Answer((entry.name,)))


def _alone(plans: list[Plan]) -> None:
    """
    One referral is sent by one transaction.

    raises      Invalid: two are sent
    """
    if sum(any(step.version == 0 for step in one.exchanges) for one in plans) > 1:
        raise Invalid("Send one referral in one transaction.", expression="Bundle.entry")


_NONE: Final[frozenset[str]] = frozenset()
_PERMISSION: Final = {"POST": "c", "PUT": "u", "PATCH": "u", "DELETE": "d"}


def _permitted(case: Case) -> None:
    if case.change.caller.scopes is None:
        return
    for entry in case.change.all_entries:
        must = partial(blamed, entry, case.change.caller.must)
        must(_PERMISSION[entry.method], entry.type)
        if said := entry.if_none_exist or entry.condition:
            must("s", condition.searched(said))
        # what is found, or was there before the patch, is answered whole, and a patch can test it
        if entry.if_none_exist or entry.method == "PATCH":
            # a Binary is as closed as what it belongs to, and that may be of any type
            must("r", "*" if entry.type == "Binary" else entry.type)


def _blamed(case: Case, entry: Entry) -> Plan:
    return blamed(entry, _meaning, case, entry)


def _meaning(case: Case, entry: Entry) -> Plan:
    """One planner for each meaning; what means nothing more to us is stored."""
    if entry.method == "DELETE":
        return _deleted(case, entry)
    means = _task(case, entry) if entry.type == "Task" else None
    if entry.type == "Communication":
        exchange = converse.exchange_of(case, entry.resource)
        if converse.is_said(case, entry):
            if exchange is not None and not unheard.is_between_others(case, entry):
                return converse.plan(case, entry, exchange)
            unheard.hold(case, entry)
    elif entry.type == "CommunicationRequest":
        unheard.request(case, entry)
    elif entry.type == "Subscription":
        unheard.subscription(entry)
    return _stored(case, entry) if means is None else means


def _task(case: Case, entry: Entry) -> Plan | None:
    """What a Task means to others; None where it is its shelf's own."""
    stored = case.loaded.resource(case.shelf.key, entry.name)
    if stored and stored.exchange:
        exchange = case.loaded.exchange(case.shelf.key, entry.name)
        if exchange is not None:
            return outcome.plan(case, entry, exchange)
    if (asked := _question(case, entry, stored)) is not None:
        return asked
    if stored and stored.stands and stored.exchange:
        if reminder.is_one(case, stored):
            return reminder.changed(case, entry, stored)
        return None  # on an inbox it says what became of a report, and is nobody's to send
    if referral.is_referral(case, entry.resource):
        guarded(case, entry)
        return referral.plan(case, entry)
    beside.hold(case, entry.resource, stored)
    return None


def _question(case: Case, entry: Entry, stored: Stored | None) -> Plan | None:
    """A question on a referral, asked or answered; None where the Task is none."""
    if not question.is_question(entry.resource):
        return None
    if stored and stored.stands and stored.exchange:
        exchange = case.loaded.opened(case.shelf.key, stored.exchange)
        return question.answered(case, entry, exchange, stored) if exchange else None
    if not question.is_asked(entry.resource):
        return None
    exchange = question.parent(case, entry.resource)
    if exchange is None:
        unheard.question(case, entry.resource, stored)
        return None
    return question.asked(case, entry, exchange)


def _screens(case: Case) -> bool:
    """Screenings are the clinic's, on its chart; on no other shelf do they make anything."""
    return case.shelf.kind == "family-support" and case.shelf.role == "source"


def _stored(case: Case, entry: Entry) -> Plan:
    """https://hl7.org/fhir/R4/http.html#create and #update."""
    stored = guarded(case, entry)
    if entry.type == "Consent" and _ordered(case) and consents.revived(stored, entry.resource):
        issue = Issue("warning", "business-rule", consents.REVIVED, "Consent.status")
        return Plan(Answer((entry.name,), issues=(issue,)))
    new = stored is None or not stored.stands
    method = entry.method if new else "PUT"  # a message that comes again creates nothing twice
    puts = put(entry.resource, stored, shelf=case.shelf.key, now=case.now, method=method)
    created = frozenset({entry.name}) if new else _NONE
    if entry.type == "Bundle":
        return Plan(Answer((entry.name,), created, enclosed.hold(case, entry)), puts)
    if entry.type != "ServiceRequest":
        word = referral.unsent_to(case, entry.resource) if entry.type == "Task" else ()
        return Plan(Answer((entry.name,), created, word), puts)
    if _screens(case) and unsent.is_report(entry.resource):
        raise unsent.misplaced(case, "ServiceRequest.category")
    means = [ordered.followed(case, entry.resource)]
    if not _sends(case, entry.name):
        means.append(unsent.followed(case, entry.resource, stored))
    issues = tuple(issue for one in means for issue in one.answer.issues)
    answer = Answer((entry.name,), created, issues)
    return together([Plan(answer, puts), *means], answer)


def _sends(case: Case, request: str) -> bool:
    """Whether the same change sends this request (Type/id), or the shelf sends nothing."""
    return case.shelf.role != "source" or any(
        one.type == "Task"
        and referral.asked(case, one.resource) == request
        and referral.is_referral(case, one.resource)
        for one in case.entries
    )


def _ordered(case: Case) -> bool:
    """Whether orders come with it: then it is a message, which may have been written long ago."""
    return any(one.type in {"ServiceRequest", "Task"} for one in case.entries)


def _deleted(case: Case, entry: Entry) -> Plan:
    """https://hl7.org/fhir/R4/http.html#delete; what is not there is deleted already."""
    stored = guarded(case, entry)
    if stored is None or not stored.stands:
        return Plan(Answer((entry.name,)))
    if stored.exchange:
        text = "A sent referral cannot be deleted; its status says what has become of it."
        raise Conflict(text, expression=entry.type)
    if entry.type == "ServiceRequest" and ordered.under_way(case, entry.name):
        text = "This was sent. Set its status to revoked, so that the agency learns of it."
        raise Conflict(text, expression=entry.type)
    gone = stamped(
        {"resourceType": entry.type, "id": entry.id}, version=stored.version + 1, now=case.now
    )
    answer = Answer((entry.name,))
    made = Plan(answer, (Put(case.shelf.key, gone, stored.version, method="DELETE"),))
    if entry.type != "ServiceRequest" or case.shelf.role != "source":
        return made
    return together([made, unsent.followed(case, gone, stored)], answer)


def _together(case: Case, plans: list[Plan], more: list[Plan]) -> Plan:
    """
    One plan of several, answered as its entries came.

    plans       one for each entry, in their order
    more        what several entries come to together
    """
    absent = _absent(case)
    if len(plans) == 1 and not more and len(case.order) == 1 and not absent and _sole(plans[0]):
        return plans[0]
    came = {entry.name: one.answer.names[0] for entry, one in zip(case.entries, plans, strict=True)}
    order = [came.get(name, name) for name in case.order]  # one for each entry, met ones too
    plans = [*plans, *more]
    made = [name for one in plans for name in one.answer.names]
    transaction = case.change.act == "transaction"
    answer = Answer(
        tuple(order if transaction else dict.fromkeys([*order, *made])),
        frozenset().union(*(one.answer.created for one in plans)),
        tuple(issue for one in plans for issue in one.answer.issues),
        tuple(fate for one in plans for fate in one.answer.fates),
    )
    absent = (*absent, *(one for each in plans for one in each.absent))
    return replace(together(plans, answer), absent=absent)


def _sole(plan: Plan) -> bool:
    """Whether there is nothing in it that could stand twice."""
    return len(plan.answer.names) == 1 and len(plan.puts) <= 1


def _absent(case: Case) -> tuple[tuple[str, str], ...]:
    """Conditions that nothing may meet still when their resource is made."""
    return tuple(
        (case.shelf.key, said)
        for entry in case.entries
        if (said := entry.if_none_exist or entry.condition)
    )
