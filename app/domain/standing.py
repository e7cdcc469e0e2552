"""What stands of a screening on the shelf, by its Provenance, brought to what it comes to now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from app import fhir
from app.domain import condition, making, patients
from app.domain.case import Case
from app.domain.loaded import Want
from app.domain.making import Who
from app.domain.patients import Subject
from app.domain.plan import Answer, Fate, Plan, Put, Stored, Waiting, Worklist, derive, put, same
from app.errors import Issue
from app.fhir import Resource


class Made(Struct, frozen=True):
    """
    What one screening comes to.

    resources   {Type/id: resource}; None: it waits, and what was made of it before stays
    sources     what it is made of
    occurred    when its source said it, as the source says; "" where it does not
    waiting     for each source what of it is on the worklist
    new         nothing can have been made of it before
    """

    screening: str
    subject: Subject
    resources: dict[str, Resource] | None
    sources: tuple[str, ...]
    occurred: str = ""
    issues: tuple[Issue, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    fates: tuple[Fate, ...] = ()
    new: bool = False


def carried(case: Case, made: Made, *, puts: tuple[Put, ...], name: str) -> Plan:
    """The plan that brings what was made about, beside the puts of what came."""
    shelf = case.shelf.key
    more, names, faults = settled(case, made)
    new = patients.created(case, made.subject) if made.resources else ()
    puts = (*puts, *new, *more)
    named = made.subject.named
    absent = ((shelf, condition.identifier("Patient", *named)),) if new and named else ()
    created = frozenset(fhir.name(one.resource) for one in puts if one.expected == 0)
    return Plan(
        Answer((name, *names) if name else names, created, (*made.issues, *faults), made.fates),
        puts,
        absent=absent,
        worklist=_worklist(case, made),
    )


def _worklist(case: Case, made: Made) -> tuple[Worklist, ...]:
    """What of each source waits now, where that is something else than before."""
    found = []
    if not made.new:
        case.loaded.announce({Want("waiting", case.shelf.key, one) for one in made.sources})
    waits: dict[str, dict[Waiting, None]] = {}
    for one in made.waiting:
        waits.setdefault(one.source, {})[one] = None
    for source in made.sources:
        waiting = tuple(waits.get(source, ()))
        before = () if made.new else case.loaded.waiting(case.shelf.key, source)
        if waiting != before:
            found.append(Worklist(case.shelf.key, source, waiting))
    return tuple(found)


def nothing(case: Case, name: str) -> Worklist:
    """Nothing of this source waits any more."""
    return Worklist(case.shelf.key, name, ())


def sources(case: Case, screening: str) -> tuple[str, ...]:
    """What a screening was made of so far, by its Provenance."""
    stored = case.loaded.resource(case.shelf.key, _provenance(case, screening))
    said = stored.resource.get("entity", ()) if stored else ()
    return tuple(one["what"]["reference"] for one in said)


def shown(case: Case, screening: str) -> tuple[str, ...]:
    """The names of what was made of a screening, with its Provenance last."""
    name = _provenance(case, screening)
    stored = case.loaded.resource(case.shelf.key, name)
    return (*_targets(stored), name) if stored and stored.stands else ()


def occurred(case: Case, name: str) -> str:
    """When the source of a screening said it, by its own word; "" where it did not say."""
    screening = screening_of(case, name)
    stored = case.loaded.resource(case.shelf.key, _provenance(case, screening))
    return str(stored.resource.get("occurredDateTime", "")) if stored else ""


def screening_of(case: Case, name: str) -> str:
    """The id that a response's screening has, from which those of its resources come."""
    return derive(case.key, case.shelf.key, "screening", name)


def settled(case: Case, made: Made) -> tuple[tuple[Put, ...], tuple[str, ...], tuple[Issue, ...]]:
    """
    The puts that make it so, the names of what then stands, and why there are none.

    Templates keep their profiles; what breaks one is what the source brought: a time, a reference.
    """
    shelf, now = case.shelf.key, case.now
    name = _provenance(case, made.screening)
    before = None if made.new else case.loaded.resource(shelf, name)
    earlier = _targets(before) if before and before.stands else ()
    if made.resources is None:
        return (), (*earlier, name) if earlier else (), ()
    if not made.new:
        case.loaded.expect(shelf, list(dict.fromkeys([*made.resources, *earlier])))
    puts: tuple[Put, ...] = ()
    for one, resource in made.resources.items():
        puts += _put(resource, None if made.new else case.loaded.resource(shelf, one), case)
    for one in earlier:
        if one not in made.resources:
            puts += _retract(case.loaded.resource(shelf, one), case)
    if not puts:
        return (), (*made.resources, name) if made.resources else (), ()
    targets = list(dict.fromkeys([*made.resources, *earlier]))
    record = making.provenance(
        Who(made.screening, {}),
        name.partition("/")[2],
        targets=targets,
        sources=list(made.sources),
        recorded=fhir.instant(now),
        occurred=made.occurred,
        again=bool(before),
    )
    puts += put(record, before, shelf=shelf, now=now, held=True)
    if faults := tuple(_broken(case, made, puts)):
        return (), (), faults
    return puts, (*made.resources, name), ()


def _broken(case: Case, made: Made, puts: Sequence[Put]) -> Iterator[Issue]:
    """What keeps what would be made from its profile; named at the source, which brought it."""
    source = made.sources[0].partition("/")[0]
    resources = (one.resource for one in puts)
    halves = case.mappings.templates.halves
    for issue in halves.faults(resources, case.definitions, now=case.now):
        where = issue.expression.partition(".")[2]
        text = f"What would be made of this does not keep its profile at {where}: {issue.text}"
        yield Issue("error", issue.code, text, source, issue.rule, issue.url)


def _provenance(case: Case, screening: str) -> str:
    return f"Provenance/{derive(case.key, case.shelf.key, 'made', screening, 'provenance')}"


def _targets(stored: Stored) -> tuple[str, ...]:
    return tuple(one["reference"] for one in stored.resource.get("target", ()))


def _put(resource: Resource, stored: Stored | None, case: Case) -> tuple[Put, ...]:
    """A new one is final; one that stood there and now says something else is corrected."""
    if stored is None or not stored.stands or fhir.in_error(stored.resource):
        made = resource
        if stored and stored.stands and resource["resourceType"] == "Observation":
            made = {**resource, "status": "corrected"}
    elif resource["resourceType"] == "Observation":
        status = stored.resource.get("status")
        if same(stored.resource, {**resource, "status": status}):
            return ()
        made = {**resource, "status": "corrected"}
    elif resource["resourceType"] == "Condition" and _is_proposed(stored.resource):
        made = {**stored.resource, "evidence": resource["evidence"]}
    else:
        return ()  # it may have been taken up since; it is made once
    return put(made, stored, shelf=case.shelf.key, now=case.now, held=True)


def _retract(stored: Stored | None, case: Case) -> tuple[Put, ...]:
    """What an earlier version of the screening showed and this one does not."""
    if stored is None or not stored.stands:
        return ()
    resource, kind = stored.resource, stored.resource["resourceType"]
    if kind == "Condition":
        if not _is_proposed(resource):
            return ()  # somebody has confirmed or refuted it
        gone = {name: one for name, one in resource.items() if name != "clinicalStatus"}
        gone["verificationStatus"] = making.ENTERED_IN_ERROR
    elif kind != "Observation" and resource.get("status") != "active":
        return ()  # a proposal that somebody has dealt with
    else:
        gone = {**resource, "status": "entered-in-error"}
    return put(gone, stored, shelf=case.shelf.key, now=case.now, held=True)


def _is_proposed(condition: Resource) -> bool:
    """Whether nobody has said yet that it is so, or that it is not."""
    return fhir.has_code(condition.get("verificationStatus"), making.VERIFICATION, "unconfirmed")
