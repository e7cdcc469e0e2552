"""Bodies, headers, paths and queries that a machine makes up: an answer each, and never a 5xx."""

import json
import os
import random
from urllib.parse import urlencode

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
kinds = st.sampled_from("Patient Observation Task Bundle Binary QuestionnaireResponse".split())
ids = st.one_of(st.sampled_from(["rosa", "rosa", "none", "1"]), words, plain)
served = """GET metadata|GET _history|GET|GET {kind}|GET {kind}|GET {kind}|GET {kind}/{id}|
    GET {kind}/{id}/_history|GET {kind}/_history|GET {kind}/{id}/_history/{number}|GET Patient/{id}/{kind}|
    GET Patient/{id}/$everything|GET Patient/{id}/*|GET $unmapped|POST|POST|POST {kind}|POST {kind}|
    POST _search|POST {kind}/_search|POST Patient/{id}/{kind}/_search|POST $refer|POST $report|
    POST $check-referral|POST $submit-screening|POST $validate|POST {kind}/$validate|
    POST {kind}/{id}/$validate|POST $work-off|POST Task/{id}/$record-event|PUT {kind}/{id}|
    PUT {kind}/{id}|PUT {kind}|PATCH {kind}/{id}|PATCH {kind}|DELETE {kind}/{id}|DELETE {kind}"""
methods = st.sampled_from("GET HEAD POST PUT PATCH DELETE OPTIONS BREW".split())
paths = st.lists(st.one_of(words, words, plain), max_size=4).map("/".join)


def route(method, template, kind, identity, number):
    """(method, path, the type in the path, the id in it)"""
    path = template.format(kind=kind, id=identity, number=number)
    return method, path, kind, identity if "{id}" in template else None


routes = st.builds(
    lambda served, *rest: route(*(served.strip() + " ").split(" ")[:2], *rest),
    st.sampled_from(served.split("|")),
    kinds,
    ids,
    st.sampled_from(["1", "1", "2"]) | ids,
)
anywhere = st.tuples(methods, paths, kinds, ids)
modifiers = st.sampled_from(
    """:missing :not :exact :contains :text :in :not-in :above :below :of-type :identifier :Patient
    :iterate : :x .name .identifier:exact""".split()
)
names = st.builds(
    str.__add__,
    st.sampled_from(
        """_since _at _count _page _cursor _summary _elements _format _pretty _total identifier name _id
        _sort _include _revinclude _lastUpdated _profile _tag _type birthdate date code subject patient
        owner status value-quantity code-value-quantity focus url _has:Task:patient:status
        _has:x:y:z dry-run profile mode jurisdiction flag""".split()
    ),
    st.just("") | st.just("") | modifiers,
)
values = st.one_of(
    words,
    plain,
    texts,
    st.sampled_from(
        """true false 2026 ge2026-11 le2026-13-40 2026-11-25T24:00:00Z sa2026-02-29 urn:x|1 |x x| | , \\, $
        5.40 ap5|http://unitsofmeasure.org|g 1e999 Patient/rosa rosa Task:owner * -_lastUpdated,name
        Patient:general-practitioner:x json xml 0 101 -1 99999999999999999999 text count""".split()
    ),
)
queries = st.lists(st.tuples(names, values), max_size=3)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from("""resourceType id meta entry request method url type resource identifier
            reference parameter part name valueCode fullUrl tag system extension""".split()) | texts,
        inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
members = st.dictionaries(
    st.sampled_from(
        """id meta type entry parameter name code data status intent subject for focus owner item
        questionnaire identifier extension valueString authored effectiveDateTime contained""".split()
    ),
    json_values,
    max_size=3,
)
typed = st.builds(lambda kind, more: {"resourceType": kind, **more}, kinds, members)
entries = st.builds(
    lambda kind, asked: {
        "resourceType": "Bundle", "type": kind,
        "entry": [{"request": {"method": method, "url": url}, "resource": resource}
                  for method, url, resource in asked]},
    st.sampled_from(["batch", "transaction"]),
    st.lists(st.tuples(st.sampled_from("GET HEAD POST PUT PATCH DELETE BREW".split()), paths, typed),
             max_size=3),
)  # fmt: skip
patches = st.lists(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "remove", "replace", "move", "test", "x"]),
         "path": st.sampled_from(["/name", "/name/0", "/id", "/resourceType", "", "/-", "name"])},
        optional={"value": json_values, "from": st.just("/name")}),
    max_size=2,
)  # fmt: skip
bodies = st.one_of(typed, entries, patches, json_values).map(
    lambda value: json.dumps(value).encode()
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
    """application/json text/plain application/xml application/x-www-form-urlencoded
    application/fhir+json;charset=latin-9""".split()
)


@st.composite
def requests(draw):
    """A request that mostly fits a route, its body mostly of the type and id in the URL."""
    method, path, kind, identity = draw(st.one_of(routes, routes, routes, anywhere))
    fits = draw(st.integers(0, 3)) > 0
    kind_sent = "application/fhir+json" if fits else draw(media)
    if fits and method == "PATCH":
        kind_sent, body = "application/json-patch+json", json.dumps(draw(patches)).encode()
    elif fits and method in {"POST", "PUT"}:
        named = {} if identity is None else {"id": identity}
        body = json.dumps(draw(members) | {"resourceType": kind} | named).encode()
        if path in {"", "$refer", "$report", "$check-referral", "$submit-screening"}:
            body = json.dumps(draw(entries)).encode()
        if path.endswith("_search"):
            kind_sent, body = "application/x-www-form-urlencoded", urlencode(draw(queries)).encode()
    else:
        body = draw(st.one_of(bodies, st.binary(max_size=40)))
    query = draw(st.one_of(queries, st.just([])))
    sent = draw(st.one_of(st.just({}), st.just({}), headers))
    return method, path, query, {**sent, "Content-Type": kind_sent}, body


@given(asked=requests())
@MADE_UP
def test_whatever_is_sent_is_answered(exchange, patient, asked):
    """No 5xx; each refusal is an OperationOutcome that says what to do; nothing half-written."""
    method, path, query, sent, body = asked
    answer = exchange.http.request(
        method, f"/{CHART}/{path}", params=query, content=body, headers=sent
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
