"""Whom a screening is about: matched by identifier within the shelf, else created, else waited for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from app import fhir
from app.domain import condition, identity
from app.domain.case import Case
from app.domain.change import Entry
from app.domain.graph import About
from app.domain.plan import Answer, Plan, Put, Stored, Waiting, derive, put
from app.errors import Conflict, Issue, NotFound
from app.fhir import Resource, listed

_BETWEEN: Final = "\x1f"
_ONE: Final = frozenset({"replaced-by", "replaces"})
FOLLOWED: Final = 8  # links from one record to the next; a chain is no longer


@dataclass(frozen=True, slots=True)
class Subject:
    """
    Whom it is about.

    reference   as our resources name the patient; None where that is not known
    new         a Patient to be created, found nowhere
    named       the identifier (system, value) that nothing may carry when it is created
    issue       why it is not known
    waiting     what it waits for
    """

    reference: Resource | None = None
    new: Resource | None = None
    named: tuple[str, str] | None = None
    issue: Issue | None = None
    waiting: str = ""


def subject(case: Case, source: Resource) -> Subject:
    """The patient of a QuestionnaireResponse or an Observation."""
    at = f"{source['resourceType']}.subject"
    said = source.get("subject")
    if not isinstance(said, dict) or not said:
        return Subject(issue=Issue("error", "required", "Name the patient: Patient/id.", at))
    literal = fhir.literal(said)
    kind = literal.rsplit("/", 2)[-2] if "/" in literal else said.get("type", "Patient")
    if kind != "Patient":
        text = "Name the patient as Patient/id of this shelf; a screening is about a patient."
        return Subject(issue=Issue("error", "value", text, at))
    if literal.startswith("#"):
        return _contained(case, source, literal[1:], at)
    if literal and fhir.is_relative(literal) and case.find(literal):
        return Subject(reference=said)
    if found := _identifier(said.get("identifier")):
        return _identified(
            case, found, {"name": [{"text": said["display"]}]} if said.get("display") else {}, at
        )
    if literal:
        text = "This patient is not on the shelf; send the Patient too."
        return Subject(issue=Issue("error", "not-found", text, at), waiting=held(literal))
    text = "Name the patient as Patient/id of this shelf, or by an identifier."
    return Subject(issue=Issue("error", "required", text, at))


def _contained(case: Case, source: Resource, name: str, at: str) -> Subject:
    for one in listed(source.get("contained")):
        if isinstance(one, dict) and one.get("id") == name and one.get("resourceType") == "Patient":
            whole = {key: value for key, value in one.items() if key not in ("id", "meta")}
            for each in listed(one.get("identifier")):
                if found := _identifier(each):
                    return _identified(case, found, whole, at)
            identity = derive(case.key, case.shelf.key, "patient", fhir.name(source))
            made = {**whole, "id": identity}
            if case.find(f"Patient/{identity}"):
                return Subject(reference=fhir.reference(made))
            return Subject(reference=fhir.reference(made), new=made)
    text = "The subject names a contained Patient that is not there."
    return Subject(issue=Issue("error", "not-found", text, at))


def _identifier(said: Any) -> tuple[str, str] | None:
    """A business identifier that can tell one patient from all others of the shelf."""
    if isinstance(said, dict) and said.get("value") and said.get("system"):
        return str(said["system"]), str(said["value"])
    return None


def _identified(case: Case, named: tuple[str, str], whole: Resource, at: str) -> Subject:
    """The one that carries the identifier, by way of its links; else a new one that does."""
    shelf = case.shelf.key
    arriving = [
        fhir.name(entry.resource)
        for entry in case.entries
        if entry.type == "Patient"
        and any(_identifier(one) == named for one in listed(entry.resource.get("identifier")))
    ]
    stored = case.loaded.meeting(shelf, condition.identifier("Patient", *named))
    found = {standing_for(case, one) for one in (*arriving, *stored)}
    if len(found) > 1:
        text = "Several patients of the shelf carry this identifier; link those that are one."
        issue = Issue("error", "multiple-matches", text, at)
        return Subject(issue=issue, waiting=held(_BETWEEN.join(named)))
    if found:
        return Subject(reference={"reference": found.pop()})
    identity = derive(case.key, shelf, "patient", *named)
    system, value = named
    made = {
        "resourceType": "Patient",
        "id": identity,
        "identifier": [{"system": system, "value": value}],
        **{key: one for key, one in whole.items() if key != "resourceType"},
    }
    return Subject(reference=fhir.reference(made), new=made, named=named)


def standing_for(case: Case, name: str) -> str:
    """The record that stands for this one, where a link says that it was replaced."""
    standing = [one for one in _chain(case, name) if case.find(one)]
    return standing[-1] if standing else name


def records(case: Case, name: str) -> list[str]:
    """
    The names of all records that links make one patient with this one, itself first.

    Of those that alone say so one that stands in its place is; one that it stood in place of, and names no
    more, is not: that merge is undone.
    """
    found = [name]
    for one in found:
        record, behind = case.find(one), _leading(case, one, found)
        onward = [each for each in behind if record is None or one in _replacing(case, each)]
        new = dict.fromkeys([*further(record or {}, found), *onward])
        found += list(new)[: max(FOLLOWED + 1 - len(found), 0)]
    return found


def survivor(case: Case, name: str) -> Resource | None:
    """The record that stands in place of this one (Type/id), whichever of them says so; over one that was deleted, too."""
    found = [name]
    for one in found:
        found += _onward(case, one, found)
    return next((record for one in found[:0:-1] if (record := case.find(one))), None)


def _onward(case: Case, name: str, found: list[str]) -> list[str]:
    """The next record in place of this one: the one that it names, or else one that names it."""
    said = _replaced_by(case.find(name) or {})
    if not said or not case.find(said):
        behind = _leading(case, name, found)
        said = next((one for one in behind if name in _replacing(case, one)), said)
    return [said] if said and said not in found and len(found) <= FOLLOWED else []


def whole(case: Case, record: Resource) -> Resource:
    """What is said of a person; of a record that was replaced what the other one says, and what it alone says."""
    other = survivor(case, fhir.name(record))
    if other is None or identity.is_another(record, other):
        return record
    metas = [one.get("meta") or {} for one in (record, other)]
    meta = {**metas[0], "security": [one for each in metas for one in listed(each.get("security"))]}
    return {**record, **other, "id": record["id"], "meta": meta}


def replaced(case: Case, name: str) -> list[str]:
    """The records in whose place this one (Type/id) stands, whichever of them says so."""
    found = [name]
    for one in found:
        behind = [
            each
            for each in _leading(case, one, found)
            if _replaced_by(case.find(each) or {}) == one
        ]
        new = [each for each in (*_replacing(case, one), *behind) if each not in found]
        found += list(dict.fromkeys(new))[: max(FOLLOWED + 1 - len(found), 0)]
    return found[1:]


def _replacing(case: Case, name: str) -> list[str]:
    return replacing(case.find(name) or {})


def replacing(patient: Resource) -> list[str]:
    """The records of which this one says that it stands in their place."""
    links = listed(patient.get("link"))
    return [fhir.target(one.get("other")) for one in links if one.get("type") == "replaces"]


def _leading(case: Case, name: str, found: list[str]) -> list[str]:
    """The records whose links make them one with this one, and that are not found yet."""
    if not fhir.is_relative(name):  # "": whose it is was not said
        return []
    came = case.loaded.once("leading", str(id(case.entries)), _leads, case.entries)[1]
    others = [*came.get(name, []), *case.loaded.found(case.shelf.key, f"Patient?link={name}")]
    new = [
        one
        for one in dict.fromkeys(others)
        if one not in found and name in further(case.find(one) or {}, [])
    ]
    return new[: max(FOLLOWED + 1 - len(found), 0)]


def _leads(entries: tuple[Entry, ...]) -> tuple[tuple[Entry, ...], dict[str, list[str]]]:
    """{Type/id: the records that came, and whose links lead there}; with the entries, as in Case."""
    led: dict[str, list[str]] = {}
    for one in entries:
        if one.type == "Patient":
            for name in further(one.resource, []):
                led.setdefault(name, []).append(fhir.name(one.resource))
    return entries, led


def further(patient: Resource, found: list[str]) -> list[str]:
    """The records that a record's links make one patient with it, and that are not found yet."""
    others = [
        fhir.target(link.get("other"))
        for link in listed(patient.get("link"))
        if link.get("type") in _ONE
    ]
    new = [one for one in dict.fromkeys(others) if one not in found]
    return new[: max(FOLLOWED + 1 - len(found), 0)]


def about(case: Case, name: str, *, consent: str) -> About:
    """
    The person of a record (Type/id), as a disclosure about them knows them.

    consent     Type/id of the one under which it goes; "" for none
    """
    numbers = fhir.numbers((case.find(name) or {}).get("identifier"))
    return About(name, numbers, consent, frozenset(records(case, name)))


def held(name: str) -> str:
    """The key under which a screening waits for a patient."""
    return f"patient{_BETWEEN}{name}"


def wait_for(source: str, key: str) -> Waiting:
    return Waiting(source, "patient", key, "", "", "", "")


def keys_of(patient: Resource) -> list[str]:
    """What a Patient that is written may be waited for as."""
    named = [one for each in listed(patient.get("identifier")) if (one := _identifier(each))]
    return [held(fhir.name(patient)), *(held(_BETWEEN.join(one)) for one in named)]


def created(case: Case, found: Subject) -> tuple[Put, ...]:
    """The put of a patient that is found nowhere."""
    if found.new is None:
        return ()
    stored = case.loaded.resource(case.shelf.key, fhir.name(found.new))
    return put(found.new, stored, shelf=case.shelf.key, now=case.now, method="POST")


def linked(case: Case, source: str, target: str) -> Plan:
    """
    Two records that turn out to be one patient: the target stands, the source leads to it.

    raises      NotFound: one of them does not stand
                Conflict: they lead to each other already, the other way round
    source      https://hl7.org/fhir/R4/patient.html#links
    """
    one, other = _standing(case, source), _standing(case, target)
    if source in _chain(case, target):
        raise Conflict("The target leads to the source already; unlink them first.")
    return _put_both(
        case,
        {**_unlinked(one, target), "active": False},
        _unlinked(other, source),
        source=(one, {"other": {"reference": target}, "type": "replaced-by"}),
        target=(other, {"other": {"reference": source}, "type": "replaces"}),
    )


def unlinked(case: Case, source: str, target: str) -> Plan:
    """They are two after all: the links between them are gone, and both are active."""
    one, other = _standing(case, source), _standing(case, target)
    if target not in _chain(case, source):
        raise Conflict("The source does not lead to the target; nothing is undone.")
    return _put_both(
        case,
        {**_unlinked(one, target), "active": True},
        _unlinked(other, source),
        source=(one, None),
        target=(other, None),
    )


def _put_both(
    case: Case,
    first: Resource,
    second: Resource,
    *,
    source: tuple[Stored, Resource | None],
    target: tuple[Stored, Resource | None],
) -> Plan:
    puts: tuple[Put, ...] = ()
    names = []
    for resource, (stored, link) in ((first, source), (second, target)):
        made = _linked(resource, [*listed(resource.get("link")), *([link] if link else [])])
        puts += put(made, stored, shelf=case.shelf.key, now=case.now)
        names.append(fhir.name(made))
    return Plan(Answer(tuple(names)), puts)


def _standing(case: Case, name: str) -> Stored:
    stored = case.loaded.resource(case.shelf.key, name)
    if stored is None or not stored.stands:
        raise NotFound("One of the two patients is not on the shelf.")
    return stored


def _chain(case: Case, name: str) -> list[str]:
    """Where the links of a record lead, one after the other."""
    found: list[str] = []
    for _ in range(FOLLOWED):
        patient = case.find(name)
        onward = _replaced_by(patient or {})
        if not onward or onward in found:
            break
        found.append(onward)
        name = onward
    return found


def _replaced_by(patient: Resource) -> str:
    for link in listed(patient.get("link")):
        if isinstance(link, dict) and link.get("type") == "replaced-by":
            return fhir.target(link.get("other"))
    return ""


def _unlinked(stored: Stored, other: str) -> Resource:
    """The record without links to the other one."""
    links = [
        one
        for one in listed(stored.resource.get("link"))
        if not (isinstance(one, dict) and one.get("other", {}).get("reference") == other)
    ]
    return _linked(stored.resource, links)


def _linked(resource: Resource, links: list[Resource]) -> Resource:
    """The record with these links in place of its own."""
    bare = {key: value for key, value in resource.items() if key != "link"}
    return {**bare, "link": links} if links else bare
