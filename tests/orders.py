"""One case between a clinic and an agency, and everything that either may send, in any order; no database."""

import contextlib
import dataclasses
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from app import conformance, fhir, settings
from app.domain import graph, mappings, planner, statement
from app.domain.case import Case
from app.domain.change import Caller, Change, Entry
from app.domain.event import EXPUNGED, STATUS
from app.domain.loaded import Loaded, NotLoaded
from app.domain.plan import Exchange, Stored, Terms
from app.errors import Conflict, Refusal
from app.fhir import listed

KINBRIDGE = settings.CANONICAL
RANK = {"draft": 0, "requested": 0, "received": 1, "accepted": 2, "in-progress": 3, "on-hold": 3,
        "rejected": 4, "completed": 4, "failed": 4, "cancelled": 4, "entered-in-error": 5}  # fmt: skip
# the order, not the shape: that what is put fits its profile has its own stories
MAPPINGS = dataclasses.replace(mappings.load(settings.folder("mappings")), profiles=())
DEFINITIONS = conformance.load()
SETTINGS = settings.Settings()
NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
STORED = {"lastUpdated": fhir.instant(NOW)}
LIN = {"display": "Dr. Lin"}
SAYS = {
    "received": {"intakeNumber": "26-1", "owner": {"name": "Sam Porter", "phone": "555-0142"}},
    "assigned": {"owner": {"name": "Cora Fields", "phone": "555-0177"}},
    "disposition": {"disposition": "1"},
    "disposition-amended": {"disposition": "5"}, "services": {"services": ["housing"]},
    "screened-in": {"track": "investigation"}, "closed": {"date": "2026-12-01"},
}  # fmt: skip
QUESTION = {
    "resourceType": "Task", "status": "requested", "intent": "order", "requester": LIN,
    "code": {"coding": [{"system": f"{KINBRIDGE}/CodeSystem/task-code", "code": "info-needed"}]},
    "input": [{"type": {"text": "question"}, "valueCodeableConcept": {"coding": [
        {"system": f"{KINBRIDGE}/CodeSystem/cps-question", "code": "call-back"}]}}],
}  # fmt: skip
CONSENT = {
    "resourceType": "Consent", "id": "yes", "status": "active", "patient": {"reference": "Patient/c"},
    "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
    "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IDSCL"}]}],
    "provision": {"type": "permit", "actor": [{
        "role": {"coding": [{"code": "IRCP"}]},
        "reference": {"identifier": {"system": f"{KINBRIDGE}/sid/tenant", "value": "agency"}}}]},
}  # fmt: skip


def events(kind):
    return list(MAPPINGS.outcomes.of(kind))


@dataclass
class World:
    """What stands, as a plan leaves it; nothing is stored."""

    kind: str = "cps-report"
    now: datetime = NOW
    stands: dict = field(default_factory=dict)
    recorded: dict = field(default_factory=dict)
    exchange: Exchange | None = None
    old: dict = field(default_factory=dict)  # a copy of the agency's Task that it has read once
    seen: Counter = field(default_factory=Counter)

    def __post_init__(self):
        report = self.kind == "cps-report"
        self.source, self.recipient = (
            ("clinic/reports", "agency/intake") if report else ("clinic/chart", "agency/support")
        )
        said = {"code": {"text": "report"}, "intent": "order", "identifier": [{"system": "urn:x", "value": "1"}],
                "for": {"reference": "Patient/c"}, "status": "requested", "meta": STORED,
                "requester": LIN}  # fmt: skip
        for shelf, task, request in ((self.source, "own", "r"), (self.recipient, "theirs", "rc")):
            asked = {
                "resourceType": "ServiceRequest",
                "id": request,
                "status": "active",
                "meta": STORED,
            }
            focus = {"focus": {"reference": f"ServiceRequest/{request}"}}
            self.stands |= {
                (shelf, f"Task/{task}"): Stored({"resourceType": "Task", "id": task, **said, **focus}, 1, "x"),
                (shelf, f"ServiceRequest/{request}"): Stored(asked, 1, "x" if request == "rc" else ""),
            }  # fmt: skip
        self.stands[self.source, "Consent/yes"] = Stored(CONSENT, 1, "")
        copies = {"ServiceRequest/r": "ServiceRequest/rc", "Task/own": "Task/theirs"}
        self.exchange = Exchange(
            "x", self.kind, self.source, "Task/own", "ServiceRequest/r", self.recipient, "Task/theirs",
            "" if report else "Consent/yes", "submitted", 0, fhir.instant(NOW), copies,
            Terms(jurisdiction="fairview"), 5.0 if report else 0.0, 1,
        )  # fmt: skip

    def see(self, want):
        if want.kind == "resource":
            return self.stands.get((want.shelf, want.key))
        if want.kind == "exchange":
            return self.exchange if want.key in {"Task/own", "Task/theirs"} else None
        if want.kind == "opened":
            return self.exchange
        if want.kind == "sent":
            return [self.exchange] if want.key == "ServiceRequest/r" else []
        if want.kind == "recorded":
            return self.recorded.get(want.key.split("|", 1)[1])
        if want.kind == "held":
            return [name for (shelf, name), one in self.stands.items()
                    if shelf == want.shelf and one.exchange == want.key]  # fmt: skip
        if want.kind == "expunged":
            return ""
        return [] if want.kind in {"found", "search", "shared"} else None

    def plan(self, change):
        """What a change would do, from what stands now; the domain sees only what it asks for."""
        self.now += timedelta(seconds=1)
        case = Case(change, Loaded(), SETTINGS, MAPPINGS, DEFINITIONS, b"key", self.now)

        def settled(step, case):
            while True:
                try:
                    return step(case)
                except NotLoaded as asked:
                    case.loaded.seen.update({want: self.see(want) for want in asked.wants})

        return settled(planner.plan, settled(planner.arrived, case))

    def commit(self, plan):
        """As storage does: guards first, then all of it; False where it was overtaken."""
        for put in plan.puts:
            found = self.stands.get((put.shelf, fhir.name(put.resource)))
            if (found.version if found else 0) != put.expected:
                return False
        if any(step.version != self.exchange.version for step in plan.exchanges):
            return False
        if any(row.key in self.recorded for row in plan.recorded):
            return False
        for put in plan.puts:
            meta = {**put.resource.get("meta", {}), "lastUpdated": fhir.instant(self.now)}
            resource = {} if put.method == "DELETE" else {**put.resource, "meta": meta}
            self.stands[put.shelf, fhir.name(put.resource)] = Stored(
                resource, put.expected + 1, put.exchange
            )
        for step in plan.exchanges:
            self.exchange = replace(step, version=step.version + 1)
        for row in plan.recorded:
            self.recorded[row.key] = row
        return True

    def task(self, shelf, name):
        return self.stands[shelf, name].resource

    @property
    def tasks(self):
        return self.task(self.source, "Task/own"), self.task(self.recipient, "Task/theirs")

    def questions(self, shelf):
        """Names of the questions that stand on a shelf."""
        at = 0 if shelf == self.source else 1
        return [pair[at] for pair in self.talk() if pair[at].startswith("Task/")]

    def talk(self):
        """What was asked and said and not taken back: the names on the sender's shelf and on the agency's."""
        if not self.exchange.copies:
            return
        for (shelf, name), one in self.stands.items():
            there = self.recipient if shelf == self.source else self.source
            place = graph.placed(b"key", recipient=there, exchange=one.exchange, source=shelf)
            copy = f"{name.partition('/')[0]}/{place(name)}"
            spoken = name.startswith(("Communication/", "Task/")) and one.stands
            other = self.stands.get((there, copy))
            if spoken and other and other.stands:
                yield (name, copy) if shelf == self.source else (copy, name)


def change(world, shelf, act, resource, chance, **more):
    method = "POST" if not resource.get("id") else "PUT"
    entry = Entry(method, resource, resource.get("id", ""), said=resource)
    return Change(SETTINGS.shelves[shelf], Caller("a"), act, (entry,), "http://x", f"{chance.random()}", **more)  # fmt: skip


def said(world, event, number, chance, **more):
    """The agency's $record-event."""
    body = {"event": event, **(SAYS.get(event, {}) if world.kind == "cps-report" else {}), **more}
    if number:
        body |= {"identifier": "CW-1", "sequence": number}
    task = {"resourceType": "Task", "id": "theirs"}
    return change(world, world.recipient, "record-event", task, chance, said=statement.said(body))


def put_by_agency(world, chance):
    """A whole copy of the agency's Task, as it stands or as it was read some time ago, one step on."""
    now = world.task(world.recipient, "Task/theirs")
    if not world.old or chance.random() < 0.5:
        world.old = now
    event = chance.choice(events(world.kind))
    task = {**world.old, "status": event.status or world.old["status"]}
    if event.business_status:
        task["businessStatus"] = {"coding": [{"system": STATUS, "code": event.business_status}]}
    return change(world, world.recipient, "update", task, chance)


def of_the_clinic(world, chance):
    """What the clinic does: it takes back, asks, answers, writes."""
    own = world.task(world.source, "Task/own")
    what = chance.choice(["cancel", "revoke", "ask", "answer", "write", "overdue"])
    if what == "cancel":
        status = chance.choice(["cancelled", "entered-in-error", "completed"])
        return change(world, world.source, "update", {**own, "status": status}, chance)
    if what == "revoke":
        request = world.task(world.source, "ServiceRequest/r")
        revoked = {"resourceType": "ServiceRequest", "id": "r", **request, "status": "revoked"}
        return change(world, world.source, "update", revoked, chance)
    return spoken(world, world.source, what, chance)


def spoken(world, shelf, what, chance):
    """A question, an answer or a message of either side."""
    task = "own" if shelf == world.source else "theirs"
    if what == "overdue":
        world.now += timedelta(days=chance.randrange(3))
        return change(world, world.source, "overdue", {"resourceType": "Task", "id": "own"}, chance)
    if what == "answer" and (known := world.questions(shelf)):
        asked = world.task(shelf, chance.choice(known))
        status = chance.choice(["completed", "rejected", "cancelled", "accepted"])
        answer = {"type": {"text": "answer"}, "valueString": "yes"}
        if asked:
            return change(
                world, shelf, "update", {**asked, "status": status, "output": [answer]}, chance
            )
    if what == "write":
        request = "r" if shelf == world.source else "rc"
        message = {"resourceType": "Communication", "status": "completed", "sender": LIN,
                   "basedOn": [{"reference": f"ServiceRequest/{request}"}],
                   "payload": [{"contentString": "please call"}]}  # fmt: skip
        return change(world, shelf, "create", message, chance)
    part = {"partOf": [{"reference": f"Task/{task}"}]}
    due = {"restriction": {"period": {"end": "2026-11-24"}}} if chance.random() < 0.5 else {}
    return change(world, shelf, "create", {**QUESTION, **part, **due}, chance)


def history(kind, chance):
    """The events of one case as they arrive: in order, late, doubled, some lost."""
    known = [one.id for one in events(kind) if one.id != EXPUNGED]
    way, state = [], "submitted"
    for _ in range(chance.randint(3, 8)):
        nexts = [one.id for one in events(kind) if one.id in known and state in one.after]
        state = chance.choice(nexts) if nexts and chance.random() < 0.9 else chance.choice(known)
        way.append(state)
    if kind == "cps-report" and chance.random() < 0.1:
        way.append(EXPUNGED)
    sent = list(enumerate(way, start=1))
    for _ in range(chance.randint(0, 3)):
        place = chance.randrange(len(sent))
        trick = chance.choice(["late", "doubled", "lost", "swapped"])
        if trick == "late" and len(sent) > 1:
            sent.insert(chance.randrange(place, len(sent)) + 1, sent.pop(place))
        elif trick == "doubled":
            sent.insert(chance.randrange(len(sent) + 1), sent[place])
        elif trick == "lost" and len(sent) > 1:
            sent.pop(place)
        elif trick == "swapped" and place:
            sent[place - 1], sent[place] = sent[place], sent[place - 1]
    numbered = chance.random() < 0.7
    return [(event, number if numbered else 0) for number, event in sent]


def acts(world, chance):
    """Rounds of what is sent at the same moment: by one of them, or by both at once."""
    for event, number in history(world.kind, chance):
        asking = {"question": "call-back"} if event == "awaiting-information" else {}
        round_ = [(said(world, event, number, chance, **asking), number)]
        if chance.random() < 0.35:
            round_.append((of_the_clinic(world, chance), 0))
        if chance.random() < 0.15:
            round_.append((put_by_agency(world, chance), 0))
        if chance.random() < 0.1:
            what = chance.choice(["ask", "answer", "write"])
            round_.append((spoken(world, world.recipient, what, chance), 0))
        if chance.random() < 0.2:
            round_.pop(0)  # lost on the way
        chance.shuffle(round_)
        yield round_


def agree(kind, state, own, theirs):
    """Both shelves agree with the state of the exchange row, which is the truth."""
    event = MAPPINGS.outcomes.event(kind, state)
    if state == "submitted":
        assert theirs["status"] == own["status"] == "requested"
    elif kind == "family-support":
        late = {"entered-in-error"} if state in {"cancelled", "rejected"} else set()
        assert own["status"] == theirs["status"]
        assert own["status"] in {event.status} | late  # taken back when it had ended
    else:
        assert theirs["businessStatus"]["coding"][0]["code"] == state
        assert not event.status or theirs["status"] == event.status
        told = own.get("businessStatus", {}).get("coding", [{}])[0].get("code", "submitted")
        shown = MAPPINGS.outcomes.event(kind, told)
        assert told == "submitted" or shown.outcome_class == "A", "the shared shelf: the receipt"
        assert RANK[own["status"]] <= RANK[theirs["status"]]


def agrees(world):
    """The Tasks of the case, and of everything that is asked and said on it."""
    agree(world.kind, world.exchange.state, *world.tasks)
    for mine, copy in world.talk():
        one, other = world.task(world.source, mine), world.task(world.recipient, copy)
        for name in ("status", "received", "output"):
            assert one.get(name) == other.get(name), name


def ranks(world):
    """How far every Task is that either side has."""
    return {
        key: RANK[one.resource["status"]]
        for key, one in world.stands.items()
        if key[1].startswith("Task/") and one.stands
    }


def walk(chance):
    """One case as a whole; what stands is looked at after every commit, and every acknowledged event is kept."""
    world = World("cps-report" if chance.random() < 0.8 else "family-support")
    acknowledged = set()
    for round_ in acts(world, chance):
        planned = []
        for sent, number in round_:  # each saw what stood before any of them was written
            with contextlib.suppress(Refusal):
                planned.append((sent, number, world.plan(sent)))
        for sent, number, first in planned:
            before, events_before = ranks(world), len(world.recorded)
            made = first
            while not world.commit(made):
                world.seen["overtaken"] += 1
                try:
                    made = world.plan(sent)
                except Refusal as refusal:
                    world.seen["refused"] += isinstance(refusal, Conflict)
                    break
            else:
                acknowledged |= {number} - {0}
                world.seen["kept"] += len(made.recorded)
            after = ranks(world)
            stepped = {key for key, rank in before.items() if after.get(key, 9) < rank}
            assert not stepped, (sent.act, stepped, before, after)
            assert len(world.recorded) >= events_before
            agrees(world)
    if world.exchange.state != EXPUNGED:
        assert acknowledged <= {row.sequence for row in world.recorded.values()}
    elif listed(world.tasks[0].get("output")):
        raise AssertionError("an expunged case says something")
    return world.seen
