"""Whoever asks at the same moment goes together, and nobody waits for ever for who does not come."""

import asyncio
import time

import pytest

from app.errors import Unavailable
from app.storage import gathering
from app.storage.gathering import Gathering


@pytest.fixture
def patient(monkeypatch):
    """A busy machine is no reason to leave before somebody was waited for."""
    monkeypatch.setattr(gathering, "_PATIENCE_SECONDS", 0.5)


class Asked:
    """What goes to the database: each party; `slow` seconds are what it takes."""

    def __init__(self, slow=0.0, fault=None):
        self.parties = []
        self.slow = slow
        self.fault = fault

    async def __call__(self, some):
        self.parties.append(list(some))
        await asyncio.sleep(self.slow)
        if self.fault and "bad" in some:
            raise self.fault
        return [one.upper() for one in some]


def test_who_asks_in_one_turn_or_the_next_goes_together():
    """A request is read in one turn of the loop and understood in another."""

    async def use():
        go = Asked()
        place = Gathering(go, most=10, at_once=1)

        async def late(one):
            await asyncio.sleep(0)
            return await place.ask(one)

        assert await asyncio.gather(place.ask("a"), late("b"), place.ask("c")) == ["A", "B", "C"]
        assert sorted(go.parties[0]) == ["a", "b", "c"]
        assert len(go.parties) == 1

    asyncio.run(use())


def test_no_more_go_than_may_and_nobody_is_forgotten():
    """In the order in which they came."""

    async def use():
        go = Asked(slow=0.001)
        place = Gathering(go, most=3, at_once=1)
        asked = [f"n{number}" for number in range(10)]
        found = await asyncio.gather(*map(place.ask, asked))
        assert found == [one.upper() for one in asked]
        assert max(map(len, go.parties)) == 3
        assert [one for party in go.parties for one in party] == asked

    asyncio.run(use())


def test_who_cannot_go_together_goes_one_after_the_other():
    """As two writes of one resource; who waits for the same is not overtaken."""

    def apart(waiting):
        return [place for place, one in enumerate(waiting) if one not in waiting[:place]]

    async def use():
        go = Asked()
        place = Gathering(go, most=10, at_once=1, together=apart)
        assert await asyncio.gather(*map(place.ask, "aabab")) == [*"AABAB"]
        assert go.parties == [["a", "b"], ["a", "b"], ["a"]]

    asyncio.run(use())


def test_a_fault_is_told_to_who_is_at_fault_alone():
    """The others are asked again, each by itself."""

    async def use():
        go = Asked(fault=ValueError("bad"))
        place = Gathering(go, most=10, at_once=1)
        asked = [place.ask(one) for one in ("a", "bad", "b")]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert found[0] == "A"
        assert found[2] == "B"
        assert isinstance(found[1], ValueError)
        assert go.parties == [["a", "bad", "b"], ["a"], ["bad"], ["b"]]

    asyncio.run(use())


def test_a_database_that_is_away_is_told_to_all_and_asked_once():
    """To ask for each alone would only keep everybody waiting."""

    async def use():
        go = Asked(fault=Unavailable("away"))
        place = Gathering(go, most=10, at_once=1)
        asked = [place.ask(one) for one in ("a", "bad")]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(one) for one in found] == [Unavailable, Unavailable]
        assert len(go.parties) == 1

    asyncio.run(use())


@pytest.mark.parametrize("says", [True, False])
def test_nobody_waits_long_for_who_does_not_come(patient, says):
    """Three are expected and two come; the third says so, or the clock does."""

    async def use():
        go, expected = Asked(), 3
        place = Gathering(go, most=10, at_once=1, expected=lambda: expected)
        asked = [place.ask("a"), place.ask("b")]
        for _ in range(5):
            await asyncio.sleep(0)
        assert not go.parties
        begun = time.monotonic()
        if says:
            expected = 2
            place.fewer()
        assert await asyncio.gather(*asked) == ["A", "B"]
        assert (time.monotonic() - begun < 0.4) is says
        assert go.parties == [["a", "b"]]

    asyncio.run(use())


def test_who_is_expected_is_waited_for(patient):
    """However many turns of the loop that takes."""

    async def use():
        go = Asked()
        place = Gathering(go, most=10, at_once=1, expected=lambda: 2)
        first = place.ask("a")
        for _ in range(5):
            await asyncio.sleep(0)
        assert await asyncio.gather(first, place.ask("b")) == ["A", "B"]
        assert go.parties == [["a", "b"]]

    asyncio.run(use())
