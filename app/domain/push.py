"""What stands on a shelf, as the transaction Bundle that puts the same on a partner's own server."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from app import fhir
from app.fhir import Resource, listed
from app.settings import BY_COPY, BY_EXCHANGE

_NAMESPACE: Final = uuid.UUID("5d1c3f0e-6c0b-4c8e-9a63-0e3d7f5b9a11")  # ours, made once


def bundle(
    resources: list[Resource], *, base: str, numbers: Mapping[str, Resource] | None = None
) -> Resource:
    """
    Conditional updates on *our* identifiers: sent twice, it stands there once.

    A new Task is created where there is none: one that stands there may have come further since.

    base        of the shelf; a reference to what is not in the Bundle becomes absolute
    numbers     {Type/id: Identifier} for who takes no reference to another server: what is not in the
                Bundle is named by it, and by its URL where it has none
    source      https://hl7.org/fhir/R4/http.html#transaction, #cond-update, #ccreate
    """
    urns = {fhir.name(one): _urn(base, fhir.name(one)) for one in resources}
    return fhir.bundle("transaction", [_entry(one, urns, base, numbers) for one in resources])


def beside(resources: list[Resource]) -> set[str]:
    """What these refer to that is not among them: Type/id on their shelf, or a URL."""
    named = {one["reference"] for each in resources for one in fhir.references(each)}
    inside = {fhir.name(one) for one in resources}
    return {one for one in named if not one.startswith("#")} - inside


def number(resource: Resource) -> Resource | None:
    """The identifier by which others know a resource: the first with a system that is in use."""
    for one in listed(resource.get("identifier")):
        if one.get("system") and one.get("value") and one.get("use") != "old":
            return {"system": one["system"], "value": one["value"]}
    return None


def _urn(base: str, name: str) -> str:
    return f"urn:uuid:{uuid.uuid5(_NAMESPACE, f'{base}/{name}')}"


def _entry(
    resource: Resource, urns: dict[str, str], base: str, numbers: Mapping[str, Resource] | None
) -> Resource:
    body = copy.deepcopy(resource)
    for reference in fhir.references(body):
        target = reference["reference"]
        if target in urns:
            reference["reference"] = urns[target]
        elif not target.startswith("#"):
            url = f"{base}/{target}" if fhir.is_relative(target) else target
            reference["reference"] = url
            if numbers is not None:
                _name(reference, url, numbers.get(fhir.versionless(target)))
    kind, identity = body["resourceType"], body.pop("id")
    body["meta"] = {
        name: value
        for name, value in body.get("meta", {}).items()
        if name not in {"versionId", "lastUpdated"}
    }
    condition = _numbered(resource)
    if not condition:
        tag = {"system": BY_COPY, "code": identity}
        body["meta"]["tag"] = [*(one for one in listed(body["meta"].get("tag")) if one != tag), tag]
        condition = f"_tag={quote(BY_COPY + '|' + identity, safe='')}"
    request = {"method": "PUT", "url": f"{kind}?{condition}"}
    if kind == "Task" and resource["meta"]["versionId"] == "1":
        request = {"method": "POST", "url": kind, "ifNoneExist": condition}
    return {"fullUrl": urns[fhir.name(resource)], "resource": body, "request": request}


def _name(reference: Resource, url: str, number: Resource | None) -> None:
    """By its number in place of its URL; where it has none the URL is one, https://www.rfc-editor.org/rfc/rfc3986."""
    del reference["reference"]
    reference.setdefault("identifier", number or {"system": "urn:ietf:rfc:3986", "value": url})


def _numbered(resource: Resource) -> str:
    """The search by our own number that finds what an earlier push made; "" where it carries none."""
    systems = {BY_COPY, BY_EXCHANGE}
    for identifier in listed(resource.get("identifier")):
        if identifier.get("system") in systems:
            return f"identifier={quote(identifier['system'] + '|' + identifier['value'], safe='')}"
    return ""
