"""A service as a process of its own, on either database."""

import tempfile
from functools import partial
from pathlib import Path

import pytest
from exchange import sqlite_rows
from running import Running


@pytest.fixture
def tmp_path():
    """On the disk, which takes its time: between what is written and what is answered a fault has room."""
    with tempfile.TemporaryDirectory(prefix="kinbridge-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(params=["sqlite", "postgres"])
def service(request, tmp_path):
    if request.param == "sqlite":
        path = tmp_path / "kinbridge.db"
        made = Running(tmp_path, f"sqlite:///{path}", partial(sqlite_rows, path))
    else:
        server = request.getfixturevalue("postgres")
        server.empty()
        made = Running(tmp_path, server.url(), server.rows)
    yield made
    if made.process and made.process.poll() is None:
        made.kill()
