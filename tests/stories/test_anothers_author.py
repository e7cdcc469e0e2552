"""An EHR names each author by one id, and whoever writes next is taken for nobody who wrote before."""

import json

import pytest
from exchange import resources
from shelves import REPORT, REPORTS, held, of, one, put
from test_another_person import local
from test_rewritten import ANN, TIM, told

OLGA = {"name": [{"family": "Other", "given": ["Olga"]}],
        "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": "1999999999"}]}  # fmt: skip


def by_another(exchange, clinician, role):
    """Another child is reported by another clinician, whom the EHR gives the same ids."""
    made = local({name: value for name, value in TIM.items() if name != "id"}, order="two")
    finding = of(made, "Observation")["id"]
    text = json.dumps(made).replace("Patient/rosa", "Patient/tim").replace('"rosa"', '"tim"')
    made = json.loads(
        text.replace(f'Observation/{finding}"', 'Observation/his"').replace(
            f'"{finding}"', '"his"', 1
        )
    )
    of(made, "Observation")["id"] = "his"
    of(made, "Practitioner").update(clinician)
    of(made, "PractitionerRole").update(role)
    if clinician.get("identifier", True) is None:
        of(made, "Practitioner").pop("identifier")
    assert resources(exchange.call("POST", REPORT, made), "Task")


@pytest.mark.parametrize("numbered", [True, False])
def test_whoever_writes_next_is_not_who_wrote_before(exchange, numbered):
    """Every message of the EHR names its author by one id: intake goes on calling Dr. Lin about Ann."""
    made = local(ANN, order="one")
    if not numbered:
        of(made, "Practitioner").pop("identifier")
    assert resources(exchange.call("POST", REPORT, made), "Task")
    clinician = OLGA if numbered else {**OLGA, "identifier": None}

    by_another(exchange, clinician, {
        "practitioner": {**of(made, "PractitionerRole")["practitioner"], "display": "Dr. Olga Other"},
        "telecom": [{"system": "phone", "value": "555-0999"}],
    })  # fmt: skip

    names = [each["name"][0]["family"] for each in held(exchange, "agency/intake", "Practitioner")]
    phones = [
        each["telecom"][0]["value"] for each in held(exchange, "agency/intake", "PractitionerRole")
    ]
    assert sorted(names) == ["Lin", "Other"]
    assert sorted(phones) == ["555-0111", "555-0999"]
    assert len(told(exchange)) == 1


@pytest.mark.parametrize("change", [
    {"name": [{"family": "Lin-Smith", "given": ["Ada"]}]}, {"name": [{"text": "Dr. A. Lin"}]},
    {"name": [{"family": "Moss", "given": ["Ada"]}]},
])  # fmt: skip
def test_who_works_there_may_have_another_name(exchange, change):
    """She has married; her telephone is new as well."""
    assert resources(exchange.call("POST", REPORT, local(ANN, order="one")), "Task")
    (doctor,) = held(exchange, "clinic/reports", "Practitioner")
    (role,) = held(exchange, "clinic/reports", "PractitionerRole")

    put(exchange, REPORTS, {**doctor, **change})
    put(exchange, REPORTS, {**role, "telecom": [{"system": "phone", "value": "555-0199"}]})

    assert one(exchange, "agency/intake", "Practitioner")["name"] == change["name"]
    assert one(exchange, "agency/intake", "PractitionerRole")["telecom"][0]["value"] == "555-0199"
    assert told(exchange) == []
