"""Who takes part in a referral: the human who sends it, and the registered partner that receives it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from app import fhir
from app.domain import contained, disclosure, identity
from app.domain.case import Case
from app.domain.plan import same
from app.domain.whom import ATTESTER
from app.fhir import Resource, listed
from app.settings import BY_TENANT, Shelf, Tenant

_HUMANS: Final = ("Practitioner/", "PractitionerRole/")


@dataclass(frozen=True, slots=True)
class Parties:
    """
    Who a referral goes to.

    addressed   the reference that names it, and its number; {} where that is contained
    """

    tenant: Tenant | None = None
    shelf: Shelf | None = None
    addressed: Resource = field(default_factory=dict)


def recipient(case: Case, reference: Resource | None) -> Parties:
    """Whom a reference to an organization means, by the identifiers that it is known by."""
    reference = reference or {}
    found = disclosure.organization(reference, contained.apart(case.find))
    tenant = case.settings.tenant_of(found)
    if tenant is None:
        return Parties()
    addressed: Resource = {}
    if not contained.is_inside(fhir.literal(reference)):
        addressed = fhir.pointer(reference)
        if "reference" not in addressed:  # then it was known by its number
            number = reference["identifier"]
            addressed["identifier"] = {name: number[name] for name in ("system", "value")}
    return Parties(tenant, tenant.shelf(kind=case.shelf.kind, role="recipient"), addressed)


def is_gone(case: Case, reference: Resource | None) -> bool:
    """Whether it is named by a number of this exchange that nobody has: it is mistyped, or that one has left."""
    named = disclosure.organization(reference or {}, contained.apart(case.find))
    ours = any(one.startswith(f"{BY_TENANT}|") for one in named)
    return ours and case.settings.tenant_of(named) is None


def human(case: Case, reference: Resource | None) -> Resource | None:
    """The person a reference leads to: a Practitioner with a name, or an active role of one."""
    name, find = fhir.literal(reference), contained.apart(case.find)
    found = find(name) if name.startswith(_HUMANS) else None
    if found and found["resourceType"] == "PractitionerRole":
        if found.get("active") is False:
            return None
        name = fhir.literal(found.get("practitioner"))
        found = find(name) if name.startswith("Practitioner/") else None
    names = listed((found or {}).get("name"))
    named = any(str(one.get(part, "")).strip() for one in names for part in ("text", "family"))
    return found if named else None


def written(human: Resource | None) -> str:
    """A person's first name, as one writes it; "" for none."""
    said: Resource = next((one for one in listed((human or {}).get("name"))), {})
    parts = [*listed(said.get("given")), said.get("family", "")]
    return str(said.get("text") or " ".join(parts)).strip()


def requester(case: Case, request: Resource) -> Resource:
    """Who asks, as a Task says it: by name alone who is contained in the request, or no role."""
    said = fhir.pointer(request["requester"])
    lone = fhir.pointer(contained.alone(request)["requester"])
    name = fhir.literal(lone)
    roleless = is_roleless(case, lone)
    if not roleless and (lone == said or not contained.is_inside(name)):
        return said
    display = said.get("display") or written(human(case, lone))
    kind = {} if roleless else {"type": name.split("/", 1)[0]}
    return {**kind, **({"display": display} if display else {})}


def is_roleless(case: Case, reference: Resource) -> bool:
    """Whether a Task of the guide cannot refer to who asks: SDOHCC takes a role or an organization."""
    bare = fhir.literal(reference).startswith("Practitioner/")
    return bare and case.shelf.kind == "family-support"


def named(case: Case, reference: Resource | None) -> bool:
    """Whether a reference means a person whom one can ask for: a role or a practitioner with a name."""
    reference = reference or {}
    name = fhir.literal(reference)
    found = case.find(name) if name.startswith(_HUMANS) else None
    if name and found is None:
        return False
    if not name and reference.get("type") not in {"Practitioner", "PractitionerRole"}:
        return False
    says = (reference, (found or {}).get("practitioner") or {})
    return any(one.get("display") for one in says) or human(case, reference) is not None


def means(case: Case, consent: Resource, tenant: str) -> bool:
    """Whether a consent is about this tenant: it names them, or nobody."""
    actors = listed((consent.get("provision") or {}).get("actor"))
    named = (recipient(case, one.get("reference")).tenant for one in actors)
    return not actors or any(one and one.id == tenant for one in named)


def desk(case: Case, agency: Tenant) -> Resource:
    """Whom one calls at an agency: its own contact, else the hotline of its jurisdiction."""
    if agency.contact:
        phone = {"system": "phone", "value": agency.contact.phone}
        return {"name": agency.contact.name, "telecom": [phone]}
    place = case.mappings.jurisdictions.get(agency.jurisdiction)
    if place is None:
        return {"name": agency.name}
    return {"name": place.name, "telecom": [{"system": "phone", "value": place.hotline}]}


def personal(reference: Resource | None) -> bool:
    """Whether a reference means a person at all, and no organization or team."""
    reference = reference or {}
    kind = fhir.literal(reference).split("/", 1)[0] or reference.get("type")
    return kind in {"Practitioner", "PractitionerRole"}


def attestation(case: Case, request: Resource) -> Resource | None:
    """
    The Provenance in which a human says: I have reason to suspect.

    It comes with the report; or stands on the sender's shelf, for those who can write one thing at a time:
    then the request was not changed since, nor the child's record given to another.
    """
    for entry in case.entries:
        if entry.type == "Provenance" and _attests(case, entry.resource, request):
            return entry.resource
    return _standing(case, request)


def _attests(case: Case, provenance: Resource, request: Resource) -> bool:
    resource = contained.alone(provenance)
    targets = {fhir.target(one) for one in listed(resource.get("target"))}
    if fhir.name(request) not in targets or "recorded" not in resource:
        return False
    return any(
        fhir.has_code(agent.get("type"), ATTESTER, "attester")
        and human(case, agent.get("who"))
        and not fhir.literal(agent.get("onBehalfOf")).startswith("Device/")
        for agent in listed(resource.get("agent"))
    )


def _standing(case: Case, request: Resource) -> Resource | None:
    shelf, name = case.shelf.key, fhir.name(request)
    stored, came = case.loaded.resource(shelf, name), case.arriving(name)
    if stored is None or not stored.stands or (came and not same(stored.resource, came)):
        return None
    asked = f"Provenance?target={name}&agent-type={ATTESTER}|attester"
    if stored.version > 1:
        asked += f"&_lastUpdated=ge{stored.resource['meta']['lastUpdated']}"
    for one in case.loaded.found(shelf, asked):
        found = case.loaded.resource(shelf, one)
        if found is None or not found.stands or not _attests(case, found.resource, request):
            continue
        written, attested = (each["meta"]["lastUpdated"] for each in (stored.resource, found.resource))  # fmt: skip
        child = fhir.target(fhir.about(stored.resource))
        if fhir.is_relative(child) and identity.was_another(case, child, attested):
            continue
        if stored.version == 1 or fhir.not_after(written, attested):
            return found.resource
    return None
