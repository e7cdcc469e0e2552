"""What a planner has before it, and how what came in gets ids and plain references."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass, replace
from datetime import datetime

from app import fhir
from app.domain.mappings import Mappings
from app.domain.plan import Change, Entry, Loaded, Receipt, derive
from app.errors import Conflict, Malformed, Stale
from app.fhir import Resource, listed
from app.settings import Settings, Shelf


@dataclass(frozen=True, slots=True)
class Case:
    """
    One change, what was read for it, and what never changes.

    entries     what came in, each with its id and its references as Type/id
    met         {full URL or position: name} of conditional creates that found what they look for
    key         the service's secret, for ids
    """

    change: Change
    loaded: Loaded
    settings: Settings
    mappings: Mappings
    key: bytes
    now: datetime
    entries: tuple[Entry, ...] = ()
    met: tuple[str, ...] = ()

    @property
    def shelf(self) -> Shelf:
        return self.change.shelf

    def arriving(self, name: str) -> Resource | None:
        return next((one.resource for one in self.entries if fhir.name(one.resource) == name), None)

    def find(self, name: str) -> Resource | None:
        """What came in under this name, else what stands on the caller's shelf."""
        if arrived := self.arriving(name):
            return arrived
        stored = self.loaded.resource(self.shelf.key, name)
        return stored.resource if stored else None

    def id(self, *parts: str) -> str:
        """An id for something new; the same for each try of one request."""
        return derive(self.key, self.shelf.key, self.change.nonce, *parts)

    def receipt(self, entry: Entry, result: str) -> Receipt:
        """
        The mark by which a repetition of this message is known.

        Its key is the sender's own identifier, else the content.
        """
        resource = entry.said
        digest = hashlib.sha256(fhir.encode(_said(resource))).hexdigest()
        own = [one for one in listed(resource.get("identifier")) if one.get("value")]
        named = f"{own[0].get('system', '')}|{own[0]['value']}" if own else digest
        key = derive(self.key, "receipt", resource["resourceType"], named)
        return Receipt(self.shelf.key, key, derive(self.key, digest), result)

    def repeated(self, entry: Entry) -> str | None:
        """
        What an earlier message of the same identifier became; None where there was none.

        raises      Conflict: the identifier is known and the content is another
        """
        mark = self.receipt(entry, "")
        before = self.loaded.receipt(self.shelf.key, mark.key)
        if before is None:
            return None
        if before.digest != mark.digest:
            raise Conflict(
                "Another message with this identifier was taken in already, and it says something"
                " else. Send a new identifier, or the content as it was.",
                expression=f"{entry.type}.identifier",
            )
        return before.result


def _said(resource: Resource) -> Resource:
    return {name: value for name, value in resource.items() if name not in {"id", "meta", "text"}}


def arrived(case: Case) -> Case:
    """
    The case with its entries resolved: every entry has an id, every reference is Type/id.

    raises      Malformed: a urn that no entry carries, two entries for one resource
                Stale: a condition that several resources meet
    source      https://hl7.org/fhir/R4/http.html#transaction
    """
    names: dict[str, str] = {}
    entries: list[Entry] = []
    met: list[str] = []
    for position, entry in enumerate(case.change.entries):
        identity = entry.id or case.id("entry", str(position))
        if entry.if_none_exist:
            found = case.loaded.identified(case.shelf.key, entry.type, *entry.if_none_exist)
            if len(found) > 1:
                raise Stale("Several resources meet the condition in If-None-Exist.")
            if found:
                names[entry.full_url or str(position)] = found[0]
                met.append(found[0])
                continue
        if entry.full_url:
            names[entry.full_url] = f"{entry.type}/{identity}"
        entries.append(replace(entry, id=identity, said=entry.resource))
    if len({(entry.type, entry.id) for entry in entries}) != len(entries):
        raise Malformed("Two entries write the same resource; each may stand once.")
    resolved = tuple(_resolved(entry, names, case.change.base) for entry in entries)
    return replace(case, entries=resolved, met=tuple(met))


def _resolved(entry: Entry, names: dict[str, str], base: str) -> Entry:
    resource: Resource = copy.deepcopy(entry.resource)
    resource["id"] = entry.id
    for holder in fhir.references(resource):
        target = holder["reference"]
        if target in names:
            holder["reference"] = names[target]
        elif target.startswith("urn:"):
            text = "This urn is the fullUrl of no entry."
            raise Malformed(text, expression=f"{entry.type}")
        elif target.startswith(f"{base}/"):
            holder["reference"] = target.removeprefix(f"{base}/").split("/_history/", 1)[0]
    return replace(entry, resource=resource)
