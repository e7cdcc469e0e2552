"""What the items of a result say of themselves."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app import fhirpath

PATIENT = {
    "resourceType": "Patient",
    "id": "p",
    "active": True,
    "name": [{"family": "A"}, {"given": ["B", "C"], "_given": [None, {"extension": [
        {"url": "http://x", "valueDecimal": Decimal("1.50")}]}]}],
    "_birthDate": {"extension": [{"url": "http://y", "valueCode": "unknown"}]},
    "deceasedDateTime": "2020-05",
    "contained": [{"resourceType": "Organization", "id": "o", "name": "Clinic"}],
    "managingOrganization": {"reference": "#o"},
}  # fmt: skip


def locations(expression, resource=PATIENT):
    return [value.location for value in fhirpath.compile(expression).evaluate(resource)]


def values(expression, resource=PATIENT):
    return [value.value for value in fhirpath.compile(expression).evaluate(resource)]


def types(expression, resource=PATIENT):
    return [value.type for value in fhirpath.compile(expression).evaluate(resource)]


def test_an_item_tells_where_it_stands() -> None:
    """A location counts only those elements that repeat."""
    assert locations("name.given") == ["Patient.name[1].given[0]", "Patient.name[1].given[1]"]
    assert locations("active") == ["Patient.active"]
    assert locations("Patient") == ["Patient"]


def test_a_location_leads_through_contained_resources_and_extensions() -> None:
    """Contained resources and the extensions of a primitive have locations too."""
    assert locations("contained.name") == ["Patient.contained[0].name"]
    assert locations("name.given.extension.value") == [
        "Patient.name[1].given[1].extension[0].value"
    ]


def test_a_location_is_an_expression_that_leads_there() -> None:
    """Evaluating a location gives just the item that bears it."""
    for value in fhirpath.compile("descendants()").evaluate(PATIENT):
        again = fhirpath.compile(value.location).evaluate(PATIENT)
        assert [(one.location, one.value) for one in again] == [(value.location, value.value)]


def test_what_is_computed_stands_nowhere() -> None:
    """A value that no element holds has an empty location."""
    assert locations("name.count()") == [""]
    assert locations("name.family & 'x'") == [""]


def test_a_choice_is_one_element_with_its_type() -> None:
    """The type of a choice is that of the value that is there."""
    assert types("deceased") == ["FHIR.dateTime"]
    assert locations("deceased") == ["Patient.deceased"]
    assert types("contained") == ["FHIR.Organization"]
    assert types("1.5 | 'a' | 1 'mg' | @2020") == [
        "System.Decimal", "System.String", "System.Quantity", "System.Date",
    ]  # fmt: skip


def test_a_primitive_may_have_only_extensions() -> None:
    """It exists and has extensions, yet no value."""
    assert values("birthDate.exists()") == [True]
    assert values("birthDate.hasValue()") == [False]
    assert values("birthDate.getValue()") == []
    assert values("birthDate.extension('http://y').value") == ["unknown"]
    assert values("birthDate") == [None]


def test_digits_are_kept() -> None:
    """A decimal is given back as it was sent."""
    assert str(values("name.given.extension.value")[0]) == "1.50"


def test_a_contained_resource_is_resolved() -> None:
    """A reference that begins with # leads to what is contained."""
    assert values("managingOrganization.resolve().name") == ["Clinic"]


def test_a_bundle_resolves_its_own_entries() -> None:
    """References between entries are found by fullUrl and by type and id."""
    bundle = {"resourceType": "Bundle", "entry": [
        {"fullUrl": "urn:uuid:1", "resource": {"resourceType": "Patient", "id": "a"}},
        {"fullUrl": "http://h/Task/t", "resource": {
            "resourceType": "Task", "id": "t",
            "for": {"reference": "urn:uuid:1"}, "focus": {"reference": "Task/t"}}},
    ]}  # fmt: skip
    found = values(
        "entry.resource.ofType(Task).select(for.resolve().id | focus.resolve().id)", bundle
    )
    assert found == ["a", "t"]


def test_other_references_are_asked_of_the_environment() -> None:
    """What is neither contained nor in the Bundle is asked for, and never fetched."""
    asked = []

    def resolve(reference):
        asked.append(reference)
        return {"resourceType": "Organization", "name": "Agency"}

    task = {"resourceType": "Task", "owner": {"reference": "Organization/1"}}
    environment = fhirpath.Environment(resolve=resolve)
    found = fhirpath.compile("owner.resolve().name").evaluate(task, environment=environment)

    assert asked == ["Organization/1"]
    assert [value.value for value in found] == ["Agency"]
    assert values("owner.resolve()", task) == []


def test_references_are_announced() -> None:
    """What resolve() needs is told before anything is loaded, and then what lies behind."""
    task = {"resourceType": "Task", "focus": {"reference": "ServiceRequest/1"}}
    request = {"resourceType": "ServiceRequest", "subject": {"reference": "Patient/2"}}
    expression = fhirpath.compile("focus.resolve().subject.resolve().active")

    first = expression.references(task)
    loaded = fhirpath.Environment(resolve={"ServiceRequest/1": request}.get)
    second = expression.references(task, environment=loaded)

    assert (first, second) == (["ServiceRequest/1"], ["Patient/2"])


def test_an_element_may_be_the_context() -> None:
    """An element that is at hand is a start, with its type and its place."""
    start = fhirpath.element({"given": ["A"]}, "HumanName", location="Patient.name[3]")
    found = fhirpath.compile("given").evaluate(PATIENT, context=start)
    assert [(one.location, one.type) for one in found] == [
        ("Patient.name[3].given[0]", "FHIR.string")
    ]


def test_variables_are_handed_in() -> None:
    """%name is what the caller says, and refused where nobody said it."""
    found = fhirpath.compile("%x + 1").evaluate(None, variables={"x": 2})
    assert [value.value for value in found] == [3]
    with pytest.raises(fhirpath.EvaluationError):
        fhirpath.compile("%x + 1").evaluate(None)


def test_a_context_below_the_resource() -> None:
    """An expression may start from an element, and still knows the resource."""
    name = fhirpath.compile("name[1]").items(PATIENT)[0]
    found = fhirpath.compile("given.first() | %resource.id").evaluate(PATIENT, context=name)
    assert [value.location for value in found] == ["Patient.name[1].given[0]", "Patient.id"]


def test_an_invariant_fails_on_nothing() -> None:
    """Empty is not true."""
    assert not fhirpath.compile("multipleBirth").test(PATIENT)
    assert fhirpath.compile("active").test(PATIENT)
    assert fhirpath.compile("name.exists()").holds(PATIENT, "Patient")
    assert not fhirpath.compile("gender = 'male'").holds(PATIENT, "Patient")


def test_an_unknown_resource_type_is_taken_as_it_comes() -> None:
    """An element that the model does not know is still reached by its name."""
    assert values("a.b", {"resourceType": "Novelty", "a": [{"b": 1}, {"b": 2}]}) == [1, 2]


DOM_3 = (
    "contained.where((('#'+id in (%resource.descendants().reference | "
    "%resource.descendants().as(canonical) | %resource.descendants().as(uri) | "
    "%resource.descendants().as(url))) or descendants().where(reference = '#').exists() or "
    "descendants().where(as(canonical) = '#').exists() or "
    "descendants().where(as(canonical) = '#').exists()).not()).trace('unmatched', id).empty()"
)


def test_what_is_contained_is_referred_to() -> None:
    """R4's own dom-3 runs, and tells a contained resource that nobody refers to."""
    invariant = fhirpath.compile(DOM_3).invariant("Patient")
    alone = {**PATIENT, "managingOrganization": {"reference": "#x"}}
    assert invariant(PATIENT, PATIENT, PATIENT)
    assert not invariant(alone, alone, alone)
