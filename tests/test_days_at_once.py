"""The acts of whole days by several people at once, at two processes and at one: nothing leaks or is lost."""

import asyncio
import copy
import json
import os
import random
import shutil
import sys
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from days import ACTS, Days
from days_hold import always, quiet
from days_house import House
from days_world import CLINICS, WORD, Wire
from exchange import Exchange

from app.storage.commits import Commits

LONG = bool(os.environ.get("KINBRIDGE_SOAK"))
SEED = os.environ.get("KINBRIDGE_SEED", "at once")
PIECES, ROUNDS = (6, 20) if LONG else (1, 5)
PEOPLE_AT_ONCE, EACH = 6, 3
HESITATIONS = [0, 0, 0.01, 0.04]  # seconds
BETWEEN = {"time_goes_on": 3, "clock_is_set_back": 1, "restart": 1, "partner_changes": 10}
AT_ONCE = {act: often for act, often in ACTS.items() if act not in BETWEEN} | {
    "changes_a_consent": 12,
    "expunges": 4,
}

# what meets at one referral or report, where most is to be held together
CONSENT = {"changes_a_consent": 6, "says": 4, "hears": 2, "agency_answers": 4, "writes_a_finding": 3,
           "amends_a_record": 3, "sends": 3}  # fmt: skip
EXPUNGED = {"expunges": 2, "sends": 5, "writes_a_finding": 2, "says": 2, "sends_again": 1}
THEMES = {"s": CONSENT, "r": EXPUNGED}


@pytest.mark.parametrize("piece", range(PIECES))
def test_whatever_they_do_at_once(piece, tmp_path, tables, capsys):
    """No word of one child, clinic or purpose comes to another's, what is said arrives, what is expunged is gone."""
    wire = Wire()
    house = House.on_file(shutil.copyfile(tables, tmp_path / "exchange.db"), wire, commits=Hesitant)

    _lived(f"{SEED} {piece}", house, wire, capsys)


@pytest.mark.parametrize("piece", range(PIECES))
def test_whatever_they_do_at_once_to_two_processes(piece, tmp_path, postgres, capsys):
    """The same on PostgreSQL, where who acts at once may come to different processes."""
    wire = Wire()

    _lived(
        f"{SEED} two {piece}",
        House.on_postgres(postgres, tmp_path, wire, commits=Hesitant),
        wire,
        capsys,
    )


def _lived(seed, house, wire, capsys):
    house.restart()
    days = AtOnce(house, seed, wire)
    try:
        days.begin()
        days.always()
        for _ in range(ROUNDS):
            days.round()
            days.always()
        quiet(days)
    except BaseException as error:
        error.add_note(f"the days are {seed!r}, and these the last acts:\n{days.told()}")
        raise
    finally:
        house.end()

    done = sum((one.done for one in days.people), days.done) + Counter(sent=len(days.sent))
    with capsys.disabled():
        sys.stdout.write(f"{seed}: {dict(done)}, mixed {len(days.mixed)}\n" if LONG else "")
    assert done["2xx"] > ROUNDS * PEOPLE_AT_ONCE
    assert done["sent"] > ROUNDS // 2


class Hesitant(Commits):
    """Something may happen between the plan and the commit."""

    async def commit(self, made):
        await asyncio.sleep(random.choice(HESITATIONS))
        return await super().commit(made)


class Caller:
    """The exchange as one of several calls it: only the process that it comes to is its own."""

    call, get = Exchange.call, Exchange.get

    def __init__(self, exchange):
        self.exchange = exchange

    def __getattr__(self, name):
        return getattr(self.exchange, name)


class Person(Days):
    """
    One of those who act at once: what it knows is what was known when the round began, and what it did itself.

    What others do at the same time it does not see, so it counts no exchanges, and a transfer is known
    after the round.
    """

    def __init__(self, days, number):
        super().__init__(days.house, f"{days.seed} {number}", days.wire)
        self.doors = (*Days.doors, "task", "task", "task")  # the longest
        self.exchange, self.numbers, self.old = Caller(days.exchange), days.numbers, days.old
        self.borne = days.borne

    def acts(self, days):
        self.sent, self.of, self.facts = [*days.sent], {**days.of}, {**days.facts}
        self.answers, self.few, self.said = copy.deepcopy(days.answers), days.few, []
        self.trace, self.withdrawn, self.sending = [], [], days.sending
        if days.theme is not AT_ONCE:
            self.facts = {
                one: said for one, said in self.facts.items() if one in days.shared
            } or self.facts
        for _ in range(EACH):
            self.step(days.theme)

    def comes_to(self, at):
        self.exchange.http, _ = self.house.processes[at]

    def call(self, method, path, body=None, **headers):
        if path.endswith("/fhir/Task") and "focus" in body:
            self.sending.append((path.removesuffix("/fhir/Task"), body["focus"]["reference"][-4:]))
        answer = super().call(method, path, body, **headers)
        if method != "GET":
            said = f"{path} {json.dumps(body)} {answer.headers} {answer.text}"
            self.said.append((path.partition("/")[0], said))
        return answer

    def opened(self):
        return None

    def handed_on(self):
        self.done["handed on"] += 1

    def step(self, acts=ACTS):
        if self.sending and self.chance.random() < 0.5:
            with suppress(IndexError):
                shelf, number = self.sending.pop()
                self.comes_to(self.chance.randrange(len(self.house.processes)))
                if shelf.endswith("chart"):
                    self.withdraws(shelf, number)
                else:
                    self.trace.append(("expunges", number))
                    self.expunges()
        super().step(acts)

    def withdraws(self, shelf, number):
        """The consent of what is being sent at this moment."""
        self.trace.append(("withdraws", number))
        if consent := self.read(shelf, f"Consent/zid-c{number}"):
            self.put(shelf, consent | {"status": "inactive"})
        self.sees_a_withdrawal(shelf, number)

    def changes_a_consent(self):
        super().changes_a_consent()
        for one in self.few:
            self.sees_a_withdrawal(one.shelf, one.number)

    def expunges(self):
        if sent := self.some("r"):
            _, _, shelf, name, _, _ = self.row(sent)
            self.call("POST", f"{shelf}/fhir/{name}/$record-event", {"event": "expunged"})

    def sees_a_withdrawal(self, shelf, number):
        """How much was accounted once a consent had been withdrawn: no more may be while that stands."""
        consent = self.read(shelf, f"Consent/zid-c{number}")
        if consent and (
            consent["status"] != "active" or consent["provision"].get("type") == "deny"
        ):
            seen = (shelf, number, consent["meta"]["versionId"])
            self.withdrawn.append((*seen, self.accounted(shelf, number)))

    def accounted(self, shelf, number):
        """What was of an order, but for that it was taken back."""
        return self.exchange.rows(
            "SELECT l.at, l.rule, l.recipient, l.disclosed FROM ledger l"
            " JOIN exchange e ON e.id = l.exchange WHERE l.rule <> 'taken-back'"
            f" AND e.source = '{shelf}' AND e.source_request = 'ServiceRequest/zid-o{number}' ORDER BY l.id"
        )

    def some(self, purpose="sr"):
        """Mostly of the few that all of them are about in this round."""
        few = [one for one in self.few if one.purpose in purpose]
        return (
            self.chance.choice(few) if few and self.chance.random() < 0.8 else super().some(purpose)
        )

    def place(self):
        if not self.few or self.chance.random() < 0.3:
            return super().place()
        one = self.chance.choice(self.few)
        return one.clinic, one.purpose, one.shelf

    def records(self, shelf):
        found, children = super().records(shelf), {one.child for one in self.few}
        return [one for one in found if self.of[shelf, one] in children] or found


class AtOnce(Days):
    """
    Rounds in which several act at the same time, and what is known once all of them are done.

    Whose a record is, and what a finding says, is then what stands. Three things cannot be said of acts
    that cross, and are not held here, while test_any_days holds them:

    * Of which child something is that was written into a record by one while another gave that record to
      another child, or deleted it: either may have come first. Such words, and such an order where it is
      not one with its record, are `mixed`.
    * Who wrote a version. One of whose exchange the shelf's own people said anything in the round may be
      theirs; any other is by somebody else, so must be accounted and pushed.
    * That a version bears the time of its accounting: it comes after what was written to its shelf between
      the plan and the commit. That what came is accounted, is counted.
    """

    def __init__(self, house, seed, wire):
        super().__init__(house, seed, wire)
        self.seed, self.few, self.said, self.sending = seed, [], defaultdict(str), []
        self.theme, self.shared = AT_ONCE, set()
        self.exchange.set_back = True  # the times of the accounting are not held
        self.people = [Person(self, number) for number in range(PEOPLE_AT_ONCE)]

    def round(self):
        self.trace.clear()
        self.sending.clear()
        if self.chance.random() < 0.3:
            self.step(BETWEEN)
        self.begins()
        with ThreadPoolExecutor(len(self.people)) as pool:
            list(pool.map(lambda one: one.acts(self), self.people))
        self.settles()
        for one in self.people:
            for shelf, number, version, rows in one.withdrawn:
                stands = self.read(shelf, f"Consent/zid-c{number}") or {"meta": {"versionId": ""}}
                if stands["meta"]["versionId"] == version:
                    more = one.accounted(shelf, number)[len(rows) :]
                    assert not more, f"after it was withdrawn: {shelf} {number}, {more}"

    def begins(self):
        """What this round is about: two of the last, or one alone."""
        self.few, self.theme = self.chance.sample(self.sent[-12:], min(2, len(self.sent))), AT_ONCE
        purpose = self.chance.choice(["", *THEMES])
        if purpose and (one := self.some(purpose)):
            self.few, self.theme = [one], THEMES[purpose]
            self.shared = {(one.shelf, name.partition("/")[2]) for name in self.copied(one)}
            consent = self.read(one.shelf, f"Consent/zid-c{one.number}")
            if consent:
                permits = {**consent["provision"], "type": "permit"}
                self.put(one.shelf, consent | {"status": "active", "provision": permits})

    def settles(self):
        known = len(self.sent)
        handed = sum(one.done.pop("handed on", 0) for one in self.people)
        self.said = defaultdict(str)
        for one in self.people:
            self.sent += one.sent[known:]
            for key, names in one.answers.items():
                self.answers.setdefault(key, set()).update(names)
            for tenant, said in one.said:
                self.said[tenant] += said
        self.mixes(self.sent[known:])
        sent = len(self.sent)
        self.handed_on()
        assert len(self.sent) - sent <= handed, "opened by nobody"
        self.looks()

    def looks(self):
        """Whose each record is, and what each finding says."""
        self.of = dict.fromkeys(self.of, "")
        self.facts = {}
        for shelf, body in self.exchange.rows(_KNOWN):
            one = json.loads(body)
            if one["resourceType"] == "Patient" and shelf.startswith(CLINICS):
                self.of[shelf, one["id"]] = one["name"][0]["given"][0]
            elif shelf.startswith(CLINICS):
                self.knows(shelf, one)

    def mixes(self, sent):
        """Words of a child who had a record, or got one, that was another's or nobody's in the same round."""
        hands, mixed = defaultdict(set), set()
        for shelf, name, at, method, body in self.exchange.rows(_RECORDS):
            if shelf.startswith(CLINICS) and (shelf, f"Patient/{name}", at) not in self.writers:
                child = "" if method == "DELETE" else json.loads(body)["name"][0]["given"][0]
                hands[shelf, name] |= {child, self.of.get((shelf, name), child)}
        for (shelf, _), children in hands.items():
            mixed |= {(shelf, child) for child in children} if len(children) > 1 else set()
        for one in self.people:
            for _, path, *_, words in (act for act in one.trace if len(act) > 2):
                shelf = "/".join(path.split("/")[:2])
                self.mixed |= {word for word in words if (shelf, WORD.match(word)[2]) in mixed}
        self.mixed |= {one.order for one in sent
                       if one.door in {"task", "batch"} and (one.shelf, one.child) in mixed}  # fmt: skip

    def who(self, shelf, exchange):
        tenant = shelf.partition("/")[0]
        named = not exchange or any(one in self.said[tenant] for one in self.names[shelf, exchange])
        return tenant if named else "somebody else"

    def always(self):
        """What is called what in each exchange is looked up once."""
        self.names = defaultdict(set)
        for shelf, exchange, name in self.exchange.rows(_MARKED):
            self.names[shelf, exchange].add(name)
        for shelf, exchange, consent, copies in self.exchange.rows(_COPIED):
            here = [consent, *json.loads(copies)]
            self.names[shelf, exchange] |= {
                one.partition("/")[2].removesuffix("-2") for one in here if one
            }
        always(self)

    def told(self):
        """The last acts of each."""
        lines = [f"before: {self.trace}"]
        for number, one in enumerate(self.people):
            lines += [f"person {number}:", *map(str, one.trace)]
        return "\n".join(lines)


_KNOWN = """
    SELECT shelf, body FROM resource
    WHERE type IN ('Patient', 'Observation') AND method <> 'DELETE' ORDER BY shelf, id"""
_MARKED = "SELECT shelf, exchange, id FROM resource WHERE exchange <> ''"
_COPIED = "SELECT source, id, consent, copies FROM exchange"
_RECORDS = """
    SELECT shelf, id, updated, method, body FROM resource WHERE type = 'Patient'
    UNION ALL SELECT shelf, id, updated, method, body FROM version WHERE type = 'Patient'"""
