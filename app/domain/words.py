"""Messages and questions that come in one act with the referral that they are about: they are said once it is sent."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from app import fhir
from app.domain import converse, question, referral, turns
from app.domain.case import Case
from app.domain.change import Entry
from app.domain.plan import Plan, together
from app.errors import Issue, Refusal


def beside(case: Case) -> list[Entry]:
    """Those of a transaction that sends their referral."""
    if case.change.act != "transaction" or not any(_is_word(one) for one in case.entries):
        return []
    tasks = [
        one
        for one in case.entries
        if one.type == "Task" and not _is_word(one) and referral.is_referral(case, one.resource)
    ]
    return _about(
        case, {name for one in tasks for name in (one.name, referral.asked(case, one.resource))}
    )


def said(case: Case, made: Plan, meaning: Callable[[Case, Entry], Plan]) -> Plan:
    """
    What an operation sends, and those of its Bundle.

    A report does not wait for one that cannot be said: that stands as it was written, and the answer says so.

    meaning     what one of them means
    raises      Refusal: one beside a referral cannot be said
    """
    opened = next((one for one in made.exchanges if one.version == 0), None)
    found = _about(case, {opened.source_request, opened.source_task}) if opened else []
    if not found:
        return made
    names = {one.name for one in found}
    own = tuple(
        one
        for one in made.puts
        if one.shelf != case.shelf.key or fhir.name(one.resource) not in names
    )
    plans = [replace(made, puts=own)]
    try:
        for one in found:
            plans.append(meaning(turns.after(case, plans), one))
    except Refusal as refusal:
        if case.shelf.kind != "cps-report":
            raise
        return _told(made, tuple(replace(one, severity="warning") for one in refusal.issues))
    issues = tuple(issue for one in plans[1:] for issue in one.answer.issues)
    return _told(together(turns.settled(plans), made.answer), issues)


def _told(made: Plan, issues: tuple[Issue, ...]) -> Plan:
    return replace(made, answer=replace(made.answer, issues=(*made.answer.issues, *issues)))


def _about(case: Case, sent: set[str]) -> list[Entry]:
    """Those that name one of these (Type/id)."""
    words = [one for one in case.entries if _is_word(one)]
    return [one for one in words if sent & converse.names(case, one.resource).keys()]


def _is_word(entry: Entry) -> bool:
    if entry.type == "Task":
        return question.is_question(entry.resource)
    return entry.type == "Communication"
