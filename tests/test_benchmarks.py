"""The figures can be taken: what measures is called by nobody else until somebody wants a figure."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.storage import migration

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
ALONE = """
import sqlite3, sys
from pathlib import Path
import driver
file, other = sys.argv[1:]
driver.ROUNDS = 3
rows = driver.made(lambda query: sqlite3.connect(file).execute(query).fetchall())
driver.on_sqlite(Path(other), rows, start=0)
driver.on_sqlite(Path(other), rows, start=3)
"""


@pytest.mark.parametrize("exchange", ["sqlite"], indirect=True)
def test_the_driver_writes_again_what_a_transaction_wrote(exchange, tmp_path):
    """The limit of a transaction is the same rows, as often as it is asked for."""
    child = {"resourceType": "Patient", "name": [{"family": "Abel"}]}
    sent = {"resourceType": "Bundle", "type": "transaction", "entry": [
        {"resource": child, "request": {"method": "POST", "url": "Patient"}}] * 2}  # fmt: skip
    assert exchange.call("POST", "agency/support/fhir", sent).status_code == 200
    other = tmp_path / "other.db"
    migration.migrate(f"sqlite:///{other}")

    made = subprocess.run(
        [sys.executable, "-c", ALONE, exchange.database_url.removeprefix("sqlite:///"), other],
        cwd=BENCHMARKS, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert made.returncode == 0, made.stderr


@pytest.mark.parametrize("script", ["search", "screening", "server", "peers", "beside"])
def test_each_can_be_asked(script):
    """What it needs of the rest of the house is still there."""
    made = subprocess.run(
        [sys.executable, BENCHMARKS / f"{script}.py", "--help"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert made.returncode == 0, made.stderr
