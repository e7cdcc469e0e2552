"""What each of the agency's events lets the clinic learn: by jurisdiction, by whose shelf it is, and no more."""

import json
from dataclasses import dataclass, field

import everything
import pytest
from exchange import refused, resources

from app.sandbox import family

KINBRIDGE = family.KINBRIDGE
REPORT = "clinic/reports/fhir/$report"
NPI = "http://hl7.org/fhir/sid/us-npi|1234567893"
OUTPUT = f"{KINBRIDGE}/CodeSystem/task-output"


@pytest.fixture
def tenants(endpoints, strict):
    """A clinic with its shared reports shelf and two inboxes; one agency with a rule on file, one without."""

    def source(name, **more):
        return {"id": name, "kind": "cps-report", "role": "source", **more}

    def agency(name, jurisdiction):
        return {"id": name, "name": name, "jurisdiction": jurisdiction, "shelves": [
            {"id": "intake", "kind": "cps-report", "role": "recipient"}]}  # fmt: skip

    return [
        {"id": "clinic", "name": "Clinic", "shelves": [
            {"id": "chart", "kind": "family-support", "role": "source"},
            source("reports"),
            source("dr-lin", audience="reporter", person=NPI),
            source("dr-pcp", audience="treating", person="urn:npi|77"),
        ]},
        agency("agency", "fairview"),
        agency("elsewhere", "example"),
    ]  # fmt: skip


@dataclass
class Told:
    """One report, what the agency says of it, and where the clinic might learn of it."""

    exchange: object
    agency: str
    task: dict
    theirs: dict
    events: int = 0
    said: list = field(default_factory=list)

    def record(self, event, **more):
        """A $record-event, with everything in it that must never leave."""
        self.events += 1
        body = {"event": event, "identifier": "CW-26-0042", "sequence": self.events, **more}
        return self.exchange.call(
            "POST", f"{self.agency}/intake/fhir/Task/{self.theirs['id']}/$record-event", body
        )

    def seen(self, shelf):
        """The clinic's Task on one of its shelves, as status, business status and outputs."""
        found = self.exchange.rows(
            f"SELECT body FROM resource WHERE shelf = 'clinic/{shelf}' AND type = 'Task'"
        )
        tasks = [json.loads(row[0]) for row in found]
        tasks = [one for one in tasks if "businessStatus" in one]
        if not tasks:
            return None
        task = tasks[0]
        outputs = [one["type"]["coding"][0]["code"] for one in task.get("output", [])]
        status = task["businessStatus"]["coding"][0]["code"]
        return task["status"], status, outputs, task


def sent(exchange, agency="agency", change=None):
    """A report that was sent to an agency."""
    made = family.report(by_device=False)
    for one in made["entry"]:
        resource = one["resource"]
        if resource["resourceType"] == "ServiceRequest":
            resource["performer"][0]["identifier"]["value"] = agency
        if resource["resourceType"] == "Patient":
            resource["generalPractitioner"] = [{"reference": "Practitioner/pcp"}]
    made["entry"].append({"fullUrl": "https://ehr.example.org/fhir/Practitioner/pcp", "resource": {
        "resourceType": "Practitioner", "id": "pcp", "name": [{"family": "Ito"}],
        "identifier": [{"system": "urn:npi", "value": "77"}]}})  # fmt: skip
    if change:
        change(made)
    task = resources(exchange.call("POST", REPORT, made), "Task")[0]
    found = exchange.rows(
        f"SELECT recipient_task FROM exchange WHERE source_task = 'Task/{task['id']}'"
    )
    theirs = exchange.get(f"{agency}/intake/fhir/{found[0][0]}").json()
    return Told(exchange, agency, task, theirs)


# event: what is recorded with it
SAYS = {
    "received": {"intakeNumber": "26-0042", "owner": {"name": "Sam Porter", "phone": "555-0142"}},
    "screened-out": {"reason": "not-statutory-definition"},
    "screened-in": {"track": "investigation"},
    "linked-to-open-case": {"linkedCase": "L-77"},
    "assigned": {"owner": {"name": "Cora Fields", "phone": "555-0177"}},
    "first-contact": {"date": "2026-11-24"},
    "investigating": {},
    "unable-to-complete": {"reason": "refused-access"},
    "disposition": {"disposition": "6"},
    "services": {"services": ["COUNSEL", "housing"]},  # NCANDS's code, and ours
    "placement-changed": {"custodian": {"name": "Fairview Child Services", "phone": "555-0190"},
                          "date": "2026-12-01"},
    "closed": {"date": "2026-12-20"},
    "disposition-amended": {"disposition": "unsubstantiated"},
}  # fmt: skip


def test_false_reporting_is_told_as_unsubstantiated(exchange):
    """A finding that accuses the reporter is never sent; it reads as unsubstantiated."""
    told = sent(exchange)
    for event in ("received", "screened-in", "disposition"):
        told.record(event, **SAYS[event])

    task = told.seen("dr-lin")[3]

    finding = next(
        one for one in task["output"] if one["type"]["coding"][0]["code"] == "disposition"
    )
    assert finding["valueCodeableConcept"]["coding"][0]["code"] == "unsubstantiated"


def test_the_words_are_for_a_clinician(exchange):
    """The Task says in a sentence what has happened, and whom to call."""
    told = sent(exchange)
    told.record("received", **SAYS["received"])

    task = told.seen("dr-lin")[3]

    assert task["businessStatus"]["text"].startswith("Child welfare has your report.")
    contact = task["output"][-1]["valueContactDetail"]
    assert contact == {"name": "Sam Porter", "telecom": [{"system": "phone", "value": "555-0142"}]}


def test_what_is_told_beyond_the_receipt_names_its_statute(exchange):
    """The privacy officer reads under which law the reporter learned of the decision."""
    told = sent(exchange)
    told.record("received", **SAYS["received"])
    told.record("screened-in", **SAYS["screened-in"])

    rows = exchange.rows(
        "SELECT recipient, rule, basis, subject FROM ledger WHERE source = 'agency/intake'"
    )

    ruled = {row[0]: row[1:] for row in rows if "feedback" in row[1]}
    assert {row[3] for row in rows} == {told.theirs["for"]["reference"]}
    assert "Fairview Code 7-101" in ruled["clinic/dr-lin"][1]
    assert {row[0] for row in rows if row[1] == "receipt"} == {"clinic/reports"}


def permissive(made):
    for one in made["entry"]:
        if one["resource"]["resourceType"] == "ServiceRequest":
            url = f"{KINBRIDGE}/StructureDefinition/cps-reporter-duty"
            one["resource"].setdefault("extension", []).append(
                {"url": url, "valueCode": "permissive"}
            )


def test_a_rule_for_mandated_reporters_is_for_them_alone(exchange):
    """Somebody who reports without a duty to learns the receipt."""
    told = sent(exchange, change=permissive)
    told.record("received", **SAYS["received"])
    told.record("screened-in", **SAYS["screened-in"])

    assert told.seen("dr-lin")[:3] == ("received", "received", ["intake-number", "named-contact"])


def test_a_permissive_report_is_accounted_as_one(exchange):
    """Who reports without a duty to is not accounted for as one whom a law obliged, and the law is named."""
    sent(exchange, change=permissive)

    ((purpose, rule, basis),) = exchange.rows("SELECT purpose, rule, basis FROM ledger")
    assert (purpose, rule) == ("RPT-P", "permissive-report-with-attestation")
    assert "164.512(a)(1)" not in basis


def test_an_event_is_recorded_once(exchange):
    """The same event sent again changes nothing; another one under its number is refused."""
    told = sent(exchange)
    told.record("received", **SAYS["received"])
    before = everything.of(exchange, "clinic")
    told.events = 0

    assert told.record("received", **SAYS["received"]).status_code == 200

    assert everything.of(exchange, "clinic") == before
    told.events = 0
    refused(told.record("screened-in"), 409)
    assert exchange.rows("SELECT count(*) FROM event") == [(1,)]


def test_a_late_event_is_kept_and_nothing_steps_back(exchange):
    """`received` that arrives after the case was accepted is noted; its intake number is told."""
    told = sent(exchange)
    told.events = 1
    told.record("screened-in", **SAYS["screened-in"])
    told.events = 0

    late = told.record("received", intakeNumber="26-0042")

    assert late.status_code == 200
    assert late.json()["status"] == "accepted"
    status, business, outputs, _ = told.seen("dr-lin")
    assert (status, business) == ("accepted", "screened-in")
    assert "intake-number" in outputs
    standings = exchange.rows("SELECT event, standing FROM event ORDER BY sequence")
    assert standings == [("received", "late"), ("screened-in", "applied")]


def test_a_forbidden_step_says_which_are_allowed(exchange):
    """A case that was screened out is not determined; the answer says what may come."""
    told = sent(exchange)
    told.record("received")
    told.record("screened-out", **SAYS["screened-out"])

    issues = refused(told.record("disposition", disposition="1"), 409, "conflict")

    assert "closed" in issues[0]["details"]["text"]


def test_parameters_say_the_same(exchange):
    """A case system that speaks FHIR sends Parameters."""
    told = sent(exchange)
    body = {"resourceType": "Parameters", "parameter": [
        {"name": "event", "valueCode": "received"}, {"name": "intake-number", "valueString": "26-7"},
        {"name": "owner", "part": [{"name": "name", "valueString": "Sam"}, {"name": "phone", "valueString": "555-0142"}]},
    ]}  # fmt: skip

    answer = exchange.call(
        "POST", f"agency/intake/fhir/Task/{told.theirs['id']}/$record-event", body
    )

    assert answer.status_code == 200
    assert told.seen("reports")[2] == ["intake-number", "named-contact"]


@pytest.mark.parametrize("body", [{}, [], "x", {"event": 5}, {"event": "received", "verdict": "guilty"},
                                  {"event": "received", "owner": "Sam"}, {"event": "guilty"}])  # fmt: skip
def test_a_wrong_event_is_refused_without_its_words(exchange, body):
    """What is not understood is named by its place, and not repeated."""
    told = sent(exchange)

    answer = exchange.call(
        "POST", f"agency/intake/fhir/Task/{told.theirs['id']}/$record-event", body
    )

    assert answer.status_code in {400, 422}
    assert "guilty" not in answer.text


def test_an_inbox_is_read_only(exchange):
    """What the agency said is not the reader's to change."""
    told = sent(exchange)
    task = told.seen("dr-lin")[3]

    refused(
        exchange.call(
            "PUT", f"clinic/dr-lin/fhir/Task/{task['id']}", {**task, "status": "completed"}
        ),
        403,
    )


@pytest.mark.parametrize("element", ["basedOn", "partOf", "about"])
def test_what_is_written_on_an_inbox_would_reach_nobody(exchange, element):
    """The named reporter is told at once, and where to write; so is who asks."""
    told = sent(exchange)
    task = {"reference": f"Task/{told.seen('dr-lin')[3]['id']}"}
    message = {
        "resourceType": "Communication",
        "status": "completed",
        "sender": {"display": "Dr. Lin"},
        "payload": [{"contentString": "Is she safe?"}],
        element: [task],
    }
    question = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "code": {
            "coding": [{"system": f"{KINBRIDGE}/CodeSystem/task-code", "code": "info-needed"}]
        },
        "partOf": [task],
    }

    issues = refused(exchange.call("POST", "clinic/dr-lin/fhir/Communication", message), 422)
    refused(exchange.call("POST", "clinic/dr-lin/fhir/Task", question), 422)

    assert issues[0]["expression"] == [f"Communication.{element}"]
    assert "on the shelf from which it was sent" in issues[0]["details"]["text"]
    assert exchange.rows("SELECT count(*) FROM resource WHERE type = 'Communication'") == [(0,)]


def test_after_a_case_help_is_suggested_and_no_label_is_put(exchange):
    """A closed case offers the clinician a draft for help; where no finding is told, always."""
    told = sent(exchange, "elsewhere")
    for event in ("received", "screened-in"):
        told.record(event, **SAYS[event])
    told.record("disposition", disposition="1")
    told.record("closed")

    found = exchange.rows(
        "SELECT body FROM resource WHERE shelf = 'clinic/reports' AND type = 'ServiceRequest'"
    )

    drafts = [one for one in map(json.loads, (row[0] for row in found)) if one["status"] == "draft"]
    assert len(drafts) == 1
    assert drafts[0]["intent"] == "proposal"
    assert exchange.rows("SELECT count(*) FROM resource WHERE type IN ('Condition', 'Flag')") == [
        (0,)
    ]


def test_no_help_is_suggested_beside_a_finding_that_is_told(exchange):
    """Whoever is told that maltreatment was found is not offered a voluntary referral in its place."""
    told = sent(exchange)
    for event in ("received", "screened-in"):
        told.record(event, **SAYS[event])
    told.record("disposition", disposition="1")
    told.record("closed")

    drafts = exchange.rows(
        "SELECT shelf FROM resource WHERE shelf LIKE 'clinic/%' AND type = 'ServiceRequest'"
    )

    assert ("clinic/dr-lin",) not in drafts


def test_an_agency_reads_its_own_words(exchange):
    """The agency's Task keeps what it said, as it said it."""
    told = sent(exchange)
    for event in ("received", "screened-in", "disposition"):
        told.record(event, **SAYS[event])

    task = exchange.get(f"agency/intake/fhir/Task/{told.theirs['id']}").json()

    assert task["businessStatus"]["coding"][0]["code"] == "disposition"
    codes = [one["type"]["coding"][0]["code"] for one in task["output"]]
    assert {"intake-number", "track", "disposition"} <= set(codes)


def test_the_agency_reads_the_allegation_in_its_own_codes(exchange):
    """Beside our code the agency's copy has NCANDS's and NIEM's; the clinic's own stays as it was."""
    told = sent(exchange)

    copied = exchange.get(f"agency/intake/fhir/{told.theirs['focus']['reference']}").json()

    codes = {
        one["system"].rsplit("/", 1)[1]: one["code"] for one in copied["reasonCode"][0]["coding"]
    }
    assert codes == {
        "cps-allegation": "physical-abuse",
        "ncands-maltreatment-type": "1",
        "niem-allegation-category": "PA",
    }
    own = exchange.get(f"clinic/reports/fhir/{told.task['focus']['reference']}").json()
    assert len(own["reasonCode"][0]["coding"]) == 1


def test_an_inbox_does_not_say_who_reported(exchange):
    """The child's own doctor follows the case; which colleague reported it is not hers to read."""

    def own_task(made):
        request = next(
            one["resource"]
            for one in made["entry"]
            if one["resource"]["resourceType"] == "ServiceRequest"
        )
        made["entry"].append({"fullUrl": "https://ehr.example.org/fhir/Task/own", "resource": {
            "resourceType": "Task", "id": "own", "status": "requested", "intent": "order",
            "code": {"text": "Report by Dr. Lin"}, "description": "Dr. Lin saw her",
            "focus": {"reference": f"ServiceRequest/{request['id']}"}}})  # fmt: skip

    told = sent(exchange, change=own_task)
    for event in ("received", "screened-in", "investigating", "closed"):
        told.record(event, **SAYS[event])

    rows = exchange.rows("SELECT body FROM version WHERE shelf = 'clinic/dr-pcp'")
    rows += exchange.rows("SELECT body FROM resource WHERE shelf = 'clinic/dr-pcp'")
    assert rows
    assert "Lin" not in str(rows)


@pytest.mark.parametrize(
    ("value", "status"),
    [({"valueContactDetail": {"name": "County desk", "extension": [{"url": "urn:x", "valueString": "secret"}],
                              "telecom": [{"system": "phone", "value": "555-0101"},
                                          {"system": "other", "value": "secret"}]}}, 200),
     ({"valueString": "secret"}, 422)],
)  # fmt: skip
def test_whom_to_call_after_a_transfer_is_a_name_and_a_telephone(exchange, value, status):
    """What the agency's system writes beside them is for the agency."""
    told = sent(exchange)
    told.record("received", **SAYS["received"])
    path = f"agency/intake/fhir/Task/{told.theirs['id']}"
    task = exchange.get(path).json()
    kind = {"coding": [{"system": OUTPUT, "code": "named-contact"}]}
    said = {**task, "output": [*task.get("output", []), {"type": kind, **value}]}
    assert exchange.call("PUT", path, said).status_code == 200

    assert told.record("transferred").status_code == status

    for shelf in ("reports", "dr-lin", "dr-pcp"):
        contact = told.seen(shelf)[3]["output"][-1]["valueContactDetail"]
        assert contact["name"] == ("County desk" if status == 200 else "Sam Porter")
    rows = exchange.rows("SELECT body FROM version WHERE shelf LIKE 'clinic/%'")
    rows += exchange.rows("SELECT body FROM resource WHERE shelf LIKE 'clinic/%'")
    assert "secret" not in str(rows)
