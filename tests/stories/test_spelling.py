"""How a request is spelt: character sets, headers that come twice, parameters that mean nothing."""

import pytest
from asking import CHART, PATIENT, asked, bundle
from exchange import refused

from app.sandbox import family

NOVAK = {"resourceType": "Patient", "name": [{"family": "Nováková"}]}
FHIR = ("Content-Type", "application/fhir+json")


@pytest.fixture
def novak(exchange):
    """A patient whose name is more than ASCII."""
    return exchange.call("POST", f"{CHART}/Patient", NOVAK).json()


@pytest.mark.parametrize(
    "condition",
    ["family:exact=Nováková".encode(), "family:exact=Nováková".encode("latin-1"),
     b"family:exact=Nov%C3%A1kov%C3%A1"],
)  # fmt: skip
def test_a_condition_in_a_header_has_all_letters(exchange, novak, condition):
    """However a client writes them, the record is found, and no second one is made."""
    answer = exchange.http.post(
        f"/{CHART}/Patient", json=NOVAK, headers=[FHIR, (b"If-None-Exist", condition)]
    )

    assert (answer.status_code, answer.json()["id"]) == (200, novak["id"])


def test_of_two_conditions_neither_is_passed_over(exchange, novak):
    """Which of the two is meant nobody knows: nothing is made."""
    heads = [FHIR, ("If-None-Exist", "family=Nobody"), ("If-None-Exist", "family=Novakova")]

    answer = exchange.http.post(f"/{CHART}/Patient", json=NOVAK, headers=heads)

    assert "If-None-Exist" in refused(answer, 400)[0]["details"]["text"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
def test_a_query_in_another_character_set_is_refused(exchange, novak, method):
    """Read as something else it would find nobody, and a second record would be made."""
    path, said = f"{CHART}/Patient", "family:exact=Nov%E1kov%E1"
    sent = NOVAK if method in {"PUT", "POST"} else None
    heads = {"If_None_Exist": said} if method == "POST" else {}

    answer = exchange.call(method, path if heads else f"{path}?{said}", sent, **heads)

    assert "UTF-8" in refused(answer, 400)[0]["details"]["text"]
    found = exchange.get(f"{path}?family=Novakova").json()
    assert found["total"] == 1


def test_a_form_in_another_character_set_is_refused(exchange, novak):
    """By its escapes as by its bytes."""
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    for sent in (b"family=Nov%E1kov%E1", "family=Nováková".encode("latin-1")):
        refused(exchange.call("POST", f"{CHART}/Patient/_search", sent, **form), 400)
    for sent in (b"family=Nov%C3%A1kov%C3%A1", "family=Nováková".encode()):
        answer = exchange.call("POST", f"{CHART}/Patient/_search", sent, **form)
        assert answer.json()["total"] == 1


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_a_url_in_a_bundle_has_all_letters(exchange, novak, kind):
    """A Bundle is JSON, and clients write a search in it as people read it."""
    answer = exchange.call("POST", CHART, bundle(kind, asked("GET", "Patient?family=Nováková")))

    assert answer.json()["entry"][0]["resource"]["total"] == 1


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_parameter_beside_an_id_is_not_passed_over(exchange, patient, method):
    """Who writes Type/id?condition or asks for a cascade is told that nobody looks at it."""
    media = "application/merge-patch+json" if method == "PATCH" else "application/fhir+json"
    sent = {"PUT": family.PATIENT, "PATCH": {"gender": "male"}}.get(method)

    for said in ("identifier=none", "_cascade=delete", "upsert=false"):
        answer = exchange.call(method, f"{PATIENT}?{said}", sent, Content_Type=media)
        assert said.split("=")[0] in refused(answer, 400)[0]["details"]["text"]
    done = exchange.call(method, f"{PATIENT}?_format=json&_pretty=true", sent, Content_Type=media)
    assert done.status_code in {200, 204}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_condition_may_say_how_it_is_answered(exchange, patient, method):
    """_format and _pretty are of the answer, dry-run is of the act, and none of them is looked for."""
    media = "application/merge-patch+json" if method == "PATCH" else "application/fhir+json"
    sent = {"PUT": {**family.PATIENT, "gender": "male"}, "PATCH": {"gender": "male"}}.get(method)
    at = f"{CHART}/Patient?family=Example"

    dry = exchange.call(method, f"{at}&dry-run=true&_format=json", sent, Content_Type=media)
    assert dry.status_code == 200
    assert exchange.get(PATIENT).json() == patient
    done = exchange.call(method, f"{at}&_format=json&_pretty=true", sent, Content_Type=media)
    assert done.status_code in {200, 204}


@pytest.mark.parametrize("said", ["_format=", "_format=json", "_elements=", "_summary="])
def test_what_is_said_empty_is_not_said(exchange, patient, said):
    """As a form sends fields that nobody filled in."""
    assert exchange.get(f"{PATIENT}?{said}").json() == patient


@pytest.mark.parametrize("said", ["name", "Patient.name", "name.family", "Patient.name.family"])
def test_an_element_within_another_shows_the_other(exchange, patient, said):
    """_elements names elements of the resource; of what stands deeper the whole is shown."""
    shown = exchange.get(f"{PATIENT}?_elements={said}").json()

    assert shown["name"] == patient["name"]
    assert "gender" not in shown
