"""What row-level security costs a key read: with and without it, in turns, in one run (decision 0005)."""

import asyncio
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from postgres import Postgres

from app.storage import connection, resources
from app.storage.database import Statement
from app.storage.postgres import _Writing

SHELF = "clinic/chart"
READS = 1000
TURNS = 5
TICK = os.sysconf("SC_CLK_TCK")
FILL = """
    INSERT INTO resource (shelf, type, id, version, updated, method, exchange, body)
    SELECT 'clinic/chart', 'Patient', 'p' || i, 1, '', 'PUT', '',
        decode(repeat('ab', 800), 'hex') FROM generate_series(1, 50000) i
"""


def backend_seconds(pid: int) -> float:
    """CPU of the server's process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


class _Walled(_Writing):
    """Statements that name their shelves, each for itself, as a read's do."""

    async def rows(self, statement: Statement, **values: Any) -> Any:
        made = statement.postgres
        return await self.connection.fetch(made.seeing, *map(values.get, made.order), SHELF)


async def once(opened: Any, *, walled: bool) -> list[float]:
    """Microseconds for each read: wall, CPU of the service, CPU of the server's process."""

    async def one(name: str) -> Any:
        async with opened._connection() as connection:  # noqa: SLF001 — the only one it has
            tx = (_Walled if walled else _Writing)(connection)
            return await resources.read(tx, SHELF, name)

    async with opened._connection() as connection:  # noqa: SLF001 — as above
        pid = await connection.fetchval("SELECT pg_backend_pid()")
    begun, cpu, served = time.perf_counter(), time.process_time(), backend_seconds(pid)
    for number in range(1, READS + 1):
        if await one(f"Patient/p{number}") is None:
            raise LookupError
    return [
        one * 1e6 / READS
        for one in (
            time.perf_counter() - begun,
            time.process_time() - cpu,
            backend_seconds(pid) - served,
        )
    ]


async def measured(urls: dict[str, str]) -> dict[str, list[list[float]]]:
    opened = {name: connection.connect(url, connections=1) for name, url in urls.items()}
    taken: dict[str, list[list[float]]] = {name: [] for name in urls}
    for turn in range(TURNS + 1):
        for name, one in opened.items():
            found = await once(one, walled=name == "with")
            if turn:  # the first warms up
                taken[name].append(found)
    for one in opened.values():
        await one.close()
    return taken


def main() -> None:
    server = Postgres.made()
    try:
        server.do("kinbridge", FILL, "ANALYZE")
        server.do("postgres", "CREATE DATABASE bare TEMPLATE kinbridge OWNER owner")
        server.do("bare", "ALTER TABLE resource DISABLE ROW LEVEL SECURITY")
        server.do("bare", "VACUUM ANALYZE")
        server.do("kinbridge", "VACUUM ANALYZE")
        urls = {"with": server.url(), "without": server.url(database="bare")}
        taken = asyncio.run(measured(urls))
    finally:
        server.end()
    print(f"µs for each key read, median of {TURNS} turns of {READS}")
    print(f"{'':10}{'wall':>8}{'service CPU':>14}{'server CPU':>14}{'CPU together':>14}")
    medians = {}
    for name, turns in taken.items():
        wall, service, backend = (statistics.median(column) for column in zip(*turns, strict=True))
        medians[name] = (wall, service + backend)
        print(f"{name:10}{wall:8.0f}{service:14.0f}{backend:14.0f}{service + backend:14.0f}")
    ratios = [a / b - 1 for a, b in zip(medians["with"], medians["without"], strict=True)]
    print(f"the wall costs {ratios[0]:+.1%} of the time and {ratios[1]:+.1%} of the CPU")


if __name__ == "__main__":
    main()
