"""Who may send what to whom: rules as data, a decision as a value, and the trimmed copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from app import fhir
from app.domain.plan import derive
from app.errors import Invalid, Issue
from app.fhir import Resource, listed
from app.settings import CANONICAL, Kind

Direction = Literal["outward", "return"]
Find = Callable[[str], Resource | None]

FACTS: Final = frozenset({
    "attested", "consent-active", "consent-in-force", "consent-names-recipient", "human-requester",
    "own-exchange", "recipient-registered",
})  # fmt: skip
_COPY: Final = f"{CANONICAL}/sid/copy"
_REFERENCE: Final = frozenset({"reference", "type", "identifier", "display"})


class Rule(BaseModel):
    """One reason to disclose; the head of mappings/disclosure.toml says what each key means."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    says: str
    kind: Kind
    direction: Direction
    purpose: str
    requires: tuple[str, ...]
    basis: tuple[str, ...]
    labels: tuple[str, ...]
    extensions: tuple[str, ...]
    follows: tuple[str, ...]
    names: tuple[str, ...]
    withholds: tuple[str, ...]
    shows: dict[str, tuple[str, ...]]
    classes: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """
    rule        the one that permits, or the one that came nearest
    missing     facts that it requires and that do not hold; empty: permitted
    """

    rule: Rule | None
    missing: tuple[str, ...]

    @property
    def permitted(self) -> bool:
        return self.rule is not None and not self.missing


def decide(
    rules: tuple[Rule, ...], *, kind: Kind, direction: Direction, facts: frozenset[str]
) -> Decision:
    """Deny by default: the first rule all of whose facts hold permits, else none does."""
    nearest = Decision(None, ())
    for rule in rules:
        if (rule.kind, rule.direction) == (kind, direction):
            decision = Decision(rule, tuple(fact for fact in rule.requires if fact not in facts))
            if decision.permitted:
                return decision
            if nearest.rule is None or len(decision.missing) < len(nearest.missing):
                nearest = decision
    return nearest


def refusal(decision: Decision, advice: dict[str, str], *, at: str) -> Invalid:
    """What keeps it from being sent, one issue for each missing fact, and what to do."""
    if decision.rule is None:
        return Invalid("No disclosure rule permits this.", expression=at)
    where = f"{CANONICAL}/disclosure/{decision.rule.id}"
    return Invalid(
        issues=tuple(
            Issue("error", "business-rule", advice[fact], at, rule=fact, url=where)
            for fact in decision.missing
        )
    )


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


def copies(
    starts: list[Resource],
    rule: Rule,
    find: Find,
    *,
    known: dict[str, str],
    place: Callable[[str], str],
) -> Copies:
    """
    What of these resources, and of those they name, the recipient gets.

    find        Type/id on the source shelf to the resource
    known       names that the recipient has already: {source: recipient}
    place       Type/id on the source shelf to the id of its copy
    raises      Invalid: a reference that leads nowhere; a modifier extension, which no one else
                could be trusted to understand
    """
    graph, left = _graph(starts, rule, find, known)
    names = {name: f"{name.split('/', 1)[0]}/{place(name)}" for name in graph}
    made = tuple(_trim(graph[name], names[name], rule, {**known, **names}) for name in graph)
    return Copies(made, names, tuple(left))


def placed(key: bytes, *, recipient: str, exchange: str, source: str) -> Callable[[str], str]:
    """Ids of copies: nobody can guess them, and one exchange never overwrites another's."""
    return lambda name: derive(key, "copy", recipient, exchange, source, name)


def _graph(
    starts: list[Resource], rule: Rule, find: Find, known: dict[str, str]
) -> tuple[dict[str, Resource], list[str]]:
    graph: dict[str, Resource] = {}
    left: list[str] = []
    ahead = list(starts)
    while ahead:
        resource = ahead.pop(0)
        if fhir.name(resource) in graph:
            continue
        graph[fhir.name(resource)] = resource
        for path in rule.follows:
            kind, _, steps = path.partition(".")
            if kind != resource["resourceType"]:
                continue
            for reference in fhir.references(list(_at(resource, steps.split(".")))):
                name = reference["reference"]
                if name in known or name in graph:
                    continue
                target = None if "://" in name or name.startswith("#") else find(name)
                if target is None and fhir.is_relative(name):
                    raise Invalid("This reference leads nowhere on the shelf.", expression=path)
                if target is None or not _goes(target, rule):
                    left.append(path)
                else:
                    ahead.append(target)
    return graph, left


def _goes(resource: Resource, rule: Rule) -> bool:
    if resource["resourceType"] not in rule.shows:
        return False
    return not any(
        fhir.has_code(resource.get("category"), *category.split("|", 1))
        for category in rule.withholds
    )


def _at(node: Any, steps: list[str]) -> Iterator[Any]:
    if isinstance(node, list):
        for one in node:
            yield from _at(one, steps)
    elif not steps:
        yield node
    elif isinstance(node, dict) and steps[0] in node:
        yield from _at(node[steps[0]], steps[1:])


def _trim(resource: Resource, name: str, rule: Rule, names: dict[str, str]) -> Resource:
    """The copy: only what the rule shows, under an id and an identifier of its own."""
    kind, identity = name.split("/", 1)
    labels = [
        dict(zip(("system", "code"), label.split("|", 1), strict=True)) for label in rule.labels
    ]
    made: Resource = {"resourceType": kind, "id": identity}
    tag = {"system": _COPY, "code": identity}
    made["meta"] = {"security": labels, "tag": [tag]} if labels else {"tag": [tag]}
    if kind != "Provenance":  # the one type exchanged that has no identifier
        made["identifier"] = [{"system": _COPY, "value": identity}]
    if "modifierExtension" in resource:
        text = "A modifier extension is not sent on: the recipient might not understand it."
        raise Invalid(text, expression=f"{kind}.modifierExtension")
    return {**made, **trimmed(resource, rule, names)}


def trimmed(resource: Resource, rule: Rule, names: dict[str, str]) -> Resource:
    """
    The elements of a resource that the rule shows, cleaned.

    names       {Type/id where it stands: Type/id for the recipient}; other references are dropped
    """
    kind = resource["resourceType"]
    kept = {
        element: _clean(resource[element], f"{kind}.{element}", rule, names)
        for element in rule.shows[kind]
        if element in resource
    }
    return {element: value for element, value in kept.items() if value not in (None, [], {})}


def _clean(node: Any, path: str, rule: Rule, names: dict[str, str]) -> Any:
    """A value without extensions that the rule does not name and references that lead out."""
    if isinstance(node, list):
        kept = [_clean(one, path, rule, names) for one in node]
        if path.endswith(".extension"):
            kept = [one for one in kept if one and _extension_goes(one, path, rule)]
        return [one for one in kept if one not in (None, [], {})]
    if not isinstance(node, dict):
        return node
    if "modifierExtension" in node:
        text = "A modifier extension is not sent on: the recipient might not understand it."
        raise Invalid(text, expression=path)
    if node.keys() <= _REFERENCE:
        return _reference(node, path, rule, names)
    return {
        name: kept
        for name, value in node.items()
        if not name.startswith("_") and name != "id"
        if (kept := _clean(value, f"{path}.{name}", rule, names)) not in (None, [], {})
    }


def _extension_goes(extension: Resource, path: str, rule: Rule) -> bool:
    """Parts of a named extension go with it; every other one stays behind."""
    return extension.get("url") in rule.extensions or path.count(".extension") > 1


def _reference(node: Resource, path: str, rule: Rule, names: dict[str, str]) -> Resource | None:
    if node.get("reference") in names:
        return {"reference": names[node["reference"]]}
    if ".".join(path.split(".")[:2]) in rule.names:
        return {name: node[name] for name in ("type", "identifier", "display") if name in node}
    return None


def consent_facts(
    consent: Resource | None, *, patient: str, recipient: set[str], now: str
) -> set[str]:
    """
    Which facts about consent hold.

    patient     Type/id of the one whom it must cover
    recipient   what the receiving organization is known by: references and system|value
    now         FHIR instant
    source      SDOHCC-Consent 3.0.0; R4 Consent.provision
    """
    if consent is None or (consent.get("patient") or {}).get("reference") != patient:
        return set()
    facts = set()
    code = "http://terminology.hl7.org/CodeSystem"
    if (
        consent.get("status") == "active"
        and fhir.has_code(consent.get("category"), f"{code}/v3-ActCode", "IDSCL")
        and fhir.has_code(consent.get("scope"), f"{code}/consentscope", "patient-privacy")
    ):
        facts.add("consent-active")
    provision = consent.get("provision") or {}
    period = provision.get("period") or {}
    begun = fhir.not_after(str(period.get("start", "")), now)
    ended = bool(period.get("end")) and not fhir.not_after(now, str(period["end"]))
    if provision.get("type") != "deny" and begun and not ended:
        facts.add("consent-in-force")
    named = {
        name
        for actor in listed(provision.get("actor"))
        for name in identities(actor.get("reference") or {})
    }
    if named & recipient:
        facts.add("consent-names-recipient")
    return facts


def identities(reference: Resource) -> set[str]:
    """What a Reference points at: its literal reference and its system|value."""
    found = {reference["reference"]} if isinstance(reference.get("reference"), str) else set()
    identifier = reference.get("identifier") or {}
    if identifier.get("value"):
        found.add(f"{identifier.get('system', '')}|{identifier['value']}")
    return found
