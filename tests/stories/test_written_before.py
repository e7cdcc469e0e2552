"""A record that is another child's now: what stands on it of the one before goes with no new referral or report."""

import json

import pytest
from exchange import refused, resources
from shelves import CHART, CHILD, REFER, REPORT, REPORTS, attached, coded, held, of, put, seen
from test_another_person import local
from test_rewritten import ANN, TIM

from app.sandbox import family

FINDINGS = ["Observation/bruise"]
YES = seen("bruise", valueString=None, valueCodeableConcept={"text": "hers"})


def given_away(exchange, shelf, *facts):
    """Facts were written of Ann; then the EHR gave her record to Tim."""
    put(exchange, shelf, {"resourceType": "Patient", "id": "rosa", **ANN})
    for one in facts:
        put(exchange, shelf, one)
    put(exchange, shelf, TIM)


def of_tim(made):
    """The message as it is sent of him, with what a list of the record's findings shows."""
    child = of(made, "Patient")
    child.clear()
    child.update({**TIM, "gender": "male"})
    return attached(made, named=FINDINGS)


def stayed(exchange):
    return [one for one in held(exchange, "clinic/reports", "Task") if "stayed behind" in str(one)]


def test_a_report_goes_without_her_finding(exchange):
    """Intake gets Tim and not Ann's bruise; whoever reports finds a Task, since nobody reads an answer."""
    given_away(exchange, REPORTS, seen("bruise"))

    answer = exchange.call("POST", REPORT, of_tim(local(TIM, order="one")))

    assert resources(answer, "Task")
    assert "said of bruise" not in json.dumps(held(exchange, "agency/intake"))
    (task,) = stayed(exchange)
    assert task["owner"]["display"] == "Dr. Ada Lin"


def test_nor_does_her_mother_go_as_his(exchange):
    """Who cares for Ann is not told of as who cares for Tim."""
    mother = {"resourceType": "RelatedPerson", "id": "mother", "patient": CHILD, "name": [{"family": "Abel"}],
              "relationship": [coded("http://terminology.hl7.org/CodeSystem/v3-RoleCode", "MTH")]}  # fmt: skip
    given_away(exchange, REPORTS, mother)
    made = of_tim(local(TIM, order="one"))
    of(made, "ServiceRequest")["supportingInfo"][-1] = {"reference": "RelatedPerson/mother"}

    assert resources(exchange.call("POST", REPORT, made), "Task")

    assert held(exchange, "agency/intake", "RelatedPerson") == []
    assert len(stayed(exchange)) == 1


def test_a_referral_with_her_finding_waits(exchange):
    """It is refused, with what to do; written anew, as his, the finding goes."""
    given_away(exchange, CHART, YES)
    made = of_tim(family.referral("ServiceRequest/none", consented=True))

    issues = refused(exchange.call("POST", REFER, made), 422)

    assert "write it anew" in issues[0]["details"]["text"]
    put(exchange, CHART, {**YES, "note": [{"text": "seen again"}]})
    assert resources(exchange.call("POST", REFER, made), "Task")
    assert len(held(exchange, "agency/support", "Observation")) == 1


@pytest.mark.parametrize(
    "child", [{"birthDate": "2020-01-02"}, {"name": [{"family": "Able", "given": ["Ann"]}]}]
)
def test_what_was_written_before_a_correction_goes(exchange, child):
    """A birthday or a name that was mended makes no other child."""
    put(exchange, REPORTS, {"resourceType": "Patient", "id": "rosa", **ANN})
    put(exchange, REPORTS, seen("bruise"))

    answer = exchange.call(
        "POST", REPORT, attached(local(ANN | child, order="one"), named=FINDINGS)
    )

    assert resources(answer, "Task")
    assert "said of bruise" in json.dumps(held(exchange, "agency/intake"))
    assert stayed(exchange) == []
