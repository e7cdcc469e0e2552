"""What the service puts on a shelf is held to a profile: what leaves, and what is made here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from app import fhir
from app.domain import profiles
from app.domain.case import Case
from app.domain.plan import Plan, Put
from app.errors import Invalid, Issue, OurFault, Refusal
from app.fhir import Resource


def hold(case: Case, plan: Plan) -> None:
    """
    Looks at what a plan puts that the caller did not send.

    raises      Invalid: what the sender sent does not conform, and was to leave; its places
                OurFault: what is put does not conform by our own doing
    """
    sent = {fhir.name(one.resource) for one in case.entries}
    for one in plan.puts:
        ours = one.shelf != case.shelf.key or fhir.name(one.resource) not in sent
        if one.method == "DELETE" or not ours:
            continue
        found = _faults(case, one.resource, one)
        if found:
            raise _refusal(case, plan, one, found)


def _faults(case: Case, resource: Resource, put: Put) -> tuple[Issue, ...]:
    """What is wrong with a resource by what holds where it is put."""
    shelf = case.settings.shelves[put.shelf]
    held = profiles.of(case.mappings.profiles, resource, shelf.kind, shelf.role)
    if resource.get("status") == "entered-in-error":
        held = ()  # a tombstone has nothing that is asked for
    found = case.definitions.check(resource, now=case.now, profiles=held, claims=True)
    return tuple(one for one in found if one.severity in {"error", "fatal"})


def _refusal(case: Case, plan: Plan, put: Put, found: tuple[Issue, ...]) -> Refusal:
    name = fhir.name(put.resource)
    for original in _originals(case, plan, name):
        own = {(one.rule, one.expression): one for one in _faults(case, original, put)}
        shared = tuple(one for one in found if (one.rule, one.expression) in own)
        if shared:
            return Invalid(issues=tuple(_placed(case, original, one) for one in shared))
    rules = ", ".join(sorted({f"{one.expression} {one.rule}" for one in found}))
    text = f"What the service made does not fit its profile, and nothing was stored: {rules}."
    return OurFault(text)


def _originals(case: Case, plan: Plan, name: str) -> Iterator[Resource]:
    """The resources on the sender's shelf that a copy was made of."""
    for step in plan.exchanges:
        for source, copy in step.copies.items():
            if copy == name:
                original = case.find(source)
                if original is not None:
                    yield original


def _placed(case: Case, resource: Resource, issue: Issue) -> Issue:
    """The issue at the place where the sender's message has the resource."""
    name = fhir.name(resource)
    at = next((one.at for one in case.entries if one.at and fhir.name(one.resource) == name), "")
    kind = resource["resourceType"]
    return replace(issue, expression=at + issue.expression[len(kind) :]) if at else issue
