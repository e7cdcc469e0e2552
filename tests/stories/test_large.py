"""What is large: what it may be made of, and what is said to who sends too much of it at once."""

import pytest
from asking import CHART, MRN, asked, bundle

MANY = 12
SCAN = 900_000


@pytest.fixture
def scans(exchange):
    """Twelve scans that stand on the chart."""
    for at in range(MANY):
        made = exchange.call("PUT", f"{CHART}/Binary/s{at}", bytes(SCAN), Content_Type="image/png")
        assert made.status_code == 201
    return [f"Binary/s{at}" for at in range(MANY)]


def patch(path, value):
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": [
        {"name": "type", "valueCode": "replace"}, {"name": "path", "valueString": path},
        {"name": "value", "valueCode": value}]}]}  # fmt: skip


def test_a_scan_is_read_as_it_was_written(exchange, scans):
    """By its id, by its version, in part, and after another one took its place."""
    exchange.call("PUT", f"{CHART}/Binary/s0", b"x" * SCAN, Content_Type="image/png")

    now, before = exchange.get(f"{CHART}/Binary/s0"), exchange.get(f"{CHART}/Binary/s0/_history/1")

    assert now.content == b"x" * SCAN
    assert before.content == bytes(SCAN)
    part = exchange.get(f"{CHART}/Binary/s0?_elements=contentType").json()
    assert (part["contentType"], "data" in part) == ("image/png", False)
    assert exchange.get(f"{CHART}/Binary/s0", If_None_Match='W/"2"').status_code == 304
    assert exchange.call("HEAD", f"{CHART}/Binary/s0").headers["content-length"] == str(SCAN)
    assert exchange.call("DELETE", f"{CHART}/Binary/s0").status_code == 204
    assert exchange.get(f"{CHART}/Binary/s0").status_code == 410
    assert exchange.get(f"{CHART}/Binary/s0/_history/2").content == b"x" * SCAN


def test_two_versions_of_a_scan_do_not_meet(exchange, scans):
    """Who has not read the last one is told so, and what stands is what it was."""
    stale = exchange.call(
        "PUT", f"{CHART}/Binary/s1", b"y" * SCAN, Content_Type="image/png", If_Match='W/"7"'
    )

    assert stale.status_code == 412
    assert exchange.get(f"{CHART}/Binary/s1").content == bytes(SCAN)


def test_very_much_is_not_patched_at_once(exchange, patient):
    """Several letters that together are more than a change may be about are sent in several."""
    letter = {
        "resourceType": "Communication", "status": "in-progress",
        "payload": [{"contentString": "x" * 190_000}],
    }  # fmt: skip
    names = [f"Communication/c{at}" for at in range(60)]
    for name in names:
        exchange.call("PUT", f"{CHART}/{name}", {**letter, "id": name.split("/")[1]})
    entries = [asked("PATCH", one, patch("Communication.status", "completed")) for one in names]

    refused = exchange.call("POST", CHART, bundle("transaction", *entries))
    halves = [exchange.call("POST", CHART, bundle("transaction", *entries[at::2])) for at in (0, 1)]

    assert refused.status_code == 413
    assert refused.json()["issue"][0]["code"] == "too-long"
    assert [one.status_code for one in halves] == [200, 200]
    assert (
        exchange.get(f"{CHART}/Communication?status=completed&_summary=count").json()["total"] == 60
    )


def test_of_what_was_there_the_answer_shows_as_much_as_it_holds(exchange, scans):
    """Conditional creates that meet large resources are answered, the last of them without content."""
    letters = [
        {"resourceType": "Communication", "id": f"c{at}", "status": "completed",
         "identifier": [{**MRN, "value": str(at)}], "payload": [{"contentString": "x" * 190_000}]}
        for at in range(60)
    ]  # fmt: skip
    for one in letters:
        exchange.call("PUT", f"{CHART}/Communication/{one['id']}", one)
    entries = [
        asked(
            "POST", "Communication", {"resourceType": "Communication", "status": "completed"},
            request={"ifNoneExist": f"identifier={MRN['system']}|{at}"},
        )
        for at in range(60)
    ]  # fmt: skip

    answer = exchange.call("POST", CHART, bundle("transaction", *entries))

    said = answer.json()["entry"]
    assert [one["response"]["status"] for one in said] == ["200 OK"] * 60
    assert [one["fullUrl"].rpartition("/")[2] for one in said] == [one["id"] for one in letters]
    shown = ["resource" in one for one in said]
    assert shown == sorted(shown, reverse=True)
    assert 30 < sum(shown) < 60
