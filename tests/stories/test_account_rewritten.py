"""An EHR gave a child's record to another: the accounting of the one names nothing that went of the other."""

import pytest
from exchange import refused, resources
from shelves import REPORT, REPORTS, put
from test_account import events
from test_accounting import account
from test_expunge_rewritten import expunge, report
from test_rewritten import ANN, BROTHER, TIM, TWIN, bit_by_bit, sent

ZOE = {**TIM, "name": [{"family": "Zed", "given": ["Zoe"]}], "birthDate": "2011-11-11",
       "identifier": [{**TIM["identifier"][0], "value": "3"}]}  # fmt: skip
TIMS = f"{REPORTS}/Patient/rosa/$account"


def listed(exchange, query=""):
    """The AuditEvents of an answer, and what is said of others."""
    found = events(exchange.get(f"{TIMS}{query}"))
    said = [one["issue"][0]["details"]["text"] for one in found
            if one["resourceType"] == "OperationOutcome"]  # fmt: skip
    return [one for one in found if one["resourceType"] == "AuditEvent"], said


def when(found):
    return [one["recorded"] for one in found]


@pytest.mark.parametrize("child", [TIM, BROTHER, TWIN])
def test_his_family_does_not_read_that_she_was_reported(exchange, child):
    """Nothing was told of Tim; that something was of another is said, and listed where it is asked for."""
    sent(exchange)
    before, _ = listed(exchange)
    put(exchange, REPORTS, child)

    found, said = listed(exchange)

    assert (len(before), found) == (1, [])
    assert "1 more under this id" in said[0]
    assert listed(exchange, "?former=true") == (before, [])
    *rows, last, more = account(exchange, "clinic/reports", "Patient/rosa")
    assert (rows, last) == ([], ["0 disclosures"])
    assert "--former" in more[0]


def test_what_was_told_of_him_is_his(exchange):
    """Tim is reported under the id as well: each has what went of them, under the ids that it had before."""
    sent(exchange)
    hers, _ = listed(exchange)
    put(exchange, REPORTS, TIM)
    assert resources(exchange.call("POST", REPORT, report(TIM, "two")), "Task")
    put(exchange, REPORTS, {**TIM, "telecom": [{"system": "phone", "value": "555-0777"}]})

    his, said = listed(exchange)

    assert len(his) == 2  # the report, and the telephone that followed
    assert "1 more" in said[0]
    assert listed(exchange, "?former=true")[0] == hers
    assert not {one["id"] for one in his} & {one["id"] for one in hers}


def test_each_who_had_the_record_has_an_account(exchange):
    """Ann, Tim and Zoe were reported under one id: what is read to one family names no other child."""
    for number, child in enumerate((ANN, TIM, ZOE)):
        put(exchange, REPORTS, {**child, "resourceType": "Patient", "id": "rosa"})
        assert resources(exchange.call("POST", REPORT, report(child, f"r{number}")), "Task")
    put(exchange, REPORTS, {**ZOE, "telecom": [{"system": "phone", "value": "555-0777"}]})
    hers, his = listed(exchange, "?former=true")[0]

    for row in (hers, his):
        assert listed(exchange, f"?at={row['recorded']}")[0] == [row]
        *rows, last = account(exchange, "clinic/reports", "Patient/rosa", "--at", row["recorded"])[
            :2
        ]
        assert (rows[0][0], last) == (row["recorded"], ["1 disclosure"])
    assert len(listed(exchange)[0]) == 2
    assert listed(exchange, "?at=1999-01-01T00:00:00Z")[0] == []


def test_it_stays_apart_when_her_report_is_expunged(exchange):
    """Her versions are gone, so that nobody can tell whose it was: it is not Tim's."""
    sent(exchange)
    hers, _ = listed(exchange)
    put(exchange, REPORTS, TIM)
    expunge(exchange)

    found, said = listed(exchange)

    assert found == []
    assert len(said) == 1
    assert when(listed(exchange, "?former=true")[0])[:1] == when(hers)


def test_a_record_that_was_patched_piece_by_piece(exchange):
    """What went before it told of another was hers, whatever it said in between."""
    sent(exchange)

    bit_by_bit(exchange)

    found, said = listed(exchange)
    assert found == []
    assert said


@pytest.mark.parametrize("change", [
    {"name": [{"family": "Cole", "given": ["Ann"]}]}, {"birthDate": "2020-01-10"},
    {"telecom": [{"system": "phone", "value": "555-0777"}]},
])  # fmt: skip
def test_a_correction_of_hers_leaves_her_account(exchange, change):
    """She was adopted, her birthday was mistyped: what was told of her is hers."""
    sent(exchange)
    put(exchange, REPORTS, {**ANN, "resourceType": "Patient", "id": "rosa", **change})

    found, said = listed(exchange)

    assert len(found) == 2
    assert said == []
    assert listed(exchange, "?former=true") == ([], [])


def test_what_is_asked_wrongly_is_refused(exchange):
    """Neither yes nor no must not be taken for one of them."""
    sent(exchange)

    for query in ("former=yes", "at=yesterday", "at=2026-11-23T15:00:00"):
        refused(exchange.get(f"{TIMS}?{query}"), 400)
