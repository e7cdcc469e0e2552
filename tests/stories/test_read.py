"""Reading: the last version, an earlier one, only what is new, only a part."""

import pytest
from asking import CHART, PATIENT
from exchange import refused

from app.sandbox import family


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
    for neither in ("soon", "2001-01-01T00:00:00Z", "2999-01-01T00:00:00", "Tue"):
        assert exchange.get(PATIENT, If_Modified_Since=neither).status_code == 200


def test_head_is_a_read_without_its_body(exchange, patient):
    """HEAD answers as GET does, and says nothing."""
    answer = exchange.call("HEAD", PATIENT)

    assert (answer.status_code, answer.headers["etag"], answer.content) == (200, 'W/"1"', b"")


@pytest.mark.parametrize("path", ["Patient/rosa", "Patient/rosa/_history/1", "Binary/b"])
def test_a_cache_asks_before_it_shows_what_it_has(exchange, patient, path):
    """Else a client that caches would go on with a status of days ago; a 304 says so, too."""
    exchange.call("PUT", f"{CHART}/Binary/b", b"letter", Content_Type="text/plain")

    first = exchange.get(f"{CHART}/{path}")
    again = exchange.get(f"{CHART}/{path}", If_None_Match=first.headers["etag"])

    assert (first.status_code, again.status_code) == (200, 304)
    assert first.headers["cache-control"] == again.headers["cache-control"] == "private, no-cache"
