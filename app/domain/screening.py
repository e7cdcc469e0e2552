"""The planner `receive`: a screening becomes Observations, and proposals where help is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from app import fhir
from app.domain import answered, condition, making, patients, reading, scores
from app.domain.answered import Answered, Read
from app.domain.case import Case
from app.domain.forms import links
from app.domain.instrument import CATEGORY, items
from app.domain.making import Templates, Who
from app.domain.patients import Subject
from app.domain.plan import (
    Answer,
    Entry,
    Fate,
    Plan,
    Put,
    Stored,
    Waiting,
    Want,
    Worklist,
    derive,
    put,
    same,
)
from app.errors import Conflict, Issue
from app.fhir import Resource, listed

_TELLING: Final = {"completed", "amended"}
_WAITING: Final = {"in-progress", "stopped"}
_WITHDRAWN: Final = {"entered-in-error"}


@dataclass(frozen=True, slots=True)
class Made:
    """
    What one screening comes to.

    resources   {Type/id: resource}; None: it waits, and what was made of it before stays
    sources     what it is made of
    occurred    when its source said it, as the source says; "" where it does not
    waiting     for each source what of it is on the worklist
    new         nothing can have been made of it before
    """

    screening: str
    subject: Subject
    resources: dict[str, Resource] | None
    sources: tuple[str, ...]
    occurred: str = ""
    issues: tuple[Issue, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    fates: tuple[Fate, ...] = ()
    new: bool = False


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
    return carried(case, made, puts=puts, name=fhir.name(response))


def again(case: Case, name: str) -> Plan:
    """A response that stands, read anew: what was mapped since completes it, and nothing is made twice."""
    stored = case.loaded.resource(case.shelf.key, name)
    if stored is None or not stored.stands:
        return Plan(Answer((name,)), worklist=(nothing(case, name),))
    said = {"meta": {"lastUpdated": occurred(case, name)}}
    entry = Entry("PUT", stored.resource, name.partition("/")[2], said=said)
    return carried(case, of_response(case, entry), puts=(), name=name)


def nothing(case: Case, name: str) -> Worklist:
    """Nothing of this source waits any more."""
    return Worklist(case.shelf.key, name, ())


def sources(case: Case, screening: str) -> tuple[str, ...]:
    """What a screening was made of so far, by its Provenance."""
    stored = case.loaded.resource(case.shelf.key, _provenance(case, screening))
    said = stored.resource.get("entity", ()) if stored else ()
    return tuple(one["what"]["reference"] for one in said)


def is_known(case: Case, response: Resource) -> bool:
    """Whether anything was read out of a response that stands or came in."""
    read = _read_response(case, response, [], sound=False)
    return bool(read.answers or read.sent)


def withdrawn(case: Case, name: str) -> Plan:
    """A response that is deleted: what was made of it was made of nothing."""
    screening = screening_of(case, name)
    made = Made(screening, _subject_of(case, screening), {}, (name,))
    return carried(case, made, puts=(), name=name)


def carried(case: Case, made: Made, *, puts: tuple[Put, ...], name: str) -> Plan:
    """The plan that brings what was made about, beside the puts of what came."""
    shelf = case.shelf.key
    more, names, faults = settled(case, made)
    new = patients.created(case, made.subject) if made.resources else ()
    puts = (*puts, *new, *more)
    named = made.subject.named
    absent = ((shelf, condition.identifier("Patient", *named)),) if new and named else ()
    created = frozenset(fhir.name(one.resource) for one in puts if one.expected == 0)
    return Plan(
        Answer((name, *names) if name else names, created, (*made.issues, *faults), made.fates),
        puts,
        absent=absent,
        worklist=_worklist(case, made),
    )


def _worklist(case: Case, made: Made) -> tuple[Worklist, ...]:
    """What of each source waits now, where that is something else than before."""
    found = []
    if not made.new:
        case.loaded.announce({Want("waiting", case.shelf.key, one) for one in made.sources})
    for source in made.sources:
        waiting = tuple(dict.fromkeys(one for one in made.waiting if one.source == source))
        before = () if made.new else case.loaded.waiting(case.shelf.key, source)
        if waiting != before:
            found.append(Worklist(case.shelf.key, source, waiting))
    return tuple(found)


def superseded(case: Case, name: str) -> Plan:
    """An earlier version of what stands has come late: nothing is changed by it."""
    text = "A later version of this stands already, by the source's own times: nothing is changed."
    issue = Issue("warning", "conflict", text, name.partition("/")[0])
    return Plan(Answer((name, *shown(case, screening_of(case, name))), issues=(issue,)))


def is_older(case: Case, entry: Entry, stored: Stored) -> bool:
    """Whether what came was said before what stands, by the source's own times."""
    before = occurred(case, entry.name)
    sent = _said_at(entry)
    if before and sent:
        return sent != before and fhir.not_after(sent, before)
    earlier, later = entry.resource.get("authored"), stored.resource.get("authored")
    if not isinstance(earlier, str) or not isinstance(later, str):
        return False
    return earlier != later and not fhir.not_after(later, earlier)


def screening_of(case: Case, name: str) -> str:
    """The id that a response's screening has, from which those of its resources come."""
    return derive(case.key, case.shelf.key, "screening", name)


def shown(case: Case, screening: str) -> tuple[str, ...]:
    """The names of what was made of a screening, with its Provenance last."""
    name = _provenance(case, screening)
    stored = case.loaded.resource(case.shelf.key, name)
    return (*_targets(stored), name) if stored and stored.stands else ()


def occurred(case: Case, name: str) -> str:
    """When the source of a screening said it, by its own word; "" where it did not say."""
    screening = screening_of(case, name)
    stored = case.loaded.resource(case.shelf.key, _provenance(case, screening))
    return str(stored.resource.get("occurredDateTime", "")) if stored else ""


def _subject_of(case: Case, screening: str) -> Subject:
    """Whom what was made of a screening is about."""
    for name in shown(case, screening):
        stored = case.loaded.resource(case.shelf.key, name)
        if stored and stored.stands and "subject" in stored.resource:
            return Subject(reference=stored.resource["subject"])
    return Subject()


def of_response(case: Case, entry: Entry) -> Made:
    """What a response comes to, with everything that is to be said about it."""
    response = entry.resource
    screening = screening_of(case, fhir.name(response))
    status = response.get("status")
    if status in _WITHDRAWN:
        return Made(
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
        made = resources(case, read, who, issues) if subject.reference and not dated else {}
    elif status not in _WAITING:
        text = "Give a status of the standard's."
        issues.append(Issue("error", "value", text, "QuestionnaireResponse.status"))
    return Made(
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


def resources(case: Case, read: Read, who: Who, issues: list[Issue]) -> dict[str, Resource]:
    """What was read, as resources: panels, answers, results and totals, wishes, proposals."""
    templates, known = case.mappings.templates, case.mappings.forms

    def identity(*parts: str) -> str:
        return derive(case.key, case.shelf.key, "made", who.screening, *parts)

    made: list[Resource] = []
    panels: dict[tuple[str, str], list[Resource]] = {}
    given: scores.Given = {}
    for one in read.answers:
        if not one.question.observed:
            continue
        template = templates.answer(one.instrument, one.question, one.option)
        key = identity(template.part, *_part(one))
        observed = making.observation(
            template, who, key, one.row.frame, one.said, verdict=one.verdict
        )
        made.append(observed)
        panel = one.question.panel or one.instrument.panels[0].code
        panels.setdefault((one.instrument.id, panel), []).append(observed)
        given.setdefault((one.instrument.id, one.question.code), []).append((one, observed))
    for instrument, what, found in scores.found(read, given, known, issues):
        template = templates.computed(instrument, what)
        computed = making.observation(
            template, who, identity(template.part), found.frame, found.said, verdict=found.verdict
        )
        made.append(computed)
        panels.setdefault((instrument.id, instrument.panels[0].code), []).append(computed)
    headed = []
    for (instrument_id, panel), members in panels.items():
        template = templates.panel(known.by_id[instrument_id], panel)
        frame = {**_frame_of(members), "hasMember": [fhir.reference(one) for one in members]}
        headed.append(
            making.observation(template, who, identity(template.part), frame, {}, verdict=False)
        )
    wishes, proposals = _wanted(read, who, made, templates, identity)
    return {fhir.name(one): one for one in (*headed, *made, *wishes, *proposals)}


def _wanted(
    read: Read,
    who: Who,
    made: list[Resource],
    templates: Templates,
    identity: Callable[..., str],
) -> tuple[list[Resource], list[Resource]]:
    """What the family wants help with, and the proposals for it."""
    wishes, proposals = [], []
    for category, row in read.wishes.items():
        template = templates.wish(category)
        wish = making.observation(
            template, who, identity(template.part), row.frame, {}, verdict=False
        )
        reasons = [wish, *(one for one in made if _reason(one, category))]
        wishes.append(wish)
        proposals.append(
            making.proposal(
                category,
                who,
                identity("proposal", category),
                reading.start_of(wish),
                [fhir.reference(one) for one in reasons],
            )
        )
    return wishes, proposals


def _part(one: Answered) -> tuple[str, ...]:
    """What tells an answer from others to its question: of a response the answer, else its source."""
    source = () if one.row.source.startswith("QuestionnaireResponse/") else (one.row.source,)
    if not one.question.repeats:
        return source
    return (*source, one.option.code if one.option else repr(one.said))


def _reason(observation: Resource, category: str) -> bool:
    """Whether an answer speaks to a domain, and may stand in a request that others will read."""
    sensitive = observation["meta"].get("security")
    return not sensitive and fhir.has_code(observation["category"], CATEGORY, category)


def _frame_of(members: Sequence[Resource]) -> Resource:
    """What a panel shares with its members: when and where, and all that they are derived from."""
    first = members[0]
    names = ("encounter", "effectiveDateTime", "effectivePeriod", "issued", "performer")
    ours = {fhir.name(one) for one in members}
    sources = {one["reference"]: one for member in members for one in member["derivedFrom"]}
    derived = [one for name, one in sources.items() if name not in ours]
    return {**{name: first[name] for name in names if name in first}, "derivedFrom": derived}


def settled(case: Case, made: Made) -> tuple[tuple[Put, ...], tuple[str, ...], tuple[Issue, ...]]:
    """
    The puts that make it so, the names of what then stands, and why there are none.

    Templates keep their profiles; what breaks one is what the source brought: a time, a reference.
    """
    shelf, now = case.shelf.key, case.now
    name = _provenance(case, made.screening)
    before = None if made.new else case.loaded.resource(shelf, name)
    earlier = _targets(before) if before and before.stands else ()
    if made.resources is None:
        return (), (*earlier, name) if earlier else (), ()
    if not made.new:
        case.loaded.expect(shelf, list(dict.fromkeys([*made.resources, *earlier])))
    puts: tuple[Put, ...] = ()
    for one, resource in made.resources.items():
        puts += _put(resource, None if made.new else case.loaded.resource(shelf, one), case)
    for one in earlier:
        if one not in made.resources:
            puts += _retract(case.loaded.resource(shelf, one), case)
    if not puts:
        return (), (*made.resources, name) if made.resources else (), ()
    targets = list(dict.fromkeys([*made.resources, *earlier]))
    record = making.provenance(
        Who(made.screening, {}),
        name.partition("/")[2],
        targets=targets,
        sources=list(made.sources),
        recorded=fhir.instant(now),
        occurred=made.occurred,
        again=bool(before),
    )
    puts += put(record, before, shelf=shelf, now=now, held=True)
    if faults := tuple(_broken(case, made, puts)):
        return (), (), faults
    return puts, (*made.resources, name), ()


def _broken(case: Case, made: Made, puts: Sequence[Put]) -> Iterator[Issue]:
    """What keeps what would be made from its profile; named at the source, which brought it."""
    source = made.sources[0].partition("/")[0]
    resources = (one.resource for one in puts)
    halves = case.mappings.templates.halves
    for issue in halves.faults(resources, case.definitions, now=case.now):
        where = issue.expression.partition(".")[2]
        text = f"What would be made of this does not keep its profile at {where}: {issue.text}"
        yield Issue("error", issue.code, text, source, issue.rule, issue.url)


def _provenance(case: Case, screening: str) -> str:
    return f"Provenance/{derive(case.key, case.shelf.key, 'made', screening, 'provenance')}"


def _targets(stored: Stored) -> tuple[str, ...]:
    return tuple(one["reference"] for one in stored.resource.get("target", ()))


def _put(resource: Resource, stored: Stored | None, case: Case) -> tuple[Put, ...]:
    """A new one is final; one that stood there and now says something else is corrected."""
    shelf, now = case.shelf.key, case.now
    if stored is None or not stored.stands:
        return put(resource, stored, shelf=shelf, now=now, held=True)
    status = stored.resource.get("status")
    if resource["resourceType"] != "Observation":
        if status != "entered-in-error":
            return ()  # a proposal may have been taken up since; it is made once
        return put(resource, stored, shelf=shelf, now=now, held=True)
    if status != "entered-in-error" and same(stored.resource, {**resource, "status": status}):
        return ()
    return put({**resource, "status": "corrected"}, stored, shelf=shelf, now=now, held=True)


def _retract(stored: Stored | None, case: Case) -> tuple[Put, ...]:
    """What an earlier version of the screening showed and this one does not."""
    if stored is None or not stored.stands:
        return ()
    if stored.resource["resourceType"] != "Observation" and stored.resource["status"] != "active":
        return ()  # a proposal that somebody has dealt with
    gone = {**stored.resource, "status": "entered-in-error"}
    return put(gone, stored, shelf=case.shelf.key, now=case.now, held=True)
