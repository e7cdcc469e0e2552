"""The load: one kind of request on a few connections for some seconds, by wrk, else by asyncio."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bodies import ID, NUMBER

WRK = shutil.which("wrk")
GENERATOR = "wrk" if WRK else "asyncio"
CONNECTIONS = 8
_COUNT = re.compile(r"counted (\d+) wrong (\d+)")


@dataclass(frozen=True)
class Request:
    """
    One kind of request.

    path, body  with @n@ for another number in each, and @id@ for each of ids in turn
    """

    method: str
    path: str
    body: str = ""
    ids: tuple[str, ...] = ()


class Wrong(Exception):  # noqa: N818 — there is no figure
    """Something was answered that is no 2xx: a fast wrong answer is no figure."""


def drive(port: int, request: Request, *, seconds: float, run: str) -> tuple[int, float]:
    """
    How many were answered, and in how many seconds.

    run         stands before each number, so that no two runs send the same
    raises      Wrong
    """
    begun = time.perf_counter()
    drives = _wrk if WRK else _asyncio
    count, wrong = drives(port, request, seconds, run)
    if wrong or not count:
        message = (
            f"{request.method} {request.path} at {port}: {wrong} of {count} answers are no 2xx"
        )
        raise Wrong(message)
    return count, time.perf_counter() - begun


_SCRIPT = """
local ids, path, body, run = {ids}, {path}, {body}, {run}
local headers = {{["Content-Type"] = "application/fhir+json"}}
local n = 0
request = function()
  n = n + 1
  local values = {{n = run .. n, id = ids[n % #ids + 1]}}
  local fill = function(text) return (text:gsub("@(%a+)@", values)) end
  return wrk.format({method}, fill(path), headers, body ~= "" and fill(body) or nil)
end
done = function(summary)
  local e = summary.errors
  io.write(string.format("counted %d wrong %d\\n", summary.requests,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def _lua(text: str) -> str:
    return f"[==[{text}]==]"


def _wrk(port: int, request: Request, seconds: float, run: str) -> tuple[int, int]:
    script = _SCRIPT.format(
        ids="{" + ",".join(map(_lua, request.ids or ("none",))) + "}",
        path=_lua(request.path),
        body=_lua(request.body),
        run=_lua(run),
        method=_lua(request.method),
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "request.lua"
        file.write_text(script, encoding="utf-8")
        done = subprocess.run(
            [WRK or "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "--timeout", "20s",
             "-s", file, f"http://127.0.0.1:{port}"],
            check=True, capture_output=True, text=True, timeout=seconds + 60,
        )  # fmt: skip
    found = _COUNT.search(done.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _asyncio(port: int, request: Request, seconds: float, run: str) -> tuple[int, int]:
    """Slower than wrk by far, so the figures of requests a second are its own; CPU is the server's."""
    until = time.monotonic() + seconds
    counts = {"sent": 0, "answered": 0, "wrong": 0}
    ids = request.ids or ("none",)

    async def lane() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < until:
            counts["sent"] += 1
            number = counts["sent"]
            path, body = (
                part.replace(NUMBER, f"{run}{number}").replace(ID, ids[number % len(ids)])
                for part in (request.path, request.body)
            )
            head = f"{request.method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            if body:
                head += f"Content-Type: application/fhir+json\r\nContent-Length: {len(body)}\r\n"
            writer.write(f"{head}\r\n{body}".encode())
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = re.search(rb"content-length: (\d+)", answer)
            await reader.readexactly(int(length[1]) if length else 0)
            counts["answered"] += 1
            counts["wrong"] += not answer.startswith(b"http/1.1 2")
        writer.close()

    async def lanes() -> None:
        await asyncio.gather(*(lane() for _ in range(CONNECTIONS)))

    asyncio.run(asyncio.wait_for(lanes(), seconds + 60))
    return counts["answered"], counts["wrong"]
