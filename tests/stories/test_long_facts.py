"""Searches that meet resources of thousands of identifiers, and names that thousands have."""

import pytest
from asking import CHART, asked, bundle
from test_long_pages import walk
from test_search import found, ids, put, searched

from app.storage import bodies, walking

MANY = 400
ALIKE = 550


@pytest.fixture
def agencies(exchange):
    """Three agencies of a county: one has so many numbers that its facts do not come with a page."""
    for place, (identity, numbers) in enumerate({"few": 1, "many": MANY, "none": 0}.items()):
        made = {
            "resourceType": "Organization", "id": identity, "name": f"County agency {place}",
            "partOf": {"reference": f"Organization/{'few' if identity == 'many' else 'many'}"},
            "identifier": [
                {"system": "http://example.org/agencies", "value": f"{identity}-{number}"}
                for number in range(numbers)
            ],
        }  # fmt: skip
        put(exchange, {name: value for name, value in made.items() if value})
    row = exchange.rows("SELECT max(length(facts)) FROM resource")
    assert row[0][0] > bodies.SHORT
    return exchange


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("Organization?name:contains=agency", ["few", "many", "none"]),
        ("Organization?name:contains=agency 1", ["many"]),
        ("Organization?identifier=many-399", ["many"]),
        ("Organization?identifier:not=many-399", ["few", "none"]),
        ("Organization?identifier=http://example.org/agencies|", ["few", "many"]),
        ("Organization?identifier:missing=true", ["none"]),
        ("Organization?partof.name:contains=agency 1", ["few", "none"]),
        ("Organization?partof.identifier=many-7", ["few", "none"]),
        ("Organization?_has:Organization:partof:name:contains=agency 1", ["few"]),
        ("Organization?name=county&_id=many,none", ["many", "none"]),
    ],
)
def test_what_has_many_numbers_is_found_like_any_other(agencies, query, wanted):
    """By each of them, by what else it has, and by what it belongs to."""
    assert found(agencies, query) == wanted
    assert searched(agencies, f"{query}&_summary=count")["total"] == len(wanted)


@pytest.mark.parametrize(
    ("query", "order"),
    [
        ("Organization?_sort=name", ["few", "many", "none"]),
        ("Organization?_sort=-name", ["none", "many", "few"]),
        ("Organization?name=county&_sort=-name", ["none", "many", "few"]),
        ("Organization?name:contains=agency&_sort=-_lastUpdated", ["none", "many", "few"]),
    ],
)
def test_it_stands_where_it_belongs_in_any_order(agencies, query, order):
    """One page or three, it has its place."""
    assert ids(searched(agencies, query)) == order
    pages = walk(agencies, f"{CHART}/{query}&_count=1")
    assert [one for page, _ in pages for one in page] == order


def test_it_leads_to_what_it_refers_to(agencies):
    """What is included with it is what it names, and it is included with what names it."""
    there = searched(agencies, "Organization?_id=many&_include=Organization:partof")
    assert ids(there, "include") == ["few"]
    back = searched(agencies, "Organization?_id=none&_include:iterate=Organization:partof")
    assert ids(back, "include") == ["many", "few"]


def test_a_name_that_many_have_finds_each_once(exchange):
    """A first letter that leads to more than is read at once: every child is there, and once."""
    children = [
        {"resourceType": "Patient", "id": f"n{number:03}",
         "name": [{"family": f"Nora{number % 7}", "given": [f"Nell{number % 3}", "Nils"]}]}
        for number in range(ALIKE)
    ]  # fmt: skip
    entries = [asked("PUT", f"Patient/{one['id']}", one) for one in children]
    assert exchange.call("POST", CHART, bundle("transaction", *entries)).status_code == 200
    assert 3 * ALIKE > 2 * walking.CHUNK

    pages = walk(exchange, f"{CHART}/Patient?name=n&_sort=family&_count=300")

    met = [one for page, _ in pages for one in page]
    assert sorted(met) == [one["id"] for one in children]
    assert met == sorted(met, key=lambda one: (int(one[1:]) % 7, met.index(one)))
    assert searched(exchange, "Patient?name=n&_summary=count")["total"] == ALIKE


def test_of_a_group_of_very_many_those_come_that_stand(exchange):
    """Of thousands of members whom a group names, those who are on the shelf come with it."""
    children = [{"resourceType": "Patient", "id": f"g{number}"} for number in range(3)]
    for one in children:
        put(exchange, one)
    members = [{"entity": {"reference": f"Patient/g{number}"}} for number in range(3000)]
    group = {"resourceType": "Group", "id": "all", "type": "person", "actual": True}
    put(exchange, {**group, "member": members})

    answer = searched(exchange, "Group?_include=Group:member")

    assert sorted(ids(answer, "include")) == ["g0", "g1", "g2"]
