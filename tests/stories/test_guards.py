"""What must stand for a write to be done: If-Match, If-None-Match, and more than one of them."""

import pytest
from asking import CHART, MRN, PATIENT, asked, bundle
from exchange import refused

from app.sandbox import family

STARS = ["*", " * "]
LISTS = ['W/"7", W/"1"', "W/7,W/1", '"1"', '"abc", W/"1"']
OTHERS = ["", " ", 'W/"2"', 'W/"7", W/"8"', '"abc"', 'W/"0"', 'W/"01"', '"*"', "W/"]


def _write(exchange, method, path, **heads):
    if method == "PATCH":
        heads["Content_Type"] = "application/merge-patch+json"
    sent = {"PUT": {**family.PATIENT, "id": path.rsplit("/", 1)[1]}, "PATCH": {"gender": "male"}}
    return exchange.call(method, path, sent.get(method), **heads)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("match", [*STARS, *LISTS])
def test_a_guard_that_is_met_lets_the_write_through(exchange, patient, method, match):
    """RFC 9110: * is met by whatever stands, a list by one of its versions."""
    assert _write(exchange, method, PATIENT, If_Match=match).status_code in {200, 204}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("match", OTHERS)
def test_a_guard_that_is_not_met_changes_nothing(exchange, patient, method, match):
    """Another version, or what is no version: 412."""
    refused(_write(exchange, method, PATIENT, If_Match=match), 412, "conflict")

    assert exchange.get(PATIENT).json() == patient


@pytest.mark.parametrize("match", ["*", 'W/"1"'])
def test_where_nothing_stands_no_version_does(exchange, patient, match):
    """A lost record is not made anew by who meant to change it, nor one that was deleted."""
    exchange.call("DELETE", PATIENT)

    for path in (PATIENT, f"{CHART}/Patient/new"):
        refused(_write(exchange, "PUT", path, If_Match=match), 412)
        assert exchange.get(path).status_code in {404, 410}
        refused(_write(exchange, "DELETE", path, If_Match=match), 412)
    unmet = f"{CHART}/Patient?identifier=https://ehr.example.org/mrn|none"
    sent = {"resourceType": "Patient", "identifier": [MRN]}
    refused(exchange.call("PUT", unmet, sent, If_Match=match), 412)


def test_only_where_nothing_stands(exchange, patient):
    """If-None-Match: * makes, and makes again what was deleted; it never writes over anything."""
    assert _write(exchange, "PUT", f"{CHART}/Patient/new", If_None_Match="*").status_code == 201
    for method in ("PUT", "PATCH", "DELETE"):
        refused(_write(exchange, method, PATIENT, If_None_Match="*"), 412)
    exchange.call("DELETE", PATIENT)
    assert _write(exchange, "PUT", PATIENT, If_None_Match="*").status_code == 201


def test_a_guard_that_we_do_not_know_is_not_passed_over(exchange, patient):
    """A write that hangs on another version not standing is refused, and says what to send."""
    answer = _write(exchange, "PUT", PATIENT, If_None_Match='W/"7"')

    assert "If-Match" in refused(answer, 400)[0]["details"]["text"]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_nor_is_one_by_time(exchange, patient, method):
    """If-Unmodified-Since, beside no If-Match, was meant to write over nothing newer."""
    since = {"If_Unmodified_Since": "Fri, 01 Jan 1999 00:00:00 GMT"}
    (issue,) = refused(_write(exchange, method, PATIENT, **since), 400)

    assert "If-Match" in issue["details"]["text"]
    assert exchange.get(PATIENT).json() == patient
    assert _write(exchange, method, PATIENT, If_Match='W/"1"', **since).status_code in {200, 204}


def test_headers_that_come_twice_are_a_list(exchange, patient):
    """RFC 9110, 5.3: of two lines neither is passed over."""
    heads = [
        ("If-Match", 'W/"7"'),
        ("If-Match", 'W/"1"'),
        ("Content-Type", "application/fhir+json"),
    ]
    prefer = [("Prefer", "handling=strict"), ("Prefer", "return=minimal")]
    sent = {**family.PATIENT, "gender": "male"}

    done = exchange.http.put(f"/{PATIENT}", json=sent, headers=[*heads, *prefer])
    known = exchange.http.get(
        f"/{PATIENT}", headers=[("If-None-Match", 'W/"1"'), ("If-None-Match", 'W/"2"')]
    )

    assert (done.status_code, done.content) == (200, b"")
    assert known.status_code == 304


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_an_entry_has_its_guards_too(exchange, patient, kind):
    """The same in a Bundle, and the place where one is not met."""

    def sent(**guard):
        entry = asked("PUT", "Patient/rosa", family.PATIENT, request=guard)
        return exchange.call("POST", CHART, bundle(kind, entry))

    done = sent(ifMatch='W/"9", W/"1"').json()["entry"][0]["response"]
    assert done["status"] == "200 OK"
    assert sent(ifMatch="*").json()["entry"][0]["response"]["status"] == "200 OK"
    for guard in ({"ifMatch": 'W/"9"'}, {"ifNoneMatch": "*"}, {"ifMatch": "soon"}):
        answer = sent(**guard)
        if kind == "transaction":
            refused(answer, 412)
        else:
            assert answer.json()["entry"][0]["response"]["status"] == "412 Precondition Failed"


def test_the_agencys_answer_has_its_guard(exchange, referred):
    """On a Task of a referral as on any other."""
    _, theirs = referred
    path = f"agency/support/fhir/Task/{theirs['id']}"
    accepted = {**theirs, "status": "accepted"}

    refused(exchange.call("PUT", path, accepted, If_Match='W/"8", W/"9"'), 412)
    assert exchange.call("PUT", path, accepted, If_Match="*").status_code == 200


def test_a_guard_that_says_nothing_guards(exchange, patient):
    """An empty If-None-Match was meant to write over nothing."""
    refused(_write(exchange, "PUT", PATIENT, If_None_Match=""), 412)

    assert exchange.get(PATIENT).json() == patient


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_a_version_is_not_deleted(exchange, patient, kind):
    """Who means to delete one version does not lose the resource."""
    entry = asked("DELETE", "Patient/rosa/_history/1")

    answer = exchange.call("POST", CHART, bundle(kind, entry))

    said = answer.json() if kind == "transaction" else answer.json()["entry"][0]["response"]
    assert answer.status_code == (422 if kind == "transaction" else 200)
    assert "_history" not in str(said)
    assert "version" in str(said)
    assert exchange.get(PATIENT).json() == patient
