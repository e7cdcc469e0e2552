"""Resources made from the definitions, and the defects that are planted in them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from app.conformance import structure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXCHANGED = (
    "AuditEvent", "Bundle", "Communication", "Condition", "Consent", "DocumentReference",
    "Encounter", "Goal", "HealthcareService", "Location", "Observation", "Organization", "Patient",
    "Practitioner", "PractitionerRole", "Procedure", "Provenance", "Questionnaire",
    "QuestionnaireResponse", "RelatedPerson", "ServiceRequest", "Task",
)  # fmt: skip

DIV = '<div xmlns="http://www.w3.org/1999/xhtml">text</div>'
UCUM = "http://unitsofmeasure.org"
PRIMITIVES = {
    "base64Binary": "YWJj", "boolean": True, "canonical": "http://example.org/one",
    "code": "one", "date": "2020-02-29", "dateTime": "2020-02-29T10:00:00Z", "decimal": 1,
    "id": "one", "instant": "2020-02-29T10:00:00Z", "integer": 1, "markdown": "text",
    "oid": "urn:oid:2.16.840", "positiveInt": 1, "string": "text", "time": "10:00:00",
    "unsignedInt": 1, "uri": "http://example.org/one", "url": "http://example.org/one",
    "uuid": "urn:uuid:c757873d-ec9a-4326-a141-556f43239520", "xhtml": DIV,
}  # fmt: skip
WRONG = {
    "base64Binary": "%%%%", "boolean": "true", "canonical": "a b", "code": "a  b",
    "date": "2026-02-30", "dateTime": "2026-02-30T10:00:00Z",
    "decimal": Decimal("0." + "1" * 1001), "id": "a_b", "instant": "2020-02-29T10:00:00",
    "integer": Decimal("1.5"), "markdown": "a\x00b", "oid": "urn:oid:9.a", "positiveInt": 0,
    "string": "a\x00b", "time": "25:00:00", "unsignedInt": -1, "uri": "a b", "url": "a b",
    "uuid": "urn:uuid:C757873D", "xhtml": "a\x00b",
}  # fmt: skip

# What a type needs beyond its required elements, so that its invariants hold.
SEEDS: dict[str, dict[str, Any]] = {
    "Age": {"value": 1, "system": UCUM, "code": "a"},
    "Count": {"value": 1, "system": UCUM, "code": "1"},
    "Distance": {"value": 1, "system": UCUM, "code": "m"},
    "Duration": {"value": 1, "system": UCUM, "code": "h"},
    "Annotation": {"text": "text"},
    "Attachment": {"url": "http://example.org/one"},
    "CodeableConcept": {"text": "text"},
    "Coding": {"display": "text"},
    "ContactPoint": {"system": "phone", "value": "1"},
    "Dosage": {"text": "text"},
    "Element": {"id": "one"},
    "Expression": {"language": "text/fhirpath", "expression": "true"},
    "Extension": {"url": "http://example.org/one", "valueString": "text"},
    "HumanName": {"family": "text"},
    "Identifier": {"value": "1"},
    "Meta": {"versionId": "1"},
    "Money": {"value": 1},
    "Narrative": {"status": "generated", "div": DIV},
    "Period": {"start": "2020-01-01"},
    "Quantity": {"value": 1},
    "Range": {"low": {"value": 1}},
    "Ratio": {"numerator": {"value": 1}, "denominator": {"value": 1}},
    "Timing": {"code": {"text": "text"}},
    "TriggerDefinition": {"type": "named-event", "name": "text"},
    "UsageContext": {
        "code": {"code": "focus"},
        "valueCodeableConcept": {"text": "text"},
    },
    "Resource": {"resourceType": "Basic", "id": "one", "code": {"text": "text"}},
    "Consent": {"policyRule": {"text": "text"}},
    "Organization": {"name": "text"},
    "Patient.contact": {"name": {"family": "text"}},
    "Observation.referenceRange": {"text": "text"},
    "Condition.stage": {"summary": {"text": "text"}},
    "Condition.evidence": {"code": [{"text": "text"}]},
    "Goal.target": {"measure": {"text": "text"}},
    "Bundle": {"type": "collection"},
    "Bundle.entry": {
        "fullUrl": "http://example.org/Basic/one",
        "resource": {"resourceType": "Basic", "id": "one", "code": {"text": "text"}},
    },
    "Questionnaire.item": {"linkId": "1", "type": "string"},
    "Questionnaire.item.enableWhen": {"question": "1", "operator": "=", "answerBoolean": True},
}

# What stands at the top so that an element may stand where it does.
RESOLVED = {
    "system": "http://terminology.hl7.org/CodeSystem/condition-clinical",
    "code": "resolved",
}
SETTINGS: dict[str, dict[str, Any]] = {
    "Condition.abatement": {"clinicalStatus": {"coding": [RESOLVED]}},
    "ServiceRequest.orderDetail": {"code": {"text": "text"}},
    "Bundle.total": {"type": "searchset"},
    "Bundle.entry.search": {"type": "searchset"},
    "Bundle.entry.request": {"type": "batch"},
    "Bundle.entry.response": {"type": "batch-response"},
}


@dataclass(frozen=True)
class Place:
    """
    One element, filled in a resource that is right.

    steps       keys and indexes to the object that holds it
    key         its JSON name there
    parent      path of that object
    path        path of its first value
    """

    resource: dict[str, Any]
    steps: tuple[str | int, ...]
    key: str
    parent: str
    path: str
    element: structure.Element
    kind: structure.TypeRef

    @property
    def whole(self) -> str:
        return self.path.removesuffix("[0]") if self.element.many else self.path


@dataclass(frozen=True)
class Defect:
    kind: str
    resource: dict[str, Any]
    path: str


class Maker:
    """Makes values and resources of any type from its definition."""

    def __init__(self, definitions: Any) -> None:
        self.definitions = definitions

    def places(self, name: str) -> Iterator[Place]:
        """Every element of a resource type, down to its backbone elements."""
        where = self.definitions.structure(name)
        yield from self._places(where, where.root, self.resource(name), (), name)

    def resource(self, name: str) -> dict[str, Any]:
        where = self.definitions.structure(name)
        made = {"resourceType": name, "text": copy.deepcopy(SEEDS["Narrative"])}
        if "text" not in where.root.children and f"{name}.text" not in where.elements:
            del made["text"]
        return {**made, **self.object(where, where.root)}

    def object(self, where: structure.Structure, element: structure.Element) -> dict[str, Any]:
        """An object with what is required in it, and what its seed says."""
        made = copy.deepcopy(SEEDS.get(element.path, {}))
        members = structure.members(where.elements[element.content] if element.content else element)
        required = [one for one in members.items() if one[1][0].minimum > 0]
        for key, (child, kind) in required:
            given = any(key in made for key, (one, _) in members.items() if one is child)
            if not given:
                made[key] = self.value(where, child, kind)
        if not made:
            key, (child, kind) = next(
                one for one in members.items() if one[0] not in ("id", "extension")
                and one[0] != "modifierExtension"
            )  # fmt: skip
            made[key] = self.value(where, child, kind)
        return made

    def value(
        self, where: structure.Structure, child: structure.Element, kind: structure.TypeRef
    ) -> Any:
        one = self.one(where, child, kind)
        return [one] if child.many else one

    def one(
        self, where: structure.Structure, child: structure.Element, kind: structure.TypeRef
    ) -> Any:
        bound = child.binding and child.binding.strength == "required"
        if bound and kind.code in ("code", "Coding", "CodeableConcept"):
            return self._coded(child.binding.value_set, kind.code)
        if kind.code in PRIMITIVES:
            return PRIMITIVES[kind.code]
        if kind.code == "Reference":
            target = kind.targets[0].rpartition("/")[2] if kind.targets else "Resource"
            return {"reference": f"{'Basic' if target == 'Resource' else target}/1"}
        if child.children or child.content:
            return self.object(where, where.elements.get(child.content, child))
        found = self.definitions.structure(kind.code)
        made = self.object(found, found.root)
        if child.name == "contained":
            made["subject"] = {"reference": "#"}
        return made

    def _coded(self, value_set: str, kind: str) -> Any:
        codes = self.definitions.terminology.codes(value_set)
        if not codes.listed:
            code, system = "text/plain", "urn:ietf:bcp:13"
        else:
            system = min(codes.listed)
            code = min(codes.listed[system])
        if kind == "code":
            return code
        coding = {"system": system, "code": code}
        return coding if kind == "Coding" else {"coding": [coding]}

    def _places(
        self,
        where: structure.Structure,
        element: structure.Element,
        resource: dict[str, Any],
        steps: tuple[str | int, ...],
        path: str,
    ) -> Iterator[Place]:
        for key, (child, kind) in structure.members(element).items():
            filled = copy.deepcopy(resource)
            filled.update(SETTINGS.get(child.path, {}))
            holder = at(filled, steps)
            for other, (one, _) in structure.members(element).items():
                if one is child:
                    holder.pop(other, None)
            holder[key] = copy.deepcopy(at(resource, steps).get(key)) or self.value(
                where, child, kind
            )
            below = f"{path}.{child.name}" + (f".ofType({kind.code})" if child.choice else "")
            below += "[0]" if child.many else ""
            yield Place(filled, steps, key, path, below, child, kind)
            if child.children:
                deeper = (*steps, key, 0) if child.many else (*steps, key)
                yield from self._places(where, child, filled, deeper, below)


def at(value: Any, steps: tuple[str | int, ...]) -> Any:
    for step in steps:
        value = value[step]
    return value


def defects(place: Place, definitions: Any) -> Iterator[Defect]:
    """Each defect that can be planted at a place, with the path at which it is to be found."""

    def planted(kind: str, path: str, change: Callable[[dict[str, Any]], object]) -> Defect:
        made = copy.deepcopy(place.resource)
        change(at(made, place.steps))
        return Defect(kind, made, path)

    def instead(kind: str, value: Any, path: str) -> Defect:
        return planted(kind, path, lambda holder: holder.update({place.key: value}))

    def one(kind: str, value: Any) -> Defect:
        return instead(kind, [value] if place.element.many else value, place.path)

    key, child, code = place.key, place.element, place.kind.code
    value = at(place.resource, place.steps)[key]
    single = value[0] if child.many else value
    if child.minimum > 0:
        yield planted("missing", place.parent, lambda holder: holder.pop(key))
    yield instead("null", None, place.whole)
    yield one("empty string", "")
    if child.many:
        yield instead("single for array", single, place.whole)
        yield instead("empty array", [], place.whole)
        yield instead("null in array", [single, None], place.whole + "[1]")
    else:
        yield instead("array for single", [single], place.whole)
    if code in PRIMITIVES:
        wrong_json = "true" if code == "boolean" else 5 if isinstance(single, str) else "5"
        yield one("wrong JSON type", wrong_json)
        yield one("object for value", {"value": single})
        if code != "boolean":
            yield one("wrong format", WRONG[code])
    else:
        yield one("text for object", "text")
        yield one("empty object", {})
        if code != "Resource":
            bogus = f"{place.path}.bogus"
            yield planted("unknown element", bogus, lambda holder: _into(holder, key, "bogus", 1))
    yield from _meaning(place, planted, definitions)


def _into(holder: dict[str, Any], key: str, name: str, value: Any) -> None:
    target = holder[key][0] if isinstance(holder[key], list) else holder[key]
    target[name] = value


def _meaning(place: Place, planted: Callable[..., Defect], definitions: Any) -> Iterator[Defect]:
    """Defects of meaning: codes, targets, choices, extensions, narrative."""
    key, child, code = place.key, place.element, place.kind.code
    many = child.many

    def change(value: Any) -> Callable[[dict[str, Any]], object]:
        return lambda holder: holder.update({key: [value] if many else value})

    bound = child.binding and child.binding.strength == "required"
    if bound and code == "code" and definitions.terminology.codes(child.binding.value_set).plain:
        yield planted("code not in value set", place.path, change("bogus-code"))
    if bound and code == "CodeableConcept":
        other = {"coding": [{"system": "http://example.org/codes", "code": "bogus"}]}
        yield planted("coding not in value set", place.path, change(other))
    if code == "Reference":
        yield planted("dangling #", place.path, change({"reference": "#nowhere"}))
        types = {one.rpartition("/")[2] for one in place.kind.targets}
        if types and "Resource" not in types:
            yield planted("wrong target", place.path, change({"reference": "Linkage/1"}))
            away = {"reference": "http://example.org/fhir/Linkage/1"}
            yield planted("wrong target elsewhere", place.path, change(away))
    if child.choice and len(child.types) > 1:
        other = next(one.code for one in child.types if one.code != code)
        name = child.name + other[0].upper() + other[1:]
        value = PRIMITIVES.get(other) or SEEDS.get(other) or {"reference": "Basic/1"}
        yield planted(
            "two choice values",
            f"{place.parent}.{child.name}",
            lambda holder: holder.update({name: copy.deepcopy(value)}),
        )
    if code == "Extension" and child.name in ("extension", "modifierExtension"):
        yield planted("extension without url", place.path, change({"valueString": "text"}))
        neither = {"url": "http://example.org/one"}
        yield planted("extension without value", place.path, change(neither))
        both = {**neither, "valueString": "text", "extension": [{"url": "a", "valueString": "b"}]}
        yield planted("extension with value and children", place.path, change(both))
    if code == "xhtml":
        for what in (
            "<script>x</script>",
            '<p onclick="x()">x</p>',
            '<a href="javascript:x">x</a>',
        ):
            yield planted("script", place.path, change(DIV.replace("text", what)))
