"""A service as a process of its own, on either database."""

from functools import partial

import pytest
from exchange import sqlite_rows
from running import Running


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
