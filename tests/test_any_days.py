"""Two clinics and two authorities that do anything in any order, with partners that come and go: nothing leaks or is lost."""

import os
import shutil
import sys
from collections import Counter

import pytest
from days import Days
from days_hold import always, quiet
from days_house import House
from days_world import Wire

LONG = bool(os.environ.get("KINBRIDGE_SOAK"))
SEED = os.environ.get("KINBRIDGE_SEED", "days")
PIECES, RUNS, STEPS = (10, 20, 150) if LONG else (2, 2, 60)


@pytest.mark.parametrize("piece", range(PIECES))
def test_whatever_all_of_them_do(piece, tmp_path, tables, capsys):
    """No word of one child, clinic or purpose comes to another's, what is said arrives, what is expunged is gone."""

    def house(folder, wire):
        return House.on_file(shutil.copyfile(tables, folder / "exchange.db"), wire)

    _whole(house, f"{SEED} {piece}", tmp_path, capsys, RUNS)


@pytest.mark.parametrize("piece", range(PIECES // 2))
def test_whatever_they_do_to_two_processes(piece, tmp_path, postgres, capsys):
    """The same on PostgreSQL, where the clocks of two processes differ."""

    def house(folder, wire):
        return House.on_postgres(postgres, folder, wire)

    _whole(house, f"{SEED} two {piece}", tmp_path, capsys, RUNS // 2)


def _whole(house, seed, folder, capsys, runs):
    done = Counter()

    for number in range(runs):
        within = folder / str(number)
        within.mkdir()
        wire = Wire()
        done += _lived(f"{seed} {number}", house(within, wire), wire)

    with capsys.disabled():
        sys.stdout.write(f"{seed}: {runs} runs {dict(done)}\n" if LONG else "")
    assert done["2xx"] > runs * STEPS // 2
    assert done["expunged"] or not LONG
    assert done["sent"] > runs


def _lived(seed, house, wire):
    """How often what was done."""
    house.restart()
    days = Days(house, seed, wire)
    try:
        days.begin()
        always(days)
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
