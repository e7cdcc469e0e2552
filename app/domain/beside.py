"""A Task that its writer takes for an answer, or for a word to the other side, and that would reach nobody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from app import fhir
from app.domain import numbered, parties, unsent
from app.domain.case import Case
from app.domain.plan import Stored
from app.errors import Invalid
from app.fhir import Resource, listed
from app.settings import BY_EXCHANGE

# on which nobody has done anything yet: work that is planned is no answer
_AHEAD: Final = frozenset({"draft", "ready", "requested"})
_ASKED: Final = frozenset({"ready", "requested"})
_NAMES: Final = ("focus", "basedOn", "partOf", "owner", "intent", "code", "identifier")
_THOUGHT: Final = frozenset({"option", "plan", "proposal"})
_TASK_CODE: Final = "http://hl7.org/fhir/CodeSystem/task-code"
# https://hl7.org/fhir/R4/codesystem-task-code.html: what is asked of the Task that is its focus
_ASKED_OF_A_TASK: Final = ("abort", "change", "replace", "resume", "suspend")


def hold(case: Case, task: Resource, stored: Stored | None) -> None:
    """
    A Task that is stored on this shelf is its own, and the other side does not see it.

    What is partOf a referral's Task is work on it, of whoever stores it.

    stored      the one that it replaces; where that said the same of what is looked at here, it was looked
                at then
    raises      Invalid: it is a referral's Task of another shelf; it answers a referral beside its Task; it
                asks for something that its Task itself would say; or it asks a partner who would not get it
    """
    if stored and stored.stands and _looked_at(task) == _looked_at(stored.resource):
        return
    _asks(case, task)
    _addressed(case, task)
    if case.shelf.role == "recipient":
        _elsewhere(task)
        _answers(case, task)


def _looked_at(task: Resource) -> list[object]:
    status = task.get("status")
    return [status in _AHEAD, status in _ASKED, *map(task.get, _NAMES)]


def _elsewhere(task: Resource) -> None:
    known = {one.get("system") for one in listed(task.get("identifier"))}
    if BY_EXCHANGE in known:
        text = "This Task's referral is not on this shelf; answer it where its Task stands."
        raise Invalid(text, expression="Task.identifier")


def _addressed(case: Case, task: Resource) -> None:
    """What a partner is asked for, and that sends no request of this shelf."""
    if task.get("status") not in _ASKED or task.get("intent") in _THOUGHT:
        return
    focus = fhir.literal(task.get("focus"))
    if focus.startswith("ServiceRequest/") and task.get("intent") in unsent.ORDERS:
        return  # from a source it would be a referral; an agency passes work on to who reads its shelf
    tenant = parties.recipient(case, task.get("owner")).tenant
    if tenant is None or tenant.id == case.shelf.tenant:
        return
    text = (
        "Its owner does not get this Task: name the ServiceRequest that it sends in focus."
        if case.shelf.role == "source"
        else "Its owner does not get this Task, since this shelf sends nothing. Who sent a referral is asked"
        " by a Task of code info-needed, partOf its Task, or told in a Communication; a report goes on to"
        " another authority by the event transferred."
    )
    raise Invalid(text, expression="Task.owner")


def _asks(case: Case, task: Resource) -> None:
    focus = task.get("focus") or {}
    if not (fhir.literal(focus).startswith("Task/") or numbered.is_alone(focus, "Task")) or not any(
        fhir.has_code(task.get("code"), _TASK_CODE, code) for code in _ASKED_OF_A_TASK
    ):
        return
    name = numbered.one(case, focus, "Task")
    stored = case.loaded.resource(case.shelf.key, name) if name.startswith("Task/") else None
    if stored and stored.stands and stored.exchange:
        text = (
            f"This reaches nobody: update {name} itself. Its status takes a referral back or answers it;"
            " anything else is said in a Communication."
        )
        raise Invalid(text, expression="Task.code")


def _answers(case: Case, task: Resource) -> None:
    if task.get("status") in _AHEAD:
        return
    for at, name in _about(case, task):
        stored = case.loaded.resource(case.shelf.key, name)
        if not (stored and stored.stands and stored.exchange):
            continue
        exchange = case.loaded.opened(case.shelf.key, stored.exchange)
        if exchange is None or _is_part(case, task, exchange.recipient_task):
            continue
        text = (
            f"The clinic does not see this Task: answer on {exchange.recipient_task}, by its status or"
            f" $record-event. Work of your own is partOf {exchange.recipient_task}."
        )
        raise Invalid(text, expression=at)


def _about(case: Case, task: Resource) -> Iterator[tuple[str, str]]:
    """Where it names a request, and which (Type/id)."""
    said = [("Task.focus", task.get("focus"))]
    said += [("Task.basedOn", one) for one in listed(task.get("basedOn"))]
    for at, reference in said:
        name = numbered.one(case, reference, "ServiceRequest")
        if name.startswith("ServiceRequest/"):
            yield at, name


def _is_part(case: Case, task: Resource, whole: str) -> bool:
    return any(numbered.one(case, one, "Task") == whole for one in listed(task.get("partOf")))
