"""The history of a resource, of a type, of a shelf."""

import base64

import pytest
from asking import CHART, PATIENT
from exchange import refused
from fhir.resources.R4B import get_fhir_model_class

from app.flows import read
from app.sandbox import family


def test_history_tells_how_each_version_came(exchange, patient):
    """Created, changed, deleted: newest first, with methods, and a total."""
    exchange.call("PUT", PATIENT, {**family.PATIENT, "gender": "other"})
    exchange.call("DELETE", PATIENT)

    said = exchange.get(f"{PATIENT}/_history").json()

    assert (said["type"], said["total"]) == ("history", 3)
    assert [one["request"]["method"] for one in said["entry"]] == ["DELETE", "PUT", "PUT"]
    assert [one["response"]["etag"] for one in said["entry"]] == ['W/"3"', 'W/"2"', 'W/"1"']
    assert "resource" not in said["entry"][0]
    assert said["entry"][2]["resource"] == patient


@pytest.mark.parametrize("version", ["01", "0", "+1", "1.0", "1%20", "%C2%B9", "99", "9999999999"])
def test_a_version_has_one_name(exchange, patient, version):
    """What is no id of a version is not there, though it could be read as its number."""
    for asked in (f"{PATIENT}/_history/{version}", f"{PATIENT}/_history/1/{version}"):
        refused(exchange.get(asked), 404)
    entry = {"request": {"method": "GET", "url": f"Patient/rosa/_history/{version}"}}
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [entry]}

    answer = exchange.call("POST", CHART, bundle).json()

    assert answer["entry"][0]["response"]["status"] == "404 Not Found"
    assert exchange.get(f"{PATIENT}/_history/1").status_code == 200


@pytest.mark.parametrize("path", [f"{CHART}/_history", f"{CHART}/Patient/_history"])
def test_more_than_is_counted_has_no_total(exchange, monkeypatch, path):
    """A page of millions is answered without counting them; who asks for the total alone gets it."""
    monkeypatch.setattr(read, "COUNTED", 4)
    for number in range(6):
        patient = {"resourceType": "Patient", "id": f"p{number}"}
        exchange.call("PUT", f"{CHART}/Patient/p{number}", patient)
        asked = [exchange.get(f"{path}?_count={count}") for count in (2, 0)]
        totals = [one.json().get("total") for one in asked]
        assert totals == [number + 1 if number < 4 else None, number + 1]
        assert exchange.get(path).json()["total"] == number + 1  # all on one page


@pytest.mark.parametrize("path", [f"{CHART}/_history", f"{CHART}/Patient/_history"])
def test_history_pages_neither_skip_nor_double(exchange, path):
    """A walk through all pages sees each version once, whatever the page size."""
    for number in range(7):
        exchange.call(
            "PUT", f"{CHART}/Patient/p{number}", {"resourceType": "Patient", "id": f"p{number}"}
        )
        exchange.call(
            "PUT",
            f"{CHART}/Patient/p{number}",
            {"resourceType": "Patient", "id": f"p{number}", "active": True},
        )

    seen, url = [], f"{path}?_count=3"
    while url:
        page = exchange.get(url).json()
        assert page["total"] == 14
        seen += [(one["fullUrl"], one["response"]["etag"]) for one in page["entry"]]
        following = [link["url"] for link in page["link"] if link["relation"] == "next"]
        url = following[0].removeprefix("https://exchange.localhost/") if following else ""

    assert len(seen) == len(set(seen)) == 14


def test_history_since_a_moment(exchange, patient):
    """Only what came at or after the moment."""
    middle = exchange.call("PUT", PATIENT, {**family.PATIENT, "gender": "other"}).json()["meta"][
        "lastUpdated"
    ]
    exchange.call("PUT", PATIENT, {**family.PATIENT, "gender": "male"})

    said = exchange.get(f"{PATIENT}/_history?_since={middle}").json()

    assert [one["resource"]["gender"] for one in said["entry"]] == ["male", "other"]
    assert exchange.get(f"{PATIENT}/_history?_since=2030").json()["total"] == 0


@pytest.mark.parametrize(
    "query",
    [
        "_since=soon",
        "_since=2026-11-23T09:00:00",
        "_count=many",
        "_page=x",
        "name=Rosa",
        "_at=soon",
        "_at=2026-11-23T09:00:00",
        "_at=2026-13",
        "_at=ne2026",
        "_at=ap2026",
        "_summary=some",
        "_summary=true&_elements=name",
    ],
)
def test_a_history_parameter_that_is_not_understood_is_refused(exchange, patient, query):
    """Nothing is left out of a filter silently."""
    refused(exchange.get(f"{PATIENT}/_history?{query}"), 400)


def test_history_is_of_one_shelf(exchange, referred):
    """The clinic's history has no version of the agency's, nor the reverse."""
    ours = exchange.get(f"{CHART}/_history").text
    theirs = exchange.get("agency/support/fhir/_history").text

    assert "agency/support" not in ours
    assert "clinic/chart" not in theirs
    assert "rosa" not in theirs


def changed(exchange):
    """A child that was made, changed, deleted and made again: when each of it came."""
    child = {"resourceType": "Patient", "id": "c"}
    path = f"{CHART}/Patient/c"
    for method, more in (("PUT", {}), ("PUT", {"active": True}), ("DELETE", None), ("PUT", {})):
        exchange.call(method, path, None if more is None else {**child, **more})
    came = exchange.get(f"{path}/_history").json()["entry"]
    return [one["response"]["lastModified"] for one in reversed(came)]


@pytest.mark.parametrize(
    "path", [f"{CHART}/_history", f"{CHART}/Patient/_history", f"{CHART}/Patient/c/_history"]
)
def test_history_at_a_time(exchange, path):
    """What stood at a moment: the version that was current then, and nothing after a deletion."""
    made, active, deleted, again = changed(exchange)

    def at(time):
        said = exchange.get(f"{path}?_at={time}").json()
        return [one["response"]["etag"][3:-1] for one in said.get("entry", [])], said["total"]

    assert at("2020") == ([], 0)
    assert at(made) == (["1"], 1)
    assert at(active) == (["2"], 1)
    assert at(deleted) == (["3"], 1)
    assert at(again) == (["4"], 1)
    assert at("2026-11-23") == at("2026") == at("2026-11") == at("2026-11-23T15:00:00Z")
    assert at("2026-11-23T16:00%2B01:00") == (["4", "3", "2", "1"], 4)
    assert at("2027") == at("ge2027") == at("gt2026") == at("sa2026") == (["4"], 1)
    assert at("lt2026") == at("eb2026") == at("le2025") == ([], 0)
    assert at(f"ge{deleted}") == (["4", "3"], 2)
    assert at(f"gt{deleted}") == (["4"], 1)
    assert at(f"lt{active}") == (["1"], 1)
    assert at(f"le{active}") == (["2", "1"], 2)
    assert at(f"ge{active}&_at=lt{again}") == (["3", "2"], 2)
    assert at(f"{active}&_at={made}") == ([], 0)
    assert at("2028&_at=2027") == (["4"], 1)


def test_what_was_deleted_did_not_stand_later(exchange, patient):
    """A year after its deletion a child is not in the history of that year."""
    exchange.call("DELETE", PATIENT)

    assert exchange.get(f"{CHART}/_history?_at=2027").json()["total"] == 0
    assert exchange.get(f"{CHART}/_history?_at=2026").json()["total"] == 2


def test_history_leads_forth_and_back(exchange):
    """From each page the ones beside it and the first are reached, whatever was asked for."""
    for number in range(7):
        child = {"resourceType": "Patient", "id": f"p{number}"}
        exchange.call("PUT", f"{CHART}/Patient/p{number}", child)

    def page(url):
        said = exchange.get(url.removeprefix("https://exchange.localhost/")).json()
        links = {link["relation"]: link["url"] for link in said["link"]}
        return [one["resource"]["id"] for one in said["entry"]], links

    first, links = page(
        f"{CHART}/_history?_count=3&_elements=name&_since=2026-01-01T00:00:00%2B01:00"
    )
    second, between = page(links["next"])
    third, last = page(between["next"])
    back, _ = page(last["previous"])
    start, beginning = page(between["previous"])

    assert first + second + third == [f"p{number}" for number in range(6, -1, -1)]
    assert (back, start) == (second, first)
    assert "next" not in last
    assert "previous" not in links
    assert "previous" not in beginning
    assert between["self"] == links["next"]
    assert between["first"] == links["first"] == links["self"]
    assert "_elements=name" in between["next"]


def test_the_history_of_what_never_was_is_not_found(exchange, patient):
    """A resource without any version is not found; one without any in that time has none."""
    refused(exchange.get(f"{CHART}/Patient/never/_history"), 404)
    refused(exchange.get(f"{CHART}/Patient/never/_history?_since=2020"), 404)

    assert exchange.get(f"{PATIENT}/_history?_since=2030").json()["total"] == 0
    assert exchange.get(f"{PATIENT}/_history?_count=0").json()["total"] == 1


def test_history_is_what_the_standard_says_it_is(exchange, patient):
    """Each entry has a request and an answer; a stranger's library reads it."""
    made = exchange.call("POST", f"{CHART}/Patient", {"resourceType": "Patient"}).json()
    exchange.call("DELETE", PATIENT)

    said = exchange.get(f"{CHART}/_history").json()

    assert get_fhir_model_class("Bundle").model_validate(said)
    gone, posted, put = said["entry"]
    assert posted["request"] == {"method": "POST", "url": "Patient"}
    assert posted["fullUrl"].endswith(f"{CHART}/Patient/{made['id']}")
    assert (posted["resource"], posted["response"]["status"]) == (made, "201 Created")
    assert (put["request"], put["response"]["status"]) == (
        {"method": "PUT", "url": "Patient/rosa"}, "201 Created")  # fmt: skip
    assert gone["request"] == {"method": "DELETE", "url": "Patient/rosa"}
    assert (gone["response"]["status"], "resource" in gone) == ("204 No Content", False)


def test_a_page_of_one_history_opens_no_other(exchange, patient):
    """What a page holds is covered, and it belongs to the history that it was handed out for."""
    other = f"{CHART}/Patient/other"
    for gender in ("female", "male"):
        exchange.call("PUT", PATIENT, {**patient, "gender": gender})
        exchange.call("PUT", other, {"resourceType": "Patient", "id": "other", "gender": gender})
    links = exchange.get(f"{PATIENT}/_history?_count=1").json()["link"]
    page = next(one["url"] for one in links if one["relation"] == "next").partition("_page=")[2]

    assert exchange.get(f"{PATIENT}/_history?_count=1&_page={page}").status_code == 200
    refused(exchange.get(f"{other}/_history?_count=1&_page={page}"), 400)
    assert "rosa" not in str(base64.urlsafe_b64decode(page + "=="))


@pytest.mark.parametrize(
    "query",
    ["_at=0001-01-01T00:00:00%2B14:00", "_since=9999-12-31T23:59:59-14:00",
     "_since=2026-01-01&_since=2027-01-01", "_count=1&_count=2"],
)  # fmt: skip
def test_a_time_that_is_none_or_stands_twice_is_refused(exchange, patient, query):
    """No day before the first; of two starts none is passed over."""
    refused(exchange.get(f"{CHART}/_history?{query}"), 400, "structure")


def test_the_next_page_shows_the_same_elements(exchange, patient):
    """Elements may be named in several parameters; each link keeps them all."""
    exchange.call("PUT", PATIENT, {**family.PATIENT, "gender": "other"})

    first = exchange.get(f"{PATIENT}/_history?_count=1&_elements=gender&_elements=birthDate").json()
    (following,) = [one["url"] for one in first["link"] if one["relation"] == "next"]
    second = exchange.get(following.removeprefix("https://exchange.localhost/")).json()

    for page in (first, second):
        assert {"gender", "birthDate"} <= page["entry"][0]["resource"].keys()
