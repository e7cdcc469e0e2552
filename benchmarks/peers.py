"""
CPU time for each request beside HAPI's server on PostgreSQL, in turns in one run.

    python benchmarks/peers.py [--shared ../shared] [--seconds 6] [--connections 1,8,32]
        [--operations create,read,update,transaction30] [--out FILE]

HAPI's start script and the load are those of ../shared/peers; where that folder, Java or Maven is
missing, this says so and ends. Server and database are counted together. The least of the passes is
each one's figure, of three: HAPI is slow until it is warm, and the machine may be busy. As there, an
operation's figure is the least that was seen, with however many clients; a line for each number of
clients stands beside. Some twenty minutes; with search, include and page100 as well, thirty-five.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import processes

from app.storage import migration

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
OPERATIONS = "create,read,update,transaction30"
HELD = {"sqlite": 10, "postgres": 5}  # HAPI's CPU time is at least so many times ours
LINE = re.compile(r"base=(\S+) pid=(\d+) db_pid=(\d*)")
Figures = dict[tuple[int, str], float]  # by connections and operation


@dataclass(frozen=True)
class Server:
    """Somebody's FHIR base, with the processes to count; database 0: there is none."""

    base: str
    pid: int
    database: int = 0

    def measure(self, bench: Path, warm: int, load: list[str]) -> Figures:
        """CPU milliseconds for each request."""
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out.json"
            command = [
                sys.executable, bench, "--base", self.base, "--pid", str(self.pid),
                *(["--db-pid", str(self.database)] if self.database else []),
                "--warm", str(warm), *load, "--out", out,
            ]  # fmt: skip
            subprocess.run(command, check=True, timeout=1800, stdout=subprocess.DEVNULL)
            results = json.loads(out.read_text())["results"]
        for one in results:
            if one["errors"]:
                message = f"{self.base} {one['operation']}: {one.get('first_error', 'lost')[:300]}"
                raise RuntimeError(message)
        return {(one["connections"], one["operation"]): one["cpu_ms"] for one in results}


@contextlib.contextmanager
def hapi(script: Path, port: int) -> Iterator[Server]:
    try:
        command = [script, "start", "--port", str(port), "--fresh"]
        said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=900)
        found = LINE.search(said.stdout)
        if found is None:
            message = f"HAPI does not start: {said.stdout[-300:]}"
            raise RuntimeError(message)
        yield Server(found[1], int(found[2]), int(found[3] or 0))
    finally:
        subprocess.run([script, "stop", "--port", str(port)], check=False, timeout=120)


@contextlib.contextmanager
def ours() -> Iterator[dict[str, Server]]:
    """The service on either database."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        url = f"sqlite:///{folder}/peers.db"
        migration.migrate(url)
        made = {}
        server = stack.enter_context(processes.postgres())
        for name, address, database in (
            ("sqlite", url, 0),
            ("postgres", server.url(), server.pid),
        ):
            port, pid = stack.enter_context(processes.kinbridge(address))
            # on this shelf what comes is stored, and a screening is not read: HAPI's own work
            made[name] = Server(f"http://127.0.0.1:{port}/agency/support/fhir", pid, database)
        yield made


def measure(peers: Path, *, warm: int, load: list[str]) -> dict[str, list[Figures]]:
    """
    Three passes of each, in turns.

    load        as bench.py takes it
    """
    bench = peers / "bench.py"
    taken: dict[str, list[Figures]] = {"hapi": [], "sqlite": [], "postgres": []}
    with hapi(peers / "hapi.sh", 8090) as other, ours() as own:
        for name, server, warming in (
            ("hapi", other, warm),
            *((name, server, 5) for name, server in own.items()),
            ("hapi", other, warm // 4),
            *((name, server, 5) for name, server in own.items()),
            ("hapi", other, warm // 4),
            *((name, server, 5) for name, server in own.items()),
        ):
            print(f"{datetime.now(UTC):%H:%M:%S} {name}", file=sys.stderr, flush=True)
            taken[name].append(server.measure(bench, warming, load))
    return taken


def table(least: dict[str, Figures]) -> None:
    print(
        f"{'CPU ms a request':16}{'clients':>8}{'HAPI':>9}"
        + "".join(f"{name:>10}{'HAPI /':>8}" for name in HELD)
    )
    operations = dict.fromkeys(operation for _, operation in least["hapi"])
    for clients, operation in least["hapi"]:
        spent = {name: each[clients, operation] for name, each in least.items()}
        _line(operation, str(clients), spent)
    for operation in operations:
        _line(operation, "least", {name: _least(each, operation) for name, each in least.items()})
    print("held to, of the least: " + ", ".join(f"{name} {times}" for name, times in HELD.items()))


def _line(operation: str, clients: str, spent: dict[str, float]) -> None:
    theirs = spent["hapi"]
    ours = "".join(f"{spent[name]:10.3f}{theirs / spent[name]:8.1f}" for name in HELD)
    print(f"{operation:16}{clients:>8}{theirs:9.3f}{ours}")


def _least(figures: Figures, operation: str) -> float:
    return min(spent for (_, asked), spent in figures.items() if asked == operation)


def by_clients(figures: Figures) -> dict[int, dict[str, float]]:
    found: dict[int, dict[str, float]] = {}
    for (connections, operation), spent in figures.items():
        found.setdefault(connections, {})[operation] = spent
    return found


def missing(peers: Path) -> str:
    """What keeps this from being measured, "" if nothing does."""
    if not (peers / "bench.py").exists():
        return f"there is no {peers.name} folder in {peers.parent.name}"
    lacking = [name for name in ("java", "mvn") if shutil.which(name) is None]
    return f"{' and '.join(lacking)} cannot be found" if lacking else ""


def main() -> None:
    command = argparse.ArgumentParser(description="CPU time for each request beside HAPI's server.")
    command.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    command.add_argument("--seconds", type=int, default=6, help="of each figure")
    command.add_argument("--connections", default="1,8,32", help="clients at once")
    command.add_argument("--operations", default=OPERATIONS, help="as bench.py names them")
    command.add_argument("--warm", type=int, default=120, help="seconds of load before HAPI counts")
    command.add_argument("--out", type=Path, default=RESULTS / "peers.json")
    given = command.parse_args()
    peers = given.shared / "peers"
    if reason := missing(peers):
        print(f"not measured: {reason}")
        return
    load = ["--operations", given.operations, "--connections", given.connections]
    taken = measure(peers, warm=given.warm, load=[*load, "--seconds", str(given.seconds)])
    least = {
        name: {one: min(each[one] for each in passes) for one in passes[0]}
        for name, passes in taken.items()
    }
    table(least)
    report = {
        "when": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": processes.facts(),
        "cpu_ms": {name: by_clients(figures) for name, figures in least.items()},
        "passes": {name: [*map(by_clients, passes)] for name, passes in taken.items()},
    }
    given.out.parent.mkdir(exist_ok=True)
    given.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
