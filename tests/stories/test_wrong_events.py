"""What a case system sends by mistake is refused by its place, and nothing of it is stored."""

import pytest
from exchange import refused
from test_outcome import sent, tenants  # noqa: F401 — the same clinic and agencies

from app.sandbox import family

KINBRIDGE = family.KINBRIDGE
WRONG = [
    ({"event": "received", "sequence": 2**31}, "sequence"),
    ({"event": "received", "sequence": 10**20}, "sequence"),
    ({"event": "received", "identifier": "a\u0000b"}, "identifier"),
    ({"event": "received", "intakeNumber": "x" * 1000}, "intakeNumber"),
    ({"event": "received", "note": "a\u0001b"}, "note"),
    ({"event": "received", "owner": {"name": " "}}, "owner"),
    ({"event": "first-contact", "date": "2026-02-31"}, "date"),
    ({"event": "first-contact", "date": "2026-11-24T99:00:00Z"}, "date"),
    ({"event": "closed", "closedDate": "soon"}, "closedDate"),
    ({"event": "placement-changed", "placementDate": "2026-13-01"}, "placementDate"),
    ({"event": "placement-changed", "custodian": {"name": "a\nb"}}, "custodian"),
    ({"event": "awaiting-information", "question": "call-back", "due": "2026-13-45"}, "due"),
    ({"event": "awaiting-information", "question": "call-back", "due": "2026-11-24T10:00"}, "due"),
    ({"event": "awaiting-information", "question": "why"}, "question"),
    ({"event": "disposition", "disposition": "guilty"}, "disposition"),
    ({"event": "services", "services": ["housing", "hous"]}, "services"),
    ({"event": "services", "services": [""]}, "services"),
    ({"event": "screened-out", "reason": "two  spaces"}, "reason"),
    ({"event": "screened-out", "reason": "too-poor"}, "reason"),
    ({"event": "transferred", "to": "agency"}, "to"),
]


@pytest.mark.parametrize(("body", "at"), WRONG, ids=[f"{one}-{at}" for one, (_, at) in enumerate(WRONG)])  # fmt: skip
def test_a_wrong_event_changes_nothing(exchange, body, at):
    """No day that is none, no code that nobody knows, no name that is blank; the Task stays as it was."""
    told = sent(exchange)
    told.record("received", owner={"name": "Sam", "phone": "555-0142"})
    if body["event"] in {"disposition", "services", "placement-changed", "closed", "first-contact"}:
        for event in ("screened-in", "disposition"):
            told.record(event)
    path = f"agency/intake/fhir/Task/{told.theirs['id']}"
    before = exchange.get(path).content

    answer = exchange.call("POST", f"{path}/$record-event", body)

    issues = refused(answer, answer.status_code)
    assert answer.status_code in {400, 422}
    assert [at in one.get("expression", [""])[0] for one in issues] == [True]
    assert "guilty" not in answer.text
    assert exchange.get(path).content == before


def test_a_machine_does_not_speak(exchange):
    """A message and a question are a named human's, on either side."""
    told = sent(exchange)
    for sender in ({"reference": "Device/rules", "display": "Rule engine"},
                   {"type": "Organization", "display": "Intake"}):  # fmt: skip
        message = {
            "resourceType": "Communication", "status": "completed", "basedOn": [told.theirs["focus"]],
            "sender": sender, "payload": [{"contentString": "hello"}],
        }  # fmt: skip
        refused(exchange.call("POST", "agency/intake/fhir/Communication", message), 422)
