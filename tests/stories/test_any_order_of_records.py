"""A clinic with two records that are a child's each, and now and then one child's: no authority is told of two."""

import pytest
from shelves import REPORTS, held, put, seen
from test_any_order_of_reports import CHILDREN, STEPS, Days, of_both, tenants  # noqa: F401 — a fixture


class Records(Days):
    """The same days with a second record beside the first."""

    def __init__(self, exchange, seed):
        super().__init__(exchange, f"records {seed}")
        self.second = "Ann"

    def of_second(self):
        """Words that tell of nobody but whose record the second is."""
        self.count += 1
        return f"{self.second} was seen {self.count:04}"

    def write_the_second(self):
        self.second = self.chance.choice(list(CHILDREN))
        child = {"resourceType": "Patient", "id": "second", **CHILDREN[self.second]}
        return put(self.exchange, REPORTS, {**child, "address": [{"text": self.of_second()}]})

    def amend(self):
        """Either has a new address; its links stay."""
        name, words = self.chance.choice([("rosa", self.words), ("second", self.of_second)])
        found = self.exchange.get(f"{REPORTS}/Patient/{name}")
        if found.status_code != 200:
            return None
        return put(self.exchange, REPORTS, found.json() | {"address": [{"text": words()}]})

    def drop_the_second(self):
        return self.exchange.call("DELETE", f"{REPORTS}/Patient/second")

    def move_a_fact(self):
        """A finding is written into the second record."""
        facts = [one["id"] for one in held(self.exchange, "clinic/reports", "Observation")
                 if one["id"].startswith(("fact-", "other-"))]  # fmt: skip
        if not facts or self.exchange.get(f"{REPORTS}/Patient/second").status_code != 200:
            return None
        said = {"subject": {"reference": "Patient/second"}, "valueString": self.of_second()}
        return put(self.exchange, REPORTS, seen(self.chance.choice(facts), **said))

    def join(self):
        """Where both are one child's, either is replaced by the other, or they are parted."""
        both = ["rosa", "second"]
        found = [self.exchange.get(f"{REPORTS}/Patient/{one}") for one in both]
        if self.child != self.second or any(one.status_code != 200 for one in found):
            return None
        at = self.chance.choice([0, 1])
        made = {name: one for name, one in found[at].json().items() if name != "link"}
        other = {"reference": f"Patient/{both[1 - at]}"}
        link = [{"other": other, "type": self.chance.choice(["replaced-by", "replaces"])}]
        return put(
            self.exchange, REPORTS, made | ({"link": link} if self.chance.random() < 0.7 else {})
        )

    def next(self):
        more = [self.amend, self.amend, self.amend, self.write_the_second, self.drop_the_second, self.move_a_fact, self.move_a_fact, self.join,
                self.join]  # fmt: skip
        return self.chance.choice(more)() if self.chance.random() < 0.4 else super().next()


@pytest.mark.parametrize("seed", [4, 22, 51])
def test_no_authority_has_words_of_two(exchange, seed):
    """Whatever is merged and parted, moved, given away, deleted, handed on and expunged."""
    days = Records(exchange, seed)

    for _ in range(STEPS):
        answer = days.next()
        assert answer is None or answer.status_code < 500, answer.text
        assert of_both(exchange) == {}
    assert days.sent
