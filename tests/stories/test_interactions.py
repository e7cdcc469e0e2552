"""Create, update and delete: what stands, what is answered, what a shelf takes."""

import pytest
from asking import CHART, PATIENT
from exchange import refused, resources

from app.sandbox import family

INCOMPLETE = {"resourceType": "Observation", "status": "final"}


def test_what_is_deleted_is_gone_and_its_history_stays(exchange, patient):
    """A deleted resource answers 410, its versions stand, and it can come back."""
    assert exchange.call("DELETE", PATIENT).status_code == 204

    refused(exchange.get(PATIENT), 410, "deleted")
    assert exchange.get(f"{PATIENT}/_history/1").json() == patient
    refused(exchange.get(f"{PATIENT}/_history/2"), 410)
    assert exchange.call("DELETE", PATIENT).status_code == 204
    back = exchange.call("PUT", PATIENT, family.PATIENT)
    assert (back.status_code, back.json()["meta"]["versionId"]) == (201, "3")
    assert exchange.call("DELETE", f"{CHART}/Patient/never").status_code == 204


def test_a_sent_referral_cannot_be_deleted(exchange, referred):
    """Neither the clinic nor the agency can make a referral vanish."""
    task, theirs = referred

    refused(exchange.call("DELETE", f"{CHART}/Task/{task['id']}"), 409)
    refused(exchange.call("DELETE", f"agency/support/fhir/Task/{theirs['id']}"), 409)
    refused(exchange.call("DELETE", f"agency/support/fhir/{theirs['focus']['reference']}"), 403)


@pytest.mark.parametrize(
    ("prefer", "kind"),
    [
        ("return=minimal", None),
        ("return=representation", "Patient"),
        ("return=OperationOutcome", "OperationOutcome"),
        ("", "Patient"),
    ],
)
def test_prefer_says_what_comes_back(exchange, prefer, kind):
    """Nothing, the resource, or what there is to say about it; the resource by default."""
    answer = exchange.call("POST", f"{CHART}/Patient", {"resourceType": "Patient"}, Prefer=prefer)

    assert answer.status_code == 201
    assert (answer.json()["resourceType"] if answer.content else None) == kind


def test_a_version_that_is_named_is_kept(exchange, patient):
    """Who audits a version names it; it is found by its resource, and comes with it."""
    audit = {"resourceType": "Basic", "code": {"text": "audit"}}
    audit["subject"] = {"reference": "Patient/rosa/_history/1"}

    made = exchange.call("POST", f"{CHART}/Basic", audit).json()

    assert made["subject"] == {"reference": "Patient/rosa/_history/1"}
    found = exchange.get(f"{CHART}/Basic?subject=Patient/rosa&_include=Basic:subject")
    assert [one["id"] for one in resources(found)] == [made["id"], "rosa"]


def test_what_is_missing_is_stored_and_said_when_asked(exchange):
    """A resource without a required element is not lost; who asks is told what is missing."""
    answer = exchange.call(
        "POST", f"{CHART}/Observation", INCOMPLETE, Prefer="return=OperationOutcome"
    )

    assert answer.status_code == 201
    errors = [one for one in answer.json()["issue"] if one["severity"] == "error"]
    assert [one["expression"] for one in errors] == [["Observation"]]


@pytest.mark.parametrize("strict", [{"clinic/chart"}])
def test_a_strict_shelf_refuses_what_others_report(exchange, strict):
    """A shelf that is set to strict takes only what keeps R4's rules."""
    refused(exchange.call("POST", f"{CHART}/Observation", INCOMPLETE), 422)

    assert exchange.call("POST", "clinic/reports/fhir/Observation", INCOMPLETE).status_code == 201


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("", {"GET", "HEAD", "POST"}),
        ("/", {"GET", "HEAD", "POST"}),
        ("/metadata", {"GET", "HEAD"}),
        ("/_history", {"GET", "HEAD"}),
        ("/Patient", {"DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"}),
        ("/Patient/rosa", {"DELETE", "GET", "HEAD", "PATCH", "PUT"}),
        ("/Patient/_history", {"GET", "HEAD"}),
        ("/Patient/_search", {"GET", "HEAD", "POST"}),
        ("/Patient/$validate", {"POST"}),
        ("/Patient/rosa/_history", {"GET", "HEAD"}),
        ("/Patient/rosa/_history/1", {"GET", "HEAD"}),
        ("/Patient/rosa/Task", {"GET", "HEAD"}),
        ("/_search", {"GET", "HEAD", "POST"}),
        ("/$validate", {"POST"}),
        ("/$refer", {"POST"}),
        ("/.well-known/smart-configuration", {"GET", "HEAD"}),
    ],
)
def test_what_a_route_takes_is_said(exchange, patient, path, methods):
    """OPTIONS answers with the methods; each other one is refused with them."""
    options = exchange.call("OPTIONS", f"{CHART}{path}")
    assert options.status_code == 204
    assert set(options.headers["allow"].split(", ")) == methods

    for method in {"DELETE", "GET", "PATCH", "POST", "PUT"} - methods:
        answer = exchange.call(method, f"{CHART}{path}", {})
        refused(answer, 405, "not-supported")
        assert answer.headers["allow"] == options.headers["allow"]


def test_a_method_that_nobody_knows_is_refused(exchange, patient):
    """An outcome, whatever the word, and Allow says what there is."""
    for method in ("BREW", "TRACE", "PROPFIND"):
        answer = exchange.call(method, PATIENT)
        refused(answer, 405)
        assert answer.headers["allow"] == "DELETE, GET, HEAD, PATCH, PUT"
    refused(exchange.call("OPTIONS", f"{CHART}/Child/1"), 404)


def test_the_base_answers_with_and_without_a_slash(exchange):
    """No redirect, which would lose the body of a POST."""
    empty = {"resourceType": "Bundle", "type": "batch"}
    for base in (CHART, f"{CHART}/"):
        assert exchange.call("POST", base, empty).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["Patient", "Patient?gender=female", "Patient/rosa/Task", "Patient/rosa/$everything",
     "Patient/_search?gender=female", "?_type=Patient", "$unmapped", "Patient/rosa/$validate"],
)  # fmt: skip
def test_whatever_is_got_has_a_head(exchange, patient, path):
    """R4: any GET may be a HEAD, answered the same but for the body."""
    whole = exchange.get(f"{CHART}/{path}")

    head = exchange.call("HEAD", f"{CHART}/{path}")

    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-type", "content-length"):
        assert head.headers[name] == whole.headers[name]


@pytest.mark.parametrize(
    "path", ["$nothing", "Patient/$nothing", "Patient/rosa/$nothing", "Group/g/$export"]
)
def test_an_operation_that_is_not_there_is_called_one(exchange, patient, path):
    """And not a resource type or an id that nobody has."""
    (issue,) = refused(exchange.get(f"{CHART}/{path}"), 404)

    assert "operation" in issue["details"]["text"]


def test_what_stands_already_is_said_to_stand(exchange, patient):
    """If-None-Match: * asks for a place where nothing is; that nobody changed it in between is no reason."""
    (issue,) = refused(exchange.call("PUT", PATIENT, patient, If_None_Match="*"), 412)

    assert "stands here already" in issue["details"]["text"]
