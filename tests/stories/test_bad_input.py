"""Whatever is sent, the answer is an OperationOutcome that says what to do, and nothing is half-written."""

import copy
import json
import time

import pytest
from exchange import refused

from app.sandbox import family

PATIENT = "clinic/chart/fhir/Patient"
CHILD = {"resourceType": "Patient", "name": [{"family": "A"}]}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"hello",
        b"\xff\xfe{}",
        b'{"resourceType":"Patient","gender":"\xff"}',
        b'{"resourceType":"Patient","gender":"male","gender":"female"}',
        b'{"resourceType":"Patient","x":[{"a":1,"a":1}]}',
        b'{"resourceType":"Patient","multipleBirthInteger":NaN}',
        b'{"resourceType":"Patient","multipleBirthInteger":Infinity}',
        b'{"resourceType":"Patient"} trailing',
        b"[]",
        b"null",
        b'"Patient"',
        b"{}",
        b'{"resourceType":null}',
        b'{"resourceType":["Patient"]}',
        b'{"resourceType":"Observation"}',
        b'{"resourceType":"Patient","id":7}',
        b'{"resourceType":"Patient","id":"a b"}',
        b'{"resourceType":"Patient","meta":[]}',
    ],
)
def test_what_is_no_resource_is_refused(exchange, body):
    """Not JSON, not UTF-8, a key twice, NaN, no resource, another type: 400, and nothing is stored."""
    refused(exchange.call("POST", PATIENT, body), 400, "structure")

    assert exchange.rows("SELECT * FROM resource") == []


@pytest.mark.parametrize("body", [b"[" * 3000 + b"]" * 3000, b'{"a":' * 3000 + b"1" + b"}" * 3000])
def test_deep_nesting_is_refused_at_once(exchange, body):
    """JSON nested three thousand deep is refused without being walked through."""
    begun = time.perf_counter()

    refused(exchange.call("POST", PATIENT, body), 400, "structure")

    assert time.perf_counter() - begun < 1


def test_brackets_in_a_text_are_no_nesting(exchange):
    """A family name of a hundred brackets is a name."""
    assert (
        exchange.call("POST", PATIENT, {**CHILD, "name": [{"family": "[" * 100}]}).status_code
        == 201
    )


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "nobody/chart/fhir/Patient/1", 404),
        ("GET", "clinic/nothing/fhir/Patient/1", 404),
        ("GET", "clinic/chart/fhir/Child/1", 404),
        ("POST", "clinic/chart/fhir/Child", 404),
        ("GET", "clinic/chart/fhir/Patient/none", 404),
        ("GET", "clinic/chart/fhir/Patient/a%20b", 404),
        ("GET", "clinic/chart", 404),
        ("GET", "", 404),
        ("POST", "clinic/chart/fhir/$convert", 404),
        ("GET", "nobody/chart/fhir/metadata", 404),
        ("POST", "clinic/chart/fhir/metadata", 405),
        ("POST", "clinic/chart/fhir/Patient/1", 405),
        ("POST", "health/live", 405),
        ("GET", "clinic/chart/fhir/Patient/1/_history", 404),
        ("GET", "clinic/chart/fhir/Patient/1/_history/x", 404),
        ("PUT", "clinic/chart/fhir/_history", 405),
        ("DELETE", "clinic/chart/fhir/Patient/_search", 405),
        ("GET", "clinic/chart/fhir/$validate", 405),
        ("GET", "clinic/chart/fhir/Patient/" + "a" * 65, 404),
        ("PUT", "clinic/chart/fhir/Patient/" + "a" * 65, 400),
        ("PUT", "clinic/chart/fhir/Patient/a_b", 400),
        ("DELETE", "clinic/chart/fhir/Patient", 400),
        ("POST", "agency/support/fhir/$refer", 422),
        ("POST", "clinic/chart/fhir/$report", 422),
    ],
)
def test_what_is_not_there_is_said_to_be_missing(exchange, method, path, status):
    """An unknown tenant, shelf, type or route, a wrong method, and what is not built yet."""
    refused(exchange.call(method, path, CHILD if method == "POST" else None), status)


@pytest.mark.parametrize(
    "path", ["Child/_search", "Patient/1/Child/_search", "Child/1/Task/_search"]
)
def test_a_type_that_does_not_exist_is_not_searched_by_a_form(exchange, path):
    """As by GET; it was a fault of the service."""
    form = {"Content_Type": "application/x-www-form-urlencoded"}

    refused(exchange.call("POST", f"clinic/chart/fhir/{path}", b"_since=Patient", **form), 404)
    refused(exchange.get(f"clinic/chart/fhir/{path.removesuffix('/_search')}?name=x"), 404)


@pytest.mark.parametrize("media", ["text/plain", "application/xml", "application/fhir+xml", ""])
def test_another_media_type_is_refused(exchange, media):
    """XML, text, or nothing said: 415."""
    refused(exchange.call("POST", PATIENT, CHILD, Content_Type=media), 415, "not-supported")


@pytest.mark.parametrize(
    "media",
    [
        "application/fhir+json;charset=utf-8",
        "application/json",
        "application/json+fhir",
        "text/json",
        "Application/FHIR+JSON",
    ],
)
def test_every_json_media_type_is_taken(exchange, media):
    """What real clients call their JSON is understood."""
    assert exchange.call("POST", PATIENT, CHILD, Content_Type=media).status_code == 201


def test_what_windows_writes_is_read(exchange):
    """A byte order mark before the JSON is no part of it."""
    body = b"\xef\xbb\xbf" + json.dumps(CHILD).encode()

    answer = exchange.call("POST", PATIENT, body)

    assert answer.status_code == 201
    assert {**answer.json(), "id": "", "meta": {}} == {**CHILD, "id": "", "meta": {}}


@pytest.mark.parametrize(
    ("charset", "family", "status"),
    [
        ("iso-8859-1", "Muller", 201),  # ASCII is the same in both
        ("iso-8859-1", "Müller", 415),  # would be read as something else
        ('"UTF-8"', "Müller", 201),
        ("utf8; fhirVersion=4.0", "Müller", 201),
    ],
)
def test_another_character_set_is_refused_where_it_matters(exchange, charset, family, status):
    """FHIR is UTF-8: a name must not become another because its letters were read wrongly."""
    body = json.dumps({**CHILD, "name": [{"family": family}]}, ensure_ascii=False).encode()
    media = f"application/fhir+json; charset={charset}"

    answer = exchange.call("POST", PATIENT, body, Content_Type=media)

    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "The body is empty"),
        (b'{"resourceType":"Patient","name":[{"family":"\\ud800"}]}', "half of a pair"),
    ],
)
def test_what_is_wrong_with_the_json_is_said(exchange, body, said):
    """In words that lead to it."""
    (issue,) = refused(exchange.call("POST", PATIENT, body), 400, "structure")

    assert said in issue["details"]["text"]


@pytest.mark.parametrize(
    ("version", "status"), [("4.0", 201), ("4.0.1", 201), ("5.0", 415), ("3.0", 415)]
)
def test_another_version_of_fhir_is_refused(exchange, version, status):
    """Who says R5 means R5."""
    media = f"application/fhir+json; fhirVersion={version}"

    answer = exchange.call("POST", PATIENT, CHILD, Content_Type=media)

    assert answer.status_code == status


def test_xml_first_is_answered_in_json(exchange):
    """A client that would rather have XML gets JSON, never a 406."""
    accept = "application/fhir+xml;q=1.0, application/fhir+json;q=1.0"

    answer = exchange.get("clinic/chart/fhir/metadata", Accept=accept)

    assert answer.status_code == 200
    assert answer.json()["fhirVersion"] == "4.0.1"


def test_a_body_over_the_limit_is_refused(exchange):
    """Too large is 413, whether the length was said beforehand or not."""
    large = {**CHILD, "name": [{"family": "a" * 300_000}]}
    refused(exchange.call("POST", PATIENT, large), 413, "too-long")

    chunks = (chunk for chunk in [json.dumps(large).encode()])
    answer = exchange.http.post(
        f"/{PATIENT}", content=chunks, headers={"Content-Type": "application/json"}
    )

    refused(answer, 413, "too-long")


def test_the_id_in_the_body_is_the_one_in_the_url(exchange):
    """A PUT whose body belongs elsewhere is refused."""
    refused(exchange.call("PUT", f"{PATIENT}/one", {**CHILD, "id": "two"}), 400)
    refused(exchange.call("PUT", f"{PATIENT}/one", CHILD), 400)


@pytest.mark.parametrize(
    ("entry", "status", "expression"),
    [
        ("text", 400, "Bundle.entry[0]"),
        ({"resource": CHILD}, 400, "Bundle.entry[0].request"),
        ({"resource": {}, "request": {"method": "POST", "url": "Patient"}}, 400, "Bundle.entry[0].resource"),
        ({"resource": CHILD, "request": {"method": "BREW", "url": "Patient/1"}}, 422, "Bundle.entry[0].request.method"),
        ({"request": {"method": "GET", "url": "Patient/none"}}, 404, "Bundle.entry[0].request.url"),
        ({"request": {"method": "GET", "url": "Child/1"}}, 404, "Bundle.entry[0].request.url"),
        ({"request": {"method": "GET", "url": "Patient/good?_summary=some"}}, 400, "Bundle.entry[0].request.url"),
        ({"request": {"method": "GET", "url": "https://else.example.org/Patient/1"}}, 422, "Bundle.entry[0].request.url"),
        ({"resource": {**CHILD, "gender": 5}, "request": {"method": "POST", "url": "Patient"}}, 400, "Bundle.entry[0].resource.gender"),
        ({"resource": {**CHILD, "managingOrganization": {"reference": "Organization?identifier=urn:x|none"}},
          "request": {"method": "POST", "url": "Patient"}}, 412, "Bundle.entry[0].resource"),
        ({"resource": CHILD, "request": {"method": "POST", "url": "Task"}}, 422, "Bundle.entry[0].request.url"),
        ({"resource": {**CHILD, "link": [{"other": {"reference": "urn:uuid:none"}, "type": "refer"}]},
          "request": {"method": "POST", "url": "Patient"}}, 400, "Bundle.entry[0].resource"),
    ],
)  # fmt: skip
def test_a_bad_entry_is_named_and_nothing_is_stored(exchange, entry, status, expression):
    """One bad entry refuses the transaction whole, and its place is named."""
    good = {
        "resource": {**CHILD, "id": "good"},
        "request": {"method": "PUT", "url": "Patient/good"},
    }
    transaction = {"resourceType": "Bundle", "type": "transaction", "entry": [entry, good]}

    issues = refused(exchange.call("POST", "clinic/chart/fhir", transaction), status)

    assert issues[0]["expression"] == [expression]
    assert exchange.rows("SELECT * FROM resource") == []


def test_no_value_of_a_resource_is_in_a_refusal_or_in_the_log(exchange, capsys):
    """A child's name is in no error text and in no line of the log."""
    secret = "Zzyzx-Family"
    made = copy.deepcopy(family.report(by_device=True))  # its people are everybody's
    made["entry"][0]["resource"]["name"] = [{"family": secret}]
    response = copy.deepcopy(family.screening("prapare", []))
    response["item"][0]["answer"][0] = {"valueString": secret}
    response["subject"]["display"] = secret

    answers = [
        exchange.call("POST", "clinic/reports/fhir/$report", made),
        exchange.call("POST", "clinic/chart/fhir/$submit-screening", response),
        exchange.call(
            "POST", PATIENT, b'{"resourceType":"Patient","x":"' + secret.encode() + b'",}'
        ),
        exchange.get(f"clinic/chart/fhir/Patient/{secret}"),
        exchange.get(f"clinic/chart/fhir/{secret}/1"),
        exchange.call("POST", f"clinic/chart/fhir/${secret}", CHILD),
    ]

    said = "".join(answer.text for answer in answers) + "".join(capsys.readouterr())
    assert all(answer.status_code >= 400 for answer in answers)
    assert secret not in said


def test_what_is_read_is_what_was_written(exchange):
    """Digits, order, unknown extensions and primitive extensions come back as they were sent."""
    body = (
        b'{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},'
        b'"valueQuantity":{"value":1.50,"unit":"kg"},"_status":{"id":"s"},'
        b'"extension":[{"url":"urn:x","valueDecimal":0.000}]}'
    )

    exchange.call("PUT", "clinic/chart/fhir/Observation/o", body)

    read = exchange.get("clinic/chart/fhir/Observation/o").content
    head, _, rest = read.partition(b'"status"')
    assert b'"meta":{"versionId":"1"' in head
    assert b'"status"' + rest == body[body.index(b'"status"') :]


def test_an_identifier_of_any_length_is_found_again(exchange):
    """Longer than an index can hold, it is still one identifier: the same child is not made twice."""
    value = "".join(f"{number:x}" for number in range(2000))
    child = {"resourceType": "Patient", "identifier": [{"system": "urn:x", "value": value}]}
    condition = {"If_None_Exist": f"identifier=urn:x|{value}"}

    made = exchange.call("POST", PATIENT, child, **condition)
    again = exchange.call("POST", PATIENT, child, **condition)
    other = {"If_None_Exist": f"identifier=urn:x|{value}0"}
    another = exchange.call("POST", PATIENT, child, **other)

    assert [made.status_code, again.status_code, another.status_code] == [201, 200, 201]
    assert again.json()["id"] == made.json()["id"]


def test_a_character_that_no_text_may_hold_is_no_fault_of_ours(exchange):
    """U+0000 in a body or in a condition is stored or refused, and never a 5xx."""
    child = {"resourceType": "Patient", "identifier": [{"system": "urn:x", "value": "a\u0000b"}]}

    stored = exchange.call("POST", PATIENT, child)
    asked = exchange.call(
        "POST", PATIENT, {"resourceType": "Patient"}, If_None_Exist="identifier=urn:x|a%00b"
    )

    assert {stored.status_code, asked.status_code} <= {200, 201, 400, 422}


def test_a_number_without_an_end_stops_nobody(exchange):
    """It was stored, and a search by another unit wrote it out for ever."""
    said = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    amount = {"value": 0, "system": "http://unitsofmeasure.org", "code": "mg"}
    sent = json.dumps({**said, "valueQuantity": amount})
    for number in ("1E999999999", "1E-999999999", "-1.5e+4000"):
        body = sent.replace(": 0,", f": {number},").encode()
        (issue,) = refused(exchange.call("POST", "clinic/chart/fhir/Observation", body), 400)
        assert issue["expression"] == ["Observation.value.ofType(Quantity).value"]
    body = sent.replace(": 0,", ": 1E300,").encode()
    assert exchange.call("POST", "clinic/chart/fhir/Observation", body).status_code == 201

    unit = "http://unitsofmeasure.org|g"
    found = exchange.get(f"clinic/chart/fhir/Observation?value-quantity=gt5|{unit}")
    assert found.json()["total"] == 1


@pytest.mark.parametrize("escape", ["\\u0007", "\\b", "\\f", "\\u000B"])
@pytest.mark.parametrize("door", ["create", "update", "transaction"])
def test_a_control_character_is_refused_however_it_is_written(exchange, door, escape):
    """No text of FHIR has one, and a screen that shows it may do what it says."""
    body = '{"resourceType":"Patient","id":"p1","name":[{"text":"Rosa@"}]}'.replace("@", escape)
    method, path = {"create": ("POST", PATIENT), "update": ("PUT", f"{PATIENT}/p1")}.get(
        door, ("POST", "clinic/chart/fhir")
    )
    if door == "transaction":
        request = '{"method":"PUT","url":"Patient/p1"}'
        entry = f'{{"resource":{body},"request":{request}}}'
        body = f'{{"resourceType":"Bundle","type":"transaction","entry":[{entry}]}}'

    headers = {"Content-Type": "application/fhir+json"}
    answer = exchange.http.request(method, path, content=body.encode(), headers=headers)

    refused(answer, 400)
    assert exchange.http.get(f"{PATIENT}/p1").status_code == 404
