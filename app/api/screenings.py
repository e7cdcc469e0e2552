"""The doors of a clinic's chart for screenings: the operation, the dry run, what maps nowhere yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from app import fhir
from app.api import entries, responses, target
from app.domain import condition
from app.domain.change import Caller, Change, Entry
from app.domain.plan import Waiting
from app.errors import Invalid, Issue, Malformed, NotSupported, Refusal, outcome
from app.fhir import Resource
from app.flows import preview, worklist, write
from app.flows.service import Service
from app.settings import Shelf

ACTS: Final = frozenset({"link", "submit-screening", "unlink"})
SCREENINGS: Final = frozenset({"Observation", "QuestionnaireResponse"})
_AROUND: Final = frozenset(
    ["Encounter", "Organization", "Patient", "Practitioner", "PractitionerRole",
     "Questionnaire", "RelatedPerson"]
)  # fmt: skip
_NAMES: Final = ("kind", "question", "system", "code", "text")
_SOURCES: Final = 20  # of what many send, some are enough to look at


def is_dry(request: Request) -> bool:
    """
    Whether nothing is to be written.

    raises      Malformed: neither true nor false, which must not be taken for one of them
    """
    if not request.scope["query_string"]:
        return False
    for name in request.query_params:
        if name != target.DRY_RUN and name.lower().replace("-", "").replace("_", "") == "dryrun":
            raise Malformed("A dry run is asked for by dry-run=true.")
    return target.flag(request, target.DRY_RUN)


async def shown(service: Service, request: Request, change: Change) -> Response:
    """The dry run of a change: what became of each field, then what would stand."""
    return responses.fhir_json(request, await seen(service, change))


async def seen(service: Service, change: Change) -> bytes:
    """The dry run of a change as a Bundle: its first entry is an OperationOutcome."""
    found = await preview.preview(service, change)
    entries = [{"resource": outcome(preview.outcome(found))}]
    entries += [{"resource": one} for one in found.resources]
    return fhir.encode(fhir.bundle("collection", entries))


@dataclass(frozen=True, slots=True)
class Door:
    """
    What a clinic asks of its chart: $submit-screening, which is strict; $link and $unlink.

    change      makes the change of these entries
    """

    service: Service
    shelf: Shelf
    caller: Caller
    base: str
    change: Callable[..., Change]

    async def answer(self, request: Request, act: str, sent: Resource) -> Response:
        if act != "submit-screening":
            change = self.change(self.shelf, self.caller, act, *two(sent))
            if is_dry(request):
                return await shown(self.service, request, change)
            done = await write.write(self.service, change)
            return responses.all_of(request, done, self.base)
        if sent["resourceType"] != "Bundle":
            return await self._whole(request, (entries.alone(sent),))
        if sent.get("type") == "batch":
            return await self._each(request, sent)
        came = entries.collected(sent)
        return await self._whole(request, tuple(_known(one) for one in came))

    async def _whole(self, request: Request, entries: tuple[Entry, ...]) -> Response:
        """All or nothing."""
        change = self._checked(entries)
        if is_dry(request):
            return await shown(self.service, request, change)
        done = await write.write(self.service, change)
        return responses.all_of(request, done, self.base)

    async def _each(self, request: Request, sent: Resource) -> Response:
        """
        Of a batch each stands for itself; what others lean on comes first.

        In a dry run nothing is there that an entry before would have brought.
        """
        dry = is_dry(request)
        listed = entries.listed(sent)
        answers: list[bytes] = [b""] * len(listed)
        order = sorted(range(len(listed)), key=lambda at: _leans(listed[at]))
        for at in order:
            try:
                entry = entries.write(listed[at], f"Bundle.entry[{at}]")
                act = "submit-screening" if entry.type in SCREENINGS else "transaction"
                if act == "submit-screening":
                    self._checked((entry,))
                change = self.change(self.shelf, self.caller, act, entry)
                if dry:
                    answers[at] = responses.entry_of(await seen(self.service, change))
                    continue
                done = await write.write(self.service, change)
            except Refusal as refused:
                answers[at] = responses.refused_entry(refused)
            else:
                answers[at] = responses.made_entry(done, self.base)
        return responses.bundle(request, "batch-response", answers)

    def _checked(self, entries: tuple[Entry, ...]) -> Change:
        kinds = {one.type for one in entries}
        if any(one.method not in {"POST", "PUT"} for one in entries):
            raise NotSupported("An operation takes what is to stand: POST and PUT.")
        if not kinds & SCREENINGS or kinds - SCREENINGS - _AROUND:
            raise NotSupported(
                "Send a QuestionnaireResponse or screening Observations, or a Bundle of them, with"
                f" what they lean on: {', '.join(sorted(_AROUND))}."
            )
        return self.change(self.shelf, self.caller, "submit-screening", *entries)


def _leans(asked: Any) -> bool:
    resource = asked.get("resource") if isinstance(asked, dict) else None
    return isinstance(resource, dict) and resource.get("resourceType") in SCREENINGS


def _known(entry: Entry) -> Entry:
    """A Patient that is sent along is the one that carries its identifier, if the shelf has it."""
    if entry.type != "Patient" or entry.method != "POST" or entry.if_none_exist:
        return entry
    named = [
        (str(one["system"]), str(one["value"]))
        for one in fhir.listed(entry.resource.get("identifier"))
        if isinstance(one, dict) and one.get("system") and one.get("value")
    ]
    if not named:
        return entry
    said = condition.identifier("Patient", *named[0])
    return Entry("POST", entry.resource, entry.id, entry.full_url, if_none_exist=said, at=entry.at)


async def unmapped(service: Service, request: Request, shelf: Shelf, caller: Caller) -> Response:
    """$unmapped: what maps nowhere yet, as Parameters; a code or text once, with where it stands."""
    for kind in SCREENINGS:
        caller.must("r", kind)
    found: dict[tuple[str, ...], list[str]] = {}
    async for one in worklist.unmapped(service, shelf):
        found.setdefault(_what(one), []).append(one.source)
    parameters = [
        {
            "name": "unmapped",
            "part": [
                *(
                    {"name": name, "valueString": value}
                    for name, value in zip(_NAMES, what, strict=True)
                    if value
                ),
                {"name": "count", "valueInteger": len(sources)},
                *(
                    {"name": "source", "valueReference": {"reference": name}}
                    for name in sources[:_SOURCES]
                ),
            ],
        }
        for what, sources in sorted(found.items())
    ]
    answer: Resource = {"resourceType": "Parameters"}
    if parameters:
        answer["parameter"] = parameters
    return responses.fhir_json(request, fhir.encode(answer))


def _what(one: Waiting) -> tuple[str, ...]:
    return (one.kind, one.question, one.system, one.code, one.text)


async def worked_off(service: Service, request: Request, shelf: Shelf, caller: Caller) -> Response:
    """$work-off: what waits, read anew."""
    if is_dry(request):
        raise NotSupported("$work-off has no dry run; $unmapped lists what waits.")
    for kind in SCREENINGS:
        caller.must("u", kind)
    read, done = await worklist.work_off(service, shelf, caller)
    text = f"{read} read anew, {done} of them wait no more."
    issue = Issue("information", "informational", text)
    return responses.fhir_json(request, fhir.encode(outcome((issue,))))


def two(sent: Resource) -> tuple[Entry, Entry]:
    """
    $link and $unlink: Parameters with source and target, each a reference to a Patient.

    raises      Invalid: anything else
    """
    found = {
        one.get("name"): fhir.literal(one.get("valueReference"))
        for one in fhir.listed(sent.get("parameter"))
        if isinstance(one, dict) and isinstance(one.get("valueReference") or {}, dict)
    }
    names = [found.get(name, "") for name in ("source", "target")]
    told = all(one.startswith("Patient/") and fhir.is_relative(one) for one in names)
    if sent["resourceType"] != "Parameters" or not told or names[0] == names[1]:
        text = "Send Parameters with source and target, a valueReference to a Patient each."
        raise Invalid(text, expression="Parameters.parameter")
    source, target = (
        Entry(
            "PUT", {"resourceType": "Patient", "id": one.partition("/")[2]}, one.partition("/")[2]
        )
        for one in names
    )
    return source, target
