"""Two clinics and two authorities that do anything in any order, with partners that come and go: nothing leaks or is lost."""

import os
import shutil
import sys
from collections import Counter
from functools import partial

import httpx2
import loaded
import pytest
from days import Days
from days_hold import always, quiet
from days_world import Wire, tenants
from exchange import Exchange, Late, sqlite_rows
from starlette.testclient import TestClient

from app import settings
from app.flows.deliver import Worker
from app.main import build
from app.partners import Partners

LONG = bool(os.environ.get("KINBRIDGE_SOAK"))
SEED = os.environ.get("KINBRIDGE_SEED", "days")
PIECES, RUNS, STEPS = (10, 20, 150) if LONG else (2, 2, 60)


class House:
    """A service on a file, which can be started anew."""

    def __init__(self, file, wire):
        self.wire, self.client = wire, None
        url = f"sqlite:///{file}"
        self.settings = settings.read(
            database_url=url, public_url="https://exchange.example.org", max_body_bytes=200_000,
            retry_first_seconds=0.01, retry_longest_seconds=0.02, retry_give_up_seconds=3e8,
            tenants=tenants(),
        )  # fmt: skip
        rows = partial(sqlite_rows, file)
        self.exchange = Exchange(None, wire, file.parent, url, rows, tenants())

    def restart(self):
        self.end()
        self.exchange.worker = Worker()
        partners = Partners(transport=httpx2.MockTransport(self.wire))
        ours = {"partners": partners, "clock": self.exchange.clock, "worker": self.exchange.worker}
        app = Late(lambda: build(self.settings, **ours, **loaded.stand_ins()))
        self.client = TestClient(app, raise_server_exceptions=False)
        self.exchange.http = self.client.__enter__()

    def end(self):
        if self.client:
            self.client.__exit__(None, None, None)


@pytest.mark.parametrize("piece", range(PIECES))
def test_whatever_all_of_them_do(piece, tmp_path, tables, capsys):
    """No word of one child, clinic or purpose comes to another's, what is said arrives, what is expunged is gone."""
    done = Counter()

    for number in range(RUNS):
        folder = tmp_path / str(number)
        folder.mkdir()
        done += _lived(f"{SEED} {piece} {number}", shutil.copyfile(tables, folder / "exchange.db"))

    with capsys.disabled():
        sys.stdout.write(f"piece {piece}: {RUNS} runs {dict(done)}\n" if LONG else "")
    assert done["2xx"] > RUNS * STEPS // 2
    assert done["expunged"] or not LONG
    assert done["sent"] > RUNS


def _lived(seed, file):
    """How often what was done."""
    wire = Wire()
    house = House(file, wire)
    house.restart()
    days = Days(house.exchange, seed, wire, house.restart)
    try:
        days.begin()
        for _ in range(STEPS):
            days.step()
            always(days)
        quiet(days)
    except BaseException as error:
        last = "\n".join(str(one) for one in days.trace[-20:])
        error.add_note(f"the days are {seed!r}, and these the last acts:\n{last}")
        raise
    finally:
        house.end()
    return days.done + Counter(sent=len(days.sent))
