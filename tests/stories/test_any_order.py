"""A clinic and an agency that do anything in any order: no referral stays open without a consent, nothing breaks."""

import random

import pytest
from shelves import CHART, CHILD, REFER, TENANT, held, of, put, seen

from app.sandbox import family

AGENCY = "agency/support/fhir"
EHR = "https://ehr.example.org/fhir"
LEO = {"reference": "Patient/leo"}
OPEN = {"requested", "accepted", "in-progress", "on-hold"}
STEPS = 40


class Day:
    """One day of both; chance says what comes next."""

    def __init__(self, exchange, seed):
        self.exchange, self.chance, self.sent = exchange, random.Random(seed), []

    def one(self, shelf, kind):
        found = held(self.exchange, shelf, kind)
        return self.chance.choice(found) if found else None

    def refer(self):
        number = len(self.sent)
        consent = self.chance.choice(["first", "second", f"c{number}"])
        made = family.referral("ServiceRequest/none", consented=True)
        of(made, "Consent").update(id=consent, identifier=[{"system": "urn:c", "value": consent}])
        fact = seen(f"o{number}", valueString=None, valueCodeableConcept={"text": "yes"},
                    subject=self.chance.choice([CHILD, LEO]))  # fmt: skip
        put(self.exchange, CHART, fact)
        of(made, "ServiceRequest").update(
            id=f"r{number}", identifier=[{"system": "urn:r", "value": str(number)}],
            supportingInfo=[{"reference": f"Consent/{consent}"}, {"reference": f"Observation/o{number}"}],
        )  # fmt: skip
        for entry in made["entry"]:
            one = entry["resource"]
            entry["fullUrl"] = f"{EHR}/{one['resourceType']}/{one['id']}"
        self.sent.append(made)
        return self.exchange.call("POST", REFER, made)

    def refer_again(self):
        return (
            self.exchange.call("POST", REFER, self.chance.choice(self.sent)) if self.sent else None
        )

    def change_the_child(self):
        child = self.exchange.get(f"{CHART}/Patient/rosa").json()
        link = [{"other": LEO, "type": "replaces"}]
        changes = [
            {"address": [{"text": str(self.chance.random())}]},
            {"link": link},
            {"link": None},
        ]
        made = {**child, **self.chance.choice(changes)}
        return put(self.exchange, CHART, {name: one for name, one in made.items() if one})

    def change_a_consent(self):
        consent = self.one("clinic/chart", "Consent")
        if consent is None:
            return None
        provision = consent["provision"]
        other = {"identifier": {"system": TENANT, "value": "pantry"}, "display": "Pantry"}
        actor = [{**provision["actor"][0], "reference": other}]
        change = self.chance.choice([
            {"status": "inactive"}, {"status": "active"}, {"patient": LEO}, {"dateTime": "2026-11-21"},
            {"provision": {**provision, "type": "deny"}}, {"provision": {**provision, "actor": actor}},
            None,
        ])  # fmt: skip
        if change is None:
            return self.exchange.call("DELETE", f"{CHART}/Consent/{consent['id']}")
        return put(self.exchange, CHART, {**consent, **change})

    def change_a_fact(self):
        fact = self.one("clinic/chart", "Observation")
        changes = [{"status": "entered-in-error"}, {"subject": LEO}, {"subject": CHILD}]
        return put(self.exchange, CHART, {**fact, **self.chance.choice(changes)}) if fact else None

    def change_an_order(self):
        order = self.one("clinic/chart", "ServiceRequest")
        changes = [{"status": "revoked"}, {"status": "entered-in-error"}, {"subject": LEO}]
        return (
            put(self.exchange, CHART, {**order, **self.chance.choice(changes)}) if order else None
        )

    def answer(self):
        task = self.one("agency/support", "Task")
        status = self.chance.choice(["accepted", "in-progress", "completed", "rejected", "on-hold"])
        return put(self.exchange, AGENCY, {**task, "status": status}) if task else None

    def write(self):
        task = self.one("agency/support", "Task")
        message = {"resourceType": "Communication", "status": "completed", "sender": {"display": "Kim"},
                   "payload": [{"contentString": "Hello."}]}  # fmt: skip
        if task is None:
            return None
        return self.exchange.call(
            "POST", f"{AGENCY}/Communication", {**message, "basedOn": [task["focus"]]}
        )

    def next(self):
        """Something, by either of them: the answer, None where there was nothing to do."""
        does = [self.refer, self.refer_again, self.change_the_child, self.change_a_consent, self.change_a_fact,
                self.change_an_order, self.answer, self.answer, self.write]  # fmt: skip
        return self.chance.choice(does)()


def covers(consent):
    """Whether a family agrees, as the chart has it now."""
    return (
        consent["status"] == "active"
        and consent["patient"] == CHILD
        and consent["provision"].get("type") != "deny"
        and "pantry" not in str(consent["provision"])
    )


@pytest.mark.parametrize("seed", range(4))
def test_no_referral_is_open_that_no_consent_covers(exchange, patient, seed):
    """Whatever was sent, corrected, withdrawn, answered or sent again: both sides agree on where it stands."""
    put(exchange, CHART, {"resourceType": "Patient", "id": "leo", "name": [{"family": "Other"}]})
    day = Day(exchange, seed)
    for _ in range(STEPS):
        answer = day.next()

        assert answer is None or answer.status_code < 500, answer.text
        consents = {
            f"Consent/{one['id']}": one for one in held(exchange, "clinic/chart", "Consent")
        }
        ours = {f"Task/{one['id']}": one for one in held(exchange, "clinic/chart", "Task")}
        theirs = {f"Task/{one['id']}": one for one in held(exchange, "agency/support", "Task")}
        rows = exchange.rows("SELECT source_task, recipient_task, consent FROM exchange")
        for mine, other, consent in rows:
            if theirs[other]["status"] in OPEN:
                assert covers(consents[consent])
                assert ours[mine]["status"] == theirs[other]["status"]
            assert (ours[mine]["status"] == "cancelled") is (theirs[other]["status"] == "cancelled")
    assert "Other" not in str(held(exchange, "agency/support", "Patient"))
