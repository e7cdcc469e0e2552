"""What is read is what was written, but for meta: to the last digit, in the same order."""

import json
import os
from decimal import Decimal

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


def digits(text):
    return ("number", Decimal(text).as_tuple())


def understood(raw):
    """JSON with members in their order and numbers as their digits."""
    return json.loads(raw, object_pairs_hook=list, parse_float=digits, parse_int=digits)


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(
    lambda text: text.strip()
)
decimals = st.builds(
    lambda sign, whole, part, exponent: Number(sign + whole + part + exponent),
    st.sampled_from(["", "-"]),
    st.integers(0, 10**12).map(str),
    st.sampled_from(["", ".0", ".00", ".50", ".125", ".1000000000"]),
    st.sampled_from(["", "", "", "e3", "E-7", "e+02"]),
).filter(lambda number: number != "-0")  # an integer to every reader of JSON: it comes back as 0
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
    [("1.50", "1.5"), ("1", "1.0"), ("1.0", "1.00"), ("0.0", "-0.0"), ("1e2", "100")],
)
def test_another_digit_is_another_version(exchange, first, second):
    """An update that says 1.5 where 1.50 stood is an update."""
    for number in (first, second):
        body = {"resourceType": "Basic", "id": "b", "code": {"text": "x"}, "extension": [
            {"url": "urn:x", "valueDecimal": Number(number)}]}  # fmt: skip
        exchange.call("PUT", f"{CHART}/Basic/b", written(body).encode())

        read = exchange.get(f"{CHART}/Basic/b")
        assert json.loads(read.content, parse_float=digits, parse_int=digits)["extension"][0][
            "valueDecimal"
        ] == digits(number)
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
