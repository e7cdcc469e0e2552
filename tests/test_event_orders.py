"""Random orders of what an agency and its clinic send: late, doubled, lost, both at once."""

import contextlib
import os
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from exchange import refused

from app import conformance, fhir, settings
from app.domain import mappings, planner, record
from app.domain.case import Case
from app.domain.event import EXPUNGED
from app.domain.plan import Caller, Change, Entry, Exchange, Loaded, NotLoaded, Stored, Terms
from app.errors import Conflict, Refusal

RANK = {"requested": 0, "received": 1, "accepted": 2, "in-progress": 3, "on-hold": 3, "rejected": 4,
        "completed": 4, "failed": 4, "cancelled": 4, "entered-in-error": 5}  # fmt: skip
LONG = bool(os.environ.get("KINBRIDGE_SOAK"))
ORDERS = 100_000 if LONG else 1_500
STORED = 1_000 if LONG else 15
MAPPINGS = replace(
    mappings.load(settings.folder("mappings")), profiles=()
)  # the order, not the shape
DEFINITIONS = conformance.load(settings.folder("fhir_profiles"))
SETTINGS = settings.Settings()
NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
EVENTS = [one.id for one in MAPPINGS.outcomes.of("cps-report") if one.id != "transferred"]
SAYS = {
    "received": {"intakeNumber": "26-1"}, "disposition": {"disposition": "1"},
    "disposition-amended": {"disposition": "5"}, "services": {"services": ["housing"]},
    "screened-in": {"track": "investigation"}, "closed": {"date": "2026-12-01"},
}  # fmt: skip


class World:
    """What stands, as a plan leaves it; nothing is stored."""

    def __init__(self):
        said = {"code": {"text": "report"}, "intent": "order", "identifier": [{"system": "urn:x", "value": "1"}],
                "for": {"reference": "Patient/c"}, "status": "requested", "meta": {}}  # fmt: skip
        self.stands = {
            ("clinic/reports", "Task/own"): Stored({"resourceType": "Task", "id": "own", **said}, 1, "x"),
            ("agency/intake", "Task/theirs"): Stored({"resourceType": "Task", "id": "theirs", **said}, 1, "x"),
        }  # fmt: skip
        self.exchange = Exchange(
            "x", "cps-report", "clinic/reports", "Task/own", "ServiceRequest/r", "agency/intake",
            "Task/theirs", "", "submitted", 0, "", {}, Terms(jurisdiction="fairview"), 5.0, 1,
        )  # fmt: skip
        self.events = {}
        self.now = NOW

    def see(self, want):
        if want.kind == "resource":
            return self.stands.get((want.shelf, want.key))
        if want.kind == "exchange":
            return self.exchange
        if want.kind == "recorded":
            return self.events.get(want.key.split("|", 1)[1])
        if want.kind == "held":
            return [name for (shelf, name), one in self.stands.items()
                    if shelf == want.shelf and one.exchange == want.key]  # fmt: skip
        return [] if want.kind in {"sent", "identifier"} else None

    def plan(self, change):
        """What a change would do, from what stands now; the domain sees only what it asks for."""
        self.now += timedelta(seconds=1)
        case = Case(change, Loaded(), SETTINGS, MAPPINGS, DEFINITIONS, b"key", self.now)
        while True:
            try:
                return planner.plan(planner.arrived(case))
            except NotLoaded as asked:
                case.loaded.seen.update({want: self.see(want) for want in asked.wants})

    def commit(self, plan):
        """As storage does: guards first, then all of it."""
        for put in plan.puts:
            found = self.stands.get((put.shelf, fhir.name(put.resource)))
            if (found.version if found else 0) != put.expected:
                return False
        if any(step.version != self.exchange.version for step in plan.exchanges):
            return False
        for put in plan.puts:
            resource = {} if put.method == "DELETE" else put.resource
            self.stands[put.shelf, fhir.name(put.resource)] = Stored(
                resource, put.expected + 1, put.exchange
            )
        for step in plan.exchanges:
            self.exchange = replace(step, version=step.version + 1)
        for row in plan.recorded:
            assert row.key not in self.events
            self.events[row.key] = row
        return True


def said(event, number, chance):
    body = {"event": event, **SAYS.get(event, {})}
    if number:
        body |= {"identifier": "CW-1", "sequence": number}
    entry = Entry("PUT", {"resourceType": "Task", "id": "theirs"}, "theirs")
    shelf = SETTINGS.shelves["agency/intake"]
    return Change(shelf, Caller("a"), "record-event", (entry,), "http://x", f"{chance.random()}",
                  said=record.said(body))  # fmt: skip


def history(chance):
    """The messages of one case as they arrive: in order, late, doubled, some lost."""
    length = chance.randint(3, 9)
    way, state = [], "submitted"
    for _ in range(length):
        nexts = [one.id for one in MAPPINGS.outcomes.of("cps-report")
                 if one.id in EVENTS and state in one.after]  # fmt: skip
        state = chance.choice(nexts) if nexts and chance.random() < 0.9 else chance.choice(EVENTS)
        way.append(state)
    if chance.random() < 0.1:
        way.append(EXPUNGED)
    sent = list(enumerate(way, start=1))
    for _ in range(chance.randint(0, 3)):
        place = chance.randrange(len(sent))
        trick = chance.choice(["late", "doubled", "lost", "swapped"])
        if trick == "late":
            sent.insert(chance.randrange(place, len(sent)) + 1, sent.pop(place)) if len(
                sent
            ) > 1 else None
        elif trick == "doubled":
            sent.insert(chance.randrange(len(sent) + 1), sent[place])
        elif trick == "lost" and len(sent) > 1:
            sent.pop(place)
        elif place:
            sent[place - 1], sent[place] = sent[place], sent[place - 1]
    numbered = chance.random() < 0.7
    return [(event, number if numbered else 0) for number, event in sent]


def held(world):
    own = world.stands["clinic/reports", "Task/own"].resource
    theirs = world.stands["agency/intake", "Task/theirs"].resource
    return own, theirs


def agrees(world):
    """Both shelves agree with the exchange row, which is the truth."""
    own, theirs = held(world)
    state = world.exchange.state
    event = MAPPINGS.outcomes.event("cps-report", state)
    if state == "submitted":
        assert theirs["status"] == own["status"] == "requested"
        return
    assert theirs["businessStatus"]["coding"][0]["code"] == state
    assert not event.status or theirs["status"] == event.status
    told = own.get("businessStatus", {}).get("coding", [{}])[0].get("code", "submitted")
    shown = MAPPINGS.outcomes.event("cps-report", told)
    assert told == "submitted" or shown.outcome_class == "A", "the shared shelf learns the receipt"
    assert RANK[own["status"]] <= RANK[theirs["status"]]


def settle(world, change, plan):
    """Commit, or plan again from what stands, as the flow does when it was overtaken."""
    if not world.commit(plan):
        with contextlib.suppress(Refusal):
            assert world.commit(world.plan(change))


def walk(world, chance):
    """One case; every answer is looked at."""
    for event, number in history(chance):
        changes = [said(event, number, chance)]
        if chance.random() < 0.1:  # both sides, or two of the agency's people, at once
            changes.append(said(chance.choice(EVENTS), 0, chance))
        before = [RANK[one["status"]] for one in held(world)]
        count, state = len(world.events), world.exchange.state
        plans = []
        for change in changes:
            try:
                plans.append((change, world.plan(change)))
            except Conflict:
                assert number == 0 or world.exchange.state == state
        for change, made in plans:
            settle(world, change, made)
        after = [RANK[one["status"]] for one in held(world)]
        assert all(new >= old for new, old in zip(after, before, strict=True)), (
            event,
            before,
            after,
        )
        assert len(world.events) >= count
        agrees(world)
    return len(world.events)


def test_no_order_of_events_steps_back():
    """Whatever order they come in: no status steps back, both shelves agree, none is lost or twice."""
    chance = random.Random(os.environ.get("KINBRIDGE_SEED", "events"))
    kept = 0

    for _ in range(ORDERS):
        kept += walk(World(), chance)

    assert kept > ORDERS


def test_an_acknowledged_event_is_kept():
    """Each event that was answered with success is a row, applied or late."""
    chance = random.Random(7)
    for _ in range(200):
        world, acknowledged = World(), set()
        for event, number in history(chance):
            change = said(event, number, chance)
            try:
                made = world.plan(change)
            except Refusal:
                continue
            assert world.commit(made)
            if number and world.exchange.state != EXPUNGED:
                acknowledged.add(number)

        recorded = {row.sequence for row in world.events.values()}
        assert world.exchange.state == EXPUNGED or acknowledged <= recorded


def test_the_orders_hold_through_storage(exchange, reported):
    """The same through HTTP and the database: after each answer both shelves agree with the row."""
    chance = random.Random("stored")
    for number in range(STORED):
        own, theirs = reported if number == 0 else again(exchange, number)
        last = {"clinic/reports": 0, "agency/intake": 0}
        for event, sequence in history(chance):
            body = {"event": event, **SAYS.get(event, {})}
            if sequence:
                body |= {"identifier": f"CW-{number}", "sequence": sequence}
            answer = exchange.call(
                "POST", f"agency/intake/fhir/Task/{theirs['id']}/$record-event", body
            )
            if answer.status_code != 200:
                refused(answer, 409)
            state = exchange.rows(
                f"SELECT state FROM exchange WHERE recipient_task = 'Task/{theirs['id']}'"
            )[0][0]
            for shelf, task in (("clinic/reports", own), ("agency/intake", theirs)):
                stands = exchange.get(f"{shelf}/fhir/Task/{task['id']}").json()
                assert RANK[stands["status"]] >= last[shelf]
                last[shelf] = RANK[stands["status"]]
            if state != "submitted":
                assert stands["businessStatus"]["coding"][0]["code"] == state
            if state == EXPUNGED:
                break


def again(exchange, number):
    from exchange import agency_task, resources

    from app.sandbox import family

    made = family.report(by_device=False)
    for one in made["entry"]:
        resource = one["resource"]
        if resource["resourceType"] in {"ServiceRequest", "Provenance"}:
            resource["id"] += f"-{number}"
            one["fullUrl"] += f"-{number}"
        if resource["resourceType"] == "ServiceRequest":
            resource["identifier"][0]["value"] = f"r-{number}"
        if resource["resourceType"] == "Provenance":
            resource["target"] = [{"reference": f"ServiceRequest/report-{number}"}]
    task = resources(exchange.call("POST", "clinic/reports/fhir/$report", made), "Task")[0]
    return task, agency_task(exchange, "intake", task)
