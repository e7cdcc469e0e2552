"""What is read is what was written, but for meta: to the last digit, in the same order."""

import json
import os
from urllib.parse import quote

import pytest
from asking import CHART
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EXAMPLES = 3000 if os.environ.get("KINBRIDGE_SOAK") else 60
LOSSLESS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Number(str):
    """A number as it is written in JSON, digits and all."""

    __slots__ = ()


def written(value):
    """JSON text in which a Number stands as it is."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        pairs = (f"{json.dumps(name)}:{written(child)}" for name, child in value.items())
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def letters(text):
    return ("number", text)


def understood(raw):
    """JSON with members in their order and numbers to the letter."""
    return json.loads(raw, object_pairs_hook=list, parse_float=letters, parse_int=letters)


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(
    lambda text: text.strip()
)
decimals = st.builds(
    lambda sign, whole, part, exponent: Number(sign + whole + part + exponent),
    st.sampled_from(["", "-"]),
    st.one_of(st.just("0"), st.integers(0, 10**12).map(str), st.integers(10**17, 10**30).map(str)),
    st.sampled_from(["", ".0", ".00", ".50", ".125", ".1000000000", ".0000000", ".00000001"]),
    st.sampled_from(["", "", "", "e3", "E-7", "e+02", "E0", "E5", "e-0"]),
)
values = st.one_of(
    st.fixed_dictionaries({"valueString": texts}),
    st.fixed_dictionaries({"valueDecimal": decimals}),
    st.fixed_dictionaries({"valueBoolean": st.booleans()}),
    st.fixed_dictionaries({"valueInteger": st.integers(-(2**31), 2**31 - 1)}),
    st.fixed_dictionaries({"valueDateTime": st.sampled_from(
        ["2026", "2026-11", "2026-11-23T09:15:00.120Z", "2026-11-23T09:15:00+05:30"])}),
    st.fixed_dictionaries({"valueQuantity": st.fixed_dictionaries(
        {"value": decimals}, optional={"unit": texts})}),
)  # fmt: skip
urls = st.sampled_from(["urn:x", "https://example.org/any", "urn:uuid:0c3"])
extensions = st.recursive(
    st.builds(lambda url, value: {"url": url, **value}, urls, values),
    lambda inner: st.builds(
        lambda url, child: {"url": url, "extension": child},
        urls,
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=5,
)
elements = st.fixed_dictionaries({"extension": st.lists(extensions, min_size=1, max_size=2)})
members = st.fixed_dictionaries(
    {"status": st.just("final"), "code": st.fixed_dictionaries({"text": texts})},
    optional={
        "_status": elements,
        "extension": st.lists(extensions, min_size=1, max_size=3),
        "modifierExtension": st.lists(extensions, min_size=1, max_size=1),
        "valueQuantity": st.fixed_dictionaries({"value": decimals}),
        "_issued": elements,
        "note": st.lists(st.fixed_dictionaries({"text": texts}), min_size=1, max_size=2),
        "contained": st.just([{"resourceType": "Patient", "id": "p"}]),
        "language": st.just("en"),
    },
).flatmap(lambda made: st.permutations(list(made.items())).map(dict))


@given(body=members)
@LOSSLESS
def test_what_is_read_is_what_was_written(exchange, body):
    """Order, members, digits, exponents, extensions of any kind and any character come back."""
    sent = written({"resourceType": "Observation", "id": "o", **body})

    answer = exchange.call("PUT", f"{CHART}/Observation/o", sent.encode())

    assert answer.status_code in {200, 201}, answer.text
    for read in (answer, exchange.get(f"{CHART}/Observation/o")):
        found = [pair for pair in understood(read.content) if pair[0] != "meta"]
        assert found == understood(sent)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("1.50", "1.5"),
        ("1", "1.0"),
        ("1.0", "1.00"),
        ("0.0", "-0.0"),
        ("0", "-0"),
        ("1e2", "100"),
        ("1E3", "1E+3"),
        ("1e3", "1E3"),
    ],
)
def test_another_digit_is_another_version(exchange, first, second):
    """An update that says 1.5 where 1.50 stood is an update."""
    for number in (first, second):
        body = {"resourceType": "Basic", "id": "b", "code": {"text": "x"}, "extension": [
            {"url": "urn:x", "valueDecimal": Number(number)}]}  # fmt: skip
        exchange.call("PUT", f"{CHART}/Basic/b", written(body).encode())

        read = exchange.get(f"{CHART}/Basic/b")
        assert json.loads(read.content, parse_float=letters, parse_int=letters)["extension"][0][
            "valueDecimal"
        ] == letters(number)
    assert read.headers["etag"] == 'W/"2"'


def test_another_order_is_another_version(exchange):
    """An update that changes the order of members is kept."""
    for members_ in (
        '"status":"final","code":{"text":"x"}',
        '"code":{"text":"x"},"status":"final"',
    ):
        body = f'{{"resourceType":"Observation","id":"o",{members_}}}'
        exchange.call("PUT", f"{CHART}/Observation/o", body.encode())

    assert exchange.get(f"{CHART}/Observation/o").content.endswith(members_.encode() + b"}")


def test_what_stands_already_is_no_new_version(exchange):
    """A feed sends all of its patients each night: without a meta, with one, and as it was read."""
    said = {
        "resourceType": "Patient",
        "id": "p",
        "name": [{"family": "Rivera"}],
        "gender": "female",
    }
    path = f"{CHART}/Patient/p"
    exchange.call("PUT", path, said)
    read = exchange.get(path).json()

    for again in (
        said,
        {"id": "p", **said},
        read,
        {**said, "meta": {"versionId": "9", "lastUpdated": "2026-01-01T00:00:00Z"}},
    ):
        answer = exchange.call("PUT", path, again)
        assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"1"')
    tagged = {**said, "meta": {"tag": [{"code": "x"}]}}
    assert exchange.call("PUT", path, tagged).headers["etag"] == 'W/"2"'
    assert exchange.call("PUT", path, said).headers["etag"] == 'W/"3"'


NUMBERS = (
    "1E3", "1e3", "1E+3", "1.0E-5", "0.00001", "0.00000001", "0.00000000", "-0.0", "-0", "0E5",
    "1.00", "-1.5e-300", "123456789012345678901234567890", "18446744073709551616", "0.1E1",
)  # fmt: skip
PLACES = (
    ("extension", '[{{"url":"urn:x","valueDecimal":{0}}}]'),
    ("contained", ('[{{"resourceType":"Observation","id":"c","status":"final","code":{{"text":"x"}},'
     '"valueQuantity":{{"value":{0}}}}}]')),
    ("_status", '{{"extension":[{{"url":"urn:x","valueQuantity":{{"value":{0}}}}}]}}'),
    ("valueQuantity", '{{"value":{0},"unit":"mg"}}'),
)  # fmt: skip


def numbered(number):
    """An Observation that says this number wherever one can stand, as JSON."""
    head = '"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"}'
    said = (f'"{name}":{form.format(number)}' for name, form in PLACES)
    return f"{{{head},{','.join(said)}}}"


def of_numbers(raw):
    """What stands, but for its meta and its note."""
    return sorted(str(pair) for pair in understood(raw) if pair[0] not in {"meta", "note"})


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_is_kept_to_the_letter(exchange, number):
    """In extensions, contained resources and beside primitives; also when another element is changed."""
    path, sent = f"{CHART}/Observation/o", numbered(number)
    fhirpath = [
        {"name": "type", "valueCode": "add"},
        {"name": "path", "valueString": "Observation"},
        {"name": "name", "valueString": "note"},
        {"name": "value", "valueAnnotation": {"text": "z"}},
    ]
    patches = (
        ("json-patch+json", [{"op": "add", "path": "/note", "value": [{"text": "x"}]}]),
        ("merge-patch+json", {"note": [{"text": "y"}]}),
        ("fhir+json", {"resourceType": "Parameters", "parameter": [
            {"name": "operation", "part": fhirpath}]}),
    )  # fmt: skip

    assert exchange.call("PUT", path, sent.encode()).status_code == 201
    again = exchange.call("PUT", path, f" {sent} ".replace("{", "{\n").encode())
    assert again.headers["etag"] == 'W/"1"'
    for version, (media, patch) in enumerate(patches, 2):
        answer = exchange.call("PATCH", path, patch, Content_Type=f"application/{media}")
        assert (answer.status_code, answer.headers["etag"]) == (200, f'W/"{version}"'), answer.text
        assert of_numbers(answer.content) == of_numbers(sent)
    assert of_numbers(exchange.get(path).content) == of_numbers(sent)
    part = understood(exchange.get(f"{path}?_elements=valueQuantity").content)
    assert ("valueQuantity", [("value", letters(number)), ("unit", "mg")]) in part
    found = exchange.get(f"{CHART}/Observation?value-quantity={quote(number)}")
    assert [one["resource"]["id"] for one in found.json().get("entry", [])] == ["o"]


def test_a_patch_brings_its_numbers_as_it_has_them(exchange):
    """What a patch puts in and what it tests are numbers as they were written and worth."""
    path = f"{CHART}/Observation/o"
    exchange.call("PUT", path, numbered("1E3").encode())
    patch = b"""[{"op":"test","path":"/valueQuantity/value","value":1000},
        {"op":"replace","path":"/valueQuantity/value","value":2e1},
        {"op":"copy","from":"/contained/0/valueQuantity/value","path":"/extension/0/valueDecimal"}]"""

    answer = exchange.call("PATCH", path, patch, Content_Type="application/json-patch+json")

    assert answer.status_code == 200, answer.text
    assert b'"valueQuantity":{"value":2e1,' in answer.content
    assert b'"valueDecimal":1E3' in answer.content


def test_a_number_with_an_exponent_is_checked_by_its_worth(exchange):
    """An invariant that compares numbers says the same of 1E3 as of 1000; what has no end is refused."""
    path = f"{CHART}/Observation"
    one = '{"value":%s,"code":"mg","system":"http://unitsofmeasure.org"}'
    said = (
        '{"resourceType":"Observation","status":"final","code":{"text":"x"},'
        '"valueRange":{"low":%s,"high":%s}}'
    )

    for number, broken in (("2E3", False), ("0.5e3", True)):
        body = said % (one % "1E3", one % number)
        found = exchange.call("POST", f"{path}/$validate", body.encode()).json()["issue"]
        assert ("rng-2" in str(found)) is broken, found
    endless = said % (one % "1", one % "1E999999999")
    assert exchange.call("POST", path, endless.encode()).status_code == 400


def test_what_is_escaped_brings_a_number_of_any_length_no_fault(exchange):
    """Python reads no integer of more than 4,300 digits, and need not."""
    for digits, status in ((900, 201), (5000, 400)):
        body = '{"resourceType":"Basic","code":{"text":"a\\/b"},"extension":[{"url":"urn:x","valueDecimal":%s}]}'
        answer = exchange.call("POST", f"{CHART}/Basic", (body % ("7" * digits)).encode())
        assert answer.status_code == status, answer.text
