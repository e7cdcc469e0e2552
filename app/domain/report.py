"""A report of suspected maltreatment before it is sent: its structure, and the draft that a refusal keeps."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from msgspec.structs import replace

from app import fhir
from app.domain.case import Case
from app.domain.change import Entry
from app.domain.completeness import Measured
from app.domain.plan import Answer, Plan, Put, derive, put, touched
from app.domain.whom import spoken_of
from app.errors import Invalid, Issue, Refusal
from app.fhir import Resource, concept, listed
from app.settings import CANONICAL, Tenant

OVERRIDE: Final = f"{CANONICAL}/StructureDefinition/cps-override"
DUTY: Final = f"{CANONICAL}/StructureDefinition/cps-reporter-duty"
FEEDBACK: Final = f"{CANONICAL}/StructureDefinition/cps-feedback-request"
INPUT: Final = f"{CANONICAL}/CodeSystem/task-input"
LABELS: Final = [
    {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"},
    {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "NOPAT"},
    {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "CPLYPOL"},
    {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "VIO"},
]
_ONE_CHILD: Final = frozenset({"T0-1", "T0-2"})


class Kept(Exception):  # noqa: N818 — the refusal inside is the error; this is what it leaves behind
    """
    A report is not sent, and what was written is kept.

    refusal     the answer, once plan is committed
    """

    def __init__(self, refusal: Refusal, plan: Plan, case: Case) -> None:
        self.refusal = refusal
        self.plan = plan
        self.case = case
        super().__init__()


def labelled(meta: Resource) -> Resource:
    """What belongs to a report carries its labels, beside those that it has."""
    has = listed(meta.get("security"))
    return {**meta, "security": [*has, *(one for one in LABELS if one not in has)]}


def faults(measured: Measured, request: Resource | None) -> tuple[Issue, ...]:
    """
    The structural rules that keep it from being sent, each with what to do.

    Where there is no one child, whether anything was seen of the child is not asked.
    """
    failed = {rule.id for rule in measured.failed}
    return tuple(
        rule.issue()
        for rule in measured.failed
        if rule.hard or not (failed & _ONE_CHILD or reason(request or {}, rule.id))
    )


def reason(request: Resource, rule: str) -> str:
    """What the reporter typed to send in spite of a rule that stops softly; "" for nothing."""
    for extension in fhir.extensions(request, OVERRIDE):
        said = {
            part.get("url"): next(
                (value for name, value in part.items() if name.startswith("value")), ""
            )
            for part in listed(extension.get("extension"))
        }
        if said.get("rule") == rule and str(said.get("reason", "")).strip():
            return str(said["reason"])
    return ""


def overridden(measured: Measured, request: Resource) -> str:
    """The id of the rule that fails and that the reporter overrode; "" where none did."""
    return next((one.id for one in measured.failed if not one.hard and reason(request, one.id)), "")


def mandated(request: Resource) -> bool:
    """Whether the law obliges the one who reports; a clinician is obliged unless the report says no."""
    duties = {one.get("valueCode") for one in fhir.extensions(request, DUTY)}
    return "permissive" not in duties


def wanted(request: Resource) -> bool:
    """Whether the report asks to hear of its outcome."""
    return any(
        part.get("valueBoolean") is True
        for one in fhir.extensions(request, FEEDBACK)
        for part in fhir.extensions(one, "want")
    )


def hotline(case: Case, tenant: Tenant | None) -> tuple[Issue, ...]:
    """A refused report must not end in silence: whom to call instead."""
    return lines(case, tenant) if case.shelf.kind == "cps-report" else ()


def lines(case: Case, tenant: Tenant | None) -> tuple[Issue, ...]:
    """The hotline of whoever takes reports there, else of all."""
    places = [tenant] if tenant and tenant.jurisdiction else list(case.settings.tenants)
    said = {case.mappings.hotline(one.jurisdiction) for one in places} - {""}
    return tuple(Issue("information", "informational", line) for line in sorted(said))


def draft_id(case: Case, sent: Entry | None) -> str:
    """One draft for one report, however often it is tried."""
    if sent is not None:
        mark, subject = case.receipt(sent, "", anew=False), sent.said.get("subject") or {}
        named = fhir.literal(subject)  # two children may come under one number
        child = spoken_of({"subject": subject}, case.came).decode() or named
        return derive(case.key, "draft", case.shelf.key, mark.key, child)
    written = fhir.encode([one.resource for one in case.change.entries])
    digest = hashlib.sha256(written).hexdigest()
    return derive(case.key, "draft", case.shelf.key, digest)


def keep(
    case: Case, refusal: Invalid, *, sent: Entry | None, measured: Measured | None = None
) -> Kept:
    """The refusal, with the draft Task and everything that was written as a Bundle beside it."""
    identity = draft_id(case, sent)
    written = {"id": identity, "meta": {"security": LABELS}, **_written(case)}
    issues, plan = _kept(case, refusal, written, measured)
    return Kept(Invalid(issues=issues), plan, case)


def unread(case: Case, refusal: Refusal) -> Kept:
    """
    A report that cannot be read as it came, for one wrong word in it: kept as it came, beside its draft Task.

    No shelf stores what is no FHIR, so that it stands there as the content of a Binary.
    """
    body = fhir.encode(_written(case))
    requests = [one for one in case.change.all_entries if one.type == "ServiceRequest"]
    known = len(requests) == 1 and not case.definitions.shape(requests[0].resource)
    sent = replace(requests[0], said=requests[0].resource) if known else None
    name = hashlib.sha256(body).hexdigest()
    identity = draft_id(case, sent) if sent else derive(case.key, "draft", case.shelf.key, name)
    written: Resource = {
        "resourceType": "Binary",
        "id": identity,
        "meta": {"security": LABELS},
        "contentType": "application/fhir+json",
        "securityContext": {"reference": f"Task/{identity}"},
        "data": base64.b64encode(body).decode(),
    }
    told = Invalid(issues=(*refusal.issues, *hotline(case, None)))
    issues, plan = _kept(case, told, written, None)
    return Kept(type(refusal)(issues=issues), plan, case)


def _written(case: Case) -> Resource:
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {**({"fullUrl": one.full_url} if one.full_url else {}), "resource": one.resource}
            for one in case.change.all_entries
            if one.method in {"POST", "PUT"}
        ],
    }


def _kept(
    case: Case, refusal: Refusal, written: Resource, measured: Measured | None
) -> tuple[tuple[Issue, ...], Plan]:
    """What is said of a report that was refused, and the plan that keeps it."""
    identity = written["id"]
    task: Resource = {
        "resourceType": "Task",
        "id": identity,
        "meta": {"security": LABELS},
        **({"extension": [measured.extension()]} if measured else {}),
        "status": "draft",
        "intent": "order",
        "code": {"text": "Complete this report and send it, or call"},
        "authoredOn": fhir.instant(case.now),
        "input": [
            {
                "type": concept(INPUT, "submission", "What was written"),
                "valueReference": fhir.reference(written),
            }
        ],
    }
    shelf = case.shelf.key
    stored = case.loaded.resource(shelf, fhir.name(task))
    if stored and stored.stands:
        task["authoredOn"] = stored.resource.get("authoredOn", task["authoredOn"])
    puts = put(written, case.loaded.resource(shelf, fhir.name(written)), shelf=shelf, now=case.now)
    puts += put(touched(task, case.now), stored, shelf=shelf, now=case.now)
    text = f"Nothing was sent. What you wrote is kept on this shelf, as the draft Task/{identity}."
    note = Issue("information", "informational", text)
    lines = [one for one in refusal.issues if one.severity == "information"]
    issues = (*(one for one in refusal.issues if one not in lines), note, *lines)
    return issues, Plan(Answer((fhir.name(task),)), puts)


def unfit(case: Case, refusal: Refusal, *, another: bool = False) -> Kept:
    """
    A report that is refused for what is no lack of it: kept as well, and whom to call instead.

    another     it came under the identifier of another report, whose draft is not its own
    """
    requests = [one for one in case.entries if one.type == "ServiceRequest" and not another]
    sent = requests[0] if requests else None
    said = Invalid(issues=(*refusal.issues, *hotline(case, None)))
    kept = keep(case, said, sent=sent)
    return Kept(type(refusal)(issues=kept.refusal.issues), kept.plan, case)


def sent_after_all(case: Case, sent: Entry, task: Resource) -> tuple[Put, ...]:
    """The draft of an earlier try, done."""
    name = f"Task/{draft_id(case, sent)}"
    stored = case.loaded.resource(case.shelf.key, name)
    if stored is None or not stored.stands or stored.resource.get("status") != "draft":
        return ()
    output = [{"type": {"text": "Sent as"}, "valueReference": fhir.reference(task)}]
    done = touched({**stored.resource, "status": "completed", "output": output}, case.now)
    return put(done, stored, shelf=case.shelf.key, now=case.now)
