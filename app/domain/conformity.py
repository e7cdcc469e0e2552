"""What the service puts on a shelf is held to a profile: what leaves, and what is made here."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec.structs import replace

from app import fhir
from app.conformance.structure import BASE
from app.domain import contained, identity, profiles
from app.domain.case import Case
from app.domain.plan import Plan, Put
from app.errors import Invalid, Issue, OurFault
from app.fhir import Resource


def hold(case: Case, plan: Plan) -> Plan:
    """
    The plan, once what it puts that the caller did not send was looked at.

    What a reporter said goes whatever its profile asks, and the answer has a warning (decision
    0023); on every other shelf it is refused. What was wrong in the version before stops nothing
    after it: whoever writes now has not said it.
    raises      Invalid: what the sender sent does not conform, and was to leave; its places
                OurFault: what is put does not conform by our own doing
    """
    warnings: list[Issue] = []
    sent = {fhir.name(one.resource) for one in case.entries}
    for one in plan.puts:
        ours = one.shelf != case.shelf.key or sent.isdisjoint({fhir.name(one.resource), one.origin})
        if one.method == "DELETE" or not ours:
            continue
        held = _held(case, one.resource, one)
        if one.held and {*held} <= {*one.resource["meta"].get("profile", ())}:
            continue
        found = new_faults(case, one)
        if not found:
            continue
        senders, ours_alone = _shared_out(case, plan, one, found)
        if case.shelf.kind != "cps-report" and senders:
            raise Invalid(issues=senders)
        if ours_alone or case.definitions.shape(one.resource):
            raise _our_fault(ours_alone or found)
        warnings += [replace(issue, severity="warning") for issue in senders]
    if not warnings:
        return plan
    issues = (*plan.answer.issues, *dict.fromkeys(warnings))
    return replace(plan, answer=replace(plan.answer, issues=issues))


def faults(case: Case, resource: Resource, put: Put) -> tuple[Issue, ...]:
    """What is wrong with a resource by what holds where it is put."""
    held = _held(case, resource, put)
    found = case.definitions.check(resource, now=case.now, profiles=held, claims=True)
    return tuple(one for one in found if one.severity in {"error", "fatal"})


def _held(case: Case, resource: Resource, put: Put) -> tuple[str, ...]:
    """The profiles that hold where it is put, beside R4, which a check asks of everything."""
    if resource.get("status") == "entered-in-error":
        return ()  # a tombstone has nothing that is asked for
    shelf = case.settings.shelves.get(put.shelf)
    if shelf is None:
        return ()  # one that is not there any more, from which something is purged
    found = profiles.of(case.mappings.profiles, resource, shelf.kind, shelf.role)
    return tuple(one for one in found if one != BASE + resource["resourceType"])


def new_faults(case: Case, put: Put) -> tuple[Issue, ...]:
    """What is wrong with what is put, and was not with the version that it replaces."""
    found = faults(case, put.resource, put)
    replaces = bool(found) and put.expected > 0
    stored = case.loaded.resource(put.shelf, fhir.name(put.resource)) if replaces else None
    if stored is None or not stored.stands:
        return found
    before = {_kept(one) for one in faults(case, stored.resource, put)}
    return tuple(one for one in found if _kept(one) not in before)


def _shared_out(
    case: Case, plan: Plan, put: Put, found: tuple[Issue, ...]
) -> tuple[tuple[Issue, ...], tuple[Issue, ...]]:
    """The faults that the sender's resource has, at their places there; and those it has not."""
    senders: list[Issue] = []
    theirs: set[tuple[str, str]] = set()
    asked = {_kept(one) for one in found}
    for original in _originals(case, plan, put):
        own = [one for one in faults(case, original, put) if _kept(one) in asked]
        theirs |= {_kept(one) for one in own}
        senders += [_placed(case, original, one) for one in own]
    return tuple(senders), tuple(one for one in found if _kept(one) not in theirs)


def _kept(issue: Issue) -> tuple[str, str]:
    """What of a fault is the same in a copy: rows move up where one stays behind."""
    return issue.rule, re.sub(r"\[\d+\]", "", issue.expression)


def _our_fault(found: tuple[Issue, ...]) -> OurFault:
    rules = ", ".join(sorted({f"{one.expression} {one.rule}" for one in found}))
    return OurFault(
        f"What the service made does not fit its profile, and nothing was stored: {rules}."
    )


def _originals(case: Case, plan: Plan, put: Put) -> Iterator[Resource]:
    """The resources that a copy was made of, on the caller's shelf; of a transfer, on the sender's."""
    if put.shelf == case.shelf.key:
        return
    name = fhir.name(put.resource)
    places = {(case.shelf.key, put.origin)}
    for step in plan.exchanges:
        for mine, theirs in step.copies.items():
            if (put.shelf, name) == (step.recipient, theirs):
                places.add((step.source, mine))
                if step.terms.known and (before := identity.sent(case, step, mine)):
                    yield before  # it goes on as it was sent
            elif (put.shelf, name) == (step.source, mine):
                places.add((step.recipient, theirs))
        if put.shelf == step.recipient and contained.is_inside(put.origin):
            places.add((step.source, put.origin))
    written = {(one.shelf, fhir.name(one.resource)): one.resource for one in plan.puts}
    for shelf, source in sorted(places):
        original = written.get((shelf, source)) or (
            _standing(case, shelf, source) if source else None
        )
        if original is not None:
            yield original


def _standing(case: Case, shelf: str, name: str) -> Resource | None:
    def find(one: str) -> Resource | None:
        if shelf == case.shelf.key:
            return case.find(one)
        return case.loaded.standing(shelf, one)

    return contained.apart(find)(name) if contained.is_inside(name) else find(name)


def _placed(case: Case, resource: Resource, issue: Issue) -> Issue:
    """The issue at the place where the sender's message has the resource."""
    name, within = contained.place(fhir.name(resource), case.find)
    at = next((one.at for one in case.entries if one.at and fhir.name(one.resource) == name), "")
    if not (at or within):
        return issue
    kind = resource["resourceType"]
    holder = at or name.split("/", 1)[0]
    return replace(issue, expression=holder + within + issue.expression[len(kind) :])
