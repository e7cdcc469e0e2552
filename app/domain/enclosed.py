"""A report or a referral inside a Bundle that is to be stored as a resource, where nobody would open it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from app import fhir
from app.domain import disclosure, report, unsent
from app.domain.case import Case
from app.domain.change import Entry
from app.errors import Invalid, Issue, NotSupported
from app.fhir import Resource, listed
from app.settings import Tenant

_ASKS: Final = frozenset({"batch", "transaction"})
_TELLS: Final = frozenset({"batch-response", "history", "searchset", "transaction-response"})
_NESTED: Final = 3  # a Bundle of siblings' Bundles is two


def hold(case: Case, entry: Entry) -> tuple[Issue, ...]:
    """
    What there is to say about a Bundle that is stored, and sends nothing.

    raises      Kept: it holds a report that nobody has; what was written stands as a draft
                NotSupported: it asks for something, and would be answered as if that were done; or it holds
                a referral that nobody would get
    """
    bundle = entry.resource
    if bundle.get("type") in _TELLS:
        return ()
    parts = list(_parts(bundle))
    if case.shelf.role == "source":
        reports = [one for one in parts if unsent.is_report(one.resource)]
        waiting = [one for one in reports if not case.loaded.sent(case.shelf.key, one.name)]
        if waiting:
            return _report(case, entry, parts, waiting)
        if not reports and any(_refers(case, one.resource, parts) for one in parts):
            text = "A Bundle that is stored refers nobody: POST it to the base of this shelf, or to $refer."
            raise NotSupported(text, expression="Bundle")
    if bundle.get("type") in _ASKS:
        text = "POST a Bundle of this type to the base of this shelf; stored, nothing of it would be done."
        raise NotSupported(text, expression="Bundle.type")
    return ()


def _report(
    case: Case, entry: Entry, parts: list[Entry], reports: list[Entry]
) -> tuple[Issue, ...]:
    """Raises Kept or Invalid, unless it is the draft that a refusal has kept: that may be mended."""
    if case.shelf.kind != "cps-report":
        raise unsent.misplaced(case, "Bundle")
    said = "Nobody has this report: what is stored as a Bundle is not sent. POST it to $report, or to the base of this shelf."
    draft = case.loaded.resource(case.shelf.key, f"Task/{entry.id}")
    if draft and draft.stands and draft.resource.get("status") == "draft":
        issue = Issue("warning", "business-rule", said, "Bundle")
        return (issue, *report.hotline(case, None))
    change = replace(case.change, entries=tuple(parts), siblings=())
    told = Invalid(said, expression="Bundle")
    refusal = Invalid(issues=(*told.issues, *report.hotline(case, None)))
    case = replace(case, change=change, entries=tuple(parts))
    raise report.keep(case, refusal, sent=reports[0] if len(reports) == 1 else None)


def _parts(bundle: Resource, depth: int = _NESTED) -> Iterator[Entry]:
    """What a Bundle holds, also in Bundles within it."""
    for one in listed(bundle.get("entry")):
        resource = one.get("resource")
        if not isinstance(resource, dict):
            continue
        if resource.get("resourceType") == "Bundle" and depth:
            yield from _parts(resource, depth - 1)
            continue
        identity, url = str(resource.get("id", "")), str(one.get("fullUrl", ""))
        yield Entry("PUT" if identity else "POST", resource, identity, url, said=resource)


def _refers(case: Case, resource: Resource, parts: list[Entry]) -> bool:
    """Whether it orders something of a registered partner, or asks one to do it."""
    if resource.get("intent") not in unsent.ORDERS:
        return False
    if resource["resourceType"] == "ServiceRequest" and resource.get("status") == "active":
        return any(_partner(case, one, parts) for one in listed(resource.get("performer")))
    if resource["resourceType"] == "Task" and resource.get("status") in {"ready", "requested"}:
        return _partner(case, resource.get("owner") or {}, parts) is not None
    return False


def _partner(case: Case, reference: Resource, parts: list[Entry]) -> Tenant | None:
    def find(name: str) -> Resource | None:
        inside = (one.resource for one in parts if one.full_url.endswith(f"/{name}"))
        return next(inside, None) or case.find(name)

    literal = fhir.literal(reference)
    held = [one.resource for one in parts if literal and one.full_url == literal]
    said = {"identifier": held[0].get("identifier")} if held else reference
    found = case.settings.tenant_of(disclosure.organization(said, find))
    return found if found and found.id != case.shelf.tenant else None
