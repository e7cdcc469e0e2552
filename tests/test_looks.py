"""What a planner asks for by the dozen is looked up together."""

import asyncio

from app.domain.loaded import Want
from app.storage import resources


class Counting:
    """A database in which nothing stands; how often it is asked, and for how much at once."""

    def __init__(self):
        self.asked = []

    async def each(self, _, values):
        if values:
            self.asked.append(len(values))
        return [[] for _ in values]

    async def rows(self, *_, **__):
        raise AssertionError("one by one")


def test_who_waits_for_each_number_of_a_patient_is_looked_up_together():
    """On PostgreSQL each look by itself is a round trip: 190,000 took half a minute."""
    wants = [Want("awaiting", "a/b", f"number|{each}") for each in range(450)]
    database = Counting()

    seen = asyncio.run(resources.load(database, wants, None))

    assert seen == {want: [] for want in wants}
    assert database.asked == [200, 200, 50]
