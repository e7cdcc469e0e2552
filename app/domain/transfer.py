"""A report goes on to the authority that is responsible: a new exchange, whose Task is part of the old."""

from __future__ import annotations

from functools import partial

from msgspec.structs import replace

from app import fhir
from app.domain import disclosure, graph, identity, numbered, parties, patients, whose
from app.domain.case import Case, at_once
from app.domain.change import Entry
from app.domain.disclosure import Rule
from app.domain.event import STATUS
from app.domain.plan import Answer, Exchange, Plan, tracking
from app.domain.sending import Sending
from app.errors import Invalid
from app.fhir import Resource, concept
from app.settings import BY_TENANT, Shelf, Tenant


def authority(case: Case, exchange: Exchange, to: str) -> tuple[Tenant, Shelf]:
    """
    Whom the agency names, by an identifier (system|value) or by its name here.

    raises      Invalid: nobody that takes reports, or the one that has it
    """
    names = {to, f"{BY_TENANT}|{to}"}
    tenant = case.settings.tenant_of(names)
    shelf = tenant.shelf(kind=exchange.kind, role="recipient") if tenant else None
    if tenant is None or shelf is None or shelf.key == exchange.recipient:
        text = "Name another registered authority that takes reports, by identifier (system|value)."
        raise Invalid(text, expression="to")
    return tenant, shelf


def plan(case: Case, exchange: Exchange, tenant: Tenant, shelf: Shelf) -> Plan:
    """
    The same report, as it was sent, on the other authority's shelf; the clinic has a new Task.

    Nothing where that authority has it: who clicks twice sends once.
    """
    source = case.settings.shelves.get(exchange.source)
    if source is None:
        raise Invalid("The one who reported has left this exchange; call.", expression="to")
    known_as = _placed(case, exchange, tenant)
    if case.loaded.resource(source.key, f"Task/{known_as}"):
        return Plan(Answer(()))
    names = [name for name in exchange.copies if name != exchange.source_task]
    case.loaded.expect(source.key, [*names, exchange.source_task])
    each = at_once(partial(_kept, case, exchange), names)
    sent = [one for one in each if one]
    if whose.is_given_away(case, exchange):
        sent = _before(case, exchange, names)
    else:
        theirs = at_once(partial(_theirs, case, exchange), sent)
        sent = [_whole(case, exchange, source, one) for one in theirs if one]
    old = case.loaded.standing(source.key, exchange.source_task)
    request = _as_sent(case, exchange)
    if old is None or request is None:
        raise Invalid("The sender's own report is not there any more; call.", expression="to")
    sent = [request if fhir.name(one) == exchange.source_request else one for one in sent]
    entries = tuple(Entry("PUT", one, one["id"], said=one) for one in sent)
    change = replace(case.change, shelf=source, entries=entries)
    here = replace(case, change=change, entries=entries)
    made = Sending(
        case=here,
        sent=next(one for one in entries if one.resource is request),
        task=_task(case, known_as, old, tenant),
        request=request,
        attestation=parties.attestation(here, request),
        consent="",
        tenant=tenant,
        shelf=shelf,
        rule=_rule(case, exchange),
        override=exchange.terms.override,
        only=frozenset(exchange.copies),
        labels=exchange.copies,
    ).plan()
    new = [
        one for one in made.puts if one.shelf != source.key or fhir.name(one.resource) not in names
    ]
    known = exchange.terms.known or exchange.opened
    opened = [replace(one, terms=replace(one.terms, known=known)) for one in made.exchanges]
    # the message itself was taken in before
    return replace(made, puts=tuple(new), receipts=(), exchanges=tuple(opened))


def _kept(case: Case, exchange: Exchange, name: str) -> Resource | None:
    """What stands of what was sent (Type/id); as it was sent where its sender has deleted it since."""
    return case.loaded.standing(exchange.source, name) or identity.sent(case, exchange, name)


def _theirs(case: Case, exchange: Exchange, fact: Resource) -> Resource | None:
    """What was sent as it stands; as it was sent where it was written while the record was another's."""
    if not whose.was_anothers(case, exchange, fact):
        return fact
    return identity.sent(case, exchange, fhir.name(fact))


def _whole(case: Case, exchange: Exchange, source: Shelf, one: Resource) -> Resource:
    """The same, and of the child what the record says that stands in place of the one that was sent."""
    if fhir.name(one) != exchange.person:
        return one
    return patients.whole(case.on(source), one)


def _before(case: Case, exchange: Exchange, names: list[str]) -> list[Resource]:
    """What was sent as it was then: whatever is said of that record since may be said of another child."""
    at = exchange.terms.known or exchange.opened
    return [one for one in at_once(partial(case.loaded.past, exchange.source, at=at), names) if one]


def _as_sent(case: Case, exchange: Exchange) -> Resource | None:
    """The request as it was sent: what its sender has written into it since was sent to nobody."""
    shelf, name = exchange.source, exchange.source_request
    sent = case.loaded.standing(shelf, name)
    if sent and sent["meta"]["lastUpdated"] > exchange.opened:
        sent = case.loaded.past(shelf, name, exchange.opened)
    return {**sent, "subject": numbered.literal(sent["subject"], exchange.person)} if sent else None


def _rule(case: Case, exchange: Exchange) -> Rule:
    """
    The rule by which it was sent.

    raises      Invalid: there is none any more
    """
    facts = disclosure.done(mandated=exchange.terms.mandated)
    decision = disclosure.decide(
        case.mappings.rules, kind=exchange.kind, direction="outward", facts=facts
    )
    if decision.rule is None or not decision.permitted:
        raise disclosure.refusal(decision, case.mappings.advice, at="to")
    return decision.rule


def _placed(case: Case, exchange: Exchange, tenant: Tenant) -> str:
    """The id of the clinic's Task for the other authority."""
    place = graph.placed(
        case.key, recipient=exchange.source, exchange=exchange.id, source=exchange.recipient
    )
    return place(f"transfer-{tenant.id}")


def _task(case: Case, identity: str, old: Resource, tenant: Tenant) -> Resource:
    kept = ("intent", "code", "focus", "for", "requester", "priority", "extension")
    meta = {name: value for name, value in (old.get("meta") or {}).items() if name == "security"}
    return {
        "resourceType": "Task",
        "id": identity,
        **({"meta": meta} if meta else {}),
        **{name: old[name] for name in kept if name in old},
        "partOf": [fhir.reference(old)],
        "status": "requested",
        "businessStatus": concept(STATUS, "submitted"),
        "authoredOn": fhir.instant(case.now),
        "lastModified": fhir.instant(case.now),
        "owner": {
            "type": "Organization",
            "identifier": {"system": BY_TENANT, "value": tenant.id},
            "display": tenant.name,
        },
        "identifier": [tracking(identity)],
    }
