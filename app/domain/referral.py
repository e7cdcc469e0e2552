"""The planner `refer`: a clinician's order or report, decided, copied onto the agency's shelf, owed."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from app import fhir
from app.domain import (
    again,
    before,
    consents,
    contained,
    derived,
    draft,
    numbered,
    ordered,
    parties,
    patients,
    permission,
    report,
    unsent,
)
from app.domain.case import Case
from app.domain.change import Entry
from app.domain.completeness import SCORE, Measured
from app.domain.event import STATUS
from app.domain.loaded import NotLoaded, Want
from app.domain.parties import Parties
from app.domain.plan import Plan, together, tracking
from app.domain.report import Kept
from app.domain.sending import Sending
from app.domain.submission import Part
from app.errors import Invalid, Issue, NotSupported, Refusal
from app.fhir import Resource, concept, listed
from app.settings import BY_TENANT, CANONICAL, Kind, Tenant

REPORT: Final = f"{CANONICAL}/CodeSystem/cps-purpose"  # its code: cps-report
GUIDES: Final = (
    "http://hl7.org/fhir/us/sdoh-clinicalcare/StructureDefinition/SDOHCC-TaskForReferralManagement"
)
_PROFILES: Final[dict[Kind, tuple[str, ...]]] = {
    "family-support": (
        GUIDES,
        f"{CANONICAL}/StructureDefinition/family-support-task",
    ),
    "cps-report": (f"{CANONICAL}/StructureDefinition/cps-report-task",),
}
_TASK_CODE: Final = "http://hl7.org/fhir/CodeSystem/task-code"
_ACTS: Final[dict[Kind, str]] = {"family-support": "refer", "cps-report": "report"}
_PRIORITIES: Final = frozenset({"asap", "routine", "stat", "urgent"})


def is_referral(case: Case, task: Resource) -> bool:
    """
    Whether a Task on a clinic's shelf sends its focus: it names a request and a partner.

    A report that names none, or one that nobody knows, is not stored without a word: it is refused, with
    whom to name; so is a referral to a number of this exchange that nobody has. A Task for somebody of the clinic, or of another code, is the clinic's own.
    """
    focus = task.get("focus") or {}
    sends = task.get("status") in {"requested", "ready"} and task.get("intent") in unsent.ORDERS
    by_number = numbered.is_alone(focus, "ServiceRequest")
    names = by_number or fhir.literal(focus).startswith("ServiceRequest/")
    if case.shelf.role != "source" or not sends or not names:
        return False
    if parties.recipient(case, task.get("owner")).tenant is not None:
        return True
    if case.shelf.kind != "cps-report":
        return parties.is_gone(case, task.get("owner"))  # refused, with whom to name
    owner = task.get("owner") or {}
    kind = fhir.literal(owner).partition("/")[0] or owner.get("type", "")
    fulfil = "code" not in task or fhir.has_code(task["code"], _TASK_CODE, "fulfill")
    if not fulfil or kind not in {"", "Organization"}:
        return False
    name = asked(case, task)
    if not name:  # refused, unless the number may be that of something else
        return "type" in focus or bool(numbered.carrying(case, focus, "ServiceRequest"))
    request = case.find(name)
    return request is not None and unsent.is_report(request)


def unsent_to(case: Case, task: Resource) -> tuple[Issue, ...]:
    """A word to who stores a Task of the guide to somebody who is no partner: it may go another way."""
    profiles = [
        str(one).partition("|")[0] for one in listed((task.get("meta") or {}).get("profile"))
    ]
    refers = (case.shelf.kind, case.shelf.role) == ("family-support", "source")
    if not refers or GUIDES not in profiles or task.get("status") != "requested":
        return ()
    text = "Its owner is no registered partner: this exchange stores it, and sends it to nobody."
    return (Issue("warning", "business-rule", text, "Task.owner"),)


def asked(case: Case, task: Resource) -> str:
    """Type/id of the request that a Task asks somebody to do; "" where its number does not lead to one."""
    return numbered.one(case, task.get("focus"), "ServiceRequest")


def plan(case: Case, entry: Entry | None) -> Plan:
    """
    A referral or a report, by $refer, $report or a Task of the sender's own (entry).

    returns     the answer names the Task first, then the request
    raises      Invalid: what keeps it from being sent, every point of it, and what to do
                Kept: the same of a report, whose draft is kept
                Conflict: another was sent under the same identifier or id
                NotSupported: the shelf is for the other kind
    """
    kind = case.shelf.kind
    act = _ACTS[kind]
    if case.shelf.role != "source" or case.change.act in set(_ACTS.values()) - {act}:
        raise NotSupported(f"This shelf does not take ${case.change.act}; it is for {kind}.")
    case.change.caller.must_act(act)
    sent = entry or _request_entry(case)
    name = asked(case, entry.resource) if entry else ""
    request = case.find(name) if name else None
    request = sent.resource if sent and not entry else request
    if known := before.task(case, entry, sent, request):
        return _again(case, known, None if entry else sent)
    if request is not None:
        request = numbered.led(case, request)
        case = numbered.arriving(case, request)
    own = entry or (_task_entry(case, sent.resource) if sent else None)
    addressed = [own.resource.get("owner")] if own else []
    addressed += listed(contained.alone(request).get("performer")) if request else []
    registered = [found for one in addressed if (found := parties.recipient(case, one)).tenant]
    shelf = registered[0].shelf if registered else None
    if sent is None or request is None or shelf is None:
        return _decided(case, sent, own, request, registered, "")
    number = derived.exchange(case, sent, request, shelf.key)
    unseen: frozenset[Want] = frozenset()
    try:
        known = before.numbered(case, number, shelf.key)
    except NotLoaded as asked_for:
        unseen = asked_for.wants  # read with what else is asked for; until then nothing is decided
    if known:
        return _again(case, known, None if entry else sent)
    try:
        made = _decided(case, sent, own, request, registered, number)
    except (Kept, NotLoaded, Refusal) as decided:
        if not unseen:
            raise
        more = decided.wants if isinstance(decided, NotLoaded) else frozenset[Want]()
        raise NotLoaded(unseen | more) from None
    if unseen:
        raise NotLoaded(unseen)
    return made


def _decided(  # noqa: PLR0913 — what a referral consists of
    case: Case,
    sent: Entry | None,
    own: Entry | None,
    request: Resource | None,
    registered: list[Parties],
    number: str,
) -> Plan:
    """What is sent under this number; or why it is not, with what is kept of it."""
    party = registered[0] if registered else Parties()
    measured = _measured(case, request, party) if case.shelf.kind == "cps-report" else None
    try:
        return _alone(
            _sending(case, sent, own, request, party, measured, number), party, registered
        )
    except Refusal as refusal:
        if measured is None:
            raise
        if not isinstance(refusal, Invalid):
            raise report.unfit(case, refusal) from None
        lines = [one for one in report.hotline(case, party.tenant) if one not in refusal.issues]
        told = Invalid(issues=(*refusal.issues, *lines))
        raise report.keep(case, told, sent=sent, measured=measured) from None


def _again(case: Case, task: str, sent: Entry | None) -> Plan:
    """How what was sent stands; what is new in it goes nowhere, and whoever asked is told."""
    made = again.plan(case, task, sent)
    said = {one.text for one in made.answer.issues}
    over = sent is not None and again.ENDED in said and not again.is_repeated(case, task)
    if not over and again.NEW not in said:
        return made
    return together([made, ordered.unsent(case, task, over=over)], made.answer)


def _alone(made: Plan, party: Parties, addressed: list[Parties]) -> Plan:
    """The plan, with a word to who has named another agency besides: it is sent to one."""
    if all(one.tenant is party.tenant for one in addressed):
        return made
    text = "Another agency that this names gets nothing of it; send that one an order of its own."
    return _told(made, (Issue("warning", "business-rule", text, "ServiceRequest.performer"),))


def _sending(  # noqa: PLR0913 — what a referral consists of
    case: Case,
    sent: Entry | None,
    own: Entry | None,
    request: Resource | None,
    party: Parties,
    measured: Measured | None,
    number: str,
) -> Plan:
    """The disclosure, decided, under this number; Invalid says what keeps it from being sent."""
    faults = report.faults(measured, request) if measured else ()
    task = own.resource if own else {}
    unknown = numbered.faults(case, task.get("focus"), "ServiceRequest", "Task.focus")
    if request is not None:
        said = request.get("subject")
        unknown += numbered.faults(case, said, "Patient", "ServiceRequest.subject")
    if unknown or faults or sent is None:
        raise Invalid(issues=(*(unknown or faults), *report.hotline(case, party.tenant)))
    if request is None:
        raise Invalid("The focus leads nowhere on this shelf.", expression="Task.focus")
    _sendable(case, request, own)
    consent = permission.consent(case, request, party) if measured is None else None
    attestation = parties.attestation(case, request) if measured else None
    decision = permission.decide(
        case, request, party=party, consent=consent, attestation=attestation
    )
    if decision.rule is None or not decision.permitted or not (party.tenant and party.shelf):
        raise permission.refused(case, request, decision, party, consent)
    task = sent_task(case, request, own, party.tenant, addressed=party.addressed, exchange=number)
    if measured:
        task["extension"] = [*_foreign(task), measured.extension()]
    made = Sending(
        case=case,
        sent=sent,
        task=task,
        request=request,
        attestation=attestation,
        consent=fhir.name(consent) if consent else "",
        tenant=party.tenant,
        shelf=party.shelf,
        rule=decision.rule,
        override=report.overridden(measured, request) if measured else "",
        labels=derived.labels(case),
    ).plan()
    return _told(made, _ahead(case, attestation)) if attestation else made


def _ahead(case: Case, attestation: Resource) -> tuple[Issue, ...]:
    """A word on an attestation whose time has not come: a wrong clock is no reason for a report to wait."""
    if consents.is_past(str(attestation["recorded"]), fhir.instant(case.now)):
        return ()
    text = (
        "The attestation says a time that has not come. The report was sent; the accounting has the time of"
        " this service. See to the clock, or the time zone, of your system."
    )
    return (Issue("warning", "business-rule", text, "Provenance.recorded"),)


def _told(made: Plan, issues: tuple[Issue, ...]) -> Plan:
    return replace(made, answer=replace(made.answer, issues=(*made.answer.issues, *issues)))


def _foreign(task: Resource) -> list[Resource]:
    """The sender's own extensions; what we measured is ours to say."""
    return [one for one in listed(task.get("extension")) if one.get("url") != SCORE]


def _measured(case: Case, request: Resource | None, party: Parties) -> Measured:
    """What was sent, measured by the form of the jurisdiction that it goes to."""
    attested = parties.attestation(case, request) if request else None
    names = {fhir.name(one.resource) for one in case.entries}
    standing = tuple(
        Part(f"{case.change.base}/{fhir.name(one)}", one)
        for one in (request, attested)
        if one and fhir.name(one) not in names
    )
    made = draft.submitted(case, standing)
    return draft.measured(case, made, party.tenant.jurisdiction if party.tenant else "")


def _request_entry(case: Case) -> Entry | None:
    """
    The request that is sent; of a report None where there is not the one, which T0-1 says.

    raises      Invalid: a referral without its one request
    """
    requests = [one for one in case.entries if one.type == "ServiceRequest"]
    if case.shelf.kind == "cps-report":
        reports = [
            one
            for one in requests
            if fhir.has_code(one.resource.get("category"), REPORT, "cps-report")
        ]
        return (reports or requests)[0] if len(reports or requests) == 1 else None
    if len(requests) != 1:
        raise Invalid(
            f"Send exactly one ServiceRequest with ${case.change.act}; here are {len(requests)}.",
            expression="Bundle.entry",
        )
    return requests[0]


def _task_entry(case: Case, request: Resource) -> Entry | None:
    """The sender's own Task, where one came with the request."""
    name = fhir.name(request)
    return next(
        (one for one in case.entries if one.type == "Task" and asked(case, one.resource) == name),
        None,
    )


def _sendable(case: Case, request: Resource, own: Entry | None) -> None:
    """The request itself, before anybody asks whether it may go."""
    faults: list[Issue] = []

    def fault(text: str, element: str) -> None:
        faults.append(Issue("error", "business-rule", text, f"ServiceRequest.{element}"))

    is_report = fhir.has_code(request.get("category"), REPORT, "cps-report")
    if is_report and case.shelf.kind == "family-support":
        raise unsent.misplaced(case, "ServiceRequest.category")
    if case.shelf.kind == "cps-report" and not is_report:
        fault(
            "A report of suspected maltreatment has its own shelf and its own category, cps-report;"
            " a referral for help has neither, and neither becomes the other.",
            "category",
        )
    for element, asked_for in (("intent", "order"), ("status", "active")):
        if request.get(element) != asked_for:
            text = "Only an active order is sent; a proposal waits until a clinician orders."
            fault(text, element)
    if request.get("doNotPerform"):
        fault("This orders that something is not done; that is no referral.", "doNotPerform")
    subject = fhir.literal(request.get("subject"))
    if not subject.startswith("Patient/") or case.find(subject) is None:
        fault("Name the patient, who must be in the Bundle or on this shelf.", "subject")
    said = (own.resource if own else {}).get("for")
    if not is_report and not _is_for(case, said, subject):
        text = (
            "The Task is for somebody else than the request's subject; say whose referral this is."
        )
        faults.append(Issue("error", "business-rule", text, "Task.for"))
    if faults:
        raise Invalid(issues=(*faults, *report.hotline(case, None)))


def _is_for(case: Case, said: Resource | None, subject: str) -> bool:
    """Whether whom a Task is for is the request's subject (Type/id), or is not said."""
    by_number = numbered.is_alone(said, "Patient")
    whom = numbered.one(case, said, "Patient")
    if by_number:
        return whom in patients.records(case, subject)
    return whom in {"", subject}


def sent_task(  # noqa: PLR0913 — what it says
    case: Case,
    request: Resource,
    entry: Entry | None,
    tenant: Tenant,
    *,
    addressed: Resource,
    exchange: str,
) -> Resource:
    """The sender's Task, its own where it sent one; new: family-support-task or cps-report-task."""
    own = entry.resource if entry else {}
    subject = str(request["subject"]["reference"])
    task: Resource = {"resourceType": "Task", "id": own.get("id") or derived.task(case, exchange)}
    task["meta"] = {"profile": list(_PROFILES[case.shelf.kind])}
    owner = {"system": BY_TENANT, "value": tenant.id}
    task |= {
        "status": "requested",
        "intent": "order",
        "code": concept(_TASK_CODE, "fulfill"),
        "authoredOn": fhir.instant(case.now),
        "lastModified": fhir.instant(case.now),
        "requester": parties.requester(case, request),
        **own,
        "focus": numbered.literal(own.get("focus"), fhir.name(request)),
        "for": numbered.literal(own.get("for") or fhir.pointer(request["subject"]), subject),
        "owner": {
            "type": "Organization",
            "identifier": owner,
            "display": tenant.name,
            **addressed,
        },
        "identifier": [*listed(own.get("identifier")), tracking(exchange)],
    }
    if request.get("priority") in _PRIORITIES:
        task.setdefault("priority", request["priority"])
    if case.shelf.kind == "cps-report":
        task["for"] = fhir.pointer(request["subject"])  # it is one child's, whatever its Task said
        task["businessStatus"] = concept(STATUS, "submitted")
        task["meta"] = report.labelled(task.get("meta", {}))
    return {**task, "status": "requested"}
