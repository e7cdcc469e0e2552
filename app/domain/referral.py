"""The planner `refer`: a clinician's order or report, decided, copied onto the agency's shelf, owed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from app import fhir
from app.domain import disclosure
from app.domain.case import Case
from app.domain.disclosure import Decision
from app.domain.event import STATUS
from app.domain.plan import Answer, Entry, Exchange, Plan, same, tracking
from app.domain.sending import Sending
from app.errors import Invalid, Issue, NotSupported
from app.fhir import Resource, concept, listed
from app.settings import CANONICAL, Kind, Shelf, Tenant

REPORT: Final = f"{CANONICAL}/CodeSystem/cps-purpose"  # its code: cps-report
_ALLEGATION: Final = f"{CANONICAL}/CodeSystem/cps-allegation"
_PROFILE: Final = (
    "http://hl7.org/fhir/us/sdoh-clinicalcare/StructureDefinition/SDOHCC-TaskForReferralManagement"
)
_TASK_CODE: Final = "http://hl7.org/fhir/CodeSystem/task-code"
_AGENT_TYPE: Final = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_ACTS: Final[dict[Kind, str]] = {"family-support": "refer", "cps-report": "report"}
_ENDED: Final = frozenset({"rejected", "cancelled", "failed"})
_WITHDRAWN: Final = frozenset({"revoked", "entered-in-error", "on-hold"})
_HUMANS: Final = ("Practitioner/", "PractitionerRole/")


@dataclass(frozen=True, slots=True)
class _Parties:
    """
    Who a referral goes to.

    addressed   the reference that names it, as it was written
    """

    tenant: Tenant | None = None
    shelf: Shelf | None = None
    addressed: Resource = field(default_factory=dict)


def is_referral(case: Case, task: Resource) -> bool:
    """Whether a Task on a clinic's shelf sends its focus: it names a request and a partner."""
    focus = str((task.get("focus") or {}).get("reference", ""))
    sends = task.get("status") in {"requested", "ready"} and task.get("intent") == "order"
    return (
        case.shelf.role == "source"
        and sends
        and focus.startswith("ServiceRequest/")
        and _parties(case, task.get("owner")).tenant is not None
    )


def plan(case: Case, entry: Entry | None) -> Plan:
    """
    A referral or a report, by $refer, $report or a Task of the sender's own (entry).

    returns     the answer names the Task first, then the request
    raises      Invalid: what keeps it from being sent, every point of it, and what to do
                NotSupported: the shelf is for the other kind
    """
    kind = case.shelf.kind
    act = _ACTS[kind]
    if case.shelf.role != "source" or case.change.act in set(_ACTS.values()) - {act}:
        raise NotSupported(f"This shelf does not take ${case.change.act}; it is for {kind}.")
    case.change.caller.must_act(act)
    sent = entry or _request_entry(case)
    if before := case.repeated(sent):
        return Plan(_as_it_stands(case, before))
    request = case.find(entry.resource["focus"]["reference"]) if entry else sent.resource
    if request is None:
        raise Invalid("The focus leads nowhere on this shelf.", expression="Task.focus")
    _sendable(case, request)
    if under_way := _sent_before(case, request):
        return Plan(_as_it_stands(case, under_way.source_task))

    addressed = [entry.resource.get("owner")] if entry else listed(request.get("performer"))
    parties = next(
        (found for one in addressed if (found := _parties(case, one)).tenant), _Parties()
    )
    consent = _consent(case, request) if kind == "family-support" else None
    attestation = _attestation(case, request) if kind == "cps-report" else None
    decision = _decide(case, request, parties=parties, consent=consent, attestation=attestation)
    if decision.rule is None or not decision.permitted or not (parties.tenant and parties.shelf):
        raise _refused(case, decision, parties, consent)
    task = _task(case, request, entry, parties.tenant, parties.addressed)
    return Sending(
        case=case,
        sent=sent,
        task=task,
        request=request,
        attestation=attestation,
        consent=fhir.name(consent) if consent else "",
        tenant=parties.tenant,
        shelf=parties.shelf,
        rule=decision.rule,
    ).plan()


def _request_entry(case: Case) -> Entry:
    requests = [one for one in case.entries if one.type == "ServiceRequest"]
    if len(requests) != 1:
        raise Invalid(
            f"Send exactly one ServiceRequest with ${case.change.act}; here are {len(requests)}.",
            expression="Bundle.entry",
        )
    return requests[0]


def _sent_before(case: Case, request: Resource) -> Exchange | None:
    """The exchange in which this request is under way; after a refusal it may be sent again."""
    return next(
        (
            one
            for one in case.loaded.sent(case.shelf.key, fhir.name(request))
            if one.state not in _ENDED
        ),
        None,
    )


def followed(case: Case, request: Resource) -> tuple[Issue, ...]:
    """
    A word on a change of a request that is under way: the agency's copy stays as it was sent.

    raises      NotSupported: it would withdraw the request, and nobody would tell the agency
    """
    name = fhir.name(request)
    stored = case.loaded.resource(case.shelf.key, name)
    before = _sent_before(case, request)
    if before is None or stored is None or same(stored.resource, request):
        return ()
    if request.get("status") in _WITHDRAWN:
        text = "A sent request cannot be withdrawn here yet; call the agency."
        raise NotSupported(text, expression="ServiceRequest.status")
    text = "This was sent; the agency's copy stays as it was."
    return (Issue("warning", "business-rule", text, "ServiceRequest"),)


def _as_it_stands(case: Case, task: str) -> Answer:
    stored = case.find(task)
    focus = [stored["focus"]["reference"]] if stored else []
    note = Issue("information", "duplicate", "This was sent before; here is how it stands.")
    return Answer((task, *focus), issues=(note,))


def _sendable(case: Case, request: Resource) -> None:
    """The request itself, before anybody asks whether it may go."""
    faults: list[Issue] = []

    def fault(text: str, element: str) -> None:
        faults.append(Issue("error", "business-rule", text, f"ServiceRequest.{element}"))

    is_report = fhir.has_code(request.get("category"), REPORT, "cps-report")
    if is_report is not (case.shelf.kind == "cps-report"):
        fault(
            "A report of suspected maltreatment has its own shelf and its own category, cps-report;"
            " a referral for help has neither, and neither becomes the other.",
            "category",
        )
    if request.get("intent") != "order" or request.get("status") != "active":
        fault("Only an active order is sent; a proposal waits until a clinician orders.", "intent")
    subject = str((request.get("subject") or {}).get("reference", ""))
    if not subject.startswith("Patient/") or case.find(subject) is None:
        fault("Name the patient, who must be in the Bundle or on this shelf.", "subject")
    if case.shelf.kind == "cps-report":
        patients = {one.id for one in case.entries if one.type == "Patient"}
        if len(patients) > 1:
            fault("One report concerns one child; send siblings one by one.", "subject")
        if not any(
            coding.get("system") == _ALLEGATION
            for reason in listed(request.get("reasonCode"))
            for coding in listed(reason.get("coding"))
        ):
            fault(f"Code at least one allegation, system {_ALLEGATION}.", "reasonCode")
        if not any(str(note.get("text", "")).strip() for note in listed(request.get("note"))):
            fault("Write down what was seen or heard, by whom, and when.", "note")
    if faults:
        raise Invalid(issues=(*faults, *_call(case, None)))


def _decide(
    case: Case,
    request: Resource,
    *,
    parties: _Parties,
    consent: Resource | None,
    attestation: Resource | None,
) -> Decision:
    facts: set[str] = set()
    if _human(case, request.get("requester")):
        facts.add("human-requester")
    if parties.shelf is not None:
        facts.add("recipient-registered")
    if attestation is not None:
        facts.add("attested")
    facts |= disclosure.consent_facts(
        consent,
        patient=str(request["subject"]["reference"]),
        recipient=lambda actor: _parties(case, actor).tenant is parties.tenant is not None,
        now=fhir.instant(case.now),
    )
    return disclosure.decide(
        case.mappings.rules, kind=case.shelf.kind, direction="outward", facts=frozenset(facts)
    )


def _refused(
    case: Case, decision: Decision, parties: _Parties, consent: Resource | None
) -> Invalid:
    if consent is None:  # what a consent would have to say is no help where there is none
        absent = {"consent-in-force", "consent-names-recipient"}
        missing = tuple(fact for fact in decision.missing if fact not in absent)
        decision = replace(decision, missing=missing)
    refusal = disclosure.refusal(decision, case.mappings.advice, at="ServiceRequest")
    return Invalid(issues=(*refusal.issues, *_call(case, parties.tenant)))


def _call(case: Case, tenant: Tenant | None) -> tuple[Issue, ...]:
    """A refused report must not end in silence: whom to call instead."""
    if case.shelf.kind != "cps-report":
        return ()
    places = [tenant] if tenant else list(case.settings.tenants)
    lines = {case.mappings.hotline(one.jurisdiction) for one in places} - {""}
    return tuple(Issue("information", "informational", line) for line in sorted(lines))


def _parties(case: Case, reference: Resource | None) -> _Parties:
    """Whom a reference to an organization means, by the identifiers that it is known by."""
    reference = reference or {}
    tenant = case.settings.tenant_of(disclosure.organization(reference, case.find))
    if tenant is None:
        return _Parties()
    return _Parties(tenant, tenant.shelf(kind=case.shelf.kind, role="recipient"), reference)


def _human(case: Case, reference: Resource | None) -> bool:
    """Whether a reference leads to a person: a Practitioner with a name, or an active role of one."""
    name = str((reference or {}).get("reference", ""))
    found = case.find(name) if name.startswith(_HUMANS) else None
    if found and found["resourceType"] == "PractitionerRole":
        if found.get("active") is False:
            return False
        name = str((found.get("practitioner") or {}).get("reference", ""))
        found = case.find(name) if name.startswith("Practitioner/") else None
    names = listed((found or {}).get("name"))
    return any(str(one.get(part, "")).strip() for one in names for part in ("text", "family"))


def _consent(case: Case, request: Resource) -> Resource | None:
    """The consent that the request names."""
    for reference in listed(request.get("supportingInfo")):
        name = str(reference.get("reference", ""))
        if name.startswith("Consent/") and (consent := case.find(name)):
            return consent
    return None


def _attestation(case: Case, request: Resource) -> Resource | None:
    """The Provenance in which a human says: I have reason to suspect."""
    for entry in case.entries:
        resource = entry.resource
        targets = {one.get("reference") for one in listed(resource.get("target"))}
        if entry.type == "Provenance" and fhir.name(request) in targets and "recorded" in resource:
            for agent in listed(resource.get("agent")):
                behalf = str((agent.get("onBehalfOf") or {}).get("reference", ""))
                if (
                    fhir.has_code(agent.get("type"), _AGENT_TYPE, "attester")
                    and _human(case, agent.get("who"))
                    and not behalf.startswith("Device/")
                ):
                    return resource
    return None


def _task(
    case: Case, request: Resource, entry: Entry | None, tenant: Tenant, addressed: Resource
) -> Resource:
    """The sender's Task, its own where it sent one; new: SDOHCC-TaskForReferralManagement."""
    own = entry.resource if entry else {}
    exchange = case.id("exchange", fhir.name(request))
    identity = own.get("id") or case.id("task", fhir.name(request))
    task: Resource = {"resourceType": "Task", "id": identity}
    if case.shelf.kind == "family-support":
        task["meta"] = {"profile": [_PROFILE]}
    owner = {"system": f"{CANONICAL}/sid/tenant", "value": tenant.id}
    task |= {
        "status": "requested",
        "intent": "order",
        "code": concept(_TASK_CODE, "fulfill"),
        "focus": fhir.reference(request),
        "for": request["subject"],
        "authoredOn": fhir.instant(case.now),
        "lastModified": fhir.instant(case.now),
        "requester": request["requester"],
        **own,
        "owner": {
            "type": "Organization",
            "identifier": owner,
            "display": tenant.name,
            **addressed,
        },
        "identifier": [*listed(own.get("identifier")), tracking(exchange)],
    }
    if request.get("priority"):
        task.setdefault("priority", request["priority"])
    if case.shelf.kind == "cps-report":
        task["businessStatus"] = concept(STATUS, "submitted")
    return {**task, "status": "requested"}
