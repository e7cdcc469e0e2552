"""
CPU time of the service for each request, beside its limits, all in turns in one run.

    python benchmarks/server.py [--seconds 2] [--turns 3] [--only read,create] [--out FILE]

Limits: a bare FastAPI route that answers the same bytes under the same server; for a transaction
also the driver alone, inserting the same rows with the same indexes. The least of several turns is
the figure, since what another process takes is none of ours. Ratios travel, absolutes do not.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bodies
import driver
import processes
from load import GENERATOR, Request, drive

from app.storage import migration

BASE = "/agency/support/fhir"  # what comes here is stored, as by any server
CHART = "/clinic/chart/fhir"  # here a screening is read, too
RESULTS = Path(__file__).parent / "results"
TASKS = tuple(f"task-{number}" for number in range(500))
AGED = TASKS[:20]  # have some versions behind them
UPDATED = TASKS[20:]
VERSIONS = 5
SEARCH = (
    "Task?owner=Organization/agency-3&status=in-progress&_sort=-_lastUpdated&_count=20&_total=none"
)

# What must hold, as a share: limit's CPU / ours. Of the bare route, and of the driver alone.
HELD = {
    ("read", "sqlite"): 0.5,
    ("read", "postgres"): 0.2,
    ("create", "sqlite"): 0.2,
    ("transaction of 30", "sqlite"): 0.3,
    ("transaction of 30", "postgres"): 0.3,
}


@dataclass(frozen=True)
class Operation:
    """
    A request to the service, and its limit: the bare route, GET by name or an echo.

    bare        what the bare route is asked
    """

    ours: Request
    bare: Request


def operations() -> dict[str, Operation]:
    task, update = bodies.text(bodies.task()), bodies.text(bodies.update())
    bundle = bodies.text(bodies.transaction())
    one, own = f"{BASE}/Task/{bodies.ID}", f"{BASE}/Task"
    return {
        "read": Operation(Request("GET", one, ids=TASKS), Request("GET", "/read")),
        "create": Operation(Request("POST", own, task), Request("POST", "/echo", task)),
        "update": Operation(
            Request("PUT", one, update, UPDATED), Request("PUT", "/echo", update, UPDATED)
        ),
        "transaction of 30": Operation(
            Request("POST", BASE, bundle), Request("POST", "/echo", bundle)
        ),
        "the same, read": Operation(
            Request("POST", CHART, bundle), Request("POST", "/echo", bundle)
        ),
        "search, 20 newest": Operation(
            Request("GET", f"{BASE}/{SEARCH}"), Request("GET", "/search")
        ),
        "history": Operation(
            Request("GET", f"{one}/_history", ids=AGED), Request("GET", "/history")
        ),
    }


@dataclass
class Measured:
    """CPU milliseconds for each request, in each turn: of the process, and of its database."""

    own: list[float] = field(default_factory=list)
    database: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)

    @property
    def best(self) -> int:
        both = [sum(one) for one in zip(self.own, self.database, strict=True)]
        return both.index(min(both))

    def said(self) -> dict[str, Any]:
        best = self.best
        return {
            "cpu_ms": round(self.own[best], 4),
            "database_cpu_ms": round(self.database[best], 4),
            "per_second": round(max(self.per_second, default=0)),
            "turns_cpu_ms": [
                round(sum(one), 4) for one in zip(self.own, self.database, strict=True)
            ],
        }


@dataclass(frozen=True)
class Target:
    """A server under load; database: the process of PostgreSQL, 0 where there is none."""

    port: int
    pid: int
    database: int = 0

    def measure(self, request: Request, into: Measured, *, seconds: float, run: str) -> None:
        drive(self.port, request, seconds=1, run=f"w{run}")
        before = [processes.cpu(one) if one else 0.0 for one in (self.pid, self.database)]
        count, took = drive(self.port, request, seconds=seconds, run=run)
        after = [processes.cpu(one) if one else 0.0 for one in (self.pid, self.database)]
        own, database = (1000 * (b - a) / count for a, b in zip(before, after, strict=True))
        into.own.append(own)
        into.database.append(database)
        into.per_second.append(count / took)


def call(port: int, method: str, path: str, body: str = "") -> bytes:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request(method, path, body or None, {"Content-Type": "application/fhir+json"})
        answer = connection.getresponse()
        said = answer.read()
    if answer.status >= 300:
        message = f"{method} {path} answered {answer.status}: {said[:500]!r}"
        raise RuntimeError(message)
    return said


def fill(port: int) -> dict[str, bytes]:
    """The resources that the load reads and updates; what a read and a history answer."""
    body = bodies.text(bodies.update())
    for name in TASKS:
        for _ in range(VERSIONS if name in AGED else 1):
            sent = body.replace(bodies.ID, name).replace(bodies.NUMBER, name)
            call(port, "PUT", f"{BASE}/Task/{name}", sent)
    return {
        "read": call(port, "GET", f"{BASE}/Task/{TASKS[-1]}"),
        "history": call(port, "GET", f"{BASE}/Task/{AGED[0]}/_history"),
        "search": call(port, "GET", f"{BASE}/{SEARCH}"),
    }


def rows(port: int, select: Callable[[str], Any]) -> driver.Rows:
    """What one transaction of 30 leaves in an empty database."""
    call(port, "POST", BASE, bodies.text(bodies.transaction()).replace(bodies.NUMBER, "first"))
    return driver.made(select)


def measure(seconds: float, turns: int, only: set[str]) -> dict[str, Any]:
    asked = {name: one for name, one in operations().items() if not only or name in only}
    taken: dict[tuple[str, str], Measured] = {}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        file = folder / "bench.db"
        migration.migrate(f"sqlite:///{file}")
        server = stack.enter_context(processes.postgres())
        port, pid = stack.enter_context(processes.kinbridge(f"sqlite:///{file}"))
        targets = {"sqlite": Target(port, pid)}
        port, pid = stack.enter_context(processes.kinbridge(server.url()))
        targets["postgres"] = Target(port, pid, server.pid)
        reader = stack.enter_context(closing(sqlite3.connect(file)))
        kept = rows(targets["sqlite"].port, lambda query: reader.execute(query).fetchall())
        rows(targets["postgres"].port, server.rows)
        answers = folder / "answers"
        answers.mkdir()
        for target in targets.values():
            for name, said in fill(target.port).items():
                (answers / name).write_bytes(said)
        port = processes.free_port()
        bare = [sys.executable, str(Path(__file__).parent / "bare.py"), str(port), str(answers)]
        process = stack.enter_context(processes.started(bare, port=port, path="/read"))
        targets = {"bare": Target(port, process.pid), **targets}
        for turn in range(turns):
            for name, operation in asked.items():
                for which, target in targets.items():
                    request = operation.bare if which == "bare" else operation.ours
                    into = taken.setdefault((name, which), Measured())
                    target.measure(request, into, seconds=seconds, run=f"{turn}-")
                if name.startswith("transaction"):
                    _alone(taken, file, server, kept, turn)
        memory = {name: processes.resident(target.pid) for name, target in targets.items()}
        version = server.rows("SHOW server_version")[0][0]
    found = {
        name: {which: one.said() for (each, which), one in taken.items() if each == name}
        for name in asked
    }
    for name, measured in found.items():
        shares(name, measured)
    return {
        "when": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": {**processes.facts(), "sqlite": sqlite3.sqlite_version, "postgresql": version},
        "generator": GENERATOR,
        "operations": found,
        "resident_mib": memory,
        "rows_of_a_transaction": {table: len(many) for table, many in kept.items()},
    }


def _alone(
    taken: dict[tuple[str, str], Measured],
    file: Path,
    server: processes.Postgres,
    kept: driver.Rows,
    turn: int,
) -> None:
    start = turn * driver.ROUNDS
    on_sqlite = taken.setdefault(("transaction of 30", "driver on sqlite"), Measured())
    on_sqlite.own.append(1000 * driver.on_sqlite(file, kept, start=start))
    on_sqlite.database.append(0)
    own, database = driver.on_postgres(server, kept, start=start)
    on_postgres = taken.setdefault(("transaction of 30", "driver on postgres"), Measured())
    on_postgres.own.append(1000 * own)
    on_postgres.database.append(1000 * database)


def table(report: dict[str, Any]) -> None:
    """CPU milliseconds a request, and the share of the limit that we reach."""
    print(f"CPU ms for each request, least of the turns; load by {report['generator']}\n")
    print(f"{'':19}{'':20}{'service':>9}{'database':>10}{'req/s':>8}   share of the limit")
    for name, measured in report["operations"].items():
        label = name
        for which, one in measured.items():
            said = [
                f"{share['share']:.2f} of {share['of']}"
                + (f", at least {share['held_to']}: {_verdict(share)}" if share["held_to"] else "")
                for share in one.get("shares", ())
            ]
            print(
                f"{label:19}{which:20}{one['cpu_ms']:9.3f}{one['database_cpu_ms']:10.3f}"
                f"{one['per_second']:8}   {'; '.join(said)}"
            )
            label = ""
    print(f"\nresident MiB: {report['resident_mib']}")


def shares(name: str, measured: dict[str, dict[str, Any]]) -> None:
    """
    Beside each figure of ours its share of each limit, and what it is held to.

    Of the bare route the service's own CPU is the share, of the driver alone also its database's.
    """
    for which in {"sqlite", "postgres"} & measured.keys():
        ours = measured[which]
        ours["shares"] = []
        for limit, of in ((f"driver on {which}", "the driver"), ("bare", "bare")):
            if limit not in measured:
                continue
            both = of == "the driver"
            spent = ours["cpu_ms"] + (ours["database_cpu_ms"] if both else 0)
            share = (measured[limit]["cpu_ms"] + measured[limit]["database_cpu_ms"]) / spent
            held = HELD.get((name, which)) if both is name.startswith("transaction") else None
            ours["shares"].append({"of": of, "share": round(share, 3), "held_to": held})


def _verdict(share: dict[str, Any]) -> str:
    return "met" if share["share"] >= share["held_to"] else "NOT MET"


def main() -> None:
    command = argparse.ArgumentParser(description="CPU time for each request, beside its limits.")
    command.add_argument("--seconds", type=float, default=2)
    command.add_argument("--turns", type=int, default=3)
    command.add_argument("--only", default="", help="operations, with commas between")
    command.add_argument("--out", type=Path, default=RESULTS / "server.json")
    given = command.parse_args()
    report = measure(given.seconds, given.turns, set(filter(None, given.only.split(","))))
    table(report)
    given.out.parent.mkdir(exist_ok=True)
    given.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
