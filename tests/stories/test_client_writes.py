"""Every write that real clients of this field send, in their order and as they send it."""

import json

import pytest
from exchange import basic

CHART = "clinic/chart/fhir"
HERE = "https://exchange.localhost/clinic/chart/fhir"
RUBY = {
    "Accept": "application/fhir+json", "Accept-Charset": "utf-8", "User-Agent": "Ruby FHIR Client",
    "Accept-Encoding": "gzip;q=1.0,deflate;q=0.6,identity;q=0.3",
    "Content-Type": "application/fhir+json;charset=utf-8",
}  # fmt: skip
HAPI = {
    "Accept": (
        "application/fhir+xml;q=1.0, application/fhir+json;q=1.0, "
        "application/xml+fhir;q=0.9, application/json+fhir;q=0.9"
    ),
    "Content-Type": "application/fhir+json; charset=UTF-8",
}
ONE_DEGREE = {"Accept": "application/fhir+json", "Content-Type": "application/fhir+json"}
SDOHCC = "http://hl7.org/fhir/us/sdoh-clinicalcare/StructureDefinition/"
CAPACITY = f"{SDOHCC}SDOHCC-ExtensionHealthcareServiceCapacityStatus"
CODES = "http://hl7.org/fhir/us/sdoh-clinicalcare/CodeSystem/SDOHCC-CodeSystemTemporaryCodes"


@pytest.fixture
def send(exchange):
    """A request as it goes over the wire; the answer, of the status that the client needs."""

    def sent(headers, method, path, body=None, *, status=200, **more):
        named = {**headers, **{name.replace("_", "-"): value for name, value in more.items()}}
        content = body if isinstance(body, str) else json.dumps(body)
        answer = exchange.http.request(
            method, f"/{path}", headers=named, content=None if body is None else content
        )
        assert answer.status_code == status, (method, path, answer.text)
        return answer

    for one in (
        {"resourceType": "Patient", "id": "p1"},
        {"resourceType": "Organization", "id": "cbo"},
    ):
        sent(RUBY, "PUT", f"{CHART}/{one['resourceType']}/{one['id']}", one, status=201)
    return sent


def order(**more):
    return {
        "resourceType": "ServiceRequest", "status": "active", "intent": "order",
        "subject": {"reference": "Patient/p1"}, "code": {"text": "food"}, **more,
    }  # fmt: skip


def task(**more):
    return {
        "resourceType": "Task", "status": "requested", "intent": "order",
        "meta": {"profile": [f"{SDOHCC}SDOHCC-TaskForReferralManagement"]},
        "for": {"reference": "Patient/p1"}, "owner": {"reference": "Organization/cbo"}, **more,
    }  # fmt: skip


def made(answer, kind):
    """What was created, with the id that these clients read from the body."""
    body = answer.json()
    assert (body["resourceType"], body["meta"]["versionId"]) == (kind, "1")
    return body


def test_the_referral_source_writes(send):
    """What a clinic's screen writes: problems, goals and orders, with all that it leaves out."""
    subject = {"subject": {"reference": "Patient/p1"}}
    for one in (
        {"resourceType": "Condition", **subject, "code": {"coding": [{"code": "Z59.4"}]}},
        {"resourceType": "Goal", **subject, "lifecycleStatus": "active", "description": {"text": "x"}},
        {"resourceType": "Observation", **subject, "status": "final", "code": {"text": "x"}},
        {"resourceType": "Organization", "name": "New", "telecom": [{"system": "url"}]},
    ):  # fmt: skip
        stands = made(send(RUBY, "POST", f"{CHART}/{one['resourceType']}", one, status=201),
                      one["resourceType"])  # fmt: skip
        name = f"{CHART}/{one['resourceType']}/{stands['id']}"
        if one["resourceType"] in {"Condition", "Goal"}:
            changed = send(RUBY, "PUT", name, {**stands, "note": [{"text": "x"}]}).json()
            assert changed["meta"]["versionId"] == "2"
        if one["resourceType"] in {"Goal", "Observation"}:
            send(RUBY, "DELETE", name, status=204)
    assert send(RUBY, "GET", f"{CHART}/Condition/").json()["resourceType"] == "Bundle"


def test_a_referral_is_sent_taken_and_done(send):
    """Source, platform and agency write whole copies, old meta and narrative with them."""
    asked = made(
        send(RUBY, "POST", f"{CHART}/ServiceRequest", order(), status=201), "ServiceRequest"
    )
    focus = {"focus": {"reference": f"ServiceRequest/{asked['id']}"}}
    sent = made(send(RUBY, "POST", f"{CHART}/Task", task(**focus), status=201), "Task")

    copy = {**asked, "intent": "original-order", "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'},
            "basedOn": [{"reference": f"ServiceRequest/{asked['id']}"}]}  # fmt: skip
    passed = made(send(RUBY, "POST", f"{CHART}/ServiceRequest", copy, status=201), "ServiceRequest")
    assert passed["id"] != asked["id"]
    onward = {**sent, "partOf": [{"reference": f"Task/{sent['id']}"}]}
    theirs = made(send(RUBY, "POST", f"{CHART}/Task", onward, status=201), "Task")

    at = f"{CHART}/Task/{theirs['id']}"
    for status in ("accepted", "in-progress"):
        send(RUBY, "GET", f"{CHART}/ServiceRequest/{passed['id']}")
        theirs = send(RUBY, "PUT", at, {**theirs, "status": status}).json()
    done = {
        "resourceType": "Procedure",
        "status": "completed",
        "subject": {"reference": "Patient/p1"},
    }
    procedure = made(send(RUBY, "POST", f"{CHART}/Procedure", done, status=201), "Procedure")
    output = [{"type": {"coding": [{"system": CODES, "code": "resulting-activity"}]},
               "valueReference": {"reference": f"Procedure/{procedure['id']}"}}]  # fmt: skip
    send(RUBY, "PUT", at, {**theirs, "status": "completed", "output": output})

    send(RUBY, "PUT", f"{CHART}/Task/{sent['id']}",
         {**sent, "status": "cancelled", "statusReason": {"text": "moved away"}})  # fmt: skip
    send(RUBY, "PUT", f"{CHART}/ServiceRequest/{asked['id']}", {**asked, "status": "revoked"})


def test_an_agency_says_how_full_it_is(send):
    """The capacity extension of 2026-08, posted first and put from then on."""
    full = {"resourceType": "HealthcareService", "providedBy": {"reference": "Organization/cbo"},
            "extension": [{"url": CAPACITY, "extension": [{"url": "capacityStatus", "valueCodeableConcept": {"text": "full"}}]}]}  # fmt: skip
    assert "entry" not in send(RUBY, "GET", f"{CHART}/HealthcareService?organization=cbo").json()
    stands = made(
        send(RUBY, "POST", f"{CHART}/HealthcareService", full, status=201), "HealthcareService"
    )
    send(RUBY, "PUT", f"{CHART}/HealthcareService/{stands['id']}", stands)
    found = send(RUBY, "GET", f"{CHART}/HealthcareService?organization=cbo").json()
    assert found["entry"][0]["resource"]["extension"] == full["extension"]


def test_what_else_the_ruby_library_can_send(send):
    """Versions without quotes, conditions with a raw bar, forms, patches, a base with a slash."""
    named = {
        "resourceType": "Organization",
        "name": "One",
        "identifier": [{"system": "http://s", "value": "1"}],
    }
    one = f"{CHART}/Organization"
    first = send(RUBY, "POST", one, named, status=201, If_None_Exist="identifier=http://s|1").json()
    again = send(RUBY, "POST", one, named, If_None_Exist="identifier=http://s|1").json()
    assert again["id"] == first["id"]
    second = send(RUBY, "PUT", f"{one}?identifier=http://s%7C1", {**named, "name": "Two"}).json()
    assert (second["id"], second["meta"]["versionId"]) == (first["id"], "2")
    at = f"{one}/{first['id']}"
    send(RUBY, "PUT", at, second, status=412, If_Match="W/1")
    send(RUBY, "PUT", at, second, If_Match="W/2")
    send(RUBY, "GET", at, status=304, If_None_Match="W/2")
    form = {**RUBY, "Content-Type": "application/x-www-form-urlencoded"}
    send(RUBY, "POST", f"{CHART}/Task", task(), status=201)
    found = send(form, "POST", f"{CHART}/Task/_search", "status=requested&owner=cbo").json()
    assert len(found["entry"]) == 1
    found = send(form, "POST", f"{CHART}/Task/_search?status=requested", "status=accepted").json()
    assert "entry" not in found
    patch = {**RUBY, "Content-Type": "application/json-patch+json"}
    send(patch, "PATCH", at, [{"op": "replace", "path": "/name", "value": "Three"}])
    entry = [{"request": {"method": "PUT", "url": f"Organization/{first['id']}"},
              "resource": {**named, "id": first["id"], "name": "Four"}}]  # fmt: skip
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entry}
    answer = send(RUBY, "POST", f"{CHART}/", bundle, Prefer="return=representation").json()
    assert answer["entry"][0]["resource"]["name"] == "Four"


def test_the_java_clients_write_at_once(send):
    """An update carries the absolute URL and the version that was read; a result comes with it."""
    asked = send(HAPI, "POST", f"{CHART}/ServiceRequest", order(), status=201).json()
    sent = send(HAPI, "POST", f"{CHART}/Task", task(), status=201).json()
    result = "urn:uuid:0e5d7f30-6f3c-4bb1-9e0c-1d3f6f0a2b11"
    output = [{"type": {"text": "done"}, "valueReference": {"reference": result}}]
    entry = [
        {"resource": {**sent, "status": "completed", "output": output},
         "request": {"method": "PUT", "url": f"{HERE}/Task/{sent['id']}/_history/1"}},
        {"resource": {**asked, "status": "completed"},
         "request": {"method": "PUT", "url": f"{HERE}/ServiceRequest/{asked['id']}"}},
        {"fullUrl": result, "request": {"method": "POST", "url": "Procedure"},
         "resource": {"resourceType": "Procedure", "status": "completed", "subject": {"reference": "Patient/p1"}}},
    ]  # fmt: skip
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entry}

    answer = send(HAPI, "POST", CHART, bundle).json()

    assert [one["response"]["status"][:3] for one in answer["entry"]] == ["200", "200", "201"]
    made_ = answer["entry"][2]["response"]["location"].partition("/_history")[0].rpartition("/")[2]
    stands = send(HAPI, "GET", f"{CHART}/Task/{sent['id']}").json()
    assert stands["output"][0]["valueReference"]["reference"] == f"Procedure/{made_}"


def test_a_referral_of_another_server_is_posted_here(send):
    """Lantana's server posts a Task that refers to itself by whole URLs, and copies back by PUT."""
    theirs = "https://ehr.example.org/fhir"
    sent = task(
        identifier=[{"system": theirs, "value": "77"}],
        focus={"reference": f"{theirs}/ServiceRequest/1"},
        requester={"reference": f"{theirs}/Organization/2"},
    )
    stands = made(send(HAPI, "POST", f"{CHART}/Task", sent, status=201), "Task")
    assert stands["focus"]["reference"] == f"{theirs}/ServiceRequest/1"
    found = send(HAPI, "GET", f"{CHART}/Task?identifier={theirs}%7C77&_include=Task:focus").json()
    assert [one["resource"]["id"] for one in found["entry"]] == [stands["id"]]
    done = {"resourceType": "Procedure", "id": "theirs-9", "status": "completed",
            "subject": {"reference": "Patient/p1"}}  # fmt: skip
    send(HAPI, "PUT", f"{CHART}/Procedure/theirs-9", done, status=201)
    ours = send(HAPI, "GET", f"{CHART}/Task?_id={stands['id']}%5C,none").json()
    assert len(ours["entry"]) == 1


def test_one_degree_polls_and_patches(send):
    """New Tasks since a time, page by page; one step by a FHIRPath Patch under FHIR's own media type."""
    for _ in range(3):
        sent = send(ONE_DEGREE, "POST", f"{CHART}/Task", task(), status=201).json()
    url = f"{CHART}/Task?status=requested&_lastUpdated=gt2026-05-15T00:00:00Z&_count=2"
    first = send(ONE_DEGREE, "GET", url).json()
    following = next(one["url"] for one in first["link"] if one["relation"] == "next")
    second = send(ONE_DEGREE, "GET", following.partition("exchange.localhost/")[2]).json()
    assert [len(one["entry"]) for one in (first, second)] == [2, 1]
    steps = [{"name": "type", "valueCode": "replace"}, {"name": "path", "valueString": "Task.status"},
             {"name": "value", "valueCode": "accepted"}]  # fmt: skip
    patch = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": steps}]}
    answer = send(ONE_DEGREE, "PATCH", f"{CHART}/Task/{sent['id']}", patch)
    assert answer.json()["status"] == "accepted"


def test_an_unmodified_client_signs_in_by_basic(send, register):
    """A base URL with user and password is all that an old client needs to be let in."""
    header = register("ruby", "clinic/chart", "system/*.cruds")
    assert header.startswith("Basic ")
    send(RUBY, "GET", f"{CHART}/Task", status=401)
    send(RUBY, "GET", f"{CHART}/Task", Authorization=header)
    send(RUBY, "GET", f"{CHART}/Task", status=401, Authorization=basic("ruby", "wrong"))
    send(RUBY, "POST", f"{CHART}/Task", task(), status=201, Authorization=header)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("Task?status=requested", {"Accept": "*/*"}),
        ("Task?status=requested", {"Accept": "application/json"}),
        ("Task?status=requested", {"Accept": "application/json, text/plain, */*"}),
        ("Task?status=requested", {}),
        ("Task?status=requested", {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}),
        ("Task?status=requested", {"accept": "application/fhir+json; fhirVersion=4.0"}),
        ("Task/?status=requested", {"accept": "application/fhir+json"}),
        ("Task?status=requested&_format=json", {"Accept": "application/fhir+xml"}),
        ("Task?status=requested&_format=application/fhir%2Bjson", {}),
        ("Task?status=requested&_format=application/fhir+json", {}),
        ("Task?status=requested&_format=*/*", {}),
        ("Task?status=requested&_format=application/fhir%2Bjson;fhirVersion=4.0", {}),
        ("Task?status=requested&_format=application%2Fjson%3Bcharset%3Dutf-8", {}),
        ("Task?&status=requested&", {}),
        ("Task?status=requested&_pretty=true", {}),
        ("Task?_type=Task&status=requested", {}),
        ("?_type=Task&_id=t1", {}),
        ("/?_type=Task&_id=t1", {}),
        ("_search?_type=Task&_id=t1", {}),
        ("Task?_id=t1&owner=Organization%2Fcbo", {}),
        ("Task?_id=t1&owner:Organization=cbo", {}),
        (f"Task?_id=t1&owner={HERE}/Organization/cbo", {}),
        ("Patient/p1/Task", {}),
        ("Patient/p1/Task?status=requested", {}),
        ("Patient/p1/Task/?status=requested", {}),
    ],
)
def test_however_it_is_asked(send, path, headers):
    """curl, browsers, requests and forms: header names in any case, any JSON, a slash at the end."""
    send(RUBY, "PUT", f"{CHART}/Task/t1", {**task(), "id": "t1"}, status=201)
    path = path if path[0] in "/?" else f"/{path}"

    found = send(headers, "GET", f"{CHART}{path}").json()

    assert [one["resource"]["id"] for one in found["entry"]] == ["t1"]


@pytest.mark.parametrize(
    "media",
    [
        "application/fhir+json;charset=utf-8",
        "application/fhir+json; charset=UTF-8; fhirVersion=4.0",
        "application/json",
        "application/json;charset=utf-8",
        "application/json+fhir",
        "APPLICATION/FHIR+JSON",
    ],
)
def test_however_it_is_sent(send, media):
    """The media type of FHIR's JSON in every way in which it is written."""
    headers = {"content-type": media}

    made(send(headers, "POST", f"{CHART}/Task", task(), status=201), "Task")
    made(send(headers, "POST", f"{CHART}/Task/", task(), status=201), "Task")
    send(headers, "PUT", f"{CHART}/Task/t9/", {**task(), "id": "t9"}, status=201)
    send({}, "GET", f"{CHART}/Task/t9/")
    send({}, "DELETE", f"{CHART}/Task/t9/", status=204)


@pytest.mark.parametrize(
    "written",
    [
        '"reference":"{}"',
        '"reference" : "{}"',
        '"reference"\n\t:\r\n"{}"',
        '"\\u0072eference":"{}"',
        '"referenc\\u0065" :"{}"',
    ],
)
@pytest.mark.parametrize(
    "reference", [f"{HERE}/Patient/p1", f"{HERE}/Patient/p1".replace("/", "\\/")]
)
def test_a_whole_url_of_ours_is_known_however_it_is_written(send, written, reference):
    """JSON may have white space anywhere and escape any letter; a search for the person finds it."""
    subject = written.format(reference)
    body = f'{{"resourceType":"Basic","id":"w","code":{{"text":"note"}},"subject":{{{subject}}}}}'

    send(ONE_DEGREE, "PUT", f"{CHART}/Basic/w", body, status=201)

    stands = send(ONE_DEGREE, "GET", f"{CHART}/Basic/w").json()
    assert stands["subject"]["reference"] == "Patient/p1"
