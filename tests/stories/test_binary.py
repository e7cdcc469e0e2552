"""A letter, a picture, a form: stored as it is, and given out as it is."""

import base64
import gzip

import pytest
from asking import CHART, asked, bundle
from exchange import refused

BINARY = f"{CHART}/Binary"
PDF = bytes(range(256)) * 700  # more than one chunk


def resource(content=PDF, kind="application/pdf", **more):
    data = base64.b64encode(content).decode()
    return {"resourceType": "Binary", "contentType": kind, "data": data, **more}


@pytest.fixture
def stored(exchange):
    answer = exchange.call("POST", BINARY, PDF, Content_Type="application/pdf")
    assert (answer.status_code, answer.content) == (201, b"")
    return answer.headers["location"].partition("/_history/")[0].partition("exchange.localhost/")[2]


def test_content_comes_back_as_it_was_sent(exchange, stored):
    """To the byte, with its type, and never as a page of ours in a browser."""
    answer = exchange.get(stored)

    assert (answer.content, answer.headers["content-type"]) == (PDF, "application/pdf")
    assert (answer.headers["etag"], answer.headers["vary"]) == ('W/"1"', "Accept")
    assert answer.headers["content-length"] == str(len(PDF))
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert exchange.get(stored, If_None_Match='W/"1"').status_code == 304
    assert exchange.call("HEAD", stored).headers["content-length"] == str(len(PDF))


def test_who_asks_for_fhir_sees_what_was_made(exchange):
    """Medplum's client sends a file, names FHIR, and reads the Binary's id from the answer."""
    answer = exchange.call(
        "POST", BINARY, b"text", Content_Type="text/plain",
        Accept="application/fhir+json, */*; q=0.1",
    )  # fmt: skip

    assert (answer.status_code, answer.json()["data"]) == (201, base64.b64encode(b"text").decode())
    assert answer.json()["id"] in answer.headers["location"]


@pytest.mark.parametrize(
    ("accept", "raw"),
    [
        ("*/*", True),
        ("", True),
        ("application/pdf", True),
        ("image/png", True),
        ("application/fhir+json", False),
        ("application/json", False),
        ("application/fhir+xml;q=1.0, application/fhir+json;q=1.0", False),
        ("application/pdf, application/fhir+json;q=0.5", True),
        ("application/pdf;q=0.5, application/fhir+json", False),
        ("application/fhir+json, */*;q=0.1", False),
        ("application/fhir+json;q=x", True),
    ],
)
def test_who_names_the_fhir_form_gets_it(exchange, stored, accept, raw):
    """By Accept: the content unless FHIR is named, and not wanted less."""
    answer = exchange.get(stored, Accept=accept)
    version = exchange.get(f"{stored}/_history/1", Accept=accept)

    assert (answer.content == PDF) is raw is (version.content == PDF)
    if not raw:
        assert base64.b64decode(answer.json()["data"]) == PDF


def test_the_query_is_stronger_than_accept(exchange, stored):
    """_format=json is the resource; its summary is without the data."""
    assert exchange.get(f"{stored}?_format=json").json()["contentType"] == "application/pdf"
    assert "data" not in exchange.get(f"{stored}?_elements=contentType").json()
    refused(exchange.get(f"{stored}?_format=application/pdf"), 406)


def test_both_forms_are_one(exchange):
    """What came as a resource is given as content, and the reverse; an update makes a version."""
    exchange.call("PUT", f"{BINARY}/b", resource(b"one", "text/plain", id="b"))
    assert exchange.get(f"{BINARY}/b").content == b"one"

    answer = exchange.call(
        "PUT",
        f"{BINARY}/b",
        b"two",
        Content_Type="text/html; charset=utf-8",
        Prefer="return=representation",
    )

    assert answer.json()["data"] == base64.b64encode(b"two").decode()
    assert exchange.get(f"{BINARY}/b").headers["content-type"] == "text/html; charset=utf-8"
    assert exchange.get(f"{BINARY}/b/_history/1").content == b"one"
    assert exchange.get(f"{BINARY}/b/_history").json()["total"] == 2


@pytest.mark.parametrize("content", [b"", b"x", b"xy", b"xyz", b"\x00" * 5])
def test_content_of_any_length(exchange, content):
    """Also of none."""
    answer = exchange.call("PUT", f"{BINARY}/b", content, Content_Type="application/x-any")

    assert answer.status_code == 201, answer.text
    assert exchange.get(f"{BINARY}/b").content == content


def test_base64_in_lines_is_content_too(exchange):
    """Some senders break their base64 into lines."""
    data = base64.encodebytes(PDF[:9000]).decode()
    sent = exchange.call("PUT", f"{BINARY}/b", {**resource(), "id": "b", "data": data})
    assert sent.status_code == 201, sent.text

    assert exchange.get(f"{BINARY}/b").content == PDF[:9000]


def test_a_type_that_is_no_type_is_not_given_out(exchange):
    """A contentType that could break a header is answered as octets."""
    for kind in ("text/html\nX: y", "nonsense", 'text/html; a="é"'):
        exchange.call("PUT", f"{BINARY}/b", resource(kind=kind, id="b"))
        answer = exchange.get(f"{BINARY}/b")
        if answer.status_code == 200:
            assert answer.headers["content-type"] == "application/octet-stream"
            assert "x" not in answer.headers


def test_content_has_a_limit_of_its_own(exchange):
    """Larger than a resource may be, and not larger than the setting; packed or not."""
    fits = bytes(900_000)
    assert exchange.call("POST", BINARY, fits, Content_Type="image/png").status_code == 201
    refused(exchange.call("POST", BINARY, bytes(1_100_000), Content_Type="image/png"), 413)
    packed = gzip.compress(bytes(1_100_000))
    headers = {"Content_Type": "image/png", "Content_Encoding": "gzip"}
    refused(exchange.call("POST", BINARY, packed, **headers), 413)


def test_a_transaction_takes_a_letter_and_what_it_belongs_to(exchange):
    """A Binary is an entry like any other; there it is a resource."""
    letter = asked("POST", "Binary", resource(b"letter"), fullUrl="urn:uuid:b")
    read = asked("GET", "metadata")

    entries = exchange.call("POST", CHART, bundle("transaction", letter, read)).json()["entry"]

    assert entries[0]["resource"]["contentType"] == "application/pdf"
    name = f"Binary/{entries[0]['resource']['id']}"
    again = exchange.call("POST", CHART, bundle("batch", asked("GET", name))).json()["entry"]
    assert again[0]["resource"] == entries[0]["resource"]


def test_who_may_not_read_the_document_may_not_read_its_letter(exchange, register):
    """securityContext: the Binary is as closed as what it belongs to."""
    context = {"X_Security_Context": "DocumentReference/1", "Content_Type": "text/plain"}
    owner = register("owner", "clinic/chart", "system/*.cruds")
    reader = register("reader", "clinic/chart", "system/Binary.rs")
    both = register("both", "clinic/chart", "system/Binary.rs", "system/DocumentReference.r")
    exchange.call("PUT", f"{BINARY}/b", b"secret", Authorization=owner, **context)

    listed = (f"{BINARY}/_history", f"{BINARY}?_id=b", f"{CHART}?_type=Binary&_summary=data")
    for path in (f"{BINARY}/b", f"{BINARY}/b/_history/1", *listed):
        for accept in ("*/*", "application/fhir+json"):
            refused(exchange.get(path, Authorization=reader, Accept=accept), 403)
            assert exchange.get(path, Authorization=both, Accept=accept).status_code == 200

    named = {"resourceType": "List", "id": "l", "status": "current", "mode": "working",
             "entry": [{"item": {"reference": "Binary/b"}}]}  # fmt: skip
    assert exchange.call("PUT", f"{CHART}/List/l", named, Authorization=owner).status_code == 201
    lists = register("lists", "clinic/chart", "system/Binary.rs", "system/List.rs")
    for whose, found in ((lists, ["l"]), (owner, ["l", "b"])):
        beside = exchange.get(f"{CHART}/List?_include=*", Authorization=whose).json()["entry"]
        assert [one["resource"]["id"] for one in beside] == found


@pytest.mark.parametrize("kind", ["application/json-patch+json", "application/merge-patch+json"])
def test_a_letter_is_not_read_by_writing(exchange, register, kind):
    """A patch can test what stands, a conditional create is answered with it."""
    context = {"X_Security_Context": "DocumentReference/1", "Content_Type": "text/plain"}
    owner = register("owner", "clinic/chart", "system/*.cruds")
    writer = register("writer", "clinic/chart", "system/Binary.cruds")
    exchange.call("PUT", f"{BINARY}/b", b"secret", Authorization=owner, **context)
    test = [{"op": "test", "path": "/data", "value": "c2VjcmV0"}] if "json-p" in kind else {}
    other = {"resourceType": "Binary", "contentType": "text/plain"}

    patched = {
        who: exchange.call("PATCH", f"{BINARY}/b", test, Content_Type=kind, Authorization=who)
        for who in (owner, writer)
    }
    made = exchange.call(
        "POST",
        BINARY,
        other,
        If_None_Exist="_id=b",
        Authorization=writer,
    )

    assert patched[owner].status_code == 200
    refused(patched[writer], 403)
    refused(made, 403)


@pytest.mark.parametrize("kind", ["batch", "transaction"])
@pytest.mark.parametrize(
    "content_type", ["application/fhir+json", "application/json", "text/plain"]
)
def test_a_bundle_reads_a_binary_as_fhir_whatever_is_in_it(exchange, kind, content_type):
    """What stands in a Bundle is a resource, also where the content is one."""
    data = base64.b64encode(b'{"resourceType":"Basic"}').decode()
    sent = {"resourceType": "Binary", "id": "b", "contentType": content_type, "data": data}
    exchange.call("PUT", f"{BINARY}/b", sent)

    answer = exchange.call("POST", CHART, bundle(kind, asked("GET", "Binary/b")))

    assert answer.status_code == 200, answer.text
    assert answer.json()["entry"][0]["resource"]["data"] == data
