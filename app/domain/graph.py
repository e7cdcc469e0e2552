"""What of the sender's resources a disclosure takes along, and the trimmed copy of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from app import fhir
from app.domain import reading
from app.domain.case import at_once
from app.domain.disclosure import Find, Rule
from app.domain.plan import derive
from app.errors import Invalid
from app.fhir import Resource, listed
from app.settings import BY_COPY

_ABSENT: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_REFERENCE: Final = frozenset({
    "_display", "_reference", "_type", "display", "extension", "id", "identifier", "reference", "type",
})  # fmt: skip
ONE: Final = frozenset({"Provenance", "ServiceRequest", "Task"})
_WHO: Final = frozenset({"Organization", "Patient", "Practitioner", "PractitionerRole"})
_MODIFIER: Final = (
    "What changes the meaning of the rest is not sent on: the recipient might not understand it."
)


@dataclass(frozen=True, slots=True)
class About:
    """
    Whom a disclosure is about.

    subject     Type/id of the one person
    numbers     what that person is known by, system|value: a reference may say no more
    consent     Type/id of the consent under which it goes; no other goes along
    records     Type/id of every record of this person, where links make several one
    """

    subject: str
    numbers: frozenset[str] = frozenset()
    consent: str = ""
    records: frozenset[str] = frozenset()

    def means(self, reference: Any) -> bool:
        """Whether a reference means this person; one that says only a name might mean anybody."""
        if not isinstance(reference, dict):
            return False
        if "reference" in reference:
            return fhir.versionless(str(reference["reference"])) in {self.subject, *self.records}
        numbers = fhir.numbers(reference.get("identifier"))
        return bool(numbers) and numbers <= self.numbers


@dataclass(frozen=True, slots=True)
class Copies:
    """
    The graph that a rule names, trimmed for one recipient.

    resources   the copies, in the order in which the graph was walked
    names       {name on the source shelf: name of the copy}
    left        FHIRPath locations of references whose target stays behind
    """

    resources: tuple[Resource, ...]
    names: dict[str, str]
    left: tuple[str, ...]


def copies(  # noqa: PLR0913 — what a copy depends on
    starts: list[Resource],
    rule: Rule,
    find: Find,
    *,
    about: About,
    known: dict[str, str],
    place: Callable[[str], str],
) -> Copies:
    """
    What of these resources, and of those they name, the recipient gets.

    find        Type/id on the source shelf to the resource
    about       what is about somebody else stays behind
    known       names that the recipient has already: {source: recipient}
    place       Type/id on the source shelf to the id of its copy
    raises      Invalid: a reference that leads nowhere, but in a report, which goes without it; a
                modifier extension, which no one else could be trusted to understand
    """
    graph, left = _graph(starts, rule, find, known=known, about=about)
    names = {name: f"{name.split('/', 1)[0]}/{place(name)}" for name in graph}
    made = tuple(_copy(graph[name], names[name], rule, {**known, **names}) for name in graph)
    return Copies(made, names, tuple(left))


def placed(key: bytes, *, recipient: str, exchange: str, source: str) -> Callable[[str], str]:
    """Ids of copies: nobody can guess them, and one exchange never overwrites another's."""
    return lambda name: derive(key, "copy", recipient, exchange, source, name)


def _graph(
    starts: list[Resource], rule: Rule, find: Find, *, known: dict[str, str], about: About
) -> tuple[dict[str, Resource], list[str]]:
    """What goes, by name, in the order in which it was met; what is not shown leads nowhere."""
    graph: dict[str, Resource] = {}
    left: list[str] = []
    ahead = starts
    while ahead:
        new: dict[str, Resource] = {}
        for one in ahead:
            if fhir.name(one) not in graph:
                new.setdefault(fhir.name(one), _said_of(one, about))
        graph |= new
        met = at_once(partial(_met, rule, find, about, {*known, *graph}), new.values())
        ahead = [target for targets, _ in met for target in targets]
        left += [path for _, paths in met for path in paths]
    return graph, left


def _met(
    rule: Rule, find: Find, about: About, passed: set[str], resource: Resource
) -> tuple[list[Resource], list[str]]:
    """What a resource points at that goes, and the paths of what does not."""
    going: list[Resource] = []
    left: list[str] = []
    shown = _shown(resource, rule)
    for path in rule.follows:
        kind, _, steps = path.partition(".")
        if kind != resource["resourceType"]:
            continue
        said = fhir.references(list(_at(shown, steps.split("."))))
        names = [fhir.versionless(one["reference"]) for one in said]
        names = [name for name in names if name not in passed]
        for name, target in zip(names, at_once(partial(_found, find), names), strict=True):
            if target is None and fhir.is_relative(name) and rule.kind != "cps-report":
                raise Invalid("This reference leads nowhere on the shelf.", expression=path)
            if target is None or not goes(target, rule, about, find):
                left.append(path)
            else:
                going.append(target)
    return going, left


def _found(find: Find, name: str) -> Resource | None:
    return None if "://" in name or name.startswith("#") else find(name)


def goes(resource: Resource, rule: Rule, about: About, find: Find) -> bool:
    """
    Whether a copy of this may be made.

    It is of a type that is shown, about this person and nobody else, not taken back, not withheld. One
    request goes, its Task and who attests it; whatever else is of these types is of another exchange.
    """
    kind, name = resource["resourceType"], fhir.name(resource)
    if kind not in rule.shows or kind in ONE or fhir.in_error(resource) or withheld(resource, rule):
        return False
    if rule.kind == "cps-report" and not _is_understood(resource, rule):
        return False  # and the report goes without it; a referral is refused, and can wait
    if kind == "Consent" and about.consent and name != about.consent:
        return False
    return is_about(resource, about) and all(
        _focused(one, rule, about, find) for one in listed(resource.get("focus"))
    )


def is_about(resource: Resource, about: About) -> bool:
    """Whether a resource that says whom it is about says that it is this person."""
    if resource["resourceType"] == "Patient":
        return fhir.name(resource) == about.subject
    return all(about.means(resource[one]) for one in ("subject", "patient") if one in resource)


def _focused(focus: Resource, rule: Rule, about: About, find: Find) -> bool:
    """
    Whether the copy says of whom a fact is: a fact about the mother, without her, is one about the child.

    source      https://hl7.org/fhir/R4/observation-definitions.html#Observation.focus
    """
    if about.means(focus):
        return True
    if "Observation.focus" not in rule.follows:
        return False
    if "reference" not in focus:
        return "identifier" not in focus and bool(focus.get("display"))
    name = fhir.versionless(str(focus["reference"]))
    target = None if "://" in name else find(name)
    return target is not None and "focus" not in target and goes(target, rule, about, find)


def _is_understood(resource: Resource, rule: Rule) -> bool:
    try:
        _copy(resource, fhir.name(resource), rule, {})
    except Invalid:
        return False
    return True


def withheld(resource: Resource, rule: Rule) -> bool:
    """
    Whether it is of a kind that stays: by category, by label, or by what it is the answer to.

    A label holds by its code: its system comes under its url of R4 or of STU3, as OID, or not at all.
    Who the child of a report is and who reports is what no label keeps behind.
    source      42 CFR 2.12(c)(6): its restrictions are none on reports of suspected child abuse
    """
    who = rule.kind == "cps-report" and resource["resourceType"] in _WHO
    labels = set() if who else {label.partition("|")[2] for label in rule.withholds_labels}
    return not labels.isdisjoint(_labels(resource)) or is_withheld(resource, rule)


def is_withheld(resource: Resource, rule: Rule) -> bool:
    """
    The same, whatever its labels: an answer to a screening, or a need of the family.

    In a report a finding that is coded as a need and as something else besides is no need alone.
    """
    if any(fhir.has_code(resource.get("category"), *code.split("|", 1)) for code in rule.withholds):
        return True
    says = [resource.get("code"), *(one.get("code") for one in listed(resource.get("component")))]
    found = [_is_listed(key, rule) for key in reading.codings(resource.get("valueCodeableConcept"))]
    listed_value = all(found) if rule.kind == "cps-report" else any(found)
    return any(_is_listed(key, rule) for one in says for key in reading.codings(one)) or (
        bool(found) and listed_value
    )


def _is_listed(key: tuple[str, str], rule: Rule) -> bool:
    """Whether a code, the category that it is of in ICD, or all of its system, is one that stays behind."""
    system, code = key
    codes = {f"{system}|{code}", f"{system}|{code.partition('.')[0]}", f"{system}|"}
    return not rule.withholds_codes.isdisjoint(codes)


def _labels(resource: Resource) -> Iterator[str]:
    """Codes of its security labels, in meta and, of a DocumentReference, in the element of that name."""
    said = [
        one
        for concept in listed(resource.get("securityLabel"))
        for one in listed(concept.get("coding"))
    ]
    for one in (*listed(resource.get("meta", {}).get("security")), *said):
        yield str(one.get("code", ""))


def _at(node: Any, steps: list[str]) -> Iterator[Any]:
    if isinstance(node, list):
        for one in node:
            yield from _at(one, steps)
    elif not steps:
        yield node
    elif isinstance(node, dict) and steps[0] in node:
        yield from _at(node[steps[0]], steps[1:])


def _said_of(resource: Resource, about: About) -> Resource:
    """The resource, whose subject is the one record where it was a number or another of the person's."""
    literal: Resource = {
        one: {"reference": about.subject}
        for one in ("subject", "patient")
        if one in resource and about.means(resource[one])
    }
    return {**resource, **literal}


def _copy(resource: Resource, name: str, rule: Rule, names: dict[str, str]) -> Resource:
    """Only what the rule shows, under an id and an identifier of its own."""
    kind, identity = name.split("/", 1)
    labels = [
        dict(zip(("system", "code"), label.split("|", 1), strict=True)) for label in rule.labels
    ]
    made: Resource = {"resourceType": kind, "id": identity}
    tag = {"system": BY_COPY, "code": identity}
    own = [
        {name: label[name] for name in ("system", "code") if name in label}
        for label in listed(resource.get("meta", {}).get("security"))
    ]
    security = labels + [label for label in own if label not in labels]
    made["meta"] = {"security": security, "tag": [tag]} if security else {"tag": [tag]}
    if kind != "Provenance":  # the one type exchanged that has no identifier
        made["identifier"] = [{"system": BY_COPY, "value": identity}]
    for element in ("implicitRules", "modifierExtension"):
        if element in resource:
            raise Invalid(_MODIFIER, expression=f"{kind}.{element}")
    return {**made, **trimmed(resource, rule, names)}


def trimmed(resource: Resource, rule: Rule, names: dict[str, str]) -> Resource:
    """
    The elements of a resource that the rule shows, cleaned.

    names       {Type/id where it stands: Type/id for the recipient}; other references are dropped
    """
    kind = resource["resourceType"]
    kept = {
        element: _clean(value, f"{kind}.{element}", rule, names)
        for element, value in _shown(resource, rule).items()
    }
    if "signature" in kept:  # one whose signer stayed behind signs nothing
        kept["signature"] = [one for one in listed(kept["signature"]) if "who" in one]
    return {element: value for element, value in kept.items() if value not in (None, [], {})}


def _shown(resource: Resource, rule: Rule) -> Resource:
    """
    The elements that the rule shows, without extensions that it does not name.

    raises      Invalid: a modifier extension within one of them
    """
    kind = resource["resourceType"]
    return {
        element: _named(resource[element], f"{kind}.{element}", rule)
        for element in rule.shows[kind]
        if element in resource
    }


def _named(node: Any, path: str, rule: Rule) -> Any:
    """
    A value without extensions that the rule does not name; parts of a named one go with it.

    A primitive's own extensions, and what an extension's value is extended by, are named by no rule.
    """
    if isinstance(node, list):
        within = path.removesuffix(".extension")
        parts = within == path or within.endswith(".extension")
        kept = [one for one in node if parts or one.get("url") in rule.extensions]
        return [_named(one, path, rule) for one in kept]
    if not isinstance(node, dict):
        return node
    if "modifierExtension" in node:
        raise Invalid(_MODIFIER, expression=path)
    return {
        name: _named(value, f"{path}.{name}", rule)
        for name, value in node.items()
        if not name.startswith("_") and name != "id" and not _is_address(name, path)
    }


def _is_address(name: str, path: str) -> bool:
    """Where an attachment lies is an address of the sender's; its data goes, or it is asked for."""
    return name == "url" and not path.endswith(".extension")


def _clean(node: Any, path: str, rule: Rule, names: dict[str, str]) -> Any:
    """A value without references that lead out, and without what is then empty."""
    if isinstance(node, list):
        kept = [_clean(one, path, rule, names) for one in node]
        if path.endswith(".extension"):
            # without a value: one that stayed behind; or none was said, which is the sender's to hear
            pairs = zip(kept, node, strict=True)
            kept = [one for one, said in pairs if one.keys() - {"url"} or one == said]
        return [one for one in kept if one not in (None, [], {})]
    if not isinstance(node, dict):
        return node
    if _is_reference(node, path):
        return _reference(node, path, rule, names)
    return {
        name: kept
        for name, value in node.items()
        if (kept := _clean(value, f"{path}.{name}", rule, names)) not in (None, [], {})
    }


def _is_reference(node: Resource, path: str) -> bool:
    if isinstance(node.get("reference"), str):
        return True
    return (
        node.keys() <= _REFERENCE
        and not path.endswith(".coding")
        and isinstance(node.get("type", ""), str)
    )


# A fact of a report asks for who saw it; a part of an extension is asked for as well.
_ASKED: Final = frozenset({"Observation.performer"})


def _reference(node: Resource, path: str, rule: Rule, names: dict[str, str]) -> Resource | None:
    literal = fhir.target(node)
    if literal in names:
        return {"reference": names[literal]}
    if ".".join(path.split(".")[:2]) not in rule.names:
        return None
    said = {name: node[name] for name in ("type", "display") if isinstance(node.get(name), str)}
    identifier = node.get("identifier") or {}
    known = {name: identifier[name] for name in ("system", "value") if name in identifier}
    shown = {**said, "identifier": known} if known else said
    if not shown and (".extension" in path or path in _ASKED):  # so that it is masked is said
        return {"extension": [{"url": _ABSENT, "valueCode": "masked"}]}
    return shown
