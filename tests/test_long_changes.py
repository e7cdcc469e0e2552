"""A change of thousands of entries costs as much for each of them as one of a few."""

import time

import pytest

from app.domain.change import Caller, Change, Entry
from app.domain.loaded import Loaded, NotLoaded, Want
from app.domain.naming import Names
from app.flows.aside import take_apart
from app.settings import Shelf

MANY = 4000


def seconds(work):
    """The least of some tries, so that what else the machine does is no matter."""
    taken = []
    for _ in range(3):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return min(taken)


def test_what_is_asked_is_looked_up_and_not_compared_with_all():
    """Of a million that were read, one that was not is found missing at once."""
    loaded = Loaded(dict.fromkeys(range(1_000_000)))
    wants = {Want("resource", "clinic/chart", "Patient/a")}

    def announce():
        with pytest.raises(NotLoaded):
            loaded.announce(wants)

    assert seconds(announce) < 0.002


def test_a_conditional_reference_finds_its_entry_among_thousands():
    """Of four thousand Patients each is found by its number; it took some twenty minutes."""
    entries = tuple(
        Entry(
            "POST",
            {"resourceType": "Patient", "identifier": [{"system": "urn:m", "value": f"{n}"}]},
        )
        for n in range(MANY)
    )
    shelf = Shelf(id="chart", kind="family-support", role="source", tenant="clinic")
    change = Change(shelf, Caller(""), "transaction", entries, "https://x", "n")

    def find():
        names = Names(change)
        for at, entry in enumerate(entries):
            names.add(entry, f"Patient/p{at}")
        told = [f"Patient?identifier=urn:m%7C{n}" for n in range(MANY)]
        seen = {Want("search", "clinic/chart", one): [] for one in told}
        loaded = Loaded(seen)
        assert [names.plain(entries[0], one, loaded) for one in told] == names.order

    assert seconds(find) < 1


def test_a_tree_is_taken_apart_to_its_leaves():
    """Nothing hangs together any more, so that no step frees much."""
    leaf = {"value": "x"}
    middle = [leaf, "y", [leaf]]
    tree = {"entry": [{"resource": {"identifier": middle}}], "type": "batch"}

    take_apart(tree)

    assert (tree, middle, leaf) == ({}, [], {})
