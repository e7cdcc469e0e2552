"""Bodies, headers, paths and queries that a machine makes up: an answer each, and never a 5xx."""

import json
import os
import random

import pytest
from asking import CHART
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EXAMPLES = 50_000 if os.environ.get("KINBRIDGE_SOAK") else 1_000  # on each database
MADE_UP = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

words = st.sampled_from(
    """Patient Observation Task Bundle Binary Parameters QuestionnaireResponse Child _history metadata
    $refer $report $submit-screening $validate _search rosa 1 a%00b %2e%2e .. * ? ä 0 -1 99999999999""".split()
)
texts = st.text(max_size=12)
# what a header, a URL and a client library let through
plain = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=16)
paths = st.lists(st.one_of(words, words, plain), max_size=4).map("/".join)
names = st.sampled_from(
    """_since _at _count _page _summary _elements _format _pretty identifier name _id _sort _include
    birthdate code:in _has:x:y:z""".split()
)
queries = st.lists(
    st.tuples(names, st.one_of(words, plain, st.sampled_from(["true", "2026", "urn:x|1", "json"]))),
    max_size=3,
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from("""resourceType id meta entry request method url type resource identifier
            reference parameter part name valueCode fullUrl tag system extension""".split()) | texts,
        inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
typed = st.builds(
    lambda kind, more: {"resourceType": kind, **more},
    st.sampled_from(["Patient", "Bundle", "Task", "Parameters", "Binary", "Basic", "Child"]),
    st.dictionaries(
        st.sampled_from(["id", "meta", "type", "entry", "parameter", "name", "code", "data"]),
        json_values, max_size=3),
)  # fmt: skip
entries = st.builds(
    lambda kind, asked: {
        "resourceType": "Bundle", "type": kind,
        "entry": [{"request": {"method": method, "url": url}, "resource": resource}
                  for method, url, resource in asked]},
    st.sampled_from(["batch", "transaction"]),
    st.lists(st.tuples(st.sampled_from("GET HEAD POST PUT PATCH DELETE BREW".split()), paths, typed),
             max_size=3),
)  # fmt: skip
bodies = st.one_of(
    st.binary(max_size=40),
    st.one_of(json_values, typed, typed, entries).map(lambda value: json.dumps(value).encode()),
)
headers = st.dictionaries(
    st.sampled_from(
        """If-Match If-None-Match If-None-Exist If-Modified-Since Prefer Accept Accept-Encoding
        Content-Encoding Authorization X-Request-Id X-Security-Context""".split()
    ),
    st.one_of(
        plain, st.sampled_from(['W/"1"', "*", "identifier=urn:x|1", "return=minimal", "gzip"])
    ),
    max_size=3,
)
media = st.sampled_from(
    """application/fhir+json application/json application/json-patch+json text/plain
    application/fhir+json;charset=latin-9""".split()
)
methods = st.sampled_from("GET HEAD POST PUT PATCH DELETE OPTIONS BREW".split())


@given(method=methods, path=paths, query=queries, sent=headers, kind=media, body=bodies)
@MADE_UP
def test_whatever_is_sent_is_answered(exchange, method, path, query, sent, kind, body):
    """No 5xx; each refusal is an OperationOutcome that says what to do; nothing half-written."""
    answer = exchange.http.request(
        method,
        f"/{CHART}/{path}",
        params=query,
        content=body,
        headers={**sent, "Content-Type": kind},
    )

    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400 and method != "HEAD":
        said = answer.json()
        assert said["resourceType"] == "OperationOutcome"
        assert all(issue["details"]["text"] for issue in said["issue"])


@pytest.mark.parametrize("seed", [5])
def test_nothing_made_up_is_half_written(exchange, seed):
    """After hundreds of broken transactions, what stands is what was answered as made."""
    chance = random.Random(seed)
    made = set()
    for number in range(200):
        broken = chance.random() < 0.7
        entry = [
            {"request": {"method": "PUT", "url": f"Basic/n{number}-{part}"},
             "resource": {"resourceType": "Basic", "id": f"n{number}-{part}", "code": {"text": "x"}}}
            for part in range(3)
        ]  # fmt: skip
        if broken:
            fault = chance.choice(
                [{"request": {"method": "GET", "url": "Basic/none"}},
                 {"request": {"method": "PUT", "url": "Basic/x"}, "resource": {"resourceType": "Basic", "id": "y"}},
                 {"request": {"method": "POST", "url": "Basic"}, "resource": {"resourceType": "Basic", "code": 5}},
                 {"request": {"method": "PUT", "url": "Basic/n0-0", "ifMatch": 'W/"77"'},
                  "resource": {"resourceType": "Basic", "id": "n0-0", "code": {"text": "z"}}}])  # fmt: skip
            entry.insert(chance.randrange(4), fault)
        answer = exchange.call(
            "POST", CHART, {"resourceType": "Bundle", "type": "transaction", "entry": entry}
        )
        assert (answer.status_code == 200) is not broken, answer.text
        if not broken:
            made |= {f"n{number}-{part}" for part in range(3)}

    assert {row[0] for row in exchange.rows("SELECT id FROM resource")} == made
