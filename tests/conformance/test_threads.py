"""What is long is checked on threads, beside what is short: nothing that both first ask for is theirs alone."""

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from app import conformance
from app.sandbox import examples

NOW = datetime(2026, 11, 26, tzinfo=UTC)
RESOURCES = [
    entry["resource"] for name in ("report", "referral") for entry in examples.good(name)["entry"]
]


@pytest.fixture
def restless():
    """Threads that are changed as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def verdicts():
    definitions = conformance.load()

    def checked(resources):
        return [definitions.check(one, now=NOW) for one in resources]

    return checked


def test_threads_that_first_ask_for_one_profile_all_get_it(restless):
    """Which profiles are being read is not seen from another thread, which would call it a circle."""
    alone = verdicts()(RESOURCES)

    for _ in range(3):
        checked = verdicts()
        with ThreadPoolExecutor(4) as pool:
            for found in pool.map(checked, [RESOURCES] * 4):
                assert found == alone
