"""A clinic that gives one record to two children, and authorities that do anything in any order: neither is told the other's."""

import json
import random

import pytest
from exchange import COUNTY, resources
from shelves import REPORT, REPORTS, attached, held, of, put, seen
from test_another_person import FIRST, MRN, local
from test_expunge import every_row

STEPS = 40
_STATES = "SELECT source_request, CASE WHEN min(state) = max(state) THEN min(state) ELSE '' END FROM exchange GROUP BY 1"
CHILDREN = {
    "Ann": {**FIRST, "name": [{"family": "Abel", "given": ["Ann"]}]},
    "Tim": {
        "name": [{"family": "Baker", "given": ["Tim"]}],
        "birthDate": "2014-05-06",
        "identifier": [{"system": MRN, "value": "2"}],
    },
}
EVENTS = [
    {"event": "received", "intakeNumber": "26-1", "owner": {"name": "Sam", "phone": "555-0142"}},
    {"event": "awaiting-information", "question": "other", "owner": {"name": "Sam", "phone": "555-0142"}},
    {"event": "screened-in"}, {"event": "screened-out"}, {"event": "closed"},
    {"event": "disposition", "disposition": "1"}, {"event": "transferred", "to": "county"},
    {"event": "expunged"}, {"event": "expunged"},
]  # fmt: skip


class Days:
    """What both do; chance says what comes next."""

    def __init__(self, exchange, seed):
        self.exchange, self.chance = exchange, random.Random(seed)
        self.child, self.count, self.sent, self.said = "Ann", 0, {}, {}

    def words(self):
        """Words that tell of nobody but whose record it is."""
        self.count += 1
        return f"{self.child} was seen {self.count:04}"

    def report(self):
        self.count += 1
        order, facts = f"order-{self.count}", [f"fact-{self.count}", f"other-{self.count}"]
        made = local({**CHILDREN[self.child], "address": [{"text": self.words()}]}, order=order)
        own = of(made, "Observation")["id"]
        text = json.dumps(made).replace(f'Observation/{own}"', f'Observation/own-{order}"')
        made = json.loads(text)
        of(made, "Observation")["id"] = f"own-{order}"
        of(made, "ServiceRequest")["note"] = [{"text": self.words()}]
        made = attached(made, *(seen(one, valueString=self.words()) for one in facts))
        answer = self.exchange.call("POST", REPORT, made)
        if answer.status_code == 200:
            self.sent[resources(answer, "Task")[0]["id"]] = self.child
            self.said[order] = [of(made, "ServiceRequest")["note"][0]["text"], *(
                one["resource"]["valueString"] for one in made["entry"]
                if one["resource"].get("valueString", "").startswith(self.child)
            )]  # fmt: skip
        return answer

    def give_away(self):
        self.child = {"Ann": "Tim", "Tim": "Ann"}[self.child]
        return self.write_the_child()

    def write_the_child(self):
        child = {"resourceType": "Patient", "id": "rosa", **CHILDREN[self.child]}
        return put(self.exchange, REPORTS, {**child, "address": [{"text": self.words()}]})

    def drop_the_child(self):
        return self.exchange.call("DELETE", f"{REPORTS}/Patient/rosa")

    def write_a_fact(self):
        facts = [one["id"] for one in held(self.exchange, "clinic/reports", "Observation")
                 if one["id"].startswith(("fact-", "other-"))]  # fmt: skip
        if not facts or not held(self.exchange, "clinic/reports", "Patient"):
            return None
        return put(
            self.exchange, REPORTS, seen(self.chance.choice(facts), valueString=self.words())
        )

    def tell(self):
        tasks = [(shelf, one) for shelf in ("agency/intake", "county/intake")
                 for one in held(self.exchange, shelf, "Task") if "focus" in one and "partOf" not in one]  # fmt: skip
        if not tasks:
            return None
        shelf, task = self.chance.choice(tasks)
        path, event = f"{shelf}/fhir/Task/{task['id']}/$record-event", self.chance.choice(EVENTS)
        ((own,),) = self.exchange.rows(
            "SELECT source_task FROM exchange"
            f" WHERE recipient = '{shelf}' AND recipient_task = 'Task/{task['id']}'"
        )
        before = self.standing()
        answer = self.exchange.call("POST", path, event)
        if event["event"] == "expunged" and answer.status_code == 200:
            others = {
                name: one for name, one in before.items() if f"{self.child} was seen" in str(one)
            }
            if self.sent.get(own.partition("/")[2]) not in {self.child, None}:
                assert others.items() <= self.standing().items()
        return answer

    def standing(self):
        """What stands at the clinic of the child and of what was seen."""
        kinds = ("Patient", "Observation")
        found = [one for kind in kinds for one in held(self.exchange, "clinic/reports", kind)]
        return {f"{one['resourceType']}/{one['id']}": one for one in found}

    def say(self):
        tasks = [
            one for one in held(self.exchange, "clinic/reports", "Task") if one["id"] in self.sent
        ]
        task = self.chance.choice(tasks) if tasks else {}
        if "focus" not in task:
            return None
        message = {
            "resourceType": "Communication", "status": "completed", "basedOn": [task["focus"]],
            "sender": {"display": "Dr. Lin"}, "payload": [{"contentString": f"Of {self.sent[task['id']]}."}],
        }  # fmt: skip
        return self.exchange.call("POST", f"{REPORTS}/Communication", message)

    def next(self):
        does = [self.report, self.report, self.give_away, self.write_the_child, self.drop_the_child,
                self.write_a_fact, self.write_a_fact, self.tell, self.tell, self.tell, self.say]  # fmt: skip
        return self.chance.choice(does)()


@pytest.fixture
def tenants(tenants):
    """Two authorities take reports."""
    return [*tenants, COUNTY]


def of_both(exchange):
    """Exchanges of which an authority has words of both children, in any version."""
    words = {}
    for table in ("resource", "version"):
        mark = (
            "t.exchange"
            if table == "resource"
            else (
                "(SELECT r.exchange FROM resource r WHERE (r.shelf, r.type, r.id) = (t.shelf, t.type, t.id))"
            )
        )
        for exchange_id, body in exchange.rows(
            f"SELECT {mark}, t.body FROM {table} t WHERE t.shelf LIKE '%/intake'"
        ):
            text = bytes(body).decode()
            words.setdefault(exchange_id, set()).update(
                one for one in CHILDREN if f"{one} was seen" in text or f'"{one}"' in text
            )
    return {one: said for one, said in words.items() if len(said) > 1}


@pytest.mark.parametrize("seed", [0, 13, 21])
def test_no_authority_has_words_of_both(exchange, seed):
    """Whatever is rewritten, told, handed on and expunged; and the record at the clinic is whose it was last."""
    days = Days(exchange, f"reports {seed}")
    done = []

    for _ in range(STEPS):
        answer = days.next()
        if answer is not None:
            assert answer.status_code < 500, answer.text
            done.append(answer.status_code)
        assert of_both(exchange) == {}
    rows = every_row(exchange)
    for order, states in exchange.rows(_STATES):
        words = days.said[order.partition("/")[2]]
        assert states != "expunged" or [one for one in words if one in rows] == []

    stands = exchange.get(f"{REPORTS}/Patient/rosa")
    if stands.status_code == 200:
        assert stands.json()["name"] == CHILDREN[days.child]["name"]
    assert len(days.sent) > 1
    assert done.count(200) > STEPS // 5
