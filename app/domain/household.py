"""A made-up family, its clinic and an agency for each jurisdiction: who stands while specimens are made."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final, TypeVar

from msgspec.structs import replace

from app import fhir
from app.conformance import Definitions
from app.domain.case import Case
from app.domain.change import Caller, Change, Entry
from app.domain.jurisdiction import Class, Feedback
from app.domain.loaded import Loaded, NotLoaded, Want
from app.domain.mappings import Mappings
from app.domain.plan import Exchange, Plan, Put, Stored
from app.fhir import Resource
from app.settings import Audience, Settings, Tenant

_T = TypeVar("_T")
NOW: Final = datetime(2026, 11, 24, 9, 15, tzinfo=UTC)
SAID: Final = "specimen"  # an id, a name, a secret
_OURS: Final = frozenset({"Bundle", "Task"})
_PERSON: Final = {"reference": f"PractitionerRole/{SAID}"}
NAMED: Final = {**_PERSON, "display": "Example"}
SENT: Final[tuple[Resource, ...]] = (
    {
        "resourceType": "ServiceRequest",
        "id": SAID,
        "identifier": [{"system": "urn:specimen", "value": "1"}],
        "status": "active",
        "intent": "order",
        "priority": "stat",
        "subject": {"reference": f"Patient/{SAID}"},
        "requester": _PERSON,
    },
    {
        "resourceType": "Patient",
        "id": SAID,
        "identifier": [{"system": "urn:specimen", "value": "2"}],
        "generalPractitioner": [_PERSON],
    },
    {
        "resourceType": "PractitionerRole",
        "id": SAID,
        "practitioner": {"reference": f"Practitioner/{SAID}", "display": "Example"},
    },
    {
        "resourceType": "Practitioner",
        "id": SAID,
        "identifier": [{"system": "urn:specimen", "value": "3"}],
        "name": [{"family": "Example"}],
    },
)
CLINIC: Final = {
    "id": "clinic",
    "name": "Clinic",
    "shelves": [
        {"id": "chart", "kind": "family-support", "role": "source"},
        {"id": "reports", "kind": "cps-report", "role": "source"},
        *(
            {
                "id": audience, "kind": "cps-report", "role": "source", "audience": audience,
                "person": "urn:specimen|3",
            }
            for audience in ("reporter", "treating")
        ),
    ],
}  # fmt: skip


class House:
    """What stands while specimens are made, which is what was made before, and whose turn it is."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self._exchanges: list[Exchange] = []

    @property
    def exchange(self) -> Exchange:
        """As the last plan left it."""
        return self._exchanges[-1]

    def at(self, shelf: str) -> Case:
        change = replace(self.case.change, shelf=self.case.settings.shelves[shelf])
        return replace(self.case, change=change)

    def run(self, planner: Callable[[], _T]) -> _T:
        """What it gives; what it asks to see and was not made does not stand."""
        while True:
            try:
                return planner()
            except NotLoaded as asked:
                self.case.loaded.seen.update({want: self._seen(want) for want in asked.wants})

    def _seen(self, want: Want) -> list[str] | None:
        if want.kind in {"found", "search"}:
            return []
        seen = self.case.loaded.seen
        held = [
            one.key
            for one, stored in seen.items()
            if (one.kind, one.shelf) == ("resource", want.shelf)
            and stored
            and stored.exchange == want.key
        ]
        return sorted(held) if want.kind == "held" else None

    def stands(self, plan: Plan) -> None:
        for one in plan.puts:
            stored = Stored(one.resource, one.expected + 1, one.exchange)
            self.case.loaded.seen[Want("resource", one.shelf, fhir.name(one.resource))] = stored
            self.case.loaded.seen.pop(Want("held", one.shelf, one.exchange), None)
        self._exchanges += plan.exchanges

    def standing(self, shelf: str, name: str) -> Stored:
        found: Stored = self.case.loaded.seen[Want("resource", shelf, name)]
        return found

    def ours(self, plan: Plan) -> Iterator[Put]:
        """What of a plan the service has made, and neither was sent nor is a copy of what was."""
        others = {fhir.name(one) for one in SENT}
        others |= {
            copy for one in (*self._exchanges, *plan.exchanges) for copy in one.copies.values()
        }
        for one in plan.puts:
            if one.resource["resourceType"] in _OURS or fhir.name(one.resource) not in others:
                yield one


def agency(index: int, jurisdiction: str) -> Tenant:
    shelves = [
        {"id": "support", "kind": "family-support", "role": "recipient"},
        {"id": "intake", "kind": "cps-report", "role": "recipient"},
    ]
    said = {"id": f"agency-{index}", "name": "Agency", "jurisdiction": jurisdiction}
    return Tenant.model_validate({**said, "shelves": shelves})


def case(shelf: str, settings: Settings, mappings: Mappings, definitions: Definitions) -> Case:
    entries = tuple(
        Entry("PUT", one, one["id"], f"urn:specimen:{one['resourceType']}", said=one)
        for one in SENT
    )
    change = Change(
        settings.shelves[shelf], Caller(SAID), "refer", entries, settings.base_url, SAID
    )
    return Case(change, Loaded(), settings, mappings, definitions, SAID.encode(), NOW, entries)


def opened(mappings: Mappings) -> Mappings:
    """As if everything were permitted and signed that stands on file, all of it in each jurisdiction."""
    rows = [row for place in mappings.jurisdictions.values() for row in place.feedback]
    told: dict[Audience, dict[Class, None]] = {}
    for row in rows:
        told.setdefault(row.audience, {}).update(dict.fromkeys((*row.classes, *row.elsewhere)))
    opened = tuple(
        Feedback(audience=audience, classes=tuple(classes), statute=SAID, signed_off=SAID)
        for audience, classes in told.items()
    )
    places = {
        name: place.model_copy(update={"feedback": opened})
        for name, place in mappings.jurisdictions.items()
    }
    rules = tuple(one.model_copy(update={"requires": ()}) for one in mappings.rules)
    return dataclasses.replace(mappings, jurisdictions=places, rules=rules)  # noqa: TID251 — no plan
