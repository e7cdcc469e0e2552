"""Every request that real clients of this field send, as they send it; none of them is changed."""

import json
from datetime import UTC, datetime

import pytest
from exchange import refused

CHART = "clinic/chart/fhir"
P = "http://hl7.org/fhir/us/sdoh-clinicalcare/StructureDefinition/"
GRAVITY = "http://hl7.org/fhir/us/sdoh-clinicalcare/CodeSystem/SDOHCC-CodeSystemTemporaryCodes"
RUBY = {
    "Accept": "application/fhir+json", "Accept-Charset": "utf-8", "User-Agent": "Ruby FHIR Client",
    "Accept-Encoding": "gzip;q=1.0,deflate;q=0.6,identity;q=0.3",
}  # fmt: skip
HAPI = {
    "Accept": (
        "application/fhir+xml;q=1.0, application/fhir+json;q=1.0, "
        "application/xml+fhir;q=0.9, application/json+fhir;q=0.9"
    )
}
NOT = "&".join(f"status%3Anot={one}" for one in ("failed", "rejected", "completed", "cancelled"))


def task(identity, **more):
    return {
        "resourceType": "Task", "id": identity, "intent": "order", "status": "requested",
        "meta": {"profile": [f"{P}SDOHCC-TaskForReferralManagement"]},
        "identifier": [{"system": "http://ehr.example.org/fhir", "value": identity}],
        "for": {"reference": "Patient/p1"}, "owner": {"reference": "Organization/cbo"},
        "requester": {"reference": "PractitionerRole/pr1"},
        "focus": {"reference": f"ServiceRequest/sr-{identity}"},
        "authoredOn": "2026-01-05T10:00:00Z", **more,
    }  # fmt: skip


@pytest.fixture
def filled(exchange):
    """What the clients of a referral look for."""
    code = {"system": GRAVITY, "code": "cbo"}
    subject = {"subject": {"reference": "Patient/p1"}}
    personal = {"coding": [{"system": GRAVITY, "code": "personal-characteristic"}]}
    made = [
        {"resourceType": "Patient", "id": "p1"},
        {"resourceType": "Practitioner", "id": "d1"},
        {"resourceType": "PractitionerRole", "id": "pr1", "organization": {"reference": "Organization/cbo"},
         "practitioner": {"reference": "Practitioner/d1"}, "meta": {"profile": ["http://x.example.org/role"]}},
        {"resourceType": "Endpoint", "id": "e1", "status": "active",
         "connectionType": {"system": "http://c.example.org", "code": "hl7-fhir-rest"}},
        {"resourceType": "Organization", "id": "cbo", "type": [{"coding": [code]}],
         "identifier": [{"system": "url", "value": "https://app.example.org"}],
         "meta": {"profile": ["http://x.example.org/org"]},
         "endpoint": [{"reference": "Endpoint/e1"}]},
        {"resourceType": "Questionnaire", "id": "q2", "title": "B", "status": "active"},
        {"resourceType": "Questionnaire", "id": "q1", "title": "A", "status": "active"},
        {"resourceType": "Observation", "id": "o1", "status": "final", **subject,
         "effectiveDateTime": "2026-01-01", "category": [personal], "code": {"text": "x"}},
        {"resourceType": "Observation", "id": "o2", "status": "final", **subject,
         "effectiveDateTime": "2026-02-01", "category": [personal], "code": {"text": "x"},
         "derivedFrom": [{"reference": "QuestionnaireResponse/qr1"}]},
        {"resourceType": "QuestionnaireResponse", "id": "qr1", "status": "completed",
         "meta": {"profile": ["http://x.example.org/qr"]}, "authored": "2026-01-01"},
        {"resourceType": "Condition", "id": "c1", **subject},
        {"resourceType": "Goal", "id": "g1", **subject, "lifecycleStatus": "active",
         "description": {"text": "x"}},
        {"resourceType": "Consent", "id": "k1", "status": "active", "patient": {"reference": "Patient/p1"}},
        {"resourceType": "HealthcareService", "id": "h1",
         "providedBy": {"reference": "Organization/cbo"}},
        {"resourceType": "Procedure", "id": "pa", "status": "completed", **subject},
        {"resourceType": "Procedure", "id": "pb", "status": "completed", **subject},
        *({"resourceType": "ServiceRequest", "id": f"sr-{one}", "status": "active", "intent": "order",
           **subject} for one in ("t1", "t2", "t3")),
        task("t1"),
        task("t2", status="accepted"),
        task("t3", status="completed", intent="filler-order", basedOn=[{"reference": "Task/t1"}]),
    ]  # fmt: skip
    for one in made:
        answer = exchange.call("PUT", f"{CHART}/{one['resourceType']}/{one['id']}", one)
        assert answer.status_code == 201, answer.text
    return exchange


# (client, request, matches in their order, included)
ASKED = [
    (RUBY, "Practitioner", "d1", ""),
    (RUBY, "PractitionerRole?practitioner=d1", "pr1", ""),
    (RUBY, "Patient", "p1", ""),
    (RUBY, "Questionnaire?_sort=title", "q1 q2", ""),
    (RUBY, "Observation?_sort=-date&category=personal-characteristic&subject=p1", "o2 o1", ""),
    (RUBY, "Condition?_sort=-_lastUpdated&subject=p1", "c1", ""),
    (RUBY, "Goal?_sort=-_lastUpdated&subject=p1", "g1", ""),
    (RUBY, "ServiceRequest?_sort=-_lastUpdated&subject=p1", "sr-t3 sr-t2 sr-t1", ""),
    (RUBY, "Consent?patient=p1", "k1", ""),
    (RUBY, "Organization?_sort=-_lastUpdated", "cbo", ""),
    (
        RUBY,
        (
            f"Task?_profile={P}SDOHCC-TaskForReferralManagement&_sort=-_lastUpdated"
            "&requester=PractitionerRole/pr1&subject=p1"
        ),
        "t3 t2 t1",
        "",
    ),
    (RUBY, f"Task?_profile={P}SDOHCC-TaskForPatient&_sort=-_lastUpdated&subject=p1", "", ""),
    (
        RUBY,
        f"Task?_profile={P}SDOHCC-TaskForReferralManagement&_sort=-_lastUpdated",
        "t3 t2 t1",
        "",
    ),
    (RUBY, "Organization?_sort=-_lastUpdated&type=cbo", "cbo", ""),
    (
        RUBY,
        (
            f"Task?_profile={P}SDOHCC-TaskForReferralManagement&_sort=-_lastUpdated"
            "&owner=Organization/cbo"
        ),
        "t3 t2 t1",
        "",
    ),
    (RUBY, "HealthcareService?organization=cbo", "h1", ""),
    (RUBY, "Task?status=requested&status=accepted", "", ""),
    (RUBY, "Condition", "c1", ""),
    (
        HAPI,
        (
            f"Task?owner%3AOrganization.type={GRAVITY}%7Ccbo&{NOT}&authored-on=lt{{now}}"
            "&_include=Task%3Afocus&_include=Task%3Aowner&_include%3Aiterate=Organization%3Aendpoint"
        ),
        "t2 t1",
        "cbo e1 sr-t1 sr-t2",
    ),
    (
        HAPI,
        (
            "QuestionnaireResponse?_profile=http%3A%2F%2Fx.example.org%2Fqr"
            "&_revinclude=Observation%3Aderived-from&_sort=-authored&_count=3"
        ),
        "qr1",
        "o2",
    ),
    (
        HAPI,
        "Task?identifier=http%3A%2F%2Fehr.example.org%2Ffhir%7Ct1&_include=Task%3Afocus",
        "t1",
        "sr-t1",
    ),
    (HAPI, "Procedure?_id=pa,pb", "pb pa", ""),
    (HAPI, "Procedure?_id=pa%5C%2Cpb", "pb pa", ""),
    (
        HAPI,
        (
            "PractitionerRole?practitioner=Practitioner%2Fd1&_profile=http%3A%2F%2Fx.example.org%2Frole"
            "&organization._profile=http%3A%2F%2Fx.example.org%2Forg"
        ),
        "pr1",
        "",
    ),
    (
        HAPI,
        (
            f"Organization?_id=cbo&type={GRAVITY}%7C&_include=Organization%3Aendpoint"
            "&endpoint.connection-type=http%3A%2F%2Fc.example.org%7Chl7-fhir-rest"
        ),
        "cbo",
        "e1",
    ),
    (HAPI, "Task?status=requested", "t1", ""),
    (
        HAPI,
        (
            f"Task?intent=order&{NOT}&authored-on=lt{{now}}&_revinclude=Task%3Abased-on"
            "&_include%3Aiterate=Task%3Afocus"
        ),
        "t2 t1",
        "sr-t1 sr-t2 sr-t3 t3",
    ),
    (
        HAPI,
        (
            "Task?status%3Anot=requested&intent=order&_include=Task%3Afocus&_revinclude=Task%3Abased-on"
            "&_include%3Aiterate=Task%3Aowner&_sort=-_lastUpdated"
        ),
        "t2",
        "cbo sr-t2",
    ),
    (HAPI, "Task?based-on=Task%2Ft1&intent=filler-order&_include=Task%3Afocus", "t3", "sr-t3"),
    (
        HAPI,
        (
            "Task?status%3Anot=requested&intent=filler-order,order"
            "&owner%3AOrganization.identifier=https%3A%2F%2Fapp.example.org&_include=Task%3Afocus"
            "&_include=Task%3Asubject&_include=Task%3Arequester&_sort=-_lastUpdated"
        ),
        "t3 t2",
        "p1 pr1 sr-t2 sr-t3",
    ),
    ({}, "Task?status=requested&_lastUpdated=gt2020-05-15T00:00:00Z&_count=20", "t1", ""),
]


def test_every_search_of_the_known_clients_is_answered(filled):
    """As they send it, in their order, with what they want beside it."""
    now = datetime(2026, 11, 23, 15, 0, tzinfo=UTC).strftime("%Y-%m-%dT%H%%3A%M%%3A%SZ")
    wrong = {}
    for headers, request, matches, included in ASKED:
        answer = filled.http.get(f"/{CHART}/{request.replace('{now}', now)}", headers=headers)
        if answer.status_code != 200:
            wrong[request] = answer.text
            continue
        entries = answer.json().get("entry", [])
        got = [[], []]
        for one in entries:
            got[one["search"]["mode"] == "include"].append(one["resource"]["id"])
        if got[0] != matches.split() or sorted(got[1]) != included.split():
            wrong[request] = got

    assert wrong == {}


def test_searches_come_in_transactions(filled):
    """A client looks up many things at once, and the answer of each is a searchset."""
    asked = [
        "Patient/p1",
        "Task?identifier=http://ehr.example.org/fhir|t1,http://ehr.example.org/fhir|t2",
        "Consent?_id=k1",
        "Condition?_id=c1,none",
    ]
    for kind in ("transaction", "batch"):
        entries = [{"request": {"method": "GET", "url": url}} for url in asked]
        bundle = {"resourceType": "Bundle", "type": kind, "entry": entries}
        answer = filled.call("POST", f"{CHART}/", bundle).json()

        found = [one["resource"] for one in answer["entry"]]
        assert [one["resourceType"] for one in found] == ["Patient", "Bundle", "Bundle", "Bundle"]
        assert [len(one.get("entry", [])) for one in found[1:]] == [2, 1, 1]
        assert {one["response"]["status"][:3] for one in answer["entry"]} == {"200"}


def test_a_count_is_a_number(filled):
    """Who asks for nothing but the number gets it."""
    bundle = filled.get(f"{CHART}/Task?intent=order&_count=0").json()

    assert (bundle["total"], bundle.get("entry")) == (2, None)


def test_an_escaped_comma_is_no_trap(filled):
    """Only a list of ids takes the comma that HAPI has escaped for one that parts them."""
    answer = filled.get(f"{CHART}/Task?status=requested%5C,accepted")

    assert "entry" not in answer.json()
    refused(filled.get(f"{CHART}/Task?stat%5C,us=requested"), 400)
    assert json.loads(answer.content)["type"] == "searchset"
