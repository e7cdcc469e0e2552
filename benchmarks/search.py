"""
Search as a shelf grows: CPU time of the same searches beside 2,000 Tasks and beside many.

    python benchmarks/search.py [--tasks 1000000] [--database postgres] [--tries 9]

One owner has 1,000 open Tasks, and as many that are done; all others are spread over 500 owners.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import bodies
import processes

from app import conformance, fhir
from app.storage import connection, index, migration, resources, search
from app.storage.database import Database, Tx
from app.storage.parameters import Parameters
from app.storage.query import Reader

SHELF = "clinic/chart"
BASE = "https://bench.example.org/clinic/chart/fhir"
FEW = 2000
OWNED = 1000
DONE = ("completed", "cancelled", "rejected", "failed")
NOT = "&".join(f"status:not={one}" for one in DONE)
OPEN = f"owner=Organization/large&{NOT}&_sort=-_lastUpdated"
START = datetime(2026, 1, 1, tzinfo=UTC)
MARK = "9999-01-01T00:00:00.000Z"
# name: (search, whether a middle page, at most this many times what it takes beside few)
ASKED: dict[str, tuple[str, bool, float]] = {
    "first page of an owner's open": (f"{OPEN}&_count=100", False, 1.5),
    "a middle page": (f"{OPEN}&_count=100", True, 1.5),
    "by identifier": ("identifier=https://bench.example.org/referral|r-n7", False, 1.2),
    "20 newest of an owner": ("owner=Organization/large&status=requested&_count=20", False, 1.5),
    "newest 100 of all": ("_sort=-_lastUpdated&_count=100", False, 1.5),
    "by status": ("status=requested&_count=100", False, 1.5),
    "since a time": ("status=requested&_lastUpdated=ge2026-01-01&_count=20", False, 1.5),
    "of one child": ("subject=child-7&_sort=-authored-on", False, 1.5),
}


def made(
    parameters: Parameters,
) -> Callable[[int, str, str, str, str], tuple[dict[str, Any], list[Any]]]:
    """What makes the rows of one more Task, from those of one that was indexed as any other."""
    resource = json.loads(
        json.dumps(bodies.task(status="@status@"))
        .replace(bodies.NUMBER, "@number@")
        .replace("Organization/agency-3", "Organization/@owner@")
        .replace("Patient/child-4", "Patient/@child@")
    )
    resource |= {"id": "@id@", "meta": {**resource["meta"], "versionId": "1", "lastUpdated": MARK}}
    body, facts = fhir.encode(resource).decode(), index.facts(parameters, resource)
    rows = index._rows(SHELF, "Task", "@id@", MARK, facts)  # noqa: SLF001 — as a create makes them

    def one(
        number: int, owner: str, child: str, status: str, at: str
    ) -> tuple[dict[str, Any], list[Any]]:
        given = {"@id@": f"t{number:08}", "@number@": f"n{number}", "@owner@": owner,
                 "@child@": child, "@status@": status, MARK: at}  # fmt: skip

        def filled(text: str) -> str:
            for mark, value in given.items():
                text = text.replace(mark, value)
            return text

        row = {"shelf": SHELF, "type": "Task", "id": f"t{number:08}", "version": 1, "updated": at,
               "method": "POST", "exchange": "", "facts": filled(facts),
               "body": filled(body).encode()}  # fmt: skip
        return row, [{name: filled(value) for name, value in post.items()} for post in rows]

    return one


def tasks(count: int) -> Iterator[tuple[int, str, str, str, str]]:
    """Number, owner, child, status and time; the large owner's stand among the others."""
    chance = random.Random(7)  # noqa: S311 — the same shelf each time
    every = max(count // (2 * OWNED), 1)
    large = 0
    for number in range(count):
        at = fhir.instant(START + timedelta(seconds=number))
        child = f"child-{number % max(count // 20, 1)}"
        if number % every == 0 and large < 2 * OWNED:
            large += 1
            yield number, "large", child, "requested" if large % 2 else "completed", at
        else:
            status = chance.choice(("requested", "accepted", "in-progress", *DONE))
            yield number, f"o{chance.randrange(500)}", child, status, at


async def fill(opened: Database, parameters: Parameters, count: int) -> None:
    one = made(parameters)
    batch: list[tuple[dict[str, Any], list[Any]]] = []

    async def put(tx: Tx) -> None:
        await tx.run_all(
            resources._CREATE,  # noqa: SLF001
            [row for row, _ in batch],
        )
        posts = sorted(
            (post for _, posts in batch for post in posts), key=lambda row: tuple(row.values())
        )
        await tx.run_all(index._POST, posts)  # noqa: SLF001 — as above

    for task in tasks(count):
        batch.append(one(*task))
        if len(batch) == 2000:
            await opened.write(put, shelves=(SHELF,))
            batch.clear()
            sys.stderr.write(f"\r{task[0] + 1} of {count}")
    await opened.write(put, shelves=(SHELF,))
    sys.stderr.write("\r")


async def measured(  # noqa: PLR0913 — what a figure depends on
    opened: Database,
    parameters: Parameters,
    asked: str,
    *,
    middle: bool,
    tries: int,
    pid: int,
) -> tuple[float, int]:
    """Least CPU milliseconds of a search, service and database together, and how many it found."""
    reader = Reader(parameters, BASE, datetime.now(UTC))
    query = reader.query("Task", parse_qsl(asked, keep_blank_values=True))
    after = None
    if middle:
        for _ in range(4):
            after = (await page(opened, query, after)).places[-1]
    spent = []
    for _ in range(tries):
        began = time.process_time() + (processes.cpu(pid) if pid else 0)
        for _ in range(10):
            query = reader.query("Task", parse_qsl(asked, keep_blank_values=True))
            found = await page(opened, query, after)
        ended = time.process_time() + (processes.cpu(pid) if pid else 0)
        spent.append((ended - began) * 100)
    return min(spent), len(found.found)


async def page(opened: Database, query: Any, after: Any) -> search.Page:
    return await opened.read(
        lambda tx: search.page(tx, SHELF, [query], after=after, most=query.count), shelves=(SHELF,)
    )


async def bytes_alone(opened: Database, parameters: Parameters, tries: int) -> float:
    """CPU milliseconds to read by key the same hundred bodies that the first page has."""
    reader = Reader(parameters, BASE, datetime.now(UTC))
    query = reader.query("Task", parse_qsl(ASKED["first page of an owner's open"][0]))
    names = [f"Task/{one.id}" for one in (await page(opened, query, None)).found]

    async def read(tx: Tx) -> None:
        for name in names:
            await resources.read(tx, SHELF, name)

    spent = []
    for _ in range(tries):
        began = time.process_time()
        for _ in range(10):
            await opened.read(read, shelves=(SHELF,))
        spent.append((time.process_time() - began) * 100)
    return min(spent)


async def run(urls: dict[int, str], tries: int, pid: int) -> dict[str, Any]:
    parameters = Parameters(conformance.load(conformance.folder()))
    opened = {count: connection.connect(url, connections=1) for count, url in urls.items()}
    report: dict[str, Any] = {}
    try:
        for count, one in opened.items():
            began = time.monotonic()
            await fill(one, parameters, count)
            report[f"filled {count}"] = f"{time.monotonic() - began:.0f} s"
        for name, (asked, middle, _) in ASKED.items():
            taken = {
                count: await measured(one, parameters, asked, middle=middle, tries=tries, pid=pid)
                for count, one in opened.items()
            }
            report[name] = taken
        report["hundred bodies by key"] = {
            count: (await bytes_alone(one, parameters, tries), 100) for count, one in opened.items()
        }
    finally:
        for one in opened.values():
            await one.close()
    return report


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument("--tasks", type=int, default=50_000)
    command.add_argument("--tries", type=int, default=7)
    command.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    given = command.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pid = 0
        if given.database == "postgres":
            few, many = (stack.enter_context(processes.postgres()) for _ in range(2))
            urls, pid = {FEW: few.url(), given.tasks: many.url()}, many.pid
        else:
            urls = {count: f"sqlite:///{folder / f'{count}.db'}" for count in (FEW, given.tasks)}
            for url in urls.values():
                migration.migrate(url)
        report = asyncio.run(run(urls, given.tries, pid))
    for name, taken in report.items():
        if isinstance(taken, str):
            print(f"{name}: {taken}")
            continue
        few, many = taken[FEW], taken[given.tasks]
        bound = f", at most {ASKED[name][2]}" if name in ASKED else ""
        print(
            f"{name:32}{few[0]:8.2f} ms beside {FEW:,}{many[0]:9.2f} ms beside {given.tasks:,}"
            f"   x{many[0] / few[0]:.2f}{bound}   ({few[1]} and {many[1]} found)"
        )


if __name__ == "__main__":
    main()
