"""What clinics do on one of their days: records, findings, screenings, referrals and reports by every door."""

import copy
import json
import re
from datetime import timedelta

from days_screenings import Screenings
from days_ways import Answer
from days_world import CLINICS, PEOPLE, SHELVES, Sent

from app.sandbox import family

TENANT = f"{family.KINBRIDGE}/sid/tenant"
FULFILL = {"coding": [{"system": "http://hl7.org/fhir/CodeSystem/task-code", "code": "fulfill"}]}
EHR = "https://ehr.example.org/fhir"


class Clinics(Screenings):
    """Each act is a method; one that finds nothing to do does nothing."""

    doors = ("operation", "operation", "task", "transaction", "batch")

    def begin(self):
        for clinic in CLINICS:
            for child in PEOPLE:
                for purpose in SHELVES:
                    self.record(clinic, purpose, f"zid-{child.lower()}", child)
        self.acting = ""

    def record(self, clinic, purpose, name, child):
        shelf = f"{clinic}/{SHELVES[purpose][0]}"
        address = [{"text": self.words(clinic, child, purpose)}]
        said = {"resourceType": "Patient", "id": name, **PEOPLE[child], "address": address}
        self.borne[shelf, name].add(child)
        if self.put(shelf, said).is_success:
            self.of[shelf, name] = child

    def gives_a_record_away(self):
        clinic, purpose, _ = self.place()
        name, child = self.chance.choice(list(PEOPLE)), self.chance.choice(list(PEOPLE))
        self.record(clinic, purpose, f"zid-{name.lower()}", child)

    def makes_a_second_record(self):
        clinic, purpose, _ = self.place()
        child = self.chance.choice(list(PEOPLE))
        self.record(clinic, purpose, f"zid-{child.lower()}-2", child)

    def amends_a_record(self):
        clinic, purpose, shelf = self.place()
        name = self.chance.choice(self.records(shelf) or ["none"])
        if not (found := self.read(shelf, f"Patient/{name}")):
            return
        address = [{"text": self.words(clinic, self.of[shelf, name], purpose)}]
        if self.chance.random() < 0.3:
            self.patch(f"{shelf}/fhir/Patient/{name}", "address", address)
        else:
            self.put(shelf, found | {"address": address})

    def joins_records(self):
        """Two of one child are one, either of them says so; or they are two again."""
        _, _, shelf = self.place()
        child = self.chance.choice(list(PEOPLE))
        names = [f"zid-{child.lower()}", f"zid-{child.lower()}-2"]
        found = [self.read(shelf, f"Patient/{one}") for one in names]
        if not all(found) or any(self.of.get((shelf, one)) != child for one in names):
            return
        at, kind = self.chance.choice([0, 1]), self.chance.choice(["replaced-by", "replaces"])
        made = {key: one for key, one in found[at].items() if key != "link"}
        link = [{"other": {"reference": f"Patient/{names[1 - at]}"}, "type": kind}]
        self.put(shelf, made | ({"link": link} if self.chance.random() < 0.7 else {}))

    def parts_records(self):
        """Who stands in place of another, or the other, is deleted, or written without its link."""
        _, _, shelf = self.place()
        if not (found := [one for one in self.held(shelf, "Patient") if one.get("link")]):
            return
        one = self.chance.choice(found)
        other = one["link"][0]["other"]["reference"]
        if self.chance.random() < 0.5:
            self.put(shelf, {key: said for key, said in one.items() if key != "link"})
            return
        name = self.chance.choice([other, f"Patient/{one['id']}"])
        if self.call("DELETE", f"{shelf}/fhir/{name}").is_success:
            self.of[shelf, name.partition("/")[2]] = ""

    def deletes(self):
        _, _, shelf = self.place()
        kinds = ["Consent", "Observation", "Observation", "Patient", "ServiceRequest", "Task"]
        kind = self.chance.choice(kinds)
        found = self.held(shelf, kind)
        if not found:
            return
        name = self.chance.choice(found)["id"]
        if self.call("DELETE", f"{shelf}/fhir/{kind}/{name}").is_success:
            self.facts.pop((shelf, name), None)
            if kind == "Patient":
                self.of[shelf, name] = ""

    def finding(self, shelf, purpose, record, name=""):
        child, name = self.of[shelf, record], name or f"zid-f{self.number()}"
        words = self.words(shelf.partition("/")[0], child, purpose)
        self.borne[shelf, name].add(child)
        return {
            "resourceType": "Observation", "id": name, "status": "final",
            "code": {"text": "seen"}, "subject": {"reference": f"Patient/{record}"},
            "valueCodeableConcept": {"text": words},
        }  # fmt: skip

    def knows(self, shelf, one):
        """A finding that stands."""
        if one["resourceType"] == "Observation" and one["id"].startswith("zid-f"):
            record = one["subject"]["reference"].partition("/")[2]
            self.facts[shelf, one["id"]] = (record, one["valueCodeableConcept"]["text"])

    def writes_a_finding(self):
        _, purpose, shelf = self.place()
        known = [name for (one, name) in self.facts if one == shelf]
        name, records = "", self.records(shelf)
        record = self.chance.choice(records) if records else ""
        if known and self.chance.random() < 0.7:
            name = self.chance.choice(known)
            record = self.facts[shelf, name][0] if self.chance.random() < 0.85 else record
        if not self.of.get((shelf, record)):
            return
        made = self.finding(shelf, purpose, record, name)
        made["status"] = "entered-in-error" if self.chance.random() < 0.1 else "final"
        if self.put(shelf, made).is_success:
            self.knows(shelf, made)

    def message(self, shelf, purpose, record):
        """A referral or a report as its EHR writes it, with findings that stand and new ones."""
        clinic, child, number = shelf.partition("/")[0], self.of[shelf, record], self.number()
        self.borne[shelf, record].add(child)
        made = _numbered(purpose, record, number)
        parts = {one["resource"]["resourceType"]: one["resource"] for one in made["entry"]}
        person, order = parts["Patient"], parts["ServiceRequest"]
        linked = (self.read(shelf, f"Patient/{record}") or {}).get("link")
        address = [{"text": self.words(clinic, child, purpose)}]
        person.clear()
        person |= {"resourceType": "Patient", "id": record, **copy.deepcopy(PEOPLE[child])}
        person |= {"address": address} | ({"link": linked} if linked else {})
        note = self.words(clinic, child, purpose)
        agency = "county" if purpose == "r" and self.chance.random() < 0.2 else "agency"
        order |= {"note": [{"text": note}],
                  "identifier": [{"system": "https://ehr.example.org/orders", "value": number}],
                  "performer": [{"identifier": {"system": TENANT, "value": agency}}]}  # fmt: skip
        order.pop("basedOn", None)
        if purpose == "s" and self.chance.random() < 0.15:
            until = self.exchange.at + timedelta(days=self.chance.choice([1, 5]))
            parts["Consent"]["provision"]["period"] = {"end": until.isoformat()[:10]}
        named = self.known(shelf, purpose, record)
        if self.chance.random() < 0.6:
            fact = self.finding(shelf, purpose, record)
            entry = {"fullUrl": f"{EHR}/Observation/{fact['id']}", "resource": fact}
            made["entry"].append(entry)
            named.append(fact["id"])
        order.setdefault("supportingInfo", []).extend(
            {"reference": f"Observation/{one}"} for one in named
        )
        return Sent(child, clinic, purpose, number, {note}, made)

    def known(self, shelf, purpose, record):
        """What the record's list shows: a finding, an answer."""
        stand = [
            name for (one, name), (on, _) in self.facts.items() if (one, on) == (shelf, record)
        ]
        made = sorted(self.answers.get((shelf, record, self.of[shelf, record]), ()))
        named = [self.chance.choice(stand)] if stand and self.chance.random() < 0.6 else []
        if made and purpose == "s" and self.chance.random() < 0.6:
            named.append(self.chance.choice(made))
        return [one for one in named if self.read(shelf, f"Observation/{one}")]

    def sends(self):
        _, purpose, shelf = self.place()
        if not (records := self.records(shelf)):
            return
        record = self.chance.choice(records)
        sent = self.message(shelf, purpose, record)
        sent.door = self.chance.choice(self.doors)
        answer = getattr(self, f"by_{sent.door}")(sent)
        if not answer.is_success:
            return
        for entry in sent.body["entry"]:
            self.knows(shelf, entry["resource"])
        self.of[shelf, record] = sent.child
        rows = self.exchange.rows(
            "SELECT id, source_task FROM exchange"
            f" WHERE source = '{shelf}' AND source_request = '{sent.order}'"
        )
        assert len(rows) == 1, answer.text
        sent.exchange, sent.task = rows[0]
        sent.there = self.copied(sent).get(sent.order, "")  # withdrawn by now, where acts cross
        self.sent.append(sent)

    def by_operation(self, sent):
        act = "$refer" if sent.purpose == "s" else "$report"
        return self.call("POST", f"{sent.shelf}/fhir/{act}", sent.body)

    def by_task(self, sent):
        """Each by itself, the Task last."""
        for entry in sent.body["entry"]:
            answer = self.put(sent.shelf, entry["resource"])
            if not answer.is_success:
                return answer
            self.knows(sent.shelf, entry["resource"])
        number = {"system": "https://ehr.example.org/tasks", "value": sent.number}
        task, once = _task(sent) | {"identifier": [number]}, {}
        if self.chance.random() < 0.5:
            once = {"If_None_Exist": "identifier={system}|{value}".format_map(number)}
        return self.call("POST", f"{sent.shelf}/fhir/Task", task, **once)

    def by_batch(self, sent):
        """As by_task, in one call."""
        answer = self.by_transaction(sent, "batch")
        done = [int(one["response"]["status"][:3]) for one in answer.json()["entry"]]
        for entry, status in zip(sent.body["entry"], done, strict=False):
            if status < 300:
                self.knows(sent.shelf, entry["resource"])
        return Answer(done[-1], answer.text)

    def by_transaction(self, sent, kind="transaction"):
        entries = [
            {**one, "request": {"method": "PUT", "url": one["fullUrl"].removeprefix(f"{EHR}/")}}
            for one in sent.body["entry"]
        ]
        request = {"method": "POST", "url": "Task"}
        entries.append({"resource": _task(sent), "request": request})
        whole = {"resourceType": "Bundle", "type": kind, "entry": entries}
        return self.call("POST", f"{sent.shelf}/fhir", whole)

    def sends_again(self):
        sent = self.some()
        if sent and sent.door == "operation":
            before = self.opened()
            self.by_operation(sent)
            assert self.opened() == before

    def takes_back(self):
        """On its Task or on the order, as it stands or as it was read once; or writes something new into it."""
        if not (sent := self.some()):
            return
        shelf, task, _, _, order, _ = self.row(sent)
        note = {"note": [{"text": self.words_of(sent)}]}
        name, changes = self.chance.choice([
            (task, [{"status": "cancelled"}, {"status": "entered-in-error"}, {"priority": "asap"}]),
            (order, [{"status": "revoked"}, {"status": "entered-in-error"}, note]),
        ])  # fmt: skip
        if not (found := self.read(shelf, name)):
            return
        read = self.old.setdefault((shelf, name), found)
        self.put(
            shelf, (read if self.chance.random() < 0.3 else found) | self.chance.choice(changes)
        )

    def changes_a_consent(self):
        sent = self.some("s")
        consent = self.read(sent.shelf, f"Consent/zid-c{sent.number}") if sent else None
        if not consent:
            return
        said = consent["provision"]
        self.put(sent.shelf, consent | self.chance.choice([
            {"status": "inactive"}, {"status": "active"}, {"dateTime": "2026-11-21"},
            {"provision": {**said, "type": "deny"}},
            {"provision": {**said, "period": {"end": "2027-03-01"}}},
        ]))  # fmt: skip

    def ends_a_reminder(self):
        _, _, shelf = self.place()
        kinds = ("/sid/duty", "/sid/not-followed", "/sid/overdue")
        found = [one for one in self.held(shelf, "Task")
                 if any(kind in str(one.get("identifier")) for kind in kinds)]  # fmt: skip
        if found:
            self.put(shelf, self.chance.choice(found) | {"status": "completed"})


def _numbered(purpose, record, number):
    """The guide's referral or report under ids of its own; every id of a clinic's begins with zid."""
    whole = family.report(by_device=False)
    if purpose == "s":
        whole = family.referral("ServiceRequest/none", consented=True)
    text = json.dumps(whole)
    for old, new in {
        "Consent/rosa-food": f"Consent/zid-c{number}",
        "Observation/injury-finding": f"Observation/zid-i{number}",
        "Patient/rosa": f"Patient/{record}",
        "Practitioner/dr-lin": "Practitioner/zid-lin",
        "PractitionerRole/dr-lin-pediatrics": "PractitionerRole/zid-role",
        "Provenance/report-attested": f"Provenance/zid-p{number}",
        "ServiceRequest/(food-help|report)": f"ServiceRequest/zid-o{number}",
    }.items():
        text = re.sub(f'{old}"', f'{new}"', text)
    made = json.loads(text)
    for entry in made["entry"]:
        entry["resource"]["id"] = entry["fullUrl"].rpartition("/")[2]
    return made


def _task(sent):
    """The clinic's own Task that sends it."""
    orders = (one["resource"] for one in sent.body["entry"] if "/ServiceRequest/" in one["fullUrl"])
    order = next(orders)
    return {
        "resourceType": "Task", "status": "requested", "intent": "order", "code": FULFILL,
        "focus": {"reference": sent.order}, "for": order["subject"], "owner": order["performer"][0],
        "requester": order["requester"], "authoredOn": order["authoredOn"],
    }  # fmt: skip
