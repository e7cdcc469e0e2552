"""What the tests of checking share: the definitions, loaded once, and the material beside."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app import conformance

sys.path.insert(0, str(Path(__file__).parent))

SHARED = Path(__file__).parents[3] / "shared"


@pytest.fixture(scope="session")
def definitions():
    return conformance.load()


@pytest.fixture(scope="session")
def now():
    return datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture
def soon():
    """Fails what takes more than a few seconds of the processor."""
    start = time.process_time()
    yield
    assert time.process_time() - start < 5


@pytest.fixture(scope="session")
def shared():
    if not SHARED.is_dir():
        pytest.skip("the folder ../shared is not beside the checkout")
    return SHARED
