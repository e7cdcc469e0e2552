"""A part of a resource, another format, a readable form: what a query asks of an answer."""

import json

import pytest
from asking import CHART, asked, bundle
from exchange import refused

from app.conformance.subset import SUBSETTED

WHOLE = {
    "resourceType": "DocumentReference", "id": "d", "language": "en",
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'},
    "contained": [{"resourceType": "Patient", "id": "p"}],
    "extension": [{"url": "urn:x", "valueDecimal": 1.50}],
    "modifierExtension": [{"url": "urn:y", "valueBoolean": True}],
    "status": "current",
    "_description": {"extension": [{"url": "urn:x", "valueCode": "unknown"}]},
    "type": {"text": "t", "extension": [{"url": "urn:x", "valueCode": "c"}]},
    "content": [{"attachment": {"contentType": "text/plain", "data": "eA==", "title": "x"}}],
}  # fmt: skip
DOCUMENT = f"{CHART}/DocumentReference/d"
ALWAYS = {"resourceType", "id", "meta", "modifierExtension"}


@pytest.fixture
def document(exchange):
    answer = exchange.call("PUT", DOCUMENT, WHOLE)
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("query", "members"),
    [
        ("_summary=true", {"status", "_description", "type", "content"}),
        ("_summary=text", {"text", "status", "content"}),
        ("_summary=data", WHOLE.keys() - {"text"}),
        ("_elements=type", {"status", "content", "type"}),
        ("_elements=DocumentReference.description,language&_elements=type",
         {"status", "content", "type", "_description", "language"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", [DOCUMENT, f"{DOCUMENT}/_history/1", f"{DOCUMENT}/_history"])
def test_a_part_is_what_was_asked_for_and_says_so(exchange, document, query, members, path):
    """The parts that were asked for and those that must be there, tagged as a part."""
    answer = exchange.get(f"{path}?{query}").json()

    part = answer["entry"][0]["resource"] if answer["resourceType"] == "Bundle" else answer
    assert part.keys() == ALWAYS | members
    assert part["meta"] == {**document["meta"], "tag": [SUBSETTED]}
    assert list(part) == [name for name in document if name in part]


@pytest.mark.parametrize(
    ("elements", "of_the_document", "of_the_child"),
    [
        ("type", {"status", "content", "type"}, {"name", "gender"}),
        ("type,Patient.gender", {"status", "content", "type"}, {"gender"}),
        ("Patient.gender", WHOLE.keys() | {"subject"}, {"gender"}),
    ],
)
def test_elements_are_those_of_what_was_searched_for(
    exchange, patient, elements, of_the_document, of_the_child
):
    """What is included is whole, but where its type is named as well."""
    child = {"resourceType": "Patient", "id": "c", "name": [{"family": "C"}], "gender": "female"}
    exchange.call("PUT", f"{CHART}/Patient/c", child)
    exchange.call("PUT", DOCUMENT, {**WHOLE, "subject": {"reference": "Patient/c"}})

    query = f"_include=DocumentReference:subject&_elements={elements}"
    found = exchange.get(f"{CHART}/DocumentReference?{query}").json()["entry"]

    assert found[0]["resource"].keys() - {"_description"} == (ALWAYS | of_the_document) - {
        "_description"
    }
    assert found[1]["resource"].keys() == {"resourceType", "id", "meta", *of_the_child}


def test_a_summary_leaves_out_what_is_large(exchange, document):
    """An attachment's content is in no summary; why a value is missing stays with its element."""
    part = exchange.get(f"{DOCUMENT}?_summary=true").json()

    assert part["content"] == [{"attachment": {"contentType": "text/plain", "title": "x"}}]
    assert part["type"] == WHOLE["type"]


def test_all_is_all(exchange, document):
    """_summary=false, and nothing asked, are the bytes as they stand."""
    whole = exchange.get(DOCUMENT).content

    assert exchange.get(f"{DOCUMENT}?_summary=false").content == whole
    assert exchange.get(f"{DOCUMENT}?_elements=").content == whole
    assert SUBSETTED["code"].encode() not in whole


def test_a_count_has_no_entries(exchange, document):
    """A history's _summary=count is its total; one resource has none."""
    said = exchange.get(f"{CHART}/_history?_summary=count").json()

    assert (said["total"], "entry" in said) == (1, False)
    refused(exchange.get(f"{DOCUMENT}?_summary=count"), 400)


@pytest.mark.parametrize("query", ["_summary=some", "_summary=true&_elements=type"])
def test_a_part_that_nobody_understands_is_refused(exchange, document, query):
    """Nothing is guessed."""
    refused(exchange.get(f"{DOCUMENT}?{query}"), 400)


def test_a_part_is_not_stored_over_the_whole(exchange, document):
    """Who sends a part back as if it were all is refused, at each door, and nothing is lost."""
    part = exchange.get(f"{DOCUMENT}?_summary=true").json()
    put = asked("PUT", "DocumentReference/d", part)

    refused(exchange.call("PUT", DOCUMENT, part), 422)
    refused(exchange.call("POST", f"{CHART}/DocumentReference", part), 422)
    refused(exchange.call("POST", CHART, bundle("transaction", put)), 422)

    assert exchange.get(DOCUMENT).json() == document


@pytest.mark.parametrize("path", ["clinic/chart/fhir/metadata", DOCUMENT, f"{CHART}/_history"])
@pytest.mark.parametrize(
    "format_", ["json", "application/json", "application/fhir+json", "application/fhir%2Bjson"]
)
def test_json_may_be_asked_for_by_each_of_its_names(exchange, document, path, format_):
    """What clients call JSON is JSON."""
    answer = exchange.get(f"{path}?_format={format_}")

    assert answer.headers["content-type"].startswith("application/fhir+json")
    assert answer.status_code == 200


@pytest.mark.parametrize("format_", ["xml", "application/fhir%2Bxml", "ttl", "html"])
def test_another_format_by_name_is_refused(exchange, document, format_):
    """A read that must be XML is refused; a write that wants its answer in XML is not done."""
    refused(exchange.get(f"{DOCUMENT}?_format={format_}"), 406, "not-supported")
    refused(exchange.get(f"{CHART}/metadata?_format={format_}"), 406)
    refused(exchange.call("POST", f"{CHART}/Patient?_format={format_}", {}), 406)
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    refused(
        exchange.call("POST", f"{CHART}/Patient/_search", f"_format={format_}".encode(), **form),
        406,
    )

    assert exchange.rows("SELECT count(*) FROM resource") == [(1,)]


def test_what_a_person_reads_has_lines(exchange, document):
    """_pretty breaks lines, and says the same."""
    pretty = exchange.get(f"{DOCUMENT}?_pretty=true")

    assert b"\n  " in pretty.content
    assert pretty.json() == document
    assert b'"valueDecimal": 1.5' in pretty.content
    assert json.loads(exchange.get(f"{DOCUMENT}?_pretty=false").content) == document
