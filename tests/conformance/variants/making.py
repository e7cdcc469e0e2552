"""How a variant is written: a definition by the ids of its elements, and resources that claim it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

BASE = "http://hl7.org/fhir/StructureDefinition/"
HERE = "http://example.org/fhir/"
PROFILE = HERE + "StructureDefinition/"
CODES = HERE + "CodeSystem/codes"

Resource = dict[str, Any]


@dataclass(frozen=True)
class Variant:
    """
    A resource, and whether it is valid.

    hl7         where HL7's validator has another verdict: why
    """

    name: str
    resource: Resource
    valid: bool
    hl7: str = ""


@dataclass
class Group:
    """
    Definitions with the variants that are held against them.

    definitions     the first is the one that the variants claim
    seed            what each variant has, unless it says otherwise
    """

    name: str
    definitions: list[Resource]
    seed: Resource
    variants: list[Variant] = field(default_factory=list)
    claims: bool = True

    def right(self, what: str, hl7: str = "", **elements: Any) -> Group:
        return self._with(what, elements, hl7, valid=True)

    def wrong(self, what: str, hl7: str = "", **elements: Any) -> Group:
        return self._with(what, elements, hl7, valid=False)

    def _with(self, what: str, elements: Resource, hl7: str, *, valid: bool) -> Group:
        made = copy.deepcopy({**self.seed, **elements})
        made = {key: value for key, value in made.items() if value is not None}
        if self.claims:
            made["meta"] = {"profile": [self.definitions[0]["url"]], **made.get("meta", {})}
        self.variants.append(Variant(f"{self.name}: {what}", made, valid, hl7))
        return self


SEEDS: dict[str, Resource] = {
    "Observation": {"status": "final", "code": {"text": "what"}},
    "Task": {"status": "requested", "intent": "order"},
    "Questionnaire": {"status": "active"},
    "Bundle": {"type": "collection"},
    "QuestionnaireResponse": {"status": "completed"},
    "ServiceRequest": {"status": "active", "intent": "order", "subject": {"reference": "Patient/1"}},
    "Composition": {
        "status": "final", "type": {"text": "what"}, "date": "2020", "title": "title",
        "author": [{"reference": "Practitioner/1"}],
    },
    "Basic": {"code": {"text": "what"}},
    "Encounter": {
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
    },
}  # fmt: skip


def row(identity: str, **more: Any) -> Resource:
    """An element by its id, `Patient.identifier:own.system`: path and sliceName are in it."""
    steps = identity.split(".")
    slice_name = steps[-1].partition(":")[2]
    path = ".".join(step.partition(":")[0] for step in steps)
    return {
        "id": identity,
        "path": path,
        **({"sliceName": slice_name} if slice_name else {}),
        **more,
    }


def slicing(identity: str, *by: tuple[str, str], rules: str = "open", ordered: bool = False,
            **more: Any) -> Resource:  # fmt: skip
    told = [{"type": kind, "path": path} for kind, path in by]
    how = {"discriminator": told, "rules": rules, "ordered": ordered}
    if not told:
        del how["discriminator"]
    return row(identity, slicing=how, **more)


def profile(name: str, of: str, *rows: Resource, base: str = "", **more: Any) -> Resource:
    kind = "resource" if of in SEEDS or of in _RESOURCES else "complex-type"
    return {
        "resourceType": "StructureDefinition", "id": name, "url": PROFILE + name, "name": "Variant",
        "status": "active", "fhirVersion": "4.0.1", "kind": kind, "abstract": False, "type": of,
        "baseDefinition": base or BASE + of, "derivation": "constraint",
        "differential": {"element": [row(of), *rows]}, **more,
    }  # fmt: skip


_RESOURCES = frozenset(
    {"Patient", "Practitioner", "Organization", "Parameters", "Consent", "Group"}
)


def extension(name: str, *rows: Resource, contexts: Any = ("Element",), **more: Any) -> Resource:
    """A definition of an extension; contexts are paths, or (type, expression)."""
    said = [
        {"type": "element", "expression": one} if isinstance(one, str)
        else {"type": one[0], "expression": one[1]} for one in contexts
    ]  # fmt: skip
    url = row("Extension.url", fixedUri=PROFILE + name)
    return profile(name, "Extension", *[one for one in rows if one["path"] < "Extension.url"], url,
                   *[one for one in rows if one["path"] > "Extension.url"],
                   context=said, **more)  # fmt: skip


def group(
    name: str, of: str, *rows: Resource, more: tuple[Resource, ...] = (), **said: Any
) -> Group:
    """A group of one profile."""
    seed = {"resourceType": of, **SEEDS.get(of, {})}
    return Group(name, [profile(name, of, *rows, **said), *more], seed)


def value_set(name: str, *include: Resource, **compose: Any) -> Resource:
    return {
        "resourceType": "ValueSet", "id": name, "url": f"{HERE}ValueSet/{name}", "status": "active",
        "name": "Variant", "compose": {"include": list(include), **compose},
    }  # fmt: skip


def listed(name: str, *codes: str, system: str = CODES) -> Resource:
    return value_set(name, {"system": system, "concept": [{"code": one} for one in codes]})


def code_system(name: str, *codes: str | Resource, **more: Any) -> Resource:
    concept = [{"code": one} if isinstance(one, str) else one for one in codes]
    return {
        "resourceType": "CodeSystem", "id": name, "url": f"{HERE}CodeSystem/{name}",
        "status": "active", "name": "Variant", "content": "complete", "caseSensitive": True,
        "concept": concept, **more,
    }  # fmt: skip


ALPHABET = code_system("codes", *"abcdef")


def coding(code: str, system: str = CODES, **more: Any) -> Resource:
    return {"system": system, "code": code, **more}


def concept(*codes: str) -> Resource:
    return {"coding": [coding(one) for one in codes]}


def reference(*targets: str, **more: Any) -> list[Resource]:
    """The type of an element that refers to these types or profiles."""
    urls = [one if ":" in one else BASE + one for one in targets]
    return [{"code": "Reference", "targetProfile": urls, **more}]


def invariant(key: str, expression: str, severity: str = "error") -> Resource:
    return {"key": key, "severity": severity, "human": f"{key} holds", "expression": expression}
