"""Whole days: what agencies do, what either side says to the other, and what happens to all of them; chance says what."""

import copy
import json
from datetime import timedelta

from days_clinics import Clinics
from days_world import CLINICS, KINBRIDGE, SHELVES
from orders import QUESTION, SAYS

from app.sandbox import family

DETAIL = {"coding": [{"system": f"{KINBRIDGE}/CodeSystem/task-input", "code": "detail"}]}
FOOD = {"system": family.DOMAIN, "code": "food-insecurity"}
ACTIVITY = {"coding": [{"system": family.DOMAIN, "code": "resulting-activity"}]}
EVENTS = [
    "received", "received", "awaiting-information", "screened-in", "screened-in", "assigned", "first-contact",
    "investigating", "disposition", "disposition-amended", "services", "placement-changed", "closed",
    "screened-out", "unable-to-complete", "transferred", "expunged", "expunged",
]  # fmt: skip
STATUSES = [
    "accepted", "in-progress", "on-hold", "completed", "rejected", "failed", "cancelled", "received", "requested",
    "draft", "entered-in-error", "ready",
]  # fmt: skip
WAITS = [timedelta(minutes=20), timedelta(days=1), timedelta(days=3)]


ACTS = {
    "agency_answers": 20, "sends": 14, "writes_a_finding": 10, "hears": 10, "amends_a_record": 8, "says": 6,
    "asks": 5, "takes_back": 5, "deletes": 5, "partner_changes": 5, "changes_a_consent": 4,
    "gives_a_record_away": 4, "joins_records": 5, "parts_records": 3, "screens": 4, "corrects_a_screening": 4, "sends_again": 3, "makes_a_second_record": 3,
    "ends_a_reminder": 3, "time_goes_on": 3, "agency_deletes": 2, "clock_is_set_back": 1, "restart": 1,
}  # fmt: skip


class Days(Clinics):
    """All that anybody does, each act as often as its weight."""

    def step(self, acts=ACTS):
        act = self.chance.choices(list(acts), list(acts.values()))[0]
        at, self.acting = self.chance.randrange(len(self.house.processes)), ""
        self.comes_to(at)
        self.trace.append((act, at))
        getattr(self, act)()

    def comes_to(self, at):
        self.house.at(at)

    def agency_answers(self):
        """By a whole copy, by one that was read once, by a patch, or in a few words."""
        if not (sent := self.some()):
            return
        _, _, shelf, name, _, _ = self.row(sent)
        task, chance = self.read(shelf, name), self.chance.random()
        read = self.old.setdefault((shelf, name), task)
        if sent.purpose == "r" and chance < 0.75:
            self.records_an_event(sent, f"{shelf}/fhir/{name}/$record-event")
            return
        status = self.chance.choice(STATUSES)
        if self.chance.random() < 0.3:
            self.patch(f"{shelf}/fhir/{name}", "status", status)
            return
        more = {"status": status}
        if self.chance.random() < 0.3:
            words = self.words_of(sent)
            sent.words.add(words)
            more["note"] = [{"text": words}]
        if sent.purpose == "s" and status == "completed" and self.chance.random() < 0.6:
            more["output"] = self.helped(sent, shelf)
        self.put(shelf, (read if self.chance.random() < 0.3 else task) | more)

    def helped(self, sent, shelf):
        """What was done for the family; every id of an agency's begins with yid."""
        people = (there for here, there in self.copied(sent).items() if "Patient/" in here)
        done = {
            "resourceType": "Procedure", "id": f"yid-{self.number()}", "status": "completed",
            "category": {"coding": [FOOD]}, "performedDateTime": "2026-11-24",
            "code": {"coding": [{"system": "http://snomed.info/sct", "code": "467771000124109"}],
                     "text": self.words_of(sent)},
            "subject": {"reference": next(people, "Patient/none")},
        }  # fmt: skip
        self.put(shelf, done)
        return [{"type": ACTIVITY, "valueReference": {"reference": f"Procedure/{done['id']}"}}]

    def records_an_event(self, sent, path):
        event, words = self.chance.choice(EVENTS), self.words_of(sent)
        body = {"event": event, **SAYS.get(event, {})}
        if event == "awaiting-information":
            body |= {"question": "other", "detail": words}
            body |= {"due": "2026-11-25"} if self.chance.random() < 0.3 else {}
        elif event == "transferred":
            body |= {"to": self.chance.choice(["county", "agency"])}
        elif self.chance.random() < 0.3:
            body |= {"note": words}
        if self.chance.random() < 0.4:
            body |= {"identifier": f"CW-{sent.number}", "sequence": self.chance.randrange(1, 6)}
        sent.words.add(words)
        if self.call("POST", path, body).is_success and event == "transferred":
            self.handed_on()

    def handed_on(self):
        """What a transfer opens is known like what was sent."""
        known = {one.exchange for one in self.sent}
        rows = self.exchange.rows("SELECT id, source, source_request, source_task FROM exchange")
        for identity, source, order, task in rows:
            if identity not in known:
                places = [(one.shelf, one.order) for one in self.sent]
                made = copy.copy(self.sent[places.index((source, order))])  # its words are the same
                made.exchange, made.task, made.door = identity, task, "transfer"
                made.there = self.copied(made)[order]
                self.sent.append(made)

    def side(self):
        """A referral, and either side of it: shelf, Task, order."""
        if not (sent := self.some()):
            return None
        source, task, recipient, theirs, order, _ = self.row(sent)
        either = [(source, task, order), (recipient, theirs, sent.there)]
        return sent, *self.chance.choice(either)

    def says(self):
        if not (side := self.side()):
            return
        sent, shelf, _, order = side
        words = self.words_of(sent)
        message = {"resourceType": "Communication", "status": "completed", "sender": {"display": "Dr. Lin"},
                   "basedOn": [{"reference": order}], "payload": [{"contentString": words}]}  # fmt: skip
        sent.words.add(words)
        self.call("POST", f"{shelf}/fhir/Communication", message)

    def asks(self):
        if not (side := self.side()):
            return
        sent, shelf, task, _ = side
        words = self.words_of(sent)
        asked = copy.deepcopy(QUESTION) | {"partOf": [{"reference": task}]}
        asked["input"].append({"type": DETAIL, "valueString": words})
        sent.words.add(words)
        self.call("POST", f"{shelf}/fhir/Task", asked)

    def hears(self):
        """Whoever has a question or a message answers it, reads it, or takes it back."""
        places = [f"{one}/{SHELVES[purpose][0]}" for one in CLINICS for purpose in SHELVES]
        shelf = self.chance.choice([*places, "agency/support", "agency/intake", "county/intake"])
        rows = self.exchange.rows(
            "SELECT body, exchange FROM resource WHERE method <> 'DELETE' AND exchange <> ''"
            f" AND type IN ('Task', 'Communication') AND shelf = '{shelf}' ORDER BY id"
        )
        of = {one.exchange: one for one in self.sent}
        found = [(json.loads(body), of.get(mark)) for body, mark in rows]
        said = [(one, sent) for one, sent in found
                if sent and ("partOf" in one or one["resourceType"] == "Communication")]  # fmt: skip
        if not said:
            return
        one, sent = self.chance.choice(said)
        words = self.words_of(sent)
        status = self.chance.choice(["completed", "completed", "rejected", "cancelled", "accepted"])
        change = {"status": status, "output": [{"type": {"text": "answer"}, "valueString": words}]}
        if one["resourceType"] == "Communication":
            change = self.chance.choice([
                {"received": "2026-11-24T10:00:00Z"}, {"status": "entered-in-error"},
                {"payload": [{"contentString": words}]},
            ])  # fmt: skip
        sent.words.add(words)
        self.put(shelf, one | change)

    def agency_deletes(self):
        shelf = self.chance.choice(["agency/support", "agency/intake"])
        kind = self.chance.choice(["Patient", "Task", "Observation", "Procedure", "Communication"])
        if found := self.held(shelf, kind):
            self.call("DELETE", f"{shelf}/fhir/{kind}/{self.chance.choice(found)['id']}")

    def partner_changes(self):
        partner = self.chance.choice(list(self.wire.partners.values()))
        partner.fails = self.chance.choice(["", "", "refused", "busy", "lost"])

    def time_goes_on(self):
        self.exchange.now = self.exchange.at + self.chance.choice(WAITS)

    def clock_is_set_back(self):
        """By less than an hour, and not to yesterday, when a consent had not run out yet."""
        before = self.exchange.at - timedelta(minutes=self.chance.randrange(1, 60))
        if before.date() == self.exchange.at.date():
            self.exchange.now = before

    def restart(self):
        self.house.restart()
