"""Two records of a child were made one, and an EHR deletes one of them: the agency goes on with what is left."""

import pytest
from shelves import CHART, REPORTS, one, put, seen
from test_corrections import MOVED
from test_merged import ANN, IN_PLACE_OF, RECORD, SECOND, merged, moved, not_followed, sent
from test_wrong_child import fact

HOUSE = [{"text": "her house"}]
THIRD = {"reference": "Patient/third"}
SAYS = pytest.mark.parametrize("says", ["both", "first", "second"])


def intake(exchange):
    return one(exchange, "agency/intake", "Patient")


def delete(exchange, *names, shelf=REPORTS):
    for name in names:
        assert exchange.call("DELETE", f"{shelf}/Patient/{name}").status_code < 300


@pytest.fixture
def joined(exchange, says):
    """Ann was reported from one record, and another stands in its place, with another address."""
    sent(exchange, seen("bruise"), child={**ANN, "address": HOUSE})
    stands = merged(exchange, says=says, survivor={**RECORD, "address": MOVED})
    assert intake(exchange)["address"] == MOVED
    return stands


@SAYS
@pytest.mark.usefixtures("joined")
def test_the_first_record_is_what_is_left(exchange, says):
    """The record that stood in its place is deleted: intake has what the first one says, and the clinic is told."""
    before = intake(exchange)

    delete(exchange, "new")

    after = intake(exchange)
    assert (after["id"], after["address"], after["name"]) == (before["id"], HOUSE, ANN["name"])
    told = [each["code"]["text"] for each in not_followed(exchange)]
    assert len(told) == (says != "second")
    assert all("not here" in each for each in told)


@pytest.mark.usefixtures("joined")
@pytest.mark.parametrize(
    ("says", "order"),
    [("both", ("rosa", "new")), ("second", ("rosa", "new")),
     *((says, ("new", "rosa")) for says in ("both", "first", "second"))],
)  # fmt: skip
def test_nothing_is_left_but_what_was_sent(exchange, order):
    """Both are deleted: intake has what it was sent, and no record that nobody answers for."""
    delete(exchange, *order)

    assert intake(exchange)["address"] == HOUSE


@SAYS
@pytest.mark.usefixtures("joined")
def test_what_was_found_of_her_is_no_error(exchange):
    """The finding stands in the record that is deleted: that it is gone does not say that it was wrong."""
    assert (
        put(exchange, REPORTS, seen("bruise", subject=SECOND, valueString="two")).status_code == 200
    )
    assert fact(exchange, "bruise")["status"] == "final"

    delete(exchange, "new")

    assert fact(exchange, "bruise")["status"] == "final"


@SAYS
def test_it_comes_back(exchange, joined):
    """The EHR deleted it by mistake, and writes it anew: intake has what it says."""
    delete(exchange, "new")

    put(exchange, REPORTS, {**joined, "address": [{"text": "a third house"}]})

    assert intake(exchange)["address"] == [{"text": "a third house"}]


@pytest.mark.parametrize("says", ["both", "first", "second"])
@pytest.mark.parametrize("gone", [False, True])
def test_a_third_record_stands_in_place_of_both(exchange, joined, says, gone):
    """The registrar merges again, and the EHR may delete the record between: intake has what the third one says."""
    third = {**RECORD, "id": "third", "address": [{"text": "third"}]}
    link = [] if says == "first" else [{"other": SECOND, "type": "replaces"}]
    put(exchange, REPORTS, {**third, **({"link": link} if link else {})})
    if says != "second":
        onward = [*joined.get("link", []), {"other": THIRD, "type": "replaced-by"}]
        put(exchange, REPORTS, {**joined, "active": False, "link": onward})
    assert intake(exchange)["address"] == [{"text": "third"}]
    if gone and says != "both":
        return  # what the record between alone says is gone with it
    if gone:
        delete(exchange, "new")
        assert intake(exchange)["address"] == [{"text": "third"}]

    put(exchange, REPORTS, {**third, "address": MOVED, **({"link": link} if link else {})})

    assert intake(exchange)["address"] == MOVED


@pytest.mark.parametrize("at_once", [True, False])
def test_a_referral_outlives_a_merge_that_the_second_record_says(
    exchange, referred, patient, at_once
):
    """The EHR moves consent, order and Task to the record that says alone that it stands: nothing is taken back."""
    _, theirs = referred
    second = {**patient, "id": "new", "link": [IN_PLACE_OF]}
    if not at_once:
        put(exchange, CHART, second)

    made = moved(exchange, "clinic/chart", *([second] if at_once else []))
    assert exchange.call("POST", CHART, made).status_code == 200

    assert not_followed(exchange, "clinic/chart") == []
    task = exchange.get(f"agency/support/fhir/Task/{theirs['id']}").json()
    assert put(exchange, "agency/support/fhir", {**task, "status": "accepted"}).status_code == 200
    assert one(exchange, "clinic/chart", "Task")["status"] == "accepted"
