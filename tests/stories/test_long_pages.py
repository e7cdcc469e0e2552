"""Pages of what is large: they end early, and the next goes on where they end."""

import pytest
from asking import CHART

from app.flows import bounds

SCANS = 15
BIG = 900_000  # as base64 1.2 MB
LETTERS = 60
TEXT = "x" * 180_000


@pytest.fixture
def scans(exchange):
    """Fifteen scans that together are more than twice as much as a page holds."""
    for number in range(SCANS):
        answer = exchange.call(
            "PUT", f"{CHART}/Binary/s{number:02}", bytes(BIG), Content_Type="image/png"
        )
        assert answer.status_code == 201
    return [f"s{number:02}" for number in range(SCANS)]


def walk(exchange, path, relation="next"):
    """The pages from this one on: of each the ids of its resources, and the whole answer."""
    pages = []
    while path:
        answer = exchange.get(path)
        assert answer.status_code == 200, answer.text[:300]
        said = answer.json()
        found = [one["resource"]["id"] for one in said.get("entry", []) if "resource" in one]
        pages.append((found, said))
        links = {one["relation"]: one["url"] for one in said["link"]}
        path = links.get(relation, "").partition("exchange.localhost/")[2]
        assert len(answer.content) < bounds.PAGE_BYTES + 2 * BIG
    return pages


@pytest.mark.parametrize(
    "path",
    ["Binary?_count=1000", "Binary?_sort=_id&_count=1000", "?_type=Binary", "Binary/_history?_count=1000",
     "_history?_count=1000", "Binary?_lastUpdated=gt2020&_sort=_lastUpdated"],
)  # fmt: skip
def test_a_page_of_large_resources_ends_early(exchange, scans, path):
    """Each stands on one page, once and whole, onwards and back."""
    onwards = walk(exchange, f"{CHART}{'' if path[0] == '?' else '/'}{path}")

    met = [one for found, _ in onwards for one in found]
    assert sorted(met) == scans
    assert len(onwards) > 2
    assert all(
        len(entry["resource"]["data"]) == BIG / 3 * 4
        for _, page in onwards
        for entry in page["entry"]
    )
    last = next(one["url"] for one in onwards[-1][1]["link"] if one["relation"] == "self")
    back = walk(exchange, last.partition("exchange.localhost/")[2], "previous")
    assert sorted(one for found, _ in back for one in found) == scans
    assert [found for found, _ in back] != [found for found, _ in onwards]


def test_every_version_of_one_large_resource_is_in_its_history(exchange):
    """Its past has pages too; each version is the one that it was."""
    for number in range(SCANS):
        exchange.call("PUT", f"{CHART}/Binary/s", bytes([number]) * BIG, Content_Type="image/png")

    pages = walk(exchange, f"{CHART}/Binary/s/_history?_count=1000")

    versions = [
        entry["resource"]["meta"]["versionId"] for _, page in pages for entry in page["entry"]
    ]
    assert versions == [str(number) for number in range(SCANS, 0, -1)]
    assert {page["total"] for _, page in pages} == {SCANS}
    datas = [entry["resource"]["data"][:4] for _, page in pages for entry in page["entry"]]
    assert len(set(datas)) == SCANS


def test_the_total_of_a_page_that_ended_early_is_of_all(exchange, scans):
    """Where it is said, asked for or not."""
    for more in ("", "&_total=accurate"):
        said = exchange.get(f"{CHART}/Binary?_count=1000{more}").json()
        assert said["total"] == SCANS
        assert len(said["entry"]) < SCANS


@pytest.mark.parametrize(
    "included", ["_include=Provenance:target", "_revinclude=Provenance:target"]
)
def test_what_does_not_fit_beside_a_page_is_said(exchange, scans, included):
    """What hangs on the matches comes as far as there is room, and the answer says that it is cut."""
    record = {
        "resourceType": "Provenance", "id": "p", "recorded": "2026-11-23T09:15:00Z",
        "target": [{"reference": f"Binary/{one}"} for one in scans],
        "agent": [{"who": {"display": "scanner"}}],
    }  # fmt: skip
    exchange.call("PUT", f"{CHART}/Provenance/p", record)
    kind = "Provenance" if included.startswith("_include") else "Binary"

    answer = exchange.get(f"{CHART}/{kind}?{included}")

    entries = answer.json()["entry"]
    modes = [one["search"]["mode"] for one in entries]
    if kind == "Provenance":
        assert 1 < modes.count("include") < SCANS
        assert entries[-1]["resource"]["issue"][0]["code"] == "incomplete"
    else:
        assert modes.count("match") < SCANS
        assert entries[-1]["resource"]["id"] == "p"
    assert len(answer.content) < 2 * bounds.PAGE_BYTES


def test_everything_of_a_patient_has_pages(exchange, patient):
    """A child with a long record: all of it comes, page by page."""
    for number in range(LETTERS):
        letter = {
            "resourceType": "Communication", "id": f"c{number}", "status": "completed",
            "subject": {"reference": "Patient/rosa"}, "payload": [{"contentString": TEXT}],
        }  # fmt: skip
        assert exchange.call("PUT", f"{CHART}/Communication/c{number}", letter).status_code == 201

    pages = walk(exchange, f"{CHART}/Patient/rosa/$everything?_count=1000")

    met = [one for found, _ in pages for one in found]
    assert sorted(met) == sorted([f"c{number}" for number in range(LETTERS)] + ["rosa"])
    assert len(pages) == 2


def test_a_part_of_many_large_ones_is_shown(exchange, scans):
    """_elements and _summary leave the content out; the pages are the same."""
    pages = walk(exchange, f"{CHART}/Binary?_elements=contentType&_count=1000")

    assert sorted(one for found, _ in pages for one in found) == scans
    assert "data" not in pages[0][1]["entry"][0]["resource"]


@pytest.mark.parametrize("packing", ["identity", "gzip"])
def test_the_head_of_a_long_page_is_that_of_the_page(exchange, scans, packing):
    """HEAD says what GET would, and sends nothing; packed, the page is the same."""
    path, asked = f"{CHART}/Binary?_count=1000", {"Accept_Encoding": packing}

    whole, head = (exchange.call(method, path, **asked) for method in ("GET", "HEAD"))

    named = [
        {name: value for name, value in one.headers.items() if name != "x-request-id"}
        for one in (whole, head)
    ]
    assert named[0] == named[1]
    assert head.content == b""
    assert whole.headers.get("content-encoding", "identity") == packing
    assert whole.json() == exchange.get(path, Accept_Encoding="identity").json()
