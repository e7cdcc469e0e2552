"""Each row of the state map, for each who reported, with a rule on file and none: what is told, and no more."""

import json

import everything
import pytest
from exchange import COUNTY
from test_outcome import SAYS, sent
from test_outcome import tenants as two_agencies  # noqa: F401 — a fixture

from app.sandbox import family

KINBRIDGE = family.KINBRIDGE
OUTPUT = f"{KINBRIDGE}/CodeSystem/task-output"
ROLES = {"reports": "organization", "dr-lin": "reporter", "dr-pcp": "treating"}
WAY = {
    "received": [],
    "screened-out": ["received"],
    "screened-in": ["received"],
    "linked-to-open-case": ["received"],
    "assigned": ["received", "screened-in"],
    "first-contact": ["received", "screened-in", "assigned"],
    "investigating": ["received", "screened-in", "assigned"],
    "unable-to-complete": ["received", "screened-in"],
    "disposition": ["received", "screened-in", "investigating"],
    "services": ["received", "screened-in", "disposition"],
    "placement-changed": ["received", "screened-in", "assigned"],
    "closed": ["received", "screened-in", "disposition"],
    "disposition-amended": ["received", "screened-in", "disposition"],
}
RECEIVED = ("received", "received", ["intake-number", "named-contact"])
IN = ("accepted", "screened-in", ["intake-number", "track", "named-contact"])
# event: what the reporter's inbox and the treating clinician's say where a rule is on file
TOLD = {
    "received": (RECEIVED, RECEIVED),
    "screened-out": (("rejected", "screened-out", ["intake-number", "named-contact"]),) * 2,
    "screened-in": (IN, ("accepted", "screened-in", ["intake-number", "named-contact"])),
    "linked-to-open-case": (
        ("accepted", "linked-to-open-case", ["intake-number", "linked-case", "named-contact"]),
    ) * 2,
    "assigned": (("accepted", "assigned", ["intake-number", "track", "named-contact"]), None),
    "first-contact": (
        ("in-progress", "first-contact", ["intake-number", "track", "first-contact-date", "named-contact"]), None),
    "investigating": (
        ("in-progress", "investigating", ["intake-number", "track", "named-contact"]),
        ("in-progress", "investigating", ["intake-number", "named-contact"])),
    "unable-to-complete": (
        ("failed", "unable-to-complete", ["intake-number", "track", "named-contact"]),
        ("failed", "unable-to-complete", ["intake-number", "named-contact"])),
    "disposition": (
        ("completed", "disposition", ["intake-number", "track", "disposition", "named-contact"]),
        ("completed", "disposition", ["intake-number", "disposition", "named-contact"])),
    "services": (
        ("completed", "services", ["intake-number", "track", "disposition", "service-category", "service-category", "named-contact"]),
        ("completed", "services", ["intake-number", "disposition", "service-category", "service-category", "named-contact"])),
    "placement-changed": (None, (
        "in-progress", "placement-changed", ["intake-number", "custodian", "placement-date", "named-contact"])),
    "closed": (
        ("completed", "closed", ["intake-number", "closed-date", "track", "disposition", "named-contact"]),
        ("completed", "closed", ["intake-number", "closed-date", "disposition", "named-contact"])),
    "disposition-amended": (
        ("completed", "disposition-amended", ["intake-number", "track", "disposition", "named-contact"]),
        ("completed", "disposition-amended", ["intake-number", "disposition", "named-contact"])),
}  # fmt: skip
# event: what everybody sees where no rule is on file, and the shared shelf always
RECEIPT = {
    "received": RECEIVED,
    "unable-to-complete": ("failed", "unable-to-complete", RECEIVED[2]),
    "closed": ("completed", "closed", ["intake-number", "closed-date", "named-contact"]),
    "awaiting-information": ("received", "awaiting-information", RECEIVED[2]),
    "transferred": ("cancelled", "transferred", RECEIVED[2]),
    "expunged": ("entered-in-error", "expunged", []),
}
SAID = {
    **SAYS,
    "awaiting-information": {"question": "injury-detail", "detail": "Which arm?"},
    "transferred": {"to": "county"},
    "expunged": {},
}
# what an agency may write in a place where it must stay: each is looked for in all that the clinic can get
SECRET = ("stepfather", "another caller said", "Case-of-the-brother", "law-enforcement-only", "Quarry Lane",
          "kept-by-intake", "555-0666", "intentional", '"6"')  # fmt: skip


@pytest.fixture
def tenants(two_agencies):  # noqa: F811 — the fixture
    """Besides a third authority, to which a report can be transferred."""
    return [*two_agencies, COUNTY]


def written_by_the_agency(told):
    """Everything that an agency's own system may keep on its Task and beside it."""
    base = f"{told.agency}/intake/fhir"
    task = told.exchange.get(f"{base}/Task/{told.theirs['id']}").json()

    def output(code, **value):
        return {"type": {"coding": [{"system": OUTPUT, "code": code}]}, **value}

    beside = [
        {"resourceType": "Observation", "id": "visit", "status": "final", "code": {"text": "visit"},
         "subject": task["for"], "valueString": "Quarry Lane: the stepfather was there"},
        {"resourceType": "DocumentReference", "id": "file", "status": "current", "subject": task["for"],
         "content": [{"attachment": {"contentType": "text/plain", "title": "law-enforcement-only"}}]},
        {"resourceType": "Flag", "id": "risk", "status": "active", "code": {"text": "kept-by-intake"},
         "subject": task["for"]},
    ]  # fmt: skip
    for one in beside:
        path = f"{base}/{one['resourceType']}/{one['id']}"
        assert told.exchange.call("PUT", path, one).status_code == 201
    more = {
        "output": [
            *task.get("output", []),
            {"type": {"text": "narrative"}, "valueString": "The stepfather; another caller said so"},
            output("intake-number", valueString="26-0042 and the stepfather"),
            output("disposition", valueString="law-enforcement-only"),
            output("linked-case", valueString="Case-of-the-brother with words"),
            output("perpetrator", valueReference={"reference": "Observation/visit"}),
            output("named-contact", valueContactDetail={"name": "kept-by-intake",
                   "telecom": [{"system": "phone", "value": "555-0666"}]}),
        ],
        "note": [*task.get("note", []), {"text": "another caller said"}],
        "contained": [{"resourceType": "Patient", "id": "kin", "name": [{"text": "stepfather"}]}],
        "extension": [*task["extension"], {"url": "urn:x", "valueString": "law-enforcement-only"}],
        "description": "Quarry Lane",
        "statusReason": {"text": "law-enforcement-only", "coding": [{"system": "urn:x", "code": "kept-by-intake"}]},
        "executionPeriod": {"start": "1999-09-09"},
    }  # fmt: skip
    answer = told.exchange.call("PUT", f"{base}/Task/{task['id']}", {**task, **more})
    assert answer.status_code == 200, answer.text
    shelf = told.exchange.rows(f"SELECT body FROM resource WHERE shelf = '{told.agency}/intake'")
    kept = b"".join(row[0] for row in shelf)
    assert all(one.encode() in kept for one in SECRET[:-2])


def holds(exchange, told, shelf):
    """The clinic's Task of this report: status, business status, outputs; and the whole of it."""
    number = next(one["value"] for one in told.theirs["identifier"]
                  if one["system"].endswith("/sid/exchange"))  # fmt: skip
    found = exchange.rows(
        f"SELECT body FROM resource WHERE shelf = 'clinic/{shelf}' AND type = 'Task' AND exchange = '{number}'"
    )
    tasks = [json.loads(row[0]) for row in found]
    (task,) = [one for one in tasks if "businessStatus" in one and "partOf" not in one]
    outputs = [one["type"]["coding"][0]["code"] for one in task.get("output", [])]
    return (task["status"], task["businessStatus"]["coding"][0]["code"], outputs), task


@pytest.mark.parametrize("agency", ["agency", "elsewhere"])
@pytest.mark.parametrize("event", sorted({*TOLD, *RECEIPT}))
def test_each_event_tells_what_the_rule_on_file_opens(exchange, event, agency):
    """The Task on each shelf says what that role may learn, and nothing else is in any answer there."""
    told = sent(exchange, agency)
    first = {shelf: holds(exchange, told, shelf)[1] for shelf in ROLES}
    known, earlier = {}, {}
    for one in [*WAY.get(event, ["received"]), event]:
        earlier = dict(known)
        answer = told.record(one, **SAID[one], note="The stepfather; another caller said")
        assert answer.status_code == 200, answer.text
        known = {shelf: holds(exchange, told, shelf)[0] for shelf in ROLES}
    if event != "expunged":
        written_by_the_agency(told)

    for shelf, place in (("reports", None), ("dr-lin", 0), ("dr-pcp", 1)):
        opened = agency == "agency" and place is not None and event in TOLD
        wanted = TOLD[event][place] if opened else RECEIPT.get(event)
        now, task = holds(exchange, told, shelf)
        assert now == (wanted or earlier.get(shelf) or ("requested", "submitted", [])), shelf
        changes = {name for name in task.keys() | first[shelf].keys()
                   if task.get(name) != first[shelf].get(name)}  # fmt: skip
        said = {"businessStatus", "lastModified", "meta", "output", "status", "statusReason"}
        assert changes <= said or event == "expunged", shelf

    theirs = exchange.rows(f"SELECT type, id FROM resource WHERE shelf = '{agency}/intake'")
    held = everything.of(exchange, "clinic", [f"{kind}/{name}" for kind, name in theirs])
    for secret in SECRET:
        assert secret not in held, secret
    for kind in ("Condition", "Flag", "Procedure", "DocumentReference"):
        assert f'"resourceType":"{kind}"' not in held
    closed = held if agency == "elsewhere" else everything.of(exchange, "clinic", only="reports")
    for word in ("screened-in", "substantiated", "Fields", "counseling", "Child Services"):
        assert word not in closed, word


@pytest.mark.parametrize(
    ("event", "more"),
    [("screened-out", {"reason": "duplicate"}), ("screened-in", {}), ("linked-to-open-case", {})],
)
def test_whatever_intake_says_first_is_a_receipt(exchange, event, more):
    """Intake decides at once: who may not learn what, learns that the report is there and whom to call."""
    told = sent(exchange, "elsewhere")

    assert told.record(event, intakeNumber="26-0042", **more).status_code == 200

    status, business, outputs, task = told.seen("reports")
    assert (status, business) == ("received", "received")
    assert "named-contact" in outputs
    assert "intake-number" in outputs
    assert "statusReason" not in task
    assert "duplicate" not in str(task)
