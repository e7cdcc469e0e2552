"""What the CapabilityStatements of the actors say is what the service does, and what it asks."""

import re
import time
from urllib.parse import unquote

import pytest
from guided import definitions

from app.domain import statement
from app.sandbox import examples, family

WAIT_SECONDS = 10
EXPECTED = "http://hl7.org/fhir/StructureDefinition/capabilitystatement-expectation"
ACTORS = {one["id"]: one for one in definitions("CapabilityStatement")}
SHELVES = ("clinic/chart", "clinic/reports", "agency/support", "agency/intake")
WHERE = {
    "submit-screening": "clinic/chart",
    "refer": "clinic/chart",
    "report": "clinic/reports",
    "check-referral": "clinic/reports",
    "work-off": "clinic/chart",
    "unmapped": "clinic/chart",
    "link": "clinic/chart",
    "unlink": "clinic/chart",
}
TWO = {
    "resourceType": "Parameters",
    "parameter": [
        {"name": "source", "valueReference": {"reference": "Patient/rosa-again"}},
        {"name": "target", "valueReference": {"reference": "Patient/rosa"}},
    ],
}
SENT = {
    "submit-screening": examples.good("screening-hunger-vital-sign"),
    "refer": examples.good("referral"),
    "report": examples.good("report"),
    "check-referral": examples.good("report"),
    "link": TWO,
    "unlink": TWO,
}
KINDS = {
    one["resourceType"]: one
    for one in (
        *(examples.good(name) for name in examples.names()),
        {"resourceType": "Organization", "id": "clinic", "name": "Riverside Pediatrics"},
        {
            "resourceType": "Condition",
            "id": "suspected",
            "subject": {"reference": "Patient/rosa"},
        },
    )
}


# with which it means nothing to anybody else
STORED = {
    "Communication": {"status": "preparation"},
    "ServiceRequest": {"status": "draft"},
    "Task": {"status": "draft"},
}


def told(actor, mode):
    return next(one for one in ACTORS[actor]["rest"] if one["mode"] == mode)


def expected(one):
    return next(part["valueCode"] for part in one["extension"] if part["url"] == EXPECTED)


def shall(rest):
    """(type or "", interaction) of everything that SHALL be done."""
    for kind in rest.get("resource", ()):
        for one in kind["interaction"]:
            if expected(one) == "SHALL":
                yield kind["type"], one["code"]
    for one in rest.get("interaction", ()):
        if expected(one) == "SHALL":
            yield "", one["code"]


def tried(exchange, base, kind, code):
    """An interaction, tried; the resource that it is tried on is made anew."""
    body = {**KINDS.get(kind, KINDS["Patient"]), "id": "tried"}
    body.pop("identifier", None)
    kind = kind or "Patient"
    plain = {**body, **STORED.get(kind, {})}
    if code not in {"create", "transaction", "batch", "history-system"}:
        made = exchange.call("PUT", f"{base}/{kind}/tried", plain)
        assert made.status_code in {200, 201}, made.text
    patch = [{"op": "add", "path": "/language", "value": "en"}]
    bundle = {"resourceType": "Bundle", "type": code}
    named = {"Content-Type": "application/json-patch+json"}
    calls = {
        "create": lambda: exchange.call("POST", f"{base}/{kind}", plain),
        "read": lambda: exchange.get(f"{base}/{kind}/tried"),
        "vread": lambda: exchange.get(f"{base}/{kind}/tried/_history/1"),
        "update": lambda: exchange.call("PUT", f"{base}/{kind}/tried", plain),
        "patch": lambda: exchange.call("PATCH", f"{base}/{kind}/tried", patch, **named),
        "delete": lambda: exchange.call("DELETE", f"{base}/{kind}/tried"),
        "history-instance": lambda: exchange.get(f"{base}/{kind}/tried/_history"),
        "history-type": lambda: exchange.get(f"{base}/{kind}/_history"),
        "search-type": lambda: exchange.get(f"{base}/{kind}?_id=tried"),
        "history-system": lambda: exchange.get(f"{base}/_history"),
        "transaction": lambda: exchange.call("POST", base, bundle),
        "batch": lambda: exchange.call("POST", base, bundle),
    }
    return calls[code]()


@pytest.mark.parametrize("shelf", SHELVES)
def test_the_exchange_does_what_it_shall(exchange, shelf):
    """Every interaction that the exchange SHALL have is tried on every shelf, and works."""
    base = f"{shelf}/fhir"
    exchange.call("PUT", f"{base}/Patient/rosa", family.PATIENT)

    for kind, code in shall(told("exchange", "server")):
        done = tried(exchange, base, kind, code)
        assert done.status_code < 300, (kind, code, done.text)


VALUES = {"reference": "Patient/none", "token": "none"}


def test_the_exchange_searches_by_what_it_shall(exchange):
    """Every search parameter that the exchange SHALL have is taken on every shelf, and is a known one."""
    searched = [
        (kind["type"], one)
        for kind in told("exchange", "server")["resource"]
        for one in kind.get("searchParam", ())
    ]
    assert {kind for kind, _ in searched} == {"Task", "ServiceRequest"}

    for shelf in SHELVES:
        for kind, one in searched:
            path = f"{shelf}/fhir/{kind}?{one['name']}={VALUES[one['type']]}"
            done = exchange.get(path)
            assert done.status_code == 200, (path, done.text)
            assert done.json()["type"] == "searchset"
            assert not [entry for entry in done.json().get("entry", ()) if "search" not in entry]


def test_the_exchange_declares_what_it_shall(exchange):
    """Each shelf's own CapabilityStatement has all that the actor's says, and its operations."""
    for shelf in SHELVES:
        rest = exchange.get(f"{shelf}/fhir/metadata").json()["rest"][0]
        has = {
            (kind["type"], one["code"]) for kind in rest["resource"] for one in kind["interaction"]
        } | {("", one["code"]) for one in rest["interaction"]}
        assert set(shall(told("exchange", "server"))) <= has
        acts = {one["name"] for one in rest.get("operation", ())}
        here = {name for name, where in WHERE.items() if where == shelf}
        assert {one["name"] for one in told("exchange", "server")["operation"]} & here <= acts


@pytest.mark.parametrize("name", sorted(WHERE))
def test_an_act_works_as_the_guide_says(exchange, patient, name):
    """The guide's own message, sent to the operation that it is for, is taken."""
    assert name in {one["name"] for one in told("exchange", "server")["operation"]}

    chart = "clinic/chart/fhir"
    if name in {"link", "unlink"}:
        other = {"resourceType": "Patient", "id": "rosa-again", "name": family.PATIENT["name"]}
        exchange.call("PUT", f"{chart}/Patient/rosa-again", other)
    if name == "unlink":
        exchange.call("POST", f"{chart}/$link", TWO)

    how = "GET" if name == "unmapped" else "POST"
    done = exchange.call(how, f"{WHERE[name]}/fhir/${name}", SENT.get(name))

    assert done.status_code == 200, done.text
    asked = next(one for one in definitions("OperationDefinition") if one["code"] == name)
    answers = {one["name"]: one["type"] for one in asked["parameter"] if one.get("type")}
    assert done.json()["resourceType"] == answers.get("return", "Parameters")


def test_every_operation_that_a_shelf_has_is_defined(exchange):
    """A definition that a shelf's own CapabilityStatement names is in the guide."""
    known = {one["url"] for one in definitions("OperationDefinition")}

    named = set()
    for shelf in SHELVES:
        rest = exchange.get(f"{shelf}/fhir/metadata").json()["rest"][0]
        held = [
            *rest.get("operation", ()),
            *(o for r in rest["resource"] for o in r.get("operation", ())),
        ]
        named |= {one["definition"] for one in held}

    ours = {one for one in named if one.startswith("https://kinbridge.example.org/")}
    assert ours <= known


@pytest.mark.parametrize(("actor", "shelves"), [
    ("clinic", ("clinic/chart", "clinic/reports")), ("agency", ("agency/support", "agency/intake")),
])  # fmt: skip
def test_an_actor_can_do_what_it_shall(exchange, actor, shelves):
    """What a clinic or an agency SHALL do as a client, each of its shelves answers."""
    for shelf in shelves:
        exchange.call("PUT", f"{shelf}/fhir/Patient/rosa", family.PATIENT)
        for kind, code in shall(told(actor, "client")):
            done = tried(exchange, f"{shelf}/fhir", kind, code)
            assert done.status_code < 300, (kind, code, done.text)


class TestPushed:
    """With servers of their own on both sides."""

    @pytest.fixture
    def endpoints(self):
        return {
            "agency/support": "https://agency.example.org/support",
            "agency/intake": "https://agency.example.org/intake",
            "clinic/reports": "https://ehr.example.org/fhir",
        }

    def test_a_partner_is_asked_for_nothing_more(self, exchange, endpoints):
        """Each push is a transaction of what the actor says it takes: new Tasks, conditional updates of all."""
        exchange.call("POST", "clinic/chart/fhir/$refer", SENT["refer"])
        exchange.call("POST", "clinic/reports/fhir/$report", examples.good("report-full"))
        takes = {
            actor: {(code, kind) for kind, code in shall(told(actor, "server"))}
            for actor in ("clinic", "agency")
        }

        until = time.monotonic() + WAIT_SECONDS
        while len(exchange.network.sent) < len(endpoints) and time.monotonic() < until:
            exchange.network.arrived.wait(0.02)

        assert {url for url, _ in exchange.network.sent} == set(endpoints.values())
        for url, bundle in exchange.network.sent:
            actor = "clinic" if "ehr.example.org" in url else "agency"
            assert bundle["type"] == "transaction"
            for entry in bundle["entry"]:
                asked = entry["request"]
                kind, _, condition = unquote(asked["url"]).partition("?")
                condition += unquote(asked.get("ifNoneExist", ""))
                code = {"POST": "create", "PUT": "update"}[asked["method"]]
                assert (code, kind) in takes[actor]
                assert condition.startswith(("identifier=https://kinbridge.example.org/", "_tag="))


def test_an_event_takes_what_the_guide_says():
    """The members of $record-event are the parameters of its definition."""
    found = next(one for one in definitions("OperationDefinition") if one["code"] == "record-event")
    told = {one["name"] for one in found["parameter"] if one["use"] == "in"}

    takes = {field.alias or name for name, field in statement.Said.model_fields.items()}

    assert {re.sub("_(.)", lambda one: one[1].upper(), name) for name in takes} == told


def test_what_is_not_met_is_said(exchange):
    """XML is refused, no e-mail is sent, and both stand where an engineer looks."""
    said = told("exchange", "server")["documentation"]

    refused = exchange.get("clinic/chart/fhir/metadata?_format=application/fhir%2Bxml")

    assert refused.status_code == 406
    assert "XML" in said
    assert "e-mail" in said
    rest = exchange.get("clinic/chart/fhir/metadata").json()["rest"][0]
    assert "XML" in rest["documentation"]
    assert "e-mail" in rest["documentation"]
