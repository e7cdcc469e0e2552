"""Random orders of what an agency and its clinic send: late, doubled, lost, both at once."""

import json
import os
import random
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from exchange import agency_task, refused, resources
from orders import NOW, RANK, SAYS, World, agree, history, said, walk

from app.domain.event import EXPUNGED
from app.errors import Refusal
from app.sandbox import family

LONG = bool(os.environ.get("KINBRIDGE_SOAK"))
SEED = os.environ.get("KINBRIDGE_SEED", "events")
PIECES = 10 if LONG else 1
ORDERS = 10_000 if LONG else 1_500  # in each piece
STORED = 100 if LONG else 15
LIN = {"display": "Dr. Lin"}
KINBRIDGE = family.KINBRIDGE


@pytest.mark.parametrize("piece", range(PIECES))
def test_no_order_of_events_steps_back(piece, capsys):
    """Whatever order they come in: no status steps back, both shelves agree, no event is lost."""
    seen = Counter()

    for number in range(ORDERS):
        seed = f"{SEED} {piece} {number}"
        try:
            seen += walk(random.Random(seed))
        except Exception as error:
            error.add_note(f"the order is {seed!r}")
            raise

    with capsys.disabled():
        sys.stdout.write(f"piece {piece}: {ORDERS} orders {dict(seen)}\n" if LONG else "")
    assert seen["kept"] > 2 * ORDERS
    assert min(seen["overtaken"], seen["refused"]) > ORDERS // 50


def test_an_acknowledged_event_is_kept():
    """Each event that was answered with success is a row, applied or late."""
    chance = random.Random(7)
    for _ in range(200):
        world, acknowledged = World(), set()
        for event, number in history("cps-report", chance):
            try:
                made = world.plan(said(world, event, number, chance))
            except Refusal:
                continue
            assert world.commit(made)
            if number:
                acknowledged.add(number)

        recorded = {row.sequence for row in world.recorded.values()}
        assert world.exchange.state == EXPUNGED or acknowledged <= recorded


class Stored:
    """One case in the database, and what either side sends of it."""

    def __init__(self, exchange, kind, number):
        self.exchange, self.kind = exchange, kind
        report = kind == "cps-report"
        self.here, self.there = ("reports", "intake") if report else ("chart", "support")
        self.own = sent(exchange, report, number)
        self.theirs = agency_task(exchange, self.there, self.own)
        self.last = {}

    def event(self, event, number):
        body = {"event": event, **(SAYS.get(event, {}) if self.kind == "cps-report" else {})}
        if number:
            body |= {"identifier": "CW", "sequence": number}
        path = f"agency/{self.there}/fhir/Task/{self.theirs['id']}/$record-event"
        return self.exchange.call("POST", path, body)

    def late_copy(self):
        """The agency's Task as it was read when the case began, written back whole."""
        path = f"agency/{self.there}/fhir/Task/{self.theirs['id']}"
        return self.exchange.call("PUT", path, self.theirs)

    def cancelled(self):
        path = f"clinic/{self.here}/fhir/Task/{self.own['id']}"
        return self.exchange.call("PUT", path, {**self.own, "status": "cancelled"})

    def asked(self):
        question = {"system": f"{KINBRIDGE}/CodeSystem/cps-question", "code": "call-back"}
        task = {
            "resourceType": "Task", "status": "requested", "intent": "order", "requester": LIN,
            "partOf": [{"reference": f"Task/{self.own['id']}"}],
            "code": {"coding": [{"system": f"{KINBRIDGE}/CodeSystem/task-code", "code": "info-needed"}]},
            "input": [{"type": {"text": "question"}, "valueCodeableConcept": {"coding": [question]}}],
        }  # fmt: skip
        return self.exchange.call("POST", f"clinic/{self.here}/fhir/Task", task)

    def holds(self):
        """Both Tasks and the row agree, and nothing of either stepped back."""
        state, mine, theirs = self.exchange.rows(
            "SELECT e.state, o.body, t.body FROM exchange e"
            " JOIN resource o ON o.shelf = e.source AND o.type = 'Task' AND 'Task/' || o.id = e.source_task"
            " JOIN resource t ON t.shelf = e.recipient AND t.type = 'Task' AND 'Task/' || t.id = e.recipient_task"
            f" WHERE e.source_task = 'Task/{self.own['id']}'"
        )[0]  # fmt: skip
        own, copy = json.loads(mine), json.loads(theirs)
        agree(self.kind, state, own, copy)
        for name, task in (("own", own), ("theirs", copy)):
            assert RANK[task["status"]] >= self.last.get(name, 0), (state, task["status"])
            self.last[name] = RANK[task["status"]]
        return state


def sent(exchange, report, number):
    """The clinic's Task of a new report, or of a new referral."""
    made = family.another_report(f"r-{number}", "agency")
    if not report:
        made = json.loads(json.dumps(family.referral("ServiceRequest/none", consented=True)))
        request = next(
            one for one in made["entry"] if one["resource"]["resourceType"] == "ServiceRequest"
        )
        name = f"{request['resource']['id']}-{number}"
        request["fullUrl"] = f"{request['fullUrl'].rsplit('/', 1)[0]}/{name}"
        request["resource"]["id"] = request["resource"]["identifier"][0]["value"] = name
    path = "reports/fhir/$report" if report else "chart/fhir/$refer"
    return resources(exchange.call("POST", f"clinic/{path}", made), "Task")[0]


@pytest.mark.parametrize("piece", range(PIECES))
def test_the_orders_hold_through_storage(exchange, patient, piece, capsys):
    """The same through HTTP and the database, two at the same moment too: after each both sides agree."""
    assert patient
    chance, answers = random.Random(f"{SEED} stored {piece}"), Counter()
    with ThreadPoolExecutor(2) as both:
        for number in range(STORED):
            kind = "cps-report" if chance.random() < 0.8 else "family-support"
            case = Stored(exchange, kind, number)
            acknowledged = set()
            for event, sequence in history(kind, chance):
                calls = [(case.event, event, sequence)]
                if chance.random() < 0.35:
                    calls.append((chance.choice([case.cancelled, case.asked]),))
                if chance.random() < 0.1:
                    calls.append((case.late_copy,))
                if chance.random() < 0.1:
                    calls.append((case.event, chance.choice([event, "received", "completed"]), 0))
                at_once = [both.submit(*one) for one in calls]
                for call, done in zip(calls, at_once, strict=True):
                    answer = done.result()
                    answers[answer.status_code] += 1
                    if answer.status_code not in {200, 201}:
                        assert answer.status_code in {409, 422}, answer.text
                        refused(answer, answer.status_code)
                    elif len(call) == 3 and call[2]:
                        acknowledged.add(call[2])
                state = case.holds()
            rows = exchange.rows(
                "SELECT v.sequence FROM event v JOIN exchange e ON e.id = v.exchange"
                f" WHERE e.source_task = 'Task/{case.own['id']}'"
            )
            assert state == EXPUNGED or acknowledged <= {row[0] for row in rows}
    with capsys.disabled():
        sys.stdout.write(f"piece {piece}: {STORED} stored {dict(answers)}\n" if LONG else "")

    assert answers[200] > STORED
    assert answers[409] + answers[422]
    assert exchange.now > NOW
