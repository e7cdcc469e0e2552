"""Processes under measurement: started, waited for, ended; their CPU time and memory from /proc."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from postgres import Postgres

TICK = os.sysconf("SC_CLK_TCK")
WAIT_SECONDS = 60
# As an administrator sets up a server of this size, and nothing that a crash would lose.
POSTGRES = "-c shared_buffers=512MB -c max_connections=60 -c max_wal_size=4GB -c jit=off"


def tree(pid: int) -> list[int]:
    """The process and its living descendants."""
    found = [pid]
    for at in found:
        with contextlib.suppress(OSError):
            for children in Path(f"/proc/{at}/task").glob("*/children"):
                found += map(int, children.read_text().split())
    return found


def cpu(pid: int) -> float:
    """CPU seconds of a process, its descendants, and those that it has buried."""
    ticks = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / TICK


def resident(pid: int) -> int:
    """MiB of one process."""
    found = re.search(r"^VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) // 1024 if found else 0


def facts() -> dict[str, Any]:
    """The machine, and nothing that names it."""
    models = re.findall(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    packages = ("fastapi", "starlette", "uvicorn", "uvloop", "httptools", "asyncpg", "sqlalchemy")
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30, 1),
        "kernel": platform.release().split("-")[0],
        "python": " ".join((platform.python_version(), *platform.python_build())),
        "packages": {name: version(name) for name in packages},
        "load_average": [round(one, 1) for one in os.getloadavg()],
    }


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port: int = taken.getsockname()[1]
        return port


@contextlib.contextmanager
def started(
    command: list[str], *, port: int, path: str, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A server, from when it answers path until the end of the block."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=log, stderr=log
        )
        try:
            _answers(process, f"http://127.0.0.1:{port}{path}")
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _answers(process: subprocess.Popen[bytes], url: str) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 — loopback
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    message = "a server does not start"
    raise TimeoutError(message)


@contextlib.contextmanager
def kinbridge(url: str, **environment: str) -> Iterator[tuple[int, int]]:
    """The service as it is installed, on the database of this URL: its port and its process."""
    port = free_port()
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
    environment["KINBRIDGE_DATABASE_URL"] = url
    with started(command, port=port, path="/health/ready", **environment) as process:
        yield port, process.pid


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of our own with the tables in it, that keeps what it has acknowledged."""
    server = Postgres.made(options=POSTGRES)
    try:
        yield server
    finally:
        server.end()
