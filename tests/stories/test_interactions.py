"""The interactions of FHIR REST: create, read, update, patch, delete, history, batch, transaction."""

import base64
import json

import pytest
from exchange import refused

from app.sandbox import family

CHART = "clinic/chart/fhir"
PATIENT = f"{CHART}/Patient/rosa"
MRN = {"system": "https://ehr.example.org/mrn", "value": "100-42"}
FOUND = "identifier=https://ehr.example.org/mrn|100-42"


def operation(kind, **parts):
    made = [{"name": "type", "valueCode": kind}]
    for name, value in parts.items():
        key = {"path": "valueString", "name": "valueString"}.get(name, "valueInteger")
        made.append({"name": name, **(value if isinstance(value, dict) else {key: value})})
    return {"name": "operation", "part": made}


def parameters(*operations):
    return {"resourceType": "Parameters", "parameter": list(operations)}


def bundle(kind, *entries):
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def asked(method, url, resource=None, **more):
    made = {"request": {"method": method, "url": url, **more.pop("request", {})}, **more}
    return {**made, "resource": resource} if resource else made


def test_a_version_is_read_as_it_was(exchange, patient):
    """An earlier version still says what it said."""
    exchange.call("PUT", PATIENT, {**family.PATIENT, "gender": "other"})

    first = exchange.get(f"{PATIENT}/_history/1")
    second = exchange.get(f"{PATIENT}/_history/2")

    assert first.json() == patient
    assert (second.json()["gender"], second.headers["etag"]) == ("other", 'W/"2"')
    refused(exchange.get(f"{PATIENT}/_history/3"), 404)


def test_a_read_answers_only_what_is_new(exchange, patient):
    """Who has the current version is told so, without its content."""
    read = exchange.get(PATIENT)

    for seen in ('W/"1"', "W/1", '"1"', "*", 'W/"7", W/"1"'):
        assert exchange.get(PATIENT, If_None_Match=seen).status_code == 304
    assert exchange.get(PATIENT, If_None_Match='W/"2"').status_code == 200
    assert exchange.get(PATIENT, If_Modified_Since=read.headers["last-modified"]).status_code == 304
    assert (
        exchange.get(PATIENT, If_Modified_Since="Mon, 01 Jan 2001 00:00:00 GMT").status_code == 200
    )
    assert exchange.get(PATIENT, If_Modified_Since="soon").status_code == 200


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


def test_a_sent_referral_cannot_be_deleted(exchange, referred):
    """Neither the clinic nor the agency can make a referral vanish."""
    task, theirs = referred

    refused(exchange.call("DELETE", f"{CHART}/Task/{task['id']}"), 409)
    refused(exchange.call("DELETE", f"agency/support/fhir/Task/{theirs['id']}"), 409)
    refused(exchange.call("DELETE", f"agency/support/fhir/{theirs['focus']['reference']}"), 403)


def test_history_tells_how_each_version_came(exchange, patient):
    """Created, changed, deleted: newest first, with methods, and a total."""
    exchange.call("PUT", PATIENT, {**family.PATIENT, "gender": "other"})
    exchange.call("DELETE", PATIENT)

    said = exchange.get(f"{PATIENT}/_history").json()

    assert (said["type"], said["total"]) == ("history", 3)
    assert [one["request"]["method"] for one in said["entry"]] == ["DELETE", "PUT", "PUT"]
    assert [one["response"]["etag"] for one in said["entry"]] == ['W/"3"', 'W/"2"', 'W/"1"']
    assert "resource" not in said["entry"][0]
    assert said["entry"][2]["resource"] == patient


@pytest.mark.parametrize("path", [f"{CHART}/_history", f"{CHART}/Patient/_history"])
def test_history_pages_neither_skip_nor_double(exchange, path):
    """A walk through all pages sees each version once, whatever the page size."""
    for number in range(7):
        exchange.call(
            "PUT", f"{CHART}/Patient/p{number}", {"resourceType": "Patient", "id": f"p{number}"}
        )
        exchange.call(
            "PUT",
            f"{CHART}/Patient/p{number}",
            {"resourceType": "Patient", "id": f"p{number}", "active": True},
        )

    seen, url = [], f"{path}?_count=3"
    while url:
        page = exchange.get(url).json()
        assert page["total"] == 14
        seen += [(one["fullUrl"], one["response"]["etag"]) for one in page["entry"]]
        following = [link["url"] for link in page["link"] if link["relation"] == "next"]
        url = following[0].removeprefix("https://exchange.example.org/") if following else ""

    assert len(seen) == len(set(seen)) == 14


def test_history_since_a_moment(exchange, patient):
    """Only what came at or after the moment."""
    middle = exchange.call("PUT", PATIENT, {**family.PATIENT, "gender": "other"}).json()["meta"][
        "lastUpdated"
    ]
    exchange.call("PUT", PATIENT, {**family.PATIENT, "gender": "male"})

    said = exchange.get(f"{PATIENT}/_history?_since={middle}").json()

    assert [one["resource"]["gender"] for one in said["entry"]] == ["male", "other"]
    assert exchange.get(f"{PATIENT}/_history?_since=2030").json()["total"] == 0


@pytest.mark.parametrize(
    "query",
    [
        "_since=soon",
        "_since=2026-11-23T09:00:00",
        "_count=many",
        "_page=x",
        "name=Rosa",
        "_at=2026",
    ],
)
def test_a_history_parameter_that_is_not_understood_is_refused(exchange, patient, query):
    """Nothing is left out of a filter silently."""
    refused(exchange.get(f"{PATIENT}/_history?{query}"), 400)


def test_history_is_of_one_shelf(exchange, referred):
    """The clinic's history has no version of the agency's, nor the reverse."""
    ours = exchange.get(f"{CHART}/_history").text
    theirs = exchange.get("agency/support/fhir/_history").text

    assert "agency/support" not in ours
    assert "clinic/chart" not in theirs
    assert "rosa" not in theirs


def test_conditional_create_makes_one(exchange, patient):
    """The same record number twice is one patient."""
    same = {"resourceType": "Patient", "identifier": [MRN]}

    answer = exchange.call("POST", f"{CHART}/Patient", same, If_None_Exist=FOUND)

    assert (answer.status_code, answer.json()["id"]) == (200, "rosa")
    refused(
        exchange.call("POST", f"{CHART}/Patient", same, If_None_Exist="name=Rosa"),
        422,
        "not-supported",
    )


def test_conditional_update_patch_and_delete(exchange, patient):
    """By record number instead of by id: update, patch, delete; and nothing where nothing meets it."""
    changed = {"resourceType": "Patient", "identifier": [MRN], "gender": "male"}
    assert exchange.call("PUT", f"{CHART}/Patient?{FOUND}", changed).json()["id"] == "rosa"
    patch = parameters(operation("replace", path="Patient.gender", value={"valueCode": "other"}))
    assert exchange.call("PATCH", f"{CHART}/Patient?{FOUND}", patch).json()["gender"] == "other"

    assert exchange.call("DELETE", f"{CHART}/Patient?{FOUND}").status_code == 204

    refused(exchange.get(PATIENT), 410)
    refused(exchange.call("PATCH", f"{CHART}/Patient?{FOUND}", patch), 404)
    refused(exchange.call("DELETE", f"{CHART}/Patient?{FOUND}"), 404)
    assert exchange.call("PUT", f"{CHART}/Patient?{FOUND}", changed).status_code == 201


def test_a_condition_that_several_meet_is_refused(exchange, patient):
    """Two records with one number: nothing is guessed."""
    exchange.call("PUT", f"{CHART}/Patient/twin", {**family.PATIENT, "id": "twin"})

    refused(exchange.call("DELETE", f"{CHART}/Patient?{FOUND}"), 412)
    refused(exchange.call("POST", f"{CHART}/Patient", family.PATIENT, If_None_Exist=FOUND), 412)


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


def test_json_patch(exchange, patient):
    """RFC 6902, with its test operation and its refusals."""
    operations = [
        {"op": "test", "path": "/gender", "value": "female"},
        {"op": "replace", "path": "/gender", "value": "male"},
    ]
    media = "application/json-patch+json"

    answer = exchange.call("PATCH", PATIENT, operations, Content_Type=media)

    assert (answer.status_code, answer.json()["gender"], answer.headers["etag"]) == (
        200,
        "male",
        'W/"2"',
    )
    refused(exchange.call("PATCH", PATIENT, operations, Content_Type=media), 422)
    refused(exchange.call("PATCH", PATIENT, {"op": "x"}, Content_Type=media), 400)
    refused(exchange.call("PATCH", PATIENT, [{"op": "x", "path": "/a"}], Content_Type=media), 400)
    refused(
        exchange.call(
            "PATCH", PATIENT, [{"op": "replace", "path": "/id", "value": "b"}], Content_Type=media
        ),
        422,
    )
    refused(
        exchange.call(
            "PATCH", PATIENT, [{"op": "remove", "path": "/resourceType"}], Content_Type=media
        ),
        422,
    )
    refused(exchange.call("PATCH", f"{CHART}/Patient/none", operations, Content_Type=media), 404)
    refused(exchange.call("PATCH", PATIENT, operations, Content_Type=media, If_Match='W/"1"'), 412)
    refused(exchange.call("PATCH", PATIENT, operations, Content_Type="text/plain"), 415)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (operation("add", path="Patient", name="birthDate", value={"valueDate": "2020-01-01"}), {"birthDate": "2020-01-01"}),
        (operation("add", path="Patient", name="name", value={"valueHumanName": {"family": "B"}}),
         {"name": [{"family": "A", "given": ["x", "y", "z"]}, {"family": "B"}]}),
        (operation("add", path="Patient", name="deceasedBoolean", value={"valueBoolean": False}), {"deceasedBoolean": False}),
        (operation("add", path="Patient", name="contact", value={"part": [{"name": "name", "valueHumanName": {"family": "C"}}]}),
         {"contact": [{"name": {"family": "C"}}]}),
        (operation("replace", path="Patient.name.family", value={"valueString": "C"}), {"name": [{"family": "C", "given": ["x", "y", "z"]}]}),
        (operation("replace", path="Patient.multipleBirth", value={"valueInteger": 3}), {"multipleBirthInteger": 3}),
        (operation("delete", path="Patient.name.given[1]"), {"name": [{"family": "A", "given": ["x", "z"]}]}),
        (operation("delete", path="Patient.name"), {"name": None}),
        (operation("delete", path="Patient.photo"), {}),
        (operation("insert", path="Patient.name.given", index=1, value={"valueString": "w"}), {"name": [{"family": "A", "given": ["x", "w", "y", "z"]}]}),
        (operation("move", path="Patient.name.given", source=2, destination=0), {"name": [{"family": "A", "given": ["z", "x", "y"]}]}),
    ],
)  # fmt: skip
def test_fhirpath_patch(exchange, made, expected):
    """Add, insert, delete, replace and move, each at the place that its path finds."""
    child = {
        "resourceType": "Patient",
        "id": "c",
        "multipleBirthInteger": 2,
        "name": [{"family": "A", "given": ["x", "y", "z"]}],
    }
    exchange.call("PUT", f"{CHART}/Patient/c", child)

    answer = exchange.call("PATCH", f"{CHART}/Patient/c", parameters(made))

    assert answer.status_code == 200, answer.text
    stands = answer.json()
    for name, value in {**child, **expected}.items():
        assert stands.get(name) == value


@pytest.mark.parametrize(
    ("made", "status"),
    [
        (operation("replace", path="Patient.name.given", value={"valueString": "w"}), 422),
        (operation("replace", path="Patient.nothing", value={"valueString": "w"}), 422),
        (operation("add", path="Patient", name="nonsense", value={"valueString": "w"}), 422),
        (operation("delete", path="Patient"), 422),
        (operation("insert", path="Patient.name.given", index=9, value={"valueString": "w"}), 422),
        (operation("insert", path="Patient.name.given", index=-1, value={"valueString": "w"}), 400),
        (operation("move", path="Patient.name.given", source=7, destination=0), 422),
        (operation("explode", path="Patient"), 400),
        (operation("replace", path="Patient.name.where(", value={"valueString": "w"}), 400),
        (operation("replace", path="Patient.gender"), 400),
        ({"name": "operation"}, 400),
        ("text", 400),
    ],
)
def test_a_patch_that_does_not_fit_changes_nothing(exchange, patient, made, status):
    """It is refused, and the resource stays as it was."""
    exchange.call(
        "PUT",
        f"{CHART}/Patient/c",
        {"resourceType": "Patient", "id": "c", "name": [{"given": ["x", "y"]}]},
    )
    before = exchange.get(f"{CHART}/Patient/c").content

    refused(exchange.call("PATCH", f"{CHART}/Patient/c", parameters(made)), status)

    assert exchange.get(f"{CHART}/Patient/c").content == before


def test_an_agency_answers_by_patch(exchange, referred):
    """PATCH of Task.status means the same as a PUT of the whole copy."""
    task, theirs = referred
    patch = parameters(operation("replace", path="Task.status", value={"valueCode": "accepted"}))

    answer = exchange.call("PATCH", f"agency/support/fhir/Task/{theirs['id']}", patch)

    assert answer.json()["status"] == "accepted"
    assert exchange.get(f"{CHART}/Task/{task['id']}").json()["status"] == "accepted"


def test_a_transaction_answers_each_entry_in_its_place(exchange, patient):
    """Create, update, conditional create, patch, delete and read, in one, each answered in order."""
    exchange.call("PUT", f"{CHART}/Patient/old", {"resourceType": "Patient", "id": "old"})
    observed = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": "urn:uuid:a"},
    }
    json_patch = base64.b64encode(
        json.dumps([{"op": "replace", "path": "/gender", "value": "other"}]).encode()
    ).decode()
    sent = bundle(
        "transaction",
        asked("GET", "Patient/rosa"),
        asked("POST", "Observation", observed),
        asked("POST", "Patient", {"resourceType": "Patient"}, fullUrl="urn:uuid:a"),
        asked(
            "PATCH",
            "Patient/rosa",
            {
                "resourceType": "Binary",
                "contentType": "application/json-patch+json",
                "data": json_patch,
            },
        ),
        asked("DELETE", "Patient/old"),
        asked(
            "PUT",
            "Patient?identifier=urn:x|1",
            {"resourceType": "Patient", "identifier": [{"system": "urn:x", "value": "1"}]},
        ),
    )

    answer = exchange.call("POST", CHART, sent)

    assert answer.status_code == 200, answer.text
    entries = answer.json()["entry"]
    assert [one["response"]["status"] for one in entries] == [
        "200 OK",
        "201 Created",
        "201 Created",
        "200 OK",
        "204 No Content",
        "201 Created",
    ]
    assert entries[0]["resource"]["gender"] == "other"
    assert (
        entries[1]["resource"]["subject"]["reference"] == f"Patient/{entries[2]['resource']['id']}"
    )
    refused(exchange.get(f"{CHART}/Patient/old"), 410)


def test_a_transaction_is_all_or_nothing(exchange, patient):
    """One stale entry undoes the others."""
    sent = bundle(
        "transaction",
        asked("PUT", "Patient/other", {"resourceType": "Patient", "id": "other"}),
        asked("PUT", "Patient/rosa", family.PATIENT, request={"ifMatch": 'W/"7"'}),
    )

    refused(exchange.call("POST", CHART, sent), 412)

    refused(exchange.get(f"{CHART}/Patient/other"), 404)


def test_in_a_batch_each_entry_stands_for_itself(exchange, patient):
    """What is refused has its outcome in its place; the others are done."""
    sent = bundle(
        "batch",
        asked("PUT", "Patient/other", {"resourceType": "Patient", "id": "other"}),
        asked("PUT", "Patient/rosa", family.PATIENT, request={"ifMatch": 'W/"7"'}),
        asked("GET", "Patient/none"),
        asked("BREW", "Patient/rosa"),
        asked("GET", "Patient/rosa/_history/1"),
        asked("DELETE", "Patient/rosa"),
    )

    entries = exchange.call("POST", f"{CHART}/", sent).json()["entry"]

    assert [one["response"]["status"][:3] for one in entries] == [
        "201",
        "412",
        "404",
        "422",
        "200",
        "204",
    ]
    assert entries[1]["response"]["outcome"]["issue"][0]["code"] == "conflict"


def test_a_push_to_the_same_record_at_once_makes_one(exchange):
    """Twenty conditional creates of one record number at the same time make one patient."""
    from concurrent.futures import ThreadPoolExecutor

    same = {"resourceType": "Patient", "identifier": [MRN]}

    def create(_):
        return exchange.call("POST", f"{CHART}/Patient", same, If_None_Exist=FOUND).json()["id"]

    with ThreadPoolExecutor(20) as pool:
        made = set(pool.map(create, range(20)))

    assert len(made) == 1


def test_head_is_a_read_without_its_body(exchange, patient):
    """HEAD answers as GET does, and says nothing."""
    answer = exchange.call("HEAD", PATIENT)

    assert (answer.status_code, answer.headers["etag"], answer.content) == (200, 'W/"1"', b"")


def test_two_entries_with_one_full_url_are_refused(exchange):
    """A reference could mean either, so neither is stored."""
    one = asked("POST", "Patient", {"resourceType": "Patient"}, fullUrl="urn:uuid:a")

    refused(exchange.call("POST", CHART, bundle("transaction", one, one)), 400)

    assert exchange.rows("SELECT * FROM resource") == []


INCOMPLETE = {"resourceType": "Observation", "status": "final"}


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


def test_two_entries_for_one_resource_are_refused(exchange):
    """A transaction that writes one thing twice is not guessed at."""
    one = asked("PUT", "Patient/a", {"resourceType": "Patient", "id": "a"})

    refused(exchange.call("POST", CHART, bundle("transaction", one, one)), 400)


def test_an_empty_transaction_does_nothing(exchange):
    """Nothing asked, nothing done, and said so."""
    answer = exchange.call("POST", CHART, {"resourceType": "Bundle", "type": "transaction"})

    assert answer.json() == {"resourceType": "Bundle", "type": "transaction-response"}
