"""The planner `receive`: a screening becomes Observations, and proposals where help is wanted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec.structs import replace

from app import fhir
from app.domain import answered, condition, patients, reading, showing, standing
from app.domain.answered import Read
from app.domain.case import Case
from app.domain.change import Entry
from app.domain.forms import links
from app.domain.instrument import items
from app.domain.making import Who
from app.domain.patients import Subject
from app.domain.plan import Answer, Fate, Plan, Stored, Waiting, put
from app.errors import Conflict, Issue
from app.fhir import Resource, listed

_TELLING: Final = {"completed", "amended"}
_WAITING: Final = {"in-progress", "stopped"}
_WITHDRAWN: Final = {"entered-in-error"}


def plan(case: Case, entry: Entry) -> Plan:
    """
    A QuestionnaireResponse, the Observations it shows, and a proposal for each wish.

    The issues of its answer are errors for what keeps a part of it from being understood; at
    $submit-screening they refuse it, elsewhere they are warnings.
    """
    response, shelf = entry.resource, case.shelf.key
    stored = case.loaded.resource(shelf, fhir.name(response))
    told = stored.resource.get("subject", response.get("subject")) if stored else None
    if stored and stored.stands and told != response.get("subject"):
        raise Conflict(
            "A response does not move to another patient; send it anew, and withdraw this one.",
            expression="QuestionnaireResponse.subject",
        )
    if stored and stored.stands and entry.if_match is None and is_older(case, entry, stored):
        return superseded(case, fhir.name(response))
    puts = put(response, stored, shelf=shelf, now=case.now, method=entry.method)
    made = replace(of_response(case, entry), new=stored is None)
    return standing.carried(case, made, puts=puts, name=fhir.name(response))


def again(case: Case, name: str) -> Plan:
    """A response that stands, read anew: what was mapped since completes it, and nothing is made twice."""
    stored = case.loaded.resource(case.shelf.key, name)
    if stored is None or not stored.stands:
        return Plan(Answer((name,)), worklist=(standing.nothing(case, name),))
    said = {"meta": {"lastUpdated": standing.occurred(case, name)}}
    entry = Entry("PUT", stored.resource, name.partition("/")[2], said=said)
    return standing.carried(case, of_response(case, entry), puts=(), name=name)


def is_known(case: Case, response: Resource) -> bool:
    """Whether anything was read out of a response that stands or came in."""
    read = _read_response(case, response, [], sound=False)
    return bool(read.answers or read.sent)


def withdrawn(case: Case, name: str) -> Plan:
    """A response that is deleted: what was made of it was made of nothing."""
    screening = standing.screening_of(case, name)
    made = standing.Made(screening, _subject_of(case, screening), {}, (name,))
    return standing.carried(case, made, puts=(), name=name)


def superseded(case: Case, name: str) -> Plan:
    """An earlier version of what stands has come late: nothing is changed by it."""
    text = "A later version of this stands already, by the source's own times: nothing is changed."
    issue = Issue("warning", "conflict", text, name.partition("/")[0])
    return Plan(
        Answer((name, *standing.shown(case, standing.screening_of(case, name))), issues=(issue,))
    )


def is_older(case: Case, entry: Entry, stored: Stored) -> bool:
    """Whether what came was said before what stands, by the source's own times."""
    before = standing.occurred(case, entry.name)
    sent = _said_at(entry)
    if before and sent:
        return sent != before and fhir.not_after(sent, before)
    earlier, later = entry.resource.get("authored"), stored.resource.get("authored")
    if not isinstance(earlier, str) or not isinstance(later, str):
        return False
    return earlier != later and not fhir.not_after(later, earlier)


def _subject_of(case: Case, screening: str) -> Subject:
    """Whom what was made of a screening is about."""
    for name in standing.shown(case, screening):
        stored = case.loaded.resource(case.shelf.key, name)
        if stored and stored.stands and "subject" in stored.resource:
            return Subject(reference=stored.resource["subject"])
    return Subject()


def of_response(case: Case, entry: Entry) -> standing.Made:
    """What a response comes to, with everything that is to be said about it."""
    response = entry.resource
    screening = standing.screening_of(case, fhir.name(response))
    status = response.get("status")
    if status in _WITHDRAWN:
        return standing.Made(
            screening, _subject_of(case, screening), {}, (fhir.name(response),), _said_at(entry)
        )
    subject = patients.subject(case, response)
    issues = [subject.issue] if subject.issue else []
    made: dict[str, Resource] | None = None
    read = Read()
    waiting: list[Waiting] = []
    if status in _TELLING:
        dated = list(reading.faults_of_frame(response, "authored", fhir.instant(case.now)))
        read = _read_response(case, response, issues, sound=not dated)
        issues += [*dated, *read.issues]
        waiting += read.waiting
        if subject.waiting:
            waiting.append(patients.wait_for(fhir.name(response), subject.waiting))
        who = Who(screening, subject.reference or {})
        made = showing.resources(case, read, who, issues) if subject.reference and not dated else {}
    elif status not in _WAITING:
        text = "Give a status of the standard's."
        issues.append(Issue("error", "value", text, "QuestionnaireResponse.status"))
    return standing.Made(
        screening,
        subject,
        made,
        (fhir.name(response),),
        _said_at(entry),
        tuple(placed(issues, entry)),
        tuple(waiting),
        tuple(replace(one, at=_at(one.at, entry)) for one in read.fates),
    )


def _read_response(case: Case, response: Resource, issues: list[Issue], *, sound: bool) -> Read:
    known = case.mappings.forms
    named = known.named(str(response.get("questionnaire", "")))
    whole = response if sound else {**response, "authored": "2000-01-01"}
    rows = list(reading.of_response(whole, _form(case, response), issues))
    read = answered.read(rows, known, lambda keys: look(case, keys), named=[named] if named else [])
    if named is None and not (read.known or read.sent or read.wishes):
        names = ", ".join(
            f"{one.name} ({one.canonicals[0]})" if one.canonicals else one.name
            for one in known.instruments
        )
        text = f"No known instrument asks these questions. Known are: {names}."
        at = "QuestionnaireResponse.questionnaire"
        read.issues[:] = [Issue("error", "not-supported", text, at)]
    return read


def _form(case: Case, response: Resource) -> dict[str, Resource] | None:
    """{linkId: item} of the Questionnaire that a response names: contained, on the shelf or loaded."""
    canonical = response.get("questionnaire")
    if not isinstance(canonical, str) or not canonical:
        return None
    url = canonical.split("|", 1)[0]
    for inside in listed(response.get("contained")):
        form = isinstance(inside, dict) and inside.get("resourceType") == "Questionnaire"
        if form and url in (f"#{inside.get('id')}", inside.get("url")):
            return links(inside)
    if url.startswith("#"):
        return None
    for name in case.loaded.meeting(case.shelf.key, condition.canonical("Questionnaire", url)):
        if found := case.find(name):
            return links(found)
    return case.mappings.forms.loaded(
        canonical, lambda one: case.definitions.resource(one, "Questionnaire")
    )


_READ: Final = {
    "author": "as performer",
    "authored": "as the time of the answers",
    "effectiveDateTime": "as the time of the answer",
    "effectiveInstant": "as the time of the answer",
    "effectivePeriod": "as the time of the answer",
    "encounter": "as encounter",
    "identifier": "a repetition is known by it",
    "issued": "as issued",
    "performer": "as performer",
    "questionnaire": "names the form",
    "source": "as performer, where there is no author",
    "status": "says whether it is finished",
    "subject": "as subject",
}


def fields(resource: Resource) -> Iterator[Fate]:
    """What becomes of the elements around the answers, and of questions that nobody answered."""
    kind = resource["resourceType"]
    if kind not in {"QuestionnaireResponse", "Observation"}:
        return
    answers = {"category", "code", "component", "dataAbsentReason", "hasMember", "item"}
    for name in resource:
        if name in {"id", "meta", "resourceType"} | answers or name.startswith("value"):
            continue
        if why := _READ.get(name):
            yield Fate(f"{kind}.{name}", "taken", why)
        else:
            yield Fate(f"{kind}.{name}", "ignored", "stays where it is, nothing is made of it")
    if kind == "QuestionnaireResponse":
        for path, item in items(resource):
            if not item.get("answer") and not item.get("item"):
                yield Fate(path, "ignored", "not answered")


def look(case: Case, keys: Iterable[str]) -> dict[str, str]:
    """What the tenant's crosswalks say: those of mappings/crosswalks/, then those in the database."""
    shelf = case.shelf
    files = case.mappings.forms.crosswalks.get((shelf.tenant, shelf.environment), {})
    wanted = list(keys)
    found = {key: files[key] for key in wanted if key in files}
    rest = [key for key in wanted if key not in found]
    return {**case.loaded.crosswalk(shelf.key, rest), **found}


def _said_at(entry: Entry) -> str:
    """When the source last changed it, by its own word; "" where it does not say."""
    said = entry.said.get("meta", {}).get("lastUpdated")
    return said if isinstance(said, str) else ""


def _at(path: str, entry: Entry) -> str:
    """A location in the resource as one in what came."""
    return entry.at + path[len(entry.type) :] if entry.at else path


def placed(issues: Iterable[Issue], entry: Entry) -> Iterable[Issue]:
    return (replace(one, expression=_at(one.expression, entry)) for one in issues)
