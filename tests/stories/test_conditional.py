"""By record number in place of an id: create, update, patch, delete."""

import pytest
from asking import CHART, FOUND, MRN, PATIENT, operation, parameters
from exchange import refused

from app.sandbox import family


def test_conditional_create_makes_one(exchange, patient):
    """The same record number twice is one patient."""
    same = {"resourceType": "Patient", "identifier": [MRN]}

    answer = exchange.call("POST", f"{CHART}/Patient", same, If_None_Exist=FOUND)

    assert (answer.status_code, answer.json()["id"]) == (200, "rosa")


@pytest.mark.parametrize(
    "condition",
    ["name=Rosa", "family:exact=Example&birthdate=2021", "identifier=100-42", "address-city=river"],
)
def test_any_search_is_a_condition(exchange, patient, condition):
    """What a search finds is what a conditional interaction is about."""
    answer = exchange.call("POST", f"{CHART}/Patient", family.PATIENT, If_None_Exist=condition)

    assert (answer.status_code, answer.json()["id"]) == (200, "rosa")
    assert exchange.call("DELETE", f"{CHART}/Patient?{condition}").status_code == 204
    refused(exchange.get(PATIENT), 410)
    made = exchange.call("POST", f"{CHART}/Patient", family.PATIENT, If_None_Exist=condition)
    assert made.status_code == 201


@pytest.mark.parametrize("condition", ["", "_count=1", "nome=Rosa", "name:exactly=Rosa", "name="])
def test_a_condition_that_is_not_understood_does_nothing(exchange, patient, condition):
    """No resource is deleted by a search that says nothing, or says it wrongly."""
    refused(exchange.call("DELETE", f"{CHART}/Patient?{condition}"), 400)
    asked = {"If_None_Exist": condition or " "}
    refused(exchange.call("POST", f"{CHART}/Patient", family.PATIENT, **asked), 400)
    assert exchange.get(PATIENT).status_code == 200


def test_conditional_update_patch_and_delete(exchange, patient):
    """By record number instead of by id: update, patch, delete; and nothing where nothing meets it."""
    changed = {"resourceType": "Patient", "identifier": [MRN], "gender": "male"}
    assert exchange.call("PUT", f"{CHART}/Patient?{FOUND}", changed).json()["id"] == "rosa"
    patch = parameters(operation("replace", path="Patient.gender", value={"valueCode": "other"}))
    assert exchange.call("PATCH", f"{CHART}/Patient?{FOUND}", patch).json()["gender"] == "other"

    assert exchange.call("DELETE", f"{CHART}/Patient?{FOUND}").status_code == 204

    refused(exchange.get(PATIENT), 410)
    refused(exchange.call("PATCH", f"{CHART}/Patient?{FOUND}", patch), 404)
    assert exchange.call("DELETE", f"{CHART}/Patient?{FOUND}").status_code == 204
    assert exchange.call("PUT", f"{CHART}/Patient?{FOUND}", changed).status_code == 201


def test_a_condition_that_nobody_meets_writes_over_nobody(exchange, patient):
    """A feed whose id is by chance another child's here: as R5 has it, 409, and hers stays."""
    other = {"resourceType": "Patient", "id": "rosa", "identifier": [{"value": "200-7"}]}
    path = "Patient?identifier=200-7"
    entry = {"resource": other, "request": {"method": "PUT", "url": path}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}

    refused(exchange.call("PUT", f"{CHART}/{path}", other), 409)
    (issue,) = refused(exchange.call("POST", CHART, bundle), 409)

    assert issue["expression"] == ["Bundle.entry[0].resource.id"]
    assert exchange.get(PATIENT).json()["identifier"] == [MRN]
    exchange.call("DELETE", PATIENT)
    assert exchange.call("PUT", f"{CHART}/{path}", other).status_code == 201


def test_a_condition_that_is_not_understood_is_refused(exchange, patient):
    """As in a search; at every door that takes one."""
    for said in ("_include=A", "_has:Wolf:patient:code=x", "link:Wolf=1", "colour=red", "_sort=x"):
        refused(exchange.call("DELETE", f"{CHART}/Patient?{said}"), 400)
        refused(exchange.call("POST", f"{CHART}/Patient", family.PATIENT, If_None_Exist=said), 400)


def test_a_condition_that_several_meet_is_refused(exchange, patient):
    """Two records with one number: nothing is guessed."""
    exchange.call("PUT", f"{CHART}/Patient/twin", {**family.PATIENT, "id": "twin"})

    refused(exchange.call("DELETE", f"{CHART}/Patient?{FOUND}"), 412)
    refused(exchange.call("POST", f"{CHART}/Patient", family.PATIENT, If_None_Exist=FOUND), 412)


def test_what_is_deleted_is_not_found_by_its_identifier(exchange, patient):
    """A conditional create after a delete makes a new one."""
    exchange.call("DELETE", PATIENT)

    answer = exchange.call(
        "POST",
        f"{CHART}/Patient",
        {"resourceType": "Patient", "identifier": [MRN]},
        If_None_Exist=FOUND,
    )

    assert answer.status_code == 201


def test_a_push_to_the_same_record_at_once_makes_one(exchange):
    """Twenty conditional creates of one record number at the same time make one patient."""
    from concurrent.futures import ThreadPoolExecutor

    same = {"resourceType": "Patient", "identifier": [MRN]}

    def create(_):
        return exchange.call("POST", f"{CHART}/Patient", same, If_None_Exist=FOUND).json()["id"]

    with ThreadPoolExecutor(20) as pool:
        made = set(pool.map(create, range(20)))

    assert len(made) == 1


def test_update_only_where_nothing_stands(exchange, patient):
    """If-None-Match: * never overwrites."""
    refused(exchange.call("PUT", PATIENT, family.PATIENT, If_None_Match="*"), 412)
    assert (
        exchange.call(
            "PUT",
            f"{CHART}/Patient/new",
            {"resourceType": "Patient", "id": "new"},
            If_None_Match="*",
        ).status_code
        == 201
    )
