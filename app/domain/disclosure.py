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

Direction = Literal["outward", "return", "conversation"]
Find = Callable[[str], Resource | None]

FACTS: Final = frozenset({
    "attested", "consent-active", "consent-in-force", "consent-names-recipient", "human-requester",
    "own-exchange", "recipient-registered",
})  # fmt: skip
_COPY: Final = f"{CANONICAL}/sid/copy"
_ABSENT: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_REFERENCE: Final = frozenset({
    "_display", "_reference", "_type", "display", "extension", "id", "identifier", "reference", "type",
})  # fmt: skip


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
    withholds_labels: tuple[str, ...]
    shows: dict[str, tuple[str, ...]]
    classes: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    flagged: dict[str, tuple[str, ...]] = {}

    def asked(self, flags: tuple[str, ...]) -> Rule:
        """The rule with the extensions that the form of a jurisdiction asks for beside the others."""
        more = tuple(url for flag in flags for url in self.flagged.get(flag, ()))
        return self.model_copy(update={"extensions": self.extensions + more}) if more else self


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


def copies(  # noqa: PLR0913 — what a copy depends on
    starts: list[Resource],
    rule: Rule,
    find: Find,
    *,
    subject: str,
    known: dict[str, str],
    place: Callable[[str], str],
) -> Copies:
    """
    What of these resources, and of those they name, the recipient gets.

    find        Type/id on the source shelf to the resource
    subject     Type/id of the one whom it is about; what is about somebody else stays behind
    known       names that the recipient has already: {source: recipient}
    place       Type/id on the source shelf to the id of its copy
    raises      Invalid: a reference that leads nowhere, but in a report, which goes without it; a
                modifier extension, which no one else could be trusted to understand
    """
    graph, left = _graph(starts, rule, find, known=known, subject=subject)
    names = {name: f"{name.split('/', 1)[0]}/{place(name)}" for name in graph}
    made = tuple(_trim(graph[name], names[name], rule, {**known, **names}) for name in graph)
    return Copies(made, names, tuple(left))


def placed(key: bytes, *, recipient: str, exchange: str, source: str) -> Callable[[str], str]:
    """Ids of copies: nobody can guess them, and one exchange never overwrites another's."""
    return lambda name: derive(key, "copy", recipient, exchange, source, name)


def _graph(
    starts: list[Resource], rule: Rule, find: Find, *, known: dict[str, str], subject: str
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
                if target is None and fhir.is_relative(name) and rule.kind != "cps-report":
                    raise Invalid("This reference leads nowhere on the shelf.", expression=path)
                if target is None or not goes(target, rule, subject):
                    left.append(path)
                else:
                    ahead.append(target)
    return graph, left


def goes(resource: Resource, rule: Rule, subject: str) -> bool:
    """Whether a copy of this may be made: of a type that is shown, about the one, not withheld."""
    kind = resource["resourceType"]
    about = {
        str((resource.get(element) or {}).get("reference", subject))
        for element in ("subject", "patient")
    }
    if kind not in rule.shows or about != {subject}:
        return False
    if kind == "Patient" and fhir.name(resource) != subject:
        return False
    labels = {"coding": listed(resource.get("meta", {}).get("security"))}
    return not any(
        fhir.has_code(carried, *code.split("|", 1))
        for carried, codes in (
            (resource.get("category"), rule.withholds),
            (labels, rule.withholds_labels),
        )
        for code in codes
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
    own = [
        {name: label[name] for name in ("system", "code") if name in label}
        for label in listed(resource.get("meta", {}).get("security"))
    ]
    security = labels + [label for label in own if label not in labels]
    made["meta"] = {"security": security, "tag": [tag]} if security else {"tag": [tag]}
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
    if "signature" in kept:  # one whose signer stayed behind signs nothing
        kept["signature"] = [one for one in listed(kept["signature"]) if "who" in one]
    return {element: value for element, value in kept.items() if value not in (None, [], {})}


def _clean(node: Any, path: str, rule: Rule, names: dict[str, str]) -> Any:
    """A value without extensions that the rule does not name and references that lead out."""
    if isinstance(node, list):
        kept = [_clean(one, path, rule, names) for one in node]
        if path.endswith(".extension"):
            kept = [one for one in kept if one and _extension_goes(one, path, rule)]
            kept = [one for one in kept if one.keys() - {"url"}]  # its value stayed behind
        return [one for one in kept if one not in (None, [], {})]
    if not isinstance(node, dict):
        return node
    if "modifierExtension" in node:
        text = "A modifier extension is not sent on: the recipient might not understand it."
        raise Invalid(text, expression=path)
    if isinstance(node.get("reference"), str) or node.keys() <= _REFERENCE:
        return _reference(node, path, rule, names)
    return {
        name: kept
        for name, value in node.items()
        if not name.startswith("_") and name != "id" and f"{path}.{name}" not in _ADDRESSES
        if (kept := _clean(value, f"{path}.{name}", rule, names)) not in (None, [], {})
    }


# Where a document lies is an address of the sender's; its data goes, or it is asked for.
_ADDRESSES: Final = frozenset({
    "DiagnosticReport.presentedForm.url", "DocumentReference.content.attachment.url",
    "Media.content.url",
})  # fmt: skip


def _extension_goes(extension: Resource, path: str, rule: Rule) -> bool:
    """Parts of a named extension go with it; every other one stays behind."""
    return extension.get("url") in rule.extensions or path.count(".extension") > 1


# A fact of a report asks for who saw it; a part of an extension is asked for as well.
_ASKED: Final = frozenset({"Observation.performer"})


def _reference(node: Resource, path: str, rule: Rule, names: dict[str, str]) -> Resource | None:
    if node.get("reference") in names:
        return {"reference": names[node["reference"]]}
    if ".".join(path.split(".")[:2]) not in rule.names:
        return None
    said = {name: node[name] for name in ("type", "display") if isinstance(node.get(name), str)}
    identifier = node.get("identifier") or {}
    known = {name: identifier[name] for name in ("system", "value") if name in identifier}
    shown = {**said, "identifier": known} if known else said
    if not shown and (".extension" in path or path in _ASKED):  # so that it is masked is said
        return {"extension": [{"url": _ABSENT, "valueCode": "masked"}]}
    return shown


# What of Consent.provision is understood; a limit that is not is none that was kept.
_PROVISION: Final = frozenset({"actor", "id", "period", "type"})
_RECIPIENTS: Final = frozenset({"IRCP", "PRCP"})  # v3-ParticipationType: who receives


def consent_facts(
    consent: Resource | None, *, patient: str, recipient: Callable[[Resource], bool], now: str
) -> set[str]:
    """
    Which facts about consent hold.

    patient     Type/id of the one whom it must cover
    recipient   whether a Reference means the organization that receives
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
        and all(one.get("verified") is True for one in listed(consent.get("verification")))
        and "modifierExtension" not in consent
    ):
        facts.add("consent-active")
    provision = consent.get("provision") or {}
    period = provision.get("period") or {}
    begun = fhir.not_after(str(period.get("start", "")), now)
    ended = "end" in period and not fhir.not_after(now, str(period["end"]))
    understood = provision.keys() <= _PROVISION and period.keys() <= {"start", "end"}
    if provision.get("type", "permit") == "permit" and understood and begun and not ended:
        facts.add("consent-in-force")
    if any(
        _receives(actor) and recipient(actor.get("reference") or {})
        for actor in listed(provision.get("actor"))
    ):
        facts.add("consent-names-recipient")
    return facts


def _receives(actor: Resource) -> bool:
    codings = listed((actor.get("role") or {}).get("coding"))
    return any(coding.get("code") in _RECIPIENTS for coding in codings)


def organization(reference: Resource, find: Find) -> set[str]:
    """
    What an organization that is referred to is known by, system|value.

    A reference that leads to an Organization means that one, whatever identifier stands beside it.
    """
    name = str(reference.get("reference", ""))
    if name:
        found = find(name) if name.startswith("Organization/") else None
        identifiers = listed((found or {}).get("identifier"))
    else:
        identifiers = listed(reference.get("identifier"))
    return {f"{one.get('system', '')}|{one['value']}" for one in identifiers if one.get("value")}
