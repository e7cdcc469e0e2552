"""
Search as a shelf grows: CPU time of the same searches beside 2,000 Tasks and beside many.

    python benchmarks/search.py [--tasks 1000000] [--database postgres] [--tries 9]

One owner has 1,000 open Tasks, and as many that are done; all others are spread over 500 owners.
At the end the coordination platform of ../shared/spec/clients.md polls the service over HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import processes
import shelf

from app import conformance
from app.storage import connection, migration, reindex, resources, search
from app.storage.database import Database, Reading
from app.storage.parameters import Parameters
from app.storage.query import Reader

BASE = "https://bench.example.org/clinic/chart/fhir"
FEW = 2000
NOT = "&".join(f"status:not={one}" for one in shelf.DONE)
OPEN = f"owner=Organization/large&{NOT}&_sort=-_lastUpdated"
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
PAGE = 3.0  # a page of 100, times reading the same bytes by key
PROFILE = (
    "http://hl7.org/fhir/us/sdoh-clinicalcare/StructureDefinition/SDOHCC-TaskForReferralManagement"
)
POLLED = 200
POLL_SECONDS = 1.0


@dataclass
class Filled:
    """A database with so many Tasks; pid of its server, 0 for SQLite."""

    count: int
    url: str
    pid: int
    database: Database

    def spent(self) -> float:
        return time.process_time() + (processes.cpu(self.pid) if self.pid else 0)

    async def page(self, query: Any, after: Any) -> search.Page:
        return await self.database.read(
            lambda tx: search.page(tx, shelf.SHELF, [query], after=after, most=query.count),
            shelves=(shelf.SHELF,),
        )


@contextlib.contextmanager
def filled(kind: str, count: int, parameters: Parameters) -> Iterator[Filled]:
    with contextlib.ExitStack() as stack:
        began, pid = time.monotonic(), 0
        if kind == "postgres":
            server = stack.enter_context(processes.postgres())
            url, pid = server.url(), server.pid
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            url = f"sqlite:///{folder}/{count}.db"
            migration.migrate(url)
        asyncio.run(_known(url, parameters))
        if kind == "postgres":
            shelf.fill_postgres(server.url("postgres"), parameters, count)
        else:
            shelf.fill_sqlite(Path(folder) / f"{count}.db", parameters, count)
        print(f"{count:,} Tasks on {kind}: filled in {time.monotonic() - began:.0f} s", flush=True)
        yield Filled(count, url, pid, connection.connect(url, connections=1))


async def _known(url: str, parameters: Parameters) -> None:
    """An empty database is indexed by every parameter that is loaded."""
    opened = connection.connect(url, connections=1)
    await reindex.look(opened, parameters, (shelf.SHELF,))
    await opened.close()


def read(parameters: Parameters, asked: str) -> Any:
    return Reader(parameters, BASE, datetime.now(UTC)).query("Task", parse_qsl(asked))


async def measured(
    one: Filled, parameters: Parameters, asked: str, *, middle: bool
) -> tuple[float, int]:
    """CPU milliseconds of a search, service and database together, and how many it found."""
    query, after = read(parameters, asked), None
    if middle:
        for _ in range(4):
            after = (await one.page(query, after)).places[-1]
    began, times = one.spent(), 50 if one.pid else 10  # a server's CPU is told in ticks of 10 ms
    for _ in range(times):
        found = await one.page(read(parameters, asked), after)
    return (one.spent() - began) * 1000 / times, len(found.found)


async def by_key(one: Filled, parameters: Parameters) -> tuple[float, int]:
    """CPU milliseconds to read by key the same hundred bodies that the first page has."""
    query = read(parameters, ASKED["first page of an owner's open"][0])
    keys = [
        {"shelf": shelf.SHELF, "type": "Task", "id": found.id}
        for found in (await one.page(query, None)).found
    ]

    async def look(tx: Reading) -> None:
        await tx.each(resources._READ, keys)  # noqa: SLF001 — what a read by key runs

    began, times = one.spent(), 50 if one.pid else 10
    for _ in range(times):
        await one.database.read(look, shelves=(shelf.SHELF,))
    return (one.spent() - began) * 1000 / times, len(keys)


async def compared(both: list[Filled], parameters: Parameters, tries: int) -> None:
    """Each search in turns beside few and beside many; the least of the tries."""
    least: dict[str, list[tuple[float, int]]] = {}
    for _ in range(tries):
        for name, (asked, middle, _bound) in ASKED.items():
            taken = [await measured(one, parameters, asked, middle=middle) for one in both]
            least[name] = [min(pair) for pair in zip(least.get(name, taken), taken, strict=True)]
        taken = [await by_key(one, parameters) for one in both]
        least[""] = [min(pair) for pair in zip(least.get("", taken), taken, strict=True)]
    for one in both:
        await one.database.close()
    print(f"CPU ms{'':26}" + "".join(f"{one.count:>12,}" for one in both))
    for name, (_, _, bound) in ASKED.items():
        (few, some), (many, found) = least[name]
        print(
            f"{name:32}{few:12.3f}{many:12.3f}   x{many / few:.2f}, at most {bound}"
            f"   ({some} and {found} found)"
        )
    pages = least["first page of an owner's open"]
    times = [page[0] / bodies[0] for page, bodies in zip(pages, least[""], strict=True)]
    print(
        f"{'the page, times its bytes by key':32}"
        + "".join(f"{one:12.2f}" for one in times)
        + f"   at most {PAGE}"
    )


def polled(one: Filled) -> None:
    """A search and five reads for each of its Tasks, by a client that asks one thing at a time."""
    with processes.kinbridge(one.url) as (port, pid):
        asked = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

        def get(path: str) -> Any:
            asked.request("GET", path, headers={"Accept": "application/fhir+json"})
            answer = asked.getresponse()
            body = answer.read()
            if answer.status != 200:
                message = f"{answer.status} to a poll"
                raise RuntimeError(message)
            return json.loads(body)

        def poll() -> int:
            at = f"/{shelf.SHELF}/fhir"
            page = get(f"{at}/Task?_profile={PROFILE}&_sort=-_lastUpdated")
            found = [entry["resource"] for entry in page["entry"]]
            while len(found) < POLLED:  # the client itself never follows it, and sees 100
                url = urlsplit(next(x["url"] for x in page["link"] if x["relation"] == "next"))
                page = get(f"{url.path}?{url.query}")
                found += [entry["resource"] for entry in page["entry"]]
            for task in found:
                child = task["for"]["reference"].partition("/")[2]
                get(f"{at}/{task['focus']['reference']}")
                get(f"{at}/{task['owner']['reference']}")
                get(f"{at}/{task['for']['reference']}")
                get(f"{at}/Consent/consent-{child}")
                get(f"{at}/Procedure/done-{child}")
            return len(found)

        poll()
        spent = []
        for _ in range(3):
            began = processes.cpu(pid) + (processes.cpu(one.pid) if one.pid else 0)
            count = poll()
            ended = processes.cpu(pid) + (processes.cpu(one.pid) if one.pid else 0)
            spent.append(ended - began)
    print(
        f"a poll of {count} Tasks with five reads each: {min(spent):.2f} s of the server's CPU,"
        f" at most {POLL_SECONDS}"
    )


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument("--tasks", type=int, default=50_000)
    command.add_argument("--tries", type=int, default=7)
    command.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    given = command.parse_args()
    parameters = Parameters(conformance.load())
    with (
        filled(given.database, FEW, parameters) as few,
        filled(given.database, given.tasks, parameters) as many,
    ):
        asyncio.run(compared([few, many], parameters, given.tries))
        polled(many)


if __name__ == "__main__":
    main()
