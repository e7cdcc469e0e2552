"""A clinician reports a child again, in the same words: it is a report of its own, or she hears that it is none."""

import json

import pytest
from exchange import resources
from shelves import REPORT, TENANT, coded, held, of, seen
from test_another_person import drafts, kept
from test_poor_is_no_neglect import own_task

from app.sandbox import family

FACT = f"{family.KINBRIDGE}/CodeSystem/cps-observation"
CLOSED = [{"event": "received"}, {"event": "screened-in"}, {"event": "investigating"},
          {"event": "disposition", "disposition": "5"}, {"event": "closed"}]  # fmt: skip
AUGUST, NOW = "2026-08-01T10:00:00Z", "2026-11-23T14:05:00Z"


def message(order, recorded, *facts, number=""):
    """The same sentence of the same child, by an EHR that dates no orders; number "": that numbers none."""
    made = family.report(by_device=False)
    request, attested = of(made, "ServiceRequest"), of(made, "Provenance")
    del request["identifier"], request["authoredOn"]
    if number:
        request["identifier"] = [{"system": "urn:ehr", "value": number}]
    text = json.dumps(made).replace('ServiceRequest/report"', f'ServiceRequest/{order}"')
    text = text.replace('"id": "report"', f'"id": "{order}"').replace(attested["id"], f"by-{order}")
    made = json.loads(text)
    of(made, "Provenance")["recorded"] = recorded
    for one in facts:
        url = f"https://ehr.example.org/fhir/Observation/{one['id']}"
        made["entry"].append({"fullUrl": url, "resource": one})
    return made


def burn():
    """What was seen this time."""
    return seen("burn", code=coded(FACT, "injury-finding"), valueString="a burn")


def tasks(exchange):
    return held(exchange, "agency/intake", "Task")


def closed(exchange):
    (task,) = tasks(exchange)
    for said in CLOSED:
        path = f"agency/intake/fhir/Task/{task['id']}/$record-event"
        assert exchange.call("POST", path, said).status_code == 200


@pytest.mark.parametrize("over", [True, False])
def test_what_is_attested_anew_is_a_report(exchange, over):
    """In August a bruise, in November a burn, both times the same words: intake has both."""
    exchange.call("POST", REPORT, message("r1", AUGUST))
    if over:
        closed(exchange)

    assert resources(exchange.call("POST", REPORT, message("r2", NOW, burn())), "Task")

    assert len(tasks(exchange)) == 2
    assert "a burn" in json.dumps(held(exchange, "agency/intake"))


def test_so_it_is_in_a_transaction(exchange):
    """The same with a Task of the EHR's own, that has no id before it is stored."""
    for order, recorded in (("r1", AUGUST), ("r2", NOW)):
        made = message(order, recorded)
        task = own_task(focus={"reference": f"ServiceRequest/{order}"})
        del task["id"], task["authoredOn"]
        entries = [{**one, "request": {"method": "PUT", "url": f"{one['resource']['resourceType']}/{one['resource']['id']}"}}
                   for one in made["entry"]]  # fmt: skip
        entries.append({"resource": task, "request": {"method": "POST", "url": "Task"}})
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        for _ in range(2):  # and once more, since no answer came
            assert exchange.call("POST", "clinic/reports/fhir", bundle).status_code == 200

    assert len(tasks(exchange)) == 2


def test_what_comes_again_as_it_was_attested_is_one(exchange):
    """No answer came, and the EHR sends it once more."""
    for _ in range(2):
        assert resources(exchange.call("POST", REPORT, message("r1", NOW)), "Task")

    assert len(tasks(exchange)) == 1


@pytest.mark.parametrize("number", ["", "1"])
def test_the_same_order_of_a_closed_case_is_kept(exchange, number):
    """The EHR sends the old order with what is new, and the case is closed: nobody would read it."""
    exchange.call("POST", REPORT, message("r1", AUGUST, number=number))
    closed(exchange)

    kept(exchange, exchange.call("POST", REPORT, message("r1", NOW, burn(), number=number)))

    assert len(tasks(exchange)) == 1
    assert resources(exchange.call("POST", REPORT, message("r1", AUGUST, number=number)), "Task")


@pytest.mark.parametrize("number", ["", "1"])
def test_what_is_new_in_an_order_that_is_open_is_told_to_who_asked(exchange, number):
    """The case is open; the burn is kept at the clinic, and the clinician has a Task to tell intake of it."""
    exchange.call("POST", REPORT, message("r1", AUGUST, number=number))

    for _ in range(2):
        again = exchange.call("POST", REPORT, message("r1", AUGUST, burn(), number=number))
        assert resources(again, "Task")

    told = [one for one in held(exchange, "clinic/reports", "Task") if "not-followed" in str(one)]
    assert len(told) == 1
    assert told[0]["owner"]["display"] == "Dr. Ada Lin"
    assert "a burn" not in json.dumps(held(exchange, "agency/intake"))


def test_a_report_that_is_mended_and_attested_again_is_one_draft(exchange):
    """It named an agency that nobody knows; she mends it a minute later, and attests again: no draft is left."""
    wrong = message("r1", AUGUST)
    nobody = {"identifier": {"system": TENANT, "value": "nobody"}}
    of(wrong, "ServiceRequest")["performer"] = [nobody]
    assert exchange.call("POST", REPORT, wrong).status_code == 422
    of(wrong, "Provenance")["recorded"] = NOW

    assert exchange.call("POST", REPORT, wrong).status_code == 422

    assert len(drafts(exchange)) == 1
